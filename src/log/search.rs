//! Searches several logs as one: leaves are chosen by what they show, their data keys opened, the rest decided inside.
//! Not here: the keyring (whoever calls brings a closure that asks it), and which leaves are looked at (`choice.rs`).
//! Only the data keys of leaves that may match are opened, all in one request; where sealed blocks tell more (`narrow.rs`),
//! theirs in one before.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::reader::Entry;
use super::stream::{self, Prepared, Watch};
use crate::audit::descriptor::Descriptor;
use crate::audit::keys::{Part, Recipient, Recipients, SealedDataKey};
use crate::audit::pieces;
use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::ids::{CustomerId, SessionId, StaffId};
use crate::secret::{Secret, wipe_stack};
use crate::statement::value;

/// An outcome may come this much later than the last statement asked for.
pub(super) const OUTCOME_WITHIN: Duration = Duration::from_secs(86_400);

/// What is looked for: everything given must be so.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Concerns that customer's data.
    pub customer: Option<CustomerId>,
    /// Done by that staff member.
    pub staff: Option<StaffId>,
    /// In that session.
    pub session: Option<SessionId>,
    /// Of one of these kinds; empty is any. An outcome is shown with its statement where that is found.
    pub kinds: Vec<Kind>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// With this SQLSTATE, its own or its outcome's, whenever that came. What has no outcome yet is left out.
    pub sqlstate: Option<String>,
    /// Of a statement that names this relation: `contacts`, or with its schema, `public.contacts`.
    pub table: Option<String>,
    /// In the statement, a bind value, or any other text of it; upper and lower case are alike.
    pub text: Option<String>,
    /// At most so many, the newest; 0 is all.
    pub limit: usize,
    /// In the log of that origin, from that position on; in others from their beginning.
    pub from: BTreeMap<String, u64>,
    /// At exactly that position.
    pub at: Option<u64>,
    /// The pinned keys of logs, by origin: an index is believed only if the log signed it. A log whose key is not here is
    /// read leaf by leaf.
    pub pinned: BTreeMap<String, [u8; 32]>,
}

/// One record that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The log's origin, such as `portreeve/proxy-gate-1`.
    pub log: String,
    /// Its position in that log.
    pub position: u64,
    /// The record; a part that stayed sealed is empty in it.
    pub record: Record,
    /// Parts for which there is no data key.
    pub still_sealed: Vec<Part>,
    /// Those of them whose keys were destroyed: nothing will ever open them.
    pub erased: Vec<Part>,
    /// What became of it, for a statement whose outcome is recorded.
    pub outcome: Option<Record>,
    /// Why it does not open, if it does not: then somebody must run `portreeve audit verify`.
    pub fault: Option<String>,
}

/// Why a search gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] super::Error),
    /// The data keys were not opened.
    #[error(transparent)]
    Opener(E),
    /// The opener gave another number of keys than it was given.
    #[error("bug: {given} data keys were opened instead of {asked}")]
    Keys {
        /// Sealed data keys handed over.
        asked: usize,
        /// Data keys returned.
        given: usize,
    },
    /// The task that reads was stopped.
    #[error("the search was stopped")]
    Stopped,
}

/// The directories of all that claims to be a log in the audit directory, by name, whoever made it: to be verified. What
/// readers read is [`super::vouched`].
///
/// # Errors
/// [`super::Error::Storage`].
pub fn logs(audit: &Path) -> Result<Vec<PathBuf>, super::Error> {
    let failed = |error| super::Error::storage("list", audit, &error);
    let mut dirs = Vec::new();
    for entry in std::fs::read_dir(audit).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.join(super::upkeep::CHECKPOINT).is_file() {
            dirs.push(path);
        }
    }
    dirs.sort_unstable();
    Ok(dirs)
}

/// Finds records in the logs of `dirs`, oldest first. `recipients` holds the tag keys by which leaves are recognised;
/// leaves of nobody known stay out. `opener` opens sealed data keys, in order; it is asked twice at most.
///
/// # Errors
/// [`Error`]; a record that does not open is no error but a [`Found`] with its fault.
pub async fn search<O, F, E>(
    dirs: &[PathBuf],
    query: &Query,
    recipients: &Recipients,
    opener: O,
) -> Result<Vec<Found>, Error<E>>
where
    O: FnMut(Vec<SealedDataKey>) -> F,
    F: Future<Output = Result<Vec<Secret<[u8; 32]>>, E>>,
{
    search_watched(dirs, query, recipients, &Arc::default(), opener).await
}

/// The same, with how far it is told to `watch`.
///
/// # Errors
/// As for [`search`].
pub async fn search_watched<O, F, E>(
    dirs: &[PathBuf],
    query: &Query,
    recipients: &Recipients,
    watch: &Arc<Watch>,
    opener: O,
) -> Result<Vec<Found>, Error<E>>
where
    O: FnMut(Vec<SealedDataKey>) -> F,
    F: Future<Output = Result<Vec<Secret<[u8; 32]>>, E>>,
{
    let prepared = stream::prepare(dirs, query, recipients, watch, opener).await?;
    let found = tokio::task::spawn_blocking(move || {
        let found = collect(&prepared);
        wipe_stack();
        found
    });
    Ok(found.await.map_err(|_| Error::Stopped)??)
}

