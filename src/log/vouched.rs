//! Which logs of an audit directory readers believe: those whose checkpoint is signed by the key that is pinned for the
//! directory's name, under the origin of that name. Whoever writes one log can make a directory beside it.
//! Not here: where keys are pinned (`keyring/pinned.rs`), and whether a log is what was signed (`verify.rs`).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Error;
use super::reader::Reader;
use super::segment::number_of;
use super::start::is_name;
pub use super::upkeep::CHECKPOINT;
use super::verify::Verdict;

/// A checkpoint with more cosignatures than fit is none; in bytes.
const CHECKPOINT_BYTES_MAX: u64 = 1 << 20;
/// Somebody who makes many directories gets so many lines and one more.
const TOLD_MAX: usize = 8;

/// The logs that readers read, and what else lies among them. Its directories come from nowhere else, so that who has them
/// knows that they were vouched for.
#[derive(Clone, Debug, Default)]
pub struct Vouched {
    dirs: Vec<PathBuf>,
    keys: BTreeMap<String, [u8; 32]>,
    /// Those whose keys are pinned and which cannot be read, and why.
    left_out: Vec<(PathBuf, Error)>,
    /// What looks like a log, and has no pinned key.
    strangers: Vec<PathBuf>,
}

/// Looks through the audit directory. `pinned` gives the key that is pinned for a name, none if there is none, and why it
/// cannot be told. A log that begins, and has no checkpoint yet, is not there yet.
///
/// # Errors
/// [`Error::Storage`] if the directory cannot be listed.
pub fn vouched(audit: &Path, pinned: impl Fn(&str) -> Result<Option<[u8; 32]>, String>) -> Result<Vouched, Error> {
    let failed = |error| Error::storage("list", audit, &error);
    let mut logs = Vouched::default();
    let entries = fs::read_dir(audit).map_err(failed)?.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    for entry in entries {
        let (path, kind) = match entry.file_type() {
            Ok(kind) => (entry.path(), kind),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        if kind.is_dir() || kind.is_symlink() {
            logs.take(path, kind.is_symlink(), &pinned);
        }
    }
    logs.dirs.sort_unstable();
    logs.strangers.sort_unstable();
    logs.left_out.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(logs)
}

impl Vouched {
    fn take(&mut self, path: PathBuf, is_link: bool, pinned: impl Fn(&str) -> Result<Option<[u8; 32]>, String>) {
        // No log is called so, and for a name that is too long it could not even be told whether there is a key.
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name)).map(str::to_owned);
        let Some(name) = name else { return self.take_stranger(path) };
        let left_out = |detail: &str| Error::unsound(&path, Verdict::WrongKey, detail);
        let signed = match pinned(&name) {
            Ok(None) => return self.take_stranger(path),
            Ok(Some(_)) if is_link => {
                Err(left_out("it is a symbolic link, and whoever made it could lead it elsewhere"))
            }
            Ok(Some(key)) => is_signed(&path, &key).map(|is_signed| is_signed.then_some(key)),
            Err(_) if !is_like_one(&path) => Ok(None),
            Err(why) => Err(left_out(&why)),
        };
        match signed {
            Ok(None) => {}
            Ok(Some(key)) => {
                self.keys.insert(super::origin(&name), key);
                self.dirs.push(path);
            }
            Err(error) => self.left_out.push((path, error)),
        }
    }

    fn take_stranger(&mut self, path: PathBuf) {
        if is_like_one(&path) {
            self.strangers.push(path);
        }
    }

    /// The directories of the logs, by name.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Their pinned keys, by origin.
    pub fn keys(&self) -> &BTreeMap<String, [u8; 32]> {
        &self.keys
    }

    /// The names of the logs that cannot be read though their keys are pinned: without them an answer is not whole.
    pub fn left_out(&self) -> impl Iterator<Item = String> {
        self.left_out.iter().filter_map(|(path, _)| Some(path.file_name()?.to_string_lossy().into_owned()))
    }

    /// Why the log of that name is left out, if it is.
    pub fn fault_of(&self, name: &str) -> Option<&Error> {
        self.left_out
            .iter()
            .find(|(path, _)| path.file_name().is_some_and(|found| found == name))
            .map(|(_, fault)| fault)
    }

    /// Whether every log there whose key is pinned can be read, and there are such.
    pub fn is_whole(&self) -> bool {
        self.left_out.is_empty() && !self.is_without_keys()
    }

    /// Whether no key is pinned for anything that is there.
    pub fn is_without_keys(&self) -> bool {
        self.dirs.is_empty() && !self.strangers.is_empty()
    }

    /// The same, if they are all that must be there to count by.
    ///
    /// # Errors
    /// [`Error::Unsound`] and whatever else is wrong with the first log that is left out.
    pub fn whole(self) -> Result<Vouched, Error> {
        match (self.left_out.first(), self.strangers.first().filter(|_| self.is_without_keys())) {
            (Some((_, error)), _) => Err(error.clone()),
            (None, Some(stranger)) => {
                Err(Error::unsound(stranger, Verdict::WrongKey, "neither its key nor any other log's is pinned"))
            }
            (None, None) => Ok(self),
        }
    }

    /// Refuses if the log of that name is not among them, of which so many leaves are remembered elsewhere.
    ///
    /// # Errors
    /// [`Error::Unsound`].
    pub fn check_remembered(&self, audit: &Path, name: &str, leaves: u64) -> Result<(), Error> {
        if leaves == 0 || self.keys.contains_key(&super::origin(name)) {
            return Ok(());
        }
        let detail = format!("there is no log, and the register remembers {leaves} records of it");
        Err(Error::not_remembered(&audit.join(name), Verdict::Missing, detail))
    }

    /// A line for each that is not read, with what to do.
    pub fn told(&self) -> Vec<String> {
        let left_out = self.left_out.iter().map(|(_, error)| format!("a log is left out: {error}"));
        let strangers = self.strangers.iter().map(|path| {
            // Its name is anybody's: it shall not move the cursor.
            format!(
                "{path:?} is not read, for its key is not pinned: if it is a log of yours, put its public key beside the \
                 others (<name>.vkey in log-keys), else find out who made it"
            )
        });
        let mut told: Vec<String> = left_out.chain(strangers.take(TOLD_MAX)).collect();
        if let Some(more) = self.strangers.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
            told.push(format!("{more} more directories are not read, for their keys are not pinned"));
        }
        told
    }
}

