use std::sync::Arc;

use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::{RecipientKey, TagKey, generate_key_pair, open_data_key};
use crate::clock::SystemClock;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::log::{Claim, Log, Settings};

pub(in crate::log) const ACME: CustomerId = CustomerId(7);
pub(in crate::log) const BETA: CustomerId = CustomerId(9);
pub(in crate::log) const SESSION: SessionId = SessionId([1; 8]);

/// A log, its recipients, and their private keys.
pub(in crate::log) struct Written {
    dir: tempfile::TempDir,
    pub(in crate::log) recipients: Recipients,
    private: HashMap<(Recipient, Part, u32), Secret<[u8; 32]>>,
}

impl Written {
    /// Statements `select 1 from t` to `select n from t`, alternately of both customers, each with its outcome.
    pub(in crate::log) async fn statements(count: u64) -> Written {
        let (written, log) = Written::empty();
        for frame in 1..=count {
            let customer = Some(if frame % 2 == 1 { ACME } else { BETA });
            statement(&log, frame, customer).await;
            outcome(&log, frame, frame + 1, customer, "done");
        }
        log.close().expect("closed");
        written
    }

    /// The same without anything written yet.
    pub(in crate::log) fn empty() -> (Written, Log) {
        let (recipients, mut private) = (Recipients::new(), HashMap::new());
        let now = crate::clock::Clock::now(&SystemClock);
        for recipient in [Recipient::Vendor, Recipient::Customer(ACME), Recipient::Customer(BETA)] {
            recipients.set_tag(recipient, TagKey(Secret::new(*generate_key_pair().1.expose())));
            for part in Part::ALL {
                let (public, secret) = generate_key_pair();
                let period = recipient.period(now);
                recipients.set(RecipientKey { recipient, part, period, public, signature: [0; 64] });
                private.insert((recipient, part, period), secret);
            }
        }
        let dir = tempfile::tempdir().expect("a directory");
        let written = Written { dir, recipients, private };
        let log = written.open_again();
        (written, log)
    }

    pub(in crate::log) fn open_again(&self) -> Log {
        self.open_at("w")
    }

    /// The log again, in another directory.
    pub(in crate::log) fn open_at(&self, name: &str) -> Log {
        let settings = Settings {
            segment_bytes: 32 << 10,
            reserve_bytes: 0,
            ..Settings::new("w", SigningKey::from_seed(&Secret::new([3; 32])))
        };
        let (disk, clock, entropy) = (Arc::new(RealDisk), Arc::new(SystemClock), Arc::new(OsEntropy));
        let path = self.dir.path().join(name);
        Log::open(disk, &path, settings, self.recipients.clone(), clock, entropy).expect("a log")
    }

