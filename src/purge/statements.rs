//! What `pg_stat_statements` remembers, and whether it can be read from here: its memory is one for the whole server,
//! its extension is of one database. Not here: servers' logs, and other extensions that remember statements.

use super::needles::Needles;
use super::{Connection, Error};

/// Whether statements are remembered, as seen from one database.
pub(super) enum Memory {
    /// The library is not loaded, and its extension is not here.
    None,
    /// They may be remembered, and cannot be read here: why, and what to do.
    Unread(String),
    /// Read through the extension in that schema (quoted).
    In(String),
}

const SCHEMA: &str = "select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'pg_stat_statements'";
/// Defined by the library alone, and only where the server preloads it; anybody may see it.
const IS_LOADED: &str = "select count(*) from pg_settings where name = 'pg_stat_statements.max'";

/// Looks whether statements are remembered.
pub(super) async fn memory(connection: &Connection) -> Result<Memory, Error> {
    if let Some(schema) = connection.texts(SCHEMA).await?.into_iter().flatten().flatten().next() {
        return Ok(Memory::In(schema));
    }
    if connection.number(IS_LOADED).await? == 0 {
        return Ok(Memory::None);
    }
    Ok(Memory::Unread(format!(
        "pg_stat_statements is loaded and its extension is not in database \"{}\": another database may show them; \
         run CREATE EXTENSION pg_stat_statements there",
        connection.database()
    )))
}

/// Takes remembered statements with needles out. How many, and why it could not look at all of them, if so.
pub(super) async fn take_out(connection: &Connection, needles: &Needles) -> Result<(u64, Option<String>), Error> {
    let schema = match memory(connection).await? {
        Memory::None => return Ok((0, None)),
        Memory::Unread(why) => return Ok((0, Some(why))),
        Memory::In(schema) => schema,
    };
    let sql = format!(
        "select s.userid, s.dbid, s.queryid, s.query from {schema}.pg_stat_statements s
         join pg_database d on d.oid = s.dbid where d.datname = current_database()"
    );
    let rows = match connection.texts(&sql).await {
        // the library is not loaded: it remembers nothing, but what it did before cannot be read
        Err(error @ Error::Database { .. }) => return Ok((0, Some(error.to_string()))),
        rows => rows?,
    };
    let (mut taken_out, mut unread) = (0, 0_u64);
    for row in rows {
        // without a right to see it, it has no number; with its file of texts lost, no text
        let [Some(user), Some(database), Some(query), Some(text)] = row.as_slice() else {
            unread += 1;
            continue;
        };
        if needles.count_in(text.as_bytes()) > 0 {
            connection.run(&format!("select {schema}.pg_stat_statements_reset({user}, {database}, {query})")).await?;
            taken_out += 1;
        }
    }
    Ok((taken_out, (unread > 0).then(|| format!("{unread} remembered statements do not show their text"))))
}
