//! `audit show`: everything about one record, with what became of it.
//! Not here: what is shown of it (`shown.rs`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::search::exit_of;
use super::{Auditor, shown};
use crate::audit::record::{Kind, Record};
use crate::audit::tag::Tags;
use crate::cli::context::warn;
use crate::cli::{Context, Exit, Failure, Table};
use crate::keyring::pinned;
use crate::log::reader::Reader;
use crate::log::search::{Found, Query};
use crate::log::vouched::Vouched;

/// The one record, and whether it is as it was written.
pub(super) async fn record(context: &Context, place: &str, reason: Option<&str>) -> Result<(Table, Exit), Failure> {
    let read = |log: &str, position: &str| Some((log.to_owned(), position.parse::<u64>().ok()?));
    let parts = place.rsplit_once('/').and_then(|(a, b)| read(a, b).or_else(|| read(b, a)));
    let (log, position) = parts.ok_or_else(|| {
        Failure::usage(format!("\"{place}\" is not a place: give a log and a position, such as proxy-gate-1/17"))
    })?;
    let log = log.strip_prefix("portreeve/").unwrap_or(&log);
    let logs = pinned::logs(&context.config.audit.directory, &context.config.keyring.public_key)?;
    if let Some(fault) = logs.fault_of(log) {
        return Err(fault.clone().into());
    }
    let is_asked = |dir: &&PathBuf| dir.file_name().is_some_and(|name| name == log);
    let Some(dir) = logs.dirs().iter().find(is_asked) else {
        logs.told().iter().for_each(|line| warn(line));
        let known: Vec<_> = logs.dirs().iter().filter_map(|dir| dir.file_name()?.to_str()).collect();
        return Err(Failure::usage(format!("there is no log \"{log}\"; there are: {}", known.join(", "))));
    };
    let auditor = Auditor::begin(context, &format!("show {place}"), reason).await?;
    let dirs = std::slice::from_ref(dir);
    let mut found = auditor.search(&logs, dirs, &Query { at: Some(position), ..Query::default() }).await?;
    if found.is_empty() {
        if let Some(table) = unclaimed(&auditor, &logs, dir, position)? {
            return Ok((table, Exit::Done));
        }
        return Err(Failure::failed(format!("there is no record that can be shown at position {position} of {log}")));
    }
    for frame in &mut found {
        frame.outcome = outcome(&auditor, &logs, dirs, frame).await?;
    }
    Ok((shown::everything(&found, &auditor.names()), exit_of(&found)))
}

/// A record that is there and is claimed by no living key, where keys were destroyed.
fn unclaimed(auditor: &Auditor, logs: &Vouched, dir: &Path, position: u64) -> Result<Option<Table>, Failure> {
    let reader = Reader::pinned(dir, logs.keys())?;
    let mut tags = Tags::new(&auditor.recipients, reader.origin());
    let Some(entry) = reader.entries_from(position).next().transpose()? else { return Ok(None) };
    let is_there = entry.position() == position && entry.kind() != Kind::DataKey;
    if !is_there || !auditor.recipients.any_unclaimed() || entry.recipient(&mut tags).is_some() {
        return Ok(None);
    }
    let log = reader.origin().strip_prefix("portreeve/").unwrap_or(reader.origin()).to_owned();
    Ok(Some(shown::unclaimed(&format!("{log}/{position}"), entry.kind(), entry.descriptor.place.at)))
}

/// What became of a statement.
async fn outcome(
    auditor: &Auditor,
    logs: &Vouched,
    dirs: &[PathBuf],
    statement: &Found,
) -> Result<Option<Record>, Failure> {
    let skeleton = &statement.record.skeleton;
    if !statement.record.awaits_outcome() || skeleton.session.is_none() {
        return Ok(None);
    }
    let query = Query {
        customer: statement.record.customer,
        session: skeleton.session,
        kinds: vec![Kind::Outcome],
        since: Some(statement.record.at),
        until: Some(statement.record.at.plus(Duration::from_secs(86_400))),
        ..Query::default()
    };
    let found = auditor.search(logs, dirs, &query).await?;
    Ok(found.into_iter().map(|found| found.record).find(|record| record.skeleton.frame == skeleton.frame))
}
