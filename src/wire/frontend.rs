//! What a client says after sign-in, decoded from one whole frame. Every count and length must fit and nothing may be
//! left over, as PostgreSQL demands (08P01); then pgwire's decoder must read the same from a copy.
//! Not here: forwarding (the original bytes go), and the messages of sign-in (`startup`, `scram`).

use std::ffi::CStr;

use bytes::Bytes;

use crate::wire::Fault;
use crate::wire::frame::Frame;

mod agree;

/// What Describe and Close speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement (`S`).
    Statement,
    /// A portal (`P`).
    Portal,
}

/// A frontend message. Names, texts and values are slices of the frame, in the client's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// `Q`: one or more statements in one text.
    Query {
        /// The text, without its NUL.
        text: Bytes,
    },
    /// `P`: prepare a statement.
    Parse {
        /// The statement's name; empty is the unnamed one.
        name: Bytes,
        /// The text, without its NUL.
        text: Bytes,
        /// Declared parameter types; 0 leaves one to the server.
        types: Vec<u32>,
    },
    /// `B`: make a portal of a statement.
    Bind {
        /// The portal's name; empty is the unnamed one.
        portal: Bytes,
        /// The statement's name.
        statement: Bytes,
        /// Formats of the values (0 text, 1 binary): none, one for all, or one each.
        formats: Vec<u16>,
        /// The values; none is NULL.
        values: Vec<Option<Bytes>>,
        /// Formats asked for the result's columns.
        result_formats: Vec<u16>,
    },
    /// `E`: run a portal.
    Execute {
        /// The portal's name.
        portal: Bytes,
        /// At most so many rows; 0 or less is all.
        max_rows: i32,
    },
    /// `D`: ask for the shape of a statement or portal.
    Describe {
        /// Which of the two.
        target: Target,
        /// Its name.
        name: Bytes,
    },
    /// `C`: close a statement or portal.
    Close {
        /// Which of the two.
        target: Target,
        /// Its name.
        name: Bytes,
    },
    /// `F`: call a function by its OID.
    FunctionCall {
        /// The function.
        oid: u32,
        /// Formats of the arguments: none, one for all, or one each.
        formats: Vec<u16>,
        /// The arguments; none is NULL.
        values: Vec<Option<Bytes>>,
        /// Format asked for the result.
        result_format: u16,
    },
    /// `S`
    Sync,
    /// `H`
    Flush,
    /// `X`
    Terminate,
    /// `d`: a piece of COPY data.
    CopyData {
        /// Bytes of the piece.
        len: usize,
    },
    /// `c`
    CopyDone,
    /// `f`: the client gives a COPY up.
    CopyFail {
        /// Why.
        message: Bytes,
    },
}

/// Decodes a frame.
///
/// # Errors
/// The client's fault, when PostgreSQL would refuse the frame with 08P01; a bug, when pgwire reads something else.
pub fn decode(frame: &Frame) -> Result<Frontend, Fault> {
    let mut body = Body { bytes: frame.body(), tag: frame.tag() };
    let message = read(&mut body)?;
    body.end()?;
    agree::check(frame, &message)?;
    Ok(message)
}

fn read(body: &mut Body) -> Result<Frontend, Fault> {
    Ok(match body.tag {
        b'Q' => Frontend::Query { text: body.string()? },
        b'P' => Frontend::Parse { name: body.string()?, text: body.string()?, types: body.types()? },
        b'B' => bind(body)?,
        b'E' => Frontend::Execute { portal: body.string()?, max_rows: body.i32()? },
        b'D' => Frontend::Describe { target: body.target()?, name: body.string()? },
        b'C' => Frontend::Close { target: body.target()?, name: body.string()? },
        b'F' => function_call(body)?,
        b'S' => Frontend::Sync,
        b'H' => Frontend::Flush,
        b'X' => Frontend::Terminate,
        b'd' => Frontend::CopyData { len: body.take_rest() },
        b'c' => Frontend::CopyDone,
        b'f' => Frontend::CopyFail { message: body.string()? },
        tag => return Err(Fault::client(format!("invalid frontend message type {tag}"))),
    })
}

