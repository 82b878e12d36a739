//! Taking what the grid asks for: recorded before it begins, with its outcome after it; tried again within its slot.
//! Not here: how (`snapshots/`). One at a time in each store; a slot that was missed is told, the newest stands for all.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::shelf::{Shelf, Shelved};
use super::{Error, Keeping, blocking};
use crate::clock::{Clock, Timestamp};
use crate::grant::{SnapshotStep, State};
use crate::ids::{CustomerId, SnapshotId};
use crate::retention::grid::{Grid, Slot};
use crate::retention::inventory::Listing;
use crate::snapshots::{self, About, Found, Order, Progress};

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// The first pause after a failure; it doubles with each.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1800);

/// What became of one snapshot that was due.
#[derive(Debug)]
pub struct Attempt {
    /// The back-end.
    pub backend: String,
    /// Its id, if it came so far.
    pub snapshot: Option<SnapshotId>,
    /// Why it failed; none: it is whole and verified.
    pub fault: Option<String>,
}

/// What is remembered between turns: whose cluster is which, and when what failed is tried again.
#[derive(Debug, Default)]
pub struct Tries {
    known: HashMap<(String, Option<String>), u64>,
    failed: HashMap<(String, Option<String>), Failed>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    at: Timestamp,
}

impl Failed {
    /// Whether it is too early to try again. A clock that went back makes nothing wait.
    fn waits(self, now: Timestamp) -> bool {
        let pause = PAUSE.saturating_mul(1 << self.times.saturating_sub(1).min(10)).min(PAUSE_MAX);
        now >= self.at && now < self.at.plus(pause)
    }
}

/// One moment by the wall clock, and by what the clocks agree on.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// By the wall clock.
    pub wall: Timestamp,
    /// By two of three: slots and starts go by it.
    pub agreed: Timestamp,
}

impl Times {
    /// What the clocks would agree on now.
    fn now(self, clock: &dyn Clock) -> Timestamp {
        Timestamp(clock.now().0.saturating_add(self.agreed.0.saturating_sub(self.wall.0)))
    }
}

/// One thing that snapshots are taken of.
struct Subject<'a> {
    shelf: &'a Shelf,
    database: Option<String>,
    customers: Vec<CustomerId>,
}

