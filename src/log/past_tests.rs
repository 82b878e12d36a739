use std::fs;
use std::mem::size_of;
use std::time::Instant;

use super::super::crash_tests::ByHand;
use super::super::fixture::*;
use super::super::recovery::recover;
use super::super::start::Ready;
use super::super::summary::Summary;
use super::super::{Log, origin};
use super::*;
use crate::audit::keys::{Recipient, TagKey};
use crate::audit::tree::Frontier;
use crate::clock::Clock;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;
use crate::secret::Secret;

const FIRST: &str = "000000000000.summary";

/// A closed log of several segments; customer 8 has a record in the first only.
fn closed() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 20 << 10;
    let log = fixture.open();
    record(&log, EIGHT, "SELECT 8").expect("durable");
    for number in 0..30 {
        record(&log, SEVEN, &format!("SELECT {number} {}", "x".repeat(900))).expect("durable");
    }
    log.close().expect("closed");
    fixture
}

/// Opened again, and of its finished segments no more is kept than of those of a long log.
fn opened(fixture: &Fixture) -> Log {
    let ready = ready(fixture);
    let mut sealing = ready.writer.shared.sealing().expect("nobody panicked");
    assert!(sealing.sealer.past.begun() > 2);
    sealing.sealer.past.recent.clear();
    drop(sealing);
    ready.start().expect("threads")
}

fn ready(fixture: &Fixture) -> Ready {
    let (disk, clock) = (Arc::new(fixture.disk.clone()), Arc::clone(&fixture.clock) as Arc<dyn Clock>);
    let (dir, recipients) = (fixture.dir(), fixture.recipients.clone());
    Ready::open(disk, &dir, fixture.settings(), recipients, clock, Arc::new(OsEntropy)).expect("it opens")
}

fn record(log: &Log, customer: CustomerId, text: &str) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(log.record(statement(Some(customer), text))).map(drop)
}

fn is_whole(fixture: &Fixture) -> bool {
    // A summary that was changed is remarked, and nothing else.
    let is_remark =
        |finding: &crate::log::verify::Finding| finding.verdict == Verdict::Unwitnessed && finding.place == FIRST;
    fixture.verify().iter().all(|finding| finding.verdict == Verdict::Ok || is_remark(finding))
}

/// Of a recipient whose tag key is that number.
fn tagger(number: u8) -> Tagger {
    Tagger::new(&TagKey(Secret::new([number; 32])), &origin("proxy-gate-1"))
}

fn end(batch: u64) -> End {
    End { position: 10 * batch, batch, previous: [batch as u8; 32] }
}

/// So many bytes are kept.
fn bytes(past: &Past) -> usize {
    let beginnings = past.finished.iter().filter_map(|finished| finished.beginnings.as_ref());
    let beginnings: usize = beginnings.map(|beginnings| size_of::<Beginning>() * beginnings.len()).sum();
    let tags = past.begun.capacity() + past.recent.iter().map(|(_, tags)| tags.capacity()).sum::<usize>();
    // A hash table has a byte for each of its places beside them.
    beginnings + past.finished.capacity() * size_of::<Finished>() + tags * (size_of::<([u8; 16], Hash)>() + 1)
}

#[test]
fn a_chain_goes_on_whatever_became_of_a_summary_since_the_start() {
    let changes: [(&str, fn(&Fixture)); 5] = [
        ("it is as it was", |_| {}),
        ("it is gone", |fixture| fs::remove_file(fixture.file(FIRST)).expect("removed")),
        ("a bit is another", |fixture| fixture.change(FIRST, |bytes| bytes[150] ^= 4)),
        ("it is cut off", |fixture| fixture.change(FIRST, |bytes| bytes.truncate(100))),
        ("it is of another segment", |fixture| {
            fs::copy(fixture.file("000000000001.summary"), fixture.file(FIRST)).map(drop).expect("copied");
        }),
    ];
    for (what, change) in changes {
        let fixture = closed();
        let log = opened(&fixture);
        change(&fixture);
        record(&log, EIGHT, "SELECT 8 again").expect(what);
        log.close().expect(what);
        assert!(is_whole(&fixture), "{what}");
    }
}

