//! Where the public keys of logs are pinned, and which log a writer writes: after its key was changed, another.
//! Not here: changing it (`portreeve keys rotate log`).
//! The first log of a writer is called as the writer, the next ones `<writer>.2`, `<writer>.3` and so on.

use std::path::{Path, PathBuf};

use super::Error;
use super::file::{is_there, storage};
use super::init::read_public_key;
use crate::disk::{Disk, RealDisk};
use crate::log::{
    self,
    vouched::{Vouched, vouched},
};

/// Where the public key of the log of that name is pinned: `log-keys/<name>.vkey` beside the keyring's public key, so
/// that who can write the logs cannot exchange it. A log of another machine is added by copying its file there.
pub fn log_key(keyring_public: &Path, name: &str) -> PathBuf {
    keyring_public.with_file_name("log-keys").join(format!("{name}.vkey"))
}

/// The names of all logs of that writer whose keys are pinned, oldest first; its own name where none is.
///
/// # Errors
/// [`Error::Storage`].
pub fn log_names(keyring_public: &Path, writer: &str) -> Result<Vec<String>, Error> {
    log_names_on(&RealDisk, keyring_public, writer)
}

/// The same, on that disk.
pub(super) fn log_names_on(disk: &dyn Disk, keyring_public: &Path, writer: &str) -> Result<Vec<String>, Error> {
    let mut names = vec![writer.to_owned()];
    for number in 2_u64.. {
        let name = format!("{writer}.{number}");
        if !is_there(disk, &log_key(keyring_public, &name))? {
            break;
        }
        names.push(name);
    }
    Ok(names)
}

/// The names of all logs whose keys are pinned, in order.
///
/// # Errors
/// [`Error::Storage`] if their folder cannot be listed.
pub fn names(keyring_public: &Path) -> Result<Vec<String>, Error> {
    let folder = keyring_public.with_file_name("log-keys");
    let failed = |source| storage("list", &folder, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".vkey")).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

/// The name of the log that the writer with this key writes: the one for which that key is pinned; the writer's own
/// where none is.
///
/// # Errors
/// [`Error::Storage`], [`Error::Damaged`] of a pinned key that is none.
pub fn log_name(keyring_public: &Path, writer: &str, public: &[u8; 32]) -> Result<String, Error> {
    // Before the first rotation there is nothing to look for: the log itself refuses a key that is not its own.
    let names = log_names(keyring_public, writer)?;
    for name in names.into_iter().skip(1).rev() {
        if read_public_key(&log_key(keyring_public, &name))? == *public {
            return Ok(name);
        }
    }
    Ok(writer.to_owned())
}

/// The logs in the audit directory that their pinned keys vouch for: what readers read.
///
/// # Errors
/// [`log::Error::Storage`] if it cannot be listed.
pub fn logs(audit: &Path, keyring_public: &Path) -> Result<Vouched, log::Error> {
    vouched(audit, |name| match read_public_key(&log_key(keyring_public, name)) {
        Ok(public) => Ok(Some(public)),
        Err(Error::Missing { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    })
}

#[cfg(test)]
#[path = "pinned_tests.rs"]
mod tests;
