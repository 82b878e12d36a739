//! `portreeve keys init`: the keyring, its credential, and every role's signing keys, each made once.
//! Not here: certificates, passwords, and where the files belong (the configuration says).
//! Secrets are 32 raw bytes, mode 0400; public keys are one line of base64 (or a C2SP verifier key), mode 0444.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Error;
use super::file::{self, Store, storage};
use super::keys::Keyring;
use crate::audit::checkpoint::{SigningKey, verifier_key};
use crate::disk::{Disk, RealDisk};
use crate::entropy::{self, Entropy};
use crate::secret::Secret;

/// Every file `keys init` is about.
#[derive(Clone, Debug)]
pub struct Files {
    /// The sealed keyring.
    pub keyring: PathBuf,
    /// What opens it.
    pub credential: PathBuf,
    /// The keyring's Ed25519 public key, which the others pin.
    pub keyring_public: PathBuf,
    /// The portal's Ed25519 signing key.
    pub portal_signing: PathBuf,
    /// Its public half.
    pub portal_public: PathBuf,
    /// The key by which retention knows its own snapshots: 32 random bytes. Lost, they are nobody's any more.
    pub instance: PathBuf,
    /// Each log's signing key: its origin, the key, and the verifier key that readers pin.
    pub logs: Vec<LogKey>,
}

/// One log's signing key.
#[derive(Clone, Debug)]
pub struct LogKey {
    /// Such as `portreeve/proxy-gate-1`.
    pub origin: String,
    /// The secret.
    pub secret: PathBuf,
    /// The verifier key.
    pub public: PathBuf,
}

/// What was done about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was made.
    Made,
    /// It was there and stays.
    Kept,
}

/// Makes every file that is missing and keeps every other, so that it may be run again.
///
/// # Errors
/// [`Error::Missing`] if a half of a pair was lost, [`Error::Damaged`] if a file there is something else,
/// [`Error::Storage`].
pub fn init(files: &Files, disk: &Arc<dyn Disk>, entropy: &dyn Entropy) -> Result<Vec<(PathBuf, Done)>, Error> {
    let mut done = keyring(files, disk, entropy)?;
    let (public, made) = seed(&**disk, &files.portal_signing, entropy)?;
    done.push((files.portal_signing.clone(), made));
    done.push((files.portal_public.clone(), publish(&**disk, &files.portal_public, &STANDARD.encode(public))?));
    if exists(&files.instance)? {
        read_seed(&files.instance)?;
        done.push((files.instance.clone(), Done::Kept));
    } else {
        write_new(&**disk, &files.instance, &entropy::random::<32>(entropy), 0o400)?;
        done.push((files.instance.clone(), Done::Made));
    }
    for log in &files.logs {
        let (public, made) = seed(&**disk, &log.secret, entropy)?;
        done.push((log.secret.clone(), made));
        done.push((log.public.clone(), publish(&**disk, &log.public, &verifier_key(&log.origin, &public))?));
    }
    Ok(done)
}

/// The keyring and its credential exist together or are made together.
fn keyring(files: &Files, disk: &Arc<dyn Disk>, entropy: &dyn Entropy) -> Result<Vec<(PathBuf, Done)>, Error> {
    let (keyring, made) = if exists(&files.keyring)? {
        let (_store, keyring) = Store::open(Arc::clone(disk), &files.keyring, &files.credential)?;
        (keyring, Done::Kept)
    } else {
        // A credential without a keyring is what a crash in here leaves, or one handed over by systemd: it is used.
        if !exists(&files.credential)? {
            write_new(&**disk, &files.credential, &entropy::random::<32>(entropy), 0o400)?;
        }
        let credential = file::read_credential(&files.credential)?;
        let mut keyring = Keyring::generate(entropy);
        directory_of(&**disk, &files.keyring, 0o700)?;
        Store::create(Arc::clone(disk), &files.keyring, credential, &mut keyring, entropy)?;
        (keyring, Done::Made)
    };
    let public = publish(&**disk, &files.keyring_public, &STANDARD.encode(keyring.public_key()?))?;
    Ok(vec![(files.credential.clone(), made), (files.keyring.clone(), made), (files.keyring_public.clone(), public)])
}

