//! A log's next signing key: made, pinned under the next log's name, and at last put in place of the old one.
//! Not here: closing the one log and beginning the other (`portreeve keys rotate log`).
//! Whatever is cut off is taken up again: the next key stands beside the old one until the old one is overwritten.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use super::Error;
use super::file::{is_there, settle, storage};
use super::init::{publish, seed_on, write_new};
use super::pinned::{log_key, log_names_on};
use crate::audit::checkpoint::{SigningKey, verifier_key};
use crate::disk::Disk;
use crate::entropy::{self, Entropy};
use crate::log::origin;

/// The log that comes next.
pub struct Next {
    /// Its name.
    pub name: String,
    /// What signs it.
    pub signing: SigningKey,
}

/// Where the next key stands until it is in its place.
fn next_of(secret: &Path) -> PathBuf {
    secret.with_added_extension("next")
}

/// Makes the key of the log that comes after those of that writer, or takes up one that was made, and pins it. None: the
/// key in place is the one that was made; what was left of that is removed.
///
/// # Errors
/// [`Error::Storage`], [`Error::Damaged`], [`Error::Exposed`].
pub fn prepare(
    disk: &dyn Disk,
    keyring_public: &Path,
    writer: &str,
    secret: &Path,
    entropy: &dyn Entropy,
) -> Result<Option<Next>, Error> {
    let (current, next) = (SigningKey::from_seed(&seed_on(disk, secret)?).public(), next_of(secret));
    if is_there(disk, &next)? {
        // Whoever made it, or put it in place, may have been killed before that lasted: and no log may go on by a key that
        // can be gone.
        settle(disk, &next)?;
    } else {
        write_new(disk, &next, &entropy::random::<32>(entropy), 0o400)?;
    }
    let signing = SigningKey::from_seed(&seed_on(disk, &next)?);
    if signing.public() == current {
        disk.remove(&next).map_err(|source| storage("remove", &next, source))?;
        return Ok(None);
    }
    let names = log_names_on(disk, keyring_public, writer)?;
    let line = |name: &str| verifier_key(&origin(name), &signing.public());
    let last = names.last().map_or(writer, String::as_str);
    let pinned = disk.read(&log_key(keyring_public, last));
    let was_pinned = pinned.is_ok_and(|key| key.trim_ascii_end() == line(last).as_bytes());
    let name = if was_pinned { last.to_owned() } else { format!("{writer}.{}", names.len() + 1) };
    publish(disk, &log_key(keyring_public, &name), &line(&name))?;
    Ok(Some(Next { name, signing }))
}

/// Puts the next key in place of the old one, which is gone then; it stays whoever's the old one was.
///
/// # Errors
/// [`Error::Storage`], [`Error::Damaged`], [`Error::Exposed`]: the old one or the next one stands there, whole.
pub fn adopt(disk: &dyn Disk, secret: &Path) -> Result<(), Error> {
    let next = next_of(secret);
    let seed = seed_on(disk, &next)?;
    disk.replace(secret, seed.expose(), 0o400).map_err(|source| storage("replace", secret, source))?;
    disk.remove(&next).map_err(|source| storage("remove", &next, source))
}

/// Gives the next key to whoever owns the one in place: a rotation that is cut off may be taken up by that user. Owners are
/// not behind the seam of the disk.
///
/// # Errors
/// [`Error::Storage`].
pub fn own_next(secret: &Path) -> Result<(), Error> {
    let owner = fs::metadata(secret).map_err(|source| storage("look at", secret, source))?;
    owned_by((owner.uid(), owner.gid()), &next_of(secret))
}

fn owned_by((uid, gid): (u32, u32), path: &Path) -> Result<(), Error> {
    let about = fs::symlink_metadata(path).map_err(|source| storage("look at", path, source))?;
    if (about.uid(), about.gid()) == (uid, gid) {
        return Ok(());
    }
    lchown(path, Some(uid), Some(gid)).map_err(|source| storage("change the owner of", path, source))
}

#[cfg(test)]
#[path = "succession_crash_tests.rs"]
mod crash_tests;
#[cfg(test)]
#[path = "succession_tests.rs"]
mod tests;
