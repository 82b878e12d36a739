//! Large batches are written beside while the next is sealed: whatever becomes of the write, who waits is told that and
//! nothing else.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::fixture::*;
use super::super::verify::Verdict;
use super::super::writer::BESIDE_BYTES;
use super::super::*;
use crate::entropy::{Entropy, OsEntropy};

const SOON: Duration = Duration::from_secs(20);

/// Tells of every batch that is sealed: each takes a salt.
struct TellsOfSalts(Mutex<Sender<()>>);

impl Entropy for TellsOfSalts {
    fn fill(&self, bytes: &mut [u8]) {
        OsEntropy.fill(bytes);
        if bytes.len() == crate::audit::seal::SALT_BYTES {
            // Nobody may listen any more.
            let _ = self.0.lock().expect("not poisoned").send(());
        }
    }
}

/// A log, and what tells of each batch that is sealed from now on.
fn opened(fixture: &Fixture) -> (Log, Receiver<()>) {
    let (tell, told) = channel();
    let (disk, clock) = (Arc::new(fixture.disk.clone()), Arc::clone(&fixture.clock) as Arc<dyn Clock>);
    let entropy = Arc::new(TellsOfSalts(Mutex::new(tell)));
    let settings = Settings { segment_bytes: 4 << 20, ..fixture.settings() };
    let log = Log::open(disk, &fixture.dir(), settings, fixture.recipients.clone(), clock, entropy).expect("it opens");
    told.try_iter().for_each(drop);
    (log, told)
}

fn large(number: usize) -> Record {
    statement(Some(SEVEN), &format!("{number:0width$}", width = BESIDE_BYTES))
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(async { tokio::time::timeout(SOON, future).await.expect("it comes to that") })
}

fn writes(fixture: &Fixture) -> usize {
    fixture.disk.tried.load(Ordering::Acquire)
}

#[test]
fn while_a_large_batch_is_written_the_next_is_sealed_and_neither_is_acknowledged() {
    let fixture = Fixture::new();
    let (log, sealed) = opened(&fixture);
    let (size, before) = (log.checkpoint().size, writes(&fixture));
    fixture.disk.hold(true);
    let mut enqueued = Vec::new();
    for frame in 1..=2 {
        enqueued.push(log.append(large(frame), claim(frame as u64)).expect("queued"));
        sealed.recv_timeout(SOON).expect("it is sealed, though nothing is written");
    }
    for waits in &mut enqueued {
        let early = wait(async { tokio::time::timeout(Duration::from_millis(20), waits.durable()).await });
        assert!(early.is_err(), "nothing is acknowledged before its write");
    }
    assert_eq!((log.checkpoint().size, writes(&fixture)), (size, before));
    fixture.disk.hold(false);
    let receipts = wait(async {
        let mut receipts = Vec::new();
        for mut waits in enqueued {
            receipts.push(waits.durable().await.expect("durable"));
        }
        receipts
    });
    assert_eq!(receipts[1].position(), receipts[0].position() + 1);
    log.close().expect("closed");
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
    let texts: Vec<_> = fixture.records().into_iter().filter_map(|(_, record)| record.values.text).collect();
    assert_eq!(texts, [1, 2].map(|number| large(number).values.text.expect("a text")));
}

#[test]
fn little_behind_a_write_waits_for_it_and_goes_together() {
    let fixture = Fixture::new();
    let (log, sealed) = opened(&fixture);
    let before = writes(&fixture);
    fixture.disk.hold(true);
    let mut enqueued = vec![log.append(large(1), claim(1)).expect("queued")];
    sealed.recv_timeout(SOON).expect("it is sealed");
    for frame in 2..=20 {
        enqueued.push(log.append(statement(Some(SEVEN), "SELECT 1"), claim(frame)).expect("queued"));
    }
    sealed.recv_timeout(Duration::from_millis(50)).expect_err("sealing it now would make one more write");
    fixture.disk.hold(false);
    wait(async {
        for mut waits in enqueued {
            waits.durable().await.expect("durable");
        }
    });
    assert_eq!(writes(&fixture) - before, 2, "one for the large one, one for all others");
    log.close().expect("closed");
}

#[test]
fn after_a_write_beside_failed_everybody_is_told_and_nothing_is_written_again() {
    let fixture = Fixture::new();
    let (log, sealed) = opened(&fixture);
    let (size, before) = (log.checkpoint().size, writes(&fixture));
    fixture.disk.hold(true);
    let mut enqueued = Vec::new();
    for frame in 1..=2 {
        enqueued.push(log.append(large(frame), claim(frame as u64)).expect("queued"));
        sealed.recv_timeout(SOON).expect("it is sealed");
    }
    enqueued.push(log.append(statement(Some(SEVEN), "SELECT 1"), claim(3)).expect("queued"));
    fixture.disk.writes.store(1, Ordering::Release);
    fixture.disk.hold(false);
    wait(async {
        for mut waits in enqueued {
            assert!(matches!(waits.durable().await, Err(Error::Failed(_))));
        }
        log.failed().await;
    });
    let refused = log.append(large(4), claim(4)).expect_err("it failed");
    assert!(refused.to_string().contains("cannot write "), "{refused}");
    assert_eq!(log.checkpoint().size, size);
    assert!(matches!(log.close(), Err(Error::Failed(_))));
    assert_eq!(writes(&fixture), before + 1, "what was sealed behind it is not written");
    assert_eq!(fixture.kinds(), [Kind::Opened]);
}

#[test]
fn closing_waits_for_what_is_written_beside() {
    let fixture = Fixture::new();
    let (log, sealed) = opened(&fixture);
    fixture.disk.hold(true);
    let mut waits = log.append(large(1), claim(1)).expect("queued");
    sealed.recv_timeout(SOON).expect("it is sealed");
    let closing = std::thread::spawn(move || log.close());
    sealed.recv_timeout(Duration::from_millis(50)).expect_err("the record of the end goes behind it");
    assert!(!closing.is_finished());
    fixture.disk.hold(false);
    closing.join().expect("no panic").expect("closed");
    wait(waits.durable()).expect("durable");
    assert_eq!(fixture.kinds(), [Kind::Opened, Kind::Statement, Kind::Closed]);
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok, "the last checkpoint covers all");
}

#[test]
fn segments_end_and_begin_behind_what_is_written_beside() {
    let fixture = Fixture::new();
    let log = fixture.open();
    wait(async {
        for round in 0..10 {
            let more = |number: usize| log.append(large(number), claim(number as u64 + 1)).expect("queued");
            let mut enqueued: Vec<_> = (4 * round..4 * round + 4).map(more).collect();
            for waits in &mut enqueued {
                waits.durable().await.expect("durable");
            }
        }
    });
    log.close().expect("closed");
    assert!(fixture.file("000000000005.segment").exists(), "each takes few of them");
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
    let texts: Vec<_> = fixture.records().into_iter().filter_map(|(_, record)| record.values.text).collect();
    assert!(
        texts.iter().eq((0..40).map(|number| large(number).values.text.expect("a text")).collect::<Vec<_>>().iter())
    );
    fixture.open();
}