/// The public key of the signing key in that file, made if it is not there.
fn seed(disk: &dyn Disk, path: &Path, entropy: &dyn Entropy) -> Result<([u8; 32], Done), Error> {
    let made = if exists(path)? {
        Done::Kept
    } else {
        write_new(disk, path, &entropy::random::<32>(entropy), 0o400)?;
        Done::Made
    };
    Ok((SigningKey::from_seed(&read_seed(path)?).public(), made))
}

/// Writes a public key, or checks that the one there is the same.
pub(super) fn publish(disk: &dyn Disk, path: &Path, line: &str) -> Result<Done, Error> {
    let line = format!("{line}\n");
    match disk.read(path) {
        Ok(found) if found == line.as_bytes() => {
            // Whoever wrote it may have been killed before its name lasted.
            file::settle(disk, path)?;
            Ok(Done::Kept)
        }
        Ok(_) => Err(Error::Damaged {
            what: "public key",
            path: path.to_owned(),
            problem: "not the public half of the secret key beside it".to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_new(disk, path, line.as_bytes(), 0o444)?;
            Ok(Done::Made)
        }
        Err(source) => Err(storage("read", path, source)),
    }
}

/// Reads a signing key's seed: 32 raw bytes that nobody but its owner may read.
///
/// # Errors
/// [`Error::Missing`], [`Error::Exposed`], [`Error::Damaged`], [`Error::Storage`].
pub fn read_seed(path: &Path) -> Result<Secret<[u8; 32]>, Error> {
    seed_on(&RealDisk, path)
}

/// The same, on that disk.
pub(super) fn seed_on(disk: &dyn Disk, path: &Path) -> Result<Secret<[u8; 32]>, Error> {
    file::read_secret_bytes(disk, "signing key", path)
}

/// Reads an Ed25519 public key: one line of base64, or a C2SP verifier key, `origin+hash+key`.
///
/// # Errors
/// [`Error::Missing`], [`Error::Damaged`], [`Error::Storage`].
pub fn read_public_key(path: &Path) -> Result<[u8; 32], Error> {
    let what = "public key";
    let mut line = String::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_string(&mut line));
    read.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { what, path: path.to_owned() },
        _ => storage("read", path, source),
    })?;
    let key = public_key_in(line.trim_end());
    key.ok_or_else(|| Error::Damaged { what, path: path.to_owned(), problem: "not an Ed25519 public key".to_owned() })
}

/// The key in such a line.
pub(super) fn public_key_in(line: &str) -> Option<[u8; 32]> {
    // Base64 may hold `+` itself, so a verifier key is taken apart from the left, and only if it is one.
    if let Ok(key) = STANDARD.decode(line) {
        return key.try_into().ok();
    }
    let (_, key) = line.split_once('+').and_then(|(_, rest)| rest.split_once('+'))?;
    match STANDARD.decode(key).ok()?.split_first()? {
        (1, key) => key.try_into().ok(),
        _ => None,
    }
}

/// Writes a file that must not exist yet: whole and durable, or not at all; whatever the umask.
pub(super) fn write_new(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    if file::is_there(disk, path)? {
        return Err(Error::Exists { path: path.to_owned() });
    }
    directory_of(disk, path, if mode & 0o077 == 0 { 0o700 } else { 0o755 })?;
    disk.replace(path, bytes, mode).map_err(|source| storage("write", path, source))
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|source| storage("look for", path, source))
}

/// Makes the directory a file is to stand in, with that mode, and open ones above it.
fn directory_of(disk: &dyn Disk, path: &Path, mode: u32) -> Result<(), Error> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) else { return Ok(()) };
    if disk.names(directory).is_ok() {
        return Ok(());
    }
    let make = |directory: &Path, mode| fs::DirBuilder::new().recursive(true).mode(mode).create(directory);
    let above = directory.parent().filter(|above| !above.as_os_str().is_empty());
    let made = above.map_or(Ok(()), |above| make(above, 0o755)).and_then(|()| make(directory, mode));
    made.map_err(|source| storage("make", directory, source))
}

#[cfg(test)]
#[path = "init_tests.rs"]
mod tests;
