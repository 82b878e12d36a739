//! `portreeve retention coverage`: every relation that holds rows against the data map, for a vendor's CI, too.
//! Not here: the classes (`datamap/coverage.rs`).

use std::io::Write;
use std::path::Path;

use clap::Args;
use serde_json::json;

use super::datamap::{Mapped, connect, read};
use super::{Context, Exit, Failure, Format, Table};
use crate::datamap::coverage::coverage;
use crate::purge::catalog;

/// What to compare.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The database and its map
    #[command(flatten)]
    pub mapped: Mapped,
    /// Show covered tables too
    #[arg(long)]
    pub all: bool,
}

/// Shows what is not covered; [`Exit::Findings`] if anything is.
///
/// # Errors
/// Any [`Failure`].
pub async fn run(arguments: Arguments, context: &Context, config: &Path) -> Result<Exit, Failure> {
    let map = read(&arguments.mapped.map, config)?;
    let connection = connect(&arguments.mapped.target, context).await?;
    let found = coverage(Some(&map), &catalog(&connection).await?);
    let mut table = Table::new(&["table", "class", "rows_estimated", "finding"]);
    for row in found.rows.iter().filter(|row| arguments.all || !row.findings.is_empty()) {
        let finding = if row.findings.is_empty() { "covered".to_owned() } else { row.findings.join("; ") };
        let cells = [row.table.to_string(), row.class.to_string()].map(|cell| json!(cell));
        let [name, class] = cells;
        table.row([name, class, json!(row.rows_estimated), json!(finding)]);
    }
    context.show(&table)?;
    let mut said = std::io::stderr().lock();
    for warning in &found.warnings {
        writeln!(said, "warning: {warning}")?;
    }
    let open = found.rows.iter().filter(|row| !row.findings.is_empty()).count();
    if context.format == Format::Table {
        writeln!(said, "{} of {} relations are covered", found.rows.len() - open, found.rows.len())?;
    }
    Ok(if found.is_complete() { Exit::Done } else { Exit::Findings })
}
