//! What becomes of each snapshot.
//! Not here: caps, which look at all of them together. Every back-end is judged by itself: the newest good one of one
//! says nothing about another's.

use std::collections::HashMap;
use std::time::Duration;

use super::{Action, Fingerprint, Object, OnCeiling, Reason, Row, Rules};
use crate::clock::Timestamp;
use crate::retention::closure::Stage;
use crate::retention::inventory::{Inventory, Listing, Origin, Snapshot, State};

/// How far two clocks may be apart.
const TOLERANCE: Duration = Duration::from_secs(120);

/// A row for each snapshot, in the order of the inventory.
pub(super) fn rows(inventory: &Inventory, rules: &Rules, now: Timestamp) -> Vec<Row> {
    let seen = Seen::new(inventory, rules, now);
    let snapshots = inventory.snapshots.iter().enumerate();
    let rows = snapshots.map(|(at, snapshot)| {
        let (action, reason) = seen.decide(at, snapshot);
        let fingerprint = Fingerprint { started: snapshot.started, bytes: snapshot.bytes, manifest: snapshot.manifest };
        let object = Object::Snapshot(snapshot.backend.clone(), snapshot.id.clone());
        Row { object, action, reason, fingerprint }
    });
    rows.collect()
}

/// What can only be seen by looking at all snapshots.
struct Seen<'a> {
    inventory: &'a Inventory,
    rules: &'a Rules,
    now: Timestamp,
    /// Which is the newest good one of its back-end.
    newest_good: HashMap<&'a str, usize>,
    /// When each was begun, at the latest: not before what precedes it in the catalog. None if the order disagrees.
    begun: Vec<Option<Timestamp>>,
    /// What was begun before this holds rows of a closed customer whose last day is there.
    dirty_before: Option<Timestamp>,
}

impl<'a> Seen<'a> {
    fn new(inventory: &'a Inventory, rules: &'a Rules, now: Timestamp) -> Self {
        let mut order: Vec<usize> = (0..inventory.snapshots.len()).collect();
        let key = |at: &usize| inventory.snapshots.get(*at).map(|snapshot| (&*snapshot.backend, snapshot.sequence));
        order.sort_by(|a, b| key(a).cmp(&key(b)));
        let mut seen = Seen {
            inventory,
            rules,
            now,
            newest_good: HashMap::new(),
            begun: vec![None; inventory.snapshots.len()],
            dirty_before: dirty_before(inventory, rules, now),
        };
        let mut before: Option<(&str, usize, Timestamp)> = None;
        for at in order {
            let Some(snapshot) = inventory.snapshots.get(at) else { continue };
            let latest = snapshot.latest();
            let earlier = before.filter(|(backend, ..)| *backend == snapshot.backend);
            let begun = match earlier {
                // An adopted one stands in the catalog where it was taken in, not where it was begun.
                _ if snapshot.origin != Origin::Own => Some(latest),
                // Which of the two is wrong nobody can say from here.
                Some((_, other, begun)) if begun > latest.plus(TOLERANCE) => {
                    seen.note(other, None);
                    None
                }
                Some((_, _, begun)) => Some(begun.max(latest)),
                None => Some(latest),
            };
            seen.note(at, begun);
            if snapshot.origin == Origin::Own {
                before = Some((&snapshot.backend, at, begun.unwrap_or(latest)));
            }
        }
        for (at, snapshot) in inventory.snapshots.iter().enumerate() {
            seen.note_good(at, snapshot);
        }
        seen
    }

    fn note(&mut self, at: usize, begun: Option<Timestamp>) {
        if let Some(slot) = self.begun.get_mut(at) {
            *slot = begun;
        }
    }

