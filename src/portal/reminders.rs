//! Tells of requests that wait for an owner: after one hour and after six, a line of the diary that a program can read.
//! Not here: when one is due (`grant/request.rs`), and the page, which counts them itself.
//! Mail to owners belongs here, beside the line, once there is mail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::grant::{Reminder, due};
use crate::register::Follower;

/// How often it is looked whether one is due.
const EVERY: Duration = Duration::from_secs(20);

/// Tells each reminder once while this portal runs. Runs until it is dropped.
pub async fn remind(follower: Follower, clock: Arc<dyn Clock>) {
    let mut told = BTreeSet::new();
    loop {
        let state = follower.state();
        for reminder in fresh(&mut told, due(&state, clock.now())) {
            let Some(request) = state.request(reminder.request) else { continue };
            tracing::info!(
                request = %reminder.request,
                customer = %request.customer,
                number = reminder.number,
                since = %reminder.since,
                answer_by = %request.answer_by(),
                "a request waits for an account owner"
            );
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Those that were not told; what is no longer due is forgotten.
fn fresh(told: &mut BTreeSet<Reminder>, due: Vec<Reminder>) -> Vec<Reminder> {
    let now: BTreeSet<Reminder> = due.into_iter().collect();
    let fresh = now.difference(told).copied().collect();
    *told = now;
    fresh
}

#[cfg(test)]
#[path = "reminders_tests.rs"]
mod tests;
