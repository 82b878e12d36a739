//! One back-end: its section of the configuration, its store, and the database it takes snapshots of.
//! Not here: what is done with it. A store is opened anew each time, so that one that went away and came back is used
//! again; it must say the name that it had when the daemon first saw it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend_number;
use super::error::Error;
use super::notes::Notes;
use crate::config::{self, Checksums, Cluster, SnapshotKind};
use crate::disk::Disk;
use crate::grant::State;
use crate::ids::{CustomerId, SnapshotId};
use crate::register::Register;
use crate::retention::inventory::Listing;
use crate::snapshots::{self, Algorithm, BackEnd, Found, Instance, PgBaseBackup, PgDump, Store, Upstream};

/// The database that questions about a whole cluster go to.
const QUESTIONS: &str = "postgres";

/// A back-end.
#[derive(Clone)]
pub struct Shelf {
    /// Its name in the configuration.
    pub name: String,
    /// Its number in the register.
    pub number: u32,
    /// Its section.
    pub snapshots: config::Snapshots,
    /// The public key its snapshots are encrypted to.
    pub recipient: [u8; 32],
    instance: Instance,
    cluster: Cluster,
    runtime: PathBuf,
    notes: Notes,
    register: Register,
    disk: Arc<dyn Disk>,
}

/// How a back-end's store answered.
#[derive(Clone, Debug)]
pub struct Shelved {
    /// The back-end.
    pub name: String,
    /// Whether all of it was listed.
    pub listing: Listing,
    /// What is in it; nothing if it was not listed to its end.
    pub found: Vec<Found>,
}

impl Shelf {
    #[expect(clippy::too_many_arguments, reason = "each is another part of what it stands on")]
    pub(super) fn new(
        name: &str,
        snapshots: &config::Snapshots,
        cluster: &Cluster,
        runtime: &Path,
        instance: Instance,
        notes: &Notes,
        register: &Register,
        disk: &Arc<dyn Disk>,
    ) -> Result<Shelf, Error> {
        Ok(Shelf {
            name: name.to_owned(),
            number: backend_number(name),
            snapshots: snapshots.clone(),
            recipient: read_recipient(&snapshots.recipient)?,
            instance,
            cluster: cluster.clone(),
            runtime: runtime.to_owned(),
            notes: notes.clone(),
            register: register.clone(),
            disk: Arc::clone(disk),
        })
    }

