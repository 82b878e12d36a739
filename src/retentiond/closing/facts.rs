//! The facts of one closure as they stand: from the register, the stores of snapshots, the folder of archives.
//! Not here: what follows from them (`retention::closure::next`).

use std::collections::BTreeSet;

use super::deed::stage;
use super::kept::Kept;
use super::{Error, Snapshots, World};
use crate::clock::Timestamp;
use crate::grant::{self, By, Choice, Customer, Erasure, Snapshot, SnapshotStatus, State};
use crate::ids::SnapshotId;
use crate::keeping::{approval, people};
use crate::retention::closure::{self, Closure, Dates, Facts};
use crate::retention::plan::Rules;
use crate::snapshots::Found;

/// The dates of a closure, by the promise as it is now: the register keeps no other.
pub(super) fn dates(of: &grant::Closure, rules: &Rules) -> Dates {
    Dates::new(of.at, rules.promise(), rules.solution())
}

/// The closure as the pure core knows it.
pub(super) fn model(state: &State, customer: &Customer, of: &grant::Closure, rules: &Rules) -> Closure {
    let holds = state.holds().filter(|hold| hold.customer == customer.id);
    let hold = |hold: &grant::Hold| closure::Hold {
        placed: hold.placed.0,
        review: hold.review,
        released: hold.released.map(|(at, _)| at),
    };
    Closure {
        customer: customer.id,
        stage: stage(of.stage()),
        dates: dates(of, rules),
        choice: of.choice.map(|(choice, _)| match choice {
            Choice::Return => closure::Choice::Return,
            Choice::Deletion => closure::Choice::Delete,
        }),
        remove_now: of.immediate,
        holds: holds.map(hold).collect(),
    }
}

fn gone(erasure: Erasure) -> Option<Timestamp> {
    match erasure {
        Erasure::Done { at, .. } => Some(at),
        Erasure::Kept | Erasure::Begun { .. } => None,
    }
}

impl World {
    pub(super) fn facts(
        &self,
        state: &State,
        customer: &Customer,
        of: &grant::Closure,
        kept: &Kept,
        now: Timestamp,
    ) -> Result<Facts, Error> {
        let live_clean = of.purge.verified.map(|(at, ..)| at).filter(|_| of.purge.came_back().is_none());
        let archive = state.exports_of(customer.id).filter(|export| export.requested.0 >= of.at);
        let archive = archive.filter(|export| export.requested.1 == By::System).find_map(|export| export.made);
        let archive_verified = archive.map(|(at, ..)| at);
        Ok(Facts {
            // closing ended every grant of staff, and the proxies end their sessions
            access_off: self.shut_since(customer.id, of)?,
            archive_verified,
            // HOLE: no notice is sent yet; the portal shows the choice and its dates from closure on
            owners_told: archive_verified,
            planned: of.purge.planned.map(|(_, at)| at),
            plan: of.purge.planned.map(|(digest, _)| digest),
            begun: of.purge.plan_begun(),
            approval: approval(&of.purge, people(&self.config.retention)),
            live_clean,
            checked: of.purge.rechecked.filter(|(_, rows)| *rows == 0).map(|(at, _)| at).into_iter().collect(),
            dirty_snapshots: live_clean.map_or(Ok(None), |clean| self.dirty(state, customer, clean))?,
            archive_gone: self.archive_gone(state, customer, now)?,
            values_gone: gone(of.values),
            skeleton_gone: gone(of.skeleton),
            application_logs_gone: kept.application_logs.map(Timestamp),
            certified: self.certified(customer.id, of)?,
            is_frozen: self.clocks.is_frozen,
            has_good_snapshot: self.has_good_snapshot(state, customer, now),
            window_opens: self.config.retention.window.opens(now),
        })
    }

    /// Every export is destroyed and no file of one is there. Where one was made, its folder is still there to look at.
    fn archive_gone(&self, state: &State, customer: &Customer, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let (mut last, mut was_made) = (None, false);
        for export in state.exports_of(customer.id) {
            was_made |= export.made.is_some();
            match export.destroyed {
                None => return Ok(None),
                Some(at) => last = last.max(Some(at)),
            }
        }
        let is_empty = self.archives(customer.id, None)?.map_or(!was_made, |left| left.is_empty());
        Ok(is_empty.then_some(last.unwrap_or(now)))
    }

    /// The back-ends that may hold the customer's rows.
    pub(super) fn backends(&self, customer: &Customer) -> impl Iterator<Item = &Snapshots> {
        let all = self.snapshots.iter().flatten();
        all.filter(|snapshots| snapshots.cluster == customer.cluster)
    }

    /// Whether a snapshot of the register's may hold the customer's rows; one of an unknown back-end may.
    pub(super) fn may_hold(&self, customer: &Customer, snapshot: &Snapshot, clean: Timestamp) -> bool {
        let backend = self.snapshots.iter().flatten().find(|snapshots| snapshots.number == snapshot.backend);
        snapshot.started < clean && backend.is_none_or(|backend| backend.cluster == customer.cluster)
    }

    /// Snapshots that began before the purge was through and are not confirmed absent: by the register, and by what
    /// stands in the stores now. None if a store does not answer.
    fn dirty(&self, state: &State, customer: &Customer, clean: Timestamp) -> Result<Option<u64>, Error> {
        if self.snapshots.is_none() {
            return Ok(None);
        }
        let known = state.snapshots().filter(|snapshot| self.may_hold(customer, snapshot, clean));
        let mut dirty: BTreeSet<SnapshotId> = known.filter(|known| known.may_exist()).map(|known| known.id).collect();
        for backend in self.backends(customer) {
            let found = match backend.store.list() {
                Ok(found) => found,
                Err(fault) => {
                    tracing::error!(backend = backend.name, "it is not known which snapshots are there: {fault}");
                    return Ok(None);
                }
            };
            dirty.extend(found.into_iter().filter_map(|found| match found {
                Found::Ours(ours) => Some(ours.header.id()).filter(|_| ours.header.started() < clean),
                Found::Foreign(_) => None,
            }));
        }
        Ok(Some(u64::try_from(dirty.len()).unwrap_or(u64::MAX)))
    }

    /// Whether there is a verified snapshot that is young enough; where nobody takes any, none is waited for.
    fn has_good_snapshot(&self, state: &State, customer: &Customer, now: Timestamp) -> bool {
        let Some(_) = &self.snapshots else { return false };
        let numbers: Vec<u32> = self.backends(customer).map(|backend| backend.number).collect();
        let max_age = self.config.promise.snapshot_max_age;
        numbers.is_empty()
            || state.snapshots().any(|snapshot| {
                numbers.contains(&snapshot.backend)
                    && snapshot.status == SnapshotStatus::Verified
                    && snapshot.started.plus(max_age) > now
            })
    }
}
