//! What an earlier daemon left in the middle: a snapshot that was begun and has no outcome, one that failed and left
//! nothing behind. Said in the register as it is, so that a kill at any point loses nothing.
//! Not here: deleting what a failed snapshot left; it may hold data and expires like any other.

use super::shelf::{Shelf, Shelved};
use super::{Error, Keeping, blocking};
use crate::grant::{SnapshotStatus, SnapshotStep, State};
use crate::ids::SnapshotId;
use crate::retention::inventory::Listing;
use crate::snapshots::{self, Found, Lease, Ours, Store};

/// What is to be said of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It is whole, so many bytes.
    Whole(u64),
    /// It was given up.
    Failed,
    /// It failed and there is nothing of it.
    Gone,
}

impl Keeping {
    /// Settles what is open in stores that were listed to their end and that nobody else leads. How many were settled.
    ///
    /// # Errors
    /// If the register or the log cannot be written; what a store says stops only that store.
    pub async fn settle(&self, state: &State, shelved: &[Shelved]) -> Result<usize, Error> {
        let mut settled = 0;
        for (shelf, shelved) in self.stock.shelves.iter().zip(shelved) {
            if shelved.listing != Listing::Whole || open(shelf, state, &shelved.found).is_empty() {
                continue;
            }
            let Some((lease, store)) = self.lead(shelf).await? else { continue };
            // Listed again under the lead: until now somebody else may have been taking it.
            let under_lead = store.clone();
            let found = match blocking(move || under_lead.list()).await? {
                Ok(found) => found,
                Err(error) => {
                    tracing::error!(backend = shelf.name, %error, "what is left open is not settled");
                    continue;
                }
            };
            let state = self.stock.state().await?;
            for (id, said) in open(shelf, &state, &found) {
                tracing::warn!(backend = shelf.name, snapshot = %id, ?said, "a snapshot had no outcome; it is recorded");
                settled += usize::from(self.say(&store, id, said).await?);
            }
            drop(lease);
        }
        Ok(settled)
    }

    /// The lead over that store; none if another daemon has it or it cannot be used, which is told.
    pub(super) async fn lead(&self, shelf: &Shelf) -> Result<Option<(Lease, Store)>, Error> {
        let opened = shelf.clone();
        let led = blocking(move || {
            let store = opened.open_known()?;
            let lease = store.lease()?;
            Ok::<_, Error>((lease, store))
        });
        match led.await? {
            Ok(led) => Ok(Some(led)),
            Err(Error::Snapshots(error @ snapshots::Error::Led(_))) => {
                tracing::info!(backend = shelf.name, "{error}");
                Ok(None)
            }
            Err(error) => {
                tracing::error!(backend = shelf.name, %error, "the snapshot store cannot be led");
                Ok(None)
            }
        }
    }

    /// Whether it was said.
    async fn say(&self, store: &Store, id: SnapshotId, said: Said) -> Result<bool, Error> {
        match said {
            Said::Whole(bytes) => {
                self.step(id, SnapshotStep::Verified { bytes }).await?;
                Ok(true)
            }
            Said::Failed => {
                self.step(id, SnapshotStep::Failed).await?;
                self.gone_if_nothing_is_left(store, id).await?;
                Ok(true)
            }
            Said::Gone => self.gone_if_nothing_is_left(store, id).await,
        }
    }

    /// A snapshot that failed and left nothing in its store is deleted already: said and confirmed.
    pub(super) async fn gone_if_nothing_is_left(&self, store: &Store, id: SnapshotId) -> Result<bool, Error> {
        let (store, clock) = (store.clone(), self.acts.clock.clone());
        match blocking(move || store.confirm_absent(id, clock.as_ref())).await? {
            Ok(absent) => {
                self.step(id, SnapshotStep::Expiring).await?;
                self.step(id, SnapshotStep::Deleted { confirmed: absent.at() }).await?;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(snapshot = %id, %error, "a failed snapshot stays in the catalog until it expires");
                Ok(false)
            }
        }
    }
}

/// What has no outcome in that store, and what can be said of it.
fn open(shelf: &Shelf, state: &State, found: &[Found]) -> Vec<(SnapshotId, Said)> {
    let ours = |id: SnapshotId| -> Option<&Ours> {
        found.iter().find_map(|found| match found {
            Found::Ours(ours) if ours.header.id() == id => Some(ours.as_ref()),
            Found::Ours(_) | Found::Foreign(_) => None,
        })
    };
    let mine = state.snapshots().filter(|snapshot| snapshot.backend == shelf.number);
    let open = mine.filter_map(|snapshot| {
        let there = ours(snapshot.id).map(|ours| &ours.state);
        let said = match (snapshot.status, there) {
            (SnapshotStatus::Begun, Some(snapshots::State::Complete(foot))) => Said::Whole(foot.plain_bytes),
            (SnapshotStatus::Begun, Some(snapshots::State::Running)) => return None,
            (SnapshotStatus::Begun, Some(snapshots::State::Failed | snapshots::State::Damaged(_)) | None) => {
                Said::Failed
            }
            (SnapshotStatus::Failed, None) => Said::Gone,
            (
                SnapshotStatus::Failed
                | SnapshotStatus::Verified
                | SnapshotStatus::Adopted
                | SnapshotStatus::Expiring { .. }
                | SnapshotStatus::Deleted { .. },
                _,
            ) => return None,
        };
        Some((snapshot.id, said))
    });
    open.collect()
}
