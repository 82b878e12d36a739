//! What to do with every object at a moment, and why; the digest by which exactly that is approved.
//! Not here: doing it. Nothing that is not in our own catalog under our own tag is ever among what is deleted.

mod digest;
pub mod large;
mod reason;
mod snapshots;

use std::collections::HashMap;
use std::time::Duration;

pub use digest::{NotAToken, Stale, Token, confirm};
pub use reason::{Action, Reason};

use super::closure::{self, Act, Closure, LEAD, Need, Stage, Why};
use super::inventory::{Archive, Inventory};
use super::promise::Promise;
use super::solve::{Backend, Solution, Unkeepable, solve};
use crate::clock::Timestamp;
use crate::ids::CustomerId;

/// A promise that can be kept, and how.
#[derive(Clone, Debug)]
pub struct Rules {
    promise: Promise,
    solution: Solution,
    backends: Vec<Backend>,
    caps: Caps,
    on_ceiling: OnCeiling,
}

/// How much one plan may do without a second person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// So many snapshots expired ...
    pub expire: u32,
    /// ... or so many of a hundred of our own, whichever is more.
    pub expire_percent: u32,
    /// So many customers purged.
    pub purge: u32,
    /// How old a plan may be when it is applied.
    pub fresh: Duration,
}

impl Default for Caps {
    fn default() -> Self {
        Caps { expire: 3, expire_percent: 10, purge: 3, fresh: Duration::from_secs(900) }
    }
}

/// What becomes of the newest verified snapshot when it is due and nothing newer is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCeiling {
    /// It is held, until a closed customer's last day.
    HoldLastGood,
    /// It is deleted.
    Delete,
}

impl Rules {
    /// The rules under that promise.
    ///
    /// # Errors
    /// [`Unkeepable`], with every reason.
    pub fn new(promise: Promise, backends: &[Backend], caps: Caps, on_ceiling: OnCeiling) -> Result<Rules, Unkeepable> {
        let solution = solve(&promise, backends)?;
        Ok(Rules { promise, solution, backends: backends.to_vec(), caps, on_ceiling })
    }

    /// The promise.
    pub fn promise(&self) -> &Promise {
        &self.promise
    }

    /// What it means.
    pub fn solution(&self) -> &Solution {
        &self.solution
    }

    /// How long that back-end takes, at the most.
    pub(super) fn takes(&self, backend: &str) -> Duration {
        self.backends.iter().find(|known| known.name == backend).map_or(Duration::ZERO, |known| known.takes)
    }

    /// From this age on, and by this age, a snapshot of that back-end is deleted and gone. Of a back-end that is not
    /// configured any more, nothing but the ceiling is known.
    pub(super) fn ages(&self, backend: &str) -> (Duration, Duration) {
        let ceiling = self.promise.snapshot_max_age;
        self.solution.of(backend).map_or((ceiling, ceiling), |solved| (solved.age_min, solved.age_max))
    }
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A snapshot: its back-end and its name.
    Snapshot(String, String),
    /// An archive, by its name.
    Archive(String),
    /// A closed customer.
    Customer(CustomerId),
}

/// What to do with one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub object: Object,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// What it must still be when it is done: compared by whoever deletes.
    pub fingerprint: Fingerprint,
}

/// By which an object is known again: when it was begun, how large it is, the digest of its manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// When it was begun; of a customer, closed.
    pub started: Timestamp,
    /// Its size in bytes, of a snapshot.
    pub bytes: u64,
    /// Of its manifest; of a customer, of what is purged.
    pub manifest: Option<[u8; 32]>,
}

/// Why a plan needs a second person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// It expires so many, more than the cap.
    Expires {
        /// So many.
        count: usize,
        /// The cap.
        cap: usize,
    },
    /// So many accounts are purged within a day, more than the cap; or some are held since they were.
    Purges {
        /// So many.
        count: usize,
        /// The cap.
        cap: usize,
    },
    /// The promise was changed since a plan was last applied, and so many more expire because of it.
    Widened {
        /// So many.
        count: usize,
    },
}

/// What to do with everything at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When it was made.
    pub made: Timestamp,
    /// By which instance.
    pub instance: String,
    /// Every object: snapshots by back-end and age, archives, customers.
    pub rows: Vec<Row>,
    /// Why it needs a second person; empty if it does not.
    pub caps: Vec<Cap>,
}

impl Plan {
    /// Whether the one who made it may not apply it.
    pub fn needs_second_person(&self) -> bool {
        !self.caps.is_empty()
    }

    /// Whether `applies` may apply what `made` planned.
    pub fn may_be_applied<P: PartialEq>(&self, made: &P, applies: &P) -> bool {
        !self.needs_second_person() || made != applies
    }

    /// Rows with that action.
    pub fn with(&self, action: Action) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.action == action)
    }

    /// Rows in which a ceiling and a floor met, or which somebody must be told about: recorded and notified.
    pub fn exceptions(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.reason.is_exception())
    }
}

/// Plans for everything in `inventory` at `now`.
pub fn plan(inventory: &Inventory, rules: &Rules, now: Timestamp) -> Plan {
    let mut rows = snapshots::rows(inventory, rules, now);
    let customers: HashMap<CustomerId, &Closure> =
        inventory.closed.iter().map(|(closure, _)| (closure.customer, closure)).collect();
    rows.extend(inventory.archives.iter().map(|archive| {
        let (action, reason) = archive_row(archive, customers.get(&archive.customer).copied(), inventory, rules, now);
        let fingerprint = Fingerprint { started: archive.started, bytes: 0, manifest: archive.manifest };
        Row { object: Object::Archive(archive.id.clone()), action, reason, fingerprint }
    }));
    rows.extend(inventory.closed.iter().map(|(closure, facts)| {
        let (action, reason) = customer_row(closure, facts, inventory.is_frozen, now);
        let fingerprint = Fingerprint { started: closure.dates.closed, bytes: 0, manifest: facts.plan };
        Row { object: Object::Customer(closure.customer), action, reason, fingerprint }
    }));
    let caps = caps(&rows, inventory, rules, now);
    Plan { made: now, instance: inventory.instance.clone(), rows, caps }
}

