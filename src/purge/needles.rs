//! Needles: a few high-entropy values of a customer, kept only as HMACs under a one-time key, and a matcher that finds
//! them anywhere in a stream of bytes. A 20-bit index of the first eight bytes says where an HMAC is worth computing.
//! Not here: which tables are looked through (`probe.rs`).

use std::collections::BTreeMap;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use zeroize::Zeroize;

use super::spellings::{is_special, spellings};
use crate::entropy::{Entropy, random};
use crate::secret::Secret;

/// A value shorter than this is no needle: it could be anybody's.
pub const NEEDLE_BYTES_MIN: usize = 12;
const INDEX_BITS: u32 = 20;
const WINDOW: usize = 8;

struct Needle {
    length: usize,
    tag: [u8; 32],
}

/// Values that can be recognised and not be read. The key goes with it.
pub struct Needles {
    key: Secret<[u8; 32]>,
    hmac: Key,
    needles: BTreeMap<u64, Vec<Needle>>,
    values: usize,
    special: usize,
    wanted: Vec<bool>,
}

impl Needles {
    /// None yet, under a new key.
    pub fn new(entropy: &dyn Entropy) -> Needles {
        Needles::under(random(entropy))
    }

    fn under(mut key: [u8; 32]) -> Needles {
        let hmac = Key::new(HMAC_SHA256, &key);
        let secret = Secret::new(key);
        key.zeroize();
        Needles {
            key: secret,
            hmac,
            needles: BTreeMap::new(),
            values: 0,
            special: 0,
            wanted: vec![false; 1 << INDEX_BITS],
        }
    }

    /// How many values it holds.
    pub fn len(&self) -> usize {
        self.values
    }

    /// Whether it holds none: then finding nothing proves nothing.
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// How many of them text may spell in still other ways than those that are looked for.
    pub fn special(&self) -> usize {
        self.special
    }

    /// Takes a value, if it is long and varied enough to be nobody else's by chance: in every spelling there is of it
    /// here (`spellings.rs`), and as the digits that a bare uuid is shown as.
    pub fn add(&mut self, value: &str) -> bool {
        let value = value.trim();
        let folded = value.to_ascii_lowercase();
        let mut different: Vec<u8> = folded.bytes().collect();
        different.sort_unstable();
        different.dedup();
        if folded.len() < NEEDLE_BYTES_MIN || different.len() < NEEDLE_BYTES_MIN / 2 {
            return false;
        }
        self.special += usize::from(is_special(value));
        self.values += 1;
        let mut all = spellings(value);
        let bare = folded.replace('-', "");
        if folded.len() == 36 && bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            all.insert(bare.into_bytes());
        }
        all.iter().for_each(|spelling| self.variant(spelling));
        true
    }

    fn variant(&mut self, bytes: &[u8]) {
        let Some(first) = bytes.first_chunk::<WINDOW>() else { return };
        let index = self.index(*first);
        let mut tag = [0; 32];
        tag.copy_from_slice(sign(&self.hmac, bytes).as_ref());
        if let Some(wanted) = usize::try_from(index).ok().and_then(|index| self.wanted.get_mut(index)) {
            *wanted = true;
        }
        self.needles.entry(index).or_default().push(Needle { length: bytes.len(), tag });
    }

    /// Keyed, and too short to be turned back.
    fn index(&self, window: [u8; WINDOW]) -> u64 {
        let factor = self.key.expose().first_chunk::<8>().map_or(1, |first| u64::from_le_bytes(*first) | 1);
        u64::from_le_bytes(window).wrapping_mul(factor) >> (u64::BITS - INDEX_BITS)
    }

    /// How many needles stand in `text`, whatever their case.
    pub fn count_in(&self, text: &[u8]) -> u64 {
        let folded = text.to_ascii_lowercase();
        let factor = self.key.expose().first_chunk::<8>().map_or(1, |first| u64::from_le_bytes(*first) | 1);
        let mut found = 0;
        for (at, window) in folded.windows(WINDOW).enumerate() {
            let Some(first) = window.first_chunk::<WINDOW>() else { continue };
            let index = u64::from_le_bytes(*first).wrapping_mul(factor) >> (u64::BITS - INDEX_BITS);
            let is_wanted = usize::try_from(index).ok().and_then(|index| self.wanted.get(index));
            if is_wanted != Some(&true) {
                continue;
            }
            let here = self.needles.get(&index).into_iter().flatten().filter(|needle| {
                let bytes = folded.get(at..at + needle.length);
                bytes.is_some_and(|bytes| sign(&self.hmac, bytes).as_ref() == needle.tag)
            });
            found += u64::try_from(here.count()).unwrap_or(u64::MAX);
        }
        found
    }

    /// To be kept sealed until the purge is verified: the key, both counts, then each needle.
    pub fn to_bytes(&self) -> Secret<Vec<u8>> {
        let mut bytes = self.key.expose().to_vec();
        bytes.extend(u32::try_from(self.values).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(u32::try_from(self.special).unwrap_or(u32::MAX).to_le_bytes());
        for (index, needle) in self.needles.iter().flat_map(|(index, all)| all.iter().map(move |one| (index, one))) {
            bytes.extend(u32::try_from(*index).unwrap_or(0).to_le_bytes());
            bytes.extend(u32::try_from(needle.length).unwrap_or(0).to_le_bytes());
            bytes.extend(needle.tag);
        }
        Secret::new(bytes)
    }

    /// What [`Needles::to_bytes`] gave; `None` if it is anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Needles> {
        let (key, rest) = bytes.split_first_chunk::<32>()?;
        let (values, rest) = rest.split_first_chunk::<4>()?;
        let (special, mut rest) = rest.split_first_chunk::<4>()?;
        let mut needles = Needles::under(*key);
        needles.values = usize::try_from(u32::from_le_bytes(*values)).ok()?;
        needles.special = usize::try_from(u32::from_le_bytes(*special)).ok()?;
        while !rest.is_empty() {
            let (index, after) = rest.split_first_chunk::<4>()?;
            let (length, after) = after.split_first_chunk::<4>()?;
            let (tag, after) = after.split_first_chunk::<32>()?;
            let index = u64::from(u32::from_le_bytes(*index));
            *usize::try_from(index).ok().and_then(|index| needles.wanted.get_mut(index))? = true;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            needles.needles.entry(index).or_default().push(Needle { length, tag: *tag });
            rest = after;
        }
        Some(needles)
    }
}

#[cfg(test)]
#[path = "needles_tests.rs"]
mod tests;
