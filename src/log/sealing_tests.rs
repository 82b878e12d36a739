//! Whoever queues a record seals it, as far as nothing but sealing is needed; the order never changes.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::super::crash_tests::{ByHand, answer};
use super::super::fixture::*;
use super::super::start::Ready;
use super::super::verify::Verdict;
use super::super::{Claim, Enqueued, Log, Receipt};
use super::*;
use crate::audit::record::{Kind, Record};
use crate::clock::Clock;
use crate::entropy::OsEntropy;

/// A log whose threads' turns the test takes, with data keys for customer 7: one record of it is written.
fn begun(fixture: &Fixture) -> ByHand {
    let mut log = fixture.by_hand();
    let mut first = append(&log.log, 1, "SELECT 1");
    assert_eq!(sealed(&log.log), 0, "data keys are made by the writer");
    log.write();
    receipt(&mut first);
    log
}

fn append(log: &Log, frame: u64, text: &str) -> Enqueued {
    log.append(statement(Some(SEVEN), text), claim(frame)).expect("queued")
}

/// How many records are sealed of the next batch.
fn sealed(log: &Log) -> usize {
    log.0.shared.sealing().expect("nobody panicked").batch.answers.len()
}

fn receipt(enqueued: &mut Enqueued) -> Receipt {
    match answer(enqueued) {
        std::task::Poll::Ready(receipt) => receipt.expect("durable"),
        std::task::Poll::Pending => panic!("it is not answered"),
    }
}

fn texts(fixture: &Fixture) -> Vec<String> {
    let values = fixture.records().into_iter().filter_map(|(_, record)| record.values.text);
    values.map(|text| String::from_utf8_lossy(&text).chars().take(10).collect()).collect()
}

