//! `audit verify`: every log against its pinned key, and against what the register and those elsewhere remember of it.
//! Not here: the verification itself (`log/verify.rs`), logs that are not there (`absent.rs`), and who remembers elsewhere
//! (`witnessed.rs`).

use std::collections::BTreeSet;
use std::mem;
use std::path::{Path, PathBuf};

use super::asked::asked;
use super::erasures::{brought_back, under_way};
use super::witnessed::Elsewhere;
use super::{Auditor, absent};
use crate::audit::tag::Tags;
use crate::cli::context::warn;
use crate::cli::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock};
use crate::keyring::{init, pinned};
use crate::log::open::DataKeys;
use crate::log::reader::Reader;
use crate::log::search;
use crate::log::together::{Examined, judge};
use crate::log::verify::{Finding, Opening, Verdict, examine, examine_tree};
use crate::log::vouched::CHECKPOINT;
use crate::log::{self, name_of};

/// How deep it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The leaves and the tree over them.
    Tree,
    /// Also the sealed bytes of every record.
    Sealed,
    /// Also what they seal.
    Opened,
}

/// As `audit verify` does it, with `--open` or without.
#[cfg(test)]
pub(super) async fn verified(
    context: &Context,
    open: bool,
    copy: Option<&Path>,
    memory: &[PathBuf],
) -> Result<(Table, Exit), Failure> {
    verified_to(context, if open { Depth::Opened } else { Depth::Sealed }, copy, memory, None).await
}

/// A row per finding, and whether one of them is an alarm. `reason` is why records are opened.
pub(super) async fn verified_to(
    context: &Context,
    depth: Depth,
    copy: Option<&Path>,
    memory: &[PathBuf],
    reason: Option<&str>,
) -> Result<(Table, Exit), Failure> {
    let elsewhere = Elsewhere::of(context, copy, memory)?;
    if elsewhere.is_nobody() && copy.is_none() {
        warn("no witness is configured and no --memory given: that logs were cut or rolled back would not be found");
    }
    let audit = copy.unwrap_or(&context.config.audit.directory);
    let dirs = search::logs(audit)?;
    // Looked at before the keyring is asked: what is done meanwhile was under way; everybody whose records stand before
    // there is known to it.
    let state = if depth == Depth::Opened { context.state().ok() } else { None };
    let known: Vec<u64> = dirs.iter().map(|dir| Reader::open(dir).map_or(0, |reader| reader.claimed())).collect();
    let copied = copy.map(Path::to_string_lossy);
    let asked = asked("verify --open", &[("directory", copied.as_deref())]);
    let auditor = if depth == Depth::Opened { Some(Auditor::begin(context, &asked, reason).await?) } else { None };
    let mut findings = Vec::new();
    let mut logs = Vec::new();
    for (dir, known) in dirs.iter().zip(known) {
        let writer = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let looked = looked_at(context, depth, auditor.as_ref(), dir, known).await?;
        findings.extend(looked.findings.into_iter().map(|finding| (writer.clone(), finding)));
        logs.extend(looked.log);
    }
    // Where the register cannot be read, which the auditor says, none is known to be under way.
    let at_hand = state.as_deref().zip(auditor.as_ref().map(|auditor| &auditor.recipients));
    let under_way = at_hand.map_or_else(BTreeSet::new, |(state, known)| under_way(state, known));
    findings.extend(at_hand.into_iter().flat_map(|(state, known)| brought_back(state, known)));
    let together = judge(&logs, &under_way, SystemClock.now());
    findings.extend(together.into_iter().map(|(origin, finding)| (name_of(&origin).to_owned(), finding)));
    findings.extend(absent::remains(audit)?);
    if copy.is_none() {
        findings.extend(absent::found(context));
    }
    findings.extend(elsewhere.findings().await?);
    findings.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut table = Table::new(&["log", "verdict", "place", "detail"]);
    let alarms = findings.iter().filter(|(_, finding)| finding.verdict.is_alarm()).count();
    for (writer, Finding { verdict, place, detail }) in findings {
        table.row([writer.into(), verdict.to_string().into(), place.into(), detail.into()]);
    }
    Ok((table, if alarms == 0 { Exit::Done } else { Exit::Findings }))
}

/// What was found about one directory, and the log if it is the one of its name.
struct Looked {
    findings: Vec<Finding>,
    log: Option<Examined>,
}

/// One log by itself.
async fn looked_at(
    context: &Context,
    depth: Depth,
    auditor: Option<&Auditor>,
    dir: &Path,
    known: u64,
) -> Result<Looked, Failure> {
    let writer = dir.file_name().unwrap_or_default().to_string_lossy();
    let path = pinned::log_key(&context.config.keyring.public_key, &writer);
    let public = match init::read_public_key(&path) {
        Ok(public) => public,
        Err(error) => {
            let (place, detail) = (path.display().to_string(), format!("the log's public key is not pinned: {error}"));
            let findings = vec![Finding { verdict: Verdict::WrongKey, place, detail }];
            return Ok(Looked { findings, log: None });
        }
    };
    // What another log's name claims is not opened as that log's.
    let signed = Reader::signed_by(dir, &public);
    let keys = match (auditor, &signed) {
        (Some(auditor), Ok(reader)) => Some((data_keys(auditor, reader).await?, &auditor.recipients)),
        (Some(_), Err(_)) | (None, _) => None,
    };
    let opening = keys.as_ref().map(|(keys, recipients)| Opening { recipients, keys });
    let mut examined = match depth {
        Depth::Tree => examine_tree(dir, &public)?,
        Depth::Sealed | Depth::Opened => examine(dir, &public, opening.as_ref(), known)?,
    };
    let findings = mem::take(&mut examined.findings);
    Ok(match signed {
        Err(log::Error::Unsound { verdict, detail, .. }) => {
            Looked { findings: not_its_own(findings, verdict, detail), log: None }
        }
        _ => Looked { findings, log: Some(examined) },
    })
}

/// What was found of a log that is not the one of its name, which its own key may have signed all the same.
fn not_its_own(mut findings: Vec<Finding>, verdict: Verdict, detail: String) -> Vec<Finding> {
    if !findings.iter().any(|finding| finding.verdict.is_alarm() && finding.place == CHECKPOINT) {
        findings.retain(|finding| finding.verdict != Verdict::Ok);
        findings.push(Finding { verdict, place: CHECKPOINT.to_owned(), detail });
    }
    findings
}

/// Every data key of one log, opened.
async fn data_keys(auditor: &Auditor, reader: &Reader) -> Result<DataKeys, Failure> {
    let mut sealed = reader.sealed_data_keys(&mut Tags::new(&auditor.recipients, reader.origin()))?;
    sealed.retain(|key| !auditor.recipients.is_erased(key.recipient, key.part, key.period));
    let positions: Vec<u64> = sealed.iter().map(|key| key.position).collect();
    let mut keys = DataKeys::new();
    for (position, key) in positions.iter().zip(auditor.open(sealed).await?) {
        keys.insert(*position, &key);
    }
    Ok(keys)
}
