//! Comma-separated lines as RFC 4180 has them; nothing and an empty text differ, as in PostgreSQL's COPY.
//! Not here: which columns there are.

use std::io::{self, Write};

use serde_json::Value;

/// One line. Lists and objects are JSON.
pub(super) fn line(out: &mut dyn Write, cells: impl Iterator<Item = Value>) -> io::Result<()> {
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            out.write_all(b",")?;
        }
        match cell {
            Value::Null => {}
            Value::String(text) => field(out, &text)?,
            other => field(out, &other.to_string())?,
        }
    }
    out.write_all(b"\r\n")
}

fn field(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let is_plain = !text.is_empty() && !text.contains(['"', ',', '\r', '\n']);
    if is_plain { out.write_all(text.as_bytes()) } else { write!(out, "\"{}\"", text.replace('"', "\"\"")) }
}
