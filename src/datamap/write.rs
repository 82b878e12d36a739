//! A data map as the text of its file.
//! Not here: what it says.

use std::fmt::Write as _;

use super::{DataMap, Erase, Layout, Path, Table, TableName};

/// A TOML basic string; JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn array<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    format!("[{}]", words.into_iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
}

/// As it needs to be: bare where TOML lets it.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { name.to_owned() } else { quoted(name) }
}

pub(super) fn toml(map: &DataMap) -> String {
    let layout = match map.layout {
        Layout::Database => "database",
        Layout::Shared => "shared",
    };
    let mut text = format!("version = 1\nlayout = \"{layout}\"\n");
    if let Some(tenant) = &map.tenant {
        text.push_str(&format!("tenant = {}\n", quoted(tenant)));
    }
    for (name, table) in &map.tables {
        one(&mut text, map, name, table).expect("a string takes any text");
    }
    text
}

fn one(text: &mut String, map: &DataMap, name: &TableName, table: &Table) -> std::fmt::Result {
    writeln!(text, "\n[tables.{}]", quoted(&name.to_string()))?;
    match &table.path {
        Path::Tenant(column) if map.tenant.as_ref() != Some(column) => writeln!(text, "tenant = {}", quoted(column))?,
        Path::Via(via) => writeln!(
            text,
            "via = {{ columns = {}, parent = {}, key = {} }}",
            array(&via.columns),
            quoted(&via.parent.to_string()),
            array(&via.key)
        )?,
        Path::Tenant(_) | Path::Whole | Path::Nobody => {}
    }
    if table.erase != Erase::Delete {
        writeln!(text, "erase = \"{}\"", table.erase.word())?;
    }
    if let Some(reason) = &table.reason {
        writeln!(text, "reason = {}", quoted(reason))?;
    }
    if !table.large_objects.is_empty() {
        writeln!(text, "large_objects = {}", array(&table.large_objects))?;
    }
    if !table.triggers.is_empty() {
        let triggers = table.triggers.iter().map(|(trigger, tables)| {
            let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
            format!("{} = {}", key(trigger), array(&tables))
        });
        writeln!(text, "triggers = {{ {} }}", triggers.collect::<Vec<_>>().join(", "))?;
    }
    for (at, (column, category)) in table.columns.iter().enumerate() {
        if at == 0 {
            writeln!(text, "[tables.{}.columns]", quoted(&name.to_string()))?;
        }
        writeln!(text, "{} = \"{}\"", key(column), category.word())?;
    }
    Ok(())
}
