//! How often somebody with the right password may give a wrong code: six digits are soon guessed otherwise.
//! Not here: attempts without the password (`portal/attempts.rs`). Counts live in memory; a restart forgives, and nothing
//! else does before its time, so that whoever guesses gains nothing by the right codes of somebody else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::StaffId;

/// So many, wherever from; then none is looked at until [`WINDOW`] has passed since the first: 480 a day. Three codes of a
/// million are good at a time, so that who has the password and goes on all day gets in on one day of 700.
const WRONG_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// It is the code of that step.
    Fits(u64),
    /// It is none of now, and counted.
    Wrong,
    /// Too many were wrong: it was not looked at.
    Blocked,
}

/// The wrong codes of the last while.
#[derive(Default)]
pub(super) struct WrongCodes(Mutex<HashMap<StaffId, (u32, Timestamp)>>);

impl WrongCodes {
    /// Looks at a code of theirs, unless too many were wrong. One at a time: of many at once no more are looked at.
    pub(super) fn look(&self, staff: StaffId, now: Timestamp, step: impl FnOnce() -> Option<u64>) -> Looked {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|_, (_, since)| now < since.plus(WINDOW));
        let count = counts.get(&staff).map_or(0, |(count, _)| *count);
        if count >= WRONG_MAX {
            return Looked::Blocked;
        }
        let Some(step) = step() else {
            counts.entry(staff).or_insert((0, now)).0 += 1;
            return Looked::Wrong;
        };
        Looked::Fits(step)
    }
}

#[cfg(test)]
#[path = "wrong_codes_tests.rs"]
mod tests;
