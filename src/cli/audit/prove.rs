//! `audit prove`: one file that shows a customer every record of a period, that none is left out, and nobody else's.
//! Not here: what makes it a proof (`audit/proof.rs`, `log/prove.rs`). It is checked before it is kept.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::asked::asked;
use super::{Auditor, when};
use crate::audit::keys::Recipient;
use crate::audit::proof::{Base64, BrokenOff, Checked, Customer, FORMAT, Key, Period, Proof, check};
use crate::cli::context::warn;
use crate::cli::verify_proof::{FILE_BYTES_MAX, goes_on};
use crate::cli::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock};
use crate::disk::new_file::NewFile;
use crate::ids::CustomerId;
use crate::keyring::{init, pinned};
use crate::log::prove::{Ask, Draft, draft};
use crate::log::stream::Watch;
use crate::witnesses::kept;

/// Whose records, of when, and where to.
#[derive(Debug, Args)]
pub struct Wanted {
    /// Whose records (name, or an id such as c7).
    #[arg(long, value_name = "NAME")]
    customer: String,
    /// Not before: `2026-11-21`, `2026-11-21T23:36:00Z`, or how long ago: `2h`. Without it, from the first record on.
    #[arg(long, value_name = "WHEN", visible_alias = "from")]
    since: Option<String>,
    /// Before: as for --since, and not in the future. Without it, up to the last checkpoint, at most some seconds old.
    #[arg(long, value_name = "WHEN", visible_alias = "to")]
    until: Option<String>,
    /// A new file, which only you may read; it is there once it is whole.
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    /// A checkpoint or a proof of an earlier day: shows that the log still begins with it. Can be given several times.
    #[arg(long, value_name = "PATH")]
    earlier: Vec<PathBuf>,
    /// Only this log, by its writer's name, such as `proxy-gate-1`; without it, all of them. Can be given several times.
    #[arg(long, value_name = "NAME")]
    log: Vec<String>,
    /// Why the log is read; the keyring records it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Wanted {
    /// Whose records, of when, and in which logs, as it was asked.
    fn asked(&self) -> String {
        let (since, until) = (self.since.as_deref(), self.until.as_deref());
        let logs = Some(self.log.join(",")).filter(|logs| !logs.is_empty());
        let customer = Some(self.customer.as_str());
        asked("prove", &[("customer", customer), ("since", since), ("until", until), ("log", logs.as_deref())])
    }
}

/// Writes the proof and says what it shows.
pub(super) async fn prove(context: &Context, wanted: &Wanted) -> Result<(Table, Exit), Failure> {
    let file = new_file(&wanted.output)?;
    let auditor = Auditor::begin(context, &wanted.asked(), wanted.reason.as_deref()).await?;
    let customer = auditor.customer(&wanted.customer)?;
    if auditor.recipients.tag(Recipient::Customer(customer)).is_none() {
        return Err(Failure::failed(format!(
            "there is no tag key of {customer} any more, so that nothing tells its records from others': it was \
             destroyed, or there never was such a customer"
        )));
    }
    let period = period(wanted)?;
    let earlier = wanted.earlier.iter().map(|path| notes(path)).collect::<Result<Vec<_>, _>>()?.concat();
    let logs = logs(context, &auditor, &wanted.log)?;
    let notes = Notes { earlier, witnessed: witnessed(context, &logs)? };
    let (drafts, keys) = drafted(&auditor, customer, period, notes, logs).await?;
    if !wanted.earlier.is_empty() && !drafts.iter().any(Draft::has_earlier) {
        let detail =
            "what is given with --earlier is of none of the logs that are read: give a log's checkpoint, or a proof";
        return Err(Failure::usage(detail));
    }
    let sealed = drafts.iter().flat_map(|draft| draft.sealed().iter().cloned()).collect();
    let mut opened = auditor.open(sealed).await?.into_iter();
    let logs = drafts.into_iter().map(|draft| {
        let count = draft.sealed().len();
        draft.keyed(opened.by_ref().take(count))
    });
    let name = auditor.state.as_ref().and_then(|state| Some(state.customer(customer)?.name.clone()));
    let customer = Customer { number: customer.0, name: name.unwrap_or_else(|| wanted.customer.clone()) };
    let tag_key = auditor.recipients.tag(Recipient::Customer(CustomerId(customer.number)));
    let tag_key = Base64(tag_key.map(|key| key.0.expose().to_vec()).unwrap_or_default());
    let proof = Proof { format: FORMAT.to_owned(), customer, period, tag_key, logs: logs.collect() };
    let checked = check(&proof, &keys);
    if let Some(fault) = checked.faults.first() {
        return Err(Failure::failed(format!("the proof would not hold: {fault}: run \"portreeve audit verify\"")));
    }
    for BrokenOff { origin, next } in &checked.broken_off {
        warn(&format!("{origin}: {}", goes_on(next)));
    }
    keep(file, &proof, &wanted.output)?;
    Ok((told(&checked), Exit::Done))
}

