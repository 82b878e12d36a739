//! What the daemon keeps in its own folder: its clocks, when it last ran, the promise it last applied, the stores' names.
//! Not here: anything that could not be made anew; lost, deletions need a second person or wait, never more.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::note;
use crate::clock::Timestamp;
use crate::disk::Disk;
use crate::retention::clock_guard::Guard;
use crate::retention::inventory::Outage;
use crate::retention::promise::Promise;

/// How the closed accounts stood after a turn: whose, what, and until when it is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// What could not be done: somebody must look.
    pub troubles: Vec<(String, String)>,
    /// What is waited for; the moment in microseconds, if it is known.
    pub waits: Vec<(String, String, Option<i64>)>,
}

/// The notes of one daemon.
#[derive(Clone)]
pub struct Notes {
    state: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Notes {
    /// In that folder.
    pub fn new(state: &Path, disk: Arc<dyn Disk>) -> Notes {
        Notes { state: state.to_owned(), disk }
    }

    /// What was known about time; none before the first reading, or if it does not read.
    pub fn guard(&self) -> Option<Guard> {
        self.read("clocks").and_then(|bytes| Guard::from_bytes(&bytes))
    }

    /// Keeps what is known about time.
    ///
    /// # Errors
    /// [`Error::Note`].
    pub fn keep_guard(&self, guard: &Guard) -> Result<(), Error> {
        self.write("clocks", &guard.to_bytes())
    }

    /// The last time in which the daemon did not run, if there was one.
    pub fn outage(&self) -> Option<Outage> {
        let numbers = self.numbers("outage")?;
        let [from, until] = numbers.try_into().ok()?;
        Some(Outage { from: Timestamp(from), until: Timestamp(until) })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`Error::Note`].
    pub fn keep_outage(&self, outage: Outage) -> Result<(), Error> {
        self.write("outage", format!("{} {}\n", outage.from.0, outage.until.0).as_bytes())
    }

    /// The promise under which a plan was last applied.
    pub fn applied(&self) -> Option<Promise> {
        let seconds = self.numbers("applied")?;
        let seconds: [i64; 7] = seconds.try_into().ok()?;
        let [every, age, purge, gone, skeleton, logs, breach] =
            seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        Some(Promise {
            snapshot_every: every,
            snapshot_max_age: age,
            purge_live_after: purge,
            gone_everywhere_after: gone,
            audit_skeleton_after: skeleton,
            application_logs_max_age: logs,
            breach_notice_within: breach,
        })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`Error::Note`].
    pub fn keep_applied(&self, promise: &Promise) -> Result<(), Error> {
        if self.applied().as_ref() == Some(promise) {
            return Ok(());
        }
        let seconds = promise.terms().map(|(_, span)| span.as_secs().to_string());
        self.write("applied", format!("{}\n", seconds.join(" ")).as_bytes())
    }

    /// How the closed accounts stood after the last turn; none before the first, or if the note does not read.
    pub fn accounts(&self) -> Option<Accounts> {
        let bytes = self.read("accounts")?;
        let read = serde_json::from_slice(&bytes);
        read.inspect_err(|error| tracing::error!(%error, "the note of the closed accounts does not read")).ok()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`Error::Note`].
    pub fn keep_accounts(&self, accounts: &Accounts) -> Result<(), Error> {
        let text = serde_json::to_vec(accounts).expect("texts and numbers are plain JSON");
        self.write("accounts", &text)
    }

    /// The mark of that back-end's store, as it was first seen.
    ///
    /// # Errors
    /// [`Error::Note`] if it is there and cannot be read: then no store is known to be the one.
    pub(super) fn mark(&self, backend: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = note(&self.state, &format!("{backend}.store"));
        match self.disk.read(&path) {
            Ok(mark) => Ok(Some(mark)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Note { doing: "read", path, source }),
        }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`Error::Note`].
    pub(super) fn keep_mark(&self, backend: &str, mark: &[u8]) -> Result<(), Error> {
        self.write(&format!("{backend}.store"), mark)
    }

    fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        let text = String::from_utf8(self.read(name)?).ok()?;
        text.split_whitespace().map(|number| number.parse().ok()).collect()
    }

    /// None if it is not there; what cannot be read is told, and is as if it were not.
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let path = note(&self.state, name);
        match self.disk.read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a note of the daemon cannot be read");
                None
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = note(&self.state, name);
        self.disk.replace(&path, bytes, 0o640).map_err(|source| Error::Note { doing: "write", path, source })
    }
}
