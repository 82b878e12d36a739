//! The secrets that the configuration names, and what is said when one cannot be used.
//! Not here: what the secrets are for, and who may have which right to such a file (`disk/secret_file.rs`).

use std::path::Path;

use super::error::Error;
pub(super) use crate::disk::secret_file::credentials_directory;
use crate::disk::secret_file::{self, Fault};
use crate::secret::Secret;

/// No secret of ours is larger, in bytes.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// Reads a secret file whole.
///
/// # Errors
/// [`Error::SecretUnreadable`], [`Error::SecretExposed`] if group or world have any right to it,
/// [`Error::SecretUnusable`] if it is empty, larger than 1 MiB or no regular file.
pub fn read_secret(path: &Path) -> Result<Secret<Vec<u8>>, Error> {
    let file = path.to_owned();
    let unusable = |problem: &str| Error::SecretUnusable { file: path.to_owned(), problem: problem.to_owned() };
    match secret_file::read_secret(path, SECRET_BYTES_MAX) {
        Ok(bytes) if bytes.expose().is_empty() => Err(unusable("is empty")),
        Ok(bytes) => Ok(bytes),
        Err(Fault::Unreadable(source)) => Err(Error::SecretUnreadable { file, source }),
        Err(Fault::Exposed(mode)) => Err(Error::SecretExposed { file, mode }),
        Err(Fault::NotAFile) => Err(unusable("is not a regular file")),
        Err(Fault::TooLarge) => Err(unusable("is larger than any secret")),
    }
}

/// Reads a secret file that holds one line of text, without the line's end.
///
/// # Errors
/// As [`read_secret`], and [`Error::SecretUnusable`] if it is not one line of UTF-8.
pub fn read_secret_line(path: &Path) -> Result<Secret<String>, Error> {
    let unusable = |problem: &str| Error::SecretUnusable { file: path.to_owned(), problem: problem.to_owned() };
    let bytes = read_secret(path)?;
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| unusable("is not UTF-8 text"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains(['\n', '\r', '\0']) {
        return Err(unusable("must hold exactly one line of text"));
    }
    Ok(Secret::new(line.to_owned()))
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
