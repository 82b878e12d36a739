//! Walks the server's byte stream from header to header, in whatever chunks it comes, and reports each message when it
//! is complete. Rows and COPY data are counted, never held; of the rest only what a session must know is decoded.
//! Not here: what a message means for the client's frames (`session/`), and any change to the bytes.

use std::ffi::CStr;

use crate::wire::Fault;
use crate::wire::frame::HEADER_BYTES;

/// So much of a message's body is held at most; of a larger ErrorResponse the rest is skipped.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// A buffer that grew beyond this is given back once its message is done.
const BUFFER_BYTES_KEPT: usize = 4096;

/// Where the server says its transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: not in a transaction block.
    Idle,
    /// `T`: in one.
    Block,
    /// `E`: in one that failed.
    Failed,
}

impl TransactionStatus {
    /// The protocol's letter.
    pub fn byte(self) -> u8 {
        match self {
            TransactionStatus::Idle => b'I',
            TransactionStatus::Block => b'T',
            TransactionStatus::Failed => b'E',
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Idle, Self::Block, Self::Failed].into_iter().find(|status| status.byte() == byte)
    }
}

/// A backend message, borrowed from the stream. Sizes are of the whole message, header included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend<'a> {
    /// `R`: a step of sign-in.
    Authentication {
        /// Which step.
        code: u32,
        /// What comes with it.
        data: &'a [u8],
    },
    /// `K`
    BackendKeyData {
        /// The server's process id.
        pid: i32,
        /// What a cancel must name.
        secret: &'a [u8],
    },
    /// `S`
    ParameterStatus {
        /// The parameter.
        name: &'a [u8],
        /// Its value now.
        value: &'a [u8],
    },
    /// `Z`
    ReadyForQuery(TransactionStatus),
    /// `C`
    CommandComplete {
        /// Such as `SELECT 3`.
        tag: &'a [u8],
    },
    /// `I`
    EmptyQuery,
    /// `E`
    ErrorResponse(Fields<'a>),
    /// `N`
    NoticeResponse(Fields<'a>),
    /// `T`
    RowDescription {
        /// Columns of the rows to come.
        columns: u16,
    },
    /// `D`
    DataRow {
        /// Its size.
        bytes: u64,
    },
    /// `1`
    ParseComplete,
    /// `2`
    BindComplete,
    /// `3`
    CloseComplete,
    /// `t`
    ParameterDescription(Types<'a>),
    /// `n`
    NoData,
    /// `s`
    PortalSuspended,
    /// `G`: the server awaits COPY data.
    CopyIn {
        /// Whether the data is text (or CSV), or else binary.
        is_text: bool,
        /// Columns announced.
        columns: u16,
    },
    /// `H`: the server will send COPY data.
    CopyOut {
        /// Columns announced.
        columns: u16,
    },
    /// `W`: both (replication).
    CopyBoth {
        /// Columns announced.
        columns: u16,
    },
    /// `d`
    CopyData {
        /// Its size.
        bytes: u64,
    },
    /// `c`
    CopyDone,
    /// `V`
    FunctionCallResponse {
        /// Its size.
        bytes: u64,
    },
    /// `A`
    NotificationResponse {
        /// The process that notified.
        pid: i32,
        /// The channel.
        channel: &'a [u8],
    },
    /// Anything else.
    Other {
        /// Its type byte.
        tag: u8,
        /// Its size.
        bytes: u64,
    },
}

/// The fields of an ErrorResponse or NoticeResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields in order: a code and its text.
    pub fn iter(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (&code, after) = rest.split_first().filter(|(code, _)| **code != 0)?;
            let (text, after) = split_string(after).unwrap_or((after, &[]));
            rest = after;
            Some((code, text))
        })
    }

    /// The first field with that code.
    pub fn get(self, code: u8) -> Option<&'a [u8]> {
        self.iter().find(|field| field.0 == code).map(|field| field.1)
    }

    /// The severity, never translated if the server is 9.6 or later.
    pub fn severity(self) -> &'a [u8] {
        self.get(b'V').or_else(|| self.get(b'S')).unwrap_or_default()
    }

    /// Whether the server ends the session with this.
    pub fn is_fatal(self) -> bool {
        matches!(self.severity(), b"FATAL" | b"PANIC")
    }

    /// The SQLSTATE; `XX000` if there is none.
    pub fn sqlstate(self) -> String {
        let code = self.get(b'C').unwrap_or(b"XX000");
        String::from_utf8_lossy(code.get(..5).unwrap_or(code)).into_owned()
    }

    /// The primary message, in the client's encoding as far as UTF-8 shows it, at most 8 KiB.
    pub fn message(self) -> String {
        let text = self.get(b'M').unwrap_or_default();
        String::from_utf8_lossy(text.get(..8192).unwrap_or(text)).into_owned()
    }
}

