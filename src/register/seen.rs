//! What a role last saw of the register: a small file of its own, so that an old register cannot come back unnoticed.
//! Not here: comparing more than the last event; the hash chain does that.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::at::Place;
use super::engine::Engine;
use super::error::Error;
use crate::disk::{Disk, RealDisk};
use crate::grant::State;
use crate::ids::Sequence;

/// It names nobody.
const FILE_MODE: u32 = 0o644;

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

    /// Reads the file; none: this role starts for the first time. What is read lasts from then on, though the process
    /// that wrote it was killed before it did.
    pub(super) fn read(path: &Path) -> Result<Option<Seen>, Error> {
        Seen::read_on(&RealDisk, path)
    }

    fn read_on(disk: &dyn Disk, path: &Path) -> Result<Option<Seen>, Error> {
        disk.settle(path).map_err(Error::file("sync the directory of", path))?;
        match disk.read(path) {
            Ok(bytes) => {
                let seen = std::str::from_utf8(&bytes).ok().and_then(Seen::parse);
                seen.map(Some).ok_or_else(|| Error::SeenUnreadable(path.to_owned()))
            }
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
        self.write_on(&RealDisk, path)
    }

    /// Notes it, unless the file says as much by now, or more: several processes may have one role at a time, such as
    /// commands, and the one that saw the most has the last word.
    pub(super) fn note(self, path: &Path) -> Result<(), Error> {
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        RealDisk.make_directory(directory).map_err(Error::file("make", directory))?;
        let locked = File::open(directory).and_then(|directory| directory.lock().map(|()| directory));
        let _others_wait = locked.map_err(Error::file("lock", directory))?;
        match Seen::read(path)? {
            Some(there) if there.sequence >= self.sequence => Ok(()),
            Some(_) | None => self.write(path),
        }
    }

    fn write_on(self, disk: &dyn Disk, path: &Path) -> Result<(), Error> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            disk.make_directory(directory).map_err(Error::file("make", directory))?;
        }
        disk.replace(path, self.to_text().as_bytes(), FILE_MODE).map_err(Error::file("write", path))
    }
}

/// Holds the register against what this role saw last. That must have been read before the state was: another process of
/// the role may since have appended something, and noted that.
pub(super) fn check_seen(
    engine: &mut dyn Engine,
    state: &State,
    place: &Place,
    (seen, seen_path): (Option<Seen>, &Path),
) -> Result<(), Error> {
    let Some(seen) = seen else { return Ok(()) };
    let (place, seen_path) = (place.clone(), seen_path.to_owned());
    if state.sequence() < seen.sequence {
        return Err(Error::RolledBack { place, seen_path, found: state.sequence(), seen: seen.sequence });
    }
    if seen.sequence.0 == 0 {
        return Ok(());
    }
    let mut is_same = false;
    engine.read(seen.sequence, &mut |stored| {
        is_same = stored.sequence == seen.sequence && stored.hash == seen.hash;
        ControlFlow::Break(())
    })?;
    if is_same { Ok(()) } else { Err(Error::Different { place, seen_path, sequence: seen.sequence }) }
}

#[cfg(test)]
#[path = "seen_tests.rs"]
mod tests;
