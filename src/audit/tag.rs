//! Tags and links: how a reader with a recipient's tag key recognises that recipient's records, and sees that none is
//! missing between two of them. Without the key a tag is a random number that changes per segment.
//! HMAC-SHA-256 (RFC 2104); FORMAT.md, "Tags and links".

use std::collections::HashMap;

use crate::audit::keys::{Recipient, Recipients, TagKey};
use crate::audit::mac::MacKey;
use crate::audit::tree::{Hash, if_short};

/// A tag key made ready for use in one log.
#[derive(Debug)]
pub struct Tagger {
    key: MacKey,
    origin: String,
}

impl Tagger {
    /// Makes the key ready for the log of that origin.
    pub fn new(key: &TagKey, origin: &str) -> Self {
        Tagger { key: MacKey::new(&key.0), origin: origin.to_owned() }
    }

    /// The recipient's tag in that segment.
    pub fn tag(&self, segment: u64) -> [u8; 16] {
        let mut tag = [0; 16];
        let full = self.mac(b"portreeve/tag/v1\n", &segment.to_le_bytes());
        tag.iter_mut().zip(full).for_each(|(byte, full)| *byte = full);
        tag
    }

    /// The link to the recipient's previous record, given the hash of its leaf; none: this is the first.
    pub fn link(&self, previous: Option<&Hash>) -> [u8; 32] {
        self.mac(b"portreeve/link/v1\n", previous.unwrap_or(&[0; 32]))
    }

    fn mac(&self, label: &[u8], input: &[u8]) -> [u8; 32] {
        let parts = [label, input, self.origin.as_bytes()];
        let mac = |message: &[u8]| {
            let mut mac = [0; 32];
            self.key.mac(message, &mut mac);
            mac
        };
        if_short(&parts, mac).unwrap_or_else(|| mac(&parts.concat()))
    }
}

/// Recognises recipients by their tags, for readers.
#[derive(Debug)]
pub struct Tags {
    taggers: Vec<(Recipient, Tagger)>,
    segment: Option<u64>,
    known: HashMap<[u8; 16], Recipient>,
}

impl Tags {
    /// Every recipient whose tag key is in `recipients`, in the log of that origin.
    pub fn new(recipients: &Recipients, origin: &str) -> Self {
        Tags::of(recipients, origin, None)
    }

    /// The same of one recipient alone, if there is one given.
    pub fn of(recipients: &Recipients, origin: &str, only: Option<Recipient>) -> Self {
        let keys = recipients.tags().into_iter().filter(|(whose, _)| only.is_none_or(|only| only == *whose));
        let taggers = keys.map(|(whose, key)| (whose, Tagger::new(&key, origin))).collect();
        Tags { taggers, segment: None, known: HashMap::new() }
    }

    /// Whose tag this is in that segment; none if no known tag key makes it.
    pub fn recognise(&mut self, segment: u64, tag: &[u8; 16]) -> Option<Recipient> {
        if self.segment != Some(segment) {
            self.known = self.taggers.iter().map(|(whose, tagger)| (tagger.tag(segment), *whose)).collect();
            self.segment = Some(segment);
        }
        self.known.get(tag).copied()
    }

    /// The tagger of that recipient.
    pub fn tagger(&self, recipient: Recipient) -> Option<&Tagger> {
        self.taggers.iter().find(|(whose, _)| *whose == recipient).map(|(_, tagger)| tagger)
    }
}

#[cfg(test)]
#[path = "tag_tests.rs"]
mod tests;
