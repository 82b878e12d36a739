use std::sync::atomic::Ordering;
use std::time::Instant;

use super::fixture::*;
use super::verify::Verdict;
use super::*;
use crate::audit::keys::Part;
use crate::clock::Timestamp;
use crate::ids::CustomerId;

fn wait(future: impl Future) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(async {
        tokio::time::timeout(Duration::from_secs(10), future).await.expect("within ten seconds");
    });
}

#[test]
fn what_was_acknowledged_reads_back_after_reopening() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let mut positions = Vec::new();
    wait(async {
        for (frame, customer) in [(1, Some(SEVEN)), (2, Some(EIGHT)), (3, None), (4, Some(SEVEN))] {
            let mut queued = log.append(statement(customer, &format!("SELECT {frame}")), claim(frame)).expect("queued");
            let receipt = queued.durable().await.expect("durable");
            assert_eq!((receipt.claim(), receipt.frame()), (claim(frame), frame));
            positions.push(receipt.position());
        }
    });
    log.close().expect("closed in order");
    let records = fixture.records();
    let kinds: Vec<Kind> = records.iter().map(|(_, record)| record.kind).collect();
    assert_eq!(kinds, [&[Kind::Opened], &[Kind::Statement; 4][..], &[Kind::Closed]].concat());
    for ((position, record), (frame, expected)) in records[1..5].iter().zip((1..).zip(&positions)) {
        assert_eq!(position, expected);
        assert_eq!(record.values.text, Some(format!("SELECT {frame}").into_bytes()));
        assert_eq!((record.skeleton.session, record.skeleton.frame), (Some(claim(1).session), Some(frame)));
        assert_eq!(
            (record.at, record.customer),
            (NOON, [Some(SEVEN), Some(EIGHT), None, Some(SEVEN)][frame as usize - 1])
        );
    }
    let findings = fixture.verify();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].verdict, Verdict::Ok);

    fixture.open().close().expect("closed");
    assert_eq!(fixture.kinds()[5..], [Kind::Closed, Kind::Opened, Kind::Closed]);
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn a_log_goes_on_over_many_segments_and_openings() {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 16 << 10;
    let mut written = 0;
    for _ in 0..3 {
        let log = fixture.open();
        wait(async {
            for _ in 0..9 {
                written += 1;
                log.record(statement(Some(SEVEN), &format!("SELECT {written}"))).await.expect("durable");
            }
        });
        log.close().expect("closed");
    }
    assert!(fixture.file("000000000005.segment").exists(), "there are many segments");
    let texts: Vec<_> = fixture.records().into_iter().filter_map(|(_, record)| record.values.text).collect();
    assert_eq!(texts, (1..=written).map(|n| format!("SELECT {n}").into_bytes()).collect::<Vec<_>>());
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok, "the links go on over openings too");
}

#[test]
fn a_record_larger_than_a_segment_gets_a_larger_one() {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 16 << 10;
    let log = fixture.open();
    let text = "x".repeat(3 << 20);
    wait(async {
        log.record(statement(Some(SEVEN), &text)).await.expect("durable");
        log.record(statement(Some(SEVEN), "SELECT 1")).await.expect("durable");
    });
    log.close().expect("closed");
    assert_eq!(fixture.records()[1].1.values.text.as_ref().map(Vec::len), Some(3 << 20));
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
    fixture.open();
}

#[test]
fn those_who_wait_share_one_write_in_the_order_they_came() {
    let fixture = Fixture::new();
    let log = fixture.open();
    wait(async { log.record(statement(None, "before")).await.expect("durable") });
    fixture.disk.hold(true);
    let writes = fixture.disk.tried.load(Ordering::Acquire);
    let mut first = log.append(statement(Some(SEVEN), "alone"), claim(1)).expect("queued");
    std::thread::sleep(Duration::from_millis(50));
    let queued: Vec<Enqueued> =
        (2..=50).map(|frame| log.append(statement(Some(SEVEN), "SELECT 1"), claim(frame)).expect("queued")).collect();
    fixture.disk.hold(false);
    wait(async {
        let mut last = first.durable().await.expect("durable").position();
        for mut enqueued in queued {
            let receipt = enqueued.durable().await.expect("durable");
            assert_eq!(receipt.position(), last + 1);
            last = receipt.position();
            assert_eq!(enqueued.durable().await, Err(Error::Closed), "a receipt is given once");
        }
    });
    assert_eq!(fixture.disk.tried.load(Ordering::Acquire) - writes, 2, "one write for the first, one for all others");
}

