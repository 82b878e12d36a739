//! Whose objects are ours: an instance's id, and the key that makes its tags.
//! Not here: where the key is kept; the caller reads it from a secret file. HMAC-SHA-256 (RFC 2104).

use std::fmt;

use aws_lc_rs::hmac;

use super::header::Kind;
use crate::secret::Secret;

/// Bytes of a tag.
pub(super) const TAG_BYTES: usize = 32;

/// This installation. Objects carry its id and a tag made with its key; only those are ever deleted.
#[derive(Clone)]
pub struct Instance {
    id: [u8; 16],
    key: hmac::Key,
}

impl Instance {
    /// The instance of that id; the key is random and known to its daemons alone.
    pub fn new(id: [u8; 16], key: &Secret<[u8; 32]>) -> Instance {
        Instance { id, key: hmac::Key::new(hmac::HMAC_SHA256, key.expose()) }
    }

    /// Its id, as it stands in headers.
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// What a snapshot is of, without a name: equal for equal kind, cluster and database of one instance.
    pub fn series(&self, kind: Kind, system_identifier: u64, database: &str) -> [u8; 16] {
        let number = system_identifier.to_le_bytes();
        let tag = self.tag(b"portreeve/snapshot/series/v0\n", &[&[kind.number()], &number, database.as_bytes()]);
        let (series, _) = tag.split_at(16);
        series.try_into().expect("half of 32 bytes")
    }

    pub(super) fn tag(&self, label: &[u8], parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(label);
        parts.iter().for_each(|part| context.update(part));
        context.sign().as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// Whether a tag is ours, in constant time.
    pub(super) fn owns(&self, label: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.tag(label, parts), tag).is_ok()
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instance({:032x})", u128::from_be_bytes(self.id))
    }
}
