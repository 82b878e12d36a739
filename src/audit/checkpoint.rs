//! A signed statement of how long a log is and what its root is.
//! Not here: where it is kept (`log/`), the form of notes (`note.rs`), and cosignatures (`cosignature.rs`).
//! C2SP tlog-checkpoint, Ed25519 (<https://c2sp.org/tlog-checkpoint>).

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::note::{Algorithm, Note, VerifierKey};
use crate::audit::tree::Hash;
use crate::secret::Secret;

/// What is wrong with a note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not a checkpoint, or was changed.
    #[error("the checkpoint was changed or is none: {0}")]
    Changed(&'static str),
    /// No signature is by the key it was checked against.
    #[error("the checkpoint of {found} is not signed by the key of {expected}")]
    WrongKey {
        /// The origin the note gives.
        found: String,
        /// Whose key it was checked against.
        expected: String,
    },
}

/// How long a log is, and its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log, such as `portreeve/proxy-gate-1`.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// The Ed25519 key that signs one log's checkpoints.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key with that seed (RFC 8032: the 32-byte private key).
    pub fn from_seed(seed: &Secret<[u8; 32]>) -> Self {
        SigningKey(Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("an Ed25519 seed has 32 bytes"))
    }

    /// The public key, by which others check.
    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes")
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }

    /// Signs what is no note. The domain ends in a zero byte, which no note has.
    pub fn sign_bytes(&self, domain: &[u8], bytes: &[u8]) -> [u8; 64] {
        self.sign(&[domain, bytes].concat())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl Checkpoint {
    /// The signed note.
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root));
        let line = log_key(&self.origin, &key.public()).line(&key.sign(text.as_bytes()));
        format!("{text}\n{line}")
    }

    /// Reads a signed note and checks the signature of the log itself; others are ignored.
    ///
    /// # Errors
    /// [`Error::WrongKey`] if there is no signature by that key of that origin, [`Error::Changed`] if one does not
    /// verify.
    pub fn open(note: &str, origin: &str, public: &[u8; 32]) -> Result<Checkpoint, Error> {
        let note = Note::read(note)?;
        let checkpoint = Checkpoint::parse(note.text)?;
        let key = log_key(origin, public);
        let mut own = note.signatures.iter().filter(|signature| signature.is_by(&key)).peekable();
        if own.peek().is_none() || checkpoint.origin != origin {
            return Err(Error::WrongKey { found: checkpoint.origin, expected: origin.to_owned() });
        }
        if !own.all(|signature| key.verifies(note.text.as_bytes(), &signature.bytes)) {
            return Err(Error::Changed("its signature does not verify"));
        }
        Ok(checkpoint)
    }

    /// The origin a note claims, unchecked.
    pub fn claimed_origin(note: &str) -> Option<&str> {
        note.split_once('\n').map(|(origin, _)| origin)
    }

    /// The size that a note claims, unverified.
    pub fn claimed_size(note: &str) -> Option<u64> {
        note.split('\n').nth(1)?.parse().ok()
    }

    /// Reads a note's text, whoever signed it.
    pub(super) fn parse(text: &str) -> Result<Checkpoint, Error> {
        let wrong = Error::Changed;
        let mut lines = text.split('\n');
        let mut line = || lines.next().ok_or(wrong("it has fewer than three lines"));
        let (origin, size, root) = (line()?, line()?, line()?);
        let is_decimal = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
        let size = size.parse().ok().filter(|parsed: &u64| is_decimal && parsed.to_string() == size);
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok());
        // Extension lines are nobody's here; none of them may be empty.
        let has_end = lines.next_back() == Some("");
        if origin.is_empty() || !has_end || lines.any(str::is_empty) {
            return Err(wrong("its text is not an origin, a size, a root and lines that are not empty"));
        }
        Ok(Checkpoint {
            origin: origin.to_owned(),
            size: size.ok_or(wrong("its size is not a number"))?,
            root: root.ok_or(wrong("its root is not 32 bytes in base64"))?,
        })
    }
}

/// The verifier key in the signed note's own text form, for other tools: `origin+hash+key`.
pub fn verifier_key(origin: &str, public: &[u8; 32]) -> String {
    log_key(origin, public).text()
}

fn log_key(origin: &str, public: &[u8; 32]) -> VerifierKey {
    VerifierKey { name: origin.to_owned(), algorithm: Algorithm::Ed25519, public: *public }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
