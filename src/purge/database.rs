//! Purges a customer that has a database of its own: the database is dropped, with what would be in the way and what
//! would be left. Not here: the customer's roles, which the vendor owns; and whether it is time.

use super::statements::{Memory, memory};
use super::{Connection, Error, Road};
use crate::datamap::name::{identifier, literal};

/// What is to be dropped: the object id too, so that a new database under an old name stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its object id, as frozen in the plan.
    pub oid: u32,
}

/// What was done. Counts only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Whether this call dropped it, or it was gone before.
    pub was_there: bool,
    /// Sessions that were ended.
    pub sessions: u64,
    /// Its size before, in bytes.
    pub bytes: u64,
    /// Whether the statements remembered of it are known to be gone; `None` where nothing remembers.
    pub statements_gone: Option<bool>,
}

/// What keeps a database from being dropped, or keeps copies of it flowing.
const IN_THE_WAY: &str = "
select format('replication slot %s (portreeve does not end replication: drop it with pg_drop_replication_slot)', slot_name)
from pg_replication_slots, target where datoid = target.oid
union all select format('subscription %s (drop it in that database with DROP SUBSCRIPTION)', subname)
from pg_subscription, target where subdbid = target.oid
union all select format('prepared transaction %s (COMMIT or ROLLBACK PREPARED it)', gid)
from pg_prepared_xacts, target where database = target.datname
union all select 'it is a template' from target where datistemplate";

/// The target as it is now, for a plan; by a connection to any database of its server.
///
/// # Errors
/// [`Error::Refused`] if there is no such database.
pub async fn target(connection: &Connection, name: &str) -> Result<Target, Error> {
    let sql = format!("select oid::text from pg_database where datname = {}", literal(name));
    let oid = connection.texts(&sql).await?.into_iter().flatten().flatten().next();
    let oid = oid.and_then(|oid| oid.parse().ok());
    oid.map(|oid| Target { name: name.to_owned(), oid })
        .ok_or_else(|| Error::Refused(format!("there is no database \"{name}\"")))
}

/// Drops it. May be called again after a kill: a database that is gone already is an answer, not an error.
///
/// # Errors
/// [`Error::Refused`] if something is in the way, or the name is another database's now; [`Error::Database`].
pub async fn drop_database(road: &Road, maintenance_database: &str, target: &Target) -> Result<Dropped, Error> {
    let mut connection = road.connect(maintenance_database).await?;
    let mut dropped = Dropped::default();
    let name = literal(&target.name);
    let known = connection.texts(&format!("select oid::text from pg_database where datname = {name}")).await?;
    match known.into_iter().flatten().flatten().next() {
        None => {}
        Some(oid) if oid == target.oid.to_string() => {
            let with =
                format!("with target as (select oid, datname, datistemplate from pg_database where oid = {oid})");
            let obstacles = connection.texts(&format!("{with} {IN_THE_WAY}")).await?;
            let obstacles: Vec<String> = obstacles.into_iter().flatten().flatten().collect();
            if !obstacles.is_empty() {
                return Err(Error::Refused(format!("database \"{}\": {}", target.name, obstacles.join("; "))));
            }
            dropped.was_there = true;
            dropped.bytes = connection.number(&format!("select pg_database_size({oid}::oid)")).await?;
            let guard = guard(road, &connection, target).await?;
            let was_open = close(&mut connection, target).await?;
            match drop_closed(&connection, &guard, target).await {
                Ok(sessions) => dropped.sessions = sessions,
                Err(error) => {
                    drop(guard);
                    return Err(reopened(&connection, target, was_open, error).await);
                }
            }
        }
        Some(_) => return Err(another(target)),
    }
    let left = format!("select count(*) from pg_database where oid = {}", target.oid);
    if connection.number(&left).await? > 0 {
        let message = "has another name now; it was not dropped; plan again";
        return Err(Error::Refused(format!("database \"{}\" {message}", target.name)));
    }
    dropped.statements_gone = forget_statements(&connection, target.oid).await?;
    Ok(dropped)
}

fn another(target: &Target) -> Error {
    let message = "is another database now than the one planned; plan again";
    Error::Refused(format!("database \"{}\" {message}", target.name))
}

/// A session of ours in it: PostgreSQL renames no database that somebody is connected to, so that as long as this session
/// lives the name means this database and no other. A purge that was killed had closed it: it is opened for us once more.
async fn guard(road: &Road, connection: &Connection, target: &Target) -> Result<Connection, Error> {
    let open = format!("select datallowconn from pg_database where oid = {}", target.oid);
    if connection.texts(&open).await?.into_iter().flatten().flatten().next().as_deref() == Some("f") {
        let open = format!("alter database {} with allow_connections true", identifier(&target.name));
        connection.run(&open).await?;
    }
    let guard = road.connect(&target.name).await?;
    if is_in(&guard, target).await? { Ok(guard) } else { Err(another(target)) }
}

