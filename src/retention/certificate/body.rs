//! What a part says. Field by field in CERTIFICATE.md; the fields follow section 6.1 of the research.
//! Not here: signatures.

use chrono::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Part;
use crate::clock::Timestamp;

/// A moment, written as RFC 3339 in UTC with microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub Timestamp);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = DateTime::parse_from_rfc3339(&text).map_err(serde::de::Error::custom)?;
        let at = Timestamp(at.timestamp_micros());
        if at.to_string() == text { Ok(At(at)) } else { Err(serde::de::Error::custom("not written as we do")) }
    }
}

/// Declares structs that are read strictly: no field more, none less.
macro_rules! said {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )*};
}

said! {
    /// One part.
    Body {
        /// Of which certificate; filled in when signed.
        certificate: String,
        /// Which part; filled in.
        part: Part,
        /// Its number; filled in.
        number: u8,
        /// How many there are; filled in.
        of: u8,
        /// When it was signed.
        issued: At,
        /// Whose rows, by id: `c7`.
        customer: String,
        /// The account as the vendor calls it, if the customer is known by more than its id.
        account: Option<String>,
        /// The controller: the customer's organisation, if told.
        controller: Option<String>,
        /// The processor: the vendor, if told.
        processor: Option<String>,
        /// Sub-processors that held the data.
        sub_processors: Vec<String>,
        /// The contract, if told.
        contract: Option<String>,
        /// What it follows from.
        trigger: Trigger,
        /// What it is about.
        scope: Scope,
        /// How it was done.
        method: Method,
        /// Who, by id.
        people: People,
        /// When.
        times: Times,
        /// What was found.
        findings: Findings,
        /// How far traces were looked for.
        residue: Residue,
        /// What is not erased, and why.
        exceptions: Vec<Exception>,
        /// What this part says nothing about.
        not_covered: Vec<String>,
        /// Where the register stood.
        ledger: Ledger,
        /// SHA-256 of the body of the part before; filled in.
        previous: Option<String>,
        /// Which part follows, and by when.
        next: Option<Next>,
    }

    /// What it follows from.
    Trigger {
        /// Closure, request or choice.
        kind: TriggerKind,
        /// When.
        at: At,
        /// Who caused it: `owner`, `operator`, `vendor-app`, `system`.
        by: String,
    }

    /// What it is about.
    Scope {
        /// Databases, by name.
        databases: Vec<String>,
        /// How many tables.
        tables: u64,
        /// `database`, `schema` or `shared`.
        layout: String,
        /// Categories of personal data.
        categories: Vec<String>,
        /// Categories of people.
        subjects: Vec<String>,
    }

    /// How it was done.
    Method {
        /// In words: `DROP DATABASE`, `DELETE in batches`.
        what: String,
        /// Which program and version.
        tool: String,
        /// SHA-256 of the configuration in force.
        configuration: String,
        /// The plan's digest.
        plan: String,
    }

    /// Who, by id: `s7`, `o7`, `uid 0`.
    People {
        /// Who planned.
        planned: String,
        /// Who approved, if that was needed.
        approved: Vec<String>,
        /// Who or what ran it.
        ran: String,
    }

    /// When.
    Times {
        /// Its begin.
        started: At,
        /// Its end, when all was confirmed.
        ended: At,
        /// How many clocks agreed.
        clocks: u8,
        /// By how much they differed at the most, in milliseconds.
        skew_ms: u64,
    }

    /// Part 1.
    Live {
        /// Each table.
        tables: Vec<Table>,
        /// The write-ahead log position after which no row is there.
        commit_lsn: String,
        /// Replicas that had replayed it.
        replicas: Vec<Replica>,
        /// Known values looked for afterwards.
        needles: Needles,
        /// Rows left without the row they belong to.
        orphans: u64,
    }

    /// One table.
    Table {
        /// Its name, with its schema.
        name: String,
        /// Rows the plan counted.
        planned: u64,
        /// Rows deleted.
        deleted: u64,
        /// Rows found afterwards.
        left: u64,
    }

    /// One replica.
    Replica {
        /// Its name.
        name: String,
        /// When it had replayed the purge.
        replayed: At,
    }

    /// Known values looked for.
    Needles {
        /// So many.
        probed: u64,
        /// So many found.
        found: u64,
    }

    /// Part 2.
    Backups {
        /// How many snapshots began before the purge was through and held the rows.
        held: u64,
        /// Each of them.
        snapshots: Vec<Snapshot>,
        /// When rows were looked for again and none was found: after a day, after a week.
        rechecked: Vec<At>,
        /// When the oldest write-ahead log that could hold a row was confirmed absent, where one is archived.
        wal_absent: Option<At>,
        /// Restores since the purge in which it was replayed.
        replayed: u64,
    }

    /// One snapshot that held the rows.
    Snapshot {
        /// Its name.
        id: String,
        /// Its back-end.
        backend: String,
        /// When it was begun.
        taken: At,
        /// When it was deleted.
        deleted: At,
        /// When the store's list was read to its end and it was not there.
        absent: At,
        /// By what that was seen.
        seen_by: String,
    }

    /// Part 3.
    Archives {
        /// Each archive of the customer.
        archives: Vec<Archive>,
        /// Keys of the audit log's values that were destroyed.
        value_keys: u64,
        /// When every listed copy of the keyring had confirmed that.
        values_unreadable: At,
    }

    /// One archive.
    Archive {
        /// Its name.
        id: String,
        /// When it was made.
        made: At,
        /// When it was handed over, if it was.
        returned: Option<At>,
        /// When it was deleted.
        deleted: At,
        /// When it was seen to be absent.
        absent: At,
        /// When its key was destroyed.
        key_destroyed: At,
    }

    /// Part 4.
    Logs {
        /// Each audit log that held records of the customer.
        logs: Vec<Log>,
        /// When every listed copy of the keyring had confirmed that the skeleton's keys are destroyed.
        skeleton_unreadable: At,
        /// The application's own logs.
        application: ApplicationLogs,
    }

    /// One audit log.
    Log {
        /// Its name.
        name: String,
        /// Records of the customer in it.
        records: u64,
        /// Of these, how many nothing opens any more.
        unreadable: u64,
    }

    /// The application's own logs.
    ApplicationLogs {
        /// The oldest line that may be there.
        oldest: At,
        /// Who said so: `observed` or the operator's id.
        said_by: String,
    }

    /// Where the register stood.
    Ledger {
        /// Its sequence.
        sequence: u64,
        /// Its chain's hash, in hexadecimal.
        hash: String,
    }

    /// Which part follows.
    Next {
        /// Which.
        part: Part,
        /// By when.
        due: At,
    }

    /// What is not erased.
    Exception {
        /// Why.
        kind: ExceptionKind,
        /// Whose authority, or which law.
        authority: String,
        /// What it keeps.
        scope: String,
        /// When that is looked at again.
        review: Option<At>,
    }
}

