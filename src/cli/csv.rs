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

/// The rows that are not empty, each with the number of its first line.
pub(super) fn rows(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut began, mut is_quoted) = (1, 1, false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if is_quoted && rest.peek() == Some(&'"') => {
                cell.push('"');
                rest.next();
            }
            '"' if is_quoted || cell.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted && rest.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push((began, std::mem::take(&mut row)));
                (line, began) = (line + 1, line + 1);
            }
            c => {
                line += usize::from(c == '\n');
                cell.push(c);
            }
        }
    }
    if is_quoted {
        return Err(format!("line {began}: a quotation mark is not closed"));
    }
    row.push(cell);
    rows.push((began, row));
    rows.retain(|(_, row)| row.iter().any(|cell| !cell.trim().is_empty()));
    Ok(rows)
}
