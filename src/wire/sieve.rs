//! Cuts whole messages of one type out of the server's byte stream, in whatever pieces it comes.
//! Not here: what a message says, and why it is cut out (`proxy/notifications.rs`).
//! [PostgreSQL 18, message formats](https://www.postgresql.org/docs/18/protocol-message-formats.html).

use bytes::{Bytes, BytesMut};

use super::frame::HEADER_BYTES;

/// A position in a stream of typed messages, some of which do not pass.
#[derive(Debug)]
pub struct Sieve {
    /// The type that does not pass.
    tag: u8,
    /// The header of the message we are in, as far as it came.
    header: [u8; HEADER_BYTES],
    have: usize,
    /// Bytes of its body still to come.
    body: usize,
}

impl Sieve {
    /// At the start of a stream; messages of type `tag` are cut out.
    pub fn new(tag: u8) -> Sieve {
        Sieve { tag, header: [0; HEADER_BYTES], have: 0, body: 0 }
    }

    /// What of these bytes passes: all of them, uncopied, if no message of that type is among them.
    pub fn pass(&mut self, bytes: Bytes) -> Bytes {
        let mut kept: Option<BytesMut> = None;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let (taken, passes) = self.step(rest);
            let part = rest.get(..taken).unwrap_or(rest);
            match (&mut kept, passes) {
                (None, true) | (Some(_), false) => {}
                (None, false) => kept = Some(BytesMut::from(bytes.get(..at).unwrap_or_default())),
                (Some(kept), true) => kept.extend_from_slice(part),
            }
            at += taken;
        }
        kept.map_or(bytes, BytesMut::freeze)
    }

    /// Moves over a header or a body as far as it is there (at least one byte): how far, and whether it passes.
    fn step(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.body > 0 {
            let taken = self.body.min(bytes.len());
            self.body -= taken;
            return (taken, self.passes());
        }
        let mut taken = 0;
        for (place, byte) in self.header.iter_mut().skip(self.have).zip(bytes) {
            *place = *byte;
            taken += 1;
        }
        self.have += taken;
        if self.have == HEADER_BYTES {
            let [_, length @ ..] = self.header;
            self.body = (u32::from_be_bytes(length) as usize).saturating_sub(4);
            self.have = 0;
        }
        (taken, self.passes())
    }

    fn passes(&self) -> bool {
        let [tag, ..] = self.header;
        tag != self.tag
    }
}

#[cfg(test)]
#[path = "sieve_tests.rs"]
mod tests;
