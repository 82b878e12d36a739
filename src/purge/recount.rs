//! A second pair of eyes for an archive: in its own snapshot, the rows it should hold are counted by queries that are not
//! those which copied them: tables from `pg_class` anew, no index, the customer's key as anybody would write it.
//! Not here: what was written (`archive.rs`), and whether it can be read back (`retentiond/closing/reading.rs`).

use std::collections::BTreeMap;
use std::fmt;

use tokio_postgres::{Error as Upstream, Row, Transaction};

use super::archive::Manifest;
use crate::datamap::name::identifier;
use crate::datamap::{DataMap, Erase, Layout, Path, TableName};

/// Tables that can hold rows here, each with the one it is a partition of at last. Those of the server itself have low
/// object ids or their own schema, those of a session go with it, an extension brings its own along, and what the fence
/// and retention wrote down is not the customer's.
/// HOLE: rows that users wrote into an extension's table are taken for the extension's.
const TABLES: &str = "
select n.nspname::text, c.relname::text, format('%s%I.%I', case c.relkind when 'r' then 'only ' end, n.nspname, c.relname),
       m.nspname::text, r.relname::text
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join pg_class r on c.relispartition and r.oid = pg_partition_root(c.oid)
left join pg_namespace m on m.oid = r.relnamespace
where c.relkind = any (array['r', 'p']::\"char\"[]) and c.relpersistence <> 't' and c.oid >= 16384
  and n.nspname <> 'information_schema'
  and c.oid not in (select objid from pg_depend where classid = 'pg_class'::regclass and deptype = 'e')
  and not (n.nspname = 'portreeve' and pg_get_userbyid(c.relowner) in (pg_get_userbyid(n.nspowner), 'portreeve_maintenance')
      and c.relname in ('scope', 'grants', 'layout', 'shared_tables', 'undo', 'purges', 'purge_steps', 'tombstones'))
order by 1, 2";

/// An index that lacks rows hides them from a count as from a copy. Where all ways are off, the planner takes the cheapest.
const WITHOUT_INDEXES: &str = "set local enable_seqscan = on; set local enable_indexscan = off;
                               set local enable_indexonlyscan = off; set local enable_bitmapscan = off";

/// So many are named in a message.
const NAMED_MAX: usize = 10;

/// One thing that an archive does not hold as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A table's rows.
    Rows {
        /// Which.
        table: TableName,
        /// How many there are.
        expected: u64,
        /// How many were written.
        written: u64,
    },
    /// A table that is not in the archive, whatever it holds: it may be one that nobody may read.
    LeftOut(TableName),
    /// A table that is in the archive and should not be.
    NotExpected(TableName),
    /// Large objects of a whole database.
    LargeObjects {
        /// How many there are.
        expected: u64,
        /// How many were written.
        written: u64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Rows { table, expected, written } => {
                write!(f, "table {table}: {expected} rows expected, {written} written")
            }
            Difference::LeftOut(table) => write!(f, "table {table}: left out"),
            Difference::NotExpected(table) => write!(f, "table {table}: not expected"),
            Difference::LargeObjects { expected, written } => {
                write!(f, "large objects: {expected} expected, {written} written")
            }
        }
    }
}

/// Some of them, for a message.
pub(super) fn listed(differences: &[Difference]) -> String {
    let mut texts: Vec<String> = differences.iter().take(NAMED_MAX).map(Difference::to_string).collect();
    if let Some(more @ 1..) = differences.len().checked_sub(NAMED_MAX) {
        texts.push(format!("{more} more"));
    }
    texts.join("; ")
}

/// Whose rows an archive is to hold.
pub(super) struct Whose<'a> {
    pub(super) map: &'a DataMap,
    /// The customer's key in shared tables.
    pub(super) customer: &'a str,
    /// The customer's schema, where it has no more than that.
    pub(super) within: Option<&'a str>,
}

impl Whose<'_> {
    /// Whether the table is to be in the archive by a name of its own.
    fn has(&self, table: &TableName) -> bool {
        match self.map.layout {
            Layout::Database => self.within.is_none_or(|schema| table.schema == schema),
            Layout::Shared => self.map.tables.get(table).is_some_and(|entry| entry.erase == Erase::Delete),
        }
    }

    /// How many rows of the table are the customer's; `from` is its name in SQL.
    fn count(&self, table: &TableName, from: &str) -> String {
        match self.map.layout {
            Layout::Database => format!("select count(*) from {from}"),
            Layout::Shared => format!("select count(*) from {from} x0 where {}", self.belongs(table, 0)),
        }
    }

    /// From table to table by the keys, to the column that says whose it is.
    fn belongs(&self, table: &TableName, depth: usize) -> String {
        let of = |alias: usize, columns: &[String]| {
            let columns = columns.iter().map(|column| format!("x{alias}.{}", identifier(column)));
            columns.collect::<Vec<_>>().join(", ")
        };
        match self.map.tables.get(table).map(|entry| &entry.path) {
            Some(Path::Tenant(column)) => {
                let key = self.customer.replace('\\', "\\\\").replace('\'', "''");
                format!("x{depth}.{} = E'{key}'", identifier(column))
            }
            Some(Path::Via(via)) if depth <= self.map.tables.len() => format!(
                "({}) in (select {} from {} x{} where {})",
                of(depth, &via.columns),
                of(depth + 1, &via.key),
                via.parent.sql(),
                depth + 1,
                self.belongs(&via.parent, depth + 1)
            ),
            Some(Path::Whole) => "true".to_owned(),
            Some(Path::Via(_) | Path::Nobody) | None => "false".to_owned(),
        }
    }
}

/// What `manifest` does not hold as it should, in the snapshot of `transaction`, whose last act this is.
pub(super) async fn recount(
    transaction: &Transaction<'_>,
    whose: &Whose<'_>,
    manifest: &Manifest,
) -> Result<Vec<Difference>, Upstream> {
    transaction.batch_execute(WITHOUT_INDEXES).await?;
    let mut unseen: BTreeMap<&TableName, u64> = manifest.tables.iter().map(|one| (&one.table, one.rows)).collect();
    let mut differences = Vec::new();
    for row in transaction.query(TABLES, &[]).await? {
        let (table, from, root) = named(&row)?;
        // a partition's rows are counted with its root's, if that is in the archive
        if !whose.has(&table) || root.is_some_and(|root| whose.has(&root)) {
            continue;
        }
        let Some(written) = unseen.remove(&table) else {
            differences.push(Difference::LeftOut(table));
            continue;
        };
        let expected = number(transaction, &whose.count(&table, &from)).await?;
        if expected != written {
            differences.push(Difference::Rows { table, expected, written });
        }
    }
    differences.extend(unseen.into_keys().cloned().map(Difference::NotExpected));
    if whose.map.layout == Layout::Database && whose.within.is_none() {
        let expected = number(transaction, "select count(*) from pg_largeobject_metadata").await?;
        let written = u64::try_from(manifest.large_objects.len()).unwrap_or(u64::MAX);
        if expected != written {
            differences.push(Difference::LargeObjects { expected, written });
        }
    }
    Ok(differences)
}

async fn number(transaction: &Transaction<'_>, sql: &str) -> Result<u64, Upstream> {
    let number: i64 = transaction.query_one(sql, &[]).await?.try_get(0)?;
    Ok(u64::try_from(number).unwrap_or(u64::MAX))
}

fn named(row: &Row) -> Result<(TableName, String, Option<TableName>), Upstream> {
    let table = TableName::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
    let root: (Option<String>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
    Ok((table, row.try_get(2)?, root.0.zip(root.1).map(|(schema, name)| TableName::new(schema, name))))
}
