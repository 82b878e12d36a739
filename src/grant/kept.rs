//! What is kept of customers' data beside the live rows: snapshots, exports, and holds on their deletion.
//! Not here: making or deleting any of it (`snapshots/`, `purge/`), and when that is due (`retention/`).

use super::consent::By;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, ExportId, HoldId, Sequence, SnapshotId};

/// A step in the life of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum SnapshotStep {
    /// It is about to be taken by that back-end; what it holds was there at `started`.
    Begun { backend: u32, started: Timestamp },
    /// It is whole, so many bytes.
    Verified { bytes: u64 },
    /// It failed. Whatever of it exists must still be deleted.
    Failed,
    /// One that others took is ours from now on.
    Adopted { backend: u32, started: Timestamp, bytes: u64 },
    /// It is about to be deleted.
    Expiring,
    /// It is gone: its absence was confirmed then.
    Deleted { confirmed: Timestamp },
}

impl SnapshotStep {
    /// The verb, as records and people name it.
    pub fn verb(self) -> &'static str {
        match self {
            SnapshotStep::Begun { .. } => "snapshot.begun",
            SnapshotStep::Verified { .. } => "snapshot.verified",
            SnapshotStep::Failed => "snapshot.failed",
            SnapshotStep::Adopted { .. } => "snapshot.adopted",
            SnapshotStep::Expiring => "snapshot.expiring",
            SnapshotStep::Deleted { .. } => "snapshot.deleted",
        }
    }
}

/// How it stands with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum SnapshotStatus {
    /// It is being taken, or whoever took it died.
    Begun,
    /// It is whole.
    Verified,
    /// It failed.
    Failed,
    /// Others took it.
    Adopted,
    /// It is being deleted since then.
    Expiring { since: Timestamp },
    /// It is gone; when its absence was confirmed.
    Deleted { confirmed: Timestamp },
}

impl SnapshotStatus {
    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            SnapshotStatus::Begun => "begun",
            SnapshotStatus::Verified => "verified",
            SnapshotStatus::Failed => "failed",
            SnapshotStatus::Adopted => "adopted",
            SnapshotStatus::Expiring { .. } => "expiring",
            SnapshotStatus::Deleted { .. } => "deleted",
        }
    }
}

/// Why a step of a snapshot does not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum SnapshotRule {
    /// No such snapshot.
    #[error("there is no snapshot {0} in the catalog")]
    None(SnapshotId),
    /// An id that is taken.
    #[error("snapshot {0} is in the catalog already")]
    Taken(SnapshotId),
    /// A step that does not follow.
    #[error("{verb} does not follow: snapshot {snapshot} is {status}")]
    OutOfOrder { snapshot: SnapshotId, verb: &'static str, status: &'static str },
    /// A moment that is still to come.
    #[error("{0} is still to come: check the clock of this machine")]
    NotYet(Timestamp),
}

/// A snapshot in our own catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The event that put it into the catalog: what was begun later has a higher one.
    pub sequence: Sequence,
    /// The number of the back-end that holds it.
    pub backend: u32,
    /// What it holds was there at that moment; its age counts from here.
    pub started: Timestamp,
    /// Its size, once it is known.
    pub bytes: Option<u64>,
    /// How it stands.
    pub status: SnapshotStatus,
}

impl Snapshot {
    /// Whether it may still exist.
    pub fn may_exist(&self) -> bool {
        match self.status {
            SnapshotStatus::Deleted { .. } => false,
            SnapshotStatus::Begun
            | SnapshotStatus::Verified
            | SnapshotStatus::Failed
            | SnapshotStatus::Adopted
            | SnapshotStatus::Expiring { .. } => true,
        }
    }
}

