//! The server's side of SCRAM-SHA-256 over a stored PostgreSQL verifier, as pure steps: a message in, a state and a
//! message out. An unknown user's exchange is the same, over a mock verifier, and always fails.
//! Not here: -PLUS (channel binding), and the client's side (postgres-protocol). Follows RFC 5802 and RFC 7677.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::wire::frame::Frame;
use crate::wire::response::{Report, Severity};
use crate::wire::{Fault, sqlstate};

mod verifier;

pub use verifier::{ITERATIONS, NotAVerifier, Verifier, verifier_from_password};

/// The one mechanism offered.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// Random bytes of our half of the nonce.
pub const NONCE_BYTES: usize = 18;

/// Reads a SASLInitialResponse: the mechanism, and the client's first message.
///
/// # Errors
/// The client's fault, when the frame is not one; a refusal, when the mechanism was not offered.
pub fn initial_response(frame: &Frame) -> Result<Bytes, Fault> {
    let wrong = || Fault::client("invalid SASL initial response");
    let body = sasl_body(frame)?;
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(wrong)?;
    if body.slice(..end) != MECHANISM {
        return Err(Fault::client("client selected an invalid SASL authentication mechanism"));
    }
    let rest = body.slice(end + 1..);
    let length = u32::from_be_bytes(*rest.first_chunk().ok_or_else(wrong)?);
    let message = rest.slice(4..);
    if usize::try_from(length) != Ok(message.len()) {
        return Err(wrong());
    }
    Ok(message)
}

/// Reads a SASLResponse: the client's final message.
///
/// # Errors
/// The client's fault, when the frame is not one.
pub fn response(frame: &Frame) -> Result<Bytes, Fault> {
    sasl_body(frame)
}

fn sasl_body(frame: &Frame) -> Result<Bytes, Fault> {
    if frame.tag() == b'p' {
        return Ok(frame.body());
    }
    Err(Fault::client(format!("expected SASL response, got message type {}", frame.tag())))
}

/// The exchange after our challenge went out: the client's proof is awaited.
#[derive(Debug)]
pub struct Challenged {
    verifier: Verifier,
    /// What the client must repeat in `c=`.
    binding: &'static str,
    /// Both halves.
    nonce: String,
    /// `client-first-message-bare,server-first-message,`
    transcript: String,
}

/// Answers the client's first message with a challenge. The user's name is the one of the start-up packet; the one in
/// the message is not looked at, as in PostgreSQL.
///
/// # Errors
/// The client's fault, when the message is malformed; a refusal, when it asks for what is not offered.
pub fn challenge(first: &[u8], verifier: Verifier, nonce: [u8; NONCE_BYTES]) -> Result<(Challenged, Bytes), Fault> {
    challenge_with(first, verifier, &STANDARD.encode(nonce))
}

fn challenge_with(first: &[u8], verifier: Verifier, nonce: &str) -> Result<(Challenged, Bytes), Fault> {
    let first = std::str::from_utf8(first).map_err(|_| malformed("it is not UTF-8"))?;
    let (binding, bare) = if let Some(bare) = first.strip_prefix("n,,") {
        ("biws", bare)
    } else if let Some(bare) = first.strip_prefix("y,,") {
        ("eSws", bare)
    } else {
        return Err(unsupported_header(first));
    };
    let mut attributes = bare.split(',');
    attributes.next().filter(|name| name.starts_with("n=")).ok_or_else(|| match bare.starts_with("m=") {
        true => not_offered("client requires an unsupported SCRAM extension"),
        false => malformed("\"n=\" expected"),
    })?;
    let theirs = attributes.next().and_then(|attribute| attribute.strip_prefix("r="));
    let theirs = theirs.ok_or_else(|| malformed("\"r=\" expected"))?;
    if theirs.is_empty() || !theirs.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(malformed("the nonce is not printable"));
    }
    let nonce = format!("{theirs}{nonce}");
    let challenge = format!("r={nonce},s={},i={}", STANDARD.encode(verifier.salt()), verifier.iterations());
    let transcript = format!("{bare},{challenge},");
    Ok((Challenged { verifier, binding, nonce, transcript }, Bytes::from(challenge)))
}

impl Challenged {
    /// Checks the client's final message, and gives ours.
    ///
    /// # Errors
    /// The client's fault, when the message is malformed; a refusal (28P01), when the proof is wrong or the user does
    /// not exist. The two cannot be told apart.
    pub fn prove(self, last: &[u8], user: &str) -> Result<Bytes, Fault> {
        let last = std::str::from_utf8(last).map_err(|_| malformed("it is not UTF-8"))?;
        let (unproved, proof) = last.rsplit_once(",p=").ok_or_else(|| malformed("\"p=\" expected"))?;
        let mut attributes = unproved.split(',');
        let binding = attributes.next().and_then(|attribute| attribute.strip_prefix("c="));
        if binding != Some(self.binding) {
            return Err(malformed("unexpected channel binding"));
        }
        let nonce = attributes.next().and_then(|attribute| attribute.strip_prefix("r="));
        if nonce != Some(self.nonce.as_str()) {
            return Err(malformed("the nonce does not match"));
        }
        let proof = STANDARD.decode(proof).ok().and_then(|proof| <[u8; 32]>::try_from(proof).ok());
        let proof = proof.ok_or_else(|| malformed("malformed proof"))?;
        let transcript = format!("{}{unproved}", self.transcript);
        let proved = self.verifier.proves(transcript.as_bytes(), proof);
        let signature = hmac_sha256(self.verifier.server_key(), transcript.as_bytes());
        if proved && !self.verifier.is_mock() {
            return Ok(Bytes::from(format!("v={}", STANDARD.encode(signature))));
        }
        Err(wrong_password(user))
    }
}

impl Verifier {
    /// ClientKey = proof XOR HMAC(StoredKey, transcript), and its digest must be StoredKey.
    fn proves(&self, transcript: &[u8], proof: [u8; 32]) -> bool {
        let mut client_key = hmac_sha256(self.stored_key(), transcript);
        for (byte, proof) in client_key.iter_mut().zip(proof) {
            *byte ^= proof;
        }
        let stored = digest::digest(&digest::SHA256, &client_key);
        verify_slices_are_equal(stored.as_ref(), self.stored_key()).is_ok()
    }
}

fn hmac_sha256(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

fn malformed(why: &str) -> Fault {
    Fault::client(format!("malformed SCRAM message: {why}"))
}

fn unsupported_header(first: &str) -> Fault {
    if first.starts_with("p=") {
        not_offered("channel binding was not offered, and the client requires it")
    } else if first.starts_with("n,a=") || first.starts_with("y,a=") {
        not_offered("client uses authorization identity, but it is not supported")
    } else {
        malformed("unexpected channel binding flag")
    }
}

fn not_offered(message: &str) -> Fault {
    let report = Report::new(Severity::Fatal, sqlstate::FEATURE_NOT_SUPPORTED, message);
    Fault::Refused(Box::new(report.hint("Use channel_binding=prefer (the default) or disable.")))
}

/// The refusal of a wrong password and of an unknown user, in PostgreSQL's words.
pub fn wrong_password(user: &str) -> Fault {
    let message = format!("password authentication failed for user \"{user}\"");
    Fault::Refused(Box::new(Report::new(Severity::Fatal, sqlstate::INVALID_PASSWORD, message)))
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