#[test]
fn small_records_are_sealed_by_whoever_queues_them_and_answered_by_the_writer() {
    let fixture = Fixture::new();
    let mut log = begun(&fixture);
    let mut queued: Vec<_> = (2..12).map(|frame| append(&log.log, frame, &format!("SELECT {frame}"))).collect();
    assert_eq!(sealed(&log.log), 10);
    assert!(queued.iter_mut().all(|queued| answer(queued).is_pending()), "sealed is not durable");
    log.write();
    assert_eq!(sealed(&log.log), 0);
    let positions: Vec<u64> = queued.iter_mut().map(|queued| receipt(queued).position()).collect();
    assert!(positions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{positions:?}");
    log.close().expect("closed");
    assert_eq!(texts(&fixture), (1..12).map(|frame| format!("SELECT {frame}")).collect::<Vec<_>>());
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn what_the_writer_must_seal_is_overtaken_by_nobody() {
    let fixture = Fixture::new();
    let mut log = begun(&fixture);
    let large = format!("SELECT 3 {}", "x".repeat(AHEAD_BYTES_MAX));
    let queued = [append(&log.log, 2, "SELECT 2"), append(&log.log, 3, &large), append(&log.log, 4, "SELECT 4")];
    assert_eq!(sealed(&log.log), 1, "the large one, and what is behind it, are left to the writer");
    // Another's first record needs data keys.
    let other = log.log.append(statement(Some(EIGHT), "SELECT 5"), claim(5)).expect("queued");
    let last = append(&log.log, 6, "SELECT 6");
    assert_eq!(sealed(&log.log), 1);
    log.write();
    let mut positions: Vec<u64> = Vec::new();
    for mut queued in queued.into_iter().chain([other, last]) {
        positions.push(receipt(&mut queued).position());
    }
    assert!(positions.is_sorted(), "{positions:?}");
    log.close().expect("closed");
    assert_eq!(texts(&fixture), ["SELECT 1", "SELECT 2", "SELECT 3 x", "SELECT 4", "SELECT 5", "SELECT 6"]);
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn what_is_sealed_is_written_in_the_segment_it_was_sealed_for() {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 32 << 10;
    let mut log = begun(&fixture);
    let mut small = append(&log.log, 2, "SELECT 2");
    let mut large = append(&log.log, 3, &format!("SELECT 3 {}", "x".repeat(40 << 10)));
    assert_eq!(sealed(&log.log), 1);
    log.write();
    receipt(&mut small);
    receipt(&mut large);
    let in_first = fixture.file("000000000001.segment");
    assert!(in_first.exists(), "the large one begins another");
    log.close().expect("closed");
    assert_eq!(texts(&fixture), ["SELECT 1", "SELECT 2", "SELECT 3 x"]);
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn whoever_waits_is_told_that_the_log_failed_though_their_record_is_sealed() {
    let fixture = Fixture::new();
    let log = begun(&fixture);
    let mut queued = append(&log.log, 2, "SELECT 2");
    assert_eq!(sealed(&log.log), 1);
    log.log.0.shared.fail("the upkeep could not write");
    match answer(&mut queued) {
        std::task::Poll::Ready(Err(Error::Failed(why))) => assert_eq!(why, "the upkeep could not write"),
        other => panic!("{other:?}"),
    }
    assert_eq!(sealed(&log.log), 0);
}

/// The upkeep fails just when the writer is about to give a sign of life: that would be linked to what was given up.
#[test]
fn nothing_is_written_behind_what_was_given_up() {
    let fixture = Fixture::new();
    let (disk, clock) = (Arc::new(fixture.disk.clone()), Arc::clone(&fixture.clock) as Arc<dyn Clock>);
    let (dir, settings) = (fixture.dir(), fixture.settings());
    let ready = Ready::open(disk, &dir, settings, fixture.recipients.clone(), clock, Arc::new(OsEntropy));
    let (log, mut writer, _upkeep, _lock) = ready.expect("it opens").by_hand();
    log.note(statement(None, "given up")).expect("noted");
    assert_eq!(sealed(&log), 1);
    log.0.shared.fail("the upkeep could not write");
    let sign = super::super::item(
        &Record::new(NOON, Kind::Heartbeat, None),
        None,
        Claim::NONE,
        &fixture.recipients,
        fixture.clock.as_ref(),
    );
    assert!(!writer.turn(vec![sign.expect("keys")]));
    assert_eq!(fixture.kinds(), [Kind::Opened]);
    drop((log, writer, _lock));
    fixture.open().close().expect("closed");
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn a_log_in_which_somebody_panicked_while_sealing_is_written_no_more() {
    let fixture = Fixture::new();
    let mut log = begun(&fixture);
    let shared = Arc::clone(&log.log.0.shared);
    let panicked = thread::spawn(move || {
        let _sealing = shared.sealing().expect("nobody panicked yet");
        panic!("as a bug would");
    });
    panicked.join().expect_err("it panicked");
    let mut queued = append(&log.log, 2, "SELECT 2");
    log.write();
    assert!(matches!(answer(&mut queued), std::task::Poll::Ready(Err(Error::Failed(_)))));
    assert!(log.has_failed());
    drop(log);
    assert_eq!(texts(&fixture), ["SELECT 1"], "what nobody knows is not there");
}

#[test]
fn many_threads_at_once_keep_their_order_over_segments_and_data_keys() {
    const THREADS: u64 = 6;
    const RECORDS: u64 = 150;
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 48 << 10;
    let mut settings = fixture.settings();
    settings.epoch.bytes = 20 << 10;
    let log = fixture.try_open_with(settings).expect("the log opens");
    let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let positions: Vec<Vec<(u64, String)>> = thread::scope(|scope| {
        let write = |thread: u64| {
            let (log, customer) = (&log, if thread.is_multiple_of(2) { SEVEN } else { EIGHT });
            move || {
                let text = |number| {
                    format!("{thread}-{number}{}", if number % 40 == 7 { " ".repeat(36 << 10) } else { String::new() })
                };
                let one = |number| {
                    let record = statement(Some(customer), &text(number));
                    let position = runtime().block_on(log.record(record)).expect("durable").position();
                    (position, text(number).trim_end().to_owned())
                };
                (0..RECORDS).map(one).collect()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(write(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    log.close().expect("closed");
    assert!(positions.iter().all(|positions| positions.is_sorted()));
    let records = fixture.records();
    let of = |(position, record): &(u64, Record)| {
        let text = record.values.text.as_ref()?;
        Some((*position, String::from_utf8_lossy(text).trim_end().to_owned()))
    };
    let mut expected: Vec<(u64, String)> = positions.into_iter().flatten().collect();
    expected.sort_unstable();
    assert_eq!(records.iter().filter_map(of).collect::<Vec<_>>(), expected);
    assert!(fixture.file("000000000003.segment").exists(), "over several segments");
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn nothing_is_sealed_ahead_under_a_data_key_whose_epoch_is_over() {
    let fixture = Fixture::new();
    let log = begun(&fixture);
    let sealing = log.log.0.shared.sealing().expect("nobody panicked");
    let record = statement(Some(SEVEN), "SELECT 2");
    let item = super::super::item(&record, None, claim(2), &fixture.recipients, fixture.clock.as_ref()).expect("keys");
    let now = Instant::now();
    assert!(sealing.spot_for(&item, now).is_some());
    assert!(sealing.spot_for(&item, now + Duration::from_secs(14 * 60)).is_some());
    assert!(sealing.spot_for(&item, now + Duration::from_secs(15 * 60 + 1)).is_none());
}
