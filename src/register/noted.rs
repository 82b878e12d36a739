//! Intents of a writer that cannot open its own records: each is noted in a small file until its outcome is recorded,
//! so that whoever starts after a crash can say what became of it.
//! Not here: saying it ([`super::Acts::resolve_open_intents`]). The files hold ids and numbers, nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use super::act::OpenIntent;
use super::error::Error;
use super::resolve::event_id;
use crate::disk::Disk;
use crate::ids::{CustomerId, EventId, Sequence};

/// Not for other users to read.
const FILE_MODE: u32 = 0o600;

/// A folder with a file for each intent that is open.
#[derive(Clone)]
pub struct Noted {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl Noted {
    /// Uses that folder, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(disk: Arc<dyn Disk>, folder: PathBuf) -> Result<Noted, Error> {
        disk.make_directory(&folder).map_err(Error::file("make", &folder))?;
        Ok(Noted { disk, folder })
    }

    /// What is noted: intents that a process which died left open.
    ///
    /// # Errors
    /// If the folder or a file of it cannot be read, or a file says something else.
    pub fn left(&self) -> Result<Vec<OpenIntent>, Error> {
        let names = self.disk.names(&self.folder).map_err(Error::file("list", &self.folder))?;
        // A name that is no event's is what a crash left of a file that never got its own.
        names.iter().filter_map(|name| event_id(name)).map(|event| self.read(event)).collect()
    }

    fn read(&self, event: EventId) -> Result<OpenIntent, Error> {
        let path = self.path(event);
        let bytes = self.disk.read(&path).map_err(Error::file("read", &path))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut words = text.split_whitespace();
        let expected = words.next().and_then(|word| word.parse().ok()).map(Sequence);
        let customer = words.next().map(str::parse::<CustomerId>).transpose().ok();
        match (expected, customer) {
            (Some(expected), Some(customer)) => Ok(OpenIntent { event, expected, customer }),
            (Some(_) | None, Some(_) | None) => {
                let kind = std::io::ErrorKind::InvalidData;
                let said = std::io::Error::new(kind, "it does not hold a sequence and a customer such as \"41 c7\"");
                Err(Error::file("understand", &path)(said))
            }
        }
    }

    /// Notes an intent, durably.
    pub(super) async fn note(&self, intent: OpenIntent) -> Result<(), Error> {
        let OpenIntent { event, expected, customer } = intent;
        let customer = customer.map(|customer| format!(" {customer}")).unwrap_or_default();
        let (path, text) = (self.path(event), format!("{}{customer}\n", expected.0));
        let disk = Arc::clone(&self.disk);
        let written = tokio::task::spawn_blocking(move || {
            disk.replace(&path, text.as_bytes(), FILE_MODE).map_err(Error::file("write", &path))
        });
        written.await.map_err(|_| Error::Bug("a task that writes a note panicked"))?
    }

    /// Forgets an intent of which it is recorded what became.
    ///
    /// # Errors
    /// If its file cannot be removed; then it is only looked at once more.
    pub async fn forget(&self, event: EventId) -> Result<(), Error> {
        let (path, disk) = (self.path(event), Arc::clone(&self.disk));
        let removed = tokio::task::spawn_blocking(move || disk.remove(&path).map_err(Error::file("remove", &path)));
        removed.await.map_err(|_| Error::Bug("a task that removes a note panicked"))?
    }

    fn path(&self, event: EventId) -> PathBuf {
        self.folder.join(event.to_string())
    }
}

#[cfg(test)]
#[path = "noted_tests.rs"]
mod tests;
