//! A one-time code that an owner reads out on the phone: six digits that open one grant at once.
//! Not here: who may use it (`asking`). The event holds the public half of a key that the digits and a salt make; whoever
//! uses the code signs with the other half, so that the register itself sees that they knew it, and never learns it.

use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::scope::Scope;
use crate::clock::Timestamp;
use crate::entropy::{Entropy, random};
use crate::ids::{CodeId, CustomerId, GrantId, OwnerId};
use crate::secret::Secret;

/// How long a code lives.
pub const CODE_LIFE: Duration = Duration::from_secs(10 * 60);
/// How many wrong codes may be tried before the right one is worth nothing, either.
pub const CODE_MISSES_MAX: u8 = 5;
/// How many digits a code has.
const DIGITS: u32 = 6;
/// Argon2id: 64 MiB, two passes. A code has few digits; each guess must cost.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 2;

/// A code, as the register knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The sequence of the event that created it.
    pub id: CodeId,
    /// Whose data it opens.
    pub customer: CustomerId,
    /// Who gave it.
    pub owner: OwnerId,
    /// How far.
    pub scope: Scope,
    /// How long, in whole seconds.
    pub lasting: Duration,
    /// When it was created.
    pub created: Timestamp,
    /// Until when it can be used.
    pub expires: Timestamp,
    /// The public half of its key.
    pub key: [u8; 32],
    /// What goes with the digits; empty once erased, which no digits match.
    pub salt: Vec<u8>,
    /// How many wrong codes were tried.
    pub misses: u8,
    /// The grant it opened.
    pub used: Option<GrantId>,
}

impl Code {
    /// Whether it could still be used at that moment, as far as it alone says.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.used.is_none() && self.misses < CODE_MISSES_MAX && now < self.expires
    }

    /// The signing half of its key, if these are its digits.
    pub fn key_of(&self, digits: &Secret<String>) -> Option<Ed25519KeyPair> {
        let key = key_pair(digits, &self.salt)?;
        (key.public_key().as_ref() == self.key).then_some(key)
    }
}

/// A code that is made: the digits for the owner's eyes, the rest for the register.
pub struct NewCode {
    /// What the owner reads out.
    pub digits: Secret<String>,
    /// The public half of its key, for the event.
    pub key: [u8; 32],
    /// What goes with the digits, for the side row.
    pub salt: [u8; 16],
}

impl NewCode {
    /// Makes one. Takes as long as a guess does; not on a thread that serves others.
    pub fn make(entropy: &dyn Entropy) -> Option<NewCode> {
        let most = 10_u64.pow(DIGITS);
        // Of 2^64 numbers each code is as likely as the next, to one part in 10^13.
        let digits = Secret::new(format!("{:06}", u64::from_be_bytes(random(entropy)) % most));
        let salt = random(entropy);
        let key = key_pair(&digits, &salt)?.public_key().as_ref().try_into().ok()?;
        Some(NewCode { digits, key, salt })
    }
}

/// The key that digits and salt make; spaces among the digits, as people write them, do not count.
fn key_pair(digits: &Secret<String>, salt: &[u8]) -> Option<Ed25519KeyPair> {
    let plain = Secret::new(digits.expose().split_whitespace().collect::<String>());
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).ok()?;
    let mut seed = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(plain.expose().as_bytes(), salt, seed.as_mut_slice())
        .ok()?;
    Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).ok()
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
