//! HMAC-SHA-256 under a key that every record asks for: what the key itself contributes is computed once and kept.
//! Not here: what such codes are for (`seal.rs`, `tag.rs`).
//! RFC 2104, over the `sha2` crate's compression function: half the time of `aws-lc-rs`, which does the key's share again for
//! each code (`benches/hmac.rs`). The `hmac` crate hands keyed states on by value, which leaves copies of them on the stack.

use std::slice;

use sha2::block_api::compress256;
use zeroize::Zeroizing;

use crate::secret::{Secret, wipe};

const BLOCK_BYTES: usize = 64;
/// Bytes of what SHA-256 puts behind a message besides zeros: a mark and the length.
const END_BYTES: usize = 9;

type State = [u32; 8];

/// Where SHA-256 begins (FIPS 180-4 section 5.3.3).
const BEGINNING: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A key made ready for use.
#[derive(Debug)]
pub struct MacKey(Secret<[State; 2]>);

impl MacKey {
    /// Makes 32 bytes ready.
    pub fn new(key: &Secret<[u8; 32]>) -> Self {
        let behind = |pad: u8| {
            let mut block = Zeroizing::new([pad; BLOCK_BYTES]);
            block.iter_mut().zip(key.expose()).for_each(|(byte, key)| *byte ^= key);
            let mut state = BEGINNING;
            compress256(&mut state, slice::from_ref(&*block));
            state
        };
        MacKey(Secret::new([behind(0x36), behind(0x5c)]))
    }

    /// Writes the message's code to `out`. No copy of it stays elsewhere, as it may be a key.
    #[inline]
    pub fn mac(&self, message: &[u8], out: &mut [u8; 32]) {
        let [inner, outer] = self.0.expose();
        let (blocks, rest) = message.as_chunks();
        let mut state = *inner;
        if !blocks.is_empty() {
            compress256(&mut state, blocks);
        }
        end(&mut state, rest, BLOCK_BYTES + message.len());
        let mut hash = [0; 32];
        write(&state, &mut hash);
        state = *outer;
        end(&mut state, &hash, BLOCK_BYTES + hash.len());
        write(&state, out);
        wipe(&mut state);
    }
}

/// Takes in the last bytes, fewer than a block, and the end of a message that is so long in all.
#[inline]
fn end(state: &mut State, rest: &[u8], length: usize) {
    let mut blocks = [[0; BLOCK_BYTES]; 2];
    let count = if rest.len() + END_BYTES <= BLOCK_BYTES { 1 } else { 2 };
    let (blocks, _) = blocks.split_at_mut(count);
    let bytes = blocks.as_flattened_mut();
    if let Some(bits) = bytes.last_chunk_mut() {
        *bits = (length as u64 * 8).to_be_bytes();
    }
    let (content, behind) = bytes.split_at_mut(rest.len());
    content.copy_from_slice(rest);
    if let Some(mark) = behind.first_mut() {
        *mark = 0x80;
    }
    compress256(state, blocks);
}

#[inline]
fn write(state: &State, out: &mut [u8; 32]) {
    let (words, _) = out.as_chunks_mut();
    words.iter_mut().zip(state).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
}

#[cfg(test)]
#[path = "mac_tests.rs"]
mod tests;