fn period(wanted: &Wanted) -> Result<Period, Failure> {
    let now = SystemClock.now();
    let at = |when: &Option<String>| when.as_deref().map(|when| when::read(when, now)).transpose();
    let (since, until) = (at(&wanted.since).map_err(Failure::usage)?, at(&wanted.until).map_err(Failure::usage)?);
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        return Err(Failure::usage(format!("the period ends at {until}, before it begins at {since}")));
    }
    if let Some(until) = until.filter(|until| *until > now) {
        let detail = "leave --until out, and the proof goes up to the last checkpoint";
        return Err(Failure::usage(format!(
            "the period would end at {until}, and what is yet to come cannot be shown: {detail}"
        )));
    }
    Ok(Period { since: since.map(|since| since.0), until: until.map(|until| until.0) })
}

/// The logs to read, each with its pinned key.
fn logs(context: &Context, auditor: &Auditor, names: &[String]) -> Result<Vec<(PathBuf, Key)>, Failure> {
    let directory = &context.config.audit.directory;
    let dirs = match names {
        // A proof of fewer logs would look like one of all.
        [] => auditor.logs()?.whole()?.dirs().to_vec(),
        names => names.iter().collect::<BTreeSet<_>>().into_iter().map(|name| directory.join(name)).collect(),
    };
    let keyed = dirs.into_iter().map(|dir| {
        let writer = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let public = init::read_public_key(&pinned::log_key(&context.config.keyring.public_key, &writer))?;
        Ok((dir, Key { origin: Some(crate::log::origin(&writer)), public }))
    });
    keyed.collect()
}

/// Signed notes that the logs must begin with.
struct Notes {
    earlier: Vec<String>,
    witnessed: Vec<String>,
}

/// What came back cosigned of these logs. Read before them, so that each is at least as long.
fn witnessed(context: &Context, logs: &[(PathBuf, Key)]) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    for (dir, _) in logs {
        let writer = dir.file_name().unwrap_or_default().to_string_lossy();
        notes.extend(kept(&context.config.audit.directory, &writer)?.into_iter().map(|(_, note)| note));
    }
    Ok(notes)
}

/// A draft for each log, and the keys to check them with.
async fn drafted(
    auditor: &Auditor,
    customer: CustomerId,
    period: Period,
    notes: Notes,
    logs: Vec<(PathBuf, Key)>,
) -> Result<(Vec<Draft>, Vec<Key>), Failure> {
    let (recipients, watch) = (auditor.recipients.clone(), Arc::new(Watch::default()));
    let read = tokio::task::spawn_blocking(move || {
        let recipient = Recipient::Customer(customer);
        let Notes { earlier, witnessed } = &notes;
        let ask = Ask { recipient, period, recipients: &recipients, earlier, witnessed, watch: &watch };
        let drafts: Result<Vec<Draft>, _> = logs.iter().map(|(dir, key)| draft(dir, &key.public, &ask)).collect();
        drafts.map(|drafts| (drafts, logs.into_iter().map(|(_, key)| key).collect()))
    });
    Ok(read.await.map_err(|_| Failure::failed("bug: making the proof panicked"))??)
}

/// The signed notes in a file: a checkpoint itself, or those of a proof.
fn notes(path: &Path) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|fault| Failure::failed(format!("cannot read {}: {fault}", path.display())))?;
    if !Proof::is_one(&text) {
        return Ok(vec![text]);
    }
    let proof = Proof::from_text(&text).map_err(|fault| Failure::failed(format!("{}: {fault}", path.display())))?;
    Ok(proof.logs.into_iter().map(|log| log.checkpoint).collect())
}

fn new_file(path: &Path) -> Result<NewFile, Failure> {
    NewFile::begin(path).map_err(|fault| match fault.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!(
            "{} is there already, and nothing is overwritten: give another name to --output",
            path.display()
        )),
        _ => Failure::failed(format!("cannot make {}: {fault}", path.display())),
    })
}

fn keep(mut file: NewFile, proof: &Proof, path: &Path) -> Result<(), Failure> {
    let text = proof.to_text();
    if text.len() as u64 > FILE_BYTES_MAX {
        let detail = "the proof is larger than 256 MiB, which nobody would read";
        return Err(Failure::failed(format!("{detail}: shorten the period, or prove one log at a time (--log)")));
    }
    let written = file.write_all(text.as_bytes()).and_then(|()| file.finish());
    written.map_err(|fault| Failure::failed(format!("cannot write {}: {fault}", path.display())))
}

/// A row for each log.
fn told(checked: &Checked) -> Table {
    let mut table = Table::new(&["log", "from", "to", "records", "still_sealed", "begins_with", "fingerprint"]);
    for log in &checked.logs {
        let sealed = log.records.iter().filter(|record| !record.still_sealed.is_empty()).count();
        table.row([
            log.signed.origin.clone().into(),
            log.from.into(),
            log.to.into(),
            log.records.len().into(),
            sealed.into(),
            log.earlier.into(),
            checked.fingerprint.clone().into(),
        ]);
    }
    table
}

#[cfg(test)]
#[path = "prove_tests.rs"]
mod tests;
