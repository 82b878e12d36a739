//! How many accounts may be purged without people's approval: those that would begin now and those that were begun within
//! a day count together, so that a mistake that arrives account by account is stopped, too.
//! Not here: who approves, and that a plan that is held stays held until they do (`grant/purging.rs`).

use std::time::Duration;

use super::{Act, Approval, Closure, Facts, Stage, next};
use crate::clock::Timestamp;
use crate::ids::CustomerId;

/// How long a purge counts after it was begun.
pub const CAP_WITHIN: Duration = Duration::from_secs(86_400);

/// More purges than the cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// How many, begun within [`CAP_WITHIN`] or due now.
    pub count: usize,
    /// Those that would begin now: none of them may.
    pub due: Vec<CustomerId>,
}

/// Whether what would begin now is above `cap`. What people approved does not count, and what is begun goes on.
pub fn above<'a>(
    closed: impl IntoIterator<Item = (&'a Closure, &'a Facts)>,
    cap: usize,
    now: Timestamp,
) -> Option<Over> {
    let (mut lately, mut due, mut held) = (0, Vec::new(), false);
    for (closure, facts) in closed {
        if facts.approval == Approval::Given || closure.stage == Stage::Active {
            continue;
        }
        if let Some(begun) = facts.begun {
            lately += usize::from(now.since(begun) < CAP_WITHIN);
        } else if would_begin(closure, facts, now) {
            held |= facts.approval == Approval::Waits;
            due.push(closure.customer);
        }
    }
    let count = lately + due.len();
    // a purge that is held stays held, even if by now it would be below
    (!due.is_empty() && (count > cap || held)).then_some(Over { count, due })
}

fn would_begin(closure: &Closure, facts: &Facts, now: Timestamp) -> bool {
    // what came back after the purge begins again without being asked about, unless it is held
    let is_through = closure.stage > Stage::Purging && facts.approval != Approval::Waits;
    if facts.planned.is_none() || facts.live_clean.is_some() || is_through {
        return false;
    }
    let asked = Facts { approval: Approval::Given, ..facts.clone() };
    next(closure, &asked, now).acts.contains(&Act::Purge)
}

#[cfg(test)]
#[path = "cap_tests.rs"]
mod tests;
