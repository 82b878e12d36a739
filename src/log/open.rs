//! Opens an entry's parts with data keys that the keyring gave out.
//! Not here: asking the keyring, or who may ask (`keyring/`).

use std::collections::HashMap;

use super::reader::{Content, Entry};
use crate::audit::keys::{Part, Recipient};
use crate::audit::record::{Record, Skeleton, Values, read};
use crate::audit::seal::{Binding, DataKey, open as open_part};
use crate::secret::{Secret, wipe_stack};

/// What is wrong with a part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Somebody's mistake or worse: the part does not open with the data key at that position.
    #[error("the {part} of the record at position {position} do not open with the data key at position {key}")]
    NotOpened {
        /// Which part.
        part: Part,
        /// Of which record.
        position: u64,
        /// With which data key.
        key: u64,
    },
    /// The part opened but is not what this version reads.
    #[error("the {part} of the record at position {position} cannot be read: {detail}")]
    NotRead {
        /// Which part.
        part: Part,
        /// Of which record.
        position: u64,
        /// What is wrong.
        detail: String,
    },
    /// The entry is a data key, not a record.
    #[error("the entry at position {0} is a data key, not a record")]
    NotARecord(u64),
}

/// Opened data keys of one log, by the positions of their leaves.
#[derive(Debug, Default)]
pub struct DataKeys(HashMap<u64, Box<DataKey>>);

impl DataKeys {
    /// None yet.
    pub fn new() -> Self {
        DataKeys::default()
    }

    /// Puts in the data key whose leaf stands at that position.
    pub fn insert(&mut self, position: u64, key: &Secret<[u8; 32]>) {
        self.put(position, key);
        wipe_stack();
    }

    #[inline(never)]
    fn put(&mut self, position: u64, key: &Secret<[u8; 32]>) {
        self.0.insert(position, Box::new(DataKey::new(key)));
    }

    /// The data key of that position.
    pub(super) fn get(&self, position: u64) -> Option<&DataKey> {
        self.0.get(&position).map(AsRef::as_ref)
    }

    /// Whether the data key of that position is here.
    pub fn holds(&self, position: u64) -> bool {
        self.0.contains_key(&position)
    }
}

/// A record, as far as there were keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// The record; a part that stayed sealed is empty in it.
    pub record: Record,
    /// The parts for which there was no data key: destroyed, or not asked for.
    pub still_sealed: Vec<Part>,
}

/// Opens the record of an entry. The recipient is the one that [`Entry::recipient`] recognised.
///
/// # Errors
/// [`Error`].
pub fn open(origin: &str, entry: &Entry, recipient: Recipient, keys: &DataKeys) -> Result<Opened, Error> {
    let Content::Record { values, skeleton } = &entry.content else {
        return Err(Error::NotARecord(entry.position()));
    };
    let values: Option<Values> = part(origin, entry, Part::Values, values, keys)?;
    let skeleton: Option<Skeleton> = part(origin, entry, Part::Skeleton, skeleton, keys)?;
    let still_sealed = [(Part::Values, values.is_none()), (Part::Skeleton, skeleton.is_none())]
        .into_iter()
        .filter_map(|(part, is_sealed)| is_sealed.then_some(part))
        .collect();
    let record = Record {
        at: entry.descriptor.place.at,
        kind: entry.kind(),
        customer: recipient.customer(),
        skeleton: skeleton.unwrap_or_default(),
        values: values.unwrap_or_default(),
    };
    Ok(Opened { record, still_sealed })
}

fn part<T: for<'b> minicbor::Decode<'b, ()>>(
    origin: &str,
    entry: &Entry,
    part: Part,
    sealed: &[u8],
    keys: &DataKeys,
) -> Result<Option<T>, Error> {
    let (position, key) = (entry.position(), entry.descriptor.part(part).key);
    let Some(data_key) = keys.0.get(&key) else {
        return Ok(None);
    };
    let binding = Binding::new(origin, &entry.descriptor.place.to_bytes(), part);
    let content = open_part(data_key, &binding, sealed).map_err(|_| Error::NotOpened { part, position, key })?;
    let read = read(&content).map_err(|detail| Error::NotRead { part, position, detail });
    read.map(Some)
}
