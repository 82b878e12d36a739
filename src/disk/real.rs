//! The operating system's disk.
//! Not here: retries. After a failed write or sync nobody knows what is on the medium, so the caller gives up.
//! Linux: open(2) O_DIRECT and O_DSYNC where the file system takes them, else pwrite(2) and fdatasync(2); flock(2).

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rustix::fs::OFlags;

use super::growing::GrowingFile;
use super::secret_file::{self, Fault};
use super::verbs::{self, Calls, Pace};
use super::{AppendFile, BLOCK_BYTES, BlockFile, Blocks, Disk, Lock, ReadAt};
use crate::secret::Secret;

/// Linux's `O_DSYNC` on every architecture we build for; the constant of that name in `rustix` is `O_SYNC`, which
/// would commit the file's times with each write too.
const O_DSYNC: u32 = 0o10000;

/// A lock that is a link is none, and a pipe in its place holds nobody up.
const NO_LINK: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// How many bytes of zeros are written at a time.
const ZEROS_BYTES: usize = 1 << 20;
const ZEROS_BYTES_FOR_LATER: usize = 256 << 10;

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_directory(&self, dir: &Path) -> io::Result<()> {
        verbs::make_directory(self, dir)
    }

    fn check_own(&self, dir: &Path) -> io::Result<()> {
        let (about, me) = (fs::symlink_metadata(dir)?, rustix::process::geteuid().as_raw());
        if !about.is_dir() {
            return Err(io::Error::other("it is a link, not a directory: find out who put it there, and remove it"));
        }
        match about.uid() {
            owner if owner == me => Ok(()),
            owner => Err(io::Error::other(format!("it belongs to user {owner}, and this runs as user {me}"))),
        }
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).custom_flags(NO_LINK).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let file = match OpenOptions::new().read(true).custom_flags(NO_LINK).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_secret(&self, path: &Path, bytes_max: u64) -> Result<Secret<Vec<u8>>, Fault> {
        secret_file::read_secret(path, bytes_max)
    }

    fn settle(&self, path: &Path) -> io::Result<()> {
        verbs::settle(self, path)
    }

    fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        verbs::replace(self, path, bytes, mode)
    }

    fn allocate(&self, path: &Path, len: u64) -> io::Result<()> {
        verbs::allocate(self, path, len, Pace::AtOnce)
    }

    fn allocate_for_later(&self, path: &Path, len: u64, hurries: &AtomicBool) -> io::Result<()> {
        verbs::allocate(self, path, len, Pace::ForLater(hurries))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        verbs::rename(self, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        verbs::remove(self, path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn BlockFile>> {
        match open_direct(path) {
            Ok(file) => Ok(Box::new(RealFile { file, direct: true })),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let file = OpenOptions::new().write(true).open(path)?;
                Ok(Box::new(RealFile { file, direct: false }))
            }
            Err(error) => Err(error),
        }
    }

    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(GrowingFile::open(path)?))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(RealFile { file: File::open(path)?, direct: false }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl Calls for RealDisk {
    type File = File;

    fn make_one_directory(&self, dir: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o750).create(dir)
    }

    fn remove_one_directory(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn is_directory(&self, dir: &Path) -> bool {
        dir.is_dir()
    }

    fn is_taken(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(file)
    }

    fn own_like(&self, file: &File, path: &Path) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        match fs::symlink_metadata(path) {
            Err(none) if none.kind() == ErrorKind::NotFound => Ok(()),
            about => about.and_then(|about| fchown(file, Some(about.uid()), Some(about.gid()))),
        }
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Past the page cache where the file system lets us: these zeros are read by nobody, and a cache filled with them
    /// costs more than the writing. A durable write that comes beside a large one waits for all of it (0.8 ms beside 1 MiB,
    /// 0.1 ms by itself, on the reference machine): so those for later are smaller, and leave the disk alone half of the time.
    fn append_zeros(&self, file: &mut File, len: u64, pace: Pace<'_>) -> io::Result<()> {
        let mut zeros = Blocks::new();
        zeros.reset(usize::try_from(len).unwrap_or(ZEROS_BYTES).min(ZEROS_BYTES));
        let mut is_direct = set_direct(file, true);
        let mut left = len;
        while left > 0 {
            let is_for_later = matches!(pace, Pace::ForLater(hurries) if !hurries.load(Ordering::Acquire));
            let at_once = if is_for_later { ZEROS_BYTES_FOR_LATER } else { ZEROS_BYTES };
            let now = usize::try_from(left).unwrap_or(at_once).min(at_once);
            let begun = Instant::now();
            match file.write_all(zeros.bytes().get(..now).unwrap_or_default()) {
                Err(error) if is_direct && error.kind() == ErrorKind::InvalidInput => {
                    is_direct = !set_direct(file, false)
                }
                written => {
                    written?;
                    left -= now as u64;
                }
            }
            if is_for_later {
                thread::sleep(begun.elapsed());
            }
        }
        if is_direct && !set_direct(file, false) {
            return Err(io::Error::other("a file cannot be brought back to buffered writing"));
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

struct RealLock {
    _file: File,
}

impl Lock for RealLock {}

struct RealFile {
    file: File,
    direct: bool,
}

impl ReadAt for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}

impl BlockFile for RealFile {
    fn write_durably(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.file.write_all_at(blocks.bytes(), offset)?;
        if self.direct { Ok(()) } else { self.file.sync_data() }
    }
}

/// Switches unbuffered writing on or off; whether that worked.
pub(super) fn set_direct(file: &File, direct: bool) -> bool {
    rustix::fs::fcntl_getfl(file)
        .and_then(|flags| {
            let mut wanted = flags;
            wanted.set(OFlags::DIRECT, direct);
            rustix::fs::fcntl_setfl(file, wanted)
        })
        .is_ok()
}

/// Opens for unbuffered synchronous writes; [`ErrorKind::InvalidInput`] where the file system does not take them,
/// tried by reading the first block, for some take the flag and refuse the first transfer.
fn open_direct(path: &Path) -> io::Result<File> {
    let flags = (OFlags::DIRECT.bits() | O_DSYNC).cast_signed();
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let mut first = Blocks::new();
    file.read_exact_at(first.reset(BLOCK_BYTES), 0)?;
    Ok(file)
}

#[cfg(test)]
#[path = "real_tests.rs"]
mod tests;
