//! A file that is there wholly or not at all, written piece by piece: beside its name first, then synced and named.
//! Not here: small files that replace another (`Disk::replace`). It never replaces anything, and only its owner may
//! read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::real::RealDisk;
use super::verbs::Calls;

/// A file being written under another name; dropped without [`NewFile::finish`], nothing of it stays.
pub struct NewFile {
    path: PathBuf,
    beside: PathBuf,
    file: File,
    is_finished: bool,
}

impl NewFile {
    /// Begins a file that will be called `path`.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the name is taken; what the operating system says.
    pub fn begin(path: &Path) -> io::Result<NewFile> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let mut other = std::ffi::OsString::from(".");
        other.push(name);
        other.push(format!(".{}.part", std::process::id()));
        let beside = path.with_file_name(other);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        Ok(NewFile { path: path.to_owned(), beside, file, is_finished: false })
    }

    /// Makes it last under its name.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the name was taken meanwhile; what the operating system says.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        match renameat_with(CWD, &self.beside, CWD, &self.path, RenameFlags::NOREPLACE) {
            Ok(()) => self.is_finished = true,
            // Some file systems cannot; all of those can link, which never replaces either.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
                fs::hard_link(&self.beside, &self.path)?;
            }
            Err(error) => return Err(error.into()),
        }
        let directory = self.path.parent().filter(|above| !above.as_os_str().is_empty());
        RealDisk.sync_directory(directory.unwrap_or(Path::new(".")))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        if let Err(error) = fs::remove_file(&self.beside) {
            tracing::warn!(path = %self.beside.display(), %error, "a file that was not finished stays behind");
        }
    }
}

#[cfg(test)]
#[path = "new_file_tests.rs"]
mod tests;
