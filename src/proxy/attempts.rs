//! How often a sign-in may fail, per address and per name from that address, before it is no longer tried.
//! Not here: checking a password (`wire/scram.rs`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// So many places are remembered at most; when there are more, the ones that failed longest ago are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// Failed sign-ins of the last while.
#[derive(Debug)]
pub struct Attempts {
    per_name: u32,
    per_address: u32,
    window: Duration,
    failures: Mutex<HashMap<(IpAddr, String), Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    since: Timestamp,
}

impl Attempts {
    /// So many failures within `window`, under one name from one address and from one address altogether; then refusal
    /// until the window has passed.
    pub fn new(per_name: u32, per_address: u32, window: Duration) -> Attempts {
        Attempts { per_name, per_address, window, failures: Mutex::default() }
    }

    /// How long until another attempt may be made; none if now.
    pub fn blocked(&self, address: IpAddr, name: &str, now: Timestamp) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = |key: (IpAddr, String), most: u32| {
            let found = failures.get(&key)?;
            let until = found.since.plus(self.window);
            (found.count >= most && now < until).then(|| until.since(now))
        };
        let of_name = longest((address, name.to_owned()), self.per_name);
        of_name.or_else(|| longest((address, String::new()), self.per_address))
    }

    /// Counts a failure: for that name from that address, and for the address.
    pub fn failed(&self, address: IpAddr, name: &str, now: Timestamp) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED_MAX {
            failures.retain(|_, found| now < found.since.plus(self.window));
        }
        if failures.len() >= REMEMBERED_MAX {
            let oldest = failures.iter().min_by_key(|(_, found)| found.since).map(|(key, _)| key.clone());
            oldest.map(|key| failures.remove(&key));
        }
        for key in [(address, name.to_owned()), (address, String::new())] {
            let found = failures.entry(key).or_insert(Failures { count: 0, since: now });
            if now >= found.since.plus(self.window) {
                *found = Failures { count: 0, since: now };
            }
            found.count = found.count.saturating_add(1);
        }
    }

    /// A success clears the name's failures from that address, not the address's.
    pub fn succeeded(&self, address: IpAddr, name: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&(address, name.to_owned()));
    }
}

#[cfg(test)]
#[path = "attempts_tests.rs"]
mod tests;
