//! Where a server's write-ahead log stands, which replicas have replayed it, and how many rows a customer has.
//! Not here: waiting for a replica. Counts and positions only.

use super::{Connection, Error, catalog};
use crate::datamap::TableName;
use crate::datamap::catalog::Kind;
use crate::datamap::name::literal;
use crate::datamap::plan::Plan;

/// A replica, and whether it has replayed up to a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    /// Its name, as it calls itself.
    pub name: String,
    /// Whether it has.
    pub has_replayed: bool,
}

/// The position up to which the write-ahead log is written, such as `0/16B3748`.
///
/// # Errors
/// [`Error::Database`].
pub async fn position(connection: &Connection) -> Result<String, Error> {
    let rows = connection.texts("select pg_current_wal_lsn()").await?;
    rows.into_iter().flatten().flatten().next().ok_or_else(|| Error::Refused("no position was answered".to_owned()))
}

/// Every replica that is connected, and whether it has replayed up to `position`; one that is away, whose slot waits for
/// it, has not.
/// HOLE: one that is away and has no slot is not seen here. It is behind until it is back, and then is seen again.
///
/// # Errors
/// [`Error::Database`].
pub async fn standbys(connection: &Connection, position: &str) -> Result<Vec<Standby>, Error> {
    let sql = format!(
        "select application_name, coalesce(replay_lsn >= {}::pg_lsn, false) from pg_stat_replication
         where state in ('streaming', 'catchup')
         union all select slot_name, false from pg_replication_slots where slot_type = 'physical' and not active",
        literal(position)
    );
    let rows = connection.texts(&sql).await?;
    let standby = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let (name, replayed) = (row.next().flatten().unwrap_or_default(), row.next().flatten());
        Standby { name, has_replayed: replayed.as_deref() == Some("t") }
    };
    Ok(rows.into_iter().map(standby).collect())
}

/// Whether the server of the connection is a replica that has replayed up to `position`.
///
/// # Errors
/// [`Error::Database`].
pub async fn has_replayed(replica: &Connection, position: &str) -> Result<bool, Error> {
    let sql = format!(
        "select count(*) from pg_last_wal_replay_lsn() r where pg_is_in_recovery() and r >= {}::pg_lsn",
        literal(position)
    );
    Ok(replica.number(&sql).await? > 0)
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
