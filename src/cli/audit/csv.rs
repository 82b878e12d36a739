//! Records as CSV (RFC 4180): a header, then one line per record with the same columns, its outcome's own at the end.
//! Not here: what the columns mean (`object.rs`: they have the names of its objects). Nothing is lost: an empty text is
//! `""` and what was not recorded is nothing at all; bytes that are not UTF-8 stand as base64 in a column of their own.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::object::object;
use super::shown::Names;
use crate::audit::record::Record;
use crate::cli::csv::line;
use crate::log::search::Found;

/// What is known beyond a record's own fields. Columns keep their places; new ones come at the very end.
const SHOWN: [&str; 11] = [
    "place",
    "log",
    "position",
    "kind",
    "customer",
    "staff",
    "result",
    "duration_ms",
    "fault",
    "still_sealed",
    "erased",
];

/// A record's own fields; the outcome's follow under `outcome_…`.
#[rustfmt::skip]
const OWN: [&str; 50] = [
    "time", "session", "frame", "staff_id", "staff_given", "owner_id", "owner", "uid", "customer_id", "customer_given",
    "grant", "scope", "purpose", "reason", "ticket", "address", "from", "application", "database", "role",
    "backend", "sequence", "event", "verb", "gate", "text", "text_base64", "encoding", "relations", "statement",
    "statement_base64", "portal", "portal_base64", "binds", "row_limit", "count", "function", "function_id",
    "copied_bytes", "copied_lines", "copied_sha256", "begun_by", "word", "tag", "sqlstate", "message",
    "rows", "bytes", "duration_us", "fate",
];

/// The names of the columns, in order.
fn columns() -> impl Iterator<Item = String> {
    let plain = OWN.iter().chain(&SHOWN).map(|name| (*name).to_owned());
    plain.chain(OWN.iter().map(|name| format!("outcome_{name}")))
}

/// The first line.
pub(super) fn header(out: &mut dyn Write) -> io::Result<()> {
    line(out, columns().map(Value::from))
}

/// A record's line.
pub(super) fn row(out: &mut dyn Write, found: &Found, names: &Names) -> io::Result<()> {
    let object = object(found, names);
    let get = |object: &Value, record: Option<&Record>, name: &str| match name.strip_suffix("_base64") {
        Some(name) => record.and_then(|record| exact(record, name)).into(),
        None => object.get(name).cloned().unwrap_or_default(),
    };
    let plain = OWN.iter().chain(&SHOWN).map(|name| get(&object, Some(&found.record), name));
    let none = Value::Null;
    let outcome = object.get("outcome").unwrap_or(&none);
    line(out, plain.chain(OWN.iter().map(|name| get(outcome, found.outcome.as_ref(), name))))
}

/// The bytes of that field in base64, if they are no text.
fn exact(record: &Record, name: &str) -> Option<String> {
    let values = &record.values;
    let bytes = match name {
        "text" => values.text.as_ref(),
        "statement" => values.statement.as_ref(),
        "portal" => values.portal.as_ref(),
        _ => None,
    };
    bytes.filter(|bytes| std::str::from_utf8(bytes).is_err()).map(|bytes| STANDARD.encode(bytes))
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
