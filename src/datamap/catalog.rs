//! What a database says about itself, as a value: relations, columns, keys, triggers.
//! Not here: how it is read (`purge/catalog.rs`).

use std::collections::{BTreeMap, HashMap};

use super::TableName;

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary table.
    Table,
    /// A table that only has partitions.
    Partitioned,
    /// A materialised view.
    MaterialisedView,
    /// A table that lies on another server.
    Foreign,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as SQL writes it.
    pub type_name: String,
    /// The category of its base type in `pg_type.typcategory`: `S` for strings, `N` for numbers, and so on.
    pub type_category: char,
    /// Whether it may not be null.
    pub is_required: bool,
    /// Whether it makes itself from others.
    pub is_generated: bool,
}

/// A trigger of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// Whether it fires on DELETE.
    pub on_delete: bool,
    /// Whether it fires on UPDATE.
    pub on_update: bool,
}

/// A table, or what is like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: Kind,
    /// The table it is a partition of.
    pub partition_of: Option<TableName>,
    /// How many rows the planner thinks it has.
    pub rows_estimated: u64,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// The columns of each index, in order; expressions and partial indexes are left out.
    pub indexes: Vec<Vec<String>>,
    /// The columns of the primary key.
    pub primary_key: Vec<String>,
    /// Enabled triggers, other than Portreeve's and those of constraints.
    pub triggers: Vec<Trigger>,
    /// Whether a rule rewrites DELETE.
    pub has_delete_rule: bool,
}

impl Relation {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether an index begins with these columns, in any order.
    pub fn is_indexed(&self, columns: &[String]) -> bool {
        self.indexes.iter().any(|index| {
            index.get(..columns.len()).is_some_and(|first| columns.iter().all(|column| first.contains(column)))
        })
    }
}

/// What happens to the child's rows when the parent's row is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// The deletion fails.
    Refuse,
    /// They are deleted, too.
    Cascade,
    /// Their columns become null.
    SetNull,
    /// Their columns get their default.
    SetDefault,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// The table that points.
    pub child: TableName,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table pointed at.
    pub parent: TableName,
    /// Its columns.
    pub key: Vec<String>,
    /// What a deletion does.
    pub on_delete: OnDelete,
    /// Whether the check can wait for the end of the transaction.
    pub is_deferrable: bool,
}

/// A whole database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    relations: BTreeMap<TableName, Relation>,
    foreign_keys: Vec<ForeignKey>,
    by_child: HashMap<TableName, Vec<usize>>,
    by_parent: HashMap<TableName, Vec<usize>>,
    partitions: HashMap<TableName, Vec<TableName>>,
}

impl Catalog {
    /// Puts it together.
    pub fn new(relations: Vec<Relation>, foreign_keys: Vec<ForeignKey>) -> Catalog {
        let mut catalog = Catalog { foreign_keys, ..Catalog::default() };
        for (at, key) in catalog.foreign_keys.iter().enumerate() {
            catalog.by_child.entry(key.child.clone()).or_default().push(at);
            catalog.by_parent.entry(key.parent.clone()).or_default().push(at);
        }
        for relation in relations {
            if let Some(parent) = &relation.partition_of {
                catalog.partitions.entry(parent.clone()).or_default().push(relation.name.clone());
            }
            catalog.relations.insert(relation.name.clone(), relation);
        }
        catalog
    }

    /// Every relation, by name.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    /// The relation of that name.
    pub fn relation(&self, name: &TableName) -> Option<&Relation> {
        self.relations.get(name)
    }

    /// What points from `table` elsewhere.
    pub fn keys_of(&self, table: &TableName) -> impl Iterator<Item = &ForeignKey> {
        self.by_child.get(table).into_iter().flatten().filter_map(|at| self.foreign_keys.get(*at))
    }

    /// What points to `table`.
    pub fn keys_to(&self, table: &TableName) -> impl Iterator<Item = &ForeignKey> {
        self.by_parent.get(table).into_iter().flatten().filter_map(|at| self.foreign_keys.get(*at))
    }

    /// The tables that really hold the rows of `table`: itself, or its innermost partitions.
    pub fn leaves(&self, table: &TableName) -> Vec<TableName> {
        let mut leaves = Vec::new();
        let mut open = vec![table.clone()];
        while let Some(name) = open.pop() {
            match self.partitions.get(&name) {
                Some(partitions) => open.extend(partitions.iter().cloned()),
                None if self.relation(&name).is_some_and(|relation| relation.kind == Kind::Table) => leaves.push(name),
                None => {}
            }
        }
        leaves.sort();
        leaves
    }
}
