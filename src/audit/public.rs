//! What stands in a log open to everybody: where it goes on after its key was changed, and how much was erased.
//! Nothing here is anybody's: no customer, no staff, no table.
//! FORMAT.md, "What is open to everybody".

use minicbor::{Decode, Encode};

use super::checkpoint::verifier_key;
use super::keys::Part;
use super::record::{Kind, read};
use super::tree::sha256;
use crate::clock::Timestamp;
use crate::ids::EventId;

/// What a leaf says that is sealed to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Public {
    /// The first leaf: the last checkpoint (a signed note) of the log that goes on here.
    Continues(String),
    /// The last leaf: the verifier key of the log that goes on where this one ends.
    Continued(String),
    /// Keys are destroyed.
    Notice(Notice),
}

/// How many records of which logs nothing opens any more, and since when that is lawful. It names nobody.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Notice {
    /// The same each time the same erasure is told of, so that it counts once.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: [u8; 16],
    /// Which part of the records.
    #[n(1)]
    pub part: Part,
    /// From when on they might be erased.
    #[n(2)]
    lawful: i64,
    /// The logs, by their origin.
    #[n(3)]
    pub logs: Vec<Lost>,
}

/// What one log lost.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Lost {
    /// Such as `portreeve/proxy-gate-1`.
    #[n(0)]
    pub log: String,
    /// How many records.
    #[n(1)]
    pub records: u64,
}

impl Notice {
    /// The notice of the erasure that this event of the register began. Who has only the log cannot tell the event.
    pub fn new(event: EventId, part: Part, lawful: Timestamp, logs: Vec<Lost>) -> Notice {
        Notice { id: Notice::id_of(event), part, lawful: lawful.0, logs }
    }

    /// The id of every notice of that erasure.
    pub fn id_of(event: EventId) -> [u8; 16] {
        let hash = sha256(&[b"portreeve/notice/v1\n", &event.0]);
        let mut id = [0; 16];
        id.iter_mut().zip(hash).for_each(|(byte, hash)| *byte = hash);
        id
    }

    /// From when on they might be erased.
    pub fn lawful(&self) -> Timestamp {
        Timestamp(self.lawful)
    }

    /// How many records of that log.
    pub fn records_of(&self, log: &str) -> u64 {
        self.logs.iter().filter(|lost| lost.log == log).fold(0, |sum, lost| sum.saturating_add(lost.records))
    }
}

impl Public {
    /// That the log goes on as the one of that origin and key.
    pub fn continued(origin: &str, public: &[u8; 32]) -> Public {
        Public::Continued(verifier_key(origin, public))
    }

    /// The leaf's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Public::Continues(_) => Kind::Continues,
            Public::Continued(_) => Kind::Continued,
            Public::Notice(_) => Kind::Notice,
        }
    }

    /// The bytes in the log.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Public::Continues(text) | Public::Continued(text) => text.clone().into_bytes(),
            Public::Notice(notice) => minicbor::to_vec(notice).expect("writing to memory does not fail"),
        }
    }

    /// Reads the bytes of a leaf of that kind; none if they are not what it says.
    pub fn parse(kind: Kind, bytes: &[u8]) -> Option<Public> {
        let text = || String::from_utf8(bytes.to_vec()).ok();
        match kind {
            Kind::Continues => text().map(Public::Continues),
            Kind::Continued => text().map(Public::Continued),
            Kind::Notice => read(bytes).ok().map(Public::Notice),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "public_tests.rs"]
mod tests;
