//! Invitations as they leave this machine: a random code, a link that holds it, and the file for the vendor's mailer.
//! Not here: the register's half of it (`grant/invitation.rs`). Portreeve sends no mail; the file is the only place where
//! the codes stand.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Failure, csv};
use crate::clock::Timestamp;
use crate::entropy::{OsEntropy, random};
use crate::secret::Secret;

/// A code that nobody has seen yet.
pub(super) struct Code {
    text: Secret<String>,
    /// What the register keeps of it.
    pub(super) digest: [u8; 32],
}

impl Code {
    /// 256 random bits.
    pub(super) fn new() -> Code {
        let text = Secret::new(URL_SAFE_NO_PAD.encode(Secret::new(random::<32>(&OsEntropy)).expose()));
        let digest = digest::digest(&digest::SHA256, text.expose().as_bytes());
        Code { text, digest: digest.as_ref().try_into().expect("SHA-256 has 32 bytes") }
    }

    /// The page where it is accepted.
    fn link(&self, public_url: &str) -> Secret<String> {
        Secret::new(format!("{}/invitation?code={}", public_url.trim_end_matches('/'), self.text.expose()))
    }
}

/// Whom an invitation is for, as the mailer needs it.
pub(super) struct Invited<'a> {
    pub(super) customer: &'a str,
    pub(super) display: Option<&'a str>,
    pub(super) owner: &'a str,
    pub(super) ends: Timestamp,
    pub(super) code: &'a Code,
}

/// A new file of mode 0600 with a line per invitation.
pub(super) struct Letters {
    file: File,
    path: PathBuf,
}

impl Letters {
    /// Makes the file, which must not be there.
    ///
    /// # Errors
    /// If it is there, or cannot be made.
    pub(super) fn begin(path: &Path) -> Result<Letters, Failure> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = opened.map_err(|fault| match fault.kind() {
            io::ErrorKind::AlreadyExists => Failure::usage(format!(
                "{} is there already, perhaps with invitations that were not sent yet: name another file",
                path.display()
            )),
            _ => Failure::failed(format!("cannot write the invitations to {}: {fault}", path.display())),
        })?;
        let mut letters = Letters { file, path: path.to_owned() };
        let head = ["customer", "display_name", "owner", "link", "ends"];
        let mut line = Vec::new();
        csv::line(&mut line, head.into_iter().map(Into::into))?;
        letters.write(&line)?;
        let directory = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
        Ok(letters)
    }

    /// Adds lines, on the disk when this is over: an invitation that the register has and nobody knows the code of could
    /// only be made anew.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn add(&mut self, all: &[Invited<'_>], public_url: &str) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for Invited { customer, display, owner, ends, code } in all {
            let link = code.link(public_url);
            let cells = [
                (*customer).into(),
                (*display).into(),
                (*owner).into(),
                link.expose().as_str().into(),
                super::context::moment(*ends),
            ];
            csv::line(&mut lines, cells.into_iter())?;
        }
        let lines = Secret::new(lines);
        self.write(lines.expose())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        written.map_err(|fault| Failure::failed(format!("cannot write to {}: {fault}", self.path.display())))
    }

    /// Removes the file again: what stands in it belongs to nobody.
    pub(super) fn remove(self) -> Result<(), Failure> {
        Ok(std::fs::remove_file(&self.path)?)
    }
}

#[cfg(test)]
#[path = "invitations_tests.rs"]
mod tests;
