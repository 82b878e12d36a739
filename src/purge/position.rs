//! Where a server's write-ahead log stands, which replicas have replayed it, and how many rows a customer has.
//! Not here: waiting for a replica, and how long for an answer. Counts and positions only.

use super::{Connection, Error, catalog};
use crate::datamap::TableName;
use crate::datamap::catalog::Kind;
use crate::datamap::name::literal;
use crate::datamap::plan::Plan;

/// A place in the write-ahead log. Numbers of two timelines cannot be compared: each went on from where they parted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Such as `0/16B3748`.
    pub lsn: String,
    /// The timeline that it is on.
    pub timeline: u32,
}

/// A replica, and whether it has replayed up to a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    /// Its name, as it calls itself.
    pub name: String,
    /// Why it has not; none: it has.
    pub lacks: Option<Lacks>,
}

/// Why it cannot be said of a replica that it has replayed up to a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacks {
    /// It is away, or has not got that far.
    #[error("it is behind")]
    Behind,
    /// It takes changes.
    #[error("it is no replica: it takes changes")]
    Promoted,
    /// It has no stream from its primary just now.
    #[error("it receives nothing from its primary at the moment, so that nobody can tell which timeline it follows")]
    Unconnected,
    /// One of the two was promoted, and the other did not go along.
    #[error("it follows timeline {its}, and the primary is on timeline {primary}")]
    OtherTimeline {
        /// What it follows.
        its: u32,
        /// Where the primary is.
        primary: u32,
    },
}

/// The position up to which the write-ahead log is written.
///
/// # Errors
/// [`Error::Database`], of a replica, too.
pub async fn position(primary: &Connection) -> Result<Position, Error> {
    const SQL: &str =
        "select lsn, ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::bigint from pg_current_wal_lsn() lsn";
    let mut row = primary.texts(SQL).await?.into_iter().flatten();
    let (lsn, timeline) = (row.next().flatten(), row.next().flatten().and_then(|number| number.parse().ok()));
    let position = lsn.zip(timeline).map(|(lsn, timeline)| Position { lsn, timeline });
    position.ok_or_else(|| Error::Refused("no position was answered".to_owned()))
}

/// Every replica that is connected, and whether it has replayed up to `position`; one that is away, whose slot waits for
/// it, has not. What one says to have replayed counts only as far as it was sent from here: it may have been astray before.
/// HOLE: one that is away and has no slot is not seen here. It is behind until it is back, and then is seen again.
///
/// # Errors
/// [`Error::Database`].
pub async fn standbys(primary: &Connection, position: &Position) -> Result<Vec<Standby>, Error> {
    let sql = format!(
        "select application_name, coalesce(replay_lsn >= p and sent_lsn >= p, false)
         from pg_stat_replication, cast({} as pg_lsn) p where state in ('streaming', 'catchup')
         union all select slot_name, false from pg_replication_slots where slot_type = 'physical' and not active",
        literal(&position.lsn)
    );
    let rows = primary.texts(&sql).await?;
    let standby = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let (name, replayed) = (row.next().flatten().unwrap_or_default(), row.next().flatten());
        Standby { name, lacks: (replayed.as_deref() != Some("t")).then_some(Lacks::Behind) }
    };
    Ok(rows.into_iter().map(standby).collect())
}

/// Why it cannot be said that the server of the connection is a replica that has replayed up to `position`; none: it can.
/// HOLE: two replicas of one primary that are both promoted on their own call two timelines by one number.
///
/// # Errors
/// [`Error::Database`].
pub async fn lacks(replica: &Connection, position: &Position) -> Result<Option<Lacks>, Error> {
    // Its last checkpoint may be older than a failover: what it streams is the timeline that it follows.
    let sql = format!(
        "select pg_is_in_recovery(), (select received_tli from pg_stat_wal_receiver),
             coalesce(pg_last_wal_replay_lsn() >= {}::pg_lsn, false)",
        literal(&position.lsn)
    );
    let mut row = replica.texts(&sql).await?.into_iter().flatten();
    let mut next = || row.next().flatten();
    let (is_replica, timeline, is_there) = (next(), next().and_then(|number| number.parse().ok()), next());
    let (is_replica, is_there) = (is_replica.as_deref() == Some("t"), is_there.as_deref() == Some("t"));
    Ok(match timeline {
        _ if !is_replica => Some(Lacks::Promoted),
        None => Some(Lacks::Unconnected),
        Some(its) if its != position.timeline => Some(Lacks::OtherTimeline { its, primary: position.timeline }),
        Some(_) => (!is_there).then_some(Lacks::Behind),
    })
}

/// How many rows the customer has in each table of the plan.
///
/// # Errors
/// [`Error::Database`].
pub async fn count(connection: &Connection, plan: &Plan) -> Result<Vec<(TableName, u64)>, Error> {
    let mut counts = Vec::new();
    for step in plan.counted() {
        let sql = format!("select count(*) from {} t where {}", step.table.sql(), step.condition);
        counts.push((step.table.clone(), connection.number(&sql).await?));
    }
    Ok(counts)
}

/// How many rows each table has: of a database that goes as a whole, or of one schema.
///
/// # Errors
/// [`Error::Database`].
pub async fn count_all(connection: &Connection, schema: Option<&str>) -> Result<Vec<(TableName, u64)>, Error> {
    let catalog = catalog(connection).await?;
    let tables = catalog.relations().filter(|relation| relation.partition_of.is_none());
    let tables = tables.filter(|relation| schema.is_none_or(|schema| relation.name.schema == schema));
    let mut counts = Vec::new();
    for table in tables.filter(|relation| matches!(relation.kind, Kind::Table | Kind::Partitioned)) {
        let sql = format!("select count(*) from {}", table.name.sql());
        counts.push((table.name.clone(), connection.number(&sql).await?));
    }
    Ok(counts)
}

/// Whether a database of that name is there.
///
/// # Errors
/// [`Error::Database`].
pub async fn is_there(connection: &Connection, database: &str) -> Result<bool, Error> {
    let sql = format!("select count(*) from pg_database where datname = {}", literal(database));
    Ok(connection.number(&sql).await? > 0)
}
