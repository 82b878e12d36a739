//! Closed accounts as the plan sees them: what the register says was decided and confirmed about each.
//! Not here: what only whoever drives a closure knows, such as when the owners were told; it is then not confirmed.

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::config::Retention;
use crate::grant::{self, Customer, People, Purge, Snapshot, SnapshotStatus, State};
use crate::register::Terms;
use crate::retention::closure::{Approval, Choice, Closure, Dates, Facts, Hold, LEAD, Stage};
use crate::retention::plan::Rules;
use crate::retention::promise::Promise;

/// What is known besides the register's state.
pub(super) struct Known<'a> {
    pub(super) rules: &'a Rules,
    /// Back-ends by their numbers, and of which cluster each is.
    pub(super) clusters: HashMap<u32, &'a str>,
    /// When purges may run next.
    pub(super) window_opens: Option<Timestamp>,
    /// How many must approve a purge above the cap.
    pub(super) people: People,
    pub(super) is_frozen: bool,
    pub(super) now: Timestamp,
}

/// Every account that was closed, with its dates and what is confirmed of it.
pub(super) fn closed(state: &State, known: &Known<'_>) -> Vec<(Closure, Facts)> {
    let closed = state.customers().filter_map(|customer| {
        let of = customer.closure.as_ref()?;
        let holds = state.holds().filter(|hold| hold.customer == customer.id).map(|hold| Hold {
            placed: hold.placed.0,
            review: hold.review,
            released: hold.released.map(|(at, _)| at),
        });
        let closure = Closure {
            customer: customer.id,
            stage: stage(of.stage()),
            dates: Dates::new(of.at, known.rules.promise(), known.rules.solution()),
            choice: of.choice.map(|(choice, _)| match choice {
                grant::Choice::Return => Choice::Return,
                grant::Choice::Deletion => Choice::Delete,
            }),
            remove_now: of.immediate,
            holds: holds.collect(),
        };
        Some((closure, facts(state, customer, of, known)))
    });
    closed.collect()
}

/// How many must approve what is above a cap.
pub fn people(retention: &Retention) -> People {
    if retention.two_people { People::Two } else { People::One }
}

/// When the keys of audit records are destroyed: by the promise's terms, and a little earlier, so that it is done by then.
pub fn terms(promise: &Promise) -> Terms {
    Terms {
        values_after: promise.gone_everywhere_after.saturating_sub(LEAD),
        skeleton_after: promise.audit_skeleton_after.saturating_sub(LEAD),
    }
}

/// Whether people approved the purge of the plan that is fixed. Rows that came back were approved to go before, unless
/// what came back is held.
pub fn approval(purge: &Purge, people: People) -> Approval {
    if purge.waits() {
        Approval::Waits
    } else if purge.came_back().is_some() || purge.is_approved(people) {
        Approval::Given
    } else {
        Approval::Unasked
    }
}

fn facts(state: &State, customer: &Customer, closure: &grant::Closure, known: &Known<'_>) -> Facts {
    let purge = &closure.purge;
    // Rows that came back make it unclean, until they are purged and it is verified again.
    let live_clean = purge.verified.map(|(at, ..)| at).filter(|_| purge.came_back().is_none());
    let erased = |erasure: grant::Erasure| match erasure {
        grant::Erasure::Done { at, .. } => Some(at),
        grant::Erasure::Kept | grant::Erasure::Begun { .. } => None,
    };
    // a snapshot of a back-end that is not configured any more may be of any cluster
    let of_cluster =
        |snapshot: &&Snapshot| known.clusters.get(&snapshot.backend).is_none_or(|cluster| *cluster == customer.cluster);
    Facts {
        access_off: Some(closure.at),
        archive_verified: closure.reached_at(grant::Stage::Archived),
        owners_told: closure.reached_at(grant::Stage::Choice),
        planned: purge.planned.map(|(_, at)| at),
        plan: purge.planned.map(|(digest, _)| digest),
        begun: purge.plan_begun(),
        approval: approval(purge, known.people),
        live_clean,
        checked: purge.rechecked.filter(|(_, rows)| *rows == 0).map(|(at, _)| at).into_iter().collect(),
        dirty_snapshots: live_clean.map(|clean| {
            let dirty = state.snapshots().filter(|snapshot| snapshot.may_exist() && snapshot.started < clean);
            u64::try_from(dirty.filter(of_cluster).count()).unwrap_or(u64::MAX)
        }),
        archive_gone: closure.reached_at(grant::Stage::ArchiveDestroyed),
        values_gone: erased(closure.values),
        skeleton_gone: erased(closure.skeleton),
        is_frozen: known.is_frozen,
        has_good_snapshot: has_good_snapshot(state, customer, known),
        window_opens: known.window_opens,
        ..Facts::default()
    }
}

/// Whether there is a verified snapshot of its cluster that is young enough; where nobody takes any, none is waited for.
fn has_good_snapshot(state: &State, customer: &Customer, known: &Known<'_>) -> bool {
    let max_age = known.rules.promise().snapshot_max_age;
    let is_its = |backend: &u32| known.clusters.get(backend).is_some_and(|cluster| *cluster == customer.cluster);
    !known.clusters.values().any(|cluster| *cluster == customer.cluster)
        || state.snapshots().any(|snapshot| {
            is_its(&snapshot.backend)
                && snapshot.status == SnapshotStatus::Verified
                && snapshot.started.plus(max_age) > known.now
        })
}

fn stage(stage: grant::Stage) -> Stage {
    match stage {
        grant::Stage::Closed => Stage::Closed,
        grant::Stage::Archived => Stage::Archived,
        grant::Stage::Choice => Stage::Choice,
        grant::Stage::Planned => Stage::Planned,
        grant::Stage::Purging => Stage::Purging,
        grant::Stage::LiveClean => Stage::LiveClean,
        grant::Stage::BackupsClean => Stage::BackupsClean,
        grant::Stage::ArchiveDestroyed => Stage::ArchiveDestroyed,
        grant::Stage::LogsClean => Stage::LogsClean,
    }
}

#[cfg(test)]
#[path = "closed_tests.rs"]
mod tests;
