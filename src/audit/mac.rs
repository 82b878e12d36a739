//! HMAC-SHA-256 (RFC 2104) under a key that is used often, and HKDF-Expand (RFC 5869) by it.
//! Not here: what is authenticated. The hash is that of the `sha2` crate: its state after the key is kept and copied, so that
//! a short message costs three or four blocks (`cargo bench --bench mac`: the other crate takes three times as long).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::tree::Hash;

/// A key made ready for use; it is wiped when it is dropped.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// Takes a key of whatever length.
    pub fn new(key: &[u8]) -> MacKey {
        MacKey(Hmac::new_from_slice(key).expect("a key may have any length"))
    }

    /// The MAC of the parts, one after the other.
    pub fn mac(&self, parts: &[&[u8]]) -> Hash {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// HKDF-Expand, with it as the pseudorandom key.
    pub fn expand<const N: usize>(&self, info: &[&[u8]]) -> Zeroizing<[u8; N]> {
        let (mut okm, mut block) = (Zeroizing::new([0; N]), Zeroizing::new([0; 32]));
        for (counter, piece) in (1_u8..=u8::MAX).zip(okm.chunks_mut(32)) {
            let mut mac = self.0.clone();
            if counter > 1 {
                mac.update(block.as_slice());
            }
            info.iter().for_each(|part| mac.update(part));
            mac.update(&[counter]);
            *block = mac.finalize().into_bytes().into();
            piece.iter_mut().zip(block.iter()).for_each(|(to, from)| *to = *from);
        }
        okm
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(***)")
    }
}

#[cfg(test)]
#[path = "mac_tests.rs"]
mod tests;
