//! A witness that is a folder elsewhere: another machine's file system, a store that takes no deletions. In it a file for
//! each log, to which notes are only ever appended.
//! Not here: who decides whether a note may be appended (`submit.rs`). A folder gives no cosignatures.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::Trouble;
use crate::audit::note::checkpoints_in;

/// How the name of a log's file ends, after its writer's name.
pub const FILE_ENDING: &str = ".notes";

/// Notes are far shorter: the last one is within so many bytes of the end.
const TAIL_BYTES: u64 = 64 << 10;

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    fn file(&self, writer: &str) -> PathBuf {
        self.0.join(format!("{writer}{FILE_ENDING}"))
    }

    /// Every note in a log's file, the oldest first.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub fn notes(&self, writer: &str) -> Result<Vec<String>, Trouble> {
        Ok(checkpoints_in(&self.read(writer, u64::MAX)?))
    }

    /// The newest note of a log's file.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub fn last(&self, writer: &str) -> Result<Option<String>, Trouble> {
        Ok(checkpoints_in(&self.read(writer, TAIL_BYTES)?).pop())
    }

    /// Appends a note, durably. A folder that is not there is not made: what was mounted there may be gone.
    ///
    /// # Errors
    /// [`Trouble::Unreachable`].
    pub fn append(&self, writer: &str, note: &str) -> Result<(), Trouble> {
        let path = self.file(writer);
        let written = OpenOptions::new().append(true).create(true).mode(0o640).open(&path).and_then(|mut file| {
            // Whatever a crash cut off before ends here.
            file.write_all(format!("\n{note}").as_bytes())?;
            file.sync_all()?;
            File::open(&self.0)?.sync_all()
        });
        written.map_err(|error| Trouble::Unreachable(format!("cannot append to {}: {error}", path.display())))
    }

    /// At most so many bytes of the end of a log's file; nothing if there is none.
    fn read(&self, writer: &str, bytes_max: u64) -> Result<String, Trouble> {
        let path = self.file(writer);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
            file.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound && self.0.is_dir() => Ok(String::new()),
            Err(error) => Err(Trouble::Unreachable(format!("cannot read {}: {error}", path.display()))),
        }
    }
}
