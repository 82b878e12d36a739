//! How much of each log is one customer's: recognised by its tags, counted, nothing opened; and what a notice says of it
//! once no tag is recognised any more.
//! Not here: what the records say. Where an index can be believed, only batches with leaves of the customer's are read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Error;
use super::choice::Choice;
use super::indexes::Indexes;
use super::reader::{Content, Reader};
use super::search::Query;
use crate::audit::keys::{Part, Recipient, Recipients};
use crate::audit::public::{Notice, Public};
use crate::audit::tag::Tags;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, EventId};

/// What one log holds of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The log's origin, such as `portreeve/proxy-gate-1`.
    pub log: String,
    /// Its records.
    pub records: u64,
    /// Its leaves: records and sealed data keys.
    pub leaves: u64,
}

/// Counts in the logs of `dirs`; those that hold nothing of the customer are left out. `recipients` holds its tag key,
/// `pinned` the logs' keys by origin. It reads files: not for threads that serve others.
///
/// # Errors
/// If a log cannot be read, all of it that is signed.
pub fn count(
    dirs: &[PathBuf],
    customer: CustomerId,
    recipients: &Recipients,
    pinned: &BTreeMap<String, [u8; 32]>,
) -> Result<Vec<Counted>, Error> {
    let (mut all, query) = (Vec::new(), Query { customer: Some(customer), ..Query::default() });
    for dir in dirs {
        let reader = Reader::pinned(dir, pinned)?;
        let indexes = Indexes::of(pinned.get(reader.origin()).copied());
        let mut tags = Tags::of(recipients, reader.origin(), Some(Recipient::Customer(customer)));
        let mut counted = Counted { log: reader.origin().to_owned(), records: 0, leaves: 0 };
        let mut entries = reader.chosen_from(0, Choice::new(&indexes, &query, recipients, reader.origin()));
        while let Some(entry) = entries.next().transpose()? {
            if entry.recipient(&mut tags).is_none() {
                continue;
            }
            counted.leaves += 1;
            counted.records += match entry.content {
                Content::Record { .. } => 1,
                Content::DataKey { .. } | Content::Public(_) => 0,
            };
        }
        // What cannot be read any more was not counted.
        entries.check_end(entries.position())?;
        if counted.leaves > 0 {
            all.push(counted);
        }
    }
    Ok(all)
}

/// The first notice of the erasure that this event of the register began, in whichever of these logs it stands. Those of
/// proxies are not looked at: they erase nothing. It reads files: not for threads that serve others.
///
/// # Errors
/// If a log cannot be read, all of it that is signed.
pub fn noticed(
    dirs: &[PathBuf],
    pinned: &BTreeMap<String, [u8; 32]>,
    event: EventId,
    part: Part,
) -> Result<Option<Notice>, Error> {
    let sought = (Notice::id_of(event), part);
    let is_proxys = |dir: &&PathBuf| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("proxy-"));
    let mut first: Option<(Timestamp, Notice)> = None;
    for dir in dirs.iter().filter(|dir| !is_proxys(dir)) {
        let reader = Reader::pinned(dir, pinned)?;
        let mut entries = reader.entries();
        while let Some(entry) = entries.next().transpose()? {
            let Content::Public(bytes) = &entry.content else { continue };
            let at = entry.descriptor.place.at;
            if let Some(Public::Notice(notice)) = Public::parse(entry.kind(), bytes)
                && (notice.id, notice.part) == sought
                && first.as_ref().is_none_or(|(before, _)| at < *before)
            {
                first = Some((at, notice));
            }
        }
        // One that cannot be read any more is not one that never was.
        entries.check_end(entries.position())?;
    }
    Ok(first.map(|(_, notice)| notice))
}

#[cfg(test)]
#[path = "count_tests.rs"]
mod tests;