impl Keeping {
    /// Takes what is due at that time, one after the other, until `stop` says so.
    ///
    /// # Errors
    /// If the register or the log cannot be written. What a store or a database says is in the [`Attempt`].
    pub async fn take_due(
        &self,
        state: &State,
        shelved: &[Shelved],
        tries: &mut Tries,
        times: Times,
        stop: &Arc<AtomicBool>,
    ) -> Result<Vec<Attempt>, Error> {
        let now = times.agreed;
        let mut attempts = Vec::new();
        for (shelf, shelved) in self.stock.shelves.iter().zip(shelved) {
            if let Listing::Failed(why) = &shelved.listing {
                tracing::error!(backend = shelf.name, why, "no snapshot is taken: the store does not answer");
                continue;
            }
            for (database, customers) in shelf.subjects(state) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(attempts);
                }
                let subject = Subject { shelf, database, customers };
                let key = (shelf.name.clone(), subject.database.clone());
                if tries.failed.get(&key).is_some_and(|failed| failed.waits(now)) {
                    continue;
                }
                let attempt = self.take_if_due(&subject, &shelved.found, tries, times, stop).await?;
                let Some(attempt) = attempt else { continue };
                match &attempt.fault {
                    None => drop(tries.failed.remove(&key)),
                    Some(fault) => {
                        let times = tries.failed.get(&key).map_or(0, |failed| failed.times).saturating_add(1);
                        tries.failed.insert(key, Failed { times, at: now });
                        tracing::error!(
                            alarm = "snapshot-failed",
                            backend = shelf.name,
                            times,
                            fault,
                            "a snapshot failed; it is tried again within its slot"
                        );
                    }
                }
                attempts.push(attempt);
            }
        }
        Ok(attempts)
    }

    async fn take_if_due(
        &self,
        subject: &Subject<'_>,
        found: &[Found],
        tries: &mut Tries,
        times: Times,
        stop: &Arc<AtomicBool>,
    ) -> Result<Option<Attempt>, Error> {
        let now = times.agreed;
        let Subject { shelf, database, .. } = subject;
        let grid = Grid::new(self.stock.rules.promise().snapshot_every).ok_or(Error::Bug("a grid without a period"))?;
        let key = (shelf.name.clone(), database.clone());
        // Without an answer of the database nothing is taken; that there is nothing to take, the last answer says.
        if let Some(known) = tries.known.get(&key)
            && due(grid, shelf, *known, database.as_deref(), found, now).is_none()
        {
            return Ok(None);
        }
        let failed = |snapshot, fault: String| Attempt { backend: shelf.name.clone(), snapshot, fault: Some(fault) };
        let upstream = match shelf.upstream() {
            Ok(upstream) => upstream,
            Err(error) => return Ok(Some(failed(None, error.to_string()))),
        };
        let about = match About::ask(&upstream, database.as_deref()).await {
            Ok(about) => about,
            Err(error) => return Ok(Some(failed(None, error.to_string()))),
        };
        tries.known.insert(key, about.system_identifier);
        let Some((slot, missed)) = due(grid, shelf, about.system_identifier, database.as_deref(), found, now) else {
            return Ok(None);
        };
        if missed > 0 {
            tracing::warn!(backend = shelf.name, missed, "slots passed without a snapshot; the newest stands for them");
        }
        let Some((lease, store)) = self.lead(shelf).await? else { return Ok(None) };
        let (id, started) = (Order::fresh_id(self.acts.entropy.as_ref()), times.now(self.acts.clock.as_ref()));
        self.step(id, SnapshotStep::Begun { backend: shelf.number, started }).await?;
        tracing::info!(backend = shelf.name, snapshot = %id, "a snapshot is being taken");
        let order = Order {
            id,
            started,
            slot: Some(grid.begin(slot)),
            recipient: shelf.recipient,
            customers: subject.customers.clone(),
            bytes_per_second_max: shelf.snapshots.bytes_per_second_max,
        };
        let back_end = shelf.back_end(database.as_deref());
        let (programs, clock, entropy) =
            (self.stock.programs.clone(), self.acts.clock.clone(), self.acts.entropy.clone());
        let (taking, stop, name) = (store.clone(), Arc::clone(stop), shelf.name.clone());
        let taken = blocking(move || {
            let mut watch = watching(name, id, clock.clone(), stop);
            let taken = taking.take(
                &lease,
                back_end.as_ref(),
                &programs,
                &upstream,
                &about,
                &order,
                clock.as_ref(),
                entropy.as_ref(),
                &mut watch,
            );
            (taken, lease)
        });
        // The lead is given up only when its outcome stands in the register.
        let (taken, _lease) = taken.await?;
        match taken {
            Ok(taken) => {
                let bytes = taken.foot.plain_bytes;
                self.step(id, SnapshotStep::Verified { bytes }).await?;
                tracing::info!(backend = shelf.name, snapshot = %id, bytes, "a snapshot is whole and verified");
                Ok(Some(Attempt { backend: shelf.name.clone(), snapshot: Some(id), fault: None }))
            }
            Err(error) => {
                self.step(id, SnapshotStep::Failed).await?;
                self.gone_if_nothing_is_left(&store, id).await?;
                Ok(Some(failed(Some(id), error.to_string())))
            }
        }
    }
}

/// The slot to take now, and how many before it nobody took.
fn due(
    grid: Grid,
    shelf: &Shelf,
    system_identifier: u64,
    database: Option<&str>,
    found: &[Found],
    now: Timestamp,
) -> Option<(Slot, u64)> {
    let series = shelf.series(system_identifier, database);
    let taken = found.iter().filter_map(|found| match found {
        Found::Ours(ours) if ours.header.series == series && matches!(ours.state, snapshots::State::Complete(_)) => {
            ours.header.slot().map(|slot| grid.slot(slot))
        }
        Found::Ours(_) | Found::Foreign(_) => None,
    });
    let taken: Vec<Slot> = taken.collect();
    let missed = |missed| if taken.is_empty() { 0 } else { missed };
    let due = grid.due(taken.iter().copied(), now);
    due.slot.map(|slot| (slot, missed(due.missed)))
}

/// Tells now and then how far it is, and stops it when told to.
fn watching(
    backend: String,
    snapshot: SnapshotId,
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
) -> impl FnMut(Progress) -> ControlFlow<()> {
    let mut told = clock.now();
    move |Progress { bytes, estimate }| {
        let now = clock.now();
        if now.since(told) >= TOLD_EVERY {
            told = now;
            tracing::info!(backend, %snapshot, bytes, estimate, "a snapshot is being taken");
        }
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
