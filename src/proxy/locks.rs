//! The narrowing locks in force in this proxy, and the file that keeps them over a restart.
//! Not here: what a lock shuts (`grant::Locks`), and the socket they come by (`proxy/control.rs`).

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::grant::{Lock, Locks, State};
use crate::ids::Sequence;

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
#[derive(Debug)]
pub struct LockBook {
    path: PathBuf,
    current: RwLock<Arc<Locks>>,
    /// Held while the file is rewritten, so that the file and `current` agree.
    writing: Mutex<()>,
}

impl LockBook {
    /// Reads the file in that folder; no file is no lock.
    ///
    /// # Errors
    /// When the file is there and cannot be read or understood: it might say anything.
    pub fn open(folder: &Path) -> Result<LockBook, Error> {
        let path = folder.join("locks");
        let wrong = |reason: String| Error { path: path.clone(), reason };
        let locks = match std::fs::read_to_string(&path) {
            Ok(text) => Locks::from_text(&text).map_err(|error| wrong(error.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Locks::default(),
            Err(error) => return Err(wrong(error.to_string())),
        };
        Ok(LockBook { path, current: RwLock::new(Arc::new(locks)), writing: Mutex::default() })
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
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut locks = Locks::clone(&self.current());
        let before = locks.to_text();
        change(&mut locks);
        let text = locks.to_text();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(locks);
        let written = if text == before { Ok(()) } else { self.write(&text) };
        drop(writing);
        written.map_err(|error| Error { path: self.path.clone(), reason: error.to_string() })
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let renewed = self.path.with_extension("new");
        let mut file = std::fs::File::create(&renewed)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&renewed, &self.path)?;
        std::fs::File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}