fn collect(prepared: &Prepared) -> Result<Vec<Found>, super::Error> {
    let (query, mut found) = (prepared.query(), Vec::new());
    for log in &prepared.logs {
        let mut newest = Newest::new(query.limit, Waiting::new());
        for one in prepared.records(log) {
            newest.take(query, one?);
        }
        found.extend(newest.kept);
    }
    sort(&mut found);
    if query.limit > 0 {
        found.drain(..found.len().saturating_sub(query.limit));
    }
    Ok(found)
}

/// Oldest first.
pub(super) fn sort(found: &mut [Found]) {
    found.sort_by(|a, b| (a.record.at, &a.log, a.position).cmp(&(b.record.at, &b.log, b.position)));
}

/// Statements that match if their outcomes do, each by its session and frame.
pub(super) type Waiting = HashMap<(SessionId, u64), Found>;

/// The newest matches of one log, and where each statement among them stands.
pub(super) struct Newest {
    limit: usize,
    pub(super) kept: VecDeque<Found>,
    /// How many were dropped in front.
    dropped: usize,
    statements: HashMap<(SessionId, u64), usize>,
    pub(super) waiting: Waiting,
}

impl Newest {
    /// So many, or all if it is 0; `waiting` came before.
    pub(super) fn new(limit: usize, waiting: Waiting) -> Self {
        Newest { limit, kept: VecDeque::new(), dropped: 0, statements: HashMap::new(), waiting }
    }

    /// Takes a record if it matches; an outcome goes to its statement.
    pub(super) fn take(&mut self, query: &Query, found: Found) {
        let key = found.record.skeleton.session.zip(found.record.skeleton.frame);
        if found.fault.is_some() {
            self.push(found);
        } else if query.sqlstate.is_some() {
            self.take_for_its_state(query, found);
        } else if found.record.kind == Kind::Outcome
            && let Some(index) = key.and_then(|key| self.statements.get(&key))
        {
            // A statement that fell out of the limit takes its outcome along.
            if let Some(statement) = index.checked_sub(self.dropped).and_then(|index| self.kept.get_mut(index)) {
                statement.outcome = Some(found.record);
            }
        } else if query.matches(&found) {
            if let Some(key) = key.filter(|_| found.record.awaits_outcome()) {
                self.statements.insert(key, self.dropped + self.kept.len());
            }
            self.push(found);
        }
    }

    /// The same where the SQLSTATE decides, which a statement's outcome has.
    fn take_for_its_state(&mut self, query: &Query, found: Found) {
        let key = found.record.skeleton.session.zip(found.record.skeleton.frame);
        let awaited = key.filter(|_| found.record.kind == Kind::Outcome);
        let found = match awaited.and_then(|key| self.waiting.remove(&key)) {
            Some(statement) => Found { outcome: Some(found.record), ..statement },
            None if query.matches(&found) => found,
            None => return,
        };
        if query.matches_with_outcome(&found) {
            self.push(found);
        } else if let Some(key) = key.filter(|_| found.outcome.is_none() && found.record.awaits_outcome()) {
            self.waiting.insert(key, found);
        }
    }

    /// Of more than so many that wait the oldest do no longer: they are shown as they are.
    pub(super) fn lets_go(&mut self, waiting_max: usize) {
        while self.waiting.len() > waiting_max {
            let oldest = self.waiting.iter().min_by_key(|(_, found)| found.position).map(|(key, _)| *key);
            let Some(found) = oldest.and_then(|key| self.waiting.remove(&key)) else { return };
            self.push(found);
        }
    }

    /// Puts it where it belongs by its position: at the end, but for a statement that waited.
    pub(super) fn push(&mut self, found: Found) {
        let at = self.kept.partition_point(|kept| kept.position <= found.position);
        self.kept.insert(at, found);
        if self.limit > 0 && self.kept.len() > self.limit {
            self.kept.pop_front();
            self.dropped += 1;
        }
    }
}

