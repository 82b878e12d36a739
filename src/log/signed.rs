//! The checkpoint of a log for who verifies it: signed by its key, or a finding.
//! Not here: whether the log is what it was signed for (`verify.rs`).

use std::path::Path;

use super::Error;
use super::upkeep::CHECKPOINT;
use super::verdict::{Finding, Verdict};
use crate::audit::checkpoint::{self, Checkpoint};
use crate::disk::Disk;

/// The checkpoint, if that key signed it; else why it is none.
pub fn read_checkpoint(
    disk: &dyn Disk,
    dir: &Path,
    public: &[u8; 32],
    findings: &mut Vec<Finding>,
) -> Result<Option<Checkpoint>, Error> {
    let path = dir.join(CHECKPOINT);
    let mut find = |verdict, detail: &str| {
        findings.push(Finding { verdict, place: CHECKPOINT.to_owned(), detail: detail.to_owned() });
    };
    let note = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            find(Verdict::Missing, "there is no checkpoint");
            return Ok(None);
        }
        Err(error) => return Err(Error::storage("read", &path, &error)),
    };
    let note = String::from_utf8(note).unwrap_or_default();
    let origin = Checkpoint::claimed_origin(&note).unwrap_or_default();
    match Checkpoint::open(&note, origin, public) {
        Ok(checkpoint) => return Ok(Some(checkpoint)),
        Err(error @ checkpoint::Error::WrongKey { .. }) => find(Verdict::WrongKey, &error.to_string()),
        Err(error @ checkpoint::Error::Changed(_)) => find(Verdict::Forked, &error.to_string()),
    }
    Ok(None)
}
