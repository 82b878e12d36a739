//! One list from two sources: what the register's catalog says there is, and what the stores show.
//! Not here: what becomes of it (`retention/plan.rs`). What only one of the two knows is said to be so.

use std::collections::{BTreeMap, HashMap};

use super::closed::{Known, closed};
use super::shelf::{Shelf, Shelved};
use crate::clock::Timestamp;
use crate::grant::{People, Snapshot, SnapshotStatus, State};
use crate::ids::SnapshotId;
use crate::retention::inventory::{self, Inventory, Listing, Origin, Outage};
use crate::retention::plan::Rules;
use crate::retention::promise::Promise;
use crate::snapshots::{self, Found, Ours};

/// What a plan needs besides snapshots.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose snapshots are ours.
    pub instance: String,
    /// The clocks disagree.
    pub is_frozen: bool,
    /// When purges may run next.
    pub window_opens: Option<Timestamp>,
    /// How many must approve a purge above the cap.
    pub people: People,
    /// The moment.
    pub now: Timestamp,
    /// When the daemon last did not run.
    pub outage: Option<Outage>,
    /// The promise last applied.
    pub applied: Option<Promise>,
}

/// Everything there is. Stores were listed before the state was read: what was deleted in between is not reported lost.
pub fn inventory(
    state: &State,
    shelves: &[Shelf],
    shelved: &[Shelved],
    rules: &Rules,
    standing: Standing,
) -> Inventory {
    let names: HashMap<u32, &str> = shelves.iter().map(|shelf| (shelf.number, shelf.name.as_str())).collect();
    let mut ours: HashMap<SnapshotId, &Ours> = HashMap::new();
    let mut snapshots = Vec::new();
    for Shelved { name, found, .. } in shelved {
        for found in found {
            match found {
                Found::Ours(found) if in_catalog(state, &names, found, name) => {
                    ours.insert(found.header.id(), found);
                }
                Found::Ours(found) => snapshots.push(unknown(name, found)),
                Found::Foreign(found) => snapshots.push(foreign(name, found)),
            }
        }
    }
    let known = state.snapshots().filter(|snapshot| snapshot.may_exist());
    snapshots.extend(known.map(|snapshot| {
        let backend = names.get(&snapshot.backend).map_or_else(|| unnamed(snapshot.backend), |name| (*name).to_owned());
        merged(backend, snapshot, ours.get(&snapshot.id).copied())
    }));
    // So that a plan has one digest, however the directory lists its files.
    snapshots.sort_by(|a, b| (&a.backend, a.sequence, &a.id).cmp(&(&b.backend, b.sequence, &b.id)));
    let stores: BTreeMap<String, Listing> =
        shelved.iter().map(|shelved| (shelved.name.clone(), shelved.listing.clone())).collect();
    let Standing { instance, is_frozen, window_opens, people, now, outage, applied } = standing;
    let clusters = shelves.iter().map(|shelf| (shelf.number, shelf.snapshots.cluster.as_str())).collect();
    let closed = closed(state, &Known { rules, clusters, window_opens, people, is_frozen, now });
    Inventory { instance, stores, snapshots, archives: Vec::new(), closed, is_frozen, outage, applied }
}

/// Whether the catalog has it, in that store.
fn in_catalog(state: &State, names: &HashMap<u32, &str>, found: &Ours, store: &str) -> bool {
    state.snapshot(found.header.id()).is_some_and(|known| names.get(&known.backend) == Some(&store))
}

/// The name of a back-end that is not configured any more.
fn unnamed(number: u32) -> String {
    format!("#{number:08x}")
}

fn merged(backend: String, known: &Snapshot, found: Option<&Ours>) -> inventory::Snapshot {
    let state = match (known.status, found.map(|found| &found.state)) {
        (SnapshotStatus::Expiring { .. } | SnapshotStatus::Deleted { .. }, _) => inventory::State::Deleting,
        (SnapshotStatus::Begun, _) => inventory::State::Running,
        (SnapshotStatus::Failed, _) => inventory::State::Failed,
        (SnapshotStatus::Verified | SnapshotStatus::Adopted, Some(snapshots::State::Complete(_)) | None) => {
            inventory::State::Verified
        }
        // It was whole once: what is there now is not what was verified.
        (SnapshotStatus::Verified | SnapshotStatus::Adopted, Some(_)) => inventory::State::Failed,
    };
    let is_adopted = known.status == SnapshotStatus::Adopted
        || found.is_some_and(|found| found.header.origin == snapshots::Origin::Adopted);
    inventory::Snapshot {
        id: known.id.to_string(),
        backend,
        sequence: known.sequence.0,
        started: known.started,
        store_started: found.map(|found| found.header.started()),
        state,
        origin: if is_adopted { Origin::Adopted } else { Origin::Own },
        is_listed: found.is_some(),
        locked_until: None,
        bytes: found.map_or(known.bytes.unwrap_or(0), |found| found.bytes),
        manifest: found.and_then(|found| match &found.state {
            snapshots::State::Complete(foot) => Some(foot.content),
            snapshots::State::Running | snapshots::State::Failed | snapshots::State::Damaged(_) => None,
        }),
    }
}

/// It has our tag, and the catalog does not know it: an older register, or another store's. Not ours to delete.
fn unknown(backend: &str, found: &Ours) -> inventory::Snapshot {
    inventory::Snapshot {
        id: found.header.id().to_string(),
        started: found.header.started(),
        store_started: Some(found.header.started()),
        bytes: found.bytes,
        ..nobodys(backend)
    }
}

fn foreign(backend: &str, found: &snapshots::Foreign) -> inventory::Snapshot {
    // Without any date it is as old as can be: somebody must look.
    let started = found.claims_started.or(found.modified).unwrap_or_default();
    inventory::Snapshot {
        id: found.name.clone(),
        started,
        store_started: found.modified,
        bytes: found.bytes.unwrap_or(0),
        ..nobodys(backend)
    }
}

fn nobodys(backend: &str) -> inventory::Snapshot {
    inventory::Snapshot {
        id: String::new(),
        backend: backend.to_owned(),
        sequence: 0,
        started: Timestamp::default(),
        store_started: None,
        state: inventory::State::Complete,
        origin: Origin::Foreign,
        is_listed: true,
        locked_until: None,
        bytes: 0,
        manifest: None,
    }
}
