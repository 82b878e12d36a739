//! Whether the time can be trusted enough to delete by it: the wall clock, the time since boot, the database's clock.
//! Not here: asking them. It freezes deletions, never snapshots, whose time two of three say; it releases by itself once
//! the wall clock and another one have agreed for a while, and a person may release it before.
//! HOLE: a database on the same machine shares its wall clock, so that both jump together; boot time alone then freezes,
//! and the two release after `SETTLED`. A database elsewhere, or witnesses' times, would not.

use std::time::Duration;

use minicbor::{Decoder, Encoder};

use crate::clock::Timestamp;

/// How far two clocks may be apart.
pub const TOLERANCE: Duration = Duration::from_secs(120);

/// How long two of three must agree before deletions go on.
pub const SETTLED: Duration = Duration::from_secs(900);

/// Of what is kept on disk.
const VERSION: u8 = 1;

/// By how much an honest clock may run fast or slow: one part in this.
const DRIFT: u32 = 10_000;

/// What the clocks say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: Timestamp,
    /// `CLOCK_BOOTTIME`: since boot, sleep included.
    pub since_boot: Duration,
    /// Which boot: the kernel's `boot_id`.
    pub boot: [u8; 16],
    /// The database's `clock_timestamp()`, if it answered.
    pub database: Option<Timestamp>,
}

/// Why deletions are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The wall clock went ahead of the others.
    Ahead,
    /// It went back.
    Back,
    /// After a restart of the machine no other clock confirms it.
    Unconfirmed,
}

/// What is known about time. Kept on disk after each reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The last reading that was trusted first in its boot: from it, boot time says what the wall clock should.
    pub anchor: Reading,
    /// The latest wall time that was trusted.
    pub high: Timestamp,
    /// The last reading.
    pub last: Reading,
    /// The two others agreed against the database; it is not asked until it agrees again.
    pub without_database: bool,
    /// Nothing is deleted.
    pub frozen: Option<Frozen>,
}

/// Deletions are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Why it began.
    pub doubt: Doubt,
    /// For how long, by boot time.
    pub lasted: Duration,
    /// For how long two of three have agreed.
    pub agreed: Duration,
}

impl Guard {
    /// What the first reading ever says. A database that disagrees freezes at once.
    pub fn first(reading: Reading) -> Guard {
        let guard = Guard { anchor: reading, high: reading.wall, last: reading, without_database: false, frozen: None };
        let agrees = reading.database.is_none_or(|database| near(reading.wall, database, TOLERANCE));
        if agrees { guard } else { guard.froze(doubt(reading.wall, reading.database.unwrap_or(reading.wall))) }
    }

    /// What is known after `reading`.
    #[must_use]
    pub fn after(self, reading: Reading) -> Guard {
        let same_boot = reading.boot == self.last.boot;
        let passed = reading.since_boot.saturating_sub(if same_boot { self.last.since_boot } else { Duration::ZERO });
        let verdict = self.verdict(&reading);
        let next = Guard { last: reading, ..self };
        match (self.frozen, verdict) {
            (None, Ok(())) => next.trusting(reading),
            (None, Err(doubt)) => next.froze(doubt),
            (Some(frozen), verdict) => {
                // Agreement is counted from the first reading that agrees.
                let agreed = match verdict.is_ok() || self.two_agree(&reading) {
                    true if frozen.agreed.is_zero() => Duration::from_micros(1),
                    true => frozen.agreed + passed,
                    false => Duration::ZERO,
                };
                if agreed >= SETTLED {
                    return next.settled();
                }
                Guard { frozen: Some(Frozen { doubt: frozen.doubt, lasted: frozen.lasted + passed, agreed }), ..next }
            }
        }
    }

    /// What is known once a person has said that the wall clock is right, which is recorded.
    #[must_use]
    pub fn released(self) -> Guard {
        self.settled()
    }

    /// Whether nothing may be deleted.
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Whether a wall clock that says `now` was set back since it was last trusted.
    pub fn is_behind(&self, now: Timestamp) -> bool {
        now.plus(TOLERANCE) < self.high
    }

    /// By which time snapshots are taken: the wall clock's, unless the two others agree against it. A start written down
    /// by a clock that is ahead would keep the snapshot for as much too long.
    pub fn agreed(&self) -> Timestamp {
        let wall = self.last.wall;
        match (self.expected(&self.last), self.last.database) {
            (Some((boot, tolerance)), Some(database))
                if self.is_frozen() && near(boot, database, tolerance) && !near(wall, boot, tolerance) =>
            {
                boot
            }
            _ => wall,
        }
    }

    /// Whether deletions have been frozen for longer than `deadline`: somebody must look.
    pub fn is_alarming(&self, deadline: Duration) -> bool {
        self.frozen.is_some_and(|frozen| frozen.lasted >= deadline)
    }

