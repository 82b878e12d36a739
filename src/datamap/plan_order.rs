//! The order of a purge: tables that point go before tables pointed at; circles are opened at a nullable key, or closed
//! into one transaction whose checks wait for its end, or refused.
//! Not here: conditions and probes (`plan.rs`).

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{ForeignKey, OnDelete};
use super::plan::Action;
use super::{Catalog, DataMap, Path, TableName};

/// Tables and what is done with them.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// In this order.
    pub(super) steps: Vec<(TableName, Action)>,
    /// Tables that point to themselves by a key that can be neither nullified nor deferred: rows that nothing points
    /// to go first, again and again.
    pub(super) leaf_first: BTreeSet<TableName>,
}

struct Sorting<'a> {
    map: &'a DataMap,
    catalog: &'a Catalog,
    /// Tables still to be placed, and the keys by which others still to be placed point to them.
    waiting: BTreeMap<&'a TableName, Vec<&'a ForeignKey>>,
    nullified: Vec<(TableName, Action)>,
    order: Order,
    groups: usize,
}

/// The order for `tables`.
///
/// # Errors
/// The circles that cannot be opened.
pub(super) fn order(map: &DataMap, catalog: &Catalog, tables: &[&TableName]) -> Result<Order, Vec<String>> {
    let among: BTreeSet<&TableName> = tables.iter().copied().collect();
    let ways = ways(map, catalog, tables);
    let mut sorting =
        Sorting { map, catalog, waiting: BTreeMap::new(), nullified: Vec::new(), order: Order::default(), groups: 0 };
    for table in &among {
        let keys = catalog.keys_to(table).chain(ways.iter().filter(|way| way.parent == **table));
        let keys = keys.filter(|key| among.contains(&key.child) && key.child != **table);
        sorting.waiting.insert(table, keys.collect());
    }
    among.iter().for_each(|table| sorting.points_to_itself(table));
    sorting.place_all()?;
    let mut order = sorting.order;
    sorting.nullified.append(&mut order.steps);
    order.steps = sorting.nullified;
    Ok(order)
}

/// Ways to the customer that no foreign key holds, as if one did: a row's way must last until the row is gone.
fn ways(map: &DataMap, catalog: &Catalog, tables: &[&TableName]) -> Vec<ForeignKey> {
    let vias = tables.iter().filter_map(|table| match &map.tables.get(*table)?.path {
        Path::Via(via) => Some((*table, via)),
        Path::Tenant(_) | Path::Whole | Path::Nobody => None,
    });
    vias.filter(|(table, via)| {
        !catalog.keys_of(table).any(|key| key.parent == via.parent && key.columns == via.columns)
    })
    .map(|(table, via)| ForeignKey {
        name: "via".to_owned(),
        child: table.clone(),
        columns: via.columns.clone(),
        parent: via.parent.clone(),
        key: via.key.clone(),
        on_delete: OnDelete::Refuse,
        is_deferrable: false,
    })
    .collect()
}

impl<'a> Sorting<'a> {
    fn points_to_itself(&mut self, table: &TableName) {
        for key in self.catalog.keys_to(table).filter(|key| key.child == *table) {
            match self.nullable(key) {
                Some(columns) => self.nullified.push((table.clone(), Action::Nullify(columns))),
                None => {
                    self.order.leaf_first.insert(table.clone());
                }
            }
        }
    }

    fn place_all(&mut self) -> Result<(), Vec<String>> {
        while !self.waiting.is_empty() {
            let free: Vec<&TableName> =
                self.waiting.iter().filter(|(_, keys)| keys.is_empty()).map(|(table, _)| *table).collect();
            if free.is_empty() {
                self.open_a_circle()?;
            }
            for table in free {
                self.place(table, Action::Delete);
            }
        }
        Ok(())
    }

