//! Cuts a client's byte stream into frames: one type byte, a length word that counts itself, a body.
//! Not here: what is in the body (`frontend`), the server's stream (`backend`), the first packet (`startup`).
//! Limits per type as in PostgreSQL's `SocketBackend`, so that garbage is refused before it is collected.

use bytes::{Bytes, BytesMut};

use crate::wire::Fault;

/// Bytes of a type byte and a length word.
pub const HEADER_BYTES: usize = 5;

/// PostgreSQL's `PQ_SMALL_MESSAGE_LIMIT`: the largest length word of a message that carries names only.
const SMALL_LENGTH_MAX: usize = 10_000;

/// PostgreSQL's `PQ_LARGE_MESSAGE_LIMIT`.
const LARGE_LENGTH_MAX: usize = 0x3fff_ffff - 1;

/// A frame's first five bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message's type byte.
    pub tag: u8,
    /// Bytes of the whole frame, the type byte included.
    pub total: usize,
}

/// Reads the header at the start of `bytes`; none: fewer than five bytes are there.
///
/// # Errors
/// The client's fault, when the length word is less than 4 or negative as PostgreSQL reads it.
pub fn header(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes([a, b, c, d]);
    match usize::try_from(length) {
        Ok(length) if length >= 4 => Ok(Some(Header { tag, total: 1 + length })),
        Ok(_) | Err(_) => {
            let tag = tag.escape_ascii();
            Err(Fault::client(format!("invalid length {length} of frontend message \"{tag}\"")))
        }
    }
}

/// One whole frame, its original bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    tag: u8,
}

impl Frame {
    /// Takes bytes that are exactly one frame.
    ///
    /// # Errors
    /// The client's fault, when they are not.
    pub fn new(bytes: Bytes) -> Result<Frame, Fault> {
        match header(&bytes)? {
            Some(header) if header.total == bytes.len() => {
                check(header, usize::MAX)?;
                Ok(Frame { bytes, tag: header.tag })
            }
            Some(_) | None => Err(Fault::client("frontend message is cut off or too long")),
        }
    }

    /// The message's type byte.
    pub fn tag(&self) -> u8 {
        self.tag
    }

    /// What follows the header.
    pub fn body(&self) -> Bytes {
        // A frame has at least its header: both constructors checked it.
        self.bytes.slice(HEADER_BYTES..)
    }

    /// The original bytes, header included: what is forwarded.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Cuts the first frame off `buffer`; none: it is not whole yet. The frame shares the buffer's memory.
///
/// # Errors
/// The client's fault, as soon as the header shows it: a type byte that no client sends in a session, a length that
/// PostgreSQL would not accept for the type, or more than `frame_bytes_max` bytes.
pub fn cut(buffer: &mut BytesMut, frame_bytes_max: usize) -> Result<Option<Frame>, Fault> {
    let Some(header) = header(buffer)? else {
        return Ok(None);
    };
    check(header, frame_bytes_max)?;
    if buffer.len() < header.total {
        return Ok(None);
    }
    Ok(Some(Frame { bytes: buffer.split_to(header.total).freeze(), tag: header.tag }))
}

fn check(header: Header, frame_bytes_max: usize) -> Result<(), Fault> {
    let Header { tag, total } = header;
    let length_max = match tag {
        b'Q' | b'P' | b'B' | b'F' | b'd' => LARGE_LENGTH_MAX,
        b'E' | b'D' | b'C' | b'S' | b'H' | b'X' | b'c' | b'f' | b'p' => SMALL_LENGTH_MAX,
        _ => return Err(Fault::client(format!("invalid frontend message type {tag}"))),
    };
    if total - 1 > length_max {
        let (tag, length) = (tag.escape_ascii(), total - 1);
        return Err(Fault::client(format!("invalid length {length} of frontend message \"{tag}\"")));
    }
    if total > frame_bytes_max {
        return Err(Fault::TooLarge { tag, bytes: total, bytes_max: frame_bytes_max });
    }
    Ok(())
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
