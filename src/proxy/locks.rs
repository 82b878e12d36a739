//! The narrowing locks in force in this proxy, and the file that keeps them over a restart.
//! Not here: what a lock shuts (`grant::Locks`), and the socket they come by (`proxy/control.rs`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::disk::Disk;
use crate::grant::{Lock, Locks, State};
use crate::ids::Sequence;

/// They name whom they shut out: not for other users to read.
const FILE_MODE: u32 = 0o640;

/// A lock file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("lock file {path}: {reason}; while it cannot be used nobody is let in")]
pub struct Error {
    /// The file.
    path: PathBuf,
    /// What is wrong.
    reason: String,
}

/// The locks and their file.
pub struct LockBook {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    current: RwLock<Arc<Locks>>,
    /// What the file says; none: after an error nobody knows. Held while it is rewritten, so that it and `current` agree.
    written: Mutex<Option<String>>,
}

impl LockBook {
    /// Reads the file in that folder; no file is no lock. What is read lasts from then on, though the proxy that wrote
    /// it was killed before it did.
    ///
    /// # Errors
    /// When the file is there and cannot be read or understood: it might say anything.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<LockBook, Error> {
        let path = folder.join("locks");
        let wrong = |reason: String| Error { path: path.clone(), reason };
        disk.settle(&path).map_err(|error| wrong(error.to_string()))?;
        let locks = match disk.read(&path) {
            Ok(bytes) => {
                let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
                Locks::from_text(text).map_err(|error| wrong(error.to_string()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Locks::default(),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let written = Mutex::new(Some(locks.to_text()));
        Ok(LockBook { disk, path, current: RwLock::new(Arc::new(locks)), written })
    }

    /// The locks in force.
    pub fn current(&self) -> Arc<Locks> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shuts at once, then makes it last. The lock is in force even where an error says that it would not survive a
    /// restart.
    pub fn place(&self, lock: Lock, since: Sequence) -> Result<(), Error> {
        self.change(|locks| locks.place(lock, since))
    }

    /// Lifts the locks that the register speaks for by now.
    pub fn lift_confirmed(&self, state: &State) -> Result<Vec<Lock>, Error> {
        if self.current().is_empty() {
            return Ok(Vec::new());
        }
        let mut lifted = Vec::new();
        self.change(|locks| lifted = locks.lift_confirmed(state))?;
        Ok(lifted)
    }

    fn change(&self, change: impl FnOnce(&mut Locks)) -> Result<(), Error> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let mut locks = Locks::clone(&self.current());
        change(&mut locks);
        let text = locks.to_text();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(locks);
        if written.as_ref() == Some(&text) {
            return Ok(());
        }
        *written = None;
        let replaced = self.disk.replace(&self.path, text.as_bytes(), FILE_MODE);
        replaced.map_err(|error| Error { path: self.path.clone(), reason: error.to_string() })?;
        *written = Some(text);
        Ok(())
    }
}

#[cfg(test)]
#[path = "locks_tests.rs"]
mod tests;
