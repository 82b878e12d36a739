//! Purges a customer that has a schema of its own: large objects its tables refer to, the tables in batches, as each takes
//! a lock, then the schema. Nothing outside it goes with it: what depends on it there is in the way.
//! Not here: the customer's roles, which the fence and the vendor own; and whether it is time.

use super::objects::REFERRING;
use super::outside::nothing_in_the_way;
use super::patience::{Go, insist};
use super::statements::{Memory, memory};
use super::{Connection, Control, Error, Event, OURS, Pace, Road};
use crate::datamap::TableName;
use crate::datamap::name::{identifier, identifiers, literal};

/// How many tables go in one transaction.
const TABLES_TOGETHER: usize = 20;
/// How many large objects go in one transaction.
const OBJECTS_TOGETHER: usize = 1000;

/// A schema that is to be dropped: the object id too, so that a new schema under an old name stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaTarget {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its object id, as frozen in the plan.
    pub oid: u32,
}

/// What was done. Counts only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DroppedSchema {
    /// Whether this call dropped something of it, or it was gone before.
    pub was_there: bool,
    /// Tables and materialised views.
    pub tables: u64,
    /// Large objects that its tables referred to.
    pub large_objects: u64,
    /// Large objects that stay: tables outside it refer to them, too. After a kill, of the tables that were left then.
    pub large_objects_shared: u64,
    /// Why it is not known that no remembered statement names it, if so.
    pub statements_unread: Option<String>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaOutcome {
    /// The schema is gone.
    Done(DroppedSchema),
    /// Told to stop; what is gone is gone, and the next call goes on.
    Stopped,
}

/// The schema as it is now, for a plan.
///
/// # Errors
/// [`Error::Refused`] if there is no such schema.
pub async fn schema_target(connection: &Connection, name: &str) -> Result<SchemaTarget, Error> {
    let database = connection.database().to_owned();
    match oid_of(connection, name).await? {
        Some(oid) => Ok(SchemaTarget { database, name: name.to_owned(), oid }),
        None => Err(Error::Refused(format!("there is no schema \"{name}\" in database \"{database}\""))),
    }
}

/// Whether a schema of that name is there.
///
/// # Errors
/// [`Error::Database`].
pub async fn has_schema(connection: &Connection, name: &str) -> Result<bool, Error> {
    Ok(oid_of(connection, name).await?.is_some())
}

async fn oid_of(connection: &Connection, name: &str) -> Result<Option<u32>, Error> {
    let sql = format!("select oid::text from pg_namespace where nspname = {}", literal(name));
    Ok(connection.texts(&sql).await?.into_iter().flatten().flatten().next().and_then(|oid| oid.parse().ok()))
}

/// How many large objects its tables refer to that stay, since tables outside it refer to them, too. Once its tables are
/// dropped nobody can say: asked before. None of a schema that is gone.
///
/// # Errors
/// [`Error::Refused`] if the name is another schema's now; [`Error::Database`].
pub async fn shared_large_objects(connection: &Connection, target: &SchemaTarget) -> Result<u64, Error> {
    if !is_same(connection, target).await? {
        return Ok(0);
    }
    let named = named(connection, target).await?;
    if named.is_empty() {
        return Ok(0);
    }
    let all = format!("select count(*) from pg_largeobject_metadata l where l.oid in ({})", named.join(" union "));
    let alone = format!("{all} {}", unshared(connection, target).await?);
    Ok(connection.number(&all).await?.saturating_sub(connection.number(&alone).await?))
}