/// What a certificate follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerKind {
    /// The account was closed.
    Closure,
    /// Immediate removal was asked for.
    Request,
    /// The owner chose.
    Choice,
}

/// Why something is not erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExceptionKind {
    /// Somebody with authority wants it kept.
    Hold,
    /// A law requires it.
    Law,
    /// It was made anonymous.
    Anonymised,
}

/// How far traces were looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Traces {
    /// No row and no orphan.
    L0,
    /// No trace that SQL shows: dead rows vacuumed, statistics made anew.
    L1,
    /// No trace in the database's files.
    L2,
    /// No copy: log archive, replicas, snapshots, dumps, archives.
    L3,
    /// No trace on the medium.
    L4,
}

/// How far traces were looked for, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residue {
    /// The levels reached.
    pub levels: Vec<Traces>,
    /// What is left, in words.
    pub report: Vec<String>,
}

/// What was found, by part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Findings {
    /// Part 1.
    Live(Live),
    /// Part 2.
    Backups(Backups),
    /// Part 3.
    Archive(Archives),
    /// Part 4.
    Logs(Logs),
}

impl Findings {
    /// Of which part they are.
    pub fn part(&self) -> Part {
        match self {
            Findings::Live(_) => Part::Live,
            Findings::Backups(_) => Part::Backups,
            Findings::Archive(_) => Part::Archive,
            Findings::Logs(_) => Part::Logs,
        }
    }
}

