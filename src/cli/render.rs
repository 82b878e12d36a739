//! What commands show: rows, as a table for people or as JSON lines for programs.
//! Not here: what the rows say. Nothing in a cell can move the reader's cursor: control characters are escaped.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Width, presets};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::csv;

/// The widest cell in a table, in characters; JSON is never shortened.
const CELL_CHARACTERS_MAX: u16 = 100;

/// How rows are written to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people; long cells are wrapped.
    #[default]
    Table,
    /// One JSON object per row and line.
    #[value(alias = "jsonl")]
    Json,
    /// A header and a line per row (RFC 4180).
    Csv,
}

/// Rows under named columns. Cells are JSON values, so that numbers stay numbers.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// A table without rows. Column names are the keys of the JSON objects: lower case, `_` between words.
    pub fn new(columns: &[&'static str]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one cell for each column; a cell too few is null, a cell too many is a bug and asserts in tests.
    pub fn row<const N: usize>(&mut self, cells: [Value; N]) {
        debug_assert_eq!(N, self.columns.len(), "a row has as many cells as there are columns");
        self.rows.push(cells.into());
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes all rows to `out`.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Table => self.write_table(out),
            Format::Json => self.write_json(out),
            Format::Csv => self.write_csv(out),
        }
    }

    fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(self.columns.iter().map(|name| name.replace('_', " ")));
        for row in &self.rows {
            table.add_row(row.iter().map(plain));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(CELL_CHARACTERS_MAX)));
        }
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        csv::line(out, self.columns.iter().map(|name| (*name).into()))?;
        self.rows.iter().try_for_each(|row| csv::line(out, row.iter().cloned()))
    }

    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.rows {
            let object = Object { columns: &self.columns, row };
            writeln!(out, "{}", serde_json::to_string(&object)?)?;
        }
        Ok(())
    }
}

/// A row as a JSON object whose keys stand in the order of the columns.
struct Object<'a> {
    columns: &'a [&'static str],
    row: &'a [Value],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cells = self.row.iter().chain(std::iter::repeat(&Value::Null));
        serializer.collect_map(self.columns.iter().zip(cells))
    }
}

/// A cell as text on one line.
fn plain(cell: &Value) -> String {
    match cell {
        Value::Null => "-".to_owned(),
        Value::String(text) => escaped(text),
        Value::Array(cells) => cells.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => escaped(&other.to_string()),
    }
}

/// `text` without anything that a terminal would obey: control characters and those that turn the direction of writing.
pub fn escaped(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
