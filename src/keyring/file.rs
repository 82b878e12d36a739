//! The keyring file, its generation secrets, its copies and its credential: replaced crash-safely, never readable by
//! others. Not here: what the keys are for (`keys.rs`), the files' bytes (`sealed.rs`, `generation.rs`), and when a copy is
//! written over (`file/copies.rs`).
//! A new generation in three steps, at each of which what is there opens: both secrets; the keyring under the new one;
//! the new secret alone. From then on no copy of the old file opens, wherever it was kept.

mod copies;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::generation::{self, Generation};
use super::keys::Keyring;
use super::sealed::{self, Header};
use crate::disk::secret_file::Fault;
use crate::disk::{Disk, Lock, RealDisk};
use crate::entropy::{self, Entropy};
use crate::secret::Secret;

const FILE_MODE: u32 = 0o600;
/// A keyring of 100,000 customers over ten years is smaller.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Where a keyring is kept, locked against a second user of it.
pub struct Store {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    credential: Secret<[u8; 32]>,
    current: Generation,
    /// One that was begun and may stand in the files already.
    next: Option<Generation>,
    /// Whether the generation file holds more than the current one.
    is_unsettled: bool,
    /// Whether the keyring file is a v0 one, which holds its own generation secret.
    is_old_form: bool,
    copies: Vec<PathBuf>,
    /// Copies that do not hold what the keyring holds.
    behind: BTreeSet<PathBuf>,
    _lock: Box<dyn Lock>,
}

