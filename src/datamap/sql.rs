//! SQL conditions that follow from a data map: "this row is that customer's", "this row is somebody's orphan".
//! Not here: running them. The customer's key stands in them as a quoted literal, since a cursor takes no parameter.

use super::catalog::ForeignKey;
use super::name::{identifier, literal};
use super::{Catalog, DataMap, Path, TableName, Via};

/// The condition that the row `alias` of `table` belongs to the customer `key`. A way that leads nowhere is never true;
/// `compare.rs` has refused it before.
pub(super) fn is_customers(map: &DataMap, catalog: &Catalog, table: &TableName, alias: &str, key: &str) -> String {
    at_depth(map, catalog, (table, alias), key, 0)
}

fn at_depth(map: &DataMap, catalog: &Catalog, (table, alias): (&TableName, &str), key: &str, depth: usize) -> String {
    match map.tables.get(table).map(|entry| &entry.path) {
        Some(Path::Whole) => "true".to_owned(),
        Some(Path::Tenant(column)) => {
            format!("{alias}.{} = {}", identifier(column), key_as(catalog, table, column, key))
        }
        Some(Path::Via(via)) if depth <= map.tables.len() => {
            let parent = format!("p{depth}");
            let deeper = at_depth(map, catalog, (&via.parent, &parent), key, depth + 1);
            format!(
                "exists (select from {} {parent} where {} and {deeper})",
                via.parent.sql(),
                joined(via, alias, &parent)
            )
        }
        Some(Path::Via(_) | Path::Nobody) | None => "false".to_owned(),
    }
}

/// The key in the column's own type, so that an index is used. Strings are compared as text: a cast to a type with a
/// length would cut the key short and might hit another customer.
fn key_as(catalog: &Catalog, table: &TableName, column: &str, key: &str) -> String {
    let column = catalog.relation(table).and_then(|relation| relation.column(column));
    match column {
        Some(column) if column.type_category != 'S' => format!("{}::{}", literal(key), column.type_name),
        Some(_) | None => format!("{}::text", literal(key)),
    }
}

fn joined(via: &Via, child: &str, parent: &str) -> String {
    equal(&via.columns, child, &via.key, parent)
}

/// `c."a" = p."id" and …`.
fn equal(columns: &[String], child: &str, key: &[String], parent: &str) -> String {
    let pairs = columns.iter().zip(key);
    let pairs = pairs.map(|(column, key)| format!("{child}.{} = {parent}.{}", identifier(column), identifier(key)));
    pairs.collect::<Vec<_>>().join(" and ")
}

/// Counts rows whose way to the customer ends before it reaches one.
pub(super) fn orphans(table: &TableName, via: &Via) -> String {
    let set: Vec<String> = via.columns.iter().map(|column| format!("t.{} is not null", identifier(column))).collect();
    format!(
        "select count(*) from {} t where {} and not exists (select from {} p where {})",
        table.sql(),
        set.join(" and "),
        via.parent.sql(),
        joined(via, "t", "p")
    )
}

/// The condition that no row of the key's child points to row `t`.
pub(super) fn nothing_points(key: &ForeignKey) -> String {
    format!("not exists (select from {} c where {})", key.child.sql(), equal(&key.columns, "c", &key.key, "t"))
}

/// Rows of the key's child that point to the customer's rows of its parent and are not the customer's: how many, and up
/// to ten keys of whose they are.
pub(super) fn strangers(map: &DataMap, catalog: &Catalog, foreign: &ForeignKey, key: &str) -> String {
    let whose = match map.tables.get(&foreign.child).map(|entry| &entry.path) {
        Some(Path::Tenant(column)) => format!("(array_agg(distinct c.{}::text))[1:10]", identifier(column)),
        Some(Path::Via(_) | Path::Whole | Path::Nobody) | None => "array[]::text[]".to_owned(),
    };
    format!(
        "select count(*), {whose} from {} c join {} p on {} where {} and ({}) is not true",
        foreign.child.sql(),
        foreign.parent.sql(),
        equal(&foreign.columns, "c", &foreign.key, "p"),
        is_customers(map, catalog, &foreign.parent, "p", key),
        is_customers(map, catalog, &foreign.child, "c", key)
    )
}
