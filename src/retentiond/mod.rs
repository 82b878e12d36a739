//! The retention daemon: takes snapshots on time, deletes what is due, and leads closed accounts to their end.
//! Not here: what is due (`retention/`) and how a snapshot is taken or deleted (`keeping/`). A turn is one step at a
//! given moment and leaves nothing that the next one, after a kill too, would not go on with. Design, section 11.

mod by_age;
pub mod clocks;
pub mod closing;
mod erased;
mod lead;
mod purging;
mod start;
pub mod told;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
pub use by_age::Aged;
pub use erased::Returned;
pub use start::{StartError, run};
use tokio::sync::{Mutex, watch};

use self::by_age::{Means, Months};
use self::clocks::Witness;
use self::closing::{Recorded, Turned};
use self::purging::Beside;
use crate::audit::keys::Recipients;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::keeping::{Attempt, Error, Expired, Keeping, Shelved, Times, Tries, Which};
use crate::keyring;
use crate::register::Follower;
use crate::retention::clock_guard::{Guard, Reading, TOLERANCE};
use crate::retention::inventory::{Listing, Outage};
use crate::retention::overdue::{Alarm, Level, alarms};
use crate::retention::plan::{Plan, plan};
use crate::snapshots::About;

/// Turns further apart than this are a time in which the daemon did not run.
const OUTAGE: Duration = Duration::from_secs(900);

/// Everything that a turn may use.
#[derive(Clone)]
pub struct World {
    /// The whole configuration.
    pub config: Config,
    /// Stores and catalog; in it the acts: register, log, clock.
    pub keeping: Keeping,
    /// The register as this role follows it.
    pub follower: Follower,
    /// The only holder of keys that open records.
    pub keyring: keyring::Client,
    /// Keys of those whose records are written.
    pub recipients: Recipients,
    /// Signs certificates: the key of this role's log.
    pub signer: Arc<Ed25519KeyPair>,
    /// Turns true when a purge shall stop after the batch at hand.
    pub stopped: watch::Receiver<bool>,
}

/// The daemon between two turns.
pub struct Daemon {
    /// What it works with.
    pub world: World,
    witness: Arc<dyn Witness>,
    tries: Tries,
    stop: Arc<AtomicBool>,
    beside: Beside,
    recorded: Arc<Recorded>,
    months: Months,
    known: Arc<Mutex<erased::Known>>,
}

/// What one turn did and found.
#[derive(Debug)]
pub struct Turn {
    /// Snapshots that had no outcome, and now have one.
    pub settled: usize,
    /// Snapshots that were due.
    pub attempts: Vec<Attempt>,
    /// What was deleted.
    pub expired: Expired,
    /// The last plan of the turn.
    pub plan: Plan,
    /// What became of closed accounts and of owners' backups.
    pub accounts: Result<Turned, closing::Error>,
    /// What became of keys that were destroyed and came back with an old keyring.
    pub returned: Returned,
    /// What became of the keys that go by age.
    pub aged: Aged,
    /// What is late after it.
    pub alarms: Vec<Alarm>,
    /// Whether deletions were frozen.
    pub is_frozen: bool,
}

impl Turn {
    /// Whether all went well: nothing failed, nothing is left, nothing is overdue, nobody is needed.
    pub fn is_well(&self) -> bool {
        let is_overdue = self.alarms.iter().any(|alarm| alarm.level == Level::Over);
        let has_failed = self.attempts.iter().any(|attempt| attempt.fault.is_some());
        let is_led = self.accounts.as_ref().is_ok_and(|turned| turned.troubles.is_empty());
        is_led
            && !self.is_frozen
            && !is_overdue
            && !has_failed
            && self.expired.left.is_empty()
            && self.plan.caps.is_empty()
            && self.returned.trouble.is_none()
            && self.aged.trouble.is_none()
    }
}

impl Daemon {
    /// A daemon that has done nothing yet. Once `stop` is set, a turn ends as soon as it can, with nothing half done.
    pub fn new(world: World, witness: Arc<dyn Witness>, stop: Arc<AtomicBool>) -> Daemon {
        let (tries, beside, recorded, known) =
            (Tries::default(), Beside::default(), Arc::default(), Default::default());
        Daemon { world, witness, tries, stop, beside, recorded, months: Months::default(), known }
    }

    /// One step at `now`: clocks, what was left open, what is due to go, what is due to be taken, what that made due,
    /// closed accounts. Purges are begun in it and go on beside it: see [`Daemon::purged`].
    ///
    /// # Errors
    /// If the register or the log cannot be used: then nothing more is done. What a store or a database says is part
    /// of the [`Turn`]; the others go on.
    pub async fn turn(&mut self, now: Timestamp) -> Result<Turn, Error> {
        let returned = self.look_at_keyring().await;
        let guard = self.look_at_clocks(now).await?;
        let is_frozen = guard.is_frozen();
        let keeping = self.world.keeping.clone();
        let mut shelved = keeping.stock.list().await?;
        self.note_marks(&shelved);
        let settled = keeping.settle(keeping.stock.state().await?.as_ref(), &shelved).await?;
        if settled > 0 {
            shelved = keeping.stock.list().await?;
        }
        let state = keeping.stock.state().await?;
        // What is due without question goes before a snapshot that may take an hour.
        let first = plan(&keeping.stock.inventory_of(&state, &shelved, is_frozen, now), &keeping.stock.rules, now);
        let mut expired = keeping.expire_within_caps(&first, Which::Plain).await?;
        let times = Times { wall: now, agreed: guard.agreed() };
        let attempts = keeping.take_due(&state, &shelved, &mut self.tries, times, &self.stop).await?;
        // Listed anew: a good snapshot may have come, and what is the newest good one decides about the others.
        let plan = plan(&keeping.stock.inventory(is_frozen, now).await?, &keeping.stock.rules, now);
        let rest = keeping.expire_within_caps(&plan, Which::All).await?;
        expired.gone.extend(rest.gone);
        expired.left = rest.left;
        // Once snapshots are in order: a purge waits for a good one, and then runs beside the turns.
        let over = self.beside.over().await.unwrap_or_default();
        let accounts = lead::lead((&self.world, &self.recorded), &guard, (&self.beside.busy(), over), now).await?;
        if let Ok(Turned { due, .. }) = &accounts
            && !due.is_empty()
            && self.beside.busy().is_empty()
        {
            let world = lead::closing_world((&self.world, &self.recorded), &guard).await;
            self.beside.begin(world, due.clone());
        }
        let aged = self.expire_keys(is_frozen, now).await?;
        let lasted = guard.frozen.map(|frozen| frozen.lasted);
        let alarms = alarms(&keeping.stock.inventory(is_frozen, now).await?, &keeping.stock.rules, lasted, now);
        Ok(Turn { settled, attempts, expired, plan, accounts, returned, aged, alarms, is_frozen })
    }

