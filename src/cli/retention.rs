//! `portreeve retention`: what the promise means, and what a plan would do, as rows;
//! and deletion and restores in people's hands.
//! Not here: the daemon (`retentiond/`), which does all that is due by itself.

mod keys;
pub(in crate::cli) mod people;
mod snapshots;
pub(in crate::cli) mod stock;

use std::io::{self, Write};
use std::path::Path;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Context, Exit, Failure, Format, Table, coverage, datamap, prepare};
use crate::retention::plan::{Action, Cap, Object, Plan};
use crate::retention::promise::{Told, Written};
use crate::retention::solve::{Solution, Unkeepable};

/// What can be asked about retention.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what the promise means for each back-end: how old snapshots become, and by when a purge must be through.
    ///
    /// A promise that cannot be kept is answered with every reason, the nearest that can be kept, and exit code 5.
    Solve,
    /// Run the daemon that takes snapshots and deletes what is due.
    Run {
        /// One turn only; exit code 4 if something failed, is late or needs a second person.
        #[arg(long)]
        once: bool,
    },
    /// Show what would be done with every object now, why, and the digest by which exactly that is applied.
    Plan,
    /// Delete what that plan expires, if it still is the plan; above a cap only with two people.
    Apply(stock::Apply),
    /// Show what is late; exit code 4 if anything is overdue, or no daemon runs.
    Status,
    /// Take in a dump or a base backup that was there before: it expires by the start it had.
    Adopt(snapshots::Adopt),
    /// Bring a snapshot back: an access, for two people, with a reason.
    Restore(Box<snapshots::Restore>),
    /// Make the pair of keys that snapshots are encrypted to.
    Keys(keys::Keys),
    /// Make a back-end's empty directory a store.
    Store {
        /// The NAME of [snapshots.NAME].
        backend: String,
    },
    /// Compare every table with the data map; exit code 4 if anything is unclassified.
    Coverage(coverage::Arguments),
    /// Make the maintenance role and its tables in a database, as a superuser; again whenever tables get new owners.
    Prepare(datamap::Target),
}

/// Does what `command` says.
///
/// # Errors
/// The verb's own.
pub async fn run(command: Command, context: &Context, path: &Path) -> Result<Exit, Failure> {
    match command {
        Command::Coverage(arguments) => coverage::run(arguments, context, path).await,
        Command::Prepare(target) => prepare::run(target, context).await,
        Command::Plan => stock::show_plan(context).await,
        Command::Apply(wanted) => stock::apply(context, wanted).await,
        Command::Status => stock::status(context).await,
        Command::Adopt(wanted) => Box::pin(snapshots::adopt(context, wanted)).await,
        Command::Restore(wanted) => Box::pin(snapshots::restore(context, *wanted)).await,
        Command::Keys(keys) => keys::make(context, &keys),
        Command::Store { backend } => keys::make_store(context, &backend),
        Command::Run { .. } => Err(Failure::failed("bug: the daemon is no verb")),
        Command::Solve => match context.config.rules() {
            Ok(rules) => {
                context.show(&solved(rules.solution(), context.format))?;
                Ok(Exit::Done)
            }
            Err(unkeepable) => {
                context.show(&impossible(&unkeepable))?;
                Ok(Exit::Configuration)
            }
        },
    }
}

/// A row for each back-end, and one for all. For people durations are told in days and hours, for programs in seconds.
fn solved(solution: &Solution, format: Format) -> Table {
    let mut table = Table::new(&["backend", "age_min", "age_max", "purge_latest", "slack"]);
    let span = |span| match format {
        Format::Table => Value::from(Told(span).to_string()),
        Format::Json | Format::Csv => Value::from(span.as_secs()),
    };
    for solved in &solution.backends {
        table.row([
            solved.backend.clone().into(),
            span(solved.age_min),
            span(solved.age_max),
            span(solved.purge_latest),
            span(solved.slack),
        ]);
    }
    table.row([Value::Null, Value::Null, Value::Null, span(solution.purge_latest), span(solution.slack)]);
    table
}

fn impossible(unkeepable: &Unkeepable) -> Table {
    let mut table = Table::new(&["backend", "cannot_be_kept_because", "nearest"]);
    for impossible in &unkeepable.0 {
        let (term, nearest) = impossible.nearest;
        table.row([
            impossible.backend.clone().into(),
            impossible.reason.clone().into(),
            format!("{term} = \"{}\"", Written(nearest)).into(),
        ]);
    }
    table
}

/// Shows a plan: a row for each object, exceptions marked, and at the end its digest and whether one person may apply it.
///
/// # Errors
/// What `out` answers.
pub fn write_plan(plan: &Plan, format: Format, out: &mut dyn Write) -> io::Result<()> {
    rows(plan).write(format, out)?;
    let caps: Vec<String> = plan.caps.iter().map(told).collect();
    match format {
        Format::Json => {
            let end = json!({
                "plan": plan.token().to_string(),
                "made": plan.made.to_string(),
                "instance": plan.instance,
                "second_person_because": caps,
            });
            writeln!(out, "{end}")
        }
        Format::Table => {
            let counts = [Action::Keep, Action::Expire, Action::Purge, Action::Hold, Action::Report];
            let counts: Vec<String> =
                counts.iter().map(|action| format!("{} {}", plan.with(*action).count(), action.word())).collect();
            writeln!(out, "\n{}; made at {} by {}", counts.join(", "), plan.made, plan.instance)?;
            caps.iter().try_for_each(|cap| writeln!(out, "a second person must apply it: {cap}"))?;
            writeln!(out, "apply it with: portreeve retention apply --plan {}", plan.token())
        }
        // Rows only, so that a spreadsheet reads them.
        Format::Csv => Ok(()),
    }
}

fn rows(plan: &Plan) -> Table {
    let mut table = Table::new(&["action", "kind", "object", "started", "exception", "reason"]);
    for row in &plan.rows {
        let (kind, object) = match &row.object {
            Object::Snapshot(backend, id) => ("snapshot", format!("{backend}/{id}")),
            Object::Archive(id) => ("archive", id.clone()),
            Object::Customer(id) => ("customer", id.to_string()),
        };
        table.row([
            row.action.word().into(),
            kind.into(),
            object.into(),
            row.fingerprint.started.to_string().into(),
            row.reason.is_exception().into(),
            row.reason.to_string().into(),
        ]);
    }
    table
}

fn told(cap: &Cap) -> String {
    match cap {
        Cap::Expires { count, cap } => format!("it expires {count} snapshots, more than {cap}"),
        Cap::Purges { count, cap } => format!("{count} accounts are purged within a day, more than {cap}"),
        Cap::Widened { count } => {
            format!(
                "[promise] was changed since a plan was last applied, and {count} more snapshots expire because of it"
            )
        }
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
