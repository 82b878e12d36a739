//! `portreeve customer import`: customers from a list, each with its teams and its owner's invitation, or none of a line.
//! Not here: what a list is (`import/list.rs`), and what follows from each line (`import/plan.rs`).
//! Without --apply nothing is done. Interrupted, the same command goes on from where it was.

mod list;
mod plan;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use self::list::{Fault, Row};
use self::plan::{Deed, Inviting};
use super::context::{Desk, moment, tell, warn};
use super::invitations::{Code, Invited, Letters};
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::units;
use crate::entropy::OsEntropy;
use crate::grant::State;
use crate::ids::{CustomerId, Sequence};
use crate::register::Error;

/// Lines that are made as one change of the register.
const AT_ONCE: usize = 64;
/// Away from a terminal, how many lines are done between two lines that say so.
const SAID_EVERY: usize = 1000;

/// Add the customers of a list (CSV), with their teams, and invite their first owners.
#[derive(Debug, Args)]
pub struct Import {
    /// The list; its first line names the columns: customer, cluster and database, and any of `display_name`, `schema`,
    /// `tenant`, `teams` (joined with ;) and `owner`.
    list: PathBuf,
    /// Do it; without this it is only shown what would be done.
    #[arg(long)]
    apply: bool,
    /// Where the owners' links go, for your mailer: a file that does not exist yet. They are kept nowhere else.
    #[arg(long, value_name = "PATH")]
    invitations: Option<PathBuf>,
    /// How long an invitation can be accepted, at most 30 days.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = units::duration)]
    invited_for: Duration,
}

/// A line, and the code its owner would be sent.
struct Line {
    row: Row,
    code: Code,
}

/// Shows what follows from the list, and does it if that is wanted and every line is right.
///
/// # Errors
/// If the list cannot be read, or the register, the keyring or the log cannot be used.
pub(super) async fn run(import: Import, context: &Context) -> Result<Exit, Failure> {
    let (rows, mut faults) = read(&import.list)?;
    for row in &rows {
        if let Err(fault) = context.config.cluster(&row.cluster) {
            faults.push(row.fault("cluster", fault.to_string()));
        }
    }
    let lines: Vec<Line> = rows.into_iter().map(|row| Line { row, code: Code::new() }).collect();
    let (now, state) = (SystemClock.now(), context.state()?);
    let ends = now.plus(import.invited_for);
    let numbered = lines.iter().map(|line| (line.row.clone(), Inviting { digest: line.code.digest, ends }));
    let numbered: Vec<(Row, Inviting)> = numbered.collect();
    let rehearsed = plan::rehearse(&state, &numbered, (&context.trust()?, &OsEntropy), now);
    faults.extend(rehearsed.iter().filter_map(|deed| deed.as_ref().err().cloned()));
    let deeds: Vec<Option<Deed>> = rehearsed.iter().map(|deed| deed.as_ref().ok().copied()).collect();
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.line);
        show(context, &state, &lines, (&deeds, &faults), ends)?;
        let (wrong, file) = (faults.len(), import.list.display());
        tell(&format!("nothing was done: {wrong} faults in {file}; each is shown with its line and column"));
        return Ok(Exit::Findings);
    }
    if !import.apply {
        show(context, &state, &lines, (&deeds, &[]), ends)?;
        tell("nothing was done: this is what --apply would do");
        return Ok(Exit::Done);
    }
    let state = apply(&import, context, &lines, &deeds, ends).await?;
    show(context, &state, &lines, (&deeds, &[]), ends)?;
    Ok(Exit::Done)
}

fn read(list: &Path) -> Result<(Vec<Row>, Vec<Fault>), Failure> {
    let wrong = |fault: String| Failure::usage(format!("{}: {fault}", list.display()));
    let text = std::fs::read_to_string(list).map_err(|fault| wrong(format!("cannot be read: {fault}")))?;
    list::parse(&text).map_err(wrong)
}

/// Does it, some lines at a time; the state after all of it.
async fn apply(
    import: &Import,
    context: &Context,
    lines: &[Line],
    deeds: &[Option<Deed>],
    ends: Timestamp,
) -> Result<Arc<State>, Failure> {
    let wanted = |deed: &Option<Deed>| deed.is_some_and(|deed| deed != Deed::Nothing);
    let todo: Vec<(&Line, Deed)> = lines
        .iter()
        .zip(deeds)
        .filter(|(_, deed)| wanted(deed))
        .filter_map(|(line, deed)| Some((line, (*deed)?)))
        .collect();
    let invites = todo.iter().any(|(_, deed)| deed.invites());
    let mut letters = match (&import.invitations, invites) {
        (Some(path), true) => Some(Letters::begin(path)?),
        (None, true) => {
            return Err(Failure::usage(
                "owners are to be invited, and Portreeve sends no mail: name a file for their links with --invitations",
            ));
        }
        (_, false) => None,
    };
    let register = context.register()?;
    let state = register.state()?;
    let invited_later = todo.iter().filter(|(_, deed)| *deed == Deed::Invite);
    let known: Vec<CustomerId> =
        invited_later.filter_map(|(line, _)| Some(state.customer_named(&line.row.customer)?.id)).collect();
    let desk = context.desk(register, &known).await?;
    let (progress, stop) = (Progress::of(todo.len()), stop_when_interrupted());
    // Whether it is recorded what became of everything: whatever ends it early, the next command looks at what is open.
    let mut done = Ok(true);
    for chunk in todo.chunks(AT_ONCE) {
        if stop.load(Ordering::SeqCst) {
            done = Err(Failure::failed(format!(
                "interrupted: {} of {} lines are done; the same command with another file for --invitations goes on",
                progress.done(),
                todo.len()
            )));
            break;
        }
        match one_chunk(context, &desk, letters.as_mut(), chunk, ends).await {
            Ok(is_concluded) => done = done.map(|all| all && is_concluded),
            Err(failure) => {
                done = Err(failure);
                break;
            }
        }
        progress.add(chunk.len());
    }
    let state = desk.acts().register.state();
    desk.leave(done.as_ref().is_ok_and(|is_concluded| *is_concluded));
    progress.end();
    done?;
    if let Some(path) = import.invitations.as_ref().filter(|_| invites) {
        tell(&format!(
            "the owners' links are in {}: send each to its owner, then delete the file; Portreeve sends no mail, and keeps \
             no link",
            path.display()
        ));
    }
    Ok(state?)
}

