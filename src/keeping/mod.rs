//! What is kept: the snapshot stores and the register's catalog as one; taking, deleting, and confirming what is gone.
//! Not here: what is due (`retention/`), the loop (`retentiond/`), and what a closed account leaves besides snapshots.
//! Design, section 11: intent, event, act, outcome; only what the catalog and our own tag name together is deleted.

mod approve;
mod closed;
mod error;
mod expire;
mod inventory;
mod late;
mod notes;
mod settle;
mod shelf;
mod take;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

pub use closed::{approval, people, terms};
pub use error::Error;
pub use expire::{Expired, Left, Which};
pub use inventory::{Standing, inventory};
pub use late::{late, named};
pub use notes::{Accounts, Notes};
pub use shelf::{Shelf, Shelved, read_recipient};
pub use take::{Attempt, Times, Tries};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::disk::Disk;
use crate::grant::{By, Draft, People, SnapshotStep, State, What};
use crate::ids::SnapshotId;
use crate::register::{Acts, Register};
use crate::retention::inventory::Inventory;
use crate::retention::plan::Rules;
use crate::retention::window::Window;
use crate::secret::Secret;
use crate::snapshots::{Instance, Programs};

/// What there is, to be looked at: stores, catalog, notes, and the rules they are held to.
#[derive(Clone)]
pub struct Stock {
    /// Whose snapshots are ours: `[retention] id`.
    pub name: String,
    /// The back-ends, in the order of their names.
    pub shelves: Vec<Shelf>,
    /// The promise, and what follows from it.
    pub rules: Rules,
    /// What a daemon has noted beside the register.
    pub notes: Notes,
    /// PostgreSQL's own programs.
    pub programs: Programs,
    /// When purges may run.
    window: Window,
    /// How many must approve what is above a cap.
    pub people: People,
    register: Register,
}

/// Everything that taking and deleting snapshots needs.
#[derive(Clone)]
pub struct Keeping {
    /// What there is.
    pub stock: Stock,
    /// Records, register, clock.
    pub acts: Acts,
}

impl Stock {
    /// What the configuration says. `key` is the instance's. Stores need not answer yet.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a recipient's key that cannot be read, [`Error::Unkeepable`],
    /// [`Error::SameNumber`], and if PostgreSQL's programs are not there though a back-end needs them.
    pub fn new(
        config: &Config,
        key: &Secret<[u8; 32]>,
        register: Register,
        disk: &Arc<dyn Disk>,
    ) -> Result<Stock, Error> {
        let instance = Instance::new(instance_id(&config.retention.id), key);
        let notes = Notes::new(&config.retention.state, Arc::clone(disk));
        let shelves = config.snapshots.iter().map(|(name, snapshots)| {
            let cluster = config.cluster(&snapshots.cluster)?;
            let runtime = &config.retention.runtime;
            Shelf::new(name, snapshots, cluster, runtime, instance.clone(), &notes, &register, disk)
        });
        let shelves = shelves.collect::<Result<Vec<_>, Error>>()?;
        for (at, shelf) in shelves.iter().enumerate() {
            if let Some(other) = shelves.iter().skip(at + 1).find(|other| other.number == shelf.number) {
                return Err(Error::SameNumber { one: shelf.name.clone(), other: other.name.clone() });
            }
        }
        let programs = match &config.retention.programs {
            Some(programs) => Programs::in_directory(programs),
            None if shelves.is_empty() => Programs::in_directory(Path::new("/usr/bin")),
            None => Programs::usual()?,
        };
        let name = config.retention.id.clone();
        let (window, people) = (config.retention.window.clone(), people(&config.retention));
        Ok(Stock { name, shelves, rules: config.rules()?, notes, programs, window, people, register })
    }

    /// The back-end of that name.
    pub fn shelf(&self, name: &str) -> Option<&Shelf> {
        self.shelves.iter().find(|shelf| shelf.name == name)
    }

    /// How every store answers now, in the order of the back-ends.
    ///
    /// # Errors
    /// Only a bug: what a store says stands in its [`Shelved`].
    pub async fn list(&self) -> Result<Vec<Shelved>, Error> {
        let shelves = self.shelves.clone();
        blocking(move || shelves.iter().map(Shelf::list).collect()).await
    }

    /// The register's state now.
    ///
    /// # Errors
    /// If the register cannot be read.
    pub async fn state(&self) -> Result<Arc<State>, Error> {
        let register = self.register.clone();
        Ok(blocking(move || register.state()).await??)
    }

    /// Everything there is now.
    ///
    /// # Errors
    /// If the register cannot be read. A store that does not answer is part of the inventory.
    pub async fn inventory(&self, is_frozen: bool, now: Timestamp) -> Result<Inventory, Error> {
        let shelved = self.list().await?;
        let state = self.state().await?;
        Ok(self.inventory_of(&state, &shelved, is_frozen, now))
    }

    /// The inventory of a state and of stores that were listed before it was read.
    pub fn inventory_of(&self, state: &State, shelved: &[Shelved], is_frozen: bool, now: Timestamp) -> Inventory {
        let (outage, applied) = (self.notes.outage(), self.notes.applied());
        let (instance, window_opens, people) = (self.name.clone(), self.window.opens(now), self.people);
        let standing = Standing { instance, is_frozen, window_opens, people, now, outage, applied };
        inventory(state, &self.shelves, shelved, &self.rules, standing)
    }
}

impl Keeping {
    /// One step of a snapshot: its intent recorded, then the event, then its outcome.
    ///
    /// # Errors
    /// As [`Acts::act`].
    pub async fn step(&self, snapshot: SnapshotId, step: SnapshotStep) -> Result<Arc<State>, Error> {
        self.step_by(By::System, snapshot, step).await
    }

    /// As [`Keeping::step`], caused by somebody else.
    ///
    /// # Errors
    /// As [`Acts::act`].
    pub async fn step_by(&self, by: By, snapshot: SnapshotId, step: SnapshotStep) -> Result<Arc<State>, Error> {
        let draft = Draft { by, what: What::Snapshot { snapshot, step }, personal: None };
        let done = self.acts.act(None, |_| Ok(draft.clone())).await?;
        done.warnings.iter().for_each(|warning| tracing::warn!(%snapshot, "{warning}"));
        Ok(done.state)
    }
}

/// The id in the headers of what an instance of that name makes.
pub fn instance_id(name: &str) -> [u8; 16] {
    let hash = digest(&SHA256, format!("portreeve/instance/v0\n{name}").as_bytes());
    hash.as_ref().first_chunk().copied().expect("SHA-256 has 32 bytes")
}

/// The number that stands for a back-end in the register: from its name, so that it stays when others come and go.
pub fn backend_number(name: &str) -> u32 {
    let hash = digest(&SHA256, format!("portreeve/backend/v0\n{name}").as_bytes());
    hash.as_ref().first_chunk().copied().map(u32::from_be_bytes).expect("SHA-256 has 32 bytes")
}

/// Stores and registers wait for disks: not on a thread that serves others.
async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(what).await.map_err(|_| Error::Bug("a task of a snapshot store panicked"))
}

/// A file in the daemon's own folder.
fn note(state: &Path, name: &str) -> PathBuf {
    state.join(name)
}
