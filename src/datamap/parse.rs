//! From the text of `datamap.toml` to a [`DataMap`]; unknown keys, wrong words and contradictions are errors with a line.
//! Not here: whether the tables exist (`compare.rs`).

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{Category, DataMap, Erase, Layout, Path, Table, TableName, Via};

/// A data map that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct Error {
    file: String,
    line: usize,
    message: String,
}

/// Which keys there are at a place.
enum Known {
    /// A value.
    Value,
    /// A section whose keys are names.
    Names(&'static Known),
    /// A section with these keys.
    Keys(&'static [(&'static str, Known)]),
}

const VIA: Known = Known::Keys(&[("columns", Known::Value), ("parent", Known::Value), ("key", Known::Value)]);
const TABLE: Known = Known::Keys(&[
    ("tenant", Known::Value),
    ("via", VIA),
    ("erase", Known::Value),
    ("reason", Known::Value),
    ("columns", Known::Names(&Known::Value)),
    ("large_objects", Known::Value),
    ("triggers", Known::Names(&Known::Value)),
]);
const MAP: Known = Known::Keys(&[
    ("version", Known::Value),
    ("layout", Known::Value),
    ("tenant", Known::Value),
    ("tables", Known::Names(&TABLE)),
]);

#[derive(Deserialize)]
struct Raw {
    version: u32,
    layout: String,
    tenant: Option<String>,
    #[serde(default)]
    tables: BTreeMap<String, RawTable>,
}

#[derive(Deserialize)]
struct RawTable {
    tenant: Option<String>,
    via: Option<RawVia>,
    erase: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    #[serde(default)]
    large_objects: Vec<String>,
    #[serde(default)]
    triggers: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct RawVia {
    columns: Vec<String>,
    parent: String,
    key: Vec<String>,
}

struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

pub(super) fn parse(file: &str, text: &str) -> Result<DataMap, Error> {
    let source = Source { file, text };
    let parsed = DeTable::parse(text).map_err(|fault| source.fault(&fault))?;
    let tree = parsed.get_ref();
    if let Some((offset, message)) = unknown(tree, &MAP, "") {
        return Err(source.at(offset, message));
    }
    let raw: Raw = toml::from_str(text).map_err(|fault| source.fault(&fault))?;
    source.map(tree, raw)
}

impl Source<'_> {
    fn at(&self, offset: usize, message: String) -> Error {
        let line = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        Error { file: self.file.to_owned(), line, message }
    }

    fn fault(&self, fault: &toml::de::Error) -> Error {
        self.at(fault.span().map_or(0, |span| span.start), fault.message().replace('\n', "; "))
    }

    /// An error at the key `path`, or at the nearest key above it that is there.
    fn wrong(&self, tree: &DeTable<'_>, path: &[&str], message: impl Into<String>) -> Error {
        let (mut offset, mut here) = (0, Some(tree));
        for part in path {
            let Some((key, value)) = here.and_then(|table| table.get_key_value(*part)) else { break };
            offset = key.span().start;
            here = match value.get_ref() {
                DeValue::Table(inner) => Some(inner),
                _ => None,
            };
        }
        self.at(offset, format!("\"{}\": {}", path.join("."), message.into()))
    }

    fn map(&self, tree: &DeTable<'_>, raw: Raw) -> Result<DataMap, Error> {
        if raw.version != 1 {
            return Err(self.wrong(tree, &["version"], "this program reads version 1"));
        }
        let layout = match raw.layout.as_str() {
            "database" => Layout::Database,
            "shared" => Layout::Shared,
            _ => return Err(self.wrong(tree, &["layout"], "expected \"database\" or \"shared\"")),
        };
        if layout == Layout::Database && raw.tenant.is_some() {
            return Err(self.wrong(tree, &["tenant"], "a database of one customer needs no tenant column"));
        }
        let mut tables = BTreeMap::new();
        for (name, table) in raw.tables {
            let key: TableName =
                name.parse().map_err(|message: String| self.wrong(tree, &["tables", &name], message))?;
            let table = self.table(tree, &name, table, layout, raw.tenant.as_deref())?;
            tables.insert(key, table);
        }
        Ok(DataMap { layout, tenant: raw.tenant, tables })
    }

