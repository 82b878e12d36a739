//! How much of each log is one customer's: recognised by its tags, counted, nothing opened.
//! Not here: what the records say.

use std::path::PathBuf;

use super::Error;
use super::reader::{Content, Reader};
use crate::audit::keys::{Recipient, Recipients};
use crate::audit::tag::Tags;
use crate::ids::CustomerId;

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

/// Counts in the logs of `dirs`; those that hold nothing of the customer are left out. `recipients` holds its tag key. It
/// reads files: not for threads that serve others.
///
/// # Errors
/// If a log cannot be read.
pub fn count(dirs: &[PathBuf], customer: CustomerId, recipients: &Recipients) -> Result<Vec<Counted>, Error> {
    let mut all = Vec::new();
    for dir in dirs {
        let reader = Reader::open(dir)?;
        let mut tags = Tags::new(recipients, reader.origin());
        let mut counted = Counted { log: reader.origin().to_owned(), records: 0, leaves: 0 };
        for entry in reader.entries() {
            let entry = entry?;
            if entry.recipient(&mut tags) != Some(Recipient::Customer(customer)) {
                continue;
            }
            counted.leaves += 1;
            counted.records += match entry.content {
                Content::Record { .. } => 1,
                Content::DataKey { .. } | Content::Public(_) => 0,
            };
        }
        if counted.leaves > 0 {
            all.push(counted);
        }
    }
    Ok(all)
}