/// The links first, durably; then the lines, all of them or none. Whether what became of them is recorded.
async fn one_chunk(
    context: &Context,
    desk: &Desk,
    letters: Option<&mut Letters>,
    chunk: &[(&Line, Deed)],
    ends: Timestamp,
) -> Result<bool, Failure> {
    if let Some(letters) = letters {
        let invited = chunk.iter().filter(|(_, deed)| deed.invites()).filter_map(|(line, _)| {
            let Row { customer, display, owner, .. } = &line.row;
            Some(Invited { customer, display: display.as_deref(), owner: owner.as_deref()?, ends, code: &line.code })
        });
        letters.add(&invited.collect::<Vec<_>>(), &context.config.portal.public_url)?;
    }
    let build = |state: &State| {
        let (mut drafts, now) = (Vec::new(), SystemClock.now());
        for (line, deed) in chunk {
            let before = Sequence(state.sequence().0.saturating_add(drafts.len() as u64));
            let inviting = Inviting { digest: line.code.digest, ends };
            let (found, more) = plan::wanted(state, &line.row, before, inviting, now).map_err(|fault| {
                Error::Refused(format!("line {}, column {}: {}", fault.line, fault.column, fault.says))
            })?;
            // Somebody else has done meanwhile what this line says, or half of it: that is looked at anew.
            if found != *deed && found != Deed::Nothing {
                return Err(Error::Refused(format!("line {} changed meanwhile: do it again", line.row.line)));
            }
            drafts.extend(more);
        }
        Ok(drafts)
    };
    let done = desk.acts().act_all(build).await?;
    done.warnings.iter().for_each(|text| warn(text));
    Ok(done.concluded)
}

/// Whether somebody wants it to stop; it does so between two changes.
fn stop_when_interrupted() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.store(true, Ordering::SeqCst);
        }
    });
    stop
}

/// How far it has come: a bar at a terminal, else a line now and then.
struct Progress {
    bar: ProgressBar,
    is_shown: bool,
}

impl Progress {
    fn of(lines: usize) -> Progress {
        let is_shown = std::io::stderr().is_terminal();
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} lines, {per_sec}, {eta} left");
        let bar = ProgressBar::with_draw_target(Some(lines as u64), target).with_finish(ProgressFinish::AndClear);
        Progress { bar: style.map_or(bar.clone(), |style| bar.with_style(style)), is_shown }
    }

    fn done(&self) -> u64 {
        self.bar.position()
    }

    fn add(&self, lines: usize) {
        let before = self.bar.position();
        self.bar.inc(lines as u64);
        let (after, every) = (self.bar.position(), SAID_EVERY as u64);
        if !self.is_shown && after / every > before / every {
            tell(&format!("{after} of {} lines are done", self.bar.length().unwrap_or(after)));
        }
    }

    fn end(self) {
        self.bar.finish_and_clear();
    }
}

fn show(
    context: &Context,
    state: &State,
    lines: &[Line],
    (deeds, faults): (&[Option<Deed>], &[Fault]),
    ends: Timestamp,
) -> Result<(), Failure> {
    let columns = ["line", "customer", "id", "done", "database", "teams", "owner", "invited_until", "column", "fault"];
    let mut table = Table::new(&columns);
    for (Line { row, .. }, deed) in lines.iter().zip(deeds) {
        let Some(deed) = deed else { continue };
        let place = [Some(&row.cluster), Some(&row.database), row.tenant.as_ref()];
        let place: Vec<&str> = place.into_iter().flatten().map(String::as_str).collect();
        table.row([
            row.line.into(),
            row.customer.as_str().into(),
            state.customer_named(&row.customer).map(|customer| customer.id.to_string()).into(),
            deed.word().into(),
            place.join("/").into(),
            row.teams.join(";").into(),
            row.owner.as_deref().into(),
            if deed.invites() { moment(ends) } else { serde_json::Value::Null },
            serde_json::Value::Null,
            serde_json::Value::Null,
        ]);
    }
    for Fault { line, column, says } in faults {
        let row = lines.iter().find(|other| other.row.line == *line).map(|other| other.row.customer.as_str());
        let none = || serde_json::Value::Null;
        let refused = "refused".into();
        table.row([
            (*line).into(),
            row.into(),
            none(),
            refused,
            none(),
            none(),
            none(),
            none(),
            (*column).into(),
            says.as_str().into(),
        ]);
    }
    context.show(&table)
}
