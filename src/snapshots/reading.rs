//! A stored snapshot's bytes again: each chunk opened and in its place, the end only if it is the end.
//! Not here: what they are (`restore.rs`).
//! FORMAT.md, "Chunks".

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, SHA256};

use super::error::Error;
use super::header::{Foot, Header, HeaderBytes, Names};
use super::seal::{Chunks, DataKey, Place, TAG_BYTES, trace};
use super::store::{State, Store, read_foot, read_header};
use super::{Progress, Watch};
use crate::disk::ReadAt;
use crate::disk::secret_file::{Fault, read_secret};
use crate::ids::SnapshotId;
use crate::secret::Secret;

/// 64 hexadecimal digits and a line break.
const PRIVATE_KEY_BYTES_MAX: u64 = 66;

/// Reads the snapshot recipient's private key: 64 hexadecimal digits in a file that only its owner can read.
///
/// # Errors
/// [`Error::Key`].
pub fn read_private_key(path: &Path) -> Result<Secret<[u8; 32]>, Error> {
    let refused = |why: String| Error::Key(format!("cannot use the private key in {}: {why}", path.display()));
    let bytes = read_secret(path, PRIVATE_KEY_BYTES_MAX).map_err(|fault| {
        refused(match fault {
            Fault::Unreadable(error) => error.to_string(),
            Fault::NotAFile => "it is not a file".to_owned(),
            Fault::Exposed(mode) => format!("others may read it (mode {mode:04o}); run chmod 0400 on it"),
            Fault::TooLarge => "it is longer than 64 hexadecimal digits".to_owned(),
        })
    })?;
    let digits = bytes.expose().trim_ascii_end();
    if digits.len() != 64 {
        return Err(refused(format!("it has {} characters, not 64 hexadecimal digits", digits.len())));
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *byte = pair.ok_or_else(|| refused("it has something other than hexadecimal digits".to_owned()))?;
    }
    Ok(Secret::new(bytes))
}

/// A whole snapshot of ours, opened for reading.
pub(super) struct Stored {
    file: Box<dyn ReadAt>,
    path: PathBuf,
    header: HeaderBytes,
    foot: Foot,
}

impl Stored {
    pub(super) fn open(store: &Store, id: SnapshotId) -> Result<Stored, Error> {
        let found = store.find(id)?;
        match found.state {
            State::Complete(_) => {}
            State::Running => return Err(Error::Running(id)),
            State::Failed => return Err(Error::Unfinished(id)),
            State::Damaged(detail) => return Err(Error::damaged(id, detail)),
        }
        let path = store.whole_path(id);
        let file = store.disk().open_to_read(&path).map_err(Error::storage("open", &path))?;
        let len = file.len().map_err(Error::storage("measure", &path))?;
        let header = read_header(file.as_ref(), len, store.instance(), &path)?;
        let header = header.filter(|header| header.is_ours).ok_or_else(|| Error::damaged(id, "its header changed"))?;
        let foot = read_foot(file.as_ref(), len, &header, store.instance(), &path)?;
        let foot = foot.map_err(|detail| Error::damaged(id, detail))?;
        Ok(Stored { file, path, header, foot })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header.header
    }

    pub(super) fn foot(&self) -> &Foot {
        &self.foot
    }

    /// Its names, with the private key.
    pub(super) fn names(&self, private: &Secret<[u8; 32]>) -> Result<Names, Error> {
        DataKey::open(self.header(), private)?.open_names(self.header())
    }

    /// Its bytes, with the private key.
    pub(super) fn opened<'a>(
        &'a self,
        private: &Secret<[u8; 32]>,
        watch: &'a mut Watch<'a>,
    ) -> Result<Opened<'a>, Error> {
        let chunks = DataKey::open(self.header(), private)?.chunks(self.header.digest());
        Ok(Opened { stored: self, chunks, number: 0, buffer: Vec::new(), at: 0, end: 0, passed: 0, watch, fault: None })
    }

    /// Reads the stored bytes once and compares their digest with the foot's: no key is needed for that.
    pub(super) fn check_stored(&self, watch: &mut Watch<'_>) -> Result<(), Error> {
        let mut hash = digest::Context::new(&SHA256);
        let (mut buffer, mut passed) = (Vec::new(), 0);
        for number in 0..self.foot.chunks {
            let plain = self.chunk_len(number);
            buffer.resize(plain + TAG_BYTES, 0);
            self.read_chunk(number, &mut buffer)?;
            hash.update(&trace(&buffer));
            passed += plain as u64;
            if watch(Progress { bytes: passed, estimate: Some(self.foot.plain_bytes) }) == ControlFlow::Break(()) {
                return Err(Error::Interrupted);
            }
        }
        if hash.finish().as_ref() == self.foot.stored {
            Ok(())
        } else {
            Err(Error::damaged(self.header().id(), "its stored bytes do not have the digest its foot says"))
        }
    }

    /// Plain bytes of a chunk: all have as many, but the last.
    fn chunk_len(&self, number: u64) -> usize {
        let size = u64::from(self.header().chunk_bytes);
        let left = self.foot.plain_bytes.saturating_sub(number.saturating_mul(size));
        usize::try_from(left.min(size)).unwrap_or(0)
    }

    fn read_chunk(&self, number: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let size = u64::from(self.header().chunk_bytes) + TAG_BYTES as u64;
        let at = self.header.bytes.len() as u64 + number.saturating_mul(size);
        self.file.read_at(at, buffer).map_err(Error::storage("read", &self.path))
    }
}

/// The bytes of a snapshot as a stream. It ends only after the chunk that was sealed as the last one.
pub(super) struct Opened<'a> {
    stored: &'a Stored,
    chunks: Chunks,
    number: u64,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    passed: u64,
    watch: &'a mut Watch<'a>,
    fault: Option<Error>,
}

impl Opened<'_> {
    /// Why reading failed, or what the reader made of it; nothing is well that was not read to its end.
    pub(super) fn outcome<T>(mut self, read: Result<T, Error>) -> Result<T, Error> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let read = read?;
        // What is left belongs to it as well.
        let rest = io::copy(&mut self, &mut io::sink());
        rest.map_err(|error| self.fault.take().unwrap_or_else(|| Error::NotVerified(error.to_string())))?;
        Ok(read)
    }

    fn next_chunk(&mut self) -> Result<(), Error> {
        let plain = self.stored.chunk_len(self.number);
        self.buffer.resize(plain + TAG_BYTES, 0);
        self.stored.read_chunk(self.number, &mut self.buffer)?;
        let place = if self.number + 1 == self.stored.foot.chunks { Place::Last } else { Place::Within };
        let id = self.stored.header().id();
        self.chunks
            .open(self.number, place, &mut self.buffer)
            .ok_or_else(|| Error::damaged(id, format!("chunk {} does not open", self.number)))?;
        (self.at, self.end) = (0, plain);
        self.number += 1;
        self.passed += plain as u64;
        let progress = Progress { bytes: self.passed, estimate: Some(self.stored.foot.plain_bytes) };
        match (self.watch)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }
}

impl Read for Opened<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.fault.is_some() {
            return Err(io::Error::other("the snapshot could not be read on"));
        }
        while self.at == self.end && self.number < self.stored.foot.chunks {
            if let Err(fault) = self.next_chunk() {
                let said = fault.to_string();
                self.fault = Some(fault);
                self.end = self.at;
                return Err(io::Error::other(said));
            }
        }
        let mut rest = self.buffer.get(self.at..self.end).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}