impl Store {
    /// Makes a new keyring file; never overwrites one.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Busy`], [`Error::Storage`], [`Error::Damaged`].
    pub fn create(
        disk: Arc<dyn Disk>,
        path: &Path,
        credential: Secret<[u8; 32]>,
        keyring: &mut Keyring,
        entropy: &dyn Entropy,
    ) -> Result<Store, Error> {
        let lock = lock(&*disk, path)?;
        match disk.open_to_read(path) {
            Ok(_) => return Err(Error::Exists { path: path.to_owned() }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(storage("look for", path, source)),
        }
        let secrets = generation::path_of(path);
        // Secrets without a keyring are what a crash in here leaves, or what opens a copy: they are kept.
        let read = |what, path: &Path| read_guarded(&*disk, what, path, FILE_MODE, FILE_BYTES_MAX);
        let found = match read_generations(&read, path) {
            Ok(mut generations) => generations.pop(),
            Err(Error::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let current = found.unwrap_or_else(|| Generation { number: 1, secret: Secret::new(entropy::random(entropy)) });
        let mut store = Store {
            disk,
            path: path.to_owned(),
            credential,
            current,
            next: None,
            is_unsettled: false,
            is_old_form: false,
            copies: Vec::new(),
            behind: BTreeSet::new(),
            _lock: lock,
        };
        store.replace(&secrets, &generation::encode(&[&store.current]))?;
        store.save(keyring, entropy)?;
        Ok(store)
    }

    /// Opens an existing keyring with the credential in `credential_path`. It is read under its lock, and what is read
    /// lasts: a key from a file whose name the last, killed user of it had not made durable could be gone after all.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Exposed`], [`Error::Damaged`], [`Error::WrongCredential`], [`Error::OldKeyring`],
    /// [`Error::Busy`], [`Error::Storage`].
    pub fn open(disk: Arc<dyn Disk>, path: &Path, credential_path: &Path) -> Result<(Store, Keyring), Error> {
        let credential = credential_on(&*disk, credential_path)?;
        let next = next_credential(credential_path);
        match Store::open_with(Arc::clone(&disk), path, (credential, credential_path)) {
            // A change of the credential was cut off: the file is under the next one already.
            Err(Error::WrongCredential { .. }) if is_there(&*disk, &next)? => {
                let credential = credential_on(&*disk, &next)?;
                let opened = Store::open_with(Arc::clone(&disk), path, (credential, credential_path))?;
                adopt_credential(&*disk, credential_path)?;
                Ok(opened)
            }
            // It was cut off at its very end: what is left of it is the credential in place once more. That one is written
            // again first, for after a sync that failed it may be seen and not last.
            Ok((store, keyring)) => {
                if is_there(&*disk, &next)?
                    && credential_on(&*disk, &next).is_ok_and(|next| next.expose() == store.credential.expose())
                {
                    adopt_credential(&*disk, credential_path)?;
                }
                Ok((store, keyring))
            }
            Err(error) => Err(error),
        }
    }

    fn open_with(
        disk: Arc<dyn Disk>,
        path: &Path,
        credential: (Secret<[u8; 32]>, &Path),
    ) -> Result<(Store, Keyring), Error> {
        let lock = lock(&*disk, path)?;
        settle(&*disk, path)?;
        let sight = Arc::clone(&disk);
        let read = move |what, path: &Path| read_guarded(&*sight, what, path, FILE_MODE, FILE_BYTES_MAX);
        Store::open_locked(disk, path, credential, &read, lock)
    }

    /// The same, the files read by `read`.
    #[cfg(test)]
    pub(super) fn open_read(
        disk: Arc<dyn Disk>,
        path: &Path,
        credential: Secret<[u8; 32]>,
        credential_path: &Path,
        read: &Read<'_>,
    ) -> Result<(Store, Keyring), Error> {
        let lock = lock(&*disk, path)?;
        Store::open_locked(disk, path, (credential, credential_path), read, lock)
    }

    fn open_locked(
        disk: Arc<dyn Disk>,
        path: &Path,
        (credential, credential_path): (Secret<[u8; 32]>, &Path),
        read: &Read<'_>,
        lock: Box<dyn Lock>,
    ) -> Result<(Store, Keyring), Error> {
        let whole = read("keyring file", path)?;
        let damaged = |problem: String| Error::Damaged { what: "keyring file", path: path.to_owned(), problem };
        let unknown = || match sealed::newer_version(whole.expose()) {
            Some((version, known)) => Error::Newer { what: "keyring file", path: path.to_owned(), version, known },
            None => damaged("not a keyring file, or shorter than its header".to_owned()),
        };
        let (mut header, ciphertext) = Header::parse(whole.expose()).ok_or_else(unknown)?;
        let number = header.generation;
        let is_old_form = header.secret.is_some();
        let generations = match (header.secret.take(), read_generations(read, path)) {
            // A v0 file before its first rewriting; later, it is an old copy as any other.
            (Some(secret), Err(Error::Missing { .. })) => vec![Generation { number, secret }],
            (_, generations) => generations?,
        };
        let old = |newest| Error::OldKeyring { path: path.to_owned(), found: number, newest };
        let (current, next, is_unsettled) = chosen(generations, number).map_err(old)?;
        let opened = sealed::open(&header, ciphertext, &credential, &current.secret)?;
        let wrong = || Error::WrongCredential { path: path.to_owned(), credential: credential_path.to_owned() };
        let keyring = opened.ok_or_else(wrong)?;
        let keyring = keyring.map_err(|error| damaged(format!("sealed around what cannot be read ({error})")))?;
        let store = Store {
            disk,
            path: path.to_owned(),
            credential,
            current,
            next,
            is_unsettled,
            is_old_form,
            copies: Vec::new(),
            behind: BTreeSet::new(),
            _lock: lock,
        };
        Ok((store, keyring))
    }

    /// Ends what a crash left half done, replays what was destroyed, and brings the copies up to date: before anything
    /// is answered.
    ///
    /// # Errors
    /// [`Error::Storage`]; a copy that cannot be written is behind, which is no error.
    pub fn settle(&mut self, keyring: &mut Keyring, entropy: &dyn Entropy) -> Result<(), Error> {
        if keyring.replay() || self.is_old_form {
            return self.renew(keyring, entropy);
        }
        // It may be seen and not last: after a kill, or a sync that failed. So it is written once more, where there is room.
        let written = self.replace(&self.path, &self.seal(keyring, entropy)?).and_then(|()| self.settle_secrets());
        match written.inspect_err(|why| tracing::error!(%why, "the keyring could not be written once more")) {
            Err(Error::Storage { source, .. }) if !self.is_unsettled && source.kind() == io::ErrorKind::StorageFull => {
            }
            written => written?,
        }
        self.copy(keyring, entropy)
    }

    /// Writes the keyring in place of the last one. Until the rename is done the old file stands, whole; afterwards
    /// the new one does, durably.
    ///
    /// # Errors
    /// [`Error::Storage`]: the old file may or may not have been replaced; both open.
    pub fn save(&mut self, keyring: &mut Keyring, entropy: &dyn Entropy) -> Result<(), Error> {
        if self.is_old_form {
            return self.renew(keyring, entropy);
        }
        keyring.revision = keyring.revision.saturating_add(1);
        let sealed = self.seal(keyring, entropy)?;
        self.replace(&self.path, &sealed)?;
        self.copy(keyring, entropy)
    }

    /// Writes the keyring under a new generation, after which no older copy of the file opens any more.
    ///
    /// # Errors
    /// [`Error::Storage`]: the file may be of either generation; what is there opens.
    pub fn renew(&mut self, keyring: &mut Keyring, entropy: &dyn Entropy) -> Result<(), Error> {
        keyring.revision = keyring.revision.saturating_add(1);
        // One that was begun may stand in the file already: its secret must not be lost.
        let next = self.next.take().unwrap_or_else(|| Generation {
            number: self.current.number.saturating_add(1),
            secret: Secret::new(entropy::random(entropy)),
        });
        let both = generation::encode(&[&self.current, &next]);
        let sealed = sealed::seal(keyring, &self.credential, &next, entropy);
        let written = sealed.and_then(|sealed| {
            self.replace(&generation::path_of(&self.path), &both)?;
            self.replace(&self.path, &sealed)
        });
        if let Err(error) = written {
            self.next = Some(next);
            return Err(error);
        }
        (self.current, self.is_unsettled, self.is_old_form) = (next, true, false);
        self.settle_secrets()?;
        self.copy(keyring, entropy)
    }

    /// Writes the keyring under a new generation and the next credential, which stands beside the one at that path (made
    /// if it does not) and takes its place at last. Wherever it is cut off, [`Store::open`] opens what is there.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn change_credential(
        &mut self,
        keyring: &mut Keyring,
        credential_path: &Path,
        entropy: &dyn Entropy,
    ) -> Result<(), Error> {
        let next = next_credential(credential_path);
        if is_there(&*self.disk, &next)? {
            // Whoever made it may have been killed before its name lasted, and then nothing may be sealed under it.
            settle(&*self.disk, &next)?;
        } else {
            let bytes = Secret::new(entropy::random::<32>(entropy));
            self.disk.replace(&next, bytes.expose(), 0o400).map_err(|source| storage("write", &next, source))?;
        }
        // In use from here on, also if renewing fails: it may have come as far as the file.
        self.credential = credential_on(&*self.disk, &next)?;
        self.renew(keyring, entropy)?;
        adopt_credential(&*self.disk, credential_path)
    }

    /// Whether the file in place is of the generation that is current in memory.
    pub(super) fn generation(&self) -> u64 {
        self.current.number
    }

    fn settle_secrets(&mut self) -> Result<(), Error> {
        self.replace(&generation::path_of(&self.path), &generation::encode(&[&self.current]))?;
        (self.is_unsettled, self.next) = (false, None);
        Ok(())
    }

    fn seal(&self, keyring: &Keyring, entropy: &dyn Entropy) -> Result<Vec<u8>, Error> {
        sealed::seal(keyring, &self.credential, &self.current, entropy)
    }

    /// Replaces a file and reads it back.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.disk.replace(path, bytes, FILE_MODE).map_err(|source| storage("replace", path, source))?;
        let found = self.disk.read(path).map(Secret::new).map_err(|source| storage("read back", path, source))?;
        if found.expose().as_slice() == bytes {
            return Ok(());
        }
        Err(storage("read back", path, io::Error::other("it is not what was written")))
    }
}

/// What a keyring file holds that somebody else may be using.
pub struct Seen {
    /// Its generation.
    pub generation: u64,
    /// How often it was written.
    pub revision: u64,
    /// What is in it.
    pub keyring: Keyring,
}

/// Looks into a keyring file without its lock, for who finds out what is wrong with it. Being replaced just now, it is
/// looked at again.
///
/// # Errors
/// As [`Store::open`].
pub fn look(path: &Path, credential_path: &Path) -> Result<Seen, Error> {
    struct Unlocked;
    impl Lock for Unlocked {}
    let read = |what, path: &Path| read_guarded(&RealDisk, what, path, FILE_MODE, FILE_BYTES_MAX);
    let mut tries = 3;
    loop {
        tries -= 1;
        let credential = (read_credential(credential_path)?, credential_path);
        let (disk, lock) = (Arc::new(RealDisk), Box::new(Unlocked));
        match Store::open_locked(disk, path, credential, &read, lock) {
            Ok((store, keyring)) => {
                return Ok(Seen { generation: store.generation(), revision: keyring.revision, keyring });
            }
            Err(Error::OldKeyring { .. } | Error::WrongCredential { .. }) if tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where the credential stands that takes the place of that one.
fn next_credential(credential: &Path) -> PathBuf {
    credential.with_added_extension("next")
}

/// Puts the next credential in place. It stays whoever's the one in place is.
fn adopt_credential(disk: &dyn Disk, credential: &Path) -> Result<(), Error> {
    let next = next_credential(credential);
    let bytes = credential_on(disk, &next)?;
    disk.replace(credential, bytes.expose(), 0o400).map_err(|source| storage("replace", credential, source))?;
    disk.remove(&next).map_err(|source| storage("remove", &next, source))
}

/// Whether there is a file of that name.
pub(super) fn is_there(disk: &dyn Disk, path: &Path) -> Result<bool, Error> {
    match disk.open_to_read(path) {
        Ok(_) => Ok(true),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(storage("look for", path, source)),
    }
}

/// What is seen under that name lasts from now on: a process that was killed may not have come to that.
pub(super) fn settle(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    disk.settle(path).map_err(|source| storage("sync the directory of", path, source))
}

/// Reads a file: what it is, and where.
pub(super) type Read<'a> = dyn Fn(&'static str, &Path) -> Result<Secret<Vec<u8>>, Error> + 'a;

fn read_generations(read: &Read<'_>, keyring: &Path) -> Result<Vec<Generation>, Error> {
    let (what, path) = ("generation secret", generation::path_of(keyring));
    let bytes = read(what, &path)?;
    generation::decode(bytes.expose()).ok_or_else(|| match generation::newer_version(bytes.expose()) {
        Some((version, known)) => Error::Newer { what, path, version, known },
        None => Error::Damaged { what, path, problem: "not a generation secret".to_owned() },
    })
}

/// The secret of that generation, the one that was begun after it, and whether there is more than the first; else the
/// newest generation there is.
fn chosen(generations: Vec<Generation>, number: u64) -> Result<(Generation, Option<Generation>, bool), u64> {
    let newest = generations.iter().map(|generation| generation.number).max().unwrap_or(0);
    let is_unsettled = generations.len() > 1;
    let (mut current, mut next) = (None, None);
    for generation in generations {
        match generation.number.cmp(&number) {
            std::cmp::Ordering::Equal => current = Some(generation),
            std::cmp::Ordering::Greater => next = Some(generation),
            std::cmp::Ordering::Less => {}
        }
    }
    current.map(|current| (current, next, is_unsettled)).ok_or(newest)
}

/// Reads the keyring's credential: exactly 32 bytes that nobody but its owner may read.
///
/// # Errors
/// [`Error::Missing`], [`Error::Exposed`], [`Error::Damaged`], [`Error::Storage`].
pub fn read_credential(path: &Path) -> Result<Secret<[u8; 32]>, Error> {
    credential_on(&RealDisk, path)
}

fn credential_on(disk: &dyn Disk, path: &Path) -> Result<Secret<[u8; 32]>, Error> {
    read_secret_bytes(disk, "keyring credential", path)
}

/// Reads a secret of exactly 32 bytes that nobody but its owner may read.
pub(super) fn read_secret_bytes(disk: &dyn Disk, what: &'static str, path: &Path) -> Result<Secret<[u8; 32]>, Error> {
    let bytes = read_guarded(disk, what, path, 0o400, 4096)?;
    bytes.expose().as_slice().try_into().map(Secret::new).map_err(|_| Error::Damaged {
        what,
        path: path.to_owned(),
        problem: format!("{} bytes long instead of 32", bytes.expose().len()),
    })
}

/// Reads a secret file that is a regular one, not too long, and closed to group and others.
fn read_guarded(
    disk: &dyn Disk,
    what: &'static str,
    path: &Path,
    due: u32,
    bytes_max: u64,
) -> Result<Secret<Vec<u8>>, Error> {
    let (damaged, path) =
        (|path, problem: &str| Error::Damaged { what, path, problem: problem.to_owned() }, path.to_owned());
    disk.read_secret(&path, bytes_max).map_err(|fault| match fault {
        Fault::Unreadable(source) if source.kind() == io::ErrorKind::NotFound => Error::Missing { what, path },
        Fault::Unreadable(source) => storage("read", &path, source),
        Fault::Exposed(mode) => Error::Exposed { what, path, mode, due },
        Fault::NotAFile => damaged(path, "not a regular file"),
        Fault::TooLarge => damaged(path, "larger than any such file"),
    })
}

/// Takes the lock next to the keyring file, so that two processes never rewrite it over each other. A process that is
/// just being started by somebody else can hold it for an instant, so it is tried a few times.
fn lock(disk: &dyn Disk, path: &Path) -> Result<Box<dyn Lock>, Error> {
    let lock = path.with_added_extension("lock");
    let mut tries = 10;
    loop {
        tries -= 1;
        match disk.lock(&lock) {
            Ok(lock) => return Ok(lock),
            Err(source) if source.kind() != io::ErrorKind::WouldBlock => return Err(storage("lock", &lock, source)),
            Err(_) if tries == 0 => return Err(Error::Busy { path: path.to_owned() }),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

pub(super) fn storage(verb: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Storage { verb, path: path.to_owned(), source }
}

#[cfg(test)]
#[path = "file_crash_tests.rs"]
mod crash_tests;
#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