/// Whether that session lives and is in the database that is meant.
async fn is_in(guard: &Connection, target: &Target) -> Result<bool, Error> {
    let same = format!("select count(*) from pg_database where oid = {} and datname = current_database()", target.oid);
    Ok(guard.number(&same).await? == 1)
}

/// Lets nobody in any more; whether it let somebody in before. The name is compared with the id after its row is ours
/// to change: until this commits nobody can give it another name, and another database is left as it was.
async fn close(connection: &mut Connection, target: &Target) -> Result<bool, Error> {
    let database = connection.database().to_owned();
    let failed = |error| Error::database(&database, error);
    let name = literal(&target.name);
    let transaction = connection.client.transaction().await.map_err(failed)?;
    let before = format!("select datallowconn from pg_database where oid = {}", target.oid);
    let before = transaction.query_typed(&before, &[]).await.map_err(failed)?;
    let was_open: bool = before.first().map_or(Ok(false), |row| row.try_get(0)).map_err(failed)?;
    let close = format!("alter database {} with allow_connections false", identifier(&target.name));
    transaction.batch_execute(&close).await.map_err(failed)?;
    let same = format!("select from pg_database where oid = {} and datname = {name} and not datallowconn", target.oid);
    if transaction.query_typed(&same, &[]).await.map_err(failed)?.is_empty() {
        transaction.rollback().await.map_err(failed)?;
        return Err(another(target));
    }
    transaction.commit().await.map_err(failed)?;
    Ok(was_open)
}

/// Ends its sessions but ours and drops it, which ends ours. How many sessions.
async fn drop_closed(connection: &Connection, guard: &Connection, target: &Target) -> Result<u64, Error> {
    let ours = guard.number("select pg_backend_pid()::int8").await?;
    let sessions = format!(
        "select count(*) from (select pg_terminate_backend(pid) as ended from pg_stat_activity
             where datid = {} and pid <> {ours}) s where ended",
        target.oid
    );
    let sessions = connection.number(&sessions).await?;
    if !is_closed(connection, target).await? || !is_in(guard, target).await? {
        return Err(another(target));
    }
    // HOLE: DROP DATABASE takes a name and no transaction: whoever ends our session and renames two databases between
    // these statements, as a superuser or the owner may, wins
    connection.run(&format!("drop database {} with (force)", identifier(&target.name))).await?;
    Ok(sessions)
}

/// Whether that name still is the database that was closed.
async fn is_closed(connection: &Connection, target: &Target) -> Result<bool, Error> {
    let (oid, name) = (target.oid, literal(&target.name));
    let same = format!("select count(*) from pg_database where oid = {oid} and datname = {name} and not datallowconn");
    Ok(connection.number(&same).await? == 1)
}

/// Lets connections in again to what was not dropped, if it did before; the error says how it was left.
async fn reopened(connection: &Connection, target: &Target, was_open: bool, error: Error) -> Error {
    let open = format!("alter database {} with allow_connections true", identifier(&target.name));
    let opened = match is_closed(connection, target).await {
        Ok(true) if was_open => connection.run(&open).await.map_err(|why| why.to_string()),
        Ok(true) => Err("as it was before".to_owned()),
        Ok(false) => Err("it has another name or is gone".to_owned()),
        Err(why) => Err(why.to_string()),
    };
    let left = match opened {
        Ok(()) => "it was not dropped and takes connections again".to_owned(),
        Err(why) => format!("it was not dropped and may be closed to connections ({why}); to open it: {open}"),
    };
    let left = format!("database \"{}\": {left}", target.name);
    match error {
        Error::Database { database, sqlstate, message } => {
            Error::Database { database, sqlstate, message: format!("{message}; {left}") }
        }
        Error::Refused(message) => Error::Refused(format!("{message}; {left}")),
    }
}

/// Removes what pg_stat_statements remembers of a database that is gone.
async fn forget_statements(connection: &Connection, oid: u32) -> Result<Option<bool>, Error> {
    let schema = match memory(connection).await? {
        Memory::None => return Ok(None),
        Memory::Unread(why) => {
            tracing::warn!(oid, why, "statements remembered of a dropped database may still be there");
            return Ok(Some(false));
        }
        Memory::In(schema) => schema,
    };
    connection.run(&format!("select {schema}.pg_stat_statements_reset(0, {oid}, 0)")).await?;
    let left = format!("select count(*) from {schema}.pg_stat_statements where dbid = {oid}");
    Ok(Some(connection.number(&left).await? == 0))
}