    fn place(&mut self, table: &'a TableName, action: Action) {
        self.waiting.remove(table);
        self.order.steps.push((table.clone(), action));
        self.waiting.values_mut().for_each(|keys| keys.retain(|key| key.child != *table));
    }

    fn open_a_circle(&mut self) -> Result<(), Vec<String>> {
        let circle = self.a_circle();
        let keys: Vec<&ForeignKey> = circle
            .iter()
            .flat_map(|table| self.waiting.get(table).into_iter().flatten())
            .filter(|key| circle.contains(&key.child))
            .copied()
            .collect();
        if let Some((key, columns)) = keys.iter().find_map(|key| Some((*key, self.nullable(key)?))) {
            self.nullified.push((key.child.clone(), Action::Nullify(columns)));
            if let Some(waiting) = self.waiting.get_mut(&key.parent) {
                waiting.retain(|other| !std::ptr::eq(*other, key));
            }
            return Ok(());
        }
        if keys.iter().any(|key| key.is_deferrable) {
            self.groups += 1;
            let group = self.groups;
            let members: Vec<&'a TableName> =
                self.waiting.keys().filter(|table| circle.contains(**table)).copied().collect();
            // the tables around the circle's deferrable key: children first within the group, too
            for table in self.within(&members) {
                self.place(table, Action::Together(group));
            }
            return Ok(());
        }
        let names: Vec<String> = circle.iter().map(ToString::to_string).collect();
        Err(vec![format!(
            "{}: foreign keys go round in a circle, none of them nullable or deferrable: make one of them so",
            names.join(", ")
        )])
    }

    /// The members of a circle so that only deferrable keys are against the order, if that can be.
    fn within(&self, members: &[&'a TableName]) -> Vec<&'a TableName> {
        let mut left: Vec<&'a TableName> = members.to_vec();
        let mut placed = Vec::new();
        while !left.is_empty() {
            let strict = |table: &&TableName| {
                let keys = self.waiting.get(*table).into_iter().flatten();
                keys.filter(|key| !key.is_deferrable).all(|key| !left.iter().any(|other| **other == key.child))
            };
            let at = left.iter().position(strict).unwrap_or(0);
            placed.push(left.remove(at));
        }
        placed
    }

    /// Tables that lead to each other: the smallest set around the first that is stuck.
    fn a_circle(&self) -> BTreeSet<TableName> {
        let circles = self.waiting.keys().filter_map(|start| {
            let from = self.reached(start);
            let circle: BTreeSet<TableName> = from
                .into_iter()
                .filter(|table| *table != *start && self.reached(table).contains(start))
                .cloned()
                .collect();
            (!circle.is_empty()).then(|| circle.into_iter().chain([(*start).clone()]).collect::<BTreeSet<_>>())
        });
        circles.min_by_key(BTreeSet::len).unwrap_or_default()
    }

    /// Tables that point to `start`, over others too.
    fn reached(&self, start: &TableName) -> BTreeSet<&'a TableName> {
        let mut seen: BTreeSet<&'a TableName> = BTreeSet::new();
        let mut open = vec![start];
        while let Some(table) = open.pop() {
            for key in self.waiting.get(table).into_iter().flatten() {
                if seen.insert(&key.child) {
                    open.push(&key.child);
                }
            }
        }
        seen
    }

    /// The columns of a key that can become null without losing the way to the customer.
    fn nullable(&self, key: &ForeignKey) -> Option<Vec<String>> {
        let relation = self.catalog.relation(&key.child)?;
        let way: Vec<&String> = match &self.map.tables.get(&key.child)?.path {
            Path::Tenant(column) => vec![column],
            Path::Via(via) => via.columns.iter().collect(),
            Path::Whole | Path::Nobody => Vec::new(),
        };
        let free =
            |name: &&String| !way.contains(name) && relation.column(name).is_some_and(|column| !column.is_required);
        let columns: Vec<String> = key.columns.iter().filter(free).take(1).cloned().collect();
        (!columns.is_empty()).then_some(columns)
    }
}
