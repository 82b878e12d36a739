//! What is late, whatever any job says of itself: a function of what there is and of now.
//! Not here: who is told. An alarm grows with the share of the time that was there for the work: half, four fifths, all.
//! Ages count from the earliest witness here, so that a wrong clock is loud and not late.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use super::closure::{Closure, Facts, LEAD, Stage};
use super::inventory::{Inventory, Listing, Origin, Snapshot, State};
use super::plan::{Object, Rules};
use crate::clock::Timestamp;
use crate::ids::CustomerId;

/// How late something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Half of the time for it is over.
    Half,
    /// Four fifths are.
    Most,
    /// The promise is broken.
    Over,
}

/// What is late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Something should be gone.
    Gone(Object),
    /// The audit log's values of this customer should be.
    Values(Object),
    /// Its skeleton should be.
    Skeleton(Object),
    /// Its live rows should be.
    Rows(Object),
    /// Snapshots that held its rows should be.
    Backups(Object),
    /// A hold was not reviewed.
    Review(Object),
    /// No verified snapshot of this back-end is young enough.
    NoGoodSnapshot(String),
    /// The store of this back-end cannot be listed.
    StoreSilent(String),
    /// Nothing is deleted, because the clocks disagree.
    Frozen,
}

/// Something that is late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What.
    pub what: What,
    /// How much.
    pub level: Level,
    /// When the promise is broken, or was.
    pub deadline: Timestamp,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Half => "half of its time is over",
            Level::Most => "four fifths of its time are over",
            Level::Over => "overdue",
        })
    }
}

/// Everything that is late at `now`. `frozen_for`: how long deletions have been frozen.
pub fn alarms(inventory: &Inventory, rules: &Rules, frozen_for: Option<Duration>, now: Timestamp) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut raise = |what: What, from: Timestamp, deadline: Timestamp| {
        if let Some(level) = level(from, deadline, now) {
            alarms.push(Alarm { what, level, deadline });
        }
    };
    for snapshot in &inventory.snapshots {
        if let Some((from, deadline)) = snapshot_times(snapshot, rules) {
            raise(What::Gone(Object::Snapshot(snapshot.backend.clone(), snapshot.id.clone())), from, deadline);
        }
    }
    let closed: HashSet<CustomerId> = inventory
        .closed
        .iter()
        .filter(|(closure, _)| closure.stage != Stage::Active)
        .map(|(closure, _)| closure.customer)
        .collect();
    // A closed account's archive is late with the account.
    for archive in inventory.archives.iter().filter(|archive| !closed.contains(&archive.customer)) {
        let deadline = archive.started.plus(rules.promise().snapshot_max_age);
        raise(What::Gone(Object::Archive(archive.id.clone())), before(deadline, LEAD), deadline);
    }
    for (closure, facts) in &inventory.closed {
        closure_times(closure, facts, rules, &mut raise);
    }
    for backend in rules.solution().backends.iter().map(|solved| &solved.backend) {
        let (from, deadline) = good_snapshot_times(inventory, rules, backend);
        raise(What::NoGoodSnapshot(backend.clone()), from, deadline);
        if inventory.stores.get(backend) != Some(&Listing::Whole) {
            raise(What::StoreSilent(backend.clone()), before(now, LEAD), now);
        }
    }
    if let Some(frozen) = frozen_for.filter(|_| inventory.is_frozen) {
        let from = before(now, frozen);
        raise(What::Frozen, from, from.plus(LEAD));
    }
    alarms
}

/// From when it may be deleted until when it must be gone; nothing of a foreign one is promised.
fn snapshot_times(snapshot: &Snapshot, rules: &Rules) -> Option<(Timestamp, Timestamp)> {
    let (age_min, age_max) = rules.ages(&snapshot.backend);
    let begun = snapshot.earliest();
    (snapshot.origin != Origin::Foreign).then(|| (begun.plus(age_min), begun.plus(age_max)))
}

/// From the newest good snapshot, one period and the time to take it may pass without the next, and once more.
fn good_snapshot_times(inventory: &Inventory, rules: &Rules, backend: &str) -> (Timestamp, Timestamp) {
    let good = inventory.snapshots.iter().filter(|snapshot| {
        snapshot.backend == backend && snapshot.state == State::Verified && snapshot.origin != Origin::Foreign
    });
    let newest = good.map(Snapshot::earliest).max().unwrap_or_default();
    let period = rules.promise().snapshot_every + rules.takes(backend);
    (newest, newest.plus(2 * period))
}

fn closure_times(closure: &Closure, facts: &Facts, rules: &Rules, raise: &mut impl FnMut(What, Timestamp, Timestamp)) {
    if closure.stage == Stage::Active {
        return;
    }
    let dates = &closure.dates;
    let customer = || Object::Customer(closure.customer);
    if facts.live_clean.is_none() {
        raise(What::Rows(customer()), dates.purge_from, dates.purge_latest);
    }
    if facts.live_clean.is_none() || facts.dirty_snapshots != Some(0) {
        let from = facts.live_clean.unwrap_or(dates.purge_latest).plus(rules.promise().snapshot_max_age);
        raise(What::Backups(customer()), from.min(dates.gone_by), dates.gone_by);
    }
    if let Some(review) = closure.review() {
        raise(What::Review(customer()), before(review, Duration::from_secs(7 * 86_400)), review);
        return;
    }
    if facts.archive_verified.is_some() && facts.archive_gone.is_none() {
        raise(What::Gone(customer()), before(dates.gone_by, LEAD), dates.gone_by);
    }
    if facts.values_gone.is_none() {
        raise(What::Values(customer()), before(dates.gone_by, LEAD), dates.gone_by);
    }
    if facts.skeleton_gone.is_none() {
        raise(What::Skeleton(customer()), before(dates.skeleton_by, LEAD), dates.skeleton_by);
    }
}

/// How much of the time from `from` to `deadline` is over.
fn level(from: Timestamp, deadline: Timestamp, now: Timestamp) -> Option<Level> {
    let (spent, whole) = (now.since(from), deadline.since(from));
    if now >= deadline {
        Some(Level::Over)
    } else if spent.as_micros() * 5 >= whole.as_micros() * 4 {
        Some(Level::Most)
    } else if spent.as_micros() * 2 >= whole.as_micros() {
        Some(Level::Half)
    } else {
        None
    }
}

fn before(at: Timestamp, span: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
#[path = "overdue_tests.rs"]
mod tests;
