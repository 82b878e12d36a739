//! What can be wrong with an audit log, and whose matter it is.
//! Not here: findings of a verification (`verify.rs`).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::segment::SegmentHeader;
use super::verify::Verdict;
use crate::audit::descriptor::VERSION;
use crate::audit::keys::{self, Recipient};

/// Why a log cannot be opened, read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Storage: a write or sync failed. Nothing is retried; the process must end.
    #[error("the audit log can no longer be written: {0}")]
    Failed(String),
    /// Storage: there is no space for another segment, or less than the reserve for a new session.
    #[error("the audit log in {} is full: free some space on its file system", .0.display())]
    Full(PathBuf),
    /// Configuration: a public key or the tag key of that recipient and period is missing.
    #[error(
        "there are no keys to seal records of {recipient} in {period}; \
         nothing is written unsealed: ask the keyring for them (is it running?)"
    )]
    NoKey {
        /// Whose keys.
        recipient: Recipient,
        /// Of which period.
        period: u32,
    },
    /// Configuration: the recipient's tag key is not there, so that nothing tells its records from others'.
    #[error("there is no tag key of {0}: it was destroyed, or there never was one")]
    NoTag(Recipient),
    /// Client: more leaves would have to be listed than anybody would read.
    #[error(
        "to show that nothing is left out of {origin}, {listed} leaves would have to be listed, for the customer has no \
         later record there: ask for a shorter period, or for other logs"
    )]
    Unprovable {
        /// The log.
        origin: String,
        /// How many leaves.
        listed: u64,
    },
    /// Configuration: a public key that cannot be sealed to.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// Client: a part of a record is larger than [`PART_BYTES_MAX`](super::PART_BYTES_MAX).
    #[error("the record is larger than 512 MiB")]
    TooLarge,
    /// Bug: the log was used in a way it is not meant for.
    #[error("the audit log was misused: {0}")]
    Misused(&'static str),
    /// Client: whoever reads had it stopped.
    #[error("the reading of the audit log was stopped")]
    Stopped,
    /// Bug: the log was closed.
    #[error("the audit log is closed")]
    Closed,
    /// Configuration: another process has the log open.
    #[error("the audit log in {} is open in another process; two writers need two directories", .0.display())]
    Locked(PathBuf),
    /// Configuration: the log was closed for good, because its key was changed.
    #[error(
        "the audit log in {} ended and goes on as {next}, whose key this is not: its rotation was cut off, run \
         \"portreeve keys rotate log\" again", dir.display()
    )]
    Continued {
        /// The log's directory.
        dir: PathBuf,
        /// The verifier key of the log that goes on.
        next: String,
    },
    /// Configuration: the writer's name cannot stand in an origin.
    #[error("\"{0}\" cannot be the name of a log's writer: use up to 150 letters, digits, \".\", \"_\" and \"-\"")]
    Name(String),
    /// Storage: a file cannot be used.
    #[error("cannot {verb} {}: {detail}", path.display())]
    Storage {
        /// What was tried.
        verb: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system said.
        detail: String,
    },
    /// Configuration: the log was written in another version of the format.
    #[error(
        "{} is of format version {found}, and this portreeve reads version {VERSION} only: use the portreeve that wrote \
         it, or move the log's directory aside, keep it for the auditor, and a new log will begin",
        path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: char,
    },
    /// Storage, or somebody changed it: the log is not what was written and signed.
    #[error(
        "the audit log in {} is {verdict}: {detail}; {way_out}",
        dir.display()
    )]
    Unsound {
        /// The log's directory.
        dir: PathBuf,
        /// In one word.
        verdict: Verdict,
        /// Where, and how it shows.
        detail: String,
        /// What to do about it.
        way_out: &'static str,
    },
}

/// What to do about a log that does not fit together.
const MEND: &str = "run \"portreeve audit verify\", restore the directory from a copy, or move it aside, keep it for the \
                    auditor, and start a new log";
/// What to do about a log that is not the one somebody remembers.
const BRING_BACK: &str = "bring back the newest copy of the directory; if it is lost for good, keep what is there for \
                          the auditor, and delete this log's row from the table \"checkpoint\" of the register, so \
                          that a new log can begin";

impl Error {
    pub(super) fn storage(verb: &'static str, path: &Path, error: &io::Error) -> Error {
        let detail = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("{error}: run this as the user that the log belongs to, or give the file to that user")
            }
            _ => error.to_string(),
        };
        Error::Storage { verb, path: path.to_owned(), detail }
    }

    /// Refuses a segment whose first block another version wrote.
    pub(super) fn check_version(path: &Path, block: &[u8]) -> Result<(), Error> {
        let other = SegmentHeader::other_version(block);
        other.map_or(Ok(()), |found| Err(Error::Version { path: path.to_owned(), found }))
    }

    pub(super) fn unsound(dir: &Path, verdict: Verdict, detail: impl fmt::Display) -> Error {
        Error::Unsound { dir: dir.to_owned(), verdict, detail: detail.to_string(), way_out: MEND }
    }

    /// The log is not the one that is remembered.
    pub(super) fn not_remembered(dir: &Path, verdict: Verdict, detail: impl fmt::Display) -> Error {
        Error::Unsound { dir: dir.to_owned(), verdict, detail: detail.to_string(), way_out: BRING_BACK }
    }
}