#[test]
fn waiting_can_be_given_up_and_taken_up_again() {
    let fixture = Fixture::new();
    let log = fixture.open();
    fixture.disk.hold(true);
    let mut queued = log.append(statement(Some(SEVEN), "SELECT 1"), claim(1)).expect("queued");
    wait(async {
        let early = tokio::time::timeout(Duration::from_millis(20), queued.durable()).await;
        assert!(early.is_err(), "nothing is acknowledged before the write");
        fixture.disk.hold(false);
        assert_eq!(queued.durable().await.expect("durable").frame(), 1);
    });
}

#[test]
fn a_note_starts_no_write_and_is_written_within_a_second_or_so() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let writes = fixture.disk.tried.load(Ordering::Acquire);
    let noted = Instant::now();
    log.note(Record::new(NOON, Kind::Outcome, Some(SEVEN))).expect("noted");
    std::thread::sleep(Duration::from_millis(400));
    let early = fixture.disk.tried.load(Ordering::Acquire);
    // A machine that slept for longer has nothing to say about it.
    assert!(early == writes || noted.elapsed() > Duration::from_millis(650), "not yet");
    while fixture.disk.tried.load(Ordering::Acquire) == writes {
        assert!(noted.elapsed() < Duration::from_secs(3), "it is never written");
        std::thread::sleep(Duration::from_millis(10));
    }
    log.note(Record::new(NOON, Kind::Outcome, Some(SEVEN))).expect("noted");
    wait(async { log.record(statement(Some(SEVEN), "SELECT 1")).await.expect("durable") });
    assert_eq!(fixture.disk.tried.load(Ordering::Acquire), writes + 2, "it rides with a record somebody waits for");
    log.note(Record::new(NOON, Kind::Outcome, Some(SEVEN))).expect("noted");
    log.close().expect("closed");
    let outcomes = fixture.kinds().into_iter().filter(|kind| *kind == Kind::Outcome).count();
    assert_eq!(outcomes, 3, "closing writes what is noted");
}

