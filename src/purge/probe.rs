//! Takes needles from a customer's rows before a purge, and looks for them afterwards through every column of every
//! table that can hold text. Not here: the needles (`needles.rs`). No value leaves this file.

use tokio_postgres::IsolationLevel;

use super::copied::copied;
use super::needles::Needles;
use super::{Connection, Error};
use crate::datamap::catalog::{Column, Kind, Relation};
use crate::datamap::name::{identifier, literal};
use crate::datamap::plan::Plan;
use crate::datamap::{Catalog, Category, DataMap, TableName};
use crate::entropy::Entropy;

/// How many values of one column are looked at.
const CANDIDATES: usize = 20;

/// Takes up to `most` needles from columns of personal data, a few of each; a value that another customer's row of the
/// same column has, too, is none.
///
/// # Errors
/// [`Error::Database`].
pub async fn needles(
    connection: &Connection,
    map: &DataMap,
    catalog: &Catalog,
    plan: &Plan,
    most: usize,
    entropy: &dyn Entropy,
) -> Result<Needles, Error> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for step in plan.counted() {
        let entry = map.tables.get(&step.table);
        let relation = catalog.relation(&step.table);
        for (column, category) in entry.into_iter().flat_map(|entry| &entry.columns) {
            let kind = relation.and_then(|relation| relation.column(column));
            if kind.is_some_and(|kind| is_telling(kind, *category)) {
                found.push(candidates(connection, &step.table, &step.condition, column).await?);
            }
        }
    }
    let mut needles = Needles::new(entropy);
    for value in (0..CANDIDATES).flat_map(|at| found.iter().filter_map(move |values| values.get(at))) {
        if needles.len() >= most {
            break;
        }
        needles.add(value);
    }
    Ok(needles)
}

/// Whether a column's values can be needles: told apart, and as text.
fn is_telling(column: &Column, category: Category) -> bool {
    let is_uuid = column.type_name == "uuid";
    let is_text = column.type_category == 'S' || is_uuid;
    match category {
        Category::Identity | Category::Contact | Category::Network | Category::Credential | Category::Financial => {
            is_text
        }
        Category::Pseudonym => is_uuid,
        Category::None
        | Category::Location
        | Category::Birth
        | Category::FreeText
        | Category::Behaviour
        | Category::Special => false,
    }
}

async fn candidates(
    connection: &Connection,
    table: &TableName,
    condition: &str,
    column: &str,
) -> Result<Vec<String>, Error> {
    let value = format!("t.{}::text", identifier(column));
    let own = format!(
        "select distinct {value} from {} t where {condition} and length({value}) between 12 and 200 limit {CANDIDATES}",
        table.sql()
    );
    let values: Vec<String> = connection.texts(&own).await?.into_iter().flatten().flatten().collect();
    if values.is_empty() {
        return Ok(values);
    }
    let list: Vec<String> = values.iter().map(|value| literal(value)).collect();
    let others = format!(
        "select distinct {value} from {} t where {value} in ({}) and ({condition}) is not true",
        table.sql(),
        list.join(", ")
    );
    let others: Vec<String> = connection.texts(&others).await?.into_iter().flatten().flatten().collect();
    Ok(values.into_iter().filter(|value| !others.contains(value)).collect())
}

/// What was looked through, and where needles were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// How many values were looked for.
    pub needles: usize,
    /// How many of them text may spell in still other ways than those that were looked for.
    pub special: usize,
    /// How many tables were read.
    pub tables: usize,
    /// How many bytes.
    pub bytes: u64,
    /// Tables in which some were found, and how often.
    pub found: Vec<(TableName, u64)>,
}

/// Looks through every table and materialised view in one snapshot.
///
/// # Errors
/// [`Error::Database`].
pub async fn probe(connection: &mut Connection, catalog: &Catalog, needles: &Needles) -> Result<Probed, Error> {
    let database = connection.database().to_owned();
    let failed = |error| Error::database(&database, error);
    let building = connection.client.build_transaction().read_only(true);
    let transaction = building.isolation_level(IsolationLevel::RepeatableRead).start().await.map_err(failed)?;
    let mut probed = Probed { needles: needles.len(), special: needles.special(), ..Probed::default() };
    for relation in catalog.relations() {
        let Some(sql) = looked_through(relation) else { continue };
        let mut count = 0;
        copied(&transaction, &database, &sql, async |chunk| {
            count += needles.count_in(&chunk);
            probed.bytes += u64::try_from(chunk.len()).unwrap_or(0);
            Ok::<(), Error>(())
        })
        .await?;
        probed.tables += 1;
        if count > 0 {
            probed.found.push((relation.name.clone(), count));
        }
    }
    transaction.commit().await.map_err(failed)?;
    Ok(probed)
}

/// Everything but numbers, truth values, times and their ranges; nothing of partitioned parents and foreign tables.
fn looked_through(relation: &Relation) -> Option<String> {
    let only = match relation.kind {
        Kind::Table => "only ",
        Kind::MaterialisedView => "",
        Kind::Partitioned | Kind::Foreign => return None,
    };
    let columns: Vec<String> = relation
        .columns
        .iter()
        .filter(|column| !matches!(column.type_category, 'N' | 'B' | 'D' | 'T' | 'R' | 'G' | 'V'))
        .map(|column| format!("{}::text", identifier(&column.name)))
        .collect();
    let list = columns.join(", ");
    (!columns.is_empty()).then(|| format!("copy (select {list} from {only}{}) to stdout", relation.name.sql()))
}
