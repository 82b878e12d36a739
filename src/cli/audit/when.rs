//! A moment as people type it.
//! Not here: time zones; what is typed without one is UTC, as everything shown is.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::clock::Timestamp;
use crate::config::units;

/// Reads `2026-11-21`, `2026-11-21 23:36`, an RFC 3339 moment, or a span before `now` such as `2h`.
///
/// # Errors
/// What was expected, for the user.
pub(in crate::cli) fn read(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(ago) = units::duration(text) {
        let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        return Ok(Timestamp(now.0.saturating_sub(micros)));
    }
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    let naive = || {
        let formats = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"];
        formats.into_iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
    };
    let zoned = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_micros());
    let micros = zoned().or_else(|| Some(date().or_else(naive)?.and_utc().timestamp_micros()));
    micros.map(Timestamp).ok_or_else(|| {
        format!("\"{text}\" is not a moment: give 2026-11-21, 2026-11-21T23:36:00Z, or how long ago, such as 2h")
    })
}