impl Body {
    /// What it claims though it was not confirmed, if anything.
    pub fn unconfirmed(&self) -> Option<String> {
        let anonymised = self.exceptions.iter().filter(|exception| exception.kind == ExceptionKind::Anonymised);
        let hashed =
            |text: &str| ["hash", "hmac", "aes", "encrypt", "mask", "pseudonym"].iter().any(|word| text.contains(word));
        if let Some(exception) = anonymised.into_iter().find(|exception| hashed(&exception.scope.to_ascii_lowercase()))
        {
            return Some(format!("\"{}\" is not anonymous: it can be computed again or undone", exception.scope));
        }
        if self.times.ended < self.times.started || self.issued < self.times.ended {
            return Some("it ends before it starts, or was signed before it ended".to_owned());
        }
        match &self.findings {
            Findings::Live(live) => live.unconfirmed(),
            Findings::Backups(backups) => backups.unconfirmed(self.issued),
            Findings::Archive(archives) => archives.unconfirmed(self.issued),
            Findings::Logs(logs) => logs.unconfirmed(self.issued),
        }
    }
}

impl Live {
    fn unconfirmed(&self) -> Option<String> {
        if let Some(table) = self.tables.iter().find(|table| table.left > 0) {
            return Some(format!("{} rows are left in {}", table.left, table.name));
        }
        if self.needles.found > 0 {
            return Some(format!("{} of {} known values were found", self.needles.found, self.needles.probed));
        }
        (self.orphans > 0).then(|| format!("{} rows were left without the row they belong to", self.orphans))
    }
}

impl Backups {
    fn unconfirmed(&self, issued: At) -> Option<String> {
        if u64::try_from(self.snapshots.len()) != Ok(self.held) {
            return Some(format!("{} snapshots held the rows, {} are named", self.held, self.snapshots.len()));
        }
        let is_wrong = |snapshot: &&Snapshot| {
            !(snapshot.taken <= snapshot.deleted && snapshot.deleted <= snapshot.absent && snapshot.absent <= issued)
        };
        if let Some(snapshot) = self.snapshots.iter().find(is_wrong) {
            return Some(format!("snapshot {} was not taken, deleted and seen absent in this order", snapshot.id));
        }
        self.rechecked.is_empty().then(|| "rows were not looked for again after a week".to_owned())
    }
}

impl Archives {
    fn unconfirmed(&self, issued: At) -> Option<String> {
        let is_wrong = |archive: &&Archive| {
            !(archive.made <= archive.deleted && archive.deleted <= archive.absent && archive.absent <= issued)
                || archive.key_destroyed > issued
        };
        if let Some(archive) = self.archives.iter().find(is_wrong) {
            return Some(format!("archive {} was not made, deleted and seen absent in this order", archive.id));
        }
        (self.values_unreadable > issued).then(|| "the audit log's values are not unreadable yet".to_owned())
    }
}

impl Logs {
    fn unconfirmed(&self, issued: At) -> Option<String> {
        if let Some(log) = self.logs.iter().find(|log| log.unreadable != log.records) {
            return Some(format!(
                "{} of {} records of log {} can be opened",
                log.records.saturating_sub(log.unreadable),
                log.records,
                log.name
            ));
        }
        (self.skeleton_unreadable > issued).then(|| "the skeleton is not unreadable yet".to_owned())
    }
}
