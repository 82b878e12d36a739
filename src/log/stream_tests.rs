//! A stream gives what a search gives, whatever fits into its window, and never holds more than that.

use super::super::search::search;
use super::super::search::tests::{ACME, BETA, SESSION, Written, outcome, statement};
use super::*;
use crate::clock::Timestamp;

async fn prepared(written: &Written, query: &Query, window: Window) -> Prepared {
    let opener = async |keys: Vec<SealedDataKey>| written.open(&keys);
    let watch = Arc::new(Watch::default());
    let prepared = prepare(&written.dirs(), query, &written.recipients, &watch, opener).await.expect("prepared");
    Prepared { window, ..prepared }
}

async fn streamed(written: &Written, query: &Query, records: usize) -> Vec<Found> {
    let prepared = prepared(written, query, Window { records, bytes: 1 << 20 }).await;
    prepared.stream().collect::<Result<_, _>>().expect("readable")
}

async fn searched(written: &Written, query: &Query) -> Vec<Found> {
    let opener = async |keys: Vec<SealedDataKey>| written.open(&keys);
    search(&written.dirs(), query, &written.recipients, opener).await.expect("found")
}

/// Statements whose outcomes come much later, in another order; one never has any, one has two.
async fn late() -> Written {
    let (written, log) = Written::empty();
    for frame in 1..=30 {
        statement(&log, frame, Some(ACME)).await;
        if frame == 20 {
            [9, 2, 5].into_iter().for_each(|frame| outcome(&log, frame, 20, Some(ACME), "done"));
            outcome(&log, 9, 20, Some(ACME), "error");
        }
    }
    (1..=30).rev().filter(|frame| ![2, 5, 9, 13].contains(frame)).for_each(|frame| {
        outcome(&log, frame, 60, Some(ACME), "done");
    });
    log.close().expect("closed");
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_what_a_search_gives() {
    let at = |second: i64| Some(Timestamp(1_000_000 * second));
    let of = |customer| Query { customer: Some(customer), ..Query::default() };
    let statements = Query { kinds: vec![Kind::Statement], ..Query::default() };
    for written in [Written::statements(40).await, late().await] {
        for query in [
            Query::default(),
            statements.clone(),
            of(ACME),
            of(BETA),
            Query { since: at(7), until: at(21), ..of(ACME) },
            Query { until: at(5), ..statements.clone() },
            Query { text: Some("select 1".to_owned()), ..of(ACME) },
            Query { sqlstate: Some("57014".to_owned()), ..of(ACME) },
        ] {
            let expected = searched(&written, &query).await;
            for records in [31, 100, 4096] {
                let mut found = streamed(&written, &query, records).await;
                // Within one log a stream keeps the log's order.
                found.sort_by_key(|found| (found.record.at, found.position));
                assert_eq!(found, expected, "{query:?} with {records}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_outside_of_the_window_is_found_ahead() {
    let written = late().await;
    let query = Query { customer: Some(ACME), kinds: vec![Kind::Statement, Kind::Outcome], ..Query::default() };
    let word = |found: &Found| found.outcome.as_ref().and_then(|outcome| outcome.skeleton.result.clone());
    for records in [1, 2, 3, 7] {
        let found = streamed(&written, &query, records).await;
        let of_statement = |frame| {
            let is_it =
                |found: &&Found| found.record.kind == Kind::Statement && found.record.skeleton.frame == Some(frame);
            found.iter().find(is_it).unwrap_or_else(|| panic!("statement {frame} with {records}"))
        };
        for frame in 1..=30 {
            let expected = if frame == 13 { None } else { Some("done".to_owned()) };
            assert_eq!(word(of_statement(frame)), expected, "statement {frame} with {records}");
        }
        // The second outcome of 9 came when its statement had been given: it is not lost.
        let apart: Vec<_> = found.iter().filter(|found| found.record.kind == Kind::Outcome).collect();
        let second = apart.iter().map(|found| (found.record.skeleton.frame, found.record.skeleton.result.as_deref()));
        assert_eq!(second.collect::<Vec<_>>(), [(Some(9), Some("error"))], "with {records}");
    }
}

/// The clock was two days ahead when the first statement was done.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_seems_too_late_hides_none_behind_it() {
    let (written, log) = Written::empty();
    for frame in 1..=10 {
        statement(&log, frame, Some(ACME)).await;
    }
    (1..=10).for_each(|frame| outcome(&log, frame, if frame == 1 { 172_800 } else { 20 }, Some(ACME), "done"));
    log.close().expect("closed");
    let query = Query { customer: Some(ACME), kinds: vec![Kind::Statement, Kind::Outcome], ..Query::default() };
    for records in [1, 2, 3, 7] {
        let found = streamed(&written, &query, records).await;
        let joined: Vec<_> = found.iter().map(|one| (one.record.skeleton.frame, one.outcome.is_some())).collect();
        assert_eq!(joined, (1..=10).map(|frame| (Some(frame), true)).collect::<Vec<_>>(), "with {records}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_held_than_the_window() {
    let written = Written::statements(300).await;
    let query = Query { customer: Some(ACME), ..Query::default() };
    for window in [Window { records: 10, bytes: usize::MAX }, Window { records: 4096, bytes: 20_000 }] {
        let prepared = prepared(&written, &query, window).await;
        let log = prepared.logs.first().expect("a log");
        let mut joined = Joined::new(&prepared, log);
        let mut given = 0;
        while let Some(found) = joined.next() {
            assert_eq!(found.expect("whole").record.skeleton.session, Some(SESSION));
            given += 1;
            assert!(joined.held.len() < 20 && joined.bytes <= 20_000, "{} held", joined.held.len());
            assert!(joined.statements.len() <= joined.held.len() && joined.ahead.is_empty());
        }
        assert_eq!((given, joined.bytes), (150, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_stopped_and_tells_how_far_it_is() {
    let written = Written::statements(50).await;
    let prepared = prepared(&written, &Query::default(), Window { records: 1, bytes: 1 }).await;
    assert_eq!(prepared.watch.progress().0, 0);
    let whole = prepared.watch.progress().1;
    let mut stream = prepared.stream();
    stream.by_ref().take(10).for_each(|found| assert!(found.is_ok()));
    let (read, of) = prepared.watch.progress();
    assert!(read >= 10 && of == whole && read < of, "{read} of {of}");
    prepared.watch.stop();
    let rest: Vec<_> = stream.collect();
    assert!(matches!(rest.as_slice(), [.., Err(Error::Stopped)]), "{rest:?}");
    let opener = async |keys: Vec<SealedDataKey>| written.open(&keys);
    let stopped = prepare(&written.dirs(), &Query::default(), &written.recipients, &prepared.watch, opener).await;
    assert!(matches!(stopped.err(), Some(search::Error::Log(Error::Stopped))));
    // However long nothing comes that is looked for.
    let of_nobody = Query { since: Some(Timestamp(i64::MAX)), ..Query::default() };
    let stopped = prepare(&written.dirs(), &of_nobody, &written.recipients, &prepared.watch, opener).await;
    assert!(matches!(stopped.err(), Some(search::Error::Log(Error::Stopped))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_end_is_named_and_not_taken_for_the_end() {
    let written = Written::statements(20).await;
    let dir = written.dirs().pop().expect("a log");
    let mut segments: Vec<_> =
        std::fs::read_dir(&dir).expect("listed").map(|entry| entry.expect("one").path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    segments.sort();
    let last = segments.iter().rfind(|path| {
        std::fs::read(path).expect("read").get(4096..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0))
    });
    let last = last.expect("one with batches");
    let mut bytes = std::fs::read(last).expect("read");
    let at = bytes.iter().rposition(|byte| *byte != 0).expect("not empty");
    *bytes.get_mut(at).expect("within") ^= 1;
    std::fs::write(last, bytes).expect("written");
    let opener = async |keys: Vec<SealedDataKey>| written.open(&keys);
    let query = Query { customer: Some(ACME), ..Query::default() };
    let refused = search(&written.dirs(), &query, &written.recipients, opener).await.expect_err("damaged").to_string();
    let name = last.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(refused.contains(&name) && refused.contains("leaves are signed"), "{refused}");
}