#[test]
fn after_a_failed_write_everybody_is_told_and_nothing_is_tried_again() {
    let fixture = Fixture::new();
    let log = fixture.open();
    fixture.disk.hold(true);
    let mut queued = vec![log.append(statement(Some(SEVEN), "first"), claim(1)).expect("queued")];
    std::thread::sleep(Duration::from_millis(50));
    for frame in 2..5 {
        queued.push(log.append(statement(Some(SEVEN), "SELECT 1"), claim(frame)).expect("queued"));
    }
    fixture.disk.writes.store(1, Ordering::Release);
    let tried = fixture.disk.tried.load(Ordering::Acquire);
    fixture.disk.hold(false);
    wait(async {
        for mut enqueued in queued {
            assert!(matches!(enqueued.durable().await, Err(Error::Failed(_))));
        }
        log.failed().await;
    });
    let refused = log.append(statement(Some(SEVEN), "later"), claim(9)).expect_err("it failed");
    assert!(refused.to_string().starts_with("the audit log can no longer be written: cannot write "), "{refused}");
    assert!(log.note(statement(None, "later")).is_err());
    assert!(!log.has_room());
    assert!(matches!(log.close(), Err(Error::Failed(_))));
    assert_eq!(fixture.disk.tried.load(Ordering::Acquire), tried + 1, "nothing was tried again");
    assert_eq!(fixture.kinds(), [Kind::Opened]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_fails_the_log() {
    let fixture = Fixture::new();
    let log = fixture.open();
    fixture.disk.replaces.store(1, Ordering::Release);
    wait(async {
        log.record(statement(None, "SELECT 1")).await.expect("durable");
        log.failed().await;
    });
    assert!(matches!(log.close(), Err(Error::Failed(_))));
}

#[test]
fn below_the_reserve_no_session_begins_and_those_that_are_go_on() {
    let fixture = Fixture::new();
    fixture.disk.free.store((1 << 20) - 1, Ordering::Release);
    let log = fixture.open();
    assert!(!log.has_room());
    wait(async {
        let sign_in = log.record(Record::new(NOON, Kind::SignedIn, Some(SEVEN))).await;
        assert_eq!(sign_in, Err(Error::Full(fixture.dir())));
        log.record(statement(Some(SEVEN), "SELECT 1")).await.expect("the running session goes on");
        fixture.disk.free.store(1 << 30, Ordering::Release);
        while !log.has_room() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        log.record(Record::new(NOON, Kind::SignedIn, Some(SEVEN))).await.expect("there is room again");
    });
}

#[test]
fn a_full_disk_is_said_and_the_log_goes_on_when_there_is_space() {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 8 << 10;
    // Enough for a segment, and never for a spare one beside the reserve: that would be there when the disk is full.
    let little = (64 << 10) + 1;
    fixture.disk.free.store(little, Ordering::Release);
    let log = fixture.open();
    fixture.disk.free.store(1, Ordering::Release);
    log.note(statement(Some(SEVEN), "noted while full")).expect("noted");
    wait(async {
        let refused = log.record(statement(Some(SEVEN), "refused")).await.expect_err("no segment is left");
        assert_eq!(refused, Error::Full(fixture.dir()));
        fixture.disk.free.store(little, Ordering::Release);
        fixture.disk.allocates.store(1, Ordering::Release);
        let refused = log.record(statement(Some(SEVEN), "refused")).await.expect_err("allocating fails");
        assert_eq!(refused, Error::Full(fixture.dir()));
        log.record(statement(Some(SEVEN), "written")).await.expect("there is space again");
    });
    log.close().expect("closed");
    let texts: Vec<_> = fixture.records().into_iter().filter_map(|(_, record)| record.values.text).collect();
    assert_eq!(texts, [b"noted while full".to_vec(), b"written".to_vec()]);
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn a_checkpoint_for_which_there_is_no_space_waits_for_it() {
    let fixture = Fixture::new();
    let mut log = fixture.by_hand();
    log.tick();
    let signed = std::fs::read(fixture.file("checkpoint")).expect("signed");
    log.log.note(statement(Some(SEVEN), "SELECT 1")).expect("noted");
    let queued = log.log.append(statement(Some(SEVEN), "SELECT 2"), claim(1)).expect("queued");
    log.write();
    fixture.disk.full_replaces.store(1, Ordering::Release);
    log.tick();
    assert_eq!(fixture.disk.full_replaces.load(Ordering::Acquire), 0, "it was tried");
    assert!(!log.has_failed(), "records go on into the segment that is there");
    assert_eq!(std::fs::read(fixture.file("checkpoint")).expect("the old one"), signed);
    wait(async { queued.await.expect("durable") });
    log.tick();
    assert_ne!(std::fs::read(fixture.file("checkpoint")).expect("the new one"), signed);
    log.close().expect("closed");
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn nothing_is_written_for_whom_there_is_no_key() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let refused = log.append(statement(Some(CustomerId(9)), "SELECT 1"), claim(1)).expect_err("no keys of c9");
    assert_eq!(refused, Error::NoKey { recipient: Recipient::Customer(CustomerId(9)), period: 2026 });
    assert!(refused.to_string().starts_with("there are no keys to seal records of c9 in 2026; "));
    let next_year = Timestamp(NOON.0 + 60 * 86_400 * 1_000_000);
    fixture.clock.0.store(next_year.0, Ordering::Relaxed);
    let refused = log.append(statement(Some(SEVEN), "SELECT 1"), claim(1)).expect_err("no keys of next year");
    assert_eq!(refused, Error::NoKey { recipient: Recipient::Customer(SEVEN), period: 2027 });
    fixture.clock.0.store(NOON.0, Ordering::Relaxed);
    log.close().expect("closed");
    assert_eq!(fixture.kinds(), [Kind::Opened, Kind::Closed]);
    fixture.recipients.forget(Recipient::Vendor);
    assert_eq!(fixture.try_open().err(), Some(Error::NoKey { recipient: Recipient::Vendor, period: 202_611 }));
}

#[test]
fn no_text_stands_in_a_log_in_clear() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let mut record = statement(Some(SEVEN), "SELECT canary_in_a_text");
    record.skeleton.relations = Some(vec!["canary_in_a_skeleton".to_owned()]);
    wait(async { log.record(record).await.expect("durable") });
    log.close().expect("closed");
    let bytes = std::fs::read(fixture.file("000000000000.segment")).expect("read");
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
}

#[test]
fn a_clock_that_steps_back_breaks_nothing() {
    let fixture = Fixture::new();
    let log = fixture.open();
    wait(async {
        for minutes in [0, -10, 5, -10_000] {
            let at = Timestamp(NOON.0 + minutes * 60_000_000);
            fixture.clock.0.store(at.0, Ordering::Relaxed);
            let mut record = statement(Some(SEVEN), "SELECT 1");
            record.at = at;
            log.record(record).await.expect("durable");
        }
    });
    log.close().expect("closed");
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
    fixture.open();
}

#[test]
fn data_keys_change_with_the_epoch() {
    let fixture = Fixture::new();
    let mut settings = fixture.settings();
    settings.epoch.bytes = 1000;
    let log = fixture.try_open_with(settings).expect("opens");
    wait(async {
        for _ in 0..6 {
            log.record(statement(Some(SEVEN), &"x".repeat(400))).await.expect("durable");
        }
    });
    log.close().expect("closed");
    let reader = reader::Reader::open(&fixture.dir()).expect("readable");
    let mut tags = crate::audit::tag::Tags::new(&fixture.recipients, reader.origin());
    let keys = reader.sealed_data_keys(&mut tags).expect("read");
    let of = |part| keys.iter().filter(|key| key.recipient != Recipient::Vendor && key.part == part).count();
    assert_eq!((of(Part::Values), of(Part::Skeleton)), (3, 1));
    assert_eq!(fixture.records().len(), 8);
}

/// A data key that was read back could seal two records at one position after a roll-back.
#[test]
fn each_life_of_the_writer_makes_its_own_data_keys() {
    let fixture = Fixture::new();
    let mut positions = std::collections::BTreeSet::new();
    for life in 1..=3 {
        let log = fixture.open();
        wait(async { log.record(statement(Some(SEVEN), "SELECT 1")).await.expect("durable") });
        log.close().expect("closed");
        let reader = reader::Reader::open(&fixture.dir()).expect("readable");
        let tag = fixture.recipients.tag(Recipient::Customer(SEVEN)).expect("a tag key");
        let tag = crate::audit::tag::Tagger::new(&tag, reader.origin()).tag(0);
        let leaves: Vec<_> = reader.leaves().map(|leaf| leaf.expect("whole")).collect();
        let of_seven = leaves.iter().filter(|leaf| leaf.place.tag == tag);
        let used: Vec<_> = of_seven.filter(|leaf| leaf.place.kind == Kind::Statement).collect();
        assert_eq!(used.len(), life);
        let newest = used.last().expect("a record");
        assert!(positions.insert(newest.values.key) && positions.insert(newest.skeleton.key), "life {life}");
    }
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn one_directory_has_one_writer() {
    let fixture = Fixture::new();
    let log = fixture.open();
    assert_eq!(fixture.try_open().err(), Some(Error::Locked(fixture.dir())));
    let clone = log.clone();
    drop(log);
    assert_eq!(fixture.try_open().err(), Some(Error::Locked(fixture.dir())));
    clone.close().expect("closed");
    fixture.open();
}

#[test]
fn closing_closes_every_clone() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let clone = log.clone();
    log.close().expect("closed");
    assert!(matches!(clone.append(statement(None, "late"), claim(1)), Err(Error::Closed)));
    assert_eq!(clone.close(), Err(Error::Closed));
}

#[test]
fn an_idle_log_gives_signs_of_life() {
    let fixture = Fixture::new();
    let settings = Settings { heartbeat: Duration::from_millis(50), ..fixture.settings() };
    let log = fixture.try_open_with(settings).expect("opens");
    while log.checkpoint().size < 5 {
        std::thread::sleep(Duration::from_millis(20));
    }
    log.close().expect("closed");
    assert_eq!(fixture.kinds()[1..3], [Kind::Heartbeat, Kind::Heartbeat]);
}

#[test]
fn a_checkpoint_is_signed_within_a_second_or_so_and_covers_what_was_written() {
    let fixture = Fixture::new();
    let log = fixture.open();
    wait(async { log.record(statement(Some(SEVEN), "SELECT 1")).await.expect("durable") });
    let expected = log.checkpoint();
    let note = || std::fs::read_to_string(fixture.file("checkpoint")).expect("there is always one");
    let signed = || Checkpoint::open(&note(), "portreeve/proxy-gate-1", &signing(1).public());
    let asked = Instant::now();
    while signed().as_ref() != Ok(&expected) {
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?} is not {expected:?}", signed());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_log_can_be_used_from_many_threads_and_tasks() {
    fn sent<T: Send + Sync>(_: &T) {}
    fn moved<T: Send>(value: T) -> T {
        value
    }
    let fixture = Fixture::new();
    let log = fixture.open();
    sent(&log);
    wait(async {
        let queued = moved(log.append(statement(Some(SEVEN), "SELECT 1"), claim(1)).expect("queued"));
        moved(queued).await.expect("durable");
        moved(log.record(statement(Some(SEVEN), "SELECT 1"))).await.expect("durable");
    });
}

#[test]
fn misuse_is_refused() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let mut record = statement(Some(SEVEN), "SELECT 1");
    record.skeleton.frame = Some(2);
    assert!(matches!(log.append(record, claim(1)), Err(Error::Misused(_))));
    assert!(matches!(log.note(Record::new(NOON, Kind::Heartbeat, None)), Err(Error::Misused(_))));
    for name in ["", "a b", "a/b", "a\nb", &"x".repeat(200)] {
        let settings = Settings { writer: name.to_owned(), ..fixture.settings() };
        assert_eq!(fixture.try_open_with(settings).err(), Some(Error::Name(name.to_owned())));
    }
}

/// A session whose records share nothing.
fn nothing() -> Preamble {
    Preamble::of(&Record::new(NOON, Kind::Statement, None))
}

/// A record of so many frames, from that one on.
fn burst(first: u64, count: u64) -> Record {
    let mut record = statement(Some(SEVEN), "SELECT 1");
    record.skeleton.frame = Some(first);
    for frame in first + 1..first + count {
        let skeleton = crate::audit::record::Skeleton { frame: Some(frame), ..Default::default() };
        record.add(skeleton, record.values.clone());
    }
    record
}

#[test]
fn a_record_of_several_frames_is_claimed_as_what_it_is() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let misused = |record: Record, claim: Claim| matches!(log.append(record, claim), Err(Error::Misused(_)));
    assert!(misused(burst(1, 2), claim(1)) && misused(burst(1, 1), claim(1).and(1)));
    assert!(misused(burst(1, 3), claim(1).and(1)) && misused(burst(2, 2), claim(1).and(1)));
    let mut gap = burst(1, 2);
    gap.skeleton.further.as_mut().expect("one more")[0].frame = Some(3);
    assert!(misused(gap, claim(1).and(1)));
    wait(async {
        let receipt =
            log.append_ahead(&nothing(), burst(1, 3), claim(1).and(2)).expect("queued").await.expect("durable");
        assert_eq!((receipt.frame(), receipt.claim().last()), (1, 3));
    });
    log.close().expect("closed");
    let (_, record) = fixture.records().into_iter().nth(1).expect("the record");
    assert_eq!(record.unfold().len(), 3);
}