#[test]
fn one_that_the_log_signed_when_the_segment_ended_elsewhere_is_not_believed() {
    let fixture = closed();
    let log = opened(&fixture);
    let block = fs::read(fixture.file("000000000000.segment")).expect("read");
    let (tree, tags) = (Frontier::of(1, vec![[1; 32]]).expect("one leaf"), Tags::new());
    let stale = Summary { segment: 0, end: 8192, tree, batch: 3, previous: [2; 32], tags };
    fs::write(fixture.file(FIRST), stale.to_bytes(&block[..BLOCK_BYTES], &signing(1))).expect("written");
    record(&log, EIGHT, "SELECT 8 again").expect("durable");
    log.close().expect("closed");
    assert!(is_whole(&fixture));
}

#[test]
fn a_segment_that_is_not_what_was_written_ends_the_log_before_a_link_is_guessed() {
    let fixture = closed();
    let log = opened(&fixture);
    record(&log, SEVEN, "SELECT 7 again").expect("his last record is in the newest segment");
    fs::remove_file(fixture.file(FIRST)).expect("removed");
    fixture.change("000000000000.segment", |bytes| bytes[2 * BLOCK_BYTES + 200] ^= 1);
    let size = log.checkpoint().size;
    let refused = record(&log, EIGHT, "SELECT 8 again").expect_err("nobody knows what it is linked to").to_string();
    assert!(refused.contains("000000000000.segment at byte 8192"), "{refused}");
    assert_eq!(log.checkpoint().size, size, "nothing was written");
    assert!(record(&log, SEVEN, "SELECT 7").is_err(), "nor is anything behind it");
    log.close().expect_err("it failed");
    let refused = fixture.try_open().expect_err("and it is not opened again").to_string();
    assert!(refused.contains("000000000000.segment"), "{refused}");
}

#[test]
fn a_segment_that_cannot_be_read_ends_the_log_and_read_again_it_goes_on() {
    let fixture = closed();
    let log = opened(&fixture);
    fs::remove_file(fixture.file(FIRST)).expect("removed");
    *fixture.disk.unreadable.lock().expect("not poisoned") = Some(("000000000000.segment".to_owned(), 4096));
    let refused = record(&log, EIGHT, "SELECT 8 again").expect_err("unreadable").to_string();
    assert!(refused.contains("000000000000.segment"), "{refused}");
    log.close().expect_err("it failed");
    *fixture.disk.unreadable.lock().expect("not poisoned") = None;
    let log = fixture.open();
    record(&log, EIGHT, "SELECT 8 again").expect("durable");
    log.close().expect("closed");
    assert!(is_whole(&fixture));
}

#[test]
fn whoever_is_forgotten_and_known_again_goes_on_in_the_same_chain() {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 20 << 10;
    let mut world = ByHand::new(ready(&fixture).by_hand());
    for number in 0..12_u64 {
        let enqueued = world.log.append(statement(Some(EIGHT), &"x".repeat(900)), claim(number + 1)).expect("queued");
        world.write();
        drop(enqueued);
        world.forget(Recipient::Customer(EIGHT));
    }
    assert!(!world.has_failed());
    world.close().expect("closed");
    assert!(fixture.file(FIRST).exists(), "they were in several segments");
    assert!(is_whole(&fixture));
}

#[test]
fn what_is_kept_of_a_long_log_is_bounded() {
    let mut past = Past::default();
    let mut number = 0_u128;
    let mut segment = |past: &mut Past| {
        for _ in 0..1000 {
            number += 1;
            // Odd, so that each is another one, and spread over all tags.
            past.add((number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)).to_be_bytes(), [1; 32]);
        }
        past.finish(end(past.begun() + 1));
    };
    (0..1500).for_each(|_| segment(&mut past));
    let after_1500 = bytes(&past);
    assert!((1500 * 4000..9 << 20).contains(&after_1500), "{after_1500} bytes of 1,500 segments of 1,000 customers");
    (0..1000).for_each(|_| segment(&mut past));
    let after_2500 = bytes(&past);
    assert!(after_2500 < 12 << 20, "{after_2500} bytes of 2,500 segments");
    assert!(past.kept <= BEGINNINGS_MAX && past.oldest_kept > 0);
    assert!(past.finished[past.oldest_kept..].iter().all(|finished| finished.beginnings.is_some()));
    let counted: usize = past.finished.iter().filter_map(|one| one.beginnings.as_ref()).map(|kept| kept.len()).sum();
    assert_eq!(past.kept, counted);
}

