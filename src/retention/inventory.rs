//! What there is at a moment: snapshots, archives, closed accounts, and how the stores answered.
//! Not here: where it was read from. What could not be read is said to be so, never left out.

use std::collections::BTreeMap;

use super::closure::{Closure, Facts};
use super::promise::Promise;
use crate::clock::Timestamp;
use crate::ids::CustomerId;

/// Everything a plan is made from.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Whose snapshots are ours: the daemon's name.
    pub instance: String,
    /// How each back-end's store answered when it was listed, by the back-end's name.
    pub stores: BTreeMap<String, Listing>,
    /// Every snapshot in a catalog or a store that is not confirmed absent.
    pub snapshots: Vec<Snapshot>,
    /// Every archive that is not confirmed absent.
    pub archives: Vec<Archive>,
    /// Every account that was closed, with what was confirmed of it.
    pub closed: Vec<(Closure, Facts)>,
    /// The clocks disagree: nothing is deleted.
    pub is_frozen: bool,
    /// The last time for which it is on record that the daemon did not run.
    pub outage: Option<Outage>,
    /// The promise under which a plan was last applied.
    pub applied: Option<Promise>,
}

/// How a store answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It was listed to its end.
    Whole,
    /// It was not: what is missing in the list may be there.
    Failed(String),
}

/// A time in which the daemon did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// From ...
    pub from: Timestamp,
    /// ... until.
    pub until: Timestamp,
}

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name in the store.
    pub id: String,
    /// Which back-end made it.
    pub backend: String,
    /// Its place in the catalog: what was begun later has a higher one.
    pub sequence: u64,
    /// When it was begun, as the catalog says.
    pub started: Timestamp,
    /// When it was begun, as the store says, if it does.
    pub store_started: Option<Timestamp>,
    /// How far it is.
    pub state: State,
    /// Whose it is.
    pub origin: Origin,
    /// Whether the store's list has it.
    pub is_listed: bool,
    /// Until when the store itself refuses to delete it.
    pub locked_until: Option<Timestamp>,
    /// How large it is, in bytes.
    pub bytes: u64,
    /// SHA-256 of its manifest, once there is one. Only what still has this digest is deleted.
    pub manifest: Option<[u8; 32]>,
}

/// How far a snapshot is. Only a verified one is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is being taken.
    Running,
    /// It was given up.
    Failed,
    /// It is whole, and nobody has checked.
    Complete,
    /// It is whole and was read back against its manifest.
    Verified,
    /// Its deletion is on record and not confirmed.
    Deleting,
}

/// Whose a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This instance made it.
    Own,
    /// It was taken in by a person, who said when it was begun.
    Adopted,
    /// It has no tag, or another instance's.
    Foreign,
}

/// An export of one customer's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its name.
    pub id: String,
    /// Whose rows.
    pub customer: CustomerId,
    /// When it was begun.
    pub started: Timestamp,
    /// SHA-256 of its manifest.
    pub manifest: Option<[u8; 32]>,
}

impl Snapshot {
    /// When it was begun, by the earliest witness: alarms count from here.
    pub fn earliest(&self) -> Timestamp {
        self.store_started.map_or(self.started, |store| store.min(self.started))
    }

    /// When it was begun, by the latest witness: deletion counts from here, so that a wrong clock never deletes early.
    pub fn latest(&self) -> Timestamp {
        self.store_started.map_or(self.started, |store| store.max(self.started))
    }
}
