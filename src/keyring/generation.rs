//! The generation secrets of a keyring: a file of its own, so that an old copy of the keyring file opens with nothing.
//! Not here: the keyring file (`file.rs`).
//! Bytes: `portreeve generation v0\n` (24) | for each secret: generation u64, big endian | secret (32). One secret; two
//! while the keyring moves from one generation to the next. HOLE: a rename leaves the old secret in blocks that the file
//! system may use again only later; put the file on storage whose free blocks are wiped.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::sealed::version_behind;
use crate::secret::Secret;

const MAGIC: &[u8; 24] = b"portreeve generation v0\n";
/// What stands before the version's number.
const NAME: &[u8] = b"portreeve generation v";
/// The version that is written here.
const VERSION: u32 = 0;
const ENTRY_BYTES: usize = 8 + 32;

/// Where the generation secrets of that keyring file are: beside it.
pub(super) fn path_of(keyring: &Path) -> PathBuf {
    keyring.with_added_extension("generation")
}

/// One generation and its secret.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) secret: Secret<[u8; 32]>,
}

/// As the file's bytes.
pub(super) fn encode(generations: &[&Generation]) -> Zeroizing<Vec<u8>> {
    // Enough room from the start: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAGIC.len() + ENTRY_BYTES * generations.len()));
    bytes.extend_from_slice(MAGIC);
    for Generation { number, secret } in generations {
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(secret.expose());
    }
    bytes
}

/// The version of a file that a newer portreeve wrote, and the one that is read here.
pub(super) fn newer_version(bytes: &[u8]) -> Option<(u32, u32)> {
    Some((version_behind(bytes, NAME)?, VERSION)).filter(|(version, known)| version > known)
}

/// Reads the file's bytes; none if they are no generation secrets.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Generation>> {
    let entries = bytes.strip_prefix(MAGIC)?.chunks(ENTRY_BYTES);
    let read = |entry: &[u8]| {
        let (number, secret) = entry.split_first_chunk::<8>()?;
        let secret = Secret::new(<[u8; 32]>::try_from(secret).ok()?);
        Some(Generation { number: u64::from_be_bytes(*number), secret })
    };
    let generations: Vec<Generation> = entries.map(read).collect::<Option<_>>()?;
    (1..=2).contains(&generations.len()).then_some(generations)
}
