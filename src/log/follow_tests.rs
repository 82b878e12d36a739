//! Who follows sees each record once, and a statement that failed however much came between it and its outcome.

use super::super::search::tests::{ACME, BETA, SESSION, Written, outcome, statement};
use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::log::{Claim, Log};

const OTHER: SessionId = SessionId([2; 8]);

fn at(second: i64) -> Timestamp {
    Timestamp(1_000_000 * second)
}

async fn next(following: &mut Following, written: &Written) -> Vec<Found> {
    let opener = async |keys: Vec<SealedDataKey>| written.open(&keys);
    following.next(&written.dirs(), &written.recipients, opener).await.expect("found")
}

/// Of each its session, its frame, and the SQLSTATE of its outcome.
fn statements(found: &[Found]) -> Vec<(Option<SessionId>, Option<u64>, Option<String>)> {
    let state = |found: &Found| -> Option<String> { found.outcome.as_ref()?.skeleton.sqlstate.clone() };
    let own = |found: &Found| (found.record.skeleton.session, found.record.skeleton.frame, state(found));
    found.iter().map(own).collect()
}

async fn of(log: &Log, session: SessionId, kind: Kind, second: i64, sqlstate: Option<&str>) {
    let mut record = Record::new(at(second), kind, Some(ACME));
    (record.skeleton.session, record.skeleton.frame) = (Some(session), Some(1));
    record.skeleton.sqlstate = sqlstate.map(str::to_owned);
    log.record(record).await.expect("durable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_later_than_one_after_it_is_shown_too() {
    let (written, log) = Written::empty();
    let query = Query { since: Some(at(5)), sqlstate: Some("42501".to_owned()), ..Query::default() };
    let mut following = Following::new(query);
    assert_eq!(next(&mut following, &written).await, []);
    of(&log, SESSION, Kind::Statement, 10, None).await;
    of(&log, OTHER, Kind::Statement, 11, None).await;
    of(&log, OTHER, Kind::Outcome, 12, Some("42501")).await;
    let found = next(&mut following, &written).await;
    assert_eq!(statements(&found), [(Some(OTHER), Some(1), Some("42501".to_owned()))]);
    assert_eq!(next(&mut following, &written).await, []);
    // The clock was set back meanwhile, to before all that is asked for.
    of(&log, SESSION, Kind::Outcome, 2, Some("42501")).await;
    let found = next(&mut following, &written).await;
    assert_eq!(statements(&found), [(Some(SESSION), Some(1), Some("42501".to_owned()))]);
    assert_eq!(found[0].record.kind, Kind::Statement);
    assert_eq!(next(&mut following, &written).await, []);
    log.close().expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_twice() {
    let (written, log) = Written::empty();
    let kinds = vec![Kind::Statement, Kind::Outcome];
    let mut following = Following::new(Query { kinds, ..Query::default() });
    statement(&log, 1, Some(ACME)).await;
    outcome(&log, 1, 2, Some(ACME), "done");
    statement(&log, 2, Some(BETA)).await;
    let seen = |found: Vec<Found>| -> Vec<_> {
        found.iter().map(|one| (one.record.kind, one.record.skeleton.frame, one.outcome.is_some())).collect()
    };
    let (first, second) = (Some(1), Some(2));
    assert_eq!(
        seen(next(&mut following, &written).await),
        [(Kind::Statement, first, true), (Kind::Statement, second, false)]
    );
    assert_eq!(seen(next(&mut following, &written).await), []);
    outcome(&log, 2, 3, Some(BETA), "done");
    statement(&log, 3, Some(BETA)).await;
    let found = seen(next(&mut following, &written).await);
    assert_eq!(found, [(Kind::Outcome, second, false), (Kind::Statement, Some(3), false)]);
    log.close().expect("closed");
    assert_eq!(seen(next(&mut following, &written).await), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_wait_too_long_are_shown_as_they_are() {
    let (written, log) = Written::empty();
    let mut following = Following::new(Query { sqlstate: Some("42501".to_owned()), ..Query::default() });
    let count = WAITING_MAX as u64 + 3;
    for frame in 1..count {
        let mut record = Record::new(at(10), Kind::Statement, Some(ACME));
        (record.skeleton.session, record.skeleton.frame) = (Some(SESSION), Some(frame));
        log.note(record).expect("queued");
    }
    let last = Record::new(at(10), Kind::Statement, Some(ACME));
    let _receipt = log.append(last, Claim::of(SESSION, count)).expect("queued").await.expect("durable");
    let found = next(&mut following, &written).await;
    assert_eq!(statements(&found), [1, 2, 3].map(|frame| (Some(SESSION), Some(frame), None)));
    assert_eq!(next(&mut following, &written).await, []);
    log.close().expect("closed");
}

/// A batch of which another customer's part is torn was never acknowledged: what is written in its place comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_is_not_passed_over_for_what_is_whole_in_it() {
    let (written, log) = Written::empty();
    statement(&log, 1, Some(BETA)).await;
    log.close().expect("closed");
    let dir = written.dirs().pop().expect("a log");
    let (segment, checkpoint) = (dir.join("000000000000.segment"), dir.join("checkpoint"));
    let signed = std::fs::read(&checkpoint).expect("read");
    let log = written.open_again();
    log.note(Record::new(at(2), Kind::Statement, Some(ACME))).expect("queued");
    log.record(Record::new(at(2), Kind::Statement, Some(BETA))).await.expect("durable");
    log.close().expect("closed");
    std::fs::write(&checkpoint, signed).expect("as it was before");
    let mut whole = std::fs::read(&segment).expect("read");
    // The last batch tells that the log was closed; the one before is torn.
    let closing = whole.chunks(4096).rposition(|block| block.starts_with(b"PRTRBAT1")).expect("a batch");
    whole.iter_mut().skip(4096 * closing).for_each(|byte| *byte = 0);
    let mut torn = whole.clone();
    let last = torn.iter().rposition(|byte| *byte != 0).expect("not empty");
    torn[last - 64..=last].fill(0);

    let pinned = [("portreeve/w".to_owned(), SigningKey::from_seed(&Secret::new([3; 32])).public())].into();
    let mut following = Following::new(Query { customer: Some(ACME), pinned, ..Query::default() });
    std::fs::write(&segment, torn).expect("written");
    assert_eq!(next(&mut following, &written).await, []);
    std::fs::write(&segment, whole).expect("written");
    assert_eq!(next(&mut following, &written).await.len(), 1);
}
