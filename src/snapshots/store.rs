//! A directory of snapshots: what is in it, what may be deleted, and whether something is gone.
//! Not here: what a snapshot holds. An answer that is only half there is an error, never a shorter list.
//! Names: `<id>.snapshot` is whole, `<id>.running` is not (yet), `<id>.running.new` has not even a byte of data.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::error::Error;
use super::header::{FOOT_BYTES, Foot, Header, HeaderBytes, LEAD_BYTES};
use super::instance::Instance;
use super::lease::Lease;
use super::seal::TAG_BYTES;
use crate::clock::{Clock, Timestamp};
use crate::disk::{Disk, ReadAt};
use crate::entropy::{Entropy, random};
use crate::ids::SnapshotId;

/// The file that makes a directory a store.
const MARK: &str = "store";
pub(super) const LEASE: &str = "lease";
pub(super) const FENCE: &str = "fence";
const WHOLE: &str = "snapshot";
const RUNNING: &str = "running";

/// A directory of snapshots, seen by one instance.
#[derive(Clone)]
pub struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    instance: Instance,
    mark: Vec<u8>,
}

/// One file of a store.
#[derive(Clone, Debug)]
pub enum Found {
    /// This instance wrote it.
    Ours(Box<Ours>),
    /// Somebody else did, or it is not whole enough to tell. Never touched.
    Foreign(Foreign),
}

/// A snapshot that carries this instance's tag.
#[derive(Clone, Debug)]
pub struct Ours {
    /// What stands before the data.
    pub header: Header,
    /// Bytes of the file.
    pub bytes: u64,
    /// How far it came.
    pub state: State,
}

/// How far a snapshot came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Whole, and verified while it was taken.
    Complete(Foot),
    /// A living process writes it.
    Running,
    /// Its process ended before it was whole. It may hold data all the same: it expires like any other.
    Failed,
    /// It has the name of a whole one and is not: its length or its foot is wrong.
    Damaged(&'static str),
}

/// A file that is not ours to touch.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// Its name in the store.
    pub name: String,
    /// Bytes of the file, where that can be told.
    pub bytes: Option<u64>,
    /// When it was last changed, by the file system.
    pub modified: Option<Timestamp>,
    /// The start that its header claims; nobody vouches for it.
    pub claims_started: Option<Timestamp>,
    /// Why it is not ours.
    pub reason: &'static str,
}

/// Which snapshot the caller means: it is deleted only if both agree with what stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: SnapshotId,
    /// Its start, as [`Header::started`] says.
    pub started: Timestamp,
}

/// What a deletion found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It was there, and its name is gone.
    Removed,
    /// It was gone already: somebody was here before, perhaps we, before a crash.
    WasGone,
}

/// A snapshot was not in the store when it was listed. Made by [`Store::confirm_absent`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    id: SnapshotId,
    at: Timestamp,
}

impl Absent {
    /// Which.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// When we looked.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl Store {
    /// Makes an empty directory a store.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is something in it; [`Error::Storage`].
    pub fn create(disk: Arc<dyn Disk>, dir: &Path, instance: Instance, entropy: &dyn Entropy) -> Result<Store, Error> {
        disk.make_directory(dir).map_err(Error::storage("create", dir))?;
        if !disk.names(dir).map_err(Error::storage("list", dir))?.is_empty() {
            let detail = "is not empty; name an empty directory for a new snapshot store";
            return Err(Error::Refused(format!("{} {detail}", dir.display())));
        }
        let id = u128::from_be_bytes(random::<16>(entropy));
        let mark = format!("portreeve snapshot store {id:032x}\n").into_bytes();
        let path = dir.join(MARK);
        disk.replace(&path, &mark, 0o640).map_err(Error::storage("write", &path))?;
        Ok(Store { disk, dir: dir.to_owned(), instance, mark })
    }