/// Whether that step of `snapshot` may follow what is known of it.
pub(super) fn check(
    snapshot: SnapshotId,
    known: Option<&Snapshot>,
    step: SnapshotStep,
    at: Timestamp,
) -> Result<(), SnapshotRule> {
    let status = known.map(|known| known.status);
    let out_of_order =
        |status: SnapshotStatus| Err(SnapshotRule::OutOfOrder { snapshot, verb: step.verb(), status: status.word() });
    match (step, status) {
        // Where the wall clock is behind, the daemon begins one by what the two other clocks agree on.
        (SnapshotStep::Begun { .. }, None) => Ok(()),
        (SnapshotStep::Adopted { started, .. }, None) => not_yet(started, at),
        (SnapshotStep::Begun { .. } | SnapshotStep::Adopted { .. }, Some(_)) => Err(SnapshotRule::Taken(snapshot)),
        (_, None) => Err(SnapshotRule::None(snapshot)),
        (SnapshotStep::Verified { .. } | SnapshotStep::Failed, Some(SnapshotStatus::Begun)) => Ok(()),
        (SnapshotStep::Verified { .. } | SnapshotStep::Failed, Some(status)) => out_of_order(status),
        (
            SnapshotStep::Expiring,
            Some(SnapshotStatus::Begun | SnapshotStatus::Verified | SnapshotStatus::Failed | SnapshotStatus::Adopted),
        ) => Ok(()),
        (SnapshotStep::Expiring, Some(status)) => out_of_order(status),
        (SnapshotStep::Deleted { confirmed }, Some(SnapshotStatus::Expiring { .. })) => not_yet(confirmed, at),
        (SnapshotStep::Deleted { .. }, Some(status)) => out_of_order(status),
    }
}

/// What is known of it after a step that was checked.
pub(super) fn after(
    snapshot: SnapshotId,
    known: Option<&Snapshot>,
    step: SnapshotStep,
    (at, sequence): (Timestamp, Sequence),
) -> Option<Snapshot> {
    let changed = |status, bytes: Option<u64>| {
        let bytes = bytes.or(known?.bytes);
        known.map(|known| Snapshot { status, bytes, ..known.clone() })
    };
    match step {
        SnapshotStep::Begun { backend, started } => {
            let status = SnapshotStatus::Begun;
            Some(Snapshot { id: snapshot, sequence, backend, started, bytes: None, status })
        }
        SnapshotStep::Adopted { backend, started, bytes } => {
            let status = SnapshotStatus::Adopted;
            Some(Snapshot { id: snapshot, sequence, backend, started, bytes: Some(bytes), status })
        }
        SnapshotStep::Verified { bytes } => changed(SnapshotStatus::Verified, Some(bytes)),
        SnapshotStep::Failed => changed(SnapshotStatus::Failed, None),
        SnapshotStep::Expiring => changed(SnapshotStatus::Expiring { since: at }, None),
        SnapshotStep::Deleted { confirmed } => changed(SnapshotStatus::Deleted { confirmed }, None),
    }
}

fn not_yet(moment: Timestamp, at: Timestamp) -> Result<(), SnapshotRule> {
    if moment > at { Err(SnapshotRule::NotYet(moment)) } else { Ok(()) }
}

/// A hold: until it is released, one customer's exports and audit records are not destroyed.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// The sequence of the event that placed it.
    pub id: HoldId,
    /// On whose data.
    pub customer: CustomerId,
    /// When it was placed, and by whom.
    pub placed: (Timestamp, By),
    /// When somebody must look again whether it is still needed. It does not end by itself.
    pub review: Timestamp,
    /// Who demands it, or `erased`.
    pub authority: String,
    /// Why, or `erased`.
    pub reason: String,
    /// When it was released, by whom.
    pub released: Option<(Timestamp, By)>,
}

/// One export of one customer's data.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The sequence of the event that asked for it.
    pub id: ExportId,
    /// Whose data.
    pub customer: CustomerId,
    /// When it was asked for, and by whom.
    pub requested: (Timestamp, By),
    /// When it was made, its size and digest.
    pub made: Option<(Timestamp, u64, [u8; 32])>,
    /// When it was destroyed.
    pub destroyed: Option<Timestamp>,
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
