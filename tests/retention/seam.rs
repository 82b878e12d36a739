//! A disk that is the real one, but for what a test says at each verb: fail, do nothing and say it was done, or die.
//! Not here: power loss (`src/disk/crashing.rs`).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use portreeve::disk::secret_file::Fault;
use portreeve::disk::{AppendFile, BlockFile, Blocks, Disk, Lock, ReadAt, RealDisk};
use portreeve::secret::Secret;

/// A verb that changes something, or by which it is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    List,
    Read,
    Replace,
    Rename,
    Remove,
    Append,
    Sync,
    /// A block of a log.
    Record,
}

/// Before a verb, or after it went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// Where the process stands.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    pub when: When,
    pub verb: Verb,
    pub path: &'a Path,
}

impl Step<'_> {
    /// What is done to what: `before rename running`.
    pub fn name(&self) -> String {
        let ending = self.path.extension().or(self.path.file_name()).unwrap_or_default().to_string_lossy();
        format!("{self} {ending}")
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?} {:?}", self.when, self.verb);
        f.write_str(&text.to_lowercase())
    }
}

/// What becomes of a verb; after it, only an error counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    On,
    /// It is said to be done, and is not.
    Lie,
}

type Say = dyn Fn(Step<'_>) -> io::Result<Go> + Send + Sync;

/// The disk, and what the test says.
#[derive(Clone)]
pub struct Seam(Arc<Say>);

impl Seam {
    pub fn disk(say: impl Fn(Step<'_>) -> io::Result<Go> + Send + Sync + 'static) -> Arc<dyn Disk> {
        Arc::new(Seam(Arc::new(say)))
    }

    fn around<T: Default>(&self, verb: Verb, path: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if (self.0)(Step { when: When::Before, verb, path })? == Go::Lie {
            return Ok(T::default());
        }
        let done = act()?;
        (self.0)(Step { when: When::After, verb, path })?;
        Ok(done)
    }
}

impl Disk for Seam {
    fn make_directory(&self, dir: &Path) -> io::Result<()> {
        RealDisk.make_directory(dir)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.around(Verb::List, dir, || RealDisk.names(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        RealDisk.lock(path)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        RealDisk.is_locked(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }

    fn read_secret(&self, path: &Path, bytes_max: u64) -> Result<Secret<Vec<u8>>, Fault> {
        RealDisk.read_secret(path, bytes_max)
    }

    fn settle(&self, path: &Path) -> io::Result<()> {
        RealDisk.settle(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.around(Verb::Replace, path, || RealDisk.replace(path, bytes, mode))
    }

    fn allocate(&self, path: &Path, len: u64) -> io::Result<()> {
        RealDisk.allocate(path, len)
    }

    fn allocate_for_later(&self, path: &Path, len: u64, hurries: &AtomicBool) -> io::Result<()> {
        RealDisk.allocate_for_later(path, len, hurries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.around(Verb::Rename, from, || RealDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.around(Verb::Remove, path, || RealDisk.remove(path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn BlockFile>> {
        Ok(Box::new(File { seam: self.clone(), path: path.to_owned(), file: RealDisk.open(path)? }))
    }

    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(File { seam: self.clone(), path: path.to_owned(), file: RealDisk.open_to_append(path)? }))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        (self.0)(Step { when: When::Before, verb: Verb::Read, path })?;
        RealDisk.open_to_read(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(dir)
    }
}

struct File<F> {
    seam: Seam,
    path: PathBuf,
    file: F,
}

impl BlockFile for File<Box<dyn BlockFile>> {
    fn write_durably(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.seam.around(Verb::Record, &self.path, || self.file.write_durably(offset, blocks))
    }
}

impl AppendFile for File<Box<dyn AppendFile>> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let File { seam, path, file } = self;
        seam.around(Verb::Append, path, || file.append(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        let File { seam, path, file } = self;
        seam.around(Verb::Sync, path, || file.sync())
    }
}