/// Drops it. May be called again after a kill: what is gone already is an answer, not an error.
///
/// # Errors
/// [`Error::Refused`] if something outside depends on it, or the name is another schema's now; [`Error::Database`].
pub async fn drop_schema(
    road: &Road,
    target: &SchemaTarget,
    pace: &Pace,
    control: &mut Control<'_>,
) -> Result<SchemaOutcome, Error> {
    let connection = road.connect(&target.database).await?;
    let mut dropped = DroppedSchema::default();
    if is_same(&connection, target).await? {
        dropped.was_there = true;
        nothing_in_the_way(&connection, target).await?;
        if !large_objects(&connection, target, pace, control, &mut dropped).await? {
            return Ok(SchemaOutcome::Stopped);
        }
        if !tables(&connection, target, pace, control, &mut dropped).await? {
            return Ok(SchemaOutcome::Stopped);
        }
        // HOLE: what somebody outside makes depend on it between these two statements goes with it
        if !cleared(&connection, target, pace, control).await? {
            return Ok(SchemaOutcome::Stopped);
        }
        let what = format!("schema {}", identifier(&target.name));
        let gone = format!("not exists (select from pg_catalog.pg_namespace where oid = {})", target.oid);
        insist(&connection, &only_it(target, &format!("drop {what} cascade"), &gone), control.tell).await?;
    }
    if let Memory::In(_) | Memory::Unread(_) = memory(&connection).await? {
        dropped.statements_unread = Some("pg_stat_statements may remember statements of the schema".to_owned());
    }
    Ok(SchemaOutcome::Done(dropped))
}

/// Whether it is still there under that name; an error if the name is another's.
async fn is_same(connection: &Connection, target: &SchemaTarget) -> Result<bool, Error> {
    match oid_of(connection, &target.name).await? {
        Some(oid) if oid == target.oid => Ok(true),
        Some(_) => {
            let message = "is another schema now than the one planned; plan again";
            Err(Error::Refused(format!("schema \"{}\" {message}", target.name)))
        }
        None => {
            let there = format!("select count(*) from pg_namespace where oid = {}", target.oid);
            if connection.number(&there).await? == 0 {
                return Ok(false);
            }
            let message = "has another name now; it was not dropped; plan again";
            Err(Error::Refused(format!("schema \"{}\" {message}", target.name)))
        }
    }
}

/// Waits until it may go on, which may take hours, and looks again at what may have changed meanwhile; false when told to
/// stop.
async fn cleared(
    connection: &Connection,
    target: &SchemaTarget,
    pace: &Pace,
    control: &mut Control<'_>,
) -> Result<bool, Error> {
    if control.clear(connection, pace).await? == Go::Stop {
        return Ok(false);
    }
    if !is_same(connection, target).await? {
        let message = "is gone, and not by this purge: look again in the next turn";
        return Err(Error::Refused(format!("schema \"{}\" {message}", target.name)));
    }
    nothing_in_the_way(connection, target).await?;
    Ok(true)
}

/// Runs `drop` in one transaction in which the name is that schema's and nobody else can give or take it: granting to us
/// what we have, as the owner, changes its row in the catalog, and holds it until the end. Afterwards `is_gone` must be true.
fn only_it(target: &SchemaTarget, drop: &str, is_gone: &str) -> String {
    let another =
        literal(&format!("schema \"{}\" is another schema now than the one planned; plan again", target.name));
    let left = literal(&format!("schema \"{}\": what was dropped is not what was planned; plan again", target.name));
    let body = format!(
        "declare owner name;
        begin
            select pg_catalog.pg_get_userbyid(nspowner) into owner from pg_catalog.pg_namespace
                where oid = {oid} and nspname = {name};
            if owner is null then raise exception using message = {another}; end if;
            execute pg_catalog.format('grant usage on schema %I to %I', {name}, current_user);
            if not exists (select from pg_catalog.pg_namespace where oid = {oid} and nspname = {name}
                    and xmin = pg_catalog.pg_current_xact_id()::xid) then
                raise exception using message = {another};
            end if;
            execute {drop};
            if not ({is_gone}) then raise exception using message = {left}; end if;
        end",
        oid = target.oid,
        name = literal(&target.name),
        drop = literal(drop),
    );
    format!("do {}", literal(&body))
}

/// Removes large objects that columns of type oid in its tables refer to, but those that others refer to, too, as a copy
/// of a template does; whether it came to the end.
async fn large_objects(
    connection: &Connection,
    target: &SchemaTarget,
    pace: &Pace,
    control: &mut Control<'_>,
    dropped: &mut DroppedSchema,
) -> Result<bool, Error> {
    let named = named(connection, target).await?;
    for objects in &named {
        loop {
            if !cleared(connection, target, pace, control).await? {
                return Ok(false);
            }
            let sql = format!(
                "select count(*) from (select lo_unlink(l.oid) from pg_largeobject_metadata l
                     where l.oid in ({objects}) {} limit {OBJECTS_TOGETHER}) u",
                unshared(connection, target).await?
            );
            let gone = connection.number(&sql).await?;
            dropped.large_objects += gone;
            if gone == 0 {
                break;
            }
        }
    }
    if !named.is_empty() {
        let named = named.join(" union ");
        let left = format!("select count(*) from pg_largeobject_metadata l where l.oid in ({named})");
        dropped.large_objects_shared = connection.number(&left).await?;
    }
    Ok(true)
}

