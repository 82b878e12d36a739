//! Compares a data map with a catalog: each difference is a finding that names the table and what to do.
//! Not here: classes of tables (`coverage.rs`).

use std::collections::BTreeSet;
use std::fmt;

use super::catalog::{Kind, Relation};
use super::{Catalog, DataMap, Erase, Path, Table, TableName};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Where.
    pub table: TableName,
    /// What, and what to do; no full stop.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.what)
    }
}

/// Everything in which `map` and `catalog` differ, by table.
pub fn differences(map: &DataMap, catalog: &Catalog) -> Vec<Difference> {
    let mut found = Vec::new();
    for relation in catalog.relations().filter(|relation| relation.partition_of.is_none()) {
        if !map.tables.contains_key(&relation.name) {
            let what = match relation.kind {
                Kind::MaterialisedView => "unclassified: give it erase = \"refresh\"",
                Kind::Foreign => "unclassified: give it erase = \"elsewhere\" with a reason",
                Kind::Table | Kind::Partitioned => "unclassified: portreeve datamap scan proposes an entry",
            };
            found.push(Difference { table: relation.name.clone(), what: what.to_owned() });
        }
    }
    for (name, table) in &map.tables {
        let mut say = |what: String| found.push(Difference { table: name.clone(), what });
        match catalog.relation(name) {
            None => say("is in the data map only: take it out".to_owned()),
            Some(relation) => one(map, catalog, (name, table), relation, &mut say),
        }
    }
    found.sort();
    found
}

fn one(
    map: &DataMap,
    catalog: &Catalog,
    (name, table): (&TableName, &Table),
    relation: &Relation,
    say: &mut dyn FnMut(String),
) {
    if let Some(parent) = &relation.partition_of {
        say(format!("is a partition: its parent {parent} stands for it"));
    }
    match (relation.kind, table.erase) {
        (Kind::MaterialisedView, Erase::Delete | Erase::Keep | Erase::Elsewhere) => {
            say("is a materialised view: say erase = \"refresh\"".to_owned());
        }
        (Kind::Foreign, Erase::Delete | Erase::Refresh) => {
            say("is a foreign table: say erase = \"elsewhere\" with a reason, or \"keep\"".to_owned());
        }
        (Kind::Table | Kind::Partitioned, Erase::Refresh) => {
            say("is no materialised view: it cannot be refreshed".to_owned());
        }
        _ => {}
    }
    let missing = |column: &String| relation.column(column).is_none();
    for column in &relation.columns {
        if !table.columns.contains_key(&column.name) {
            say(format!("column {} has no category", column.name));
        }
    }
    table.columns.keys().filter(|column| missing(column)).for_each(|column| say(format!("has no column {column}")));
    for column in &table.large_objects {
        if relation.column(column).is_none_or(|column| column.type_name != "oid") {
            say(format!("large_objects: {column} is no column of type oid"));
        }
    }
    for trigger in table.triggers.keys() {
        if relation.triggers.iter().all(|known| &known.name != trigger) {
            say(format!("has no trigger {trigger}"));
        }
    }
    match &table.path {
        Path::Tenant(column) if missing(column) => {
            say(format!("has no tenant column {column}: name another, say via, or erase = \"keep\""));
        }
        Path::Via(via) => {
            for column in via.columns.iter().filter(|column| missing(column)) {
                say(format!("via: has no column {column}"));
            }
            match catalog.relation(&via.parent) {
                None => say(format!("via: there is no table {}", via.parent)),
                Some(parent) => {
                    for column in via.key.iter().filter(|column| parent.column(column).is_none()) {
                        say(format!("via: {} has no column {column}", via.parent));
                    }
                }
            }
            if let Some(broken) = dead_end(map, name) {
                say(broken);
            }
        }
        Path::Tenant(_) | Path::Whole | Path::Nobody => {}
    }
}

/// Why the way from `table` reaches no customer.
fn dead_end(map: &DataMap, table: &TableName) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut here = table;
    loop {
        if !seen.insert(here) {
            return Some(format!("via: the way goes round in a circle at {here}"));
        }
        match map.tables.get(here).map(|entry| &entry.path) {
            Some(Path::Via(via)) => here = &via.parent,
            Some(Path::Tenant(_) | Path::Whole) => return None,
            Some(Path::Nobody) => return Some(format!("via: {here} belongs to no customer")),
            None => return Some(format!("via: {here} is not in the data map")),
        }
    }
}
