//! When a snapshot begins: slots of a fixed UTC grid, `slot = floor(unix / every)`.
//! Not cron, which cannot say "every 5 hours" (`0 */5 * * *` has a gap of 4), and no time zone, whose days have 23 to
//! 25 hours: section 0, finding 3, of the research.

use std::time::Duration;

use crate::clock::Timestamp;

/// A slot of the grid: the count of whole periods since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub i64);

/// A grid of one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Whole microseconds, more than zero.
    every: i64,
}

/// What the grid asks for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The present slot, if nothing was begun in it: begin a snapshot now.
    pub slot: Option<Slot>,
    /// Slots between the last one taken and the present one in which nothing was begun. They are told, not made up
    /// for: the newest slot stands for all of them.
    pub missed: u64,
}

impl Grid {
    /// The grid of that period; none if it is less than a microsecond.
    pub fn new(every: Duration) -> Option<Grid> {
        let every = i64::try_from(every.as_micros()).ok().filter(|every| *every > 0)?;
        Some(Grid { every })
    }

    /// The slot that `at` lies in.
    pub fn slot(self, at: Timestamp) -> Slot {
        Slot(at.0.div_euclid(self.every))
    }

    /// When that slot begins.
    pub fn begin(self, slot: Slot) -> Timestamp {
        Timestamp(slot.0.saturating_mul(self.every))
    }

    /// When the slot after that of `now` begins: how long to sleep.
    pub fn next(self, now: Timestamp) -> Timestamp {
        self.begin(Slot(self.slot(now).0.saturating_add(1)))
    }

    /// What is due at `now`, given the slots in which a snapshot was begun. A slot later than `now`, left by a clock
    /// that was ahead, stops nothing.
    pub fn due(self, taken: impl IntoIterator<Item = Slot>, now: Timestamp) -> Due {
        let present = self.slot(now);
        let last = taken.into_iter().filter(|slot| *slot <= present).max();
        let since = last.map_or(0, |last| u64::try_from(present.0.saturating_sub(last.0)).unwrap_or(0));
        Due { slot: (last != Some(present)).then_some(present), missed: since.saturating_sub(1) }
    }
}

#[cfg(test)]
#[path = "grid_tests.rs"]
mod tests;
