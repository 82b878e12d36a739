//! Who leads where two daemons run: a held lock, and a number that grows with each leader.
//! Not here: a file system whose locks lie; there the number alone is left, checked just before each act, not with it.
//! flock(2) through the disk's seam.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::Error;
use super::store::{FENCE, LEASE, Store};
use crate::disk::{Disk, Lock};

/// The lead over a store, for as long as it lives; given up when dropped or when the process ends.
pub struct Lease {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    token: u64,
    _lock: Box<dyn Lock>,
}

impl Lease {
    /// Takes the lead. Every number is larger than all before it.
    pub(super) fn take(store: &Store) -> Result<Lease, Error> {
        store.check_mark()?;
        let (disk, dir) = (store.disk(), store.dir());
        let path = dir.join(LEASE);
        let lock = disk.lock(&path).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => Error::Led(dir.to_owned()),
            _ => Error::storage("lock", &path)(error),
        })?;
        let mut lease = Lease { disk: Arc::clone(disk), dir: dir.to_owned(), token: 0, _lock: lock };
        lease.token = lease.last()? + 1;
        let fence = dir.join(FENCE);
        disk.replace(&fence, lease.token.to_string().as_bytes(), 0o640).map_err(Error::storage("write", &fence))?;
        Ok(lease)
    }

    /// Its number.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether it is still the last one: asked before each act that counts.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another daemon has led since; [`Error::Storage`].
    pub fn check(&self) -> Result<(), Error> {
        let theirs = self.last()?;
        if theirs == self.token { Ok(()) } else { Err(Error::Fenced { ours: self.token, theirs }) }
    }

    fn last(&self) -> Result<u64, Error> {
        let path = self.dir.join(FENCE);
        let bytes = match self.disk.read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            read => read.map_err(Error::storage("read", &path))?,
        };
        std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
            Error::Refused(format!(
                "{} does not hold a number; write one into it that is larger than any \"token\" of a snapshot",
                path.display()
            ))
        })
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lease({})", self.token)
    }
}