    fn table(
        &self,
        tree: &DeTable<'_>,
        name: &str,
        raw: RawTable,
        layout: Layout,
        tenant: Option<&str>,
    ) -> Result<Table, Error> {
        let wrong = |key: &str, message: String| self.wrong(tree, &["tables", name, key], message);
        let erase = raw.erase.as_deref().map_or(Ok(Erase::Delete), |word| {
            let found = Erase::WORDS.iter().find(|(known, _)| *known == word);
            found.map(|(_, erase)| *erase).ok_or_else(|| {
                wrong("erase", format!("\"{word}\" is none of {}", list(Erase::WORDS.iter().map(|(word, _)| *word))))
            })
        })?;
        let says_nothing = raw.reason.as_deref().is_none_or(|reason| reason.trim().is_empty());
        if matches!(erase, Erase::Keep | Erase::Elsewhere) && says_nothing {
            return Err(wrong("reason", format!("erase = \"{}\" needs a reason", erase.word())));
        }
        let path = self.path(&wrong, raw.tenant, raw.via, (erase, layout), tenant)?;
        let mut columns = BTreeMap::new();
        for (column, word) in raw.columns {
            let category = Category::from_word(&word).ok_or_else(|| {
                let words = list(Category::ALL.iter().map(|category| category.word()));
                self.wrong(tree, &["tables", name, "columns", &column], format!("\"{word}\" is none of {words}"))
            })?;
            columns.insert(column, category);
        }
        let mut triggers = BTreeMap::new();
        for (trigger, tables) in raw.triggers {
            let tables = tables.iter().map(|table| table.parse()).collect::<Result<Vec<TableName>, String>>();
            triggers.insert(trigger, tables.map_err(|message| wrong("triggers", message))?);
        }
        Ok(Table { path, erase, reason: raw.reason, columns, large_objects: raw.large_objects, triggers })
    }

    fn path(
        &self,
        wrong: &dyn Fn(&str, String) -> Error,
        own: Option<String>,
        via: Option<RawVia>,
        (erase, layout): (Erase, Layout),
        tenant: Option<&str>,
    ) -> Result<Path, Error> {
        if erase != Erase::Delete {
            return match own.is_some() || via.is_some() {
                true => Err(wrong("erase", format!("\"{}\" and a path to the customer contradict", erase.word()))),
                false => Ok(Path::Nobody),
            };
        }
        match (layout, own, via, tenant) {
            (Layout::Database, None, None, _) => Ok(Path::Whole),
            (Layout::Database, ..) => {
                Err(wrong("tenant", "a database of one customer needs no path to the customer".to_owned()))
            }
            (Layout::Shared, Some(_), Some(_), _) => Err(wrong("via", "say either tenant or via, not both".to_owned())),
            (Layout::Shared, Some(column), None, _) => Ok(Path::Tenant(column)),
            (Layout::Shared, None, Some(via), _) => {
                if via.columns.is_empty() || via.columns.len() != via.key.len() {
                    let message = "columns and key must be as many, at least one each";
                    return Err(wrong("via", message.to_owned()));
                }
                let parent = via.parent.parse().map_err(|message: String| wrong("via", message))?;
                Ok(Path::Via(Via { columns: via.columns, parent, key: via.key }))
            }
            (Layout::Shared, None, None, Some(column)) => Ok(Path::Tenant(column.to_owned())),
            (Layout::Shared, None, None, None) => Err(wrong(
                "tenant",
                "no path to the customer: say tenant = \"column\", via = { columns, parent, key }, or erase = \
                 \"keep\" with a reason"
                    .to_owned(),
            )),
        }
    }
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// The first key that is not known: where it starts, and what to say.
fn unknown(table: &DeTable<'_>, known: &Known, section: &str) -> Option<(usize, String)> {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        let expected = match known {
            Known::Value => continue,
            Known::Names(inner) => *inner,
            Known::Keys(keys) => match keys.iter().find(|(key, _)| *key == name) {
                Some((_, inner)) => inner,
                None => return Some((key.span().start, format!("unknown key \"{path}\"{}", hint(name, keys)))),
            },
        };
        if let DeValue::Table(inner) = value.get_ref()
            && let Some(found) = unknown(inner, expected, &path)
        {
            return Some(found);
        }
    }
    None
}

fn hint(name: &str, keys: &[(&str, Known)]) -> String {
    let distances = keys.iter().map(|(key, _)| (strsim::damerau_levenshtein(name, key), *key));
    match distances.filter(|(distance, key)| *distance <= (key.len() / 3).max(2) && *distance < key.len()).min() {
        Some((_, key)) => format!("; did you mean \"{key}\"?"),
        None => format!("; known here: {}", list(keys.iter().map(|(key, _)| *key))),
    }
}