/// Whether it has a checkpoint, which that key signed; false for a log that begins.
fn is_signed(dir: &Path, public: &[u8; 32]) -> Result<bool, Error> {
    let path = dir.join(CHECKPOINT);
    // Of a log that begins the checkpoint is there before the first segment: it may have come in between.
    for _ in 0..2 {
        match fs::metadata(&path) {
            Ok(file) if !file.is_file() || file.len() > CHECKPOINT_BYTES_MAX => {
                return Err(Error::unsound(dir, Verdict::Forked, "its checkpoint is no file of a checkpoint's size"));
            }
            Ok(_) => return Reader::signed_by(dir, public).map(|_| true),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::storage("look at", &path, &error)),
        }
        if !has_segments(dir).map_err(|error| Error::storage("list", dir, &error))? {
            return Ok(false);
        }
    }
    Err(Error::unsound(dir, Verdict::Missing, "there are segments and no checkpoint"))
}

/// What is left of logs without a checkpoint, whoever made it, by name.
///
/// # Errors
/// [`Error::Storage`] if the directory cannot be listed.
pub fn remains(audit: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| Error::storage("list", audit, &error);
    let entries = fs::read_dir(audit).map_err(failed)?.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    let mut remains: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).filter(|path| is_remains(path)).collect();
    remains.sort_unstable();
    Ok(remains)
}

/// Whether there are segments and no checkpoint, which a log that begins has before its first segment.
pub fn is_remains(dir: &Path) -> bool {
    has_segments(dir).unwrap_or(false) && !has_checkpoint(dir)
}

/// Whether it may be a log: what cannot be looked into may be one, too.
fn is_like_one(dir: &Path) -> bool {
    has_checkpoint(dir) || has_segments(dir).unwrap_or(true)
}

/// Of whatever sort it is.
fn has_checkpoint(dir: &Path) -> bool {
    fs::symlink_metadata(dir.join(CHECKPOINT)).is_ok()
}

fn has_segments(dir: &Path) -> std::io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(entries) => {
            let is_segment = |name: std::ffi::OsString| name.to_str().and_then(number_of).is_some();
            for entry in entries {
                if is_segment(entry?.file_name()) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        // Nothing is there any more, or it never was a directory.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "vouched_tests.rs"]
pub(super) mod tests;
