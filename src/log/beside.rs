//! What lies beside a finished segment and is made from it, before it is made anew: never a silent repair, and never over
//! what a newer portreeve wrote.
//! Not here: whether it is gone by (`summary.rs`, `indexes.rs`), which takes more than that it is whole.

use std::io;
use std::path::Path;

use crate::disk::Disk;

/// The version that all of them are written in: the last byte of the first eight, as a digit.
const VERSION: u8 = b'1';

/// What lies there.
#[derive(Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// What the log's key signed, whole.
    Whole,
    /// It cannot be read, or is not what was written.
    Damaged(String),
    /// It is of that version, which is not known here.
    Newer(char),
}

/// Looks at it. `magic`: how it begins; `is_whole`: whether these bytes are what the log's key signed for that segment.
pub fn look(disk: &dyn Disk, path: &Path, magic: &[u8; 8], is_whole: impl FnOnce(&[u8]) -> bool) -> Beside {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Beside::Nothing,
        Err(error) => return Beside::Damaged(format!("it cannot be read: {error}")),
    };
    match (magic.split_last(), bytes.split_first_chunk::<8>()) {
        (Some((_, name)), Some((begin, _))) if begin.starts_with(name) => match begin.last() {
            Some(version) if version.is_ascii_digit() && *version > VERSION => Beside::Newer(char::from(*version)),
            _ if is_whole(&bytes) => Beside::Whole,
            _ => Beside::Damaged("it is not as it was signed, cut off, or of another segment".to_owned()),
        },
        _ => Beside::Damaged("it does not begin as such a file does".to_owned()),
    }
}

/// Says what is about to be written over; false if that must not be.
pub fn may_be_written(path: &Path, beside: &Beside) -> bool {
    let path = path.display();
    match beside {
        // A whole one that is written over is of a segment that went on since.
        Beside::Nothing | Beside::Whole => true,
        Beside::Damaged(why) => {
            tracing::warn!(%path, why, "a file beside a segment is damaged; it is made anew from the segment");
            true
        }
        Beside::Newer(version) => {
            tracing::warn!(
                %path,
                %version,
                "a newer portreeve wrote a file beside a segment; it is left as it is, and the segment itself is read"
            );
            false
        }
    }
}

/// What a verification remarks of it: no record depends on it. None: nothing.
pub fn remark(beside: Beside) -> Option<String> {
    match beside {
        Beside::Nothing | Beside::Whole => None,
        Beside::Damaged(why) => Some(format!(
            "{why}; nothing in the log depends on it: its writer makes it anew from the segment when it is started next"
        )),
        Beside::Newer(version) => Some(format!(
            "it is of version {version}, which this portreeve does not read: a newer one wrote it; nothing in the log \
             depends on it"
        )),
    }
}

#[cfg(test)]
#[path = "beside_tests.rs"]
mod tests;
