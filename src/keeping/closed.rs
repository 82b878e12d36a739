//! Closed accounts as the plan sees them: what the register says was decided and confirmed about each.
//! Not here: what only whoever drives a closure knows, such as when the owners were told; it is then not confirmed.

use crate::grant::{self, State};
use crate::retention::closure::{Choice, Closure, Dates, Facts, Hold, Stage};
use crate::retention::plan::Rules;

/// Every account that was closed, with its dates and what is confirmed of it.
pub fn closed(state: &State, rules: &Rules, is_frozen: bool) -> Vec<(Closure, Facts)> {
    let closed = state.customers().filter_map(|customer| {
        let known = customer.closure.as_ref()?;
        let holds = state.holds().filter(|hold| hold.customer == customer.id).map(|hold| Hold {
            placed: hold.placed.0,
            review: hold.review,
            released: hold.released.map(|(at, _)| at),
        });
        let closure = Closure {
            customer: customer.id,
            stage: stage(known.stage()),
            dates: Dates::new(known.at, rules.promise(), rules.solution()),
            choice: known.choice.map(|(choice, _)| match choice {
                grant::Choice::Return => Choice::Return,
                grant::Choice::Deletion => Choice::Delete,
            }),
            remove_now: known.immediate,
            holds: holds.collect(),
        };
        Some((closure, facts(state, known, is_frozen)))
    });
    closed.collect()
}

fn facts(state: &State, closure: &grant::Closure, is_frozen: bool) -> Facts {
    let came_back = closure.purge.rechecked.filter(|(_, rows)| *rows > 0);
    // Rows that came back make it unclean, until they are purged and it is verified again.
    let live_clean = closure.purge.verified.map(|(at, ..)| at);
    let live_clean = live_clean.filter(|clean| came_back.is_none_or(|(at, _)| at <= *clean));
    let erased = |erasure: grant::Erasure| match erasure {
        grant::Erasure::Done { at, .. } => Some(at),
        grant::Erasure::Kept | grant::Erasure::Begun { .. } => None,
    };
    Facts {
        access_off: Some(closure.at),
        archive_verified: closure.reached_at(grant::Stage::Archived),
        owners_told: closure.reached_at(grant::Stage::Choice),
        planned: closure.purge.planned.map(|(_, at)| at),
        live_clean,
        checked: closure.purge.rechecked.filter(|(_, rows)| *rows == 0).map(|(at, _)| at).into_iter().collect(),
        dirty_snapshots: live_clean.map(|clean| {
            let dirty = state.snapshots().filter(|snapshot| snapshot.may_exist() && snapshot.started < clean);
            u64::try_from(dirty.count()).unwrap_or(u64::MAX)
        }),
        archive_gone: closure.reached_at(grant::Stage::ArchiveDestroyed),
        values_gone: erased(closure.values),
        skeleton_gone: erased(closure.skeleton),
        is_frozen,
        ..Facts::default()
    }
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
