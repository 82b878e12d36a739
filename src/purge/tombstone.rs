//! The write fence: a purged customer's rows cannot come back. A trigger on every table with a tenant column asks a
//! small table of tombstones; it stays when the purge is over.
//! HOLE: tables whose way to the customer no foreign key holds are not covered; the plan lists them as `unfenced`.

use super::{Connection, Error, Event, patience};
use crate::datamap::name::literal;
use crate::datamap::plan::Plan;

/// Puts up what is missing of the fence and sets the customer's tombstone.
pub(super) async fn raise(
    connection: &Connection,
    plan: &Plan,
    purge: &str,
    tell: &mut (dyn FnMut(&Event) + Send),
) -> Result<(), Error> {
    for (table, column) in missing(connection, plan).await? {
        let sql = format!(
            "begin; create or replace trigger portreeve_tombstone before insert or update on {table} for each row
                 execute function portreeve.refuse_tombstoned({});
             alter table {table} enable always trigger portreeve_tombstone; commit",
            literal(&column)
        );
        patience::insist(connection, &sql, tell).await?;
    }
    let customer = literal(&plan.customer);
    let purge = literal(purge);
    let sql = format!(
        "insert into portreeve.tombstones (customer, purge) values ({customer}, {purge}) on conflict (customer) do nothing"
    );
    connection.run(&sql).await
}

/// Tables whose trigger is not there or not always on, quoted, with their tenant columns.
pub(super) async fn missing(connection: &Connection, plan: &Plan) -> Result<Vec<(String, String)>, Error> {
    let mut missing = Vec::new();
    for (table, column) in &plan.fences {
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

/// Takes a customer's tombstone away, for one that comes back as a new customer under the same key.
///
/// # Errors
/// [`Error::Database`].
pub async fn lift(connection: &Connection, customer: &str) -> Result<(), Error> {
    connection.run(&format!("delete from portreeve.tombstones where customer = {}", literal(customer))).await
}
