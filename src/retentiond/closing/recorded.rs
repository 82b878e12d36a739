//! Which troubles were recorded lately: what stays as it is stands in the audit log once, and once a day from then on.
//! Not here: telling them. The journal, the alarms and the note of each turn hold every one of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::CustomerId;

/// How often the same is recorded again.
const AGAIN: Duration = Duration::from_secs(86_400);

/// What was recorded, and when. Lost with the process: then it is recorded once more.
#[derive(Debug, Default)]
pub struct Recorded(Mutex<BTreeMap<(CustomerId, String), Timestamp>>);

impl Recorded {
    /// Whether a trouble of that account is to be recorded: it is new, or was recorded long ago.
    pub(super) fn is_due(&self, customer: CustomerId, text: &str, now: Timestamp) -> bool {
        let recorded = self.lock().get(&(customer, kind(text))).copied();
        recorded.is_none_or(|recorded| now.since(recorded) >= AGAIN || now < recorded)
    }

    /// Notes that it was, and forgets what was long ago.
    pub(super) fn note(&self, customer: CustomerId, text: &str, now: Timestamp) {
        let mut recorded = self.lock();
        recorded.retain(|_, at| now.since(*at) < AGAIN);
        recorded.insert((customer, kind(text)), now);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(CustomerId, String), Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text without its numbers: counts and positions change from turn to turn, and it is the same trouble.
fn kind(text: &str) -> String {
    text.chars().filter(|one| !one.is_ascii_digit()).collect()
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