#[test]
fn what_nobody_waits_for_yet_is_gathered_and_still_written_within_milliseconds() {
    let fixture = Fixture::new();
    let disk = fixture.disk.clone();
    let log = fixture.open();
    let before = disk.tried.load(Ordering::Acquire);
    wait(async {
        let ahead = (1..=50).map(|frame| {
            let record = statement(Some(SEVEN), "SELECT 1");
            log.append_ahead(&nothing(), record, claim(frame)).expect("queued")
        });
        let ahead: Vec<Enqueued> = ahead.collect();
        for enqueued in ahead {
            enqueued.await.expect("durable without anybody's hurry");
        }
    });
    let batches = disk.tried.load(Ordering::Acquire) - before;
    assert!(batches < 25, "{batches} writes for 50 records");
}

#[test]
fn whoever_waits_has_it_written_at_once() {
    let fixture = Fixture::new();
    let disk = fixture.disk.clone();
    let log = fixture.open();
    wait(async {
        disk.hold(true);
        // Two are few; the third waits for company.
        let mut first =
            [1, 2].map(|frame| log.append_ahead(&nothing(), burst(frame, 1), claim(frame)).expect("queued"));
        let mut third = log.append_ahead(&nothing(), burst(3, 1), claim(3)).expect("queued");
        log.hurry(&mut third);
        // Somebody who hurries what is being written, or is written, changes nothing.
        log.hurry(&mut first[0]);
        disk.hold(false);
        third.await.expect("durable");
        for enqueued in &mut first {
            log.hurry(enqueued);
            enqueued.durable().await.expect("durable");
        }
    });
}
