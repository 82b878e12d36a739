//! The write fence: a closed account's rows neither change nor come back. A trigger on every table with a tenant column
//! asks a small table of tombstones; it stays when the purge is over.
//! HOLE: rows that belong to the customer only through other tables can change, and come as long as a row is there to point
//! to; where no foreign key holds that way, for ever: the plan lists those tables as `unfenced`. Any row can be deleted, or
//! given to another customer. What is archived is what was there when it was read.

use super::shut_out::{looked, written};
use super::{Connection, Error, Event, patience};
use crate::datamap::TableName;
use crate::datamap::name::literal;
use crate::datamap::plan::Plan;

/// Puts up what is missing of the fence and sets the customer's tombstone, for a purge: locks are waited for.
pub(super) async fn raise(
    connection: &Connection,
    plan: &Plan,
    purge: &str,
    tell: &mut (dyn FnMut(&Event) + Send),
) -> Result<(), Error> {
    for (table, column) in missing(connection, &plan.fences).await? {
        patience::insist(connection, &trigger(&table, &column), tell).await?;
    }
    set(connection, &plan.customer, purge).await
}

/// The same when an account is closed, and in the end nobody is left who wrote to those tables before, or whose snapshot is
/// from before, in which there is no tombstone. Waits for a moment only: may be called again until it is so.
///
/// # Errors
/// [`Error::Refused`] while others write; [`Error::Database`].
pub async fn fence(
    connection: &Connection,
    fences: &[(TableName, String)],
    customer: &str,
    purge: &str,
) -> Result<(), Error> {
    for (table, column) in missing(connection, fences).await? {
        if let Err(error) = connection.run(&trigger(&table, &column)).await {
            connection.run("rollback").await?;
            let message = "others write to it without an end, so that the write fence cannot be put up yet";
            return Err(if error.is_passing() { Error::Refused(format!("{table}: {message}")) } else { error });
        }
    }
    set(connection, customer, purge).await?;
    let tables: Vec<String> =
        fences.iter().map(|(table, _)| format!("select {}::regclass::oid", literal(&table.sql()))).collect();
    if tables.is_empty() {
        return Ok(());
    }
    // who began later has met the tombstone
    let since =
        format!("select since + interval '1 minute' from portreeve.tombstones where customer = {}", literal(customer));
    written(connection, &tables.join(" union all "), &since).await?;
    looked(connection, &since).await
}

fn trigger(table: &str, column: &str) -> String {
    format!(
        "begin; create or replace trigger portreeve_tombstone before insert or update on {table} for each row
             execute function portreeve.refuse_tombstoned({});
         alter table {table} enable always trigger portreeve_tombstone; commit",
        literal(column)
    )
}

async fn set(connection: &Connection, customer: &str, purge: &str) -> Result<(), Error> {
    let (customer, purge) = (literal(customer), literal(purge));
    let sql = format!(
        "insert into portreeve.tombstones (customer, purge) values ({customer}, {purge}) on conflict (customer) do nothing"
    );
    connection.run(&sql).await
}

/// Tables whose trigger is not there or not always on, quoted, with their tenant columns.
pub(super) async fn missing(
    connection: &Connection,
    fences: &[(TableName, String)],
) -> Result<Vec<(String, String)>, Error> {
    let mut missing = Vec::new();
    for (table, column) in fences {
        let sql = format!(
            "select count(*) from pg_trigger where tgrelid = {}::regclass and tgname = 'portreeve_tombstone' and tgenabled = 'A'",
            literal(&table.sql())
        );
        if connection.number(&sql).await? == 0 {
            missing.push((table.sql(), column.clone()));
        }
    }
    Ok(missing)
}

/// Takes a customer's tombstone away: its account was reopened, or it comes back as a new customer under the same key.
///
/// # Errors
/// [`Error::Database`].
pub async fn lift(connection: &Connection, customer: &str) -> Result<(), Error> {
    connection.run(&format!("delete from portreeve.tombstones where customer = {}", literal(customer))).await
}
