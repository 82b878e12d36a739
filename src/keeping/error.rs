//! What can be in the way of keeping and deleting, and whose matter it is.

use std::path::PathBuf;

use crate::retention::solve::Unkeepable;
use crate::{config, register, snapshots};

/// Why something was not taken, deleted or confirmed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Error {
    /// A snapshot, its store, or the database it is of.
    #[error(transparent)]
    Snapshots(#[from] snapshots::Error),
    /// The register, or the log that must come first.
    #[error(transparent)]
    Register(#[from] register::Error),
    /// Configuration.
    #[error(transparent)]
    Configuration(#[from] config::Error),
    /// Configuration: the promise cannot be kept.
    #[error(transparent)]
    Unkeepable(#[from] Unkeepable),
    /// Configuration: the public key that snapshots are encrypted to.
    #[error("cannot use the public key in {}: {why}; make a pair with \"portreeve retention keys\"", path.display())]
    Recipient { path: PathBuf, why: String },
    /// Configuration: two names that the register cannot tell apart.
    #[error("the back-ends \"{one}\" and \"{other}\" have the same number in the register: give one another name")]
    SameNumber { one: String, other: String },
    /// Storage: a note of the daemon's own.
    #[error("cannot {doing} {}: {source}", path.display())]
    Note { doing: &'static str, path: PathBuf, source: std::io::Error },
    /// The machine: a clock that does not answer.
    #[error("cannot read the time since boot: {0}")]
    Clock(std::io::Error),
    /// Bug.
    #[error("bug: {0}")]
    Bug(&'static str),
}

impl Error {
    /// A clock that does not answer.
    pub fn clock(source: std::io::Error) -> Error {
        Error::Clock(source)
    }

    /// Whether the configuration, or a file that it names, must be mended first.
    pub fn is_configuration(&self) -> bool {
        match self {
            Error::Configuration(_) | Error::Unkeepable(_) | Error::Recipient { .. } | Error::SameNumber { .. } => true,
            Error::Snapshots(_) | Error::Register(_) | Error::Note { .. } | Error::Clock(_) | Error::Bug(_) => false,
        }
    }
}
