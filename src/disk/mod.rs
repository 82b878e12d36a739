//! The few things we ask of a disk, as a seam: a real one here, and one that crashes for tests.
//! Not here: what the bytes mean. Every verb that changes something has reached the medium when it returns.

pub mod blocks;
#[cfg(test)]
pub(crate) mod crashing;
mod growing;
pub mod new_file;
pub mod real;
pub mod secret_file;
mod verbs;

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub use blocks::{BLOCK_BYTES, Blocks};
pub use real::RealDisk;

use crate::secret::Secret;

/// A disk. Errors are the operating system's; who calls says which file.
pub trait Disk: Send + Sync + 'static {
    /// Makes the directory and those above it; it may exist. Not for other users to read.
    fn make_directory(&self, dir: &Path) -> io::Result<()>;

    /// Whether the directory is one, and its files nobody's but ours to put there: an error says why it is not to be used.
    /// Where nobody else may write beside it, that stays so.
    fn check_own(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    /// The names of the files in a directory, in no order.
    fn names(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Takes the lock file, made if missing, for as long as the returned value lives.
    /// [`io::ErrorKind::WouldBlock`] if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// Whether some process holds the lock file; a missing one is held by nobody.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;

    /// The whole content of a small file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The whole content of a file that nobody else may read, as [`secret_file::read_secret`] reads it.
    fn read_secret(&self, path: &Path, bytes_max: u64) -> Result<Secret<Vec<u8>>, secret_file::Fault>;

    /// What is seen under that name, or that nothing is, lasts from now on: a process that was killed may have put it
    /// there and not have come to making it last. Its directory may be missing.
    fn settle(&self, path: &Path) -> io::Result<()>;

    /// Puts a small file in place of the one that has this name, wholly or not at all, with these permission bits.
    /// After an error either of the two is there.
    fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;

    /// Makes a file of `len` zeros that are really written, so that writing over them changes no metadata.
    /// If it fails, nothing has this name. `len` is a multiple of [`BLOCK_BYTES`].
    fn allocate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// The same, for a file that is needed later: what others write durably meanwhile does not wait for it. As soon as it
    /// `hurries`, it is like [`Disk::allocate`].
    fn allocate_for_later(&self, path: &Path, len: u64, hurries: &AtomicBool) -> io::Result<()>;

    /// Gives a file another name in the same directory; that name must not be taken.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; it may be missing.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Opens an allocated file for writing blocks.
    fn open(&self, path: &Path) -> io::Result<Box<dyn BlockFile>>;

    /// Opens a file for writing where it ends: for what is much too large to be written durably piece by piece.
    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;

    /// Opens a file for reading.
    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn ReadAt>>;

    /// How many bytes the file system of that directory can still take.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// A held lock; dropped, it is free.
pub trait Lock: Send + Sync {}

/// A file to read from.
pub trait ReadAt: Send {
    /// How long it is, in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `bytes` from `offset` on; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// An allocated file to write blocks over.
pub trait BlockFile: Send {
    /// Writes blocks at an offset that is a multiple of [`BLOCK_BYTES`] and waits until they survive power loss.
    /// After an error the file must not be written again: nobody knows what it holds.
    fn write_durably(&self, offset: u64, blocks: &Blocks) -> io::Result<()>;
}

/// A file that grows. The exception among the verbs: only [`AppendFile::sync`] writes all that was appended, and makes
/// it durable.
pub trait AppendFile: Send {
    /// Puts bytes where the last ones ended; some may be kept in memory for a while.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until all that was appended survives power loss. After an error nobody knows what the file holds.
    fn sync(&mut self) -> io::Result<()>;
}
