//! The list of customers that is imported: its columns, and what of a line can be said to be wrong without a register.
//! Not here: what follows from a line (`plan`). Every fault names the line and the column.

use std::collections::HashMap;

use crate::cli::csv;
use crate::grant::Layout;

/// The columns there can be, each once, in any order.
pub(super) const COLUMNS: [&str; 8] =
    ["customer", "display_name", "cluster", "database", "schema", "tenant", "teams", "owner"];
/// Those without which a line says nothing.
const NEEDED: [&str; 3] = ["customer", "cluster", "database"];

/// One customer, as a line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The line it begins on, from 1.
    pub(super) line: usize,
    /// The name staff connect by.
    pub(super) customer: String,
    /// What it is called besides.
    pub(super) display: Option<String>,
    /// Where its data is.
    pub(super) cluster: String,
    pub(super) database: String,
    pub(super) layout: Layout,
    /// Its schema, or what stands in the tenant columns of its rows.
    pub(super) tenant: Option<String>,
    /// The teams that look after it; none said: as every new customer.
    pub(super) teams: Vec<String>,
    /// The name its first owner will sign in by.
    pub(super) owner: Option<String>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) column: &'static str,
    pub(super) says: String,
}

impl Row {
    pub(super) fn fault(&self, column: &'static str, says: impl Into<String>) -> Fault {
        Fault { line: self.line, column, says: says.into() }
    }

    /// The column that names its rows among others'.
    pub(super) fn tenant_column(&self) -> &'static str {
        match self.layout {
            Layout::Database => "database",
            Layout::Shared => "tenant",
            Layout::Schema => "schema",
        }
    }
}

/// Reads a list: its lines, and what is wrong with others.
///
/// # Errors
/// If it is no list of that kind at all.
pub(super) fn parse(text: &str) -> Result<(Vec<Row>, Vec<Fault>), String> {
    let mut lines = csv::rows(text)?.into_iter();
    let known = || COLUMNS.join(", ");
    let (_, head) =
        lines.next().ok_or_else(|| format!("it is empty: its first line names the columns: {}", known()))?;
    let head: Vec<String> = head.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    for (number, name) in head.iter().enumerate() {
        if !COLUMNS.contains(&name.as_str()) {
            return Err(format!("line 1: there is no column \"{name}\"; known are: {}", known()));
        }
        if head.iter().take(number).any(|other| other == name) {
            return Err(format!("line 1: column \"{name}\" is there twice"));
        }
    }
    if let Some(missing) = NEEDED.iter().find(|needed| !head.iter().any(|name| name == *needed)) {
        return Err(format!("line 1: column \"{missing}\" is missing; known are: {}", known()));
    }
    let (mut rows, mut faults): (Vec<Row>, _) = (Vec::new(), Vec::new());
    let mut seen = Seen::default();
    for (line, cells) in lines {
        match row(&head, line, &cells).and_then(|row| seen.take(&row).map(|()| row)) {
            Ok(row) => rows.push(row),
            Err(fault) => faults.push(fault),
        }
    }
    if rows.is_empty() && faults.is_empty() { Err("no customer is on the list".to_owned()) } else { Ok((rows, faults)) }
}

fn row(head: &[String], line: usize, cells: &[String]) -> Result<Row, Fault> {
    let fault = |column: &'static str, says: &str| Fault { line, column, says: says.to_owned() };
    if cells.len() > head.len() {
        return Err(fault(
            "customer",
            "the line has more cells than the first line has columns: quote what holds a comma",
        ));
    }
    let cell = |wanted: &'static str| {
        let at = head.iter().position(|name| name == wanted)?;
        cells.get(at).map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).map(str::to_owned)
    };
    let needed = |wanted: &'static str| cell(wanted).ok_or_else(|| fault(wanted, "is empty"));
    let (layout, tenant) = match (cell("schema"), cell("tenant")) {
        (Some(_), Some(_)) => {
            return Err(fault(
                "tenant",
                "stands beside a schema: a customer has a schema of its own, or a tenant key, not both",
            ));
        }
        (Some(schema), None) => (Layout::Schema, Some(schema)),
        (None, Some(tenant)) => (Layout::Shared, Some(tenant)),
        (None, None) => (Layout::Database, None),
    };
    let mut teams: Vec<String> = Vec::new();
    for team in cell("teams").unwrap_or_default().split([';', ' ']).filter(|team| !team.is_empty()) {
        if teams.iter().any(|other| other == team) {
            return Err(fault("teams", &format!("names \"{team}\" twice")));
        }
        teams.push(team.to_owned());
    }
    Ok(Row {
        line,
        customer: needed("customer")?,
        display: cell("display_name"),
        cluster: needed("cluster")?,
        database: needed("database")?,
        layout,
        tenant,
        teams,
        owner: cell("owner").map(|owner| owner.to_ascii_lowercase()),
    })
}

/// On which line something stands that may stand once.
#[derive(Default)]
struct Seen {
    customers: HashMap<String, usize>,
    places: HashMap<(String, String, Option<String>), usize>,
    owners: HashMap<String, usize>,
}

impl Seen {
    fn take(&mut self, row: &Row) -> Result<(), Fault> {
        let twice = |column: &'static str, what: &str, line: usize| {
            Err(row.fault(column, format!("\"{what}\" stands in line {line} already")))
        };
        if let Some(line) = self.customers.insert(row.customer.clone(), row.line) {
            return twice("customer", &row.customer, line);
        }
        let place = (row.cluster.clone(), row.database.clone(), row.tenant.clone());
        if let Some(line) = self.places.insert(place, row.line) {
            return twice(row.tenant_column(), row.tenant.as_ref().unwrap_or(&row.database), line);
        }
        if let Some(owner) = &row.owner
            && let Some(line) = self.owners.insert(owner.clone(), row.line)
        {
            return twice("owner", owner, line);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
