//! The verbs that take several system calls, as sequences of them, so that a test can lose power between any two.
//! Not here: the calls themselves (`real.rs`, and a disk that crashes for tests).
//! A name is durable only when its directory was synced: fsync(2), "Calling fsync() does not necessarily ensure".

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// How fast zeros are written.
#[derive(Clone, Copy)]
pub(super) enum Pace<'a> {
    /// Somebody waits.
    AtOnce,
    /// Nobody does, until this says so.
    ForLater(&'a AtomicBool),
}

/// The system calls.
pub(super) trait Calls {
    /// An open file.
    type File;

    /// mkdir(2).
    fn make_one_directory(&self, dir: &Path) -> io::Result<()>;
    /// rmdir(2).
    fn remove_one_directory(&self, dir: &Path) -> io::Result<()>;
    /// Whether there is a directory of that name.
    fn is_directory(&self, dir: &Path) -> bool;
    /// Whether the name is taken.
    fn is_taken(&self, path: &Path) -> io::Result<bool>;
    /// open(2) with `O_CREAT | O_EXCL`, the permission bits set whatever the umask is.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Self::File>;
    /// fchown(2) to the owner of what has that name, if there is something and we may: who replaces a file as root leaves it
    /// to whoever it belongs to.
    fn own_like(&self, file: &Self::File, path: &Path) -> io::Result<()>;
    /// Writes where the last write ended.
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Writes so many zeros where the last write ended, whole blocks; with pauses as long as it is for later.
    fn append_zeros(&self, file: &mut Self::File, len: u64, pace: Pace<'_>) -> io::Result<()>;
    /// fsync(2).
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// rename(2), which replaces.
    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// unlink(2).
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// fsync(2) of a directory.
    fn sync_directory(&self, dir: &Path) -> io::Result<()>;
}

/// [`Disk::make_directory`](super::Disk::make_directory). One that is there is synced too: whoever made it may have
/// been killed before. If we may not read the directory above it, somebody else made it.
pub(super) fn make_directory(calls: &impl Calls, dir: &Path) -> io::Result<()> {
    let above = directory_of(dir);
    if above == dir {
        return Ok(());
    }
    if calls.is_directory(dir) {
        return match calls.sync_directory(above) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    make_directory(calls, above)?;
    match calls.make_one_directory(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && calls.is_directory(dir) => {}
        made => made?,
    }
    // If nobody knows whether it lasts, it goes, so that the next try makes it anew.
    calls.sync_directory(above).inspect_err(|_| {
        if let Err(error) = calls.remove_one_directory(dir) {
            tracing::debug!(dir = %dir.display(), %error, "a directory stays behind after an error");
        }
    })
}

/// [`Disk::replace`](super::Disk::replace).
pub(super) fn replace(calls: &impl Calls, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(path);
    create_anew(calls, &new, mode)
        .and_then(|mut file| {
            calls.own_like(&file, path)?;
            calls.append(&mut file, bytes)?;
            calls.sync(&file)
        })
        .and_then(|()| calls.rename_over(&new, path))
        .inspect_err(|_| discard(calls, &new))?;
    calls.sync_directory(directory_of(path))
}

/// [`Disk::settle`](super::Disk::settle). Its content was synced before it got the name.
pub(super) fn settle(calls: &impl Calls, path: &Path) -> io::Result<()> {
    match calls.sync_directory(directory_of(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        synced => synced,
    }
}

/// [`Disk::allocate`](super::Disk::allocate) and [`Disk::allocate_for_later`](super::Disk::allocate_for_later).
pub(super) fn allocate(calls: &impl Calls, path: &Path, len: u64, pace: Pace<'_>) -> io::Result<()> {
    let new = beside(path);
    create_anew(calls, &new, 0o640)
        .and_then(|mut file| {
            calls.append_zeros(&mut file, len, pace)?;
            calls.sync(&file)
        })
        .and_then(|()| free_name(calls, path))
        .inspect_err(|_| discard(calls, &new))?;
    // From here on the name is ours: if nobody knows whether it lasts, it goes.
    let named = calls.rename_over(&new, path).inspect_err(|_| discard(calls, &new));
    named.and_then(|()| calls.sync_directory(directory_of(path))).inspect_err(|_| discard(calls, path))
}

/// [`Disk::rename`](super::Disk::rename).
pub(super) fn rename(calls: &impl Calls, from: &Path, to: &Path) -> io::Result<()> {
    free_name(calls, to)?;
    calls.rename_over(from, to)?;
    calls.sync_directory(directory_of(to))
}

/// [`Disk::remove`](super::Disk::remove). Whoever removed what is missing may have been killed before it lasted.
pub(super) fn remove(calls: &impl Calls, path: &Path) -> io::Result<()> {
    match calls.unlink(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => removed?,
    }
    settle(calls, path)
}

/// A new file under a name that only we use. What a crash left there is not written over: should a rename have been
/// cut off between its two names, it is the file that we are to replace.
fn create_anew<C: Calls>(calls: &C, path: &Path, mode: u32) -> io::Result<C::File> {
    match calls.unlink(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => removed?,
    }
    calls.create(path, mode)
}

fn free_name(calls: &impl Calls, path: &Path) -> io::Result<()> {
    if calls.is_taken(path)? { Err(ErrorKind::AlreadyExists.into()) } else { Ok(()) }
}

/// Removes what a failed verb left; the next one overwrites it if that fails too.
fn discard(calls: &impl Calls, path: &Path) {
    if let Err(error) = calls.unlink(path) {
        tracing::debug!(path = %path.display(), %error, "a file stays behind after an error");
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// The directory that a name stands in; the root is its own.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) => Path::new("."),
        None => path,
    }
}