/// The parameter types of a ParameterDescription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Types<'a>(&'a [[u8; 4]]);

impl<'a> Types<'a> {
    /// Their OIDs, in order.
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.0.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}

/// Where in the server's stream we are. Holds at most one message's header and [`BODY_BYTES_MAX`] of its body.
#[derive(Debug, Default)]
pub struct Walker {
    /// The header of the unfinished message, as far as it is there.
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Of the unfinished message, once its header is whole: all bytes, and those of the body still to come.
    total: usize,
    left: usize,
    /// What is kept of its body.
    body: Vec<u8>,
}

impl Walker {
    /// At the start of a stream.
    pub fn new() -> Self {
        Walker::default()
    }

    /// Whether the last byte seen was the last of a message, so that another message may be put in here.
    pub fn at_boundary(&self) -> bool {
        self.header_bytes == 0
    }

    /// Bytes seen of the message that is not finished; 0 at a boundary.
    pub fn unfinished_bytes(&self) -> usize {
        if self.header_bytes < HEADER_BYTES { self.header_bytes } else { self.total - self.left }
    }

    /// Takes the next bytes of the stream, and tells `event` of each message that they complete.
    ///
    /// # Errors
    /// The upstream's fault: a length that cannot be, or a message that is not what its type says. The walker is of no
    /// use after that.
    pub fn walk(&mut self, chunk: &[u8], mut event: impl FnMut(Backend<'_>)) -> Result<(), Fault> {
        let mut rest = self.resume(chunk, &mut event)?;
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let (tag, total) = read_header(*header)?;
            let Some((body, next)) = after.split_at_checked(total - HEADER_BYTES) else {
                break;
            };
            match tag {
                b'D' => event(Backend::DataRow { bytes: total as u64 }),
                b'd' => event(Backend::CopyData { bytes: total as u64 }),
                _ => event(decode(tag, total, body.get(..kept(tag)).unwrap_or(body))?),
            }
            rest = next;
        }
        self.begin(rest)
    }

    /// Goes on with the unfinished message. Gives what of the chunk belongs to the next ones.
    fn resume<'c>(&mut self, chunk: &'c [u8], event: &mut impl FnMut(Backend<'_>)) -> Result<&'c [u8], Fault> {
        if self.at_boundary() {
            return Ok(chunk);
        }
        let rest = self.header_from(chunk)?;
        if self.header_bytes < HEADER_BYTES {
            return Ok(rest);
        }
        let (now, rest) = rest.split_at_checked(self.left).unwrap_or((rest, &[]));
        self.keep(now);
        if self.left == 0 {
            event(decode(self.tag(), self.total, &self.body)?);
            self.header_bytes = 0;
            self.body.clear();
            self.body.shrink_to(BUFFER_BYTES_KEPT);
        }
        Ok(rest)
    }

    /// Begins with a message that the chunk does not finish.
    fn begin(&mut self, rest: &[u8]) -> Result<(), Fault> {
        if rest.is_empty() {
            return Ok(());
        }
        let body = self.header_from(rest)?;
        self.keep(body);
        Ok(())
    }

    /// Completes the header as far as the chunk goes.
    fn header_from<'c>(&mut self, chunk: &'c [u8]) -> Result<&'c [u8], Fault> {
        if self.header_bytes == HEADER_BYTES {
            return Ok(chunk);
        }
        let mut used = 0;
        for (place, byte) in self.header.iter_mut().skip(self.header_bytes).zip(chunk) {
            *place = *byte;
            used += 1;
        }
        self.header_bytes += used;
        if self.header_bytes == HEADER_BYTES {
            self.total = read_header(self.header)?.1;
            self.left = self.total - HEADER_BYTES;
        }
        Ok(chunk.get(used..).unwrap_or_default())
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.left -= bytes.len();
        let room = kept(self.tag()).saturating_sub(self.body.len());
        self.body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn tag(&self) -> u8 {
        let [tag, ..] = self.header;
        tag
    }
}