    /// Opens a store. It must be there: a directory without its mark may be a mount point without its file system.
    ///
    /// # Errors
    /// [`Error::NotTheStore`], [`Error::Storage`].
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, instance: Instance) -> Result<Store, Error> {
        let mut store = Store { disk, dir: dir.to_owned(), instance, mark: Vec::new() };
        store.mark = store.read_mark()?;
        Ok(store)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The store's own name, for the register: a store that answers with another one is another store.
    pub fn mark(&self) -> &[u8] {
        &self.mark
    }

    /// Takes the lead among the daemons that use this store.
    ///
    /// # Errors
    /// [`Error::Led`] if another has it.
    pub fn lease(&self) -> Result<Lease, Error> {
        Lease::take(self)
    }

    /// Everything in the store, in no order.
    ///
    /// # Errors
    /// [`Error::NotTheStore`], and [`Error::Storage`] if any file cannot be looked at.
    pub fn list(&self) -> Result<Vec<Found>, Error> {
        let names = self.names()?;
        let ids = names.iter().filter(|name| ![MARK, LEASE, FENCE].contains(&name.as_str()));
        let mut found = Vec::new();
        for name in ids {
            match self.look_at(name) {
                // It had another name, or was deleted, while we looked: then it is not listed any more.
                Err(Error::Storage { source, .. })
                    if source.kind() == ErrorKind::NotFound && !self.names()?.contains(name) =>
                {
                    let renamed = whole_name_of(name);
                    if let Some(renamed) = renamed.filter(|renamed| !names.contains(renamed))
                        && self.names()?.contains(&renamed)
                    {
                        found.push(self.look_at(&renamed)?);
                    }
                }
                looked => found.push(looked?),
            }
        }
        self.check_mark()?;
        Ok(found)
    }

    /// Ours of that id.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::NotOurs`], [`Error::Storage`].
    pub fn find(&self, id: SnapshotId) -> Result<Ours, Error> {
        let name = self.name_of(id)?.ok_or(Error::Missing(id))?;
        match self.look_at(&name)? {
            Found::Ours(ours) => Ok(*ours),
            Found::Foreign(foreign) => Err(Error::NotOurs { id, reason: foreign.reason.to_owned() }),
        }
    }

    /// Deletes the snapshot that the caller means, and no other. To be repeated after a crash.
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::Changed`], [`Error::Running`], [`Error::Fenced`], [`Error::NotTheStore`],
    /// [`Error::Storage`]; in all cases nothing is deleted.
    pub fn delete(&self, lease: &Lease, named: &Named) -> Result<Deleted, Error> {
        let Some(name) = self.name_of(named.id)? else {
            return Ok(Deleted::WasGone);
        };
        let ours = self.find(named.id)?;
        if ours.header.started() != named.started {
            let (found, expected) = (ours.header.started(), named.started);
            return Err(Error::Changed { id: named.id, found, expected });
        }
        if ours.state == State::Running {
            return Err(Error::Running(named.id));
        }
        lease.check()?;
        let path = self.dir.join(name);
        self.disk.remove(&path).map_err(Error::storage("remove", &path))?;
        Ok(Deleted::Removed)
    }

    /// Lists the store anew and says that the snapshot is not in it.
    ///
    /// # Errors
    /// [`Error::StillThere`]; [`Error::NotTheStore`] and [`Error::Storage`] if the list cannot be trusted.
    pub fn confirm_absent(&self, id: SnapshotId, clock: &dyn Clock) -> Result<Absent, Error> {
        let prefix = id.to_string();
        let mut names = self.names()?;
        // After the list: had the file system gone before, the mark would be gone now.
        self.check_mark()?;
        names.retain(|name| name.starts_with(&prefix));
        if names.is_empty() { Ok(Absent { id, at: clock.now() }) } else { Err(Error::StillThere { id, names }) }
    }

    /// The whole snapshot of that series that a slot has, if it has one.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn of_slot(&self, series: &[u8; 16], slot: Timestamp) -> Result<Option<SnapshotId>, Error> {
        let is_it = |ours: &Ours| {
            matches!(ours.state, State::Complete(_))
                && ours.header.series == *series
                && ours.header.slot() == Some(slot)
        };
        Ok(self.list()?.into_iter().find_map(|found| match found {
            Found::Ours(ours) if is_it(&ours) => Some(ours.header.id()),
            Found::Ours(_) | Found::Foreign(_) => None,
        }))
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(super) fn whole_path(&self, id: SnapshotId) -> PathBuf {
        self.dir.join(format!("{id}.{WHOLE}"))
    }

    pub(super) fn running_path(&self, id: SnapshotId) -> PathBuf {
        self.dir.join(format!("{id}.{RUNNING}"))
    }

    /// Whether the directory still is the store that was opened.
    pub(super) fn check_mark(&self) -> Result<(), Error> {
        if self.read_mark()? == self.mark {
            Ok(())
        } else {
            Err(Error::NotTheStore { dir: self.dir.clone(), detail: "it has another store's mark".to_owned() })
        }
    }

    fn read_mark(&self) -> Result<Vec<u8>, Error> {
        let path = self.dir.join(MARK);
        let missing = |detail: &str| Error::NotTheStore { dir: self.dir.clone(), detail: detail.to_owned() };
        match self.disk.read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(missing("its file \"store\" is missing")),
            Ok(mark) if mark.is_empty() => Err(missing("its file \"store\" is empty")),
            read => read.map_err(Error::storage("read", &path)),
        }
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        self.check_mark()?;
        self.disk.names(&self.dir).map_err(Error::storage("list", &self.dir))
    }

    /// The name under which a snapshot stands; the whole one before any other.
    fn name_of(&self, id: SnapshotId) -> Result<Option<String>, Error> {
        let names = self.names()?;
        let possible = [format!("{id}.{WHOLE}"), format!("{id}.{RUNNING}"), format!("{id}.{RUNNING}.new")];
        Ok(possible.into_iter().find(|name| names.contains(name)))
    }

    fn look_at(&self, name: &str) -> Result<Found, Error> {
        let path = self.dir.join(name);
        let Some((id, ending)) = id_of(name) else {
            let bytes = self.disk.open_to_read(&path).and_then(|file| file.len()).ok();
            return Ok(self.foreign(name, bytes, None, "its name is not a snapshot's"));
        };
        let file = self.disk.open_to_read(&path).map_err(Error::storage("open", &path))?;
        let bytes = file.len().map_err(Error::storage("measure", &path))?;
        let Some(header) = read_header(file.as_ref(), bytes, &self.instance, &path)? else {
            return Ok(self.foreign(name, Some(bytes), None, "it has no header of a snapshot"));
        };
        let claims = Some(header.header.started());
        if header.header.instance != self.instance.id() {
            return Ok(self.foreign(name, Some(bytes), claims, "another instance wrote it"));
        }
        if !header.is_ours {
            return Ok(self.foreign(name, Some(bytes), claims, "it says it is ours, but its tag is wrong"));
        }
        if header.header.id() != id {
            return Ok(self.foreign(name, Some(bytes), claims, "it has the name of another snapshot"));
        }
        let state = match ending {
            Ending::Whole => whole_state(file.as_ref(), bytes, &header, &self.instance, &path)?,
            Ending::Running if self.disk.is_locked(&path).map_err(Error::storage("look at the lock of", &path))? => {
                State::Running
            }
            Ending::Running => State::Failed,
        };
        Ok(Found::Ours(Box::new(Ours { header: header.header, bytes, state })))
    }

    fn foreign(&self, name: &str, bytes: Option<u64>, claims: Option<Timestamp>, reason: &'static str) -> Found {
        let about = std::fs::metadata(self.dir.join(name)).and_then(|about| about.modified()).ok();
        let modified = about.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|since| Timestamp(0).plus(since));
        Found::Foreign(Foreign { name: name.to_owned(), bytes, modified, claims_started: claims, reason })
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({}, {:?})", self.dir.display(), self.instance)
    }
}

enum Ending {
    Whole,
    Running,
}

fn id_of(name: &str) -> Option<(SnapshotId, Ending)> {
    let (id, ending) = name.split_once('.')?;
    let ending = match ending {
        WHOLE => Ending::Whole,
        RUNNING | "running.new" => Ending::Running,
        _ => return None,
    };
    Some((id.parse().ok()?, ending))
}

/// The name that a running snapshot has when it is whole.
fn whole_name_of(name: &str) -> Option<String> {
    match id_of(name)? {
        (id, Ending::Running) => Some(format!("{id}.{WHOLE}")),
        (_, Ending::Whole) => None,
    }
}

/// The header of a file of `len` bytes; `None` if it has none.
pub(super) fn read_header(
    file: &dyn ReadAt,
    len: u64,
    instance: &Instance,
    path: &Path,
) -> Result<Option<HeaderBytes>, Error> {
    let mut lead = [0; LEAD_BYTES];
    if len < LEAD_BYTES as u64 {
        return Ok(None);
    }
    match file.read_at(0, &mut lead) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => return Ok(None),
        read => read.map_err(Error::storage("read", path))?,
    }
    let Some(header_len) = HeaderBytes::len_from(&lead).filter(|header_len| *header_len as u64 <= len) else {
        return Ok(None);
    };
    let mut bytes = vec![0; header_len];
    file.read_at(0, &mut bytes).map_err(Error::storage("read", path))?;
    Ok(HeaderBytes::parse(bytes, instance))
}

/// The foot of a file with that header, if its length is right.
pub(super) fn read_foot(
    file: &dyn ReadAt,
    len: u64,
    header: &HeaderBytes,
    instance: &Instance,
    path: &Path,
) -> Result<Result<Foot, &'static str>, Error> {
    let header_len = header.bytes.len() as u64;
    let Some(at) = len.checked_sub(FOOT_BYTES as u64).filter(|at| *at >= header_len) else {
        return Ok(Err("it is cut off"));
    };
    let mut bytes = [0; FOOT_BYTES];
    file.read_at(at, &mut bytes).map_err(Error::storage("read", path))?;
    let Some(foot) = Foot::parse(&bytes, &header.digest(), instance) else {
        return Ok(Err("it has no foot with our tag: it was cut off or changed"));
    };
    let sealed = foot.plain_bytes.checked_add(foot.chunks.saturating_mul(TAG_BYTES as u64));
    Ok(if sealed == Some(at - header_len) { Ok(foot) } else { Err("its length is not what its foot says") })
}

fn whole_state(
    file: &dyn ReadAt,
    len: u64,
    header: &HeaderBytes,
    instance: &Instance,
    path: &Path,
) -> Result<State, Error> {
    Ok(match read_foot(file, len, header, instance, path)? {
        Ok(foot) => State::Complete(foot),
        Err(wrong) => State::Damaged(wrong),
    })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
