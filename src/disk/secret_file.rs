//! Files that hold secrets: read only if nobody else could have.
//! Not here: what the secrets are for, and what the user is told (`config/secrets.rs`, `keyring/file.rs`).
//! Below `$CREDENTIALS_DIRECTORY` systemd guards them, with an access list that shows as mode 0440.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::secret::Secret;

/// Why a file is not taken for a secret.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be opened or read.
    Unreadable(io::Error),
    /// It is a directory, a socket, …
    NotAFile,
    /// Others have a right to it: its mode.
    Exposed(u32),
    /// It is larger than it may be.
    TooLarge,
}

/// The directory in which systemd hands credentials to the unit that runs us, if it does.
pub fn credentials_directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// Reads a secret file whole: a regular file of at most `bytes_max` bytes to which neither group nor others have any
/// right; a credential of systemd's may be read by the group.
///
/// # Errors
/// Any [`Fault`].
pub fn read_secret(path: &Path, bytes_max: u64) -> Result<Secret<Vec<u8>>, Fault> {
    read(path, bytes_max, credentials_directory().as_deref())
}

fn read(path: &Path, bytes_max: u64, credentials: Option<&Path>) -> Result<Secret<Vec<u8>>, Fault> {
    let file = File::open(path).map_err(Fault::Unreadable)?;
    let about = file.metadata().map_err(Fault::Unreadable)?;
    let mode = about.mode() & 0o7777;
    if !about.is_file() {
        return Err(Fault::NotAFile);
    }
    let climbs = path.components().any(|part| part == Component::ParentDir);
    let handed_over = !climbs && credentials.is_some_and(|directory| path.starts_with(directory));
    if mode & if handed_over { 0o037 } else { 0o077 } != 0 {
        return Err(Fault::Exposed(mode));
    }
    if about.len() > bytes_max {
        return Err(Fault::TooLarge);
    }
    // As large as it can get: a buffer that grows leaves copies behind.
    let room = usize::try_from(about.len()).unwrap_or(0).saturating_add(1);
    let mut bytes = Vec::with_capacity(room);
    let read = file.take(bytes_max).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    read.map_err(Fault::Unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "secret_file_tests.rs"]
mod tests;
