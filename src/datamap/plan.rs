//! The plan of a purge in shared tables: which rows go in which order, what is asked before, what is counted after; a
//! function of data map, catalog and customer. What cannot be purged safely is refused, with every reason at once.
//! Not here: the order itself (`plan_order.rs`) and doing it (`purge/`).

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Serialize, Serializer};

use super::catalog::{ForeignKey, Kind, OnDelete};
use super::compare::differences;
use super::plan_order::{self, Order};
use super::sql::{is_customers, nothing_points, orphans, strangers};
use super::{Catalog, DataMap, Erase, Layout, Path, TableName};

/// Ordered steps, and what surrounds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The customer's key, as in the tenant columns.
    pub customer: String,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Asked before anything is done: rows of others that point to rows which are to go.
    pub probes: Vec<Probe>,
    /// Asked before and after: rows whose way to a customer leads nowhere.
    pub orphans: Vec<Orphans>,
    /// Materialised views to refresh.
    pub refresh: Vec<TableName>,
    /// Tables and tenant columns that get the write fence.
    pub fences: Vec<(TableName, String)>,
    /// Tables whose way to the customer no foreign key holds: the write fence cannot cover them.
    pub unfenced: Vec<TableName>,
    /// Every column that may refer to a large object.
    pub large_objects: Vec<(TableName, String)>,
}

/// One table's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which table.
    pub table: TableName,
    /// The tables that really hold its rows; not in the digest, since partitions come and go.
    #[serde(skip)]
    pub leaves: Vec<TableName>,
    /// What is done with the rows.
    pub action: Action,
    /// The condition on row `t`: it is the customer's.
    pub condition: String,
    /// More conditions on row `t`, so that nothing of anybody else goes with it.
    pub guards: Vec<String>,
    /// Its columns with oids of large objects.
    pub large_objects: Vec<String>,
}

/// What is done with a table's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// These columns become null, to open a circle of foreign keys.
    Nullify(Vec<String>),
    /// Deleted in batches.
    Delete,
    /// Deleted with all steps of the same number in one transaction whose checks wait for its end.
    Together(usize),
}

/// A question whose answer must be no row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The table with the rows of others.
    pub child: TableName,
    /// The table they point to.
    pub parent: TableName,
    /// The foreign key.
    pub constraint: String,
    /// Answers the count, and up to ten keys of other customers.
    pub sql: String,
}

/// A count that must not rise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphans {
    /// Which table.
    pub table: TableName,
    /// Answers the count.
    pub sql: String,
}

impl Serialize for TableName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Plan {
    /// SHA-256 of the plan in lower-case hexadecimal: what is approved is what is done.
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(self).expect("a plan is text and numbers");
        digest(&SHA256, &text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The condition for counting: each table once, with the condition on row `t`.
    pub fn counted(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !matches!(step.action, Action::Nullify(_)))
    }
}

