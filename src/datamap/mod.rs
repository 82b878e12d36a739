//! The data map: which tables and columns hold personal data of which category, how a table's rows lead to a customer,
//! and how they are erased; and what follows from it: coverage, a proposal, an export, the order of a purge.
//! Not here: the database. A [`Catalog`] is a value that `purge/` reads. Design sections 3 and 11.

pub mod catalog;
pub mod category;
pub mod compare;
pub mod coverage;
pub mod export;
pub mod name;
mod parse;
pub mod plan;
mod plan_order;
pub mod propose;
pub mod recognise;
mod sql;
mod write;

use std::collections::BTreeMap;

pub use catalog::Catalog;
pub use category::Category;
pub use name::TableName;
pub use parse::Error;

/// The largest data map that is read, in bytes.
pub const MAP_BYTES_MAX: usize = 16 << 20;

/// How customers lie in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One customer has it whole.
    Database,
    /// Several have rows in the same tables.
    Shared,
}

/// How a row of a table is known to be a customer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// Every row is (layout `database`).
    Whole,
    /// By a column that holds the customer's key.
    Tenant(String),
    /// By another table's row it points to.
    Via(Via),
    /// No row is any customer's; the reason is in the map.
    Nobody,
}

/// A step to the table whose rows lead on to the customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// This table's columns.
    pub columns: Vec<String>,
    /// The other table.
    pub parent: TableName,
    /// The other table's columns, in the same order.
    pub key: Vec<String>,
}

/// What a purge does with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erase {
    /// Its rows of the customer are deleted.
    Delete,
    /// Nothing: it holds nothing of customers, or the law wants it kept. Needs a reason.
    Keep,
    /// A materialised view: it is refreshed.
    Refresh,
    /// A foreign table: it is erased where it lies. Needs a reason.
    Elsewhere,
}

impl Erase {
    /// All of them, with the word used in the file.
    pub const WORDS: [(&str, Erase); 4] = [
        ("delete", Erase::Delete),
        ("keep", Erase::Keep),
        ("refresh", Erase::Refresh),
        ("elsewhere", Erase::Elsewhere),
    ];

    /// As written in the file.
    pub fn word(self) -> &'static str {
        match self {
            Erase::Delete => "delete",
            Erase::Keep => "keep",
            Erase::Refresh => "refresh",
            Erase::Elsewhere => "elsewhere",
        }
    }
}

/// What the map says of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// How its rows lead to a customer.
    pub path: Path,
    /// What a purge does with it.
    pub erase: Erase,
    /// Why it is kept or lies elsewhere.
    pub reason: Option<String>,
    /// Every column and the category of personal data in it.
    pub columns: BTreeMap<String, Category>,
    /// Columns that hold oids of large objects.
    pub large_objects: Vec<String>,
    /// DELETE triggers that are known, and the tables they write to.
    pub triggers: BTreeMap<String, Vec<TableName>>,
}

/// A whole data map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataMap {
    /// How customers lie in the database.
    pub layout: Layout,
    /// Layout `shared`: the column that tells customers apart, where a table says nothing else.
    pub tenant: Option<String>,
    /// Each table; partitions are covered by their parent.
    pub tables: BTreeMap<TableName, Table>,
}

impl DataMap {
    /// Reads a map from the text of the file called `file` in messages.
    ///
    /// # Errors
    /// Any [`Error`], with the line.
    pub fn parse(file: &str, text: &str) -> Result<DataMap, Error> {
        parse::parse(file, text)
    }

    /// The SQL condition that the row `t` of `table` is the customer's whose key is `key`.
    pub fn condition(&self, catalog: &Catalog, table: &TableName, key: &str) -> String {
        sql::is_customers(self, catalog, table, "t", key)
    }

    /// As a file that [`DataMap::parse`] reads back to the same map.
    pub fn to_toml(&self) -> String {
        write::toml(self)
    }
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
