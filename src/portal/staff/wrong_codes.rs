//! How often somebody with the right password may give a wrong code: six digits are soon guessed otherwise.
//! Not here: attempts without the password (`portal/attempts.rs`). Counts live in memory; a restart forgives.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::StaffId;

/// So many, wherever from; then none is looked at until [`WINDOW`] has passed: some 500 a day, among a million.
const WRONG_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// The wrong codes of the last while.
#[derive(Default)]
pub(super) struct WrongCodes(Mutex<HashMap<StaffId, (u32, Timestamp)>>);

impl WrongCodes {
    /// Whether no code of theirs is looked at now.
    pub(super) fn are_blocked(&self, staff: StaffId, now: Timestamp) -> bool {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&staff).is_some_and(|(count, since)| *count >= WRONG_MAX && now < since.plus(WINDOW))
    }

    /// A wrong one.
    pub(super) fn failed(&self, staff: StaffId, now: Timestamp) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = counts.entry(staff).or_insert((0, now));
        if now >= since.plus(WINDOW) {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
    }

    /// The right one.
    pub(super) fn succeeded(&self, staff: StaffId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&staff);
    }
}
