//! Which three characters stand one behind the other in the texts of many records, as bits: what a text is not in has one that
//! is nowhere. Upper and lower case are alike.
//! Not here: how the bits are sealed and where they stand (`log/blocks.rs`), and what is asked (`log/search.rs`).
//! FORMAT.md, "Blocks".

use zeroize::Zeroizing;

use super::words::pad;

/// How many bits there are: with what stands before them, and the byte that sealing adds, a power of two of bytes.
const BITS: u32 = 8 * (MAP_BYTES as u32);
const MAP_BYTES: usize = 8188;
/// Bytes before the bits: their kind, and how many there are in a list.
const HEAD_BYTES: usize = 3;
const LIST: u8 = 1;
const MAP: u8 = 2;
/// Above that many bits the map is no longer than a list.
const LISTED_MAX: usize = (4096 - 1 - HEAD_BYTES) / 2;
/// Values up to that length are compared with those before: most have much in common with them.
const LAST_BYTES_MAX: usize = 1024;
/// What is longer is taken to hold anything, rather than looked through while others wait.
const LOOKED_THROUGH_MAX: usize = 1 << 20;

/// Two characters beyond ASCII become such of ASCII in lower case: U+212A (`k`) and U+0130 (`i` and a dot). Records that
/// hold one may hold anything.
const KELVIN: u32 = 0x00e2_84aa;
const DOTTED_I: u32 = 0xc4b0;

/// The bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Pieces(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pieces(***)")
    }
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces(Zeroizing::new(vec![0; MAP_BYTES]))
    }
}

/// The bit of three characters of ASCII, in lower case.
fn bit(three: u32) -> u32 {
    let mixed = three.wrapping_mul(0x9e37_79b1);
    ((u64::from(mixed) * u64::from(BITS)) >> 32) as u32
}

/// Three bytes that are characters of ASCII.
fn is_ascii(three: u32) -> bool {
    three & 0x0080_8080 == 0
}

impl Pieces {
    /// Takes in what stands in these bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        if bytes.len() > LOOKED_THROUGH_MAX {
            return self.0.fill(u8::MAX);
        }
        let (mut raw, mut three) = (u32::MAX, u32::MAX);
        for byte in bytes {
            raw = (raw << 8 | u32::from(*byte)) & 0x00ff_ffff;
            three = (three << 8 | u32::from(byte.to_ascii_lowercase())) & 0x00ff_ffff;
            if is_ascii(three) {
                self.set(bit(three));
            } else if raw == KELVIN || raw & 0xffff == DOTTED_I {
                return self.0.fill(u8::MAX);
            }
        }
    }

    fn set(&mut self, bit: u32) {
        if let Some(byte) = self.0.get_mut(bit as usize / 8) {
            *byte |= 1 << (bit % 8);
        }
    }

    fn has(&self, bit: u32) -> bool {
        self.0.get(bit as usize / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0)
    }

    /// Whether a text that was taken in can hold this one.
    pub fn may_hold(&self, sought: &Sought) -> bool {
        sought.0.iter().all(|bit| self.has(*bit))
    }

    /// Most often few are set, and this is done for many recipients in a row.
    fn set_bits(&self) -> Vec<u16> {
        let bytes = (0_u16..).step_by(8).zip(self.0.iter()).filter(|(_, byte)| **byte != 0);
        let of_byte = |(first, byte): (u16, &u8)| {
            let byte = *byte;
            (0..8).filter(move |bit| byte & 1 << bit != 0).map(move |bit| first + bit)
        };
        bytes.flat_map(of_byte).collect()
    }

    /// As a block's content: a list or the map, whichever is shorter, then zeros, so that the length with the byte that sealing
    /// adds is a power of two and tells no more than that.
    pub fn to_content(&self) -> Zeroizing<Vec<u8>> {
        let set = Zeroizing::new(self.set_bits());
        let mut content = Zeroizing::new(Vec::with_capacity(MAP_BYTES + HEAD_BYTES));
        let (kind, count) = if set.len() > LISTED_MAX { (MAP, 0) } else { (LIST, set.len()) };
        content.push(kind);
        content.extend_from_slice(&u16::try_from(count).unwrap_or(0).to_le_bytes());
        if kind == MAP {
            content.extend_from_slice(&self.0);
        } else {
            set.iter().for_each(|bit| content.extend_from_slice(&bit.to_le_bytes()));
        }
        pad(&mut content);
        content
    }

    /// What such a content holds. None: it is none, or is not written as it must be.
    pub fn from_content(content: &[u8]) -> Option<Pieces> {
        let ([kind, low, high], rest) = content.split_first_chunk::<HEAD_BYTES>()?;
        let mut pieces = Pieces::default();
        if *kind == MAP {
            pieces.0.copy_from_slice(rest.get(..MAP_BYTES)?);
        } else {
            let count = usize::from(u16::from_le_bytes([*low, *high]));
            for bit in rest.get(..2 * count)?.as_chunks::<2>().0 {
                pieces.set(u16::from_le_bytes(*bit).into());
            }
        }
        (pieces.to_content().as_slice() == content).then_some(pieces)
    }
}

/// What a text that is sought must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought(Vec<u32>);

impl Sought {
    /// Of a text in lower case; none if no bits tell anything of it: it is too short, or has too little of ASCII.
    pub fn of(text: &str) -> Option<Sought> {
        let three = |three: &[u8]| three.iter().fold(0, |before, byte| before << 8 | u32::from(*byte));
        let bits: Vec<u32> = text.as_bytes().windows(3).map(three).filter(|three| is_ascii(*three)).map(bit).collect();
        (!bits.is_empty()).then_some(Sought(bits))
    }
}

/// The bits of one recipient's records, one after the other.
#[derive(Debug)]
pub struct Texts {
    pieces: Pieces,
    /// The values of the record before, if they were short.
    last: Zeroizing<Vec<u8>>,
}

impl Texts {
    /// None yet.
    pub fn new() -> Texts {
        // It never grows: what was moved would not be wiped.
        Texts { pieces: Pieces::default(), last: Zeroizing::new(Vec::with_capacity(LAST_BYTES_MAX)) }
    }

    /// Takes in a record's values, in CBOR, where each text stands as it is; and what of it reads otherwise.
    pub fn take(&mut self, values: &[u8], shown: &[u8]) {
        if values.len() > LOOKED_THROUGH_MAX {
            self.last.clear();
            return self.pieces.add(values);
        }
        let start = values.iter().zip(self.last.iter()).take_while(|(a, b)| a == b).count();
        let rest = values.len().min(self.last.len()) - start;
        let behind = |(a, b): &(&u8, &u8)| a == b;
        let same = values.iter().rev().zip(self.last.iter().rev()).take(rest).take_while(behind).count();
        if start < values.len() || same > 0 {
            // With two bytes on either side, what stands across the borders is looked at, too.
            let changed = start.saturating_sub(2)..(values.len() - same + 2).min(values.len());
            self.pieces.add(values.get(changed).unwrap_or_default());
        }
        if !shown.is_empty() {
            self.pieces.add(shown);
        }
        self.last.clear();
        if values.len() <= LAST_BYTES_MAX {
            self.last.extend_from_slice(values);
        }
    }

    /// The bits so far.
    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// All bits.
    pub fn into_pieces(self) -> Pieces {
        self.pieces
    }
}

impl Default for Texts {
    fn default() -> Self {
        Texts::new()
    }
}

#[cfg(test)]
#[path = "pieces_tests.rs"]
mod tests;
