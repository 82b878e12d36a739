//! A proof of a customer's records, checked and told: a row for each log, each record, and whatever does not hold.
//! Not here: what must hold (`audit/proof/check.rs`).

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::audit::note::{Algorithm, VerifierKey};
use crate::audit::proof::{BrokenOff, Checked, CheckedLog, Cosigned, End, Key, Proof, Shown, check_witnessed};
use crate::audit::record::Record;
use crate::audit::tree::Hash;
use crate::cli::{Exit, Failure, Table};
use crate::clock::Timestamp;
use crate::keyring::init::read_public_key;

/// Checks the proof in that text.
pub(in crate::cli) fn checked(
    text: &str,
    keys: &[PathBuf],
    tag: Option<&str>,
    witnesses: &[PathBuf],
) -> Result<(Table, Exit), Failure> {
    let witnesses = witnesses.iter().map(|path| witness(path)).collect::<Result<Vec<_>, _>>()?;
    let keys = keys.iter().map(|path| key(path)).collect::<Result<Vec<_>, _>>()?;
    let mut table = Table::new(&["log", "position", "state", "time", "kind", "says"]);
    let mut row = |place: &str, state: &str, what: String| {
        table.row([place.into(), Value::Null, state.into(), Value::Null, Value::Null, what.into()]);
    };
    let proof = match Proof::from_text(text) {
        Ok(proof) => proof,
        Err(what) => {
            row("the proof", "finding", what);
            return Ok((table, Exit::Findings));
        }
    };
    let Checked { fingerprint, logs, faults, absent, broken_off } = check_witnessed(&proof, &keys, &witnesses);
    let mut is_sound = faults.is_empty() && absent.is_empty() && broken_off.is_empty();
    for fault in faults {
        row(&fault.place, "finding", fault.what);
    }
    for origin in absent {
        row(&origin, "absent", "its key was given, and the proof says nothing about this log".to_owned());
    }
    for BrokenOff { origin, next } in broken_off {
        row(&origin, "goes-on", goes_on(&next));
    }
    if let Some(expected) = tag.filter(|expected| *expected != fingerprint) {
        row("the proof", "finding", format!("it is about whoever has the tag key {fingerprint}, not {expected}"));
        is_sound = false;
    }
    for log in &logs {
        let says = all_of_it(&proof, log, &fingerprint);
        let state = match (is_sound, log.end, proof.period.until) {
            (false, ..) => "sound",
            (true, End::Checkpoint(_), Some(_)) => "to-checkpoint",
            (true, End::Checkpoint(_), None) | (true, End::Period | End::Log { .. }, _) => "complete",
        };
        let origin = Value::from(log.signed.origin.clone());
        table.row([origin.clone(), Value::Null, state.into(), Value::Null, Value::Null, says.into()]);
        for shown in &log.records {
            for record in shown.record.clone().unfold() {
                table.row([
                    origin.clone(),
                    shown.position.into(),
                    "shown".into(),
                    record.at.to_string().into(),
                    record.kind.word().into(),
                    said(shown, &record).into(),
                ]);
            }
        }
    }
    Ok((table, if is_sound { Exit::Done } else { Exit::Findings }))
}

fn all_of_it(proof: &Proof, log: &CheckedLog, fingerprint: &str) -> String {
    let since = proof.period.since.map_or("the beginning".to_owned(), |since| Timestamp(since).to_string());
    let (to, later) = match (log.end, proof.period.until) {
        (End::Period, until) => (format!("to {}", Timestamp(until.unwrap_or_default())), ""),
        (End::Checkpoint(last), _) => {
            let last = last.map_or("which has no leaf".to_owned(), |last| format!("whose last leaf is of {last}"));
            (format!("up to the end of the checkpoint given, {last}"), "; what was written after that is not in it")
        }
        (End::Log { at, .. }, _) => (format!("up to the end of the log, which goes on as another since {at}"), ""),
    };
    let earlier = log.earlier.map(|size| format!("; it begins with the {size} leaves that were signed earlier"));
    let cosigned = |by: &Cosigned| format!("; {} has seen its first {} leaves at {}", by.by, by.size, by.at);
    let cosigned: String = log.cosigned.iter().map(cosigned).collect();
    format!(
        "these are all {} records of {} (c{}, tag key {fingerprint}) from {since} {to}: positions {} to {} of {} leaves\
         {}{cosigned}{later}",
        log.records.len(),
        proof.customer.name,
        proof.customer.number,
        log.from,
        log.to,
        log.signed.size,
        earlier.unwrap_or_default()
    )
}

/// Of a log that goes on as one that is not in the proof.
pub(in crate::cli) fn goes_on(next: &Hash) -> String {
    let next: String = next.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("the log goes on as another log (its verifier key has the SHA-256 {next}): give its proof and key")
}

/// What a record says, in one line.
fn said(shown: &Shown, record: &Record) -> String {
    let (skeleton, values) = (&record.skeleton, &record.values);
    let text = values.text.as_ref().map(|text| String::from_utf8_lossy(text).into_owned());
    let words = [
        values.staff.clone(),
        skeleton.verb.clone(),
        skeleton.result.clone(),
        skeleton.tag.clone(),
        skeleton.sqlstate.clone(),
        text,
        values.message.clone(),
    ];
    let mut said = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    for part in &shown.still_sealed {
        said.push_str(&format!(" [the {part} stay sealed: their key was destroyed, or is not given]"));
    }
    said.trim().to_owned()
}

/// A key, and of which log it is if its file says so.
fn key(path: &Path) -> Result<Key, Failure> {
    let public = read_public_key(path)?;
    let text = std::fs::read_to_string(path)?;
    // A verifier key is `origin+id+key`.
    let origin = text.split_once('+').map(|(origin, _)| origin).filter(|origin| origin.starts_with("portreeve/"));
    Ok(Key { origin: origin.map(str::to_owned), public })
}

/// A witness's verifier key.
fn witness(path: &Path) -> Result<VerifierKey, Failure> {
    let text = std::fs::read_to_string(path)?;
    let key = VerifierKey::parse(&text).filter(|key| key.algorithm == Algorithm::CosignatureV1);
    key.ok_or_else(|| {
        Failure::usage(format!("{}: expected the verifier key of a witness, in one line", path.display()))
    })
}