    /// Only what is whole, read back, ours and there counts as good; what claims to come from the future does not.
    fn note_good(&mut self, at: usize, snapshot: &'a Snapshot) {
        let begun = self.begun.get(at).copied().flatten();
        let is_good = snapshot.state == State::Verified
            && snapshot.origin != Origin::Foreign
            && snapshot.is_listed
            && begun.is_some_and(|begun| begun <= self.now.plus(TOLERANCE));
        // Of two begun at the same moment the later one in the catalog, whatever order they are told in.
        let age = |at: usize| {
            let sequence = self.inventory.snapshots.get(at).map(|snapshot| snapshot.sequence);
            (self.begun.get(at).copied().flatten(), sequence)
        };
        let newest = self.newest_good.get(&*snapshot.backend);
        if is_good && newest.is_none_or(|newest| age(*newest) <= age(at)) {
            self.newest_good.insert(&snapshot.backend, at);
        }
    }

    fn decide(&self, at: usize, snapshot: &Snapshot) -> (Action, Reason) {
        let (age_min, age_max) = self.rules.ages(&snapshot.backend);
        let ceiling = snapshot.earliest().plus(age_max);
        if snapshot.origin == Origin::Foreign {
            return if self.now < ceiling {
                (Action::Keep, Reason::Foreign)
            } else {
                (Action::Report, Reason::ForeignTooOld { since: ceiling })
            };
        }
        if self.inventory.stores.get(&snapshot.backend) != Some(&Listing::Whole) {
            return (Action::Hold, Reason::StoreSilent);
        }
        if !snapshot.is_listed && !matches!(snapshot.state, State::Running | State::Deleting) {
            return (Action::Report, Reason::Vanished);
        }
        if self.inventory.is_frozen && snapshot.state == State::Deleting {
            return (Action::Hold, Reason::Frozen);
        }
        if snapshot.state == State::Deleting {
            return (Action::Expire, Reason::Unfinished);
        }
        let Some(begun) = self.begun.get(at).copied().flatten() else {
            return (Action::Hold, Reason::OrderDisagrees);
        };
        if begun > self.now.plus(TOLERANCE) {
            return (Action::Hold, Reason::Future { started: begun });
        }
        let due = begun.plus(age_min);
        match snapshot.state {
            State::Running if self.now < due => (Action::Keep, Reason::Running { until: due }),
            _ if self.now < due => (Action::Keep, Reason::Young { until: due }),
            _ => self.due(at, snapshot, due),
        }
    }

    /// Its time has come.
    fn due(&self, at: usize, snapshot: &Snapshot, due: Timestamp) -> (Action, Reason) {
        let is_last_good = self.newest_good.get(&*snapshot.backend) == Some(&at);
        let is_dirty = self.dirty_before.is_some_and(|before| snapshot.earliest() <= before);
        if self.inventory.is_frozen {
            (Action::Hold, Reason::Frozen)
        } else if self.rules.solution.of(&snapshot.backend).is_none() {
            (Action::Hold, Reason::UnknownBackend)
        } else if let Some(until) = snapshot.locked_until.filter(|until| *until > self.now) {
            (Action::Hold, Reason::Locked { until })
        } else if is_last_good && is_dirty {
            (Action::Expire, Reason::LastDay { due })
        } else if is_last_good && self.rules.on_ceiling == OnCeiling::HoldLastGood {
            (Action::Hold, Reason::LastGoodHeld { due })
        } else if is_last_good {
            (Action::Expire, Reason::LastGoodDeleted { due })
        } else if snapshot.state == State::Running {
            (Action::Expire, Reason::NeverEnded { due })
        } else {
            (Action::Expire, Reason::Due { due })
        }
    }
}

/// The latest purge of a closed customer whose last day is so near that a snapshot must be deleted now to be gone by
/// then; of one that is not purged, later than any snapshot. A hold on a customer changes nothing about snapshots.
fn dirty_before(inventory: &Inventory, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
    let lag = rules.backends.iter().map(|backend| backend.expiry_lag + backend.store_keeps).max().unwrap_or_default();
    let on_last_day = inventory
        .closed
        .iter()
        .filter(|(closure, _)| closure.stage != Stage::Active && now.plus(lag) >= closure.dates.gone_by);
    on_last_day.map(|(_, facts)| facts.live_clean.unwrap_or(Timestamp::NEVER)).max()
}
