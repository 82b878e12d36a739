//! `audit export`: everything recorded about one customer in a period, as JSON lines or CSV, in bounded memory.
//! Not here: reading in bounded memory (`log/stream.rs`) and a file that is there wholly or not at all
//! (`disk/new_file.rs`).

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::asked::asked;
use super::progress;
use super::{Auditor, csv, object, shown, when};
use crate::cli::context::tell;
use crate::cli::{Context, Exit, Failure, Format};
use crate::clock::{Clock, SystemClock};
use crate::disk::new_file::NewFile;
use crate::log::search::{Found, Query};
use crate::log::stream::{Prepared, Watch, prepare};
use crate::log::vouched::Vouched;

/// Which records, and where to.
#[derive(Debug, Args)]
pub struct Wanted {
    /// Whose records (name, or an id such as c7).
    #[arg(long, value_name = "NAME")]
    customer: String,
    /// Not before: `2026-11-21`, `2026-11-21T23:36:00Z`, or how long ago: `2h`. Without it, from the first record on.
    #[arg(long, value_name = "WHEN", visible_alias = "since")]
    from: Option<String>,
    /// Before: as for --from.
    #[arg(long, value_name = "WHEN", visible_alias = "until")]
    to: Option<String>,
    /// A new file, which only you may read; it is there once it is whole. Without it, standard output.
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Why the log is read; the keyring records it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Wanted {
    /// Whose records, and of when, as it was asked.
    fn asked(&self) -> String {
        let (from, to) = (self.from.as_deref(), self.to.as_deref());
        asked("export", &[("customer", Some(&self.customer)), ("from", from), ("to", to)])
    }

    fn query(&self, auditor: &Auditor, logs: &Vouched) -> Result<Query, Failure> {
        let now = SystemClock.now();
        let at = |when: &Option<String>| when.as_deref().map(|when| when::read(when, now)).transpose();
        let (since, until) = (at(&self.from).map_err(Failure::usage)?, at(&self.to).map_err(Failure::usage)?);
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(Failure::usage(format!("the period ends at {until}, before it begins at {since}")));
        }
        let (customer, pinned) = (Some(auditor.customer(&self.customer)?), logs.keys().clone());
        Ok(Query { customer, since, until, pinned, ..Query::default() })
    }
}

/// Where the records go.
enum Target {
    File(BufWriter<NewFile>),
    Stdout(BufWriter<io::Stdout>),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    records: u64,
    /// Records that do not open.
    faults: u64,
    /// A log was left out.
    is_short: bool,
}

/// Writes the records. Interrupted, it leaves no file.
pub(super) async fn export(context: &Context, wanted: &Wanted) -> Result<Exit, Failure> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let watch = Arc::new(Watch::default());
    let exported = tokio::select! {
        exported = exported(context, wanted, &watch) => exported,
        () = progress::told(&watch, "exporting") => Err(Failure::failed("bug: the progress came to an end")),
        _ = terminated.recv() => Err(stopped(&watch)),
        _ = interrupted.recv() => Err(stopped(&watch)),
    };
    let Written { records, faults, is_short } = exported?;
    if let Some(path) = &wanted.output {
        tell(&format!("{records} records are in {}", path.display()));
    }
    if faults > 0 {
        tell(&format!("{faults} of {records} records do not open: run \"portreeve audit verify\""));
    }
    if is_short {
        tell("the export is not whole: a log was left out, see above");
    }
    Ok(if faults == 0 && !is_short { Exit::Done } else { Exit::Findings })
}

/// The threads that read end too, and with them what they have written.
fn stopped(watch: &Watch) -> Failure {
    watch.stop();
    Failure::failed("interrupted: the export is not whole, and no file is left of it")
}

async fn exported(context: &Context, wanted: &Wanted, watch: &Arc<Watch>) -> Result<Written, Failure> {
    let target = Target::begin(wanted.output.as_deref())?;
    let auditor = Auditor::begin(context, &wanted.asked(), wanted.reason.as_deref()).await?;
    let logs = auditor.logs()?;
    let query = wanted.query(&auditor, &logs)?;
    let reading = auditor.reading();
    let prepared = prepare(logs.dirs(), &query, &auditor.recipients, watch, |keys| reading.open(keys)).await?;
    let (names, format) = (auditor.names(), context.format);
    let written = tokio::task::spawn_blocking(move || target.fill(&prepared, format, &names));
    let written = written.await.map_err(|_| Failure::failed("bug: the export panicked"))??;
    Ok(Written { is_short: !logs.is_whole(), ..written })
}

impl Target {
    fn begin(path: Option<&Path>) -> Result<Target, Failure> {
        let Some(path) = path else { return Ok(Target::Stdout(BufWriter::new(io::stdout()))) };
        let file = NewFile::begin(path).map_err(|fault| match fault.kind() {
            ErrorKind::AlreadyExists => Failure::usage(format!(
                "{} is there already, and nothing is overwritten: give another name to --output",
                path.display()
            )),
            _ => Failure::failed(format!("cannot make {}: {fault}", path.display())),
        })?;
        Ok(Target::File(BufWriter::new(file)))
    }

    /// Writes everything; a file is only there if all of it is.
    fn fill(self, prepared: &Prepared, format: Format, names: &shown::Names) -> Result<Written, Failure> {
        match self {
            Target::File(mut out) => {
                let written = fill(&mut out, prepared, format, names)?;
                let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.finish().map_err(|fault| Failure::failed(format!("the export could not be kept: {fault}")))?;
                Ok(written)
            }
            // A reader that went away has not got all of it, which nobody else would tell.
            Target::Stdout(mut out) => Ok(fill(&mut out, prepared, format, names)?),
        }
    }
}

/// Why not everything was written.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    #[error("the export cannot be written: {0}")]
    Out(#[from] io::Error),
}

fn fill(out: &mut dyn Write, prepared: &Prepared, format: Format, names: &shown::Names) -> Result<Written, Unwritten> {
    let mut written = Written::default();
    if format == Format::Csv {
        csv::header(out)?;
    }
    for found in prepared.stream() {
        let found = found?;
        one(out, &found, format, names)?;
        written.records += 1;
        written.faults += u64::from(found.fault.is_some());
    }
    out.flush()?;
    Ok(written)
}

fn one(out: &mut dyn Write, found: &Found, format: Format, names: &shown::Names) -> io::Result<()> {
    match format {
        Format::Csv => csv::row(out, found, names),
        Format::Json | Format::Table => writeln!(out, "{}", object::object(found, names)),
    }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
