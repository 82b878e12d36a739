//! When purges may run: seconds that a cron expression includes, in a time zone that people live in.
//! Not here: deadlines. A window spares the database; it never outranks the promise.

use std::fmt;

use chrono::DateTime;
use chrono_tz::Tz;
use cron::Schedule;

use crate::clock::Timestamp;

/// A window. A second is inside when the expression includes it.
#[derive(Clone)]
pub struct Window {
    schedule: Schedule,
    zone: Tz,
}

impl Window {
    /// The seconds that `schedule` includes in `zone`.
    pub fn new(schedule: Schedule, zone: Tz) -> Window {
        Window { schedule, zone }
    }

    /// Whether a purge may run at `now`.
    pub fn includes(&self, now: Timestamp) -> bool {
        self.local(now).is_some_and(|local| self.schedule.includes(local))
    }

    /// The first moment from `now` on that is inside; none if the expression never includes one again.
    pub fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        if self.includes(now) {
            return Some(now);
        }
        let next = self.schedule.after(&self.local(now)?).next()?;
        Some(Timestamp(next.timestamp_micros()))
    }

    fn local(&self, at: Timestamp) -> Option<DateTime<Tz>> {
        let utc = DateTime::from_timestamp_micros(at.0)?;
        Some(utc.with_timezone(&self.zone))
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({} in {})", self.schedule, self.zone)
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
