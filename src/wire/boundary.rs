//! Where one message ends and the next begins, kept over bytes that arrive in any pieces.
//! Not here: what the messages say.
//! [PostgreSQL 18, message formats](https://www.postgresql.org/docs/18/protocol-message-formats.html): a type byte,
//! then
//! a length that counts itself and the body.

/// A position in a stream of typed messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boundary {
    /// The header read so far, while one is being read.
    header: [u8; 5],
    /// How many bytes of `header` are there.
    have: usize,
    /// Bytes of the body still to come.
    body: usize,
}

impl Boundary {
    /// Moves over `bytes`.
    pub fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (_, rest) = bytes.split_at(self.step(bytes));
            bytes = rest;
        }
    }

    /// Whether the position is between two messages.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.body == 0
    }

    /// How many of `bytes` belong to the message the position is in the middle of: all of them if it does not end
    /// there;
    /// none if the position is between two messages.
    pub fn rest_of_message(&self, bytes: &[u8]) -> usize {
        let mut ahead = *self;
        let mut taken = 0;
        while !ahead.is_between() && taken < bytes.len() {
            taken += ahead.step(bytes.get(taken..).unwrap_or_default());
        }
        taken
    }

    /// Moves over one header or over as much of one body as is there; answers by how many bytes.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.body > 0 {
            let taken = self.body.min(bytes.len());
            self.body -= taken;
            return taken;
        }
        let mut taken = 0;
        for (place, byte) in self.header.iter_mut().skip(self.have).zip(bytes) {
            *place = *byte;
            taken += 1;
        }
        self.have += taken;
        if self.have == self.header.len() {
            let [_, length @ ..] = self.header;
            self.body = (u32::from_be_bytes(length) as usize).saturating_sub(4);
            self.have = 0;
        }
        taken
    }
}

#[cfg(test)]
#[path = "boundary_tests.rs"]
mod tests;
