//! A history and a gate written by hand, for a portal under test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::history::{Answer as Later, Away, Book, Entry, History, Live, Place, Range};
use super::test_site::ARCHIVE_KEY;
use crate::audit::keys::{SealedDataKey, open_data_key};
use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::grant::Scope;
use crate::ids::{CustomerId, GrantId, OwnerId, SessionId, StaffId};
use crate::secret::Secret;

/// 2026-11-21T14:02:00Z.
const TWO_PAST_TWO: Timestamp = Timestamp(1_795_269_720_000_000);

pub(super) fn session(number: u8) -> SessionId {
    SessionId([number; 8])
}

/// A book with these pages.
pub(super) struct FixedBook {
    pub(super) entries: Vec<(CustomerId, Entry)>,
    pub(super) live: Mutex<Vec<Live>>,
    pub(super) readers: Mutex<Vec<OwnerId>>,
    pub(super) shut: AtomicBool,
}

impl FixedBook {
    fn open(&self) -> Result<(), Away> {
        let away = Away { place: "the history", cause: "the keyring is shut".to_owned() };
        if self.shut.load(Ordering::SeqCst) { Err(away) } else { Ok(()) }
    }
}

impl Book for FixedBook {
    fn history(&self, reader: OwnerId, customer: CustomerId, range: Range) -> Later<'_, History> {
        Box::pin(async move {
            self.open()?;
            self.readers.lock().expect("not poisoned").push(reader);
            let own = self.entries.iter().filter(|(whose, _)| *whose == customer).map(|(_, entry)| entry);
            let mut held: Vec<_> = own.filter(|entry| range.holds(&entry.place)).cloned().collect();
            held.sort_by(|a, b| b.place.cmp(&a.place));
            held.truncate(range.limit);
            Ok(History { entries: held, left_out: Vec::new() })
        })
    }

    fn sessions(&self, _customer: CustomerId) -> Later<'_, Vec<Live>> {
        // All of them: the portal itself must leave out what is not the customer's.
        Box::pin(async move {
            self.open()?;
            Ok(self.live.lock().expect("not poisoned").clone())
        })
    }

    fn end_session(&self, _by: OwnerId, session: SessionId) -> Later<'_, bool> {
        Box::pin(async move {
            self.open()?;
            let mut live = self.live.lock().expect("not poisoned");
            let before = live.len();
            live.retain(|live| live.session != session);
            Ok(live.len() < before)
        })
    }

    fn archive_key(
        &self,
        reader: OwnerId,
        _customer: CustomerId,
        sealed: SealedDataKey,
    ) -> Later<'_, Secret<[u8; 32]>> {
        Box::pin(async move {
            self.open()?;
            self.readers.lock().expect("not poisoned").push(reader);
            let opened = open_data_key(&Secret::new(ARCHIVE_KEY), &sealed);
            opened.map_err(|error| Away { place: "your files", cause: error.to_string() })
        })
    }
}

fn entry(position: u64, minutes: u64, kind: Kind, customer: CustomerId, staff: StaffId) -> Entry {
    let at = TWO_PAST_TWO.plus(Duration::from_secs(60 * minutes));
    let mut record = Record::new(at, kind, Some(customer));
    record.skeleton.staff = Some(staff.0);
    Entry {
        place: Place { at, log: "proxy-gate-1".to_owned(), position, frame: 0 },
        record,
        outcome: None,
        fault: None,
    }
}

pub(super) fn entries(acme: CustomerId, globex: CustomerId, jane: StaffId) -> Vec<(CustomerId, Entry)> {
    let mut refused = entry(1, 0, Kind::Refused, acme, jane);
    refused.record.skeleton.verb = Some("consent-off,no-grant".to_owned());
    let mut other = entry(2, 10, Kind::Statement, globex, jane);
    other.record.values.text = Some(b"select 'globex'".to_vec());
    let came_in = entry(3, 40, Kind::SignedIn, acme, jane);
    let mut statement = entry(4, 41, Kind::Statement, acme, jane);
    statement.record.skeleton.verb = Some("query".to_owned());
    statement.record.skeleton.relations = Some(vec!["contacts".to_owned()]);
    statement.record.values.text = Some(b"select '<script>'".to_vec());
    let mut outcome = Record::new(statement.record.at, Kind::Outcome, Some(acme));
    outcome.skeleton.result = Some("done".to_owned());
    outcome.skeleton.tag = Some("SELECT 12".to_owned());
    (outcome.skeleton.rows, outcome.skeleton.bytes) = (Some(12), Some(480));
    statement.outcome = Some(outcome);
    vec![(acme, refused), (globex, other), (acme, came_in), (acme, statement)]
}

pub(super) fn live(number: u8, staff: StaffId, customer: CustomerId) -> Live {
    Live {
        session: session(number),
        staff,
        customer,
        grant: GrantId(9),
        scope: Scope::Read,
        since: TWO_PAST_TWO.plus(Duration::from_secs(u64::from(number))),
        address: "192.0.2.7".to_owned(),
        application: "psql".to_owned(),
        statements: 3,
    }
}
