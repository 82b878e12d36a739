//! What can be wrong with a snapshot or its store, and whose matter it is.
//! Not here: what to do about it beyond the hint in each text. No text holds a secret or a customer's name.

use std::io;
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::ids::SnapshotId;

/// Why something about a snapshot was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Storage: a file or directory could not be used.
    #[error("cannot {verb} {}: {source}", path.display())]
    Storage {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Storage: no space.
    #[error("the snapshot store {} is full: {detail}; free some space, or move the store", dir.display())]
    Full {
        /// The store.
        dir: PathBuf,
        /// How much was needed, or when it ended.
        detail: String,
    },
    /// Storage: the directory answers, but it is not the store: an unmounted file system looks like an empty one.
    #[error(
        "{} is not the snapshot store it was: {detail}; is its file system mounted? nothing is concluded from what is \
         not listed there", dir.display()
    )]
    NotTheStore {
        /// The directory.
        dir: PathBuf,
        /// What was found in place of the store's mark.
        detail: String,
    },
    /// Another daemon leads.
    #[error("another daemon holds the lease of the snapshot store {}; one leads, the other waits", .0.display())]
    Led(PathBuf),
    /// Another daemon took the lead since.
    #[error("the lease number {ours} was overtaken by number {theirs}: another daemon leads; nothing was done")]
    Fenced {
        /// Our number.
        ours: u64,
        /// The number found.
        theirs: u64,
    },
    /// The slot has its snapshot already.
    #[error("the slot of {slot} has its snapshot already: {id}")]
    SlotTaken {
        /// The slot.
        slot: Timestamp,
        /// The snapshot it has.
        id: SnapshotId,
    },
    /// It is not ours to touch.
    #[error("snapshot {id} is not this instance's: {reason}; it is not touched")]
    NotOurs {
        /// Which.
        id: SnapshotId,
        /// Why we think so.
        reason: String,
    },
    /// It is not the one the caller means.
    #[error("snapshot {id} was started at {found}, not at {expected}; make a new plan, nothing was deleted")]
    Changed {
        /// Which.
        id: SnapshotId,
        /// The start that stands in it.
        found: Timestamp,
        /// The start that the caller named.
        expected: Timestamp,
    },
    /// It is being written.
    #[error("snapshot {0} is being taken; wait until it is done, or end the daemon that takes it")]
    Running(SnapshotId),
    /// It was never finished.
    #[error("snapshot {0} was never finished: it cannot be read")]
    Unfinished(SnapshotId),
    /// There is none of that id.
    #[error("there is no snapshot {0} in the store")]
    Missing(SnapshotId),
    /// It should be gone, and is not.
    #[error("snapshot {id} is still in the store, as {}", names.join(", "))]
    StillThere {
        /// Which.
        id: SnapshotId,
        /// The files.
        names: Vec<String>,
    },
    /// Storage, or somebody changed it.
    #[error("snapshot {id} is damaged: {detail}; take another one, and find out what happened to this")]
    Damaged {
        /// Which.
        id: SnapshotId,
        /// What does not fit.
        detail: String,
    },
    /// The wrong private key, or a public key that cannot be sealed to.
    #[error("{0}")]
    Key(String),
    /// A program could not be run.
    #[error("cannot run {}: {source}; set the directory of PostgreSQL's programs", program.display())]
    NoProgram {
        /// Which.
        program: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program ran and failed: usually the database's or its configuration's matter.
    #[error("{program} failed ({status}): {said}")]
    Program {
        /// Which.
        program: String,
        /// How it ended.
        status: String,
        /// Its last words.
        said: String,
    },
    /// The database does not answer, or not as it must.
    #[error("cannot ask the database at {place}: {detail}")]
    Database {
        /// Host and port.
        place: String,
        /// What went wrong.
        detail: String,
    },
    /// What passed is not what its own list says.
    #[error("the snapshot does not agree with itself: {0}; it was not kept")]
    NotVerified(String),
    /// Configuration, or the command line.
    #[error("{0}")]
    Refused(String),
    /// Who watched said stop.
    #[error("stopped as asked; nothing was kept")]
    Interrupted,
    /// Bug: a thread panicked.
    #[error("the snapshot's {0} thread panicked; report this")]
    Panicked(&'static str),
}

impl Error {
    pub(super) fn storage(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                let dir = path.parent().unwrap_or(&path).to_owned();
                Error::Full { dir, detail: format!("cannot {verb} {}: {source}", path.display()) }
            }
            _ => Error::Storage { verb, path, source },
        }
    }

    pub(super) fn damaged(id: SnapshotId, detail: impl Into<String>) -> Error {
        Error::Damaged { id, detail: detail.into() }
    }
}
