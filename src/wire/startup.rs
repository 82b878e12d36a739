//! The first packet of a connection, which has no type byte: StartupMessage, SSLRequest, GSSENCRequest, CancelRequest;
//! and our own such packets towards the upstream.
//! Not here: which parameters a client may set (`parameters`), and TLS. Follows PostgreSQL's `ProcessStartupPacket`.

use std::ffi::CStr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::response::{Report, Severity, message};
use crate::wire::{Fault, sqlstate};

mod options;
mod parameters;

pub use parameters::{StartupParameters, check_parameters};

/// PostgreSQL's `MAX_STARTUP_PACKET_LENGTH`, length word included.
pub const PACKET_BYTES_MAX: usize = 10_000;

/// Protocol 3.0.
pub const VERSION_3_0: u32 = 3 << 16;

/// Protocol 3.2, the newest we speak.
pub const VERSION_3_2: u32 = (3 << 16) | 2;

const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSS_ENC_REQUEST: u32 = (1234 << 16) | 5680;

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// The client wants a session.
    Startup(Startup),
    /// The client asks for TLS.
    SslRequest,
    /// The client asks for GSSAPI encryption.
    GssEncRequest,
    /// Somebody wants a statement cancelled.
    CancelRequest {
        /// The process id told to the session's client.
        pid: i32,
        /// The secret told to it, 4 to 256 bytes.
        secret: Bytes,
    },
}

/// A StartupMessage as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The protocol asked for: major version << 16 | minor version; the major version is 3.
    pub version: u32,
    /// Names and values, in order.
    pub parameters: Vec<(Bytes, Bytes)>,
}

/// Bytes of the packet, length word included, as the first four bytes tell; none: they are not all there.
///
/// # Errors
/// The client's fault, when no such packet is accepted.
pub fn packet_bytes(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(length) = bytes.first_chunk() else {
        return Ok(None);
    };
    match usize::try_from(u32::from_be_bytes(*length)) {
        Ok(length) if (8..=PACKET_BYTES_MAX).contains(&length) => Ok(Some(length)),
        Ok(_) | Err(_) => Err(Fault::client("invalid length of startup packet")),
    }
}

/// Reads a whole first packet, length word included.
///
/// # Errors
/// The client's fault, when anything is missing or left over; a refusal (0A000), when the protocol is not 3.
pub fn parse(packet: &Bytes) -> Result<First, Fault> {
    if packet_bytes(packet)? != Some(packet.len()) {
        return Err(Fault::client("invalid length of startup packet"));
    }
    let code = packet.get(4..).and_then(<[u8]>::first_chunk).copied();
    let code = code.map(u32::from_be_bytes).ok_or_else(|| Fault::client("invalid length of startup packet"))?;
    let body = packet.slice(8..);
    match code {
        SSL_REQUEST if body.is_empty() => Ok(First::SslRequest),
        GSS_ENC_REQUEST if body.is_empty() => Ok(First::GssEncRequest),
        SSL_REQUEST | GSS_ENC_REQUEST => Err(Fault::client("invalid length of encryption request")),
        CANCEL_REQUEST => cancel_request(&body),
        version if version >> 16 == 3 => Ok(First::Startup(Startup { version, parameters: parameter_list(body)? })),
        version => Err(unsupported(version)),
    }
}

fn cancel_request(body: &Bytes) -> Result<First, Fault> {
    let wrong = || Fault::client("invalid length of cancel request");
    let pid = i32::from_be_bytes(*body.first_chunk().ok_or_else(wrong)?);
    let secret = body.slice(4..);
    if !(4..=256).contains(&secret.len()) {
        return Err(wrong());
    }
    Ok(First::CancelRequest { pid, secret })
}

fn unsupported(version: u32) -> Fault {
    let (major, minor) = (version >> 16, version & 0xffff);
    let message = format!("unsupported frontend protocol {major}.{minor}: 3.0 to 3.2 are spoken here");
    Fault::Refused(Box::new(Report::new(Severity::Fatal, sqlstate::FEATURE_NOT_SUPPORTED, message)))
}

/// Pairs of texts, then a NUL that is the last byte.
fn parameter_list(mut body: Bytes) -> Result<Vec<(Bytes, Bytes)>, Fault> {
    let mut parameters = Vec::new();
    loop {
        if body.as_ref() == b"\0" {
            return Ok(parameters);
        }
        let name = string(&mut body).filter(|name| !name.is_empty());
        let value = string(&mut body);
        let (Some(name), Some(value)) = (name, value) else {
            return Err(Fault::client("invalid startup packet layout: expected terminator as last byte"));
        };
        parameters.push((name, value));
    }
}

fn string(body: &mut Bytes) -> Option<Bytes> {
    let len = CStr::from_bytes_until_nul(body).ok()?.count_bytes();
    let mut text = body.split_to(len + 1);
    text.truncate(len);
    Some(text)
}

/// The protocol to speak with a client that asked for `version`: what it asked for, at most 3.2.
pub fn agreed_version(version: u32) -> u32 {
    version.min(VERSION_3_2)
}

/// NegotiateProtocolVersion (`v`), which a client must get that asked for more than we speak: a minor version above
/// 3.2, or any `_pq_.*` option. None: it asked for nothing of the kind.
pub fn negotiate_protocol(version: u32, unrecognised: &[String]) -> Option<Bytes> {
    if version <= VERSION_3_2 && unrecognised.is_empty() {
        return None;
    }
    Some(message(b'v', |body| {
        body.put_u32(agreed_version(version));
        body.put_u32(u32::try_from(unrecognised.len()).unwrap_or(u32::MAX));
        for name in unrecognised {
            body.put_slice(name.as_bytes());
            body.put_u8(0);
        }
    }))
}

/// A StartupMessage with these parameters, in order.
///
/// # Errors
/// A bug, when a text holds a NUL, a name is empty, or the packet is larger than PostgreSQL accepts.
pub fn build_startup(version: u32, parameters: &[(&str, &str)]) -> Result<Bytes, Fault> {
    let mut body = BytesMut::new();
    body.put_u32(version);
    for (name, value) in parameters {
        if name.is_empty() || name.contains('\0') || value.contains('\0') {
            return Err(Fault::bug(format!("start-up parameter {name:?} cannot be sent")));
        }
        for text in [name, value] {
            body.put_slice(text.as_bytes());
            body.put_u8(0);
        }
    }
    body.put_u8(0);
    packet(&body)
}

/// An SSLRequest.
pub fn ssl_request() -> Bytes {
    let mut bytes = BytesMut::with_capacity(8);
    bytes.put_u32(8);
    bytes.put_u32(SSL_REQUEST);
    bytes.freeze()
}

/// A CancelRequest.
///
/// # Errors
/// A bug, when the secret is not one that PostgreSQL hands out.
pub fn cancel_request_packet(pid: i32, secret: &[u8]) -> Result<Bytes, Fault> {
    if !(4..=256).contains(&secret.len()) {
        return Err(Fault::bug(format!("a cancel secret of {} bytes", secret.len())));
    }
    let mut body = BytesMut::new();
    body.put_u32(CANCEL_REQUEST);
    body.put_i32(pid);
    body.put_slice(secret);
    packet(&body)
}

fn packet(body: &[u8]) -> Result<Bytes, Fault> {
    let length = 4 + body.len();
    if length > PACKET_BYTES_MAX {
        return Err(Fault::bug(format!("a startup packet of {length} bytes")));
    }
    let mut bytes = BytesMut::with_capacity(length);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.put_slice(body);
    Ok(bytes.freeze())
}

#[cfg(test)]
#[path = "startup_tests.rs"]
mod tests;