    /// Whether the keyring knows of all that was destroyed; what it may have forgotten besides is looked at anew.
    async fn look_at_keyring(&mut self) -> Returned {
        let mut known = self.known.lock().await;
        let returned = known.turn(&self.world.keeping.acts, &self.world.keyring).await;
        if known.was_other() {
            self.months = Months::default();
        }
        returned
    }

    /// The keys of records of no customer that are due, and a note of what could not be done.
    async fn expire_keys(&mut self, is_frozen: bool, now: Timestamp) -> Result<Aged, Error> {
        let World { keeping, keyring, config, .. } = &self.world;
        let means = Means { acts: &keeping.acts, keyring, terms: config.audit.vendor };
        let aged = self.months.turn(&means, is_frozen, now).await;
        if let Some(why) = &aged.trouble {
            let mut accounts = keeping.stock.notes.accounts().unwrap_or_default();
            accounts.troubles.push((by_age::NOBODY.to_owned(), why.clone()));
            keeping.stock.notes.keep_accounts(&accounts)?;
        }
        Ok(aged)
    }

    /// Waits for the purge that runs beside the turns, if one does; notes and tells what it came to.
    ///
    /// # Errors
    /// If the note cannot be written.
    pub async fn purged(&mut self) -> Result<Option<Turned>, Error> {
        let busy = self.beside.busy();
        let Some(turned) = self.beside.ended().await else { return Ok(None) };
        lead::note_purged(&self.world, &busy, &turned)?;
        Ok(Some(turned))
    }

    /// Whether a purge runs beside the turns.
    pub fn is_purging(&self) -> bool {
        !self.beside.busy().is_empty()
    }

    /// What the clocks say now, and with it whether anything may be deleted; noted, with a time in which we did not run.
    async fn look_at_clocks(&self, now: Timestamp) -> Result<Guard, Error> {
        let notes = &self.world.keeping.stock.notes;
        let reading = Reading {
            wall: now,
            since_boot: self.witness.since_boot().map_err(Error::clock)?,
            boot: self.witness.boot().map_err(Error::clock)?,
            database: self.database_clock().await,
        };
        let before = notes.guard();
        let guard = before.map_or_else(|| Guard::first(reading), |guard| guard.after(reading));
        match (before.is_some_and(|guard| guard.is_frozen()), guard.frozen) {
            (false, Some(frozen)) => tracing::error!(
                alarm = "clocks-disagree",
                doubt = ?frozen.doubt,
                wall = %reading.wall,
                database = ?reading.database.map(|at| at.to_string()),
                "the clocks disagree: nothing is deleted until two of three agree"
            ),
            (true, None) => tracing::warn!(wall = %reading.wall, "the clocks agree again: what is due is deleted"),
            (false, None) | (true, Some(_)) => {}
        }
        if let Some(outage) = before.and_then(|before| outage(&before, &guard, reading)) {
            tracing::warn!(from = %outage.from, until = %outage.until, "the daemon did not run for a while");
            notes.keep_outage(outage)?;
        }
        notes.keep_guard(&guard)?;
        Ok(guard)
    }

    /// The clock of the first database that answers.
    async fn database_clock(&self) -> Option<Timestamp> {
        for shelf in &self.world.keeping.stock.shelves {
            let asked = match shelf.upstream() {
                Ok(upstream) => About::ask(&upstream, None).await.map_err(Error::from),
                Err(error) => Err(error),
            };
            match asked {
                Ok(about) => return Some(self.witness.database(about.now)),
                Err(error) => tracing::warn!(backend = shelf.name, %error, "the database does not say the time"),
            }
        }
        None
    }

    /// Notes which stores these are, the first time each is seen.
    fn note_marks(&self, shelved: &[Shelved]) {
        for (shelf, shelved) in self.world.keeping.stock.shelves.iter().zip(shelved) {
            if shelved.listing == Listing::Whole
                && let Err(error) = shelf.note_mark()
            {
                tracing::error!(backend = shelf.name, %error, "which store this is could not be noted");
            }
        }
    }
}

/// The time since the last turn, if it was long and no jump of the wall clock: what became due in it is no sign of a
/// mistake.
fn outage(before: &Guard, after: &Guard, now: Reading) -> Option<Outage> {
    let (from, until) = (before.last.wall, now.wall);
    let gap = until.since(from);
    let by_boot = now.since_boot.checked_sub(before.last.since_boot).filter(|_| now.boot == before.last.boot);
    let is_real = by_boot.map_or(!after.is_frozen(), |passed| passed.abs_diff(gap) <= TOLERANCE);
    (gap > OUTAGE && is_real && !before.is_frozen()).then_some(Outage { from, until })
}
