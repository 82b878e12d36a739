//! `portreeve staff compare`: the staff here against the staff list of record, which somebody else keeps.
//! Not here: what a suspension does (`grant/staff.rs`). RFC 4180; the first line names the columns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Context, Exit, Failure, Table, csv};
use crate::grant::{Staff, StaffStep, State, What};
use crate::ids::StaffId;

/// So many may be suspended by one comparison without asking ...
const FEW: usize = 3;
/// ... or so many of a hundred, if that is more: a list that is cut short must not shut everybody out.
const FEW_PERCENT: usize = 20;

/// Compare the staff here with the staff list of record. Exit code 4: somebody is here who is not on it.
#[derive(Debug, Args)]
pub struct Compare {
    /// The list: CSV with a column "name", and perhaps "status" (active, or anything else); without it that of section staff.
    file: Option<PathBuf>,
    /// Suspend whoever is here and not on it; suspend_missing in section staff does so always.
    #[arg(long)]
    suspend: bool,
    /// Suspend them even if they are many.
    #[arg(long)]
    all: bool,
}

/// How somebody stands in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Works here and is not on the list.
    NotListed,
    /// Works here, and the list says they no longer do.
    Left,
    /// Is on the list and has no account here: nothing to mend.
    NotHere,
}

impl Finding {
    fn word(self) -> &'static str {
        match self {
            Finding::NotListed => "here, not on the list",
            Finding::Left => "here, no longer active on the list",
            Finding::NotHere => "on the list, not here",
        }
    }

    /// Whether somebody reaches data here who should not.
    fn is_grave(self) -> bool {
        match self {
            Finding::NotListed | Finding::Left => true,
            Finding::NotHere => false,
        }
    }
}

/// Somebody on the list, and whether they are active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    name: String,
    is_active: bool,
}

/// Compares and, if that is wanted, suspends.
///
/// # Errors
/// If the list cannot be read, or too many would be suspended.
pub(super) async fn run(compare_with: Compare, context: &Context) -> Result<Exit, Failure> {
    let Compare { file, suspend, all } = compare_with;
    let configured = &context.config.staff;
    let file = file
        .or_else(|| configured.list.clone())
        .ok_or_else(|| Failure::usage("there is no list to compare with: name a file, or set \"list\" in [staff]"))?;
    let listed = read(&file)?;
    let state = context.state()?;
    let found = compare(&state, &listed);
    let grave = found.iter().filter(|(_, finding)| finding.is_grave());
    let grave: Vec<&Staff> = grave.filter_map(|(name, _)| state.staff_named(name)).collect();
    // One that cannot be suspended keeps nobody else in.
    let (mut suspended, mut failed) = (Vec::new(), Vec::new());
    if suspend || configured.suspend_missing {
        let working = state.all_staff().filter(|staff| staff.works()).count();
        let few = FEW.max(working * FEW_PERCENT / 100);
        if grave.len() > few && !all {
            return Err(Failure::refused(format!(
                "{} of {working} staff are not on the list in {}, which is more than {few}: look whether it is whole, \
                 then give --suspend --all",
                grave.len(),
                file.display()
            )));
        }
        for staff in grave.iter().filter(|staff| staff.works()) {
            match suspend_one(context, staff.id).await {
                Ok(()) => suspended.push(staff.id),
                Err(failure) => failed.push(format!("{}: {}", staff.name, failure.message())),
            }
        }
    }
    let exit = show(context, &state, &found, &suspended)?;
    if failed.is_empty() {
        return Ok(exit);
    }
    Err(Failure::failed(format!("not suspended, look at once: {}", failed.join("; "))))
}

async fn suspend_one(context: &Context, staff: StaffId) -> Result<(), Failure> {
    let (register, state) = context.register_to_narrow(None).await?;
    context.narrow(register, &state, &[], What::Staff { staff, step: StaffStep::Suspended }).await.map(drop)
}

/// Everybody who does not stand alike in both, by name. Whoever is suspended already reaches nothing.
pub(super) fn compare(state: &State, listed: &[Listed]) -> Vec<(String, Finding)> {
    let listed: BTreeMap<&str, bool> = listed.iter().map(|one| (one.name.as_str(), one.is_active)).collect();
    let finding = |staff: &Staff| match listed.get(staff.name.as_str()) {
        None => Some(Finding::NotListed),
        Some(false) => Some(Finding::Left),
        Some(true) => None,
    };
    let here = state.all_staff().filter(|staff| staff.works());
    let mut found: Vec<_> = here.filter_map(|staff| Some((staff.name.clone(), finding(staff)?))).collect();
    let is_absent = |name: &str| state.staff_named(name).is_none_or(|staff| !staff.active);
    let missing = listed.iter().filter(|(name, is_active)| **is_active && is_absent(name));
    found.extend(missing.map(|(name, _)| ((*name).to_owned(), Finding::NotHere)));
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

fn show(context: &Context, state: &State, found: &[(String, Finding)], suspended: &[StaffId]) -> Result<Exit, Failure> {
    let mut table = Table::new(&["staff", "finding", "done"]);
    for (name, finding) in found {
        let is_suspended = state.staff_named(name).is_some_and(|staff| suspended.contains(&staff.id));
        let done = Some("suspended").filter(|_| is_suspended);
        table.row([name.as_str().into(), finding.word().into(), done.into()]);
    }
    context.show(&table)?;
    let is_grave = found.iter().any(|(_, finding)| finding.is_grave());
    Ok(if is_grave { Exit::Findings } else { Exit::Done })
}

fn read(file: &Path) -> Result<Vec<Listed>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|fault| Failure::usage(format!("cannot read {}: {fault}", file.display())))?;
    parse(&text).map_err(|fault| Failure::usage(format!("{}: {fault}", file.display())))
}

/// The list, each name once.
///
/// # Errors
/// Says at which line it is not such a list.
pub(super) fn parse(text: &str) -> Result<Vec<Listed>, String> {
    let mut rows = csv::rows(text)?.into_iter();
    let (_, head) = rows.next().ok_or("the list is empty: its first line names the columns, one of them \"name\"")?;
    let column = |wanted: &str| head.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted));
    let name_at = column("name").ok_or_else(|| format!("no column \"name\" among: {}", head.join(", ")))?;
    let status_at = column("status");
    let mut listed: Vec<Listed> = Vec::new();
    for (line, row) in rows {
        let cell = |at: usize| row.get(at).map(|cell| cell.trim());
        let name = cell(name_at).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("line {line} has no name"))?.to_lowercase();
        let is_active = match status_at {
            None => true,
            Some(at) => cell(at).ok_or_else(|| format!("line {line} has no status"))?.eq_ignore_ascii_case("active"),
        };
        if listed.iter().any(|one| one.name == name) {
            return Err(format!("line {line}: \"{name}\" is on the list twice"));
        }
        listed.push(Listed { name, is_active });
    }
    if listed.is_empty() { Err("nobody is on the list".to_owned()) } else { Ok(listed) }
}

#[cfg(test)]
#[path = "staff_list_tests.rs"]
mod tests;
