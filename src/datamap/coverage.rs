//! Coverage: every relation that holds rows, what the catalog makes of it, and whether the data map covers it.
//! Not here: the comparison itself (`compare.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::catalog::{Kind, Relation};
use super::compare::differences;
use super::propose::is_tenant_like;
use super::{Catalog, DataMap, Layout, TableName};

/// What the catalog alone says of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The database is one customer's.
    Whole,
    /// It has a customer's key, held by a foreign key.
    DirectKey,
    /// Foreign keys lead to a table that has one.
    ViaForeignKey,
    /// It has a customer's key that no foreign key holds: a forgotten copy, a partitioned log.
    OrphanKey,
    /// No key, and columns that may hold anything.
    Opaque,
    /// A materialised view: it holds copies.
    MaterialisedView,
    /// It lies on another server.
    Foreign,
    /// Nothing tells.
    Unclassified,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::Whole => "whole database",
            Class::DirectKey => "direct key",
            Class::ViaForeignKey => "via FK",
            Class::OrphanKey => "ORPHAN KEY",
            Class::Opaque => "OPAQUE",
            Class::MaterialisedView => "MATVIEW",
            Class::Foreign => "foreign table",
            Class::Unclassified => "UNCLASSIFIED",
        })
    }
}

/// One relation; partitions are covered by their parent and have no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub table: TableName,
    /// What the catalog says.
    pub class: Class,
    /// How many rows the planner thinks it has, partitions included.
    pub rows_estimated: u64,
    /// What is wrong between it and the data map; empty when it is covered.
    pub findings: Vec<String>,
}

/// Every relation, and what slows a purge down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// By name; then what is in the map only.
    pub rows: Vec<Row>,
    /// Foreign keys without an index on their columns.
    pub warnings: Vec<String>,
}

impl Coverage {
    /// Whether nothing is unclassified.
    pub fn is_complete(&self) -> bool {
        self.rows.iter().all(|row| row.findings.is_empty())
    }
}

/// Compares `map` with `catalog`. Without a map, everything is unclassified.
pub fn coverage(map: Option<&DataMap>, catalog: &Catalog) -> Coverage {
    let empty = DataMap { layout: Layout::Shared, tenant: None, tables: BTreeMap::new() };
    let map = map.unwrap_or(&empty);
    let mut findings: BTreeMap<TableName, Vec<String>> = BTreeMap::new();
    for difference in differences(map, catalog) {
        findings.entry(difference.table).or_default().push(difference.what);
    }
    let classes = classes(map, catalog);
    let mut rows = Vec::new();
    for relation in catalog.relations().filter(|relation| relation.partition_of.is_none()) {
        let leaves = catalog.leaves(&relation.name);
        let leaves = leaves.iter().filter_map(|leaf| catalog.relation(leaf)).map(|leaf| leaf.rows_estimated);
        rows.push(Row {
            table: relation.name.clone(),
            class: classes.get(&relation.name).copied().unwrap_or(Class::Unclassified),
            rows_estimated: leaves.sum::<u64>().max(relation.rows_estimated),
            findings: findings.remove(&relation.name).unwrap_or_default(),
        });
    }
    let only_in_map = findings.into_iter();
    rows.extend(only_in_map.map(|(table, findings)| Row {
        table,
        class: Class::Unclassified,
        rows_estimated: 0,
        findings,
    }));
    Coverage { rows, warnings: unindexed(catalog) }
}

fn classes(map: &DataMap, catalog: &Catalog) -> BTreeMap<TableName, Class> {
    let mut classes: BTreeMap<TableName, Class> = BTreeMap::new();
    let is_tenant = |name: &str| is_tenant_like(name) || map.tenant.as_deref() == Some(name);
    for relation in catalog.relations().filter(|relation| relation.partition_of.is_none()) {
        let tenant = relation.columns.iter().find(|column| is_tenant(&column.name));
        let held = |column: &str| catalog.keys_of(&relation.name).any(|key| key.columns.iter().any(|c| c == column));
        let class = match (map.layout, relation.kind, tenant) {
            (_, Kind::MaterialisedView, _) => Class::MaterialisedView,
            (_, Kind::Foreign, _) => Class::Foreign,
            (Layout::Database, ..) => Class::Whole,
            (Layout::Shared, _, Some(column)) if held(&column.name) => Class::DirectKey,
            (Layout::Shared, _, Some(_)) => Class::OrphanKey,
            (Layout::Shared, _, None) if is_opaque(relation) => Class::Opaque,
            (Layout::Shared, _, None) => Class::Unclassified,
        };
        classes.insert(relation.name.clone(), class);
    }
    // the customers' own table: keys lead to it from tenant columns
    let keyed: Vec<TableName> = classes.iter().filter(|(_, class)| is_keyed(**class)).map(|(n, _)| n.clone()).collect();
    let roots = keyed.iter().flat_map(|table| catalog.keys_of(table));
    let roots: BTreeSet<TableName> = roots
        .filter(|key| key.columns.len() == 1 && key.columns.iter().all(|column| is_tenant(column)))
        .map(|key| key.parent.clone())
        .collect();
    for root in &roots {
        classes.insert(root.clone(), Class::DirectKey);
    }
    let mut reached: Vec<TableName> = keyed.into_iter().chain(roots).collect();
    while !reached.is_empty() {
        let children: BTreeSet<TableName> =
            reached.iter().flat_map(|parent| catalog.keys_to(parent)).map(|key| key.child.clone()).collect();
        reached = children
            .into_iter()
            .filter(|child| matches!(classes.get(child), Some(Class::Opaque | Class::Unclassified)))
            .collect();
        for child in &reached {
            classes.insert(child.clone(), Class::ViaForeignKey);
        }
    }
    classes
}

fn is_keyed(class: Class) -> bool {
    matches!(class, Class::DirectKey | Class::OrphanKey)
}

fn is_opaque(relation: &Relation) -> bool {
    let types = ["json", "jsonb", "xml", "bytea", "oid", "hstore"];
    relation.columns.iter().any(|column| types.contains(&column.type_name.as_str()))
}

/// Each deletion of a parent's row would read the whole child: 860 times slower where it was measured.
fn unindexed(catalog: &Catalog) -> Vec<String> {
    let relations = catalog.relations().filter(|relation| relation.partition_of.is_none());
    let keys = relations.flat_map(|relation| catalog.keys_of(&relation.name).map(move |key| (relation, key)));
    let unindexed = keys.filter(|(relation, key)| !relation.is_indexed(&key.columns));
    unindexed
        .map(|(relation, key)| {
            let columns = key.columns.join(", ");
            format!(
                "{}: foreign key {} has no index on ({columns}): deleting rows of {} reads it whole each time",
                relation.name, key.name, key.parent
            )
        })
        .collect()
}