fn bind(body: &mut Body) -> Result<Frontend, Fault> {
    let (portal, statement) = (body.string()?, body.string()?);
    let formats = body.formats()?;
    let values = body.values()?;
    if formats.len() > 1 && formats.len() != values.len() {
        let (formats, values) = (formats.len(), values.len());
        return Err(Fault::client(format!("bind message has {formats} parameter formats but {values} parameters")));
    }
    Ok(Frontend::Bind { portal, statement, formats, values, result_formats: body.formats()? })
}

fn function_call(body: &mut Body) -> Result<Frontend, Fault> {
    let oid = body.u32()?;
    let formats = body.formats()?;
    let values = body.values()?;
    if formats.len() > 1 && formats.len() != values.len() {
        let (formats, values) = (formats.len(), values.len());
        return Err(Fault::client(format!(
            "function call message has {formats} argument formats but {values} arguments"
        )));
    }
    Ok(Frontend::FunctionCall { oid, formats, values, result_format: body.u16()? })
}

/// What of a frame's body is not read yet.
struct Body {
    bytes: Bytes,
    tag: u8,
}

impl Body {
    fn short(&self) -> Fault {
        Fault::client(format!("insufficient data left in frontend message \"{}\"", self.tag.escape_ascii()))
    }

    fn take(&mut self, count: usize) -> Result<Bytes, Fault> {
        if count > self.bytes.len() {
            return Err(self.short());
        }
        Ok(self.bytes.split_to(count))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let array = *self.bytes.first_chunk::<N>().ok_or_else(|| self.short())?;
        self.take(N)?;
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, Fault> {
        self.array().map(i32::from_be_bytes)
    }

    fn string(&mut self) -> Result<Bytes, Fault> {
        let Ok(text) = CStr::from_bytes_until_nul(&self.bytes) else {
            return Err(Fault::client(format!("invalid string in frontend message \"{}\"", self.tag.escape_ascii())));
        };
        let len = text.count_bytes();
        let text = self.take(len)?;
        self.take(1)?;
        Ok(text)
    }

    fn target(&mut self) -> Result<Target, Fault> {
        let [target] = self.array()?;
        match target {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            _ => {
                let (tag, target) = (self.tag.escape_ascii(), target.escape_ascii());
                Err(Fault::client(format!("invalid target \"{target}\" of frontend message \"{tag}\"")))
            }
        }
    }

    /// Elements of `bytes_each` are announced; they must be there before room is made for them.
    fn count(&mut self, bytes_each: usize) -> Result<usize, Fault> {
        let count = usize::from(self.u16()?);
        if count * bytes_each > self.bytes.len() {
            return Err(self.short());
        }
        Ok(count)
    }

    fn formats(&mut self) -> Result<Vec<u16>, Fault> {
        let count = self.count(2)?;
        (0..count).map(|_| self.u16()).collect()
    }

    fn types(&mut self) -> Result<Vec<u32>, Fault> {
        let count = self.count(4)?;
        (0..count).map(|_| self.u32()).collect()
    }

    fn values(&mut self) -> Result<Vec<Option<Bytes>>, Fault> {
        let count = self.count(4)?;
        (0..count).map(|_| self.value()).collect()
    }

    /// A length and that many bytes; -1 is NULL, and nothing else below 0 is anything.
    fn value(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.i32()? {
            -1 => Ok(None),
            len => match usize::try_from(len) {
                Ok(len) => self.take(len).map(Some),
                Err(_) => Err(self.short()),
            },
        }
    }

    fn take_rest(&mut self) -> usize {
        let len = self.bytes.len();
        self.bytes.clear();
        len
    }

    fn end(&self) -> Result<(), Fault> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let (tag, count) = (self.tag.escape_ascii(), self.bytes.len());
        Err(Fault::client(format!("invalid message format: {count} bytes left over in frontend message \"{tag}\"")))
    }
}

#[cfg(test)]
#[path = "frontend_tests.rs"]
mod tests;