    pub(in crate::log) fn audit(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(in crate::log) fn dirs(&self) -> Vec<PathBuf> {
        logs(self.dir.path()).expect("listed")
    }

    /// The frames found, and how many data keys were opened for whom.
    async fn search(&self, query: &Query) -> (Vec<Found>, Vec<SealedDataKey>) {
        let asked = std::cell::RefCell::new(Vec::new());
        let opener = async |keys: Vec<SealedDataKey>| {
            *asked.borrow_mut() = keys.clone();
            self.open(&keys)
        };
        let found = search(&self.dirs(), query, &self.recipients, opener).await.expect("found");
        (found, asked.into_inner())
    }

    /// As the keyring does.
    pub(in crate::log) fn open(
        &self,
        keys: &[SealedDataKey],
    ) -> Result<Vec<Secret<[u8; 32]>>, crate::audit::keys::Error> {
        let private = |key: &SealedDataKey| self.private.get(&(key.recipient, key.part, key.period));
        keys.iter().map(|key| open_data_key(private(key).expect("a key"), key)).collect()
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp(i64::try_from(1_000_000 * second).expect("small"))
}

/// Statement so-and-so, in that second of 1970.
pub(in crate::log) async fn statement(log: &Log, frame: u64, customer: Option<CustomerId>) {
    let mut record = Record::new(at(frame), Kind::Statement, customer);
    record.skeleton.staff = Some(frame % 3);
    record.values.text = Some(format!("select {frame} from t").into_bytes());
    let _receipt = log.append(record, Claim::of(SESSION, frame)).expect("queued").await.expect("durable");
}

pub(in crate::log) fn outcome(log: &Log, frame: u64, second: u64, customer: Option<CustomerId>, word: &str) {
    let mut outcome = Record::new(at(second), Kind::Outcome, customer);
    (outcome.skeleton.session, outcome.skeleton.frame) = (Some(SESSION), Some(frame));
    outcome.skeleton.result = Some(word.to_owned());
    outcome.skeleton.sqlstate = frame.is_multiple_of(4).then(|| "57014".to_owned());
    log.note(outcome).expect("queued");
}

fn frames(found: &[Found]) -> Vec<u64> {
    found.iter().filter_map(|found| found.record.skeleton.frame).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_choose_and_outcomes_go_with_their_statements() {
    let written = Written::statements(6).await;
    let statements = Query { kinds: vec![Kind::Statement], ..Query::default() };
    let at = |second: i64| Some(Timestamp(1_000_000 * second));
    let cases: &[(&str, Query, &[u64])] = &[
        ("all", statements.clone(), &[1, 2, 3, 4, 5, 6]),
        ("customer", Query { customer: Some(ACME), ..statements.clone() }, &[1, 3, 5]),
        ("nobody", Query { customer: Some(CustomerId(1)), ..statements.clone() }, &[]),
        ("staff", Query { staff: Some(StaffId(2)), ..statements.clone() }, &[2, 5]),
        ("session", Query { session: Some(SessionId([2; 8])), ..statements.clone() }, &[]),
        ("since", Query { since: at(5), ..statements.clone() }, &[5, 6]),
        ("until", Query { until: at(3), ..statements.clone() }, &[1, 2]),
        ("text", Query { text: Some("SELECT 4".to_owned()), ..statements.clone() }, &[4]),
        ("limit", Query { limit: 2, ..statements.clone() }, &[5, 6]),
        ("both", Query { customer: Some(BETA), limit: 1, ..statements.clone() }, &[6]),
    ];
    for (case, query, expected) in cases {
        let (found, _) = written.search(query).await;
        assert_eq!(frames(&found), *expected, "{case}");
        let joined = |found: &Found| found.outcome.as_ref().and_then(|outcome| outcome.skeleton.frame);
        assert!(found.iter().all(|found| joined(found) == found.record.skeleton.frame), "{case}");
    }
}

/// Statements on three tables, some of which fail, and one refusal with an SQLSTATE of its own.
async fn on_tables() -> Written {
    let (written, log) = Written::empty();
    for frame in 1..=12 {
        let mut record = Record::new(at(frame), Kind::Statement, Some(ACME));
        let table = ["contacts", "public.orders", "Contacts"][frame as usize % 3];
        (record.skeleton.relations, record.skeleton.verb) = (Some(vec![table.to_owned()]), Some("query".to_owned()));
        let _receipt = log.append(record, Claim::of(SESSION, frame)).expect("queued").await.expect("durable");
    }
    // In another order than the statements, and of one there is none.
    for frame in (1..=11).rev() {
        let mut outcome = Record::new(at(20 + frame), Kind::Outcome, Some(ACME));
        (outcome.skeleton.session, outcome.skeleton.frame) = (Some(SESSION), Some(frame));
        outcome.skeleton.sqlstate = frame.is_multiple_of(4).then(|| "42501".to_owned());
        log.note(outcome).expect("queued");
    }
    let mut refused = Record::new(at(40), Kind::Refused, Some(ACME));
    refused.skeleton.sqlstate = Some("42501".to_owned());
    log.record(refused).await.expect("durable");
    log.close().expect("closed");
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_found_by_its_name_and_a_failure_by_its_sqlstate() {
    let written = on_tables().await;
    let table = |name: &str| Query { table: Some(name.to_owned()), kinds: vec![Kind::Statement], ..Query::default() };
    let cases: [(&str, &[u64]); 5] = [
        ("contacts", &[2, 3, 5, 6, 8, 9, 11, 12]),
        ("orders", &[1, 4, 7, 10]),
        ("public.orders", &[1, 4, 7, 10]),
        ("public.contacts", &[]),
        ("order", &[]),
    ];
    for (name, expected) in cases {
        assert_eq!(frames(&written.search(&table(name)).await.0), expected, "{name}");
    }
    let state = |code: &str| Query { sqlstate: Some(code.to_owned()), ..Query::default() };
    let (found, _) = written.search(&state("42501")).await;
    let kinds: Vec<_> = found.iter().map(|found| (found.record.kind, found.record.skeleton.frame)).collect();
    assert_eq!(kinds, [(Kind::Statement, Some(4)), (Kind::Statement, Some(8)), (Kind::Refused, None)]);
    let outcome = |found: &Found| found.outcome.as_ref().and_then(|outcome| outcome.skeleton.sqlstate.clone());
    assert_eq!(found.iter().filter_map(outcome).collect::<Vec<_>>(), ["42501", "42501"]);
    for (limit, expected) in [(2, &[8_u64][..]), (3, &[4, 8]), (1, &[])] {
        assert_eq!(frames(&written.search(&Query { limit, ..state("42501") }).await.0), expected, "the newest {limit}");
    }
    assert_eq!(frames(&written.search(&Query { table: Some("orders".into()), ..state("42501") }).await.0), [4]);
    let outcomes = Query { kinds: vec![Kind::Outcome], ..state("42501") };
    assert_eq!(frames(&written.search(&outcomes).await.0), [4, 8]);
    assert_eq!(written.search(&state("99999")).await.0, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_keys_of_what_may_match_are_asked_for() {
    let written = Written::statements(6).await;
    let (_, asked) = written.search(&Query { customer: Some(ACME), ..Query::default() }).await;
    assert!(!asked.is_empty() && asked.iter().all(|key| key.recipient == Recipient::Customer(ACME)));
    let (found, asked) = written.search(&Query { customer: Some(CustomerId(1)), ..Query::default() }).await;
    assert!(found.is_empty() && asked.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_may_begin_in_the_middle_of_a_segment_or_of_the_log() {
    let written = Written::statements(80).await;
    let statements = Query { kinds: vec![Kind::Statement], ..Query::default() };
    let (all, _) = written.search(&statements).await;
    assert_eq!(all.len(), 80);
    for found in all.iter().step_by(7) {
        let from = BTreeMap::from([("portreeve/w".to_owned(), found.position)]);
        let (rest, _) = written.search(&Query { from, ..statements.clone() }).await;
        assert_eq!(rest.first(), Some(found));
        assert_eq!(rest.len(), all.iter().filter(|other| other.position >= found.position).count());
        let (one, _) = written.search(&Query { at: Some(found.position), ..Query::default() }).await;
        assert_eq!(one.iter().map(|one| &one.record).collect::<Vec<_>>(), [&found.record]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opener_that_fails_or_gives_too_few_keys_fails_the_search() {
    let written = Written::statements(2).await;
    let refuse = async |_: Vec<SealedDataKey>| Err(std::fmt::Error);
    let refused = search(&written.dirs(), &Query::default(), &written.recipients, refuse).await;
    assert!(matches!(refused, Err(Error::Opener(std::fmt::Error))));
    let forget = async |_: Vec<SealedDataKey>| Ok::<_, std::fmt::Error>(Vec::new());
    let few = search(&written.dirs(), &Query::default(), &written.recipients, forget).await;
    assert!(matches!(few, Err(Error::Keys { given: 0, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_does_not_open_is_shown_as_such() {
    let written = Written::statements(2).await;
    let wrong =
        async |keys: Vec<SealedDataKey>| Ok::<_, std::fmt::Error>(keys.iter().map(|_| Secret::new([0; 32])).collect());
    let query = Query { text: Some("never".to_owned()), customer: Some(ACME), ..Query::default() };
    let found = search(&written.dirs(), &query, &written.recipients, wrong).await.expect("found");
    assert!(!found.is_empty() && found.iter().all(|found| found.fault.is_some()));
}

/// Of two at the same customer, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_sessions_the_one_asked_for_is_found() {
    let (written, log) = Written::empty();
    let other = SessionId([2; 8]);
    for (frame, session) in (1..=8).zip([SESSION, other].into_iter().cycle()) {
        let record = Record::new(at(frame), Kind::Statement, Some(ACME));
        let _receipt = log.append(record, Claim::of(session, frame)).expect("queued").await.expect("durable");
        let mut outcome = Record::new(at(20), Kind::Outcome, Some(ACME));
        (outcome.skeleton.session, outcome.skeleton.frame) = (Some(session), Some(frame));
        log.note(outcome).expect("queued");
    }
    log.close().expect("closed");
    let of = |session| Query { session: Some(session), ..Query::default() };
    for (session, expected) in [(SESSION, &[1, 3, 5, 7][..]), (other, &[2, 4, 6, 8]), (SessionId([3; 8]), &[])] {
        for kinds in [vec![Kind::Statement], vec![Kind::Outcome]] {
            let (found, _) = written.search(&Query { kinds, ..of(session) }).await;
            assert_eq!(frames(&found), expected);
            let is_its = |found: &Found| found.outcome.iter().all(|outcome| outcome.skeleton.session == Some(session));
            assert!(found.iter().all(is_its), "{found:?}");
        }
    }
}