impl Query {
    fn asks(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether records sealed to that recipient may be asked for.
    pub(super) fn concerns(&self, recipient: Recipient) -> bool {
        self.customer.is_none_or(|customer| recipient == Recipient::Customer(customer))
    }

    /// Whose records alone are asked for.
    pub(super) fn recipient(&self) -> Option<Recipient> {
        self.customer.map(Recipient::Customer)
    }

    /// Where reading that log begins.
    pub(super) fn start(&self, origin: &str) -> u64 {
        self.at.or_else(|| self.from.get(origin).copied()).unwrap_or(0)
    }

    /// Whether outcomes are looked for, to go with what they are of.
    pub(super) fn joins(&self) -> bool {
        (self.asks(Kind::Statement) || self.asks(Kind::Desk)) && self.at.is_none()
    }

    /// Whether outcomes are looked for whatever their time: they decide, and clocks step between a statement and its outcome.
    pub(super) fn follows(&self) -> bool {
        self.sqlstate.is_some() && self.joins()
    }

    /// Whether blocks may tell what cannot be of the answer.
    pub(super) fn narrows(&self) -> bool {
        let asks = self.staff.is_some()
            || self.session.is_some()
            || self.table.is_some()
            || self.sqlstate.is_some()
            || self.text_sought().is_some();
        asks && self.at.is_none() && self.from.is_empty()
    }

    /// What a text must have that is asked for, as far as blocks tell.
    pub(super) fn text_sought(&self) -> Option<pieces::Sought> {
        pieces::Sought::of(&self.text.as_ref()?.to_lowercase())
    }

    /// Whether that is before what is asked for.
    pub(super) fn is_early(&self, at: Timestamp) -> bool {
        self.since.is_some_and(|since| at < since)
    }

    /// Before when a leaf must be.
    fn until(&self, joins: bool) -> Option<Timestamp> {
        self.until.map(|until| if joins { until.plus(OUTCOME_WITHIN) } else { until })
    }

    /// Whether leaves from one time to another may belong to the answer, both included.
    pub(super) fn reaches(&self, earliest: Timestamp, latest: Timestamp) -> bool {
        let until = self.until(self.joins());
        !self.is_early(latest) && until.is_none_or(|until| earliest < until)
    }

    /// Whether no leaf at these positions can belong to the answer.
    pub(super) fn is_outside(&self, positions: &Range<u64>) -> bool {
        self.at.is_some_and(|at| !positions.contains(&at))
    }

    /// Whether a leaf may belong to the answer, whosesoever it is.
    pub(super) fn may_show(&self, leaf: &Descriptor) -> bool {
        let place = &leaf.place;
        let joins = place.kind == Kind::Outcome && self.joins();
        let is_in_time = || !self.is_early(place.at) && self.until(joins).is_none_or(|until| place.at < until);
        self.at.is_none_or(|at| place.position == at)
            && (joins || self.asks(place.kind))
            && (joins && self.follows() || is_in_time())
    }

    /// Whether a leaf may belong to the answer, by what it shows without being opened.
    pub(super) fn may_match(&self, entry: &Entry, recipient: Recipient) -> bool {
        self.concerns(recipient) && self.may_show(&entry.descriptor)
    }

    /// Whether an opened record is one that was asked for, as far as it can be told without its outcome.
    pub(super) fn matches(&self, found: &Found) -> bool {
        let (record, skeleton) = (&found.record, &found.record.skeleton);
        self.asks(record.kind)
            && !self.is_early(record.at)
            && self.until.is_none_or(|until| record.at < until)
            && self.staff.is_none_or(|staff| skeleton.staff == Some(staff.0))
            && self.session.is_none_or(|session| skeleton.session == Some(session))
            && self.table.as_ref().is_none_or(|table| names(record, table))
            && self.text.as_ref().is_none_or(|text| contains(record, &text.to_lowercase()))
    }

    /// Whether it is one for its outcome too, which is with it if there is one.
    pub(super) fn matches_with_outcome(&self, found: &Found) -> bool {
        let outcome = found.outcome.as_ref().map(|outcome| &outcome.skeleton);
        let mut states =
            [Some(&found.record.skeleton), outcome].into_iter().flatten().map(|skeleton| &skeleton.sqlstate);
        found.fault.is_some() || self.sqlstate.is_none() || states.any(|state| *state == self.sqlstate)
    }
}

/// Whether the record names that relation, in whatever schema if `table` has none.
fn names(record: &Record, table: &str) -> bool {
    let is_it = |relation: &String| {
        let last = relation.rsplit_once('.').map_or(relation.as_str(), |(_, last)| last);
        relation.eq_ignore_ascii_case(table) || last.eq_ignore_ascii_case(table)
    };
    record.skeleton.relations.iter().flatten().any(is_it)
}

/// Whether any text of the record contains `text`, which is in lower case.
fn contains(record: &Record, text: &str) -> bool {
    let values = &record.values;
    let within = |candidate: &str| candidate.to_lowercase().contains(text);
    let texts = [
        &values.staff,
        &values.reason,
        &values.ticket,
        &values.address,
        &values.application,
        &values.customer,
        &values.database,
        &values.message,
        &values.from,
        &values.owner,
    ];
    let binds = values.binds.iter().flatten();
    values.text.as_ref().is_some_and(|text| within(&String::from_utf8_lossy(text)))
        || texts.into_iter().flatten().any(|text| within(text))
        || binds
            .filter_map(|bind| Some(value::display(bind.type_oid, bind.format, bind.value.as_deref()?)))
            .any(|bind| within(&bind))
}

#[cfg(test)]
#[path = "search_tests.rs"]
pub(super) mod tests;