/// Queries for the large objects that its tables name. By the table's id, too: by the time one runs, the table's name may
/// be another customer's.
async fn named(connection: &Connection, target: &SchemaTarget) -> Result<Vec<String>, Error> {
    let columns = format!(
        "{REFERRING} c.relnamespace = {} and c.relkind in ('r', 'm') and c.relispopulated order by 3, 4",
        target.oid
    );
    let each = |row: Vec<Option<String>>| match row.as_slice() {
        [Some(oid), Some(schema), Some(table), Some(column)] => {
            let (table, column) = (TableName::new(schema.clone(), table.clone()), identifier(column));
            Some(format!("select t.{column} from only {} t where t.tableoid = {oid}", table.sql()))
        }
        _ => None,
    };
    Ok(connection.texts(&columns).await?.into_iter().filter_map(each).collect())
}

/// A condition on `l.oid`: no table outside the schema refers to it. One that may not be read makes the query fail.
async fn unshared(connection: &Connection, target: &SchemaTarget) -> Result<String, Error> {
    let columns = format!(
        "{REFERRING} c.relnamespace <> {} and c.relkind in ('r', 'm') and c.relispopulated and n.nspname !~ '^pg_'
             and n.nspname <> 'information_schema' and not {OURS}",
        target.oid
    );
    let each = |row: Vec<Option<String>>| match row.as_slice() {
        [_, Some(schema), Some(table), Some(column)] => {
            let (table, column) = (TableName::new(schema.clone(), table.clone()), identifier(column));
            Some(format!("and not exists (select from only {} x where x.{column} = l.oid)", table.sql()))
        }
        _ => None,
    };
    Ok(connection.texts(&columns).await?.into_iter().filter_map(each).collect::<Vec<_>>().join(" "))
}

/// Drops tables, partitions before their parents, and materialised views; whether it came to the end.
async fn tables(
    connection: &Connection,
    target: &SchemaTarget,
    pace: &Pace,
    control: &mut Control<'_>,
    dropped: &mut DroppedSchema,
) -> Result<bool, Error> {
    let sql = format!(
        "select c.relname, case c.relkind when 'm' then 'materialized view' when 'f' then 'foreign table' else 'table' end,
             c.oid::text
         from pg_class c where c.relnamespace = {} and c.relkind in ('r', 'p', 'm', 'f')
         order by c.relkind = 'm' desc, c.relispartition desc, c.oid desc",
        target.oid
    );
    let all: Vec<(String, String, String)> = connection
        .texts(&sql)
        .await?
        .into_iter()
        .filter_map(|row| Some((row.first()?.clone()?, row.get(1)?.clone()?, row.get(2)?.clone()?)))
        .collect();
    for batch in all.chunk_by(|one, other| one.1 == other.1).flat_map(|alike| alike.chunks(TABLES_TOGETHER)) {
        if !cleared(connection, target, pace, control).await? {
            return Ok(false);
        }
        let Some((_, kind, _)) = batch.first() else { continue };
        let names: Vec<String> =
            batch.iter().map(|(name, ..)| identifiers([&target.name]) + "." + &identifier(name)).collect();
        let oids: Vec<&str> = batch.iter().map(|(.., oid)| oid.as_str()).collect();
        let gone = format!("not exists (select from pg_catalog.pg_class where oid in ({}))", oids.join(", "));
        let drop = format!("drop {kind} if exists {} cascade", names.join(", "));
        insist(connection, &only_it(target, &drop, &gone), control.tell).await?;
        dropped.tables += u64::try_from(batch.len()).unwrap_or(0);
        for (name, ..) in batch {
            let table = TableName::new(target.name.clone(), name.clone());
            (control.tell)(&Event::Step { step: 0, table });
        }
    }
    Ok(true)
}
