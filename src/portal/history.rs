//! What was done with a customer's data, and who is in now: the seam to where that is kept.
//! Not here: how records are found and opened (`book`), and how they read (`words`).

use std::future::Future;
use std::pin::Pin;

use crate::audit::keys::SealedDataKey;
use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::grant::Scope;
use crate::ids::{CustomerId, GrantId, OwnerId, SessionId, StaffId};
use crate::secret::Secret;

/// Where an act stands: by time, then by log, then by position; frames that came together share these and stand in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When the act happened.
    pub at: Timestamp,
    /// The log's writer, such as `proxy-gate-1`.
    pub log: String,
    /// The position in that log.
    pub position: u64,
    /// Which of the record's frames; 0 if it tells of none.
    pub frame: u64,
}

impl Place {
    /// As in an address: microseconds, position, frame and log, joined by dots.
    pub fn cursor(&self) -> String {
        format!("{}.{}.{}.{}", self.at.0, self.position, self.frame, self.log)
    }

    /// Reads what [`Place::cursor`] wrote.
    pub fn from_cursor(text: &str) -> Option<Place> {
        let mut parts = text.splitn(4, '.');
        let at = Timestamp(parts.next()?.parse().ok()?);
        let position = parts.next()?.parse().ok()?;
        let frame = parts.next()?.parse().ok()?;
        let log = parts.next().filter(|log| !log.is_empty() && log.len() <= 128)?.to_owned();
        Some(Place { at, log, position, frame })
    }
}

/// Which part of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Nothing earlier.
    pub since: Option<Timestamp>,
    /// Only what is earlier.
    pub until: Option<Timestamp>,
    /// Only what stands before this place: the next page.
    pub before: Option<Place>,
    /// At most so many entries.
    pub limit: usize,
}

impl Range {
    /// Whether an entry at that place belongs to this range, whatever the limit.
    pub fn holds(&self, place: &Place) -> bool {
        self.since.is_none_or(|since| place.at >= since)
            && self.until.is_none_or(|until| place.at < until)
            && self.before.as_ref().is_none_or(|before| place < before)
    }
}

/// One act, and what became of it where that is recorded on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// The act.
    pub record: Record,
    /// A statement's outcome; none: not yet, or lost in a crash.
    pub outcome: Option<Record>,
    /// Why it cannot be read whole, for our diary and for programs; none: it can.
    pub fault: Option<String>,
}

/// What was found of a history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// The logs that cannot be read, by name: what they hold is not among the entries.
    pub left_out: Vec<String>,
}

/// A session that is open now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The session.
    pub session: SessionId,
    /// Who.
    pub staff: StaffId,
    /// Whose data.
    pub customer: CustomerId,
    /// Under which grant.
    pub grant: GrantId,
    /// How far.
    pub scope: Scope,
    /// Since when.
    pub since: Timestamp,
    /// From where.
    pub address: String,
    /// What the client calls itself; claimed, not checked.
    pub application: String,
    /// Statements so far.
    pub statements: u64,
}

/// A part behind the portal that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct Away {
    /// Which part, in words for the owner.
    pub place: &'static str,
    /// For our own diary.
    pub cause: String,
}

/// The answer of a [`Book`], later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Away>> + Send + 'a>>;

/// What was done, and what is going on. Two are real: the audit logs with the proxies' sockets, and a fixed one.
pub trait Book: Send + Sync + 'static {
    /// The customer's entries of that range, newest first. Reading is an access, recorded as the reader's.
    fn history(&self, reader: OwnerId, customer: CustomerId, range: Range) -> Answer<'_, History>;
    /// The customer's sessions that are open now.
    fn sessions(&self, customer: CustomerId) -> Answer<'_, Vec<Live>>;
    /// Ends a session at once; false when it was gone already.
    fn end_session(&self, by: OwnerId, session: SessionId) -> Answer<'_, bool>;
    /// Opens the data key of an archive that is sealed to that customer, and to no other. Recorded as the reader's.
    fn archive_key(&self, reader: OwnerId, customer: CustomerId, sealed: SealedDataKey)
    -> Answer<'_, Secret<[u8; 32]>>;
}

/// The kinds an owner sees.
pub const KINDS: [Kind; 8] = [
    Kind::Observed,
    Kind::SignedIn,
    Kind::Refused,
    Kind::Statement,
    Kind::Cancelled,
    Kind::SessionEnded,
    Kind::Decided,
    Kind::Read,
];

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
