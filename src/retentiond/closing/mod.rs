//! Leads every closed account to its end, one deterministic turn at a time, and writes owners' own backups.
//! Not here: what is next (`retention::closure`), which steps may follow (`grant/`). What was decided is in the register;
//! what is done is idempotent or counted in the database, so that a turn may be killed anywhere.

mod archive;
mod cap;
mod deed;
mod drive;
mod erase;
mod facts;
mod folder;
mod kept;
mod needles;
mod proof;
mod purge;
mod reading;
mod recorded;
mod residue;
mod shut;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
pub use recorded::Recorded;
use tokio::sync::watch;

use crate::audit::keys::Recipients;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::datamap::DataMap;
use crate::grant::{Stage, State};
use crate::ids::{CustomerId, ExportId};
use crate::keyring;
use crate::purge::{self as purging, Pace, Road, Scrub};
use crate::register::{self, Acts, Register};
use crate::snapshots::Store;

/// A customers' server, as the maintenance role reaches it.
pub struct Upstream {
    /// The road.
    pub road: Road,
    /// A database that is no customer's, from which another is dropped.
    pub maintenance_database: String,
    /// The roads to its replicas that are configured, by their names.
    pub replicas: Vec<(String, Road)>,
}

/// A store of snapshots.
pub struct Snapshots {
    /// The back-end's number in the register.
    pub number: u32,
    /// Its name in the configuration.
    pub name: String,
    /// Of which cluster. HOLE: a dump of one database counts as holding every customer of its cluster.
    pub cluster: String,
    /// Where they are.
    pub store: Store,
}

/// How the clocks stand.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// They disagree: nothing is deleted.
    pub is_frozen: bool,
    /// How many agree.
    pub agree: u8,
    /// By how much they differ at the most, in milliseconds.
    pub skew_ms: u64,
}

/// Everything a turn needs.
pub struct World {
    /// Register, log, clock, entropy. Its log's recipients are `recipients`.
    pub acts: Acts,
    /// Keys of the vendor's.
    pub recipients: Recipients,
    /// Opens archives to read them back, destroys keys.
    pub keyring: keyring::Client,
    /// The configuration.
    pub config: Arc<Config>,
    /// Its digest in hexadecimal, for certificates.
    pub configuration: String,
    /// Signs certificates: the key of retention's log.
    pub signer: Arc<Ed25519KeyPair>,
    /// The data maps of shared tables by `cluster/database`, or why one cannot be used.
    pub maps: BTreeMap<String, Result<DataMap, String>>,
    /// Servers by their names in the configuration, or why one cannot be reached.
    pub upstreams: BTreeMap<String, Result<Upstream, String>>,
    /// Every back-end's store; none if it could not be opened: then it is not known what it holds.
    pub snapshots: Option<Vec<Snapshots>>,
    /// How hard a purge may press.
    pub pace: Pace,
    /// Whether a purge rewrites files.
    pub scrub: Scrub,
    /// How the clocks stand.
    pub clocks: Clocks,
    /// Which troubles were recorded lately, in earlier turns, too.
    pub recorded: Arc<Recorded>,
    /// Turns true when a purge shall stop after the batch at hand.
    pub stop: watch::Receiver<bool>,
}

