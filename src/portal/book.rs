//! The book as it is kept: the audit logs, opened by the keyring for the owner who reads, and the proxies' own word
//! on who is in now.
//! Not here: the words for it (`history`). HOLE: with several proxies, one that is silent hides the others' sessions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::history::{Answer, Away, Book, Entry, History, KINDS, Live, Place, Range};
use crate::audit::keys::{Recipient, Recipients, SealedDataKey};
use crate::clock::Timestamp;
use crate::grant::Scope;
use crate::ids::{CustomerId, GrantId, OwnerId, SessionId, StaffId};
use crate::keyring::{self, pinned};
use crate::log;
use crate::log::search::{self, Found, Query};
use crate::log::vouched::Vouched;
use crate::register::{self, OwnerActs};
use crate::secret::Secret;

/// Why the keyring is asked, as it records it.
const WHY: &str = "owner reads own history";
const WHY_ARCHIVE: &str = "owner takes own archive home";
/// Entries asked for beyond a page, for those of the same microsecond as the page before.
const SAME_MOMENT: usize = 64;

/// The audit logs under one directory, the keyring and the proxies.
pub struct Records {
    /// What was done.
    pub logs: Logs,
    /// The way to the proxies' sockets.
    pub acts: Arc<OwnerActs>,
}

/// The audit logs under one directory, and the keyring.
pub struct Logs {
    /// `[audit] directory`.
    pub directory: PathBuf,
    /// The tag keys by which leaves are recognised; a query opens only those of its own customer.
    pub recipients: Recipients,
    /// Opens data keys, and records for whom.
    pub keyring: keyring::Client,
    /// `[keyring] public_key`, beside which the keys of the logs are pinned.
    pub keyring_public: PathBuf,
}

impl Book for Records {
    fn history(&self, reader: OwnerId, customer: CustomerId, range: Range) -> Answer<'_, History> {
        Box::pin(self.logs.history(reader, customer, range))
    }

    fn sessions(&self, customer: CustomerId) -> Answer<'_, Vec<Live>> {
        Box::pin(async move {
            let (sessions, warnings) = register::sessions(self.acts.sockets()).await;
            if !warnings.is_empty() {
                return Err(silent(&warnings.join("; ")));
            }
            let sessions = sessions.into_iter().map(serde_json::from_value::<Told>);
            let sessions: Vec<Told> = sessions.collect::<Result<_, _>>().map_err(|error| silent(&error.to_string()))?;
            let live = sessions.into_iter().map(Told::live).collect::<Result<Vec<_>, _>>()?;
            Ok(live.into_iter().filter(|live| live.customer == customer).collect())
        })
    }

    fn end_session(&self, by: OwnerId, session: SessionId) -> Answer<'_, bool> {
        Box::pin(async move {
            let told = self.acts.end_session(by, session).await;
            match (told.ended, told.warnings.is_empty()) {
                (0, false) => Err(silent(&told.warnings.join("; "))),
                (ended, _) => Ok(ended > 0),
            }
        })
    }

    fn archive_key(
        &self,
        reader: OwnerId,
        customer: CustomerId,
        sealed: SealedDataKey,
    ) -> Answer<'_, Secret<[u8; 32]>> {
        Box::pin(async move {
            let away = |cause: String| Away { place: "your files", cause };
            if sealed.recipient != Recipient::Customer(customer) {
                return Err(away(format!("an archive in the folder of {customer} is sealed to {}", sealed.recipient)));
            }
            let keys = self.logs.keyring.open(vec![sealed], &reader.to_string(), WHY_ARCHIVE).await;
            let key = keys.map_err(|error| away(error.to_string()))?.into_iter().next();
            key.ok_or_else(|| away("the keyring opened no key".to_owned()))
        })
    }
}

impl Logs {
    async fn history(&self, reader: OwnerId, customer: CustomerId, range: Range) -> Result<History, Away> {
        let mut asked = range.limit.saturating_add(SAME_MOMENT);
        loop {
            let query = query(customer, &range, asked);
            let (found, left_out) = self.search(&query, reader).await?;
            let all = found.len() < asked;
            let entries = page(found, &range);
            if all || entries.len() >= range.limit {
                return Ok(History { entries, left_out });
            }
            asked = asked.saturating_mul(4);
        }
    }

    /// What is found, and which logs are left out.
    async fn search(&self, query: &Query, reader: OwnerId) -> Result<(Vec<Found>, Vec<String>), Away> {
        let logs = self.vouched().map_err(unread)?;
        let (keyring, who) = (&self.keyring, &reader.to_string());
        let opener = |sealed| async move { keyring.open(sealed, who, WHY).await };
        let query = Query { pinned: logs.keys().clone(), ..query.clone() };
        let found = search::search(logs.dirs(), &query, &self.recipients, opener).await.map_err(unread)?;
        Ok((found, logs.left_out().collect()))
    }

    /// The logs that pinned keys vouch for; where there is none, the keys are what is missing, and not the history.
    fn vouched(&self) -> Result<Vouched, log::Error> {
        let logs = pinned::logs(&self.directory, &self.keyring_public)?;
        logs.told().iter().for_each(|line| tracing::warn!("{line}"));
        if logs.is_without_keys() { logs.whole() } else { Ok(logs) }
    }
}

fn query(customer: CustomerId, range: &Range, limit: usize) -> Query {
    // The page before ended within this microsecond; what it showed is left out afterwards.
    let before = range.before.as_ref().map(|place| place.at.plus(Duration::from_micros(1)));
    let until = [range.until, before].into_iter().flatten().min();
    Query { customer: Some(customer), kinds: KINDS.to_vec(), since: range.since, until, limit, ..Query::default() }
}

/// What was found, newest first, as far as it belongs to the range.
fn page(found: Vec<Found>, range: &Range) -> Vec<Entry> {
    let mut entries: Vec<_> = found.into_iter().map(entry).filter(|entry| range.holds(&entry.place)).collect();
    entries.sort_by(|a, b| b.place.cmp(&a.place));
    entries.truncate(range.limit);
    entries
}

fn entry(found: Found) -> Entry {
    let frame = found.record.skeleton.frame.unwrap_or(0);
    let place = Place { at: found.record.at, log: found.log, position: found.position, frame };
    let sealed = || (!found.still_sealed.is_empty()).then(|| "part of it is still sealed".to_owned());
    Entry { place, record: found.record, outcome: found.outcome, fault: found.fault.or_else(sealed) }
}

fn unread(error: impl std::error::Error) -> Away {
    Away { place: "the history", cause: error.to_string() }
}

fn silent(cause: &str) -> Away {
    Away { place: "the gate", cause: cause.to_owned() }
}

/// A session as a proxy tells of it on its control socket.
#[derive(Debug, Deserialize)]
struct Told {
    session: String,
    staff: u64,
    customer: u64,
    grant: u64,
    scope: String,
    since: i64,
    #[serde(default)]
    address: String,
    #[serde(default)]
    application: String,
    #[serde(default)]
    statements: u64,
}

impl Told {
    fn live(self) -> Result<Live, Away> {
        Ok(Live {
            session: self.session.parse().map_err(|error| silent(&format!("{error}")))?,
            staff: StaffId(self.staff),
            customer: CustomerId(self.customer),
            grant: GrantId(self.grant),
            scope: self.scope.parse::<Scope>().map_err(|error| silent(&error.to_string()))?,
            since: Timestamp(self.since),
            address: self.address,
            application: self.application,
            statements: self.statements,
        })
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
