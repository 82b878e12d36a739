//! `[limits]` as read, the roll-out's last day among them.
//! Not here: what the limits are held against (`grant/`, `proxy/`); that a roll-out is not long the proxy sees at start.

use toml::de::DeTable;

use super::{Error, Source, raw};
use crate::clock::Timestamp;
use crate::config::sections::Limits;
use crate::grant::Observing;

impl Source<'_> {
    pub(super) fn limits(&self, table: &DeTable<'_>, raw: raw::Limits) -> Result<Limits, Error> {
        let until = Some(raw.observe_until).filter(|text| !text.is_empty());
        let until = until.map(|text| {
            let expected = "expected a day such as \"2027-01-31\", at whose beginning (UTC) it ends";
            day(&text).ok_or_else(|| self.wrong(table, &["limits", "observe_until"], expected))
        });
        Ok(Limits {
            connections_per_grant: raw.connections_per_grant,
            connections_per_address: raw.connections_per_address,
            connections: raw.connections,
            attempts_per_address: raw.attempts_per_address,
            attempts_per_name: raw.attempts_per_name,
            attempts_within: raw.attempts_within.0,
            sign_in_within: raw.sign_in_within.0,
            register_stale_after: raw.register_stale_after.0,
            observing: until.transpose()?.map(|until| Observing { until }),
        })
    }
}

/// The beginning of a day in UTC.
fn day(text: &str) -> Option<Timestamp> {
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?;
    Some(Timestamp(day.and_utc().timestamp_micros()))
}