    /// Makes its directory, which must be empty, a store.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn create(&self, entropy: &dyn crate::entropy::Entropy) -> Result<Store, snapshots::Error> {
        Store::create(Arc::clone(&self.disk), &self.snapshots.directory, self.instance.clone(), entropy)
    }

    /// Its store.
    ///
    /// # Errors
    /// [`snapshots::Error::NotTheStore`] if there is none, or another than the daemon has seen; as [`Store::open`].
    pub fn open(&self) -> Result<Store, snapshots::Error> {
        let dir = &self.snapshots.directory;
        let store = Store::open(Arc::clone(&self.disk), dir, self.instance.clone())?;
        let unread = |error: Error| snapshots::Error::NotTheStore { dir: dir.clone(), detail: error.to_string() };
        match self.notes.mark(&self.name).map_err(unread)? {
            Some(mark) if mark != store.mark() => {
                let detail = format!("it has another mark than the daemon noted for \"{}\"", self.name);
                Err(snapshots::Error::NotTheStore { dir: dir.clone(), detail })
            }
            Some(_) | None => Ok(store),
        }
    }

    /// What is in it now.
    pub(super) fn list(&self) -> Shelved {
        let listed = self.open().and_then(|store| store.list());
        let (listing, found) = match listed {
            Ok(found) => (Listing::Whole, found),
            Err(error) => (Listing::Failed(error.to_string()), Vec::new()),
        };
        Shelved { name: self.name.clone(), listing, found }
    }

    /// Its store, noted as the one that its snapshots in the register are in: only of that one an absence is an answer.
    pub(super) fn open_known(&self) -> Result<Store, Error> {
        let store = self.open()?;
        if self.notes.mark(&self.name)?.is_none() {
            self.recognise(&store)?;
            self.notes.keep_mark(&self.name, store.mark())?;
        }
        Ok(store)
    }

    /// A store whose mark was never noted, or whose note is lost: if the register has snapshots, one must be in it.
    fn recognise(&self, store: &Store) -> Result<(), Error> {
        let state = self.register.state()?;
        let mine = state.snapshots().filter(|snapshot| snapshot.backend == self.number && snapshot.may_exist());
        let mine: HashSet<SnapshotId> = mine.map(|snapshot| snapshot.id).collect();
        let is_mine = |found: &Found| match found {
            Found::Ours(ours) => mine.contains(&ours.header.id()),
            Found::Foreign(_) => false,
        };
        if mine.is_empty() || store.list()?.iter().any(is_mine) {
            return Ok(());
        }
        let detail = format!(
            "its mark was not noted, and none of the snapshots that the register has for \"{}\" is in it; give a new \
             store a name of its own",
            self.name
        );
        Err(snapshots::Error::NotTheStore { dir: store.dir().to_owned(), detail }.into())
    }

    /// Notes which store it is, if that was never noted.
    ///
    /// # Errors
    /// If it cannot be opened or is not known to be the one, or the note not written.
    pub fn note_mark(&self) -> Result<(), Error> {
        self.open_known().map(drop)
    }

    /// The server, and as whom we sign in there.
    ///
    /// # Errors
    /// If the password cannot be read.
    pub fn upstream(&self) -> Result<Upstream, Error> {
        Ok(Upstream {
            host: self.cluster.host.clone(),
            port: self.cluster.port,
            user: self.snapshots.role.clone(),
            password: config::read_secret_line(&self.snapshots.password_file)?,
            ca: self.cluster.ca.clone(),
            certificate: self.snapshots.certificate.clone(),
            database: QUESTIONS.to_owned(),
            private: self.runtime.clone(),
        })
    }

    /// What takes a snapshot of that database, or of the whole cluster.
    pub(super) fn back_end(&self, database: Option<&str>) -> Box<dyn BackEnd> {
        match database {
            Some(database) => Box::new(PgDump { database: database.to_owned(), compression: 1 }),
            None => Box::new(PgBaseBackup {
                checksums: match self.snapshots.checksums {
                    Checksums::Crc32c => Algorithm::Crc32c,
                    Checksums::Sha256 => Algorithm::Sha256,
                },
            }),
        }
    }

    /// What a snapshot is taken of, each with the customers in it: the whole cluster, or each database in which an
    /// account still has rows.
    pub(super) fn subjects(&self, state: &State) -> Vec<(Option<String>, Vec<CustomerId>)> {
        let there = state.customers().filter(|customer| customer.cluster == self.snapshots.cluster);
        let there: Vec<_> = there
            .filter(|customer| customer.closure.as_ref().is_none_or(|closure| closure.purge.verified.is_none()))
            .collect();
        match self.snapshots.kind {
            SnapshotKind::BaseBackup => vec![(None, there.iter().map(|customer| customer.id).collect())],
            SnapshotKind::Dump => {
                let mut databases: Vec<&str> = there.iter().map(|customer| customer.database.as_str()).collect();
                databases.sort_unstable();
                databases.dedup();
                let of = |database: &str| {
                    let inside = there.iter().filter(|customer| customer.database == database);
                    inside.map(|customer| customer.id).collect()
                };
                databases.into_iter().map(|database| (Some(database.to_owned()), of(database))).collect()
            }
        }
    }

    /// By which snapshots of the same thing are known.
    pub(super) fn series(&self, system_identifier: u64, database: Option<&str>) -> [u8; 16] {
        let kind = self.back_end(database).kind();
        self.instance.series(kind, system_identifier, database.unwrap_or_default())
    }
}

/// Reads a snapshot recipient's public key: 64 hexadecimal digits on one line.
///
/// # Errors
/// [`Error::Recipient`].
pub fn read_recipient(path: &Path) -> Result<[u8; 32], Error> {
    let refused = |why: String| Error::Recipient { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let digits = text.trim_end();
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(refused("it does not hold 64 hexadecimal digits".to_owned()));
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *byte = pair.ok_or_else(|| refused("it does not hold 64 hexadecimal digits".to_owned()))?;
    }
    Ok(key)
}
