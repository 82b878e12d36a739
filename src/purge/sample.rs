//! Samples columns for a proposal: some rows of each table are looked at and forgotten; only tallies are kept.
//! Not here: printing. No sampled value ever leaves this file.

use super::{Connection, Error};
use crate::datamap::Catalog;
use crate::datamap::catalog::Kind;
use crate::datamap::name::identifier;
use crate::datamap::propose::Samples;

/// How many rows of a table are looked at.
const ROWS: usize = 200;
/// How much of a value is looked at, in characters.
const CHARACTERS: usize = 200;

/// What the values of each string column look like. Foreign tables are not read.
///
/// # Errors
/// [`Error::Database`].
pub async fn samples(connection: &Connection, catalog: &Catalog) -> Result<Samples, Error> {
    let mut samples = Samples::new();
    let tables = catalog.relations().filter(|table| table.kind != Kind::Foreign && table.partition_of.is_none());
    for table in tables {
        let columns: Vec<&str> = table
            .columns
            .iter()
            .filter(|column| matches!(column.type_category, 'S' | 'I'))
            .map(|column| column.name.as_str())
            .collect();
        if columns.is_empty() {
            continue;
        }
        let list: Vec<String> =
            columns.iter().map(|column| format!("left({}::text, {CHARACTERS})", identifier(column))).collect();
        let sql = format!("select {} from {} limit {ROWS}", list.join(", "), table.name.sql());
        // a materialised view that was never filled cannot be read, and has nothing to look at
        let rows = match connection.texts(&sql).await {
            Err(Error::Database { sqlstate, .. }) if sqlstate == "55000" => Vec::new(),
            rows => rows?,
        };
        for row in rows {
            for (column, value) in columns.iter().zip(row) {
                let tally = samples.entry((table.name.clone(), (*column).to_owned())).or_default();
                tally.add(value.as_deref().unwrap_or_default());
            }
        }
    }
    Ok(samples)
}
