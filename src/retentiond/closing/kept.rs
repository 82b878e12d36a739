//! What is kept of one closure beside the register, in the daemon's own folder: counts, a database's object id, what was
//! found by a verification. Counts and names of objects only.
//! Not here: decisions. A file of an earlier closure of the same account is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Error, World};
use crate::disk::{Disk, RealDisk};
use crate::ids::{CustomerId, Sequence};

/// Notes of one closure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The register's event that closed the account.
    pub(super) closed: u64,
    /// Rows by table when it was planned.
    pub(super) planned: Vec<(String, u64)>,
    /// The database, or the schema, that is to be dropped, by name and object id.
    pub(super) database: Option<(String, u32)>,
    /// The server that it was planned for, by the number that it was given when it was made.
    #[serde(default)]
    pub(super) server: Option<String>,
    /// Whether an earlier plan was of another one: then people must approve, and a kill must not make that forgotten.
    #[serde(default)]
    pub(super) another: bool,
    /// What the verification found; before it, only what interrupted purges deleted.
    pub(super) verified: Option<Found>,
    /// Of each purge by its name: the table of each of its steps, none where a step deletes no row.
    #[serde(default)]
    pub(super) steps: BTreeMap<String, Vec<Option<String>>>,
    /// Large objects that stay when a schema goes, counted before the first of its tables went.
    #[serde(default)]
    pub(super) large_objects_shared: u64,
    /// Whether archives were about to be removed: from then on one that is not there was, perhaps, by us.
    #[serde(default)]
    pub(super) destroying: bool,
    /// Records of the customer in each audit log, counted before the last of its keys went.
    #[serde(default)]
    pub(super) records: Option<Vec<(String, u64)>>,
    /// Erasures of which a notice stands in the log, by their events.
    #[serde(default)]
    pub(super) noticed: BTreeSet<String>,
    /// Whether the register's texts about it are deleted.
    #[serde(default)]
    pub(super) forgotten: bool,
    /// When the application's logs were found past their age, in microseconds.
    pub(super) application_logs: Option<i64>,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Found {
    /// Rows deleted by table, of each purge by its name.
    pub(super) runs: BTreeMap<String, BTreeMap<String, u64>>,
    /// How far traces were looked for: 0 to 2.
    pub(super) level: u8,
    /// Known values looked for.
    pub(super) probed: u64,
    /// Position of the write-ahead log.
    pub(super) position: String,
    /// Replicas that had replayed it, and when.
    pub(super) replicas: Vec<(String, i64)>,
    /// What is left, in words.
    pub(super) report: Vec<String>,
    /// Tables that the write fence cannot cover.
    pub(super) unfenced: Vec<String>,
}

impl Found {
    pub(super) fn rows(&self) -> u64 {
        self.runs.values().flat_map(BTreeMap::values).sum()
    }

    /// Rows deleted from that table, over all purges.
    pub(super) fn deleted(&self, table: &str) -> u64 {
        self.runs.values().filter_map(|run| run.get(table)).sum()
    }
}

impl World {
    pub(super) fn kept_path(&self, customer: CustomerId, end: &str) -> PathBuf {
        self.config.retention.state.join("closing").join(format!("{customer}{end}"))
    }

    /// The notes of that closure; empty ones if there are none.
    pub(super) fn kept(&self, customer: CustomerId, closed: Sequence) -> Result<Kept, Error> {
        let path = self.kept_path(customer, ".json");
        let bytes = match RealDisk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Kept { closed: closed.0, ..Kept::default() });
            }
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| {
            let path = path.display();
            Error::Refused(format!("{path} is damaged ({error}): bring it back from a copy, or move it away"))
        })?;
        Ok(if kept.closed == closed.0 { kept } else { Kept { closed: closed.0, ..Kept::default() } })
    }

    /// Keeps the notes durably.
    pub(super) fn keep(&self, customer: CustomerId, kept: &Kept) -> Result<(), Error> {
        let path = self.kept_path(customer, ".json");
        let text = serde_json::to_vec_pretty(kept).expect("notes are plain JSON");
        self.replace(&path, &text, 0o600)
    }

    /// Writes a file wholly or not at all, with its folder.
    pub(super) fn replace(&self, path: &std::path::Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            RealDisk.make_directory(folder).map_err(Error::file("make", folder))?;
        }
        RealDisk.replace(path, bytes, mode).map_err(Error::file("write", path))
    }
}