    /// What is kept on disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let reading = |reading: &Reading| {
            let database = reading.database.map(|database| database.0);
            (reading.wall.0, micros(reading.since_boot), reading.boot, database)
        };
        let frozen = self.frozen.map(|frozen| {
            let doubt = match frozen.doubt {
                Doubt::Ahead => 0_u8,
                Doubt::Back => 1,
                Doubt::Unconfirmed => 2,
            };
            (doubt, micros(frozen.lasted), micros(frozen.agreed))
        });
        let kept = (VERSION, reading(&self.anchor), self.high.0, reading(&self.last), self.without_database, frozen);
        Encoder::new(&mut bytes).encode(kept).expect("a vector takes any bytes");
        bytes
    }

    /// Reads what was kept; none if it is anything else, and then [`Guard::first`] begins anew.
    pub fn from_bytes(bytes: &[u8]) -> Option<Guard> {
        type Kept = (i64, u64, [u8; 16], Option<i64>);
        let mut decoder = Decoder::new(bytes);
        let (version, anchor, high, last, without_database, frozen): (
            u8,
            Kept,
            i64,
            Kept,
            bool,
            Option<(u8, u64, u64)>,
        ) = decoder.decode().ok()?;
        let reading = |(wall, since_boot, boot, database): Kept| Reading {
            wall: Timestamp(wall),
            since_boot: Duration::from_micros(since_boot),
            boot,
            database: database.map(Timestamp),
        };
        let frozen = match frozen {
            None => None,
            Some((doubt, lasted, agreed)) => Some(Frozen {
                doubt: *[Doubt::Ahead, Doubt::Back, Doubt::Unconfirmed].get(usize::from(doubt))?,
                lasted: Duration::from_micros(lasted),
                agreed: Duration::from_micros(agreed),
            }),
        };
        let is_whole = version == VERSION && decoder.position() == bytes.len();
        let (anchor, last, high) = (reading(anchor), reading(last), Timestamp(high));
        is_whole.then_some(Guard { anchor, high, last, without_database, frozen })
    }

    /// From the last reading on, the wall clock is the measure.
    fn settled(self) -> Guard {
        let wall = self.last.wall;
        let without_database = self.last.database.is_some_and(|database| !near(wall, database, TOLERANCE));
        Guard { anchor: self.last, high: wall, without_database, frozen: None, ..self }
    }

    fn trusting(self, reading: Reading) -> Guard {
        let anchor = if reading.boot == self.anchor.boot { self.anchor } else { reading };
        let agrees = reading.database.is_some_and(|database| near(reading.wall, database, TOLERANCE));
        let without_database = self.without_database && !agrees;
        Guard { anchor, high: self.high.max(reading.wall), without_database, ..self }
    }

    fn froze(self, doubt: Doubt) -> Guard {
        Guard { frozen: Some(Frozen { doubt, lasted: Duration::ZERO, agreed: Duration::ZERO }), ..self }
    }

    /// What the wall clock should say by the time since boot; none after a restart.
    fn expected(&self, reading: &Reading) -> Option<(Timestamp, Duration)> {
        let same = reading.boot == self.anchor.boot;
        let passed = reading.since_boot.checked_sub(self.anchor.since_boot).filter(|_| same)?;
        Some((self.anchor.wall.plus(passed), TOLERANCE + passed / DRIFT))
    }

    /// Whether the wall clock agrees with every other that says anything.
    fn verdict(&self, reading: &Reading) -> Result<(), Doubt> {
        let wall = reading.wall;
        if wall.plus(TOLERANCE) < self.high {
            return Err(Doubt::Back);
        }
        let expected = self.expected(reading);
        if let Some((other, _)) = expected.filter(|(other, tolerance)| !near(wall, *other, *tolerance)) {
            return Err(doubt(wall, other));
        }
        match reading.database {
            Some(_) if self.without_database && expected.is_some() => Ok(()),
            Some(database) if !near(wall, database, TOLERANCE) => Err(doubt(wall, database)),
            Some(_) => Ok(()),
            None if expected.is_some() => Ok(()),
            None => Err(Doubt::Unconfirmed),
        }
    }

    /// Whether the wall clock agrees with at least one other. The others agreeing against it releases nothing, for it
    /// is the wall clock that deletions go by.
    fn two_agree(&self, reading: &Reading) -> bool {
        let boot = self.expected(reading).is_some_and(|(expected, tolerance)| near(reading.wall, expected, tolerance));
        boot || reading.database.is_some_and(|database| near(reading.wall, database, TOLERANCE))
    }
}

fn near(a: Timestamp, b: Timestamp, tolerance: Duration) -> bool {
    a.since(b).max(b.since(a)) <= tolerance
}

fn doubt(wall: Timestamp, other: Timestamp) -> Doubt {
    if wall > other { Doubt::Ahead } else { Doubt::Back }
}

#[cfg(test)]
#[path = "clock_guard_tests.rs"]
mod tests;