/// An account's own backup is under the same ceiling as a snapshot; a closed account's archive stays until its last day.
fn archive_row(
    archive: &Archive,
    closure: Option<&Closure>,
    inventory: &Inventory,
    rules: &Rules,
    now: Timestamp,
) -> (Action, Reason) {
    let closure = closure.filter(|closure| closure.stage != Stage::Active);
    let by = match closure {
        Some(closure) => closure.dates.gone_by,
        None => archive.started.plus(rules.promise.snapshot_max_age),
    };
    let from = Timestamp(by.0.saturating_sub(i64::try_from(LEAD.as_micros()).unwrap_or(0)));
    let at_once = closure.is_some_and(|closure| closure.is_removed_now() && closure.stage >= Stage::LiveClean);
    if closure.is_some_and(Closure::is_held) {
        (Action::Hold, Reason::Held { review: closure.and_then(Closure::review) })
    } else if now < from && !at_once {
        (Action::Keep, Reason::Young { until: from })
    } else if inventory.is_frozen {
        (Action::Hold, Reason::Frozen)
    } else {
        (Action::Expire, Reason::ArchiveDue { by })
    }
}

fn customer_row(closure: &Closure, facts: &closure::Facts, is_frozen: bool, now: Timestamp) -> (Action, Reason) {
    if closure.stage == Stage::Active {
        return (Action::Keep, Reason::Reopened);
    }
    let frozen;
    let facts = if is_frozen && !facts.is_frozen {
        frozen = closure::Facts { is_frozen, ..facts.clone() };
        &frozen
    } else {
        facts
    };
    let step = closure::next(closure, facts, now);
    if step.acts.contains(&Act::Purge) {
        return (
            Action::Purge,
            Reason::PurgeDue { from: closure.dates.purge_from, remove_now: closure.is_removed_now() },
        );
    }
    if facts.live_clean.is_some() {
        return (Action::Keep, Reason::Purged);
    }
    // What is destroyed later has its own wait; here only what stands before the purge counts.
    let before_purge = |need: Need| !matches!(need, Need::ArchiveGone | Need::ValuesGone | Need::SkeletonGone);
    let is_due = now >= closure.dates.purge_from || closure.is_removed_now();
    match step.waits.iter().find(|wait| before_purge(wait.need)) {
        Some(wait) if wait.why == Why::People => {
            let remove_now = closure.is_removed_now();
            (Action::Purge, Reason::PurgeHeld { from: closure.dates.purge_from, remove_now })
        }
        Some(wait) if wait.why == Why::Date => (Action::Keep, Reason::LiveUntil { until: closure.dates.purge_from }),
        Some(wait) => (Action::Hold, Reason::Waits { why: wait.why }),
        None if is_due => (Action::Hold, Reason::Unprepared),
        None => (Action::Keep, Reason::NotReady),
    }
}

/// Deletions that are over a cap. What became due while the daemon did not run, which is on record, is no sign of a
/// mistake, however much it is.
fn caps(rows: &[Row], inventory: &Inventory, rules: &Rules, now: Timestamp) -> Vec<Cap> {
    let mut caps = Vec::new();
    let (mut alive, mut expires, mut in_outage) = (0_usize, 0_usize, 0_usize);
    let is_in_outage = |due: Timestamp| {
        inventory.outage.is_some_and(|outage| outage.from <= due && due <= outage.until && outage.until <= now)
    };
    for row in rows {
        match (&row.object, row.action) {
            (Object::Snapshot(..), Action::Expire) => {
                alive += 1;
                // What is being deleted already was counted when that began.
                expires += usize::from(!matches!(row.reason, Reason::Unfinished));
                in_outage += usize::from(row.reason.due().is_some_and(is_in_outage));
            }
            (Object::Snapshot(..), Action::Keep | Action::Hold) => alive += 1,
            _ => {}
        }
    }
    let share = alive.saturating_mul(rules.caps.expire_percent as usize) / 100;
    let cap = share.max(rules.caps.expire as usize);
    if expires > cap && in_outage < expires {
        caps.push(Cap::Expires { count: expires, cap });
    }
    let cap = rules.caps.purge as usize;
    let closed = inventory.closed.iter().map(|(closure, facts)| (closure, facts));
    if let Some(over) = closure::above(closed, cap, now).filter(|_| !inventory.is_frozen) {
        caps.push(Cap::Purges { count: over.count, cap });
    }
    if let Some(count) = widened(rows, inventory, rules, now).filter(|count| *count > 0) {
        caps.push(Cap::Widened { count });
    }
    caps
}

/// How many snapshots expire that would not under the promise last applied.
fn widened(rows: &[Row], inventory: &Inventory, rules: &Rules, now: Timestamp) -> Option<usize> {
    let applied = inventory.applied.as_ref().filter(|applied| **applied != rules.promise)?;
    let all = || rows.iter().filter(|row| row.action == Action::Expire).count();
    let Ok(before) = Rules::new(applied.clone(), &rules.backends, rules.caps, rules.on_ceiling) else {
        return Some(all());
    };
    let kept = snapshots::rows(inventory, &before, now);
    let expired = |(now, before): &(&Row, &Row)| now.action == Action::Expire && before.action != Action::Expire;
    Some(rows.iter().zip(&kept).filter(expired).count())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
