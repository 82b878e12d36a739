//! What came back from witnesses, kept beside the logs so that proofs can carry it; and notes that people hand over.
//! Not here: what it proves; whoever can write the logs can write these, too.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::audit::note::checkpoints_in;
use crate::disk::{Disk, RealDisk};

/// The folder in the audit directory.
const WITNESSED: &str = "witnessed";

/// A file with notes is no larger, in bytes.
const NOTES_BYTES_MAX: u64 = 1 << 30;

/// The last cosigned checkpoints that are kept of that writer's log, by the names of their witnesses.
///
/// # Errors
/// If a file cannot be read.
pub fn kept(audit: &Path, writer: &str) -> std::io::Result<Vec<(String, String)>> {
    let entries = match fs::read_dir(audit.join(WITNESSED)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut notes = Vec::new();
    for entry in entries {
        let dir = entry?.path();
        match fs::read_to_string(dir.join(writer)) {
            Ok(note) => notes.push((dir.file_name().unwrap_or_default().to_string_lossy().into_owned(), note)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    notes.sort_unstable();
    Ok(notes)
}

/// The last checkpoint of that log that came back from that witness.
pub(super) fn kept_of(audit: &Path, witness: &str, writer: &str) -> Option<String> {
    fs::read_to_string(path(audit, witness, writer)).ok()
}

/// Keeps the last checkpoint that came back.
pub(super) fn keep(audit: &Path, witness: &str, writer: &str, note: &str) -> std::io::Result<()> {
    let path = path(audit, witness, writer);
    RealDisk.make_directory(path.parent().unwrap_or(audit))?;
    RealDisk.replace(&path, note.as_bytes(), 0o640)
}

fn path(audit: &Path, witness: &str, writer: &str) -> PathBuf {
    audit.join(WITNESSED).join(witness).join(writer)
}

/// All notes in a file, or in the files of a folder (not of those below it), each with its file.
///
/// # Errors
/// If one cannot be read.
pub fn notes_in(path: &Path) -> std::io::Result<Vec<(PathBuf, String)>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        files.retain(|file| file.is_file());
        files.sort_unstable();
    }
    let mut notes = Vec::new();
    for file in files {
        if fs::metadata(&file)?.len() > NOTES_BYTES_MAX {
            return Err(std::io::Error::other(format!("{} is larger than any file of notes", file.display())));
        }
        let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        notes.extend(checkpoints_in(&text).into_iter().map(|note| (file.clone(), note)));
    }
    Ok(notes)
}
