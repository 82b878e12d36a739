//! What retention does inside a customers' database: reads its catalog, archives one customer's rows, purges them in
//! batches that survive a kill, drops a whole database, and verifies what is gone.
//! Not here: what is to go (`datamap/`) and when (`retention/`). Design section 11.

mod archive;
mod catalog;
mod connection;
mod copied;
mod database;
mod needles;
mod objects;
mod outside;
mod patience;
mod position;
mod prepare;
mod probe;
mod recount;
mod rows;
mod run;
mod sample;
mod schema;
mod shut_out;
mod spellings;
mod statements;
mod tape;
mod tombstone;
mod verify;

use std::error::Error as _;

pub use archive::{ArchiveError, Archived, Manifest, Object, Schema, archive};
pub use catalog::catalog;
pub use connection::{Connection, Road};
pub use database::{Dropped, Target, drop_database, target};
pub use needles::{NEEDLE_BYTES_MIN, Needles};
pub use patience::{Control, Pace};
pub use position::{Lacks, Position, Standby, count, count_all, is_there, lacks, position, standbys};
pub use prepare::{MAINTENANCE, PREPARE_SQL, Prepared, prepare};
pub use probe::{Probed, needles, probe};
pub use recount::Difference;
pub use run::{Gone, Outcome, Purge, deleted};
pub use sample::samples;
pub use schema::{
    DroppedSchema, SchemaOutcome, SchemaTarget, drop_schema, has_schema, schema_target, shared_large_objects,
};
pub use shut_out::{Place, Privilege, Shut, let_in, shut_out, would_take};
pub use tombstone::{fence, lift};
pub use verify::{Level, Recheck, Scrub, Verified, recheck, verify};

use crate::datamap::TableName;

/// In a query over `pg_class c` and its `pg_namespace n`: whether it is the fence's own relation or retention's. By name
/// and by owner, so that nobody else's table is overlooked because it stands in our schema.
const OURS: &str = "(n.nspname = 'portreeve' and (c.relowner = n.nspowner
    and c.relname in ('scope', 'grants', 'layout', 'shared_tables', 'undo')
    or (c.relowner = n.nspowner or pg_get_userbyid(c.relowner) = 'portreeve_maintenance')
    and c.relname in ('purges', 'purge_steps', 'tombstones')))";

/// What happens while a purge runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All steps are gone through, for the first time or again because rows were left.
    Pass(usize),
    /// A batch is committed.
    Batch {
        /// The plan's step, counted from 0.
        step: usize,
        /// Its table.
        table: TableName,
        /// How many rows.
        rows: u64,
    },
    /// A step has no row left.
    Step {
        /// The plan's step, counted from 0.
        step: usize,
        /// Its table.
        table: TableName,
    },
    /// It holds back.
    Paused(Pause),
}

/// Why a purge holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It is outside its window.
    Window,
    /// A replica is behind.
    ReplicaLag,
    /// Others wait for locks.
    LockWaiters,
    /// It waits for a lock itself.
    Locked,
}

/// Why it could not be done. Each variant names whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Upstream: the server refused or went away; its own words.
    #[error("database \"{database}\": {message} ({sqlstate})")]
    Database {
        /// Which database.
        database: String,
        /// Its code; 08000 when the connection broke.
        sqlstate: String,
        /// Its message and hint. Its DETAIL may hold rows and is left out.
        message: String,
    },
    /// Whoever asked: it must not be done so.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// Whether the same statement may well succeed in a moment: a lock, a deadlock, a conflict.
    fn is_passing(&self) -> bool {
        matches!(self, Error::Database { sqlstate, .. } if ["55P03", "40P01", "40001"].contains(&sqlstate.as_str()))
    }

    fn database(database: &str, error: tokio_postgres::Error) -> Error {
        let (sqlstate, message) = match error.as_db_error() {
            Some(server) => {
                let hint = server.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                (server.code().code().to_owned(), format!("{}{hint}", server.message()))
            }
            None => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                ("08000".to_owned(), format!("{error}{cause}"))
            }
        };
        Error::Database { database: database.to_owned(), sqlstate, message }
    }
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