/// The type byte and the size of the whole message.
fn read_header(header: [u8; HEADER_BYTES]) -> Result<(u8, usize), Fault> {
    let [tag, a, b, c, d] = header;
    let length = i32::from_be_bytes([a, b, c, d]);
    match usize::try_from(length) {
        Ok(length) if length >= 4 => Ok((tag, 1 + length)),
        Ok(_) | Err(_) => Err(Fault::upstream(format!("length {length} of message \"{}\"", tag.escape_ascii()))),
    }
}

/// How much of such a message's body is needed.
fn kept(tag: u8) -> usize {
    match tag {
        b'R' | b'K' | b'S' | b'Z' | b'C' | b'E' | b'N' | b't' | b'A' => BODY_BYTES_MAX,
        b'T' => 2,
        b'G' | b'H' | b'W' => 3,
        _ => 0,
    }
}

/// Decodes a message of which `body` is the part that is kept.
fn decode(tag: u8, total: usize, body: &[u8]) -> Result<Backend<'_>, Fault> {
    let bytes = total as u64;
    let whole = total - HEADER_BYTES == body.len();
    let empty = |message| if total == HEADER_BYTES { Some(message) } else { None };
    let message = match tag {
        b'R' => first_u32(body).map(|(code, data)| Backend::Authentication { code, data }),
        b'K' => first_u32(body).map(|(pid, secret)| Backend::BackendKeyData { pid: pid.cast_signed(), secret }),
        b'S' if !whole => Some(Backend::Other { tag, bytes }),
        b'S' => parameter_status(body),
        b'Z' => match body {
            [status] => TransactionStatus::from_byte(*status).map(Backend::ReadyForQuery),
            _ => None,
        },
        b'C' => match split_string(body) {
            Some((tag, [])) => Some(Backend::CommandComplete { tag }),
            _ => None,
        },
        b'I' => empty(Backend::EmptyQuery),
        b'E' => Some(Backend::ErrorResponse(Fields(body))),
        b'N' => Some(Backend::NoticeResponse(Fields(body))),
        b'T' => body.first_chunk().map(|count| Backend::RowDescription { columns: u16::from_be_bytes(*count) }),
        b'D' => Some(Backend::DataRow { bytes }),
        b'1' => empty(Backend::ParseComplete),
        b'2' => empty(Backend::BindComplete),
        b'3' => empty(Backend::CloseComplete),
        b't' => parameter_description(body),
        b'n' => empty(Backend::NoData),
        b's' => empty(Backend::PortalSuspended),
        b'G' => copy_columns(body).map(|columns| Backend::CopyIn { is_text: body.first() == Some(&0), columns }),
        b'H' => copy_columns(body).map(|columns| Backend::CopyOut { columns }),
        b'W' => copy_columns(body).map(|columns| Backend::CopyBoth { columns }),
        b'd' => Some(Backend::CopyData { bytes }),
        b'c' => empty(Backend::CopyDone),
        b'V' => Some(Backend::FunctionCallResponse { bytes }),
        b'A' => notification(body),
        _ => Some(Backend::Other { tag, bytes }),
    };
    message.ok_or_else(|| Fault::upstream(format!("invalid message \"{}\" of {total} bytes", tag.escape_ascii())))
}

fn parameter_status(body: &[u8]) -> Option<Backend<'_>> {
    let (name, after) = split_string(body)?;
    let (value, after) = split_string(after)?;
    after.is_empty().then_some(Backend::ParameterStatus { name, value })
}

fn parameter_description(body: &[u8]) -> Option<Backend<'_>> {
    let (count, oids) = body.split_first_chunk()?;
    let (oids, after) = oids.as_chunks();
    let fits = oids.len() == usize::from(u16::from_be_bytes(*count)) && after.is_empty();
    fits.then_some(Backend::ParameterDescription(Types(oids)))
}

fn notification(body: &[u8]) -> Option<Backend<'_>> {
    let (pid, after) = first_u32(body)?;
    let (channel, _payload) = split_string(after)?;
    Some(Backend::NotificationResponse { pid: pid.cast_signed(), channel })
}

/// The column count behind the format byte.
fn copy_columns(body: &[u8]) -> Option<u16> {
    let (_format, after) = body.split_first()?;
    after.first_chunk().map(|count| u16::from_be_bytes(*count))
}

fn first_u32(body: &[u8]) -> Option<(u32, &[u8])> {
    body.split_first_chunk().map(|(number, rest)| (u32::from_be_bytes(*number), rest))
}

/// A text up to its NUL, and what follows the NUL.
fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = CStr::from_bytes_until_nul(bytes).ok()?.to_bytes();
    bytes.get(text.len() + 1..).map(|rest| (text, rest))
}

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
