//! When the keys of records of no customer go: each month's so long after the month is over, for each part by its own term.
//! Not here: destroying them (`retentiond/by_age.rs`). A month is a number, year × 100 + month, in UTC.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime};

use crate::clock::Timestamp;

/// How long the parts of records of no customer are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByAge {
    /// The values, from the end of their month on.
    pub values_after: Duration,
    /// The skeleton, likewise.
    pub skeleton_after: Duration,
}

/// The month that a moment is in.
pub fn month_of(at: Timestamp) -> u32 {
    let date = DateTime::from_timestamp_micros(at.0).unwrap_or_default().date_naive();
    u32::try_from(date.year()).unwrap_or(0) * 100 + date.month()
}

/// The first moment after a month and that term; none if there is no such month.
pub fn ends(month: u32, after: Duration) -> Option<Timestamp> {
    let (year, month) = (i32::try_from(month / 100).ok()?, month % 100);
    let (year, next) = if month == 12 { (year.checked_add(1)?, 1) } else { (year, month + 1) };
    // A 13th month would be followed by a 14th.
    let next = NaiveDate::from_ymd_opt(year, next, 1).filter(|_| month > 0)?;
    Some(Timestamp(next.and_time(NaiveTime::MIN).and_utc().timestamp_micros()).plus(after))
}

/// The first month that is not over for so long at that moment: those before it are due.
pub fn first_kept(after: Duration, now: Timestamp) -> u32 {
    let after = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
    month_of(Timestamp(now.0.saturating_sub(after)))
}

#[cfg(test)]
#[path = "by_age_tests.rs"]
mod tests;
