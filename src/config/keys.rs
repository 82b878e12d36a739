//! Which keys there are and where in the file a key stands: unknown keys with the nearest right one, and the key at an
//! offset. The known keys are those of the serialised [`Raw::specimen`].
//! Not here: what values mean.

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::raw::{ANY_NAME, Raw};

/// The tree of known keys: objects are sections, everything else is a value.
pub(super) fn known() -> Value {
    serde_json::to_value(Raw::specimen()).expect("the specimen holds only what JSON can say")
}

/// A key that is not in the tree.
pub(super) struct Unknown {
    /// Where it starts in the text, in bytes.
    pub(super) offset: usize,
    /// With its section.
    pub(super) key: String,
    /// What to write instead, as the end of a sentence.
    pub(super) hint: Option<String>,
}

/// The first key of `table` that is not in the tree `known()`, sections included.
pub(super) fn first_unknown(table: &DeTable<'_>) -> Option<Unknown> {
    let known = known();
    unknown_in(table, known.as_object()?, "", &known)
}

fn unknown_in(table: &DeTable<'_>, known: &Map<String, Value>, section: &str, all: &Value) -> Option<Unknown> {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let path = joined(section, name);
        let Some(expected) = known.get(name).or_else(|| known.get(ANY_NAME)) else {
            return Some(Unknown { offset: key.span().start, hint: hint(name, known, section, all), key: path });
        };
        if let (DeValue::Table(inner), Value::Object(expected)) = (value.get_ref(), expected)
            && let Some(unknown) = unknown_in(inner, expected, &path, all)
        {
            return Some(unknown);
        }
    }
    None
}

/// The nearest key at this place; else the section that has a key of that very name.
fn hint(name: &str, known: &Map<String, Value>, section: &str, all: &Value) -> Option<String> {
    let near = known
        .keys()
        .map(|key| (strsim::damerau_levenshtein(name, key), key))
        .filter(|(distance, key)| *distance <= (key.len() / 3).max(2) && *distance < key.len())
        .min();
    if let Some((_, key)) = near {
        return Some(format!("; did you mean \"{}\"?", joined(section, key)));
    }
    let sections = all.as_object()?;
    let home = sections.iter().find(|(_, keys)| keys.as_object().is_some_and(|keys| keys.contains_key(name)));
    if let Some((home, _)) = home {
        return Some(format!("; it belongs in section [{home}]"));
    }
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    Some(format!("; known here: {}", names.join(", ")))
}

/// The innermost key whose value spans `offset`. A table's own span is only its header, so every table is searched.
pub(super) fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name: &str = key.get_ref();
        let deeper = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, offset).map(|deeper| joined(name, &deeper)),
            _ => None,
        };
        deeper.or_else(|| value.span().contains(&offset).then(|| name.to_owned()))
    })
}

/// Where the value at `path` starts, for what is found wrong after parsing.
pub(super) fn offset_of(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let value = table.get(*first)?;
    match (rest.is_empty(), value.get_ref()) {
        (true, _) => Some(value.span().start),
        (false, DeValue::Table(inner)) => offset_of(inner, rest),
        (false, _) => None,
    }
}

/// The line of `offset` in `text`, counted from 1.
pub(super) fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn joined(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}
