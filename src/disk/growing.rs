//! A file that grows by much: gathered into whole blocks and written past the page cache, where what was read by
//! others would have to make room for bytes that nobody reads soon.
//! Not here: durability piece by piece (`real.rs`). Linux: open(2), "O_DIRECT"; where a file system refuses it, through
//! the page cache.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::real::set_direct;
use super::{AppendFile, BLOCK_BYTES, Blocks};

/// How much is gathered before it is written.
const GATHERED_BYTES: usize = 1 << 20;

/// A file at whose end bytes are put.
pub(super) struct GrowingFile {
    file: File,
    is_direct: bool,
    /// Where in the file the gathered bytes begin: a whole number of blocks.
    at: u64,
    gathered: Blocks,
    filled: usize,
}

impl GrowingFile {
    /// Opens it to go on where it ends.
    pub(super) fn open(path: &Path) -> io::Result<GrowingFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut gathered = Blocks::new();
        let block = BLOCK_BYTES as u64;
        let len = file.metadata()?.len();
        let (at, begun) = (len - len % block, usize::try_from(len % block).expect("less than a block"));
        let begin = gathered.reset(GATHERED_BYTES).get_mut(..begun).expect("a block is less than is gathered");
        file.read_exact_at(begin, at)?;
        let is_direct = set_direct(&file, true);
        Ok(GrowingFile { file, is_direct, at, gathered, filled: begun })
    }

    /// Writes what is gathered from `from` to `end`: whole blocks, or the last ones through the page cache.
    fn write(&mut self, from: usize, end: usize) -> io::Result<()> {
        let at = self.at + from as u64;
        let write = |gathered: &Blocks| self.file.write_all_at(gathered.bytes().get(from..end).unwrap_or_default(), at);
        match write(&self.gathered) {
            Err(error) if self.is_direct && error.kind() == ErrorKind::InvalidInput => {
                self.buffered()?;
                self.write(from, end)
            }
            written => written,
        }
    }

    /// Goes on through the page cache.
    fn buffered(&mut self) -> io::Result<()> {
        if self.is_direct && !set_direct(&self.file, false) {
            return Err(io::Error::other("a file cannot be brought back to buffered writing"));
        }
        self.is_direct = false;
        Ok(())
    }
}

impl AppendFile for GrowingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            let room = self.gathered.bytes_mut().get_mut(self.filled..).unwrap_or_default();
            let (now, later) = left.split_at(left.len().min(room.len()));
            room.split_at_mut(now.len()).0.copy_from_slice(now);
            (self.filled, left) = (self.filled + now.len(), later);
            if self.filled == GATHERED_BYTES {
                self.write(0, GATHERED_BYTES)?;
                (self.at, self.filled) = (self.at + GATHERED_BYTES as u64, 0);
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let whole = self.filled - self.filled % BLOCK_BYTES;
        self.write(0, whole)?;
        if whole < self.filled {
            // The last block is not full: it has its length only through the page cache.
            self.buffered()?;
            self.write(whole, self.filled)?;
        }
        self.file.sync_all()
    }
}
