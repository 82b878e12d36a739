//! What can go wrong with the register, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::at::{Place, Reach};
use super::narrow::Told;
use crate::grant::{Fault, Lock};
use crate::ids::Sequence;
use crate::net::tls_connect;
use crate::{config, grant, log};

/// What is not known of proxies that share a register's server.
const ELSEWHERE: &str = "proxies on other machines are not told, and may stay open until the register has it";

/// Why the register did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Error {
    /// Another writer was faster. Refused: try again on the new state.
    #[error("the register has moved on to {0}")]
    LostRace(Sequence),
    /// The rules forbid the change. Client: the text says what is allowed.
    #[error("{0}")]
    Refused(String),
    /// What is stored does not verify. Storage, or somebody who wrote there: nothing is decided from it.
    #[error(
        "the register {place} does not verify: {fault}; stop every role, keep a copy of it for the investigation, \
         and bring back the newest copy that verifies"
    )]
    Broken { place: Place, fault: Fault },
    /// The register is older than what this role has seen.
    #[error(
        "the register {place} ends at {found}, but this role has seen {seen}: an old copy was brought back; bring back \
         the newest copy; if it is lost for good, have every account owner look at their switch, then delete {}",
        seen_path.display()
    )]
    RolledBack { place: Place, seen_path: PathBuf, found: Sequence, seen: Sequence },
    /// The register's history is not the one this role has seen.
    #[error(
        "the register {place} is not the one this role has seen: event {sequence} differs; bring back the right one; if \
         it is meant to be another one, delete {}", seen_path.display()
    )]
    Different { place: Place, seen_path: PathBuf, sequence: Sequence },
    /// The note of what was last seen cannot be read.
    #[error(
        "{} does not hold a sequence and a hash such as \"41 0f…\": bring back the file; deleting it gives up the \
         check that the register was not rolled back", .0.display()
    )]
    SeenUnreadable(PathBuf),
    /// The file was replaced under a running role.
    #[error("the register {} was replaced while it was in use; start this role again", .0.display())]
    Replaced(PathBuf),
    /// It is some other database, or of a newer version.
    #[error("{0} is not a register of this version; check [register] in the configuration")]
    NotARegister(Place),
    /// A log's checkpoint went back, or changed without growing.
    #[error(
        "the audit log {log} stands at {found} records, but the register remembers {known}: the log was cut or an \
         old copy was brought back; bring back the newest copy of its directory"
    )]
    LogBehind { log: String, found: u64, known: u64 },
    /// SQLite could not do it.
    #[error("cannot {doing} the register {}: {source}", path.display())]
    Sqlite { doing: &'static str, path: PathBuf, source: rusqlite::Error },
    /// The server could not do it, or cannot be reached.
    #[error("cannot {doing} the register {place}: {said}")]
    Server { doing: &'static str, place: Place, said: String },
    /// Storage, or the server: whether it has the change nobody can say before it can be asked again.
    #[error(
        "it is not known whether the register has the change: {0}; look before you do it again; the next start of this role \
         finds out and records it"
    )]
    Unsure(Box<Error>),
    /// The server, or what is there for the register, is not as it must be.
    #[error("the register {place} cannot be used: {why}")]
    Unfit { place: Place, why: String },
    /// The password's file.
    #[error(transparent)]
    Configuration(#[from] config::Error),
    /// The certificates of the road to the server.
    #[error(transparent)]
    Tls(#[from] tls_connect::Error),
    /// A file verb failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    /// The machine gives no thread.
    #[error("cannot start a thread to {doing} of the register: {source}")]
    Thread { doing: &'static str, source: io::Error },
    /// The record that must come first could not be written.
    #[error("nothing was changed, because it could not be recorded: {0}")]
    Log(#[from] log::Error),
    /// Storage: access is shut although the register did not take it.
    #[error(
        "access is shut by a lock ({locks}) in the proxy at {by}{others}, but the register does not have it: {cause}; the \
         lock holds, over restarts too, until the register confirms it: mend the register, then do this again"
    )]
    Shut { locks: String, by: String, others: String, reach: Reach, cause: Box<Error> },
    /// Storage: access is not shut by anybody.
    #[error(
        "access is not shut: the register does not have it: {cause}; and no proxy could be told: {why}; stop every \
         proxy that still runs, or mend the register and do this again"
    )]
    Open { why: String, cause: Box<Error> },
    /// Upstream: the keyring did not destroy keys.
    #[error("the keys are not destroyed: {0}; it is tried again")]
    NotDestroyed(String),
    /// A task or a lock was lost: a bug.
    #[error("bug: {0}")]
    Bug(&'static str),
}

impl Error {
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::File { doing, path, source }
    }

    pub(super) fn thread(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Thread { doing, source }
    }

    pub(super) fn sqlite(doing: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Sqlite { doing, path, source }
    }

    /// What is the case when these locks were sent and the register then could not be read or written.
    pub(super) fn unconfirmed(locks: &[Lock], told: &Told, place: &Place, cause: Error) -> Error {
        let cause = match cause {
            // The rules forbid it, or it is our mistake: that is not about the register's file.
            forbidden @ (Error::Refused(_) | Error::Bug(_)) => return forbidden,
            cause => Box::new(cause),
        };
        let (mut why, reach) = (told.warnings.clone(), place.reach());
        let is_open = told.by.is_empty();
        if is_open && why.is_empty() {
            why.push("none is configured".to_owned());
        }
        match reach {
            Reach::All => {}
            Reach::Here => why.push(ELSEWHERE.to_owned()),
        }
        let why = why.join("; ");
        if is_open {
            return Error::Open { why, cause };
        }
        let locks = locks.iter().map(Lock::to_string).collect::<Vec<_>>().join(", ");
        let by = told.by.iter().map(|socket| socket.display().to_string()).collect::<Vec<_>>().join(", ");
        let others = if why.is_empty() { why } else { format!(" ({why})") };
        Error::Shut { locks, by, others, reach, cause }
    }

    /// A fold's fault: a rule refuses what was wanted, anything else means the file does not verify.
    pub(super) fn fault(place: &Place) -> impl FnOnce(Fault) -> Error {
        let place = place.clone();
        move |fault| Error::Broken { place, fault }
    }

    /// Whether an engine's append that ended so may have stored its event all the same. A bug says nothing of it: whoever
    /// appended may have died when it was on its way.
    pub(super) fn is_unsure(&self) -> bool {
        matches!(self, Error::Sqlite { .. } | Error::Server { .. } | Error::Bug(_))
    }

    /// Whether it may pass by itself: then the register is read again and again, and until then nothing is decided from it.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Error::Sqlite { .. }
                | Error::File { .. }
                | Error::Thread { .. }
                | Error::Server { .. }
                | Error::Unsure(_)
                | Error::Unfit { .. }
                | Error::Configuration(_)
                | Error::Tls(_)
        )
    }
}

impl From<grant::Rule> for Error {
    fn from(rule: grant::Rule) -> Self {
        Error::Refused(rule.to_string())
    }
}

impl From<grant::TextFault> for Error {
    fn from(fault: grant::TextFault) -> Self {
        Error::Refused(fault.to_string())
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