/// Why something could not be done. Each variant names whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The register or the log.
    #[error(transparent)]
    Register(#[from] register::Error),
    /// The log.
    #[error("nothing is done that cannot be recorded: {0}")]
    Log(#[from] crate::log::Error),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] keyring::Error),
    /// Upstream, or what was refused there.
    #[error(transparent)]
    Purge(#[from] purging::Error),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] purging::ArchiveError),
    /// A store of snapshots.
    #[error(transparent)]
    Snapshots(#[from] crate::snapshots::Error),
    /// Storage: a file of ours.
    #[error("cannot {verb} {path}: {source}")]
    File {
        /// Such as `read`.
        verb: &'static str,
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The promise cannot be kept.
    #[error(transparent)]
    Unkeepable(#[from] crate::retention::solve::Unkeepable),
    /// A certificate that would claim too much.
    #[error(transparent)]
    Unsignable(#[from] crate::retention::certificate::Unsignable),
    /// It must not, or cannot, be done so; a sentence that says what to do.
    #[error("{0}")]
    Refused(String),
    /// It was told to stop; what is done is done.
    #[error("it was told to stop and goes on in the next turn")]
    Stopped,
    /// Ours.
    #[error("bug: {0}")]
    Bug(&'static str),
}

impl Error {
    fn file(verb: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.display().to_string();
        move |source| Error::File { verb, path, source }
    }
}

/// What a turn came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// Stages that were reached.
    pub reached: Vec<(CustomerId, Stage)>,
    /// Exports that were made.
    pub exports: Vec<ExportId>,
    /// What could not be done, and whose account it concerns: told, recorded, tried again in the next turn.
    pub troubles: Vec<(CustomerId, String)>,
    /// What is waited for.
    pub waits: Vec<(CustomerId, String, Option<Timestamp>)>,
    /// Whose rows may be purged now: left to [`purge()`].
    pub due: Vec<CustomerId>,
}

impl Turned {
    /// What came later.
    pub fn add(&mut self, later: Turned) {
        let Turned { reached, exports, troubles, waits, due } = later;
        self.reached.extend(reached);
        self.exports.extend(exports);
        self.troubles.extend(troubles);
        self.waits.extend(waits);
        self.due.extend(due);
    }
}

/// What is done with an account whose rows are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// They are left, and told to be due.
    Leave,
    /// They are purged.
    Purge,
}

/// Does everything that can be done now. Dropping the future is as safe as killing the process.
///
/// # Errors
/// If the register cannot be read or the promise not be kept; what concerns one account only is in the answer.
pub async fn turn(world: &World, now: Timestamp) -> Result<Turned, Error> {
    let mut turned = beside(world, &BTreeSet::new(), now).await?;
    let purged = purge(world, &std::mem::take(&mut turned.due)).await?;
    turned.add(purged);
    Ok(turned)
}

/// Everything but purges, and but what is of the accounts in `busy`, which [`purge()`] has at the moment.
///
/// # Errors
/// As [`turn`].
pub async fn beside(world: &World, busy: &BTreeSet<CustomerId>, now: Timestamp) -> Result<Turned, Error> {
    let rules = world.config.rules()?;
    let state = world.state().await?;
    let mut turned = Turned::default();
    for customer in state.customers().filter(|customer| !busy.contains(&customer.id)) {
        // of an account that was just closed, its archive is among them, and the first thing it is led through
        let is_led = customer.closure.as_ref().is_some_and(|closure| closure.stage() == Stage::Closed);
        if !is_led && let Err(error) = world.owners_backups(customer.id, &mut turned).await {
            world.trouble(customer.id, &error, &mut turned).await;
        }
        if customer.closure.is_none()
            && let Err(error) = world.let_in(customer, &state).await
        {
            world.trouble(customer.id, &error, &mut turned).await;
        }
        if customer.closure.is_some()
            && let Err(error) = world.lead(customer.id, Rows::Leave, &rules, now, &mut turned).await
        {
            world.trouble(customer.id, &error, &mut turned).await;
        }
    }
    Ok(turned)
}

/// Purges those whose rows are `due`, one after the other, as far as that is below the cap or approved by people. One may
/// take hours: each is led by the time that it is then.
///
/// # Errors
/// As [`turn`].
pub async fn purge(world: &World, due: &[CustomerId]) -> Result<Turned, Error> {
    let mut turned = Turned::default();
    if due.is_empty() {
        return Ok(turned);
    }
    let rules = world.config.rules()?;
    world.hold_above_cap(&rules, world.acts.clock.now()).await?;
    for id in due {
        let now = world.acts.clock.now();
        if let Err(error) = world.lead(*id, Rows::Purge, &rules, now, &mut turned).await {
            world.trouble(*id, &error, &mut turned).await;
        }
    }
    Ok(turned)
}

impl World {
    /// SQLite waits for the disk: not on a thread that serves others.
    async fn state(&self) -> Result<Arc<State>, Error> {
        let register: Register = self.acts.register.clone();
        let read = tokio::task::spawn_blocking(move || register.state()).await;
        Ok(read.map_err(|_| Error::Bug("the task that reads the register panicked"))??)
    }
}
