//! The listed copies of a keyring: written after it, and looked at before that, for one may show that an old keyring was
//! brought back, and may then hold the only keys to what was recorded since.
//! Not here: what a copy is worth to an operator (`cli/keys/doctor.rs`).

use std::io;
use std::path::{Path, PathBuf};

use super::{Store, generation, sealed};
use crate::entropy::Entropy;
use crate::keyring::sealed::Header;
use crate::keyring::{Error, Keyring};

/// What is where a copy belongs, as far as it says whether it may be written over.
enum Standing {
    /// Nothing; or one of no later generation.
    Behind,
    /// One of that later generation.
    Ahead(u64),
    /// What no keyring file begins with: nothing in it opens.
    Damaged,
    /// It cannot be told.
    Unknown(String),
}

impl Store {
    /// Keeps these copies as well. One that is of a later generation than the keyring shows that an old keyring was
    /// brought back: nothing is opened then. One that cannot be read shows nothing; it is not written over.
    ///
    /// # Errors
    /// [`Error::OldKeyring`].
    pub fn keep_copies(&mut self, copies: Vec<PathBuf>) -> Result<(), Error> {
        for copy in &copies {
            match self.standing(copy) {
                Standing::Behind => {}
                Standing::Ahead(newest) => {
                    let (path, found) = (self.path.clone(), self.current.number);
                    return Err(Error::OldKeyring { path, found, newest });
                }
                Standing::Damaged => {
                    let copy = copy.display();
                    tracing::warn!(%copy, "a copy of the keyring is damaged and opens with nothing; it is written anew");
                }
                Standing::Unknown(why) => tracing::error!(
                    alarm = "keys",
                    "whether an old keyring was brought back is not known from its copy {}: {why}",
                    copy.display()
                ),
            }
        }
        self.behind = copies.iter().cloned().collect();
        self.copies = copies;
        Ok(())
    }

    /// Copies that do not hold what the keyring holds.
    pub fn behind(&self) -> impl Iterator<Item = &Path> {
        self.behind.iter().map(PathBuf::as_path)
    }

    /// Copies that do.
    pub fn written(&self) -> impl Iterator<Item = &Path> {
        self.copies.iter().map(PathBuf::as_path).filter(|copy| !self.behind.contains(*copy))
    }

    /// Brings every copy up to date; one that cannot be is behind until it can.
    pub(super) fn copy(&mut self, keyring: &Keyring, entropy: &dyn Entropy) -> Result<(), Error> {
        if self.copies.is_empty() {
            return Ok(());
        }
        let sealed = self.seal(keyring, entropy)?;
        let secrets = generation::encode(&[&self.current]);
        for copy in self.copies.clone() {
            let written = match self.standing(&copy) {
                // The secret first: should power fail in between, the old copy does not open any more.
                Standing::Behind | Standing::Damaged => self
                    .replace(&generation::path_of(&copy), &secrets)
                    .and_then(|()| self.replace(&copy, &sealed))
                    .map_err(|error| error.to_string()),
                Standing::Ahead(newest) => Err(format!(
                    "it is of generation {newest}, and the keyring of {}: an old keyring was brought back, and the copy is \
                     left as it is; stop the keyring and bring back this copy with its .generation file",
                    self.current.number
                )),
                Standing::Unknown(why) => Err(format!("it is left as it is, for it may be the newer one: {why}")),
            };
            match written {
                Ok(()) => self.behind.remove(&copy),
                Err(why) => {
                    tracing::error!(alarm = "keys", "the copy {} of the keyring is behind: {why}", copy.display());
                    self.behind.insert(copy)
                }
            };
        }
        Ok(())
    }

    fn standing(&self, copy: &Path) -> Standing {
        let bytes = match self.disk.read(copy) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Standing::Behind,
            Err(source) => return Standing::Unknown(super::storage("read", copy, source).to_string()),
        };
        let newest_here = self.current.number.max(self.next.as_ref().map_or(0, |next| next.number));
        match Header::parse(&bytes) {
            Some((header, _)) if header.generation > newest_here => Standing::Ahead(header.generation),
            Some(_) => Standing::Behind,
            None => match sealed::newer_version(&bytes) {
                Some((version, known)) => {
                    let (what, path) = ("keyring file", copy.to_owned());
                    Standing::Unknown(Error::Newer { what, path, version, known }.to_string())
                }
                None => Standing::Damaged,
            },
        }
    }
}
