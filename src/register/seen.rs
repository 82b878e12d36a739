//! What a role last saw of the register: a small file of its own, so that an old register cannot come back unnoticed.
//! Not here: comparing more than the last event; the hash chain does that.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rusqlite::Connection;

use super::error::Error;
use super::sqlite::read_from;
use crate::grant::State;
use crate::ids::Sequence;

/// A place in the register and the hash of the event there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) sequence: Sequence,
    pub(super) hash: [u8; 32],
}

impl Seen {
    pub(super) fn of(state: &State) -> Seen {
        Seen { sequence: state.sequence(), hash: state.head() }
    }

    /// Reads the file; none: this role starts for the first time.
    pub(super) fn read(path: &Path) -> Result<Option<Seen>, Error> {
        match fs::read_to_string(path) {
            Ok(text) => Seen::parse(&text).map(Some).ok_or_else(|| Error::SeenUnreadable(path.to_owned())),
            Err(none) if none.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(Error::file("read", path)(fault)),
        }
    }

    fn parse(text: &str) -> Option<Seen> {
        let (sequence, hash) = text.strip_suffix('\n')?.split_once(' ')?;
        let sequence = Sequence(sequence.parse().ok()?);
        let mut bytes = [0; 32];
        if hash.len() != 64 || !hash.is_ascii() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Seen { sequence, hash: bytes })
    }

    fn to_text(self) -> String {
        let hash: String = self.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {hash}\n", self.sequence.0)
    }

    /// Replaces the file so that either the old or the new text survives power loss, never a mixture.
    pub(super) fn write(self, path: &Path) -> Result<(), Error> {
        let fault = |doing| Error::file(doing, path);
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(Error::file("make", directory))?;
        let new = path.with_extension("new");
        let mut file = File::create(&new).map_err(Error::file("write", &new))?;
        file.write_all(self.to_text().as_bytes()).and_then(|()| file.sync_all()).map_err(Error::file("write", &new))?;
        fs::rename(&new, path).map_err(fault("write"))?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(fault("write"))
    }
}

/// Holds the register against what this role saw last.
pub(super) fn check_seen(connection: &Connection, state: &State, path: &Path, seen_path: &Path) -> Result<(), Error> {
    let Some(seen) = Seen::read(seen_path)? else { return Ok(()) };
    let (path, seen_path) = (path.to_owned(), seen_path.to_owned());
    if state.sequence() < seen.sequence {
        return Err(Error::RolledBack { path, seen_path, found: state.sequence(), seen: seen.sequence });
    }
    if seen.sequence.0 == 0 {
        return Ok(());
    }
    let there = read_from(connection, seen.sequence).map_err(Error::sqlite("read", &path))?;
    match there.first() {
        Some(stored) if stored.hash == seen.hash => Ok(()),
        Some(_) | None => Err(Error::Different { path, seen_path, sequence: seen.sequence }),
    }
}
