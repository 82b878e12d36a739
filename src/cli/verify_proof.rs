//! `portreeve verify-proof`: checks a certificate of erasure, or a proof of a customer's records, from its file and public
//! keys, without a network and without a configuration; of a certificate it makes the page that people read.
//! Not here: what is checked (`retention::certificate`, with CERTIFICATE.md; `audit::proof`, with FORMAT.md).

mod records;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(super) use self::records::{checked as of_records, goes_on};
use super::{Exit, Failure, Format, Table, show};
use crate::audit::proof::Proof;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::disk::new_file::NewFile;
use crate::keyring::init::read_public_key;
use crate::retention::certificate::{Part, Verdict, key_id, page, verify};

/// The largest file that is read or made, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 256 << 20;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The certificate, or the proof (JSON).
    pub file: PathBuf,
    /// The public key it must be signed with: one line of base64, or a verifier key (log-keys/retention-….vkey). Of a
    /// proof, the key of each log that it must be about: one that it leaves out is a finding.
    #[arg(long, value_name = "PATH", required = true)]
    pub key: Vec<PathBuf>,
    /// The fingerprint of the tag key that a proof must be about, as an earlier proof or the vendor told it.
    #[arg(long, value_name = "FINGERPRINT")]
    pub tag: Option<String>,
    /// The verifier key of a witness that must have cosigned a checkpoint of every log in a proof. Can be given several
    /// times.
    #[arg(long, value_name = "PATH")]
    pub witness: Vec<PathBuf>,
    /// Write the certificate as a page for people (HTML, prints on A4) to a new file, too.
    #[arg(long, value_name = "PATH")]
    pub page: Option<PathBuf>,
}

/// Checks it; findings end with exit code 4.
///
/// # Errors
/// If a file cannot be read or written.
pub fn run(arguments: &Arguments, format: Format) -> Result<Exit, Failure> {
    let text = read(&arguments.file)?;
    if Proof::is_one(&text) {
        if arguments.page.is_some() {
            return Err(Failure::usage("--page makes a page of a certificate, and this is a proof of records"));
        }
        let (table, exit) = of_records(&text, &arguments.key, arguments.tag.as_deref(), &arguments.witness)?;
        show(&table, format)?;
        return Ok(exit);
    }
    let (key, None) = (one_key(&arguments.key)?, &arguments.tag) else {
        return Err(Failure::usage("--tag is for proofs of records, and this is a certificate"));
    };
    if !arguments.witness.is_empty() {
        return Err(Failure::usage("--witness is for proofs of records, and this is a certificate"));
    }
    let public = read_public_key(key)?;
    let verdict = verify(&text, &public, SystemClock.now());
    if let Some(path) = &arguments.page {
        keep(path, &page(&verdict, &key_id(&public)).into_string())?;
    }
    show(&told(&verdict), format)?;
    Ok(if verdict.findings.is_empty() { Exit::Done } else { Exit::Findings })
}

fn one_key(keys: &[PathBuf]) -> Result<&PathBuf, Failure> {
    match keys {
        [key] => Ok(key),
        _ => Err(Failure::usage("a certificate is signed with one key: give --key once")),
    }
}

/// A new file, there wholly or not at all.
fn keep(path: &Path, page: &str) -> Result<(), Failure> {
    let written = NewFile::begin(path).and_then(|mut file| {
        file.write_all(page.as_bytes())?;
        file.finish()
    });
    written.map_err(|fault| match fault.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!(
            "{} is there already, and nothing is overwritten: give another name to --page",
            path.display()
        )),
        _ => Failure::failed(format!("cannot write {}: {fault}", path.display())),
    })
}

/// What is not UTF-8 is read all the same: it is a finding, not a failure.
fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |fault: io::Error| Failure::failed(format!("cannot read {}: {fault}", path.display()));
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if u64::try_from(read).is_ok_and(|read| read > FILE_BYTES_MAX) {
        return Err(Failure::failed(format!("{} is larger than any certificate or proof", path.display())));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A row for each part and each finding.
fn told(verdict: &Verdict) -> Table {
    let mut table = Table::new(&["part", "state", "signed", "customer", "says"]);
    for shown in &verdict.parts {
        let body = &shown.body;
        table.row([
            format!("{} {}", body.number, body.part).into(),
            if shown.is_sound { "ok" } else { "unsound" }.into(),
            body.issued.0.to_string().into(),
            body.customer.clone().into(),
            format!("certificate {}, register #{}", verdict.id, body.ledger.sequence).into(),
        ]);
    }
    for finding in &verdict.findings {
        table.row([Value::Null, "finding".into(), Value::Null, Value::Null, finding.to_string().into()]);
    }
    let follows = |(part, due): (Part, Timestamp)| format!("part {} ({part}) follows by {due}", part.number());
    if let Some(next) = verdict.next() {
        table.row([Value::Null, "next".into(), Value::Null, Value::Null, follows((next.0, next.1.0)).into()]);
    }
    table
}

#[cfg(test)]
#[path = "verify_proof_tests.rs"]
mod tests;
