//! Deleting what a plan says must go: recorded as about to go, deleted by compare-and-delete, listed anew, and only
//! then recorded as gone, with the moment its absence was confirmed.
//! Not here: what must go (`retention/plan.rs`). What is not confirmed is not claimed; the next turn goes on with it.

use super::shelf::Shelf;
use super::{Error, Keeping, blocking};
use crate::clock::Timestamp;
use crate::grant::{SnapshotStatus, SnapshotStep};
use crate::ids::SnapshotId;
use crate::retention::plan::{Action, Cap, Object, Plan, Reason, Row};
use crate::snapshots::{self, Absent, Deleted, Lease, Named, Store};

/// What a plan deleted.
#[derive(Debug, Default)]
pub struct Expired {
    /// Confirmed absent, and when.
    pub gone: Vec<(SnapshotId, Timestamp)>,
    /// Not confirmed, and why.
    pub left: Vec<Left>,
}

/// Something that should be gone and is not confirmed to be.
#[derive(Debug)]
pub struct Left {
    /// Its back-end and name.
    pub object: String,
    /// Why.
    pub why: String,
}

/// Which rows of a plan are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that nobody needs to be told about.
    Plain,
    /// All.
    All,
}

impl Which {
    fn means(self, row: &Row) -> bool {
        match self {
            Which::Plain => !row.reason.is_exception(),
            Which::All => true,
        }
    }
}

impl Keeping {
    /// Deletes what `plan` expires, as far as it may without a second person: above a cap only what is being deleted
    /// already. A plan made while the clocks disagree expires nothing.
    ///
    /// # Errors
    /// If the register or the log cannot be written: then nothing more is deleted.
    pub async fn expire_within_caps(&self, plan: &Plan, which: Which) -> Result<Expired, Error> {
        let is_over = plan.caps.iter().any(|cap| match cap {
            Cap::Expires { .. } | Cap::Widened { .. } => true,
            Cap::Purges { .. } => false,
        });
        if is_over && which == Which::All {
            tracing::error!(
                alarm = "second-person-needed",
                plan = %plan.token(),
                caps = ?plan.caps,
                "the plan is above its cap: look at it with \"portreeve retention plan\" and apply it with a second person"
            );
        }
        let expired =
            self.expire(plan, |row| which.means(row) && (!is_over || row.reason == Reason::Unfinished)).await?;
        if !is_over && which == Which::All {
            self.stock.notes.keep_applied(self.stock.rules.promise())?;
        }
        Ok(expired)
    }

    /// Deletes everything that `plan` expires. Whoever calls has seen to it that it may be.
    ///
    /// # Errors
    /// As [`Keeping::expire_within_caps`].
    pub async fn expire_all(&self, plan: &Plan) -> Result<Expired, Error> {
        self.expire(plan, |_| true).await
    }

    async fn expire(&self, plan: &Plan, may: impl Fn(&Row) -> bool) -> Result<Expired, Error> {
        let mut expired = Expired::default();
        for shelf in &self.stock.shelves {
            let due: Vec<&Row> = plan
                .with(Action::Expire)
                .filter(|row| may(row))
                .filter(|row| matches!(&row.object, Object::Snapshot(backend, _) if *backend == shelf.name))
                .collect();
            if !due.is_empty() {
                self.expire_of(shelf, &due, &mut expired).await?;
            }
        }
        for Left { object, why } in &expired.left {
            tracing::error!(alarm = "not-deleted", object, why, "a snapshot that is due is not confirmed gone");
        }
        Ok(expired)
    }

    async fn expire_of(&self, shelf: &Shelf, due: &[&Row], expired: &mut Expired) -> Result<(), Error> {
        let led = self.lead(shelf).await?;
        let Some((mut lease, store)) = led else {
            expired.left.extend(due.iter().map(|row| left(row, "its store cannot be led at the moment")));
            return Ok(());
        };
        for row in due {
            let Object::Snapshot(_, name) = &row.object else { continue };
            let Ok(id) = name.parse::<SnapshotId>() else {
                expired.left.push(left(row, "its name is no snapshot's"));
                continue;
            };
            let named = Named { id, started: row.fingerprint.started };
            if !matches!(
                self.stock.state().await?.snapshot(id).map(|known| known.status),
                Some(SnapshotStatus::Expiring { .. })
            ) {
                self.step(id, SnapshotStep::Expiring).await?;
            }
            let outcome;
            (outcome, lease) = self.delete(&store, lease, named).await?;
            match outcome {
                Ok((deleted, absent)) => {
                    self.step(id, SnapshotStep::Deleted { confirmed: absent.at() }).await?;
                    let reason = row.reason.to_string();
                    tracing::info!(backend = shelf.name, snapshot = %id, ?deleted, reason, "a snapshot is gone");
                    expired.gone.push((id, absent.at()));
                }
                Err(error) => expired.left.push(left(row, error)),
            }
        }
        Ok(())
    }

    /// Deletes it and looks whether it is gone; gives the lead back.
    async fn delete(&self, store: &Store, lease: Lease, named: Named) -> Result<(Confirmed, Lease), Error> {
        let (store, clock) = (store.clone(), self.acts.clock.clone());
        blocking(move || {
            let deleted = store.delete(&lease, &named);
            let outcome = deleted.and_then(|deleted| {
                let absent = store.confirm_absent(named.id, clock.as_ref())?;
                Ok((deleted, absent))
            });
            (outcome, lease)
        })
        .await
    }
}

type Confirmed = Result<(Deleted, Absent), snapshots::Error>;

fn left(row: &Row, why: impl ToString) -> Left {
    let object = match &row.object {
        Object::Snapshot(backend, id) => format!("{backend}/{id}"),
        Object::Archive(id) => id.clone(),
        Object::Customer(id) => id.to_string(),
    };
    Left { object, why: why.to_string() }
}
