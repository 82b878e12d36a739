//! How the keys of each part of a customer's records stand: due, gone, or kept and why, by the plan that the daemon goes by.
//! Not here: the dates (`retention/closure`), the destroying (`destroy.rs`).

use crate::cli::retention::stock::{failure, stock};
use crate::cli::{Context, Failure};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::grant::{Customer, Erasure, RecordPart};
use crate::register::Register;
use crate::retention::closure::{Act, Need, Why, next};
use crate::retention::inventory::Inventory;

/// How the keys of one part stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// They may be destroyed; or that was begun, and is not done.
    Due,
    /// They are gone since.
    Gone(Timestamp),
    /// They are kept, because.
    Kept(String),
}

/// How each part stands, by the same plan that the daemon goes by.
pub(super) async fn standings(
    context: &Context,
    register: &Register,
    customer: &Customer,
    only: Option<RecordPart>,
) -> Result<Vec<(RecordPart, Standing)>, Failure> {
    let stock = stock(context, register.clone())?;
    let now = SystemClock.now();
    // The clock may have been set since the daemon looked at it, or without a daemon.
    let is_frozen = stock.notes.guard().is_some_and(|guard| guard.is_frozen() || guard.is_behind(now));
    let inventory = stock.inventory(is_frozen, now).await.map_err(failure)?;
    let parts = RecordPart::ALL.iter().copied().filter(|part| only.is_none_or(|only| *part == only));
    Ok(parts.map(|part| (part, standing(&inventory, customer, part, now))).collect())
}

pub(super) fn standing(inventory: &Inventory, customer: &Customer, part: RecordPart, now: Timestamp) -> Standing {
    let erasure = customer.closure.as_ref().map(|closure| closure.erasure(part));
    if let Some(Erasure::Done { at, .. }) = erasure {
        return Standing::Gone(at);
    }
    let Some((closure, facts)) = inventory.closed.iter().find(|(closure, _)| closure.customer == customer.id) else {
        return Standing::Kept("the account is open: they are kept as long as it is".to_owned());
    };
    let (act, need) = match part {
        RecordPart::Values => (Act::DestroyValues, Need::ValuesGone),
        RecordPart::Skeleton => (Act::DestroySkeleton, Need::SkeletonGone),
    };
    let step = next(closure, facts, now);
    let wait = step.waits.iter().find(|wait| wait.need == need);
    match wait {
        // Its day had come when it was begun, whatever the promise says by now; unless it is the clock that says so.
        Some(wait) if wait.why == Why::Date && matches!(erasure, Some(Erasure::Begun { .. })) => {
            if inventory.is_frozen { Standing::Kept(Why::Frozen.to_string()) } else { Standing::Due }
        }
        Some(wait) => {
            let until = wait.until.map_or_else(String::new, |until| match wait.why {
                Why::Held => format!("; the hold is reviewed at {until}"),
                _ => format!("; it comes at {until}"),
            });
            Standing::Kept(format!("{}{until}", wait.why))
        }
        None if step.acts.contains(&act) => Standing::Due,
        None => Standing::Kept("it is not known when they may go: a bug".to_owned()),
    }
}

/// Why which are kept; empty if none is.
pub(super) fn refusal(name: &str, stands: &[(RecordPart, Standing)]) -> String {
    let kept = stands.iter().filter_map(|(part, stands)| match stands {
        Standing::Kept(why) => Some(format!("the keys of the {part} of \"{name}\" are kept: {why}")),
        Standing::Due | Standing::Gone(_) => None,
    });
    kept.collect::<Vec<_>>().join("; ")
}
