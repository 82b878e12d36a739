//! The data-flow map for people: which table holds what of whom, and what happens to it at the end; Markdown and CSV.
//! Not here: rows; it speaks of tables and columns only.

use std::collections::BTreeMap;

use super::{Category, DataMap, Erase, Layout, Path, Table, TableName};

const HEAD: [&str; 6] = ["table", "column", "category", "how it leads to the customer", "at the end", "reason"];

/// A document: a table by category first, then every table with its columns.
pub fn markdown(map: &DataMap) -> String {
    let layout = match map.layout {
        Layout::Database => "each customer has a database of its own",
        Layout::Shared => "several customers have rows in the same tables",
    };
    let mut text = format!("# Where personal data is\n\nLayout: {layout}. Tables: {}.\n", map.tables.len());
    text.push_str("\n## By category\n\n| category | columns |\n|---|---|\n");
    let mut by_category: BTreeMap<Category, Vec<String>> = BTreeMap::new();
    for (name, table) in &map.tables {
        for (column, category) in table.columns.iter().filter(|(_, category)| category.is_personal()) {
            by_category.entry(*category).or_default().push(format!("{name}.{column}"));
        }
    }
    for (category, columns) in &by_category {
        let columns: Vec<String> = columns.iter().map(|column| cell(column)).collect();
        text.push_str(&format!("| {} | {} |\n", category.word(), columns.join(", ")));
    }
    text.push_str(&format!("\n## By table\n\n| {} |\n|---|---|---|---|---|---|\n", HEAD.join(" | ")));
    for row in rows(map) {
        let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// One line for each column, as RFC 4180 has it; a cell cannot be taken for a formula.
pub fn csv(map: &DataMap) -> String {
    let head = HEAD.map(str::to_owned);
    let lines = std::iter::once(head).chain(rows(map));
    lines.map(|row| row.iter().map(|text| field(text)).collect::<Vec<_>>().join(",") + "\r\n").collect()
}

fn rows(map: &DataMap) -> impl Iterator<Item = [String; 6]> {
    map.tables.iter().flat_map(move |(name, table)| {
        let reason = table.reason.clone().unwrap_or_default();
        table.columns.iter().map(move |(column, category)| {
            [
                name.to_string(),
                column.clone(),
                category.word().to_owned(),
                way(map, name, table),
                end(table.erase).to_owned(),
                reason.clone(),
            ]
        })
    })
}

/// `order_id → public.orders: tenant_id`.
fn way(map: &DataMap, name: &TableName, table: &Table) -> String {
    let mut parts = Vec::new();
    let mut here = Some((name, table));
    while let Some((_, entry)) = here {
        here = match &entry.path {
            Path::Whole => return "every row".to_owned(),
            Path::Nobody => return "none".to_owned(),
            Path::Tenant(column) => {
                parts.push(column.clone());
                None
            }
            Path::Via(via) if parts.len() < map.tables.len() => {
                parts.push(format!("{} → {}:", via.columns.join(", "), via.parent));
                map.tables.get_key_value(&via.parent)
            }
            Path::Via(_) => None,
        };
    }
    parts.join(" ")
}

fn end(erase: Erase) -> &'static str {
    match erase {
        Erase::Delete => "deleted",
        Erase::Keep => "kept",
        Erase::Refresh => "refreshed",
        Erase::Elsewhere => "erased where it lies",
    }
}

fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    let quoted = text.contains([',', '"', '\n', '\r']);
    if quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