#[test]
fn where_no_beginnings_are_kept_everybody_is_found_as_well() {
    let fixture = closed();
    let (dir, public) = (fixture.dir(), signing(1).public());
    let recovered = recover(&RealDisk, &dir, &origin("proxy-gate-1"), &public, None).expect("sound");
    let files = Files { disk: Arc::new(RealDisk), dir, public };
    let mut past = recovered.past;
    assert!(past.begun() > 2);
    let known = [7, 8, 1].map(|who| past.last_of(&tagger(who), &files).expect("read"));
    assert!(known.iter().all(Option::is_some));
    past.recent.clear();
    assert_eq!([7, 8, 1].map(|who| past.last_of(&tagger(who), &files).expect("read")), known);
    past.finished.iter_mut().for_each(|finished| finished.beginnings = None);
    past.recent.clear();
    assert_eq!([7, 8, 1].map(|who| past.last_of(&tagger(who), &files).expect("read")), known);
    assert_eq!(past.last_of(&tagger(99), &files).expect("read"), None);
}

/// 1,500 finished segments with a summary each; the first of twenty recipients is in the first segment only, the others are in
/// all of them.
fn of_1500_segments(files: &Files, taggers: &[Tagger]) -> Past {
    let mut past = Past::default();
    for segment in 0..1500 {
        let there = taggers.iter().enumerate().filter(|(who, _)| segment == 0 || *who > 0);
        let tags: Tags = there.map(|(who, tagger)| (tagger.tag(segment), [who as u8; 32])).collect();
        let End { position, batch, previous } = end(segment + 1);
        let tree = Frontier::of(position, vec![[1; 32]; position.count_ones() as usize]).expect("so many leaves");
        let summary = Summary { segment, end: 8192, tree, batch, previous, tags: tags.clone() };
        let (path, block) = (files.dir.join(file_name(segment)), [3; BLOCK_BYTES]);
        fs::write(&path, block).expect("written");
        fs::write(path.with_extension("summary"), summary.to_bytes(&block, &signing(1))).expect("written");
        past.skip(end(segment + 1), tags);
    }
    past.recent.clear();
    past
}

#[test]
fn of_1500_segments_only_that_is_read_in_which_somebody_is() {
    let temporary = tempfile::tempdir().expect("a directory");
    let files = Files { disk: Arc::new(RealDisk), dir: temporary.path().to_owned(), public: signing(1).public() };
    let taggers: Vec<Tagger> = (0..20).map(tagger).collect();
    let mut past = of_1500_segments(&files, &taggers);
    let timed = |past: &mut Past, tagger: &Tagger| {
        let began = Instant::now();
        (past.last_of(tagger, &files).expect("read"), began.elapsed())
    };
    let (newest, newest_took) = timed(&mut past, &taggers[1]);
    assert_eq!(newest, Some([1; 32]));
    for entry in fs::read_dir(&files.dir).expect("listed").map(|entry| entry.expect("an entry")) {
        let is_first = entry.file_name().to_string_lossy().starts_with("000000000000.");
        // Looking into what is not there would be an error.
        let moved = files.dir.join(format!("away-{}", entry.file_name().display()));
        fs::rename(entry.path(), if is_first { entry.path() } else { moved }).expect("moved");
    }
    let (nobody, nobody_took) = timed(&mut past, &tagger(99));
    let (oldest, oldest_took) = timed(&mut past, &taggers[0]);
    assert_eq!((nobody, oldest), (None, Some([0; 32])));
    for entry in fs::read_dir(&files.dir).expect("listed").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().to_string_lossy().replace("away-", "");
        fs::rename(entry.path(), files.dir.join(name)).expect("moved");
    }
    past.finished.iter_mut().for_each(|finished| finished.beginnings = None);
    let (nobody, all_took) = timed(&mut past, &tagger(99));
    assert_eq!(nobody, None);
    println!(
        "of 1,500 segments: the newest {newest_took:?}, the oldest {oldest_took:?}, none {nobody_took:?}, \
         none and all summaries read {all_took:?}"
    );
}

#[test]
fn a_log_that_lost_its_last_segment_goes_on_in_the_one_before() {
    let files = Files { disk: Arc::new(RealDisk), dir: PathBuf::new(), public: [0; 32] };
    let mut past = Past::default();
    past.add(tagger(1).tag(0), [1; 32]);
    past.finish(end(1));
    past.add(tagger(2).tag(1), [2; 32]);
    past.finish(end(2));
    past.reopen();
    assert_eq!((past.begun(), past.kept), (1, 1));
    assert_eq!(past.last_of(&tagger(2), &files).expect("known"), Some([2; 32]));
    assert_eq!(past.finish(end(3)).len(), 1, "its tags are all of them again");
}
