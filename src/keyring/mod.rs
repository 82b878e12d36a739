//! The keyring: the only holder of keys that open records, behind a Unix socket with peer credentials.
//! Not here: how records are sealed (`audit/`) and where they are kept (`log/`).
//! Specification: the design, sections 4 and 10; the file's bytes are described in `file.rs`.

mod client;
mod destroy;
pub mod file;
mod generation;
pub mod init;
mod keep;
mod kept;
mod keys;
pub mod pinned;
mod protocol;
mod sealed;
mod server;
pub mod succession;

use std::io;
use std::path::PathBuf;

pub use client::{Client, Gone};
pub use destroy::{Doom, Doomed};
pub use keep::{Pace, Wanted, keep_keys};
pub use kept::{Kept, Written};
pub use keys::{Destroyed, Keyring, Slot};
pub use protocol::{TEXT_BYTES_MAX, written_again};
pub use server::{Access, Server, Settings};

/// What can go wrong with the keyring, and whose turn it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Refused: the peer's user may not use that verb.
    #[error("the keyring refused user {uid} to {verb}: only users in `[keyring] {list}` of its configuration may")]
    Refused {
        /// The peer's user id, as the kernel tells it.
        uid: u32,
        /// The verb asked for.
        verb: String,
        /// The setting that lists who may: `writers`, `openers` or `destroyers`.
        list: String,
    },
    /// Refused: one of the sealed data keys does not open; nothing was opened.
    #[error("the keyring did not open the data key at position {position} of {origin}: {reason}")]
    NotOpened {
        /// The log's origin.
        origin: String,
        /// The position of the sealed data key in it.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Client: the peer sent what is no message of the protocol, or too much of it.
    #[error("not a keyring message: {0}")]
    Message(String),
    /// Upstream: nobody answers at the socket.
    #[error("no keyring answers at {}: {source}; start it with `portreeve keyring`", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What connecting, writing or reading said.
        source: io::Error,
    },
    /// Upstream: the keyring was reached and could not do it.
    #[error("the keyring could not {verb}: {reason}")]
    Failed {
        /// The verb asked for.
        verb: String,
        /// What it said.
        reason: String,
    },
    /// Upstream: keys arrived that the pinned keyring did not sign.
    #[error("keys for {recipient} are not signed by the pinned keyring: check the keyring's public key file")]
    Untrusted {
        /// Whose keys.
        recipient: String,
    },
    /// Configuration: a file is missing.
    #[error(
        "{what} {} does not exist: make it with `portreeve keys init`, or restore it from its copy", path.display()
    )]
    Missing {
        /// Such as `keyring file`.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// Configuration: others may read a secret file.
    #[error("{what} {} has mode {mode:04o} and must not be open to group or others: run `chmod {due:04o} {}`",
        path.display(), path.display())]
    Exposed {
        /// Such as `keyring credential`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        due: u32,
    },
    /// Configuration: a file is not what it should be.
    #[error("{what} {} is {problem}: restore it from its copy", path.display())]
    Damaged {
        /// Such as `keyring file`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, such as `shorter than its header`.
        problem: String,
    },
    /// Configuration: a file was written by a newer portreeve.
    #[error("{what} {} is of version {version}, and this portreeve reads version {known}: \
        start the portreeve that wrote it, or one as new", path.display())]
    Newer {
        /// Such as `keyring file`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The one that is read here.
        known: u32,
    },
    /// Configuration: the credential does not open the keyring file.
    #[error("keyring file {} does not open with credential {}: \
        one of them is damaged or belongs to another keyring; restore the pair from its copy",
        path.display(), credential.display())]
    WrongCredential {
        /// The keyring file.
        path: PathBuf,
        /// The credential file.
        credential: PathBuf,
    },
    /// Configuration: an old keyring was brought back, which would bring back keys that were destroyed.
    #[error(
        "keyring file {} is of generation {found}, but generation {newest} was reached: an old copy was brought back; \
         bring back the newest copy, with its .generation file beside it", path.display()
    )]
    OldKeyring {
        /// The keyring file.
        path: PathBuf,
        /// Its generation.
        found: u64,
        /// The newest that is known.
        newest: u64,
    },
    /// Refused: that recipient's keys were destroyed, and none are made again.
    #[error("the keys of {recipient} were destroyed, and none are made again")]
    Destroyed {
        /// Whose keys.
        recipient: String,
    },
    /// Configuration: somebody else is at work there.
    #[error("another keyring already uses {}: stop it first", path.display())]
    Busy {
        /// The keyring file or the socket.
        path: PathBuf,
    },
    /// Configuration: a file that would be made exists.
    #[error("{} exists already and is not overwritten: move it away first if new keys are wanted", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Storage: a file could not be read or written.
    #[error("could not {verb} {}: {source}{}", path.display(), advice(source.kind()))]
    Storage {
        /// Such as `read`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Storage: the keyring's own log cannot be written, so nothing is answered.
    #[error("the keyring's use cannot be recorded, so nothing is answered: {0}")]
    Unrecorded(#[from] crate::log::Error),
    /// Bug: cryptography refused what cannot be refused.
    #[error("bug: {0}")]
    Bug(&'static str),
}

/// What to do about what the system said of a file or its folder; nothing where that says all.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            "; run this as the user that the file and its folder belong to, or as root, or give them to that user"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room there: what stood in the file before stands there still"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; mount its file system for writing",
        io::ErrorKind::NotFound => "; make its folder, or mount what belongs there",
        _ => "",
    }
}

impl Error {
    /// Whether the configuration, or a file that it names, must be mended first.
    pub fn is_configuration(&self) -> bool {
        match self {
            Error::Missing { .. }
            | Error::Exposed { .. }
            | Error::Damaged { .. }
            | Error::Newer { .. }
            | Error::WrongCredential { .. }
            | Error::OldKeyring { .. } => true,
            Error::Refused { .. }
            | Error::NotOpened { .. }
            | Error::Destroyed { .. }
            | Error::Message(_)
            | Error::Unreachable { .. }
            | Error::Failed { .. }
            | Error::Untrusted { .. }
            | Error::Busy { .. }
            | Error::Exists { .. }
            | Error::Storage { .. }
            | Error::Unrecorded(_)
            | Error::Bug(_) => false,
        }
    }

    /// The refusal of that verb to that user.
    fn refused(uid: u32, verb: &str) -> Error {
        let list = match verb {
            "create" | "tags" => "writers",
            "destroy" => "destroyers",
            _ => "openers",
        };
        Error::Refused { uid, verb: verb.to_owned(), list: list.to_owned() }
    }
}