/// Plans the purge of `customer`.
///
/// # Errors
/// Every reason why it is refused; each names a table and what to do.
pub fn plan(map: &DataMap, catalog: &Catalog, customer: &str) -> Result<Plan, Vec<String>> {
    if map.layout == Layout::Database {
        return Err(vec!["a database per customer is dropped whole: there is no plan of tables".to_owned()]);
    }
    let mut refused: Vec<String> = differences(map, catalog).iter().map(ToString::to_string).collect();
    if customer.is_empty() || customer.contains('\0') {
        refused.push("the customer's key is empty or no text".to_owned());
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let tables: Vec<&TableName> = deleted(map).collect();
    refused.extend(tables.iter().flat_map(|table| unsafe_around(map, catalog, table)));
    let order = plan_order::order(map, catalog, &tables).unwrap_or_else(|circles| {
        refused.extend(circles);
        Order::default()
    });
    refused.extend(acting_in_circles(map, catalog, &order));
    if !refused.is_empty() {
        return Err(refused);
    }
    let steps = order.steps.iter().map(|(table, action)| {
        let entry = map.tables.get(table);
        Step {
            table: table.clone(),
            leaves: catalog.leaves(table),
            action: action.clone(),
            condition: is_customers(map, catalog, table, "t", customer),
            guards: if *action == Action::Delete { guards(map, catalog, &order, table) } else { Vec::new() },
            large_objects: entry.map(|entry| entry.large_objects.clone()).unwrap_or_default(),
        }
    });
    let large_objects = map
        .tables
        .iter()
        .flat_map(|(table, entry)| entry.large_objects.iter().map(move |column| (table.clone(), column.clone())));
    let (fences, unfenced) = fences(map, catalog, &tables);
    Ok(Plan {
        customer: customer.to_owned(),
        steps: steps.collect(),
        probes: probes(map, catalog, &tables, customer),
        orphans: orphaned(map, &tables),
        refresh: refreshed(map),
        fences,
        unfenced,
        large_objects: large_objects.collect(),
    })
}

fn deleted(map: &DataMap) -> impl Iterator<Item = &TableName> {
    map.tables.iter().filter(|(_, entry)| entry.erase == Erase::Delete).map(|(name, _)| name)
}

fn is_deleted(map: &DataMap, table: &TableName) -> bool {
    map.tables.get(table).is_some_and(|entry| entry.erase == Erase::Delete)
}

fn refreshed(map: &DataMap) -> Vec<TableName> {
    map.tables.iter().filter(|(_, entry)| entry.erase == Erase::Refresh).map(|(name, _)| name.clone()).collect()
}

/// What around a table would change more than the customer's rows.
fn unsafe_around(map: &DataMap, catalog: &Catalog, table: &TableName) -> Vec<String> {
    let mut refused = Vec::new();
    let Some(relation) = catalog.relation(table) else { return refused };
    let known = map.tables.get(table).map(|entry| &entry.triggers);
    for trigger in relation.triggers.iter().filter(|trigger| trigger.on_delete) {
        if known.is_none_or(|known| !known.contains_key(&trigger.name)) {
            refused.push(format!(
                "{table}: trigger {} fires on DELETE and may write the row elsewhere: name it in triggers, with the \
                 tables it writes to",
                trigger.name
            ));
        }
    }
    for written in known.into_iter().flat_map(|known| known.values().flatten()) {
        if !is_deleted(map, written) {
            refused.push(format!("{table}: a trigger writes to {written}, which is not purged"));
        }
    }
    if relation.has_delete_rule {
        refused.push(format!("{table}: a rule rewrites DELETE; nothing would be sure: drop it"));
    }
    for key in catalog.keys_to(table).filter(|key| !is_deleted(map, &key.child)) {
        let what = match key.on_delete {
            OnDelete::Refuse => continue,
            OnDelete::Cascade => "would delete rows of",
            OnDelete::SetNull | OnDelete::SetDefault => "would change rows of",
        };
        refused.push(format!(
            "{table}: foreign key {} {what} {}, which is not purged: make it NO ACTION, or give that table a path",
            key.name, key.child
        ));
    }
    refused
}

/// Within one transaction for a whole circle no guard can stand between a key's action and others' rows.
fn acting_in_circles(map: &DataMap, catalog: &Catalog, order: &Order) -> Vec<String> {
    let members: Vec<&TableName> = order
        .steps
        .iter()
        .filter(|(_, action)| matches!(action, Action::Together(_)))
        .map(|(table, _)| table)
        .collect();
    let keys = members.iter().flat_map(|table| catalog.keys_to(table));
    let acting =
        keys.filter(|key| key.on_delete != OnDelete::Refuse && (!is_bound(map, key) || members.contains(&&key.child)));
    acting
        .map(|key| {
            format!(
                "{}: foreign key {} from {} acts on deletion within a circle of keys: make it NO ACTION",
                key.parent, key.name, key.child
            )
        })
        .collect()
}

/// Keys whose action would reach further rows by itself: no row goes while anything still points at it. The children's
/// own rows went before; what is left is another customer's, or came back.
fn guards(map: &DataMap, catalog: &Catalog, order: &Order, table: &TableName) -> Vec<String> {
    let keys = catalog.keys_to(table).filter(|key| is_deleted(map, &key.child));
    let acts = |key: &&ForeignKey| {
        key.on_delete != OnDelete::Refuse || order.leaf_first.contains(table) && key.child == *table
    };
    keys.filter(acts).map(nothing_points).collect()
}

/// Pairs of tables in which a row of one customer may point to another's.
fn probes(map: &DataMap, catalog: &Catalog, tables: &[&TableName], customer: &str) -> Vec<Probe> {
    let keys = tables.iter().flat_map(|table| catalog.keys_to(table)).filter(|key| !is_bound(map, key));
    keys.map(|key| Probe {
        child: key.child.clone(),
        parent: key.parent.clone(),
        constraint: key.name.clone(),
        sql: strangers(map, catalog, key, customer),
    })
    .collect()
}

/// Whether the key itself makes the child's row the same customer's as the parent's.
fn is_bound(map: &DataMap, key: &ForeignKey) -> bool {
    let path = |table| map.tables.get(table).map(|entry| &entry.path);
    match (path(&key.child), path(&key.parent)) {
        (Some(Path::Via(via)), _) => via.parent == key.parent && via.columns == key.columns && via.key == key.key,
        (Some(Path::Tenant(own)), Some(Path::Tenant(other))) => {
            key.columns.iter().zip(&key.key).any(|(column, key)| column == own && key == other)
        }
        _ => false,
    }
}

/// Every table with a way over another is asked: also a foreign key may be NOT VALID.
fn orphaned(map: &DataMap, tables: &[&TableName]) -> Vec<Orphans> {
    let vias = tables.iter().filter_map(|table| match &map.tables.get(*table)?.path {
        Path::Via(via) => Some(Orphans { table: (*table).clone(), sql: orphans(table, via) }),
        Path::Tenant(_) | Path::Whole | Path::Nobody => None,
    });
    vias.collect()
}

/// Where a write fence is put up, whatever a plan would refuse: tables that are there, and the columns with the key.
pub fn write_fences(map: &DataMap, catalog: &Catalog) -> Vec<(TableName, String)> {
    let tables: Vec<&TableName> = deleted(map).collect();
    let is_table = |table: &TableName| {
        catalog.relation(table).is_some_and(|known| matches!(known.kind, Kind::Table | Kind::Partitioned))
    };
    let (fences, _) = fences(map, catalog, &tables);
    fences.into_iter().filter(|(table, _)| is_table(table)).collect()
}

/// Tables whose rows belong to the customer only through other tables: no write fence asks for their rows.
pub fn reached(map: &DataMap) -> impl Iterator<Item = &TableName> {
    let is_via = |table: &&TableName| map.tables.get(*table).is_some_and(|entry| matches!(entry.path, Path::Via(_)));
    deleted(map).filter(is_via)
}

type Fenced = (Vec<(TableName, String)>, Vec<TableName>);

fn fences(map: &DataMap, catalog: &Catalog, tables: &[&TableName]) -> Fenced {
    let (mut fences, mut unfenced) = (Vec::new(), Vec::new());
    for table in tables {
        match map.tables.get(*table).map(|entry| &entry.path) {
            Some(Path::Tenant(column)) => fences.push(((*table).clone(), column.clone())),
            Some(Path::Via(via)) => {
                let held = |key: &ForeignKey| key.parent == via.parent && key.columns == via.columns;
                if !catalog.keys_of(table).any(held) {
                    unfenced.push((*table).clone());
                }
            }
            Some(Path::Whole | Path::Nobody) | None => {}
        }
    }
    (fences, unfenced)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
