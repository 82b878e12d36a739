//! A password for a child process: a file of mode 0600 in a directory of mode 0700, gone when the child is.
//! Not here: arguments and environment, where every process of the user could read it.
//! PostgreSQL's documentation, "The Password File".

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::Error;
use crate::entropy::{Entropy, OsEntropy, random};
use crate::secret::Secret;

/// A directory that only we can look into; removed when dropped.
pub(super) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// A new one below `above`, which a restart empties (systemd's `RuntimeDirectory=`).
    pub(super) fn create(above: &Path) -> Result<PrivateDirectory, Error> {
        let entropy: &dyn Entropy = &OsEntropy;
        let path = above.join(format!("portreeve-snapshot-{:016x}", u64::from_le_bytes(random(entropy))));
        DirBuilder::new().mode(0o700).create(&path).map_err(Error::storage("create", &path))?;
        Ok(PrivateDirectory(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes the password file; its path.
    pub(super) fn keep(&self, password: &Secret<String>) -> Result<PathBuf, Error> {
        let line = line(password)?;
        let path = self.0.join("passfile");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Error::storage("write", &path))?;
        Ok(path)
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(dir = %self.0.display(), %error, "a password's directory stays behind");
        }
    }
}

/// `*:*:*:*:` and the password, its colons and backslashes escaped.
fn line(password: &Secret<String>) -> Result<Zeroizing<String>, Error> {
    if password.expose().contains(['\n', '\r', '\0']) {
        let refused = "the snapshot role's password has a line break, which a password file cannot hold";
        return Err(Error::Refused(refused.to_owned()));
    }
    let mut line = Zeroizing::new(String::with_capacity(2 * password.expose().len() + 10));
    line.push_str("*:*:*:*:");
    for letter in password.expose().chars() {
        if matches!(letter, ':' | '\\') {
            line.push('\\');
        }
        line.push(letter);
    }
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
#[path = "private_tests.rs"]
mod tests;
