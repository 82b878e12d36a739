//! What outside a schema depends on something in it: it would go with the schema, or break without it.
//! Read from the catalog's own dependencies, whatever the object is: what is not known to be the schema's is in the way.
//! HOLE: bodies of functions that are text name what they use, and the catalog does not know it.

use super::schema::SchemaTarget;
use super::{Connection, Error};

/// The query, with the schema's object id as `$oid`.
const OUTSIDE: &str = include_str!("outside.sql");

/// Refuses if there is anything.
pub(super) async fn nothing_in_the_way(connection: &Connection, target: &SchemaTarget) -> Result<(), Error> {
    let sql = OUTSIDE.replace("$oid", &format!("{}::oid", target.oid));
    let found: Vec<String> = connection.texts(&sql).await?.into_iter().flatten().flatten().collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "schema \"{}\": {} outside it depends on it: drop that first, or move what is an extension's: it is not this customer's",
        target.name,
        found.join(", ")
    )))
}
