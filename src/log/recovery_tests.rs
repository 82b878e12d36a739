use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::task::Poll;

use super::super::crash_tests::answer;
use super::super::fixture::*;
use super::super::verify::Verdict;
use super::super::{Error, Log};
use crate::audit::record::Kind;
use crate::disk::BLOCK_BYTES;

const SEGMENT: &str = "000000000000.segment";

/// A log as it lies on the disk when its process is killed: the opening, then these texts, each in a batch of its own, and no
/// new checkpoint.
fn killed(texts: &[&str]) -> Fixture {
    let fixture = Fixture::new();
    write_and_die(&fixture, texts);
    fixture
}

fn write_and_die(fixture: &Fixture, texts: &[&str]) {
    // Whose turns nobody takes, they sign nothing.
    let mut log = fixture.by_hand();
    for text in texts {
        let mut queued = log.log.append(statement(Some(SEVEN), text), claim(1)).expect("queued");
        log.write();
        assert!(matches!(answer(&mut queued), Poll::Ready(Ok(_))), "durable");
    }
}

fn record_all(log: &Log, texts: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for text in texts {
        runtime.block_on(log.record(statement(Some(SEVEN), text))).expect("durable");
    }
}

fn refused(fixture: &Fixture) -> (Verdict, String) {
    let before = fs::read(fixture.file(SEGMENT)).ok();
    let refused = fixture.try_open().expect_err("it must not open");
    assert_eq!(fs::read(fixture.file(SEGMENT)).ok(), before, "a log that is refused is not touched");
    match refused {
        Error::Unsound { verdict, detail, .. } => (verdict, detail),
        other => panic!("{other}"),
    }
}

fn texts(fixture: &Fixture) -> Vec<String> {
    let values = fixture.records().into_iter().filter_map(|(_, record)| record.values.text);
    values.map(|text| String::from_utf8(text[..text.len().min(8)].to_vec()).expect("UTF-8")).collect()
}

/// Where the batches start: the opening is the first.
fn batches(fixture: &Fixture) -> Vec<usize> {
    let bytes = fs::read(fixture.file(SEGMENT)).expect("read");
    let starts = |at: &usize| bytes[*at..].starts_with(b"PRTRBAT1");
    (0..bytes.len()).step_by(BLOCK_BYTES).filter(starts).collect()
}

#[test]
fn a_killed_log_opens_with_everything_that_was_acknowledged() {
    let fixture = killed(&["SELECT 1", "SELECT 2"]);
    fixture.open().close().expect("closed");
    assert_eq!(texts(&fixture), ["SELECT 1", "SELECT 2"]);
    assert_eq!(fixture.kinds()[3..], [Kind::Opened, Kind::Closed], "nothing was dropped and nothing is said of it");
    assert_eq!(fixture.verdicts(), [Verdict::Ok]);
}

#[test]
fn whatever_blocks_of_the_last_batch_are_lost_it_is_dropped_and_said() {
    let long = "SELECT 3".repeat(1200);
    let last_blocks = 3;
    for lost in 1..1 << last_blocks {
        let fixture = killed(&["SELECT 1", "SELECT 2", &long]);
        let last = *batches(&fixture).last().expect("there are batches");
        fixture.change(SEGMENT, |bytes| {
            for block in (0..last_blocks).filter(|block| lost & 1 << block != 0) {
                bytes[last + block * BLOCK_BYTES..][..BLOCK_BYTES].fill(0);
            }
        });
        let all_lost = lost + 1 == 1 << last_blocks;
        let verdicts = fixture.verdicts();
        assert_eq!(verdicts.contains(&Verdict::Torn), !all_lost, "{lost:b}: {verdicts:?}");
        fixture.open().close().expect("closed");
        assert_eq!(texts(&fixture), ["SELECT 1", "SELECT 2"], "{lost:b}");
        let recovered: Vec<_> =
            fixture.records().into_iter().filter(|(_, record)| record.kind == Kind::Recovered).collect();
        assert_eq!(recovered.len(), usize::from(!all_lost), "{lost:b}");
        for (_, record) in recovered {
            assert!(record.skeleton.count.is_some_and(|bytes| bytes > 0));
            let said = record.values.message.expect("where");
            assert_eq!(said, format!("an unacknowledged tail was dropped: {SEGMENT} from byte {last}"));
        }
        assert_eq!(fixture.verdicts(), [Verdict::Ok], "{lost:b}");
        fixture.open();
    }
}

#[test]
fn every_cut_of_the_last_write_is_dropped() {
    for torn_at in (0..BLOCK_BYTES).step_by(512) {
        let fixture = killed(&["SELECT 1", "SELECT 2"]);
        let last = *batches(&fixture).last().expect("there are batches");
        fixture.change(SEGMENT, |bytes| bytes[last..][torn_at..BLOCK_BYTES].fill(0));
        fixture.open().close().expect("closed");
        let whole = torn_at >= 1024;
        assert_eq!(texts(&fixture).len(), if whole { 2 } else { 1 }, "cut at {torn_at}");
    }
}

#[test]
fn a_bad_batch_followed_by_a_good_one_is_refused() {
    let fixture = killed(&["SELECT 1", "SELECT 2", "SELECT 3"]);
    let bad = batches(&fixture)[2];
    fixture.change(SEGMENT, |bytes| bytes[bad + 700] ^= 1);
    let (verdict, detail) = refused(&fixture);
    assert_eq!(verdict, Verdict::Torn);
    let later = bad + BLOCK_BYTES;
    assert!(detail.starts_with(&format!("a bad batch is followed by another at byte {later} ({SEGMENT}")), "{detail}");
    fixture.change(SEGMENT, |bytes| bytes[bad..][..BLOCK_BYTES].fill(0));
    assert_eq!(refused(&fixture).0, Verdict::Torn, "a batch that is gone wholly is no better");
}

#[test]
fn bytes_that_no_torn_write_leaves_are_refused() {
    let fixture = killed(&["SELECT 1", "SELECT 2"]);
    let last = *batches(&fixture).last().expect("there are batches");
    fixture.change(SEGMENT, |bytes| {
        bytes[last + 700] ^= 1;
        bytes[last + 5 * BLOCK_BYTES] = 1;
    });
    let (_, detail) = refused(&fixture);
    assert!(detail.starts_with("a bad batch is followed by other bytes"), "{detail}");
}

#[test]
fn what_was_signed_cannot_be_dropped_as_a_torn_tail() {
    let fixture = Fixture::new();
    fixture.open().close().expect("closed");
    let last = *batches(&fixture).last().expect("there are batches");
    fixture.change(SEGMENT, |bytes| bytes[last + 700] ^= 1);
    let (verdict, detail) = refused(&fixture);
    assert_eq!(verdict, Verdict::RolledBack);
    assert!(detail.starts_with("its checkpoint was signed for "), "{detail}");
    fixture.change(SEGMENT, |bytes| bytes[last..][..BLOCK_BYTES].fill(0));
    assert_eq!(refused(&fixture).0, Verdict::RolledBack);
    assert!(fixture.verdicts().contains(&Verdict::RolledBack));
    fixture.change(SEGMENT, |bytes| bytes[BLOCK_BYTES..].fill(0));
    assert_eq!(refused(&fixture).0, Verdict::RolledBack);
    fs::remove_file(fixture.file(SEGMENT)).expect("removed");
    assert_eq!(refused(&fixture).0, Verdict::RolledBack);
    assert!(fixture.verdicts().contains(&Verdict::RolledBack));
}

#[test]
fn an_older_state_of_the_segments_is_refused() {
    let fixture = Fixture::new();
    fixture.open().close().expect("closed");
    let older = fs::read(fixture.file(SEGMENT)).expect("read");
    fixture.open().close().expect("closed");
    fixture.change(SEGMENT, |bytes| *bytes = older);
    assert_eq!(refused(&fixture).0, Verdict::RolledBack);
    let text = fixture.try_open().expect_err("refused").to_string();
    assert!(text.contains("is rolled-back: ") && text.contains("; run \"portreeve audit verify\", restore "), "{text}");
}

#[test]
fn another_history_under_the_same_checkpoint_is_refused() {
    let (one, two) = (Fixture::new(), Fixture::new());
    one.open().close().expect("closed");
    two.open().close().expect("closed");
    let bytes = fs::read(two.file(SEGMENT)).expect("read");
    one.change(SEGMENT, |segment| *segment = bytes);
    let (verdict, detail) = refused(&one);
    assert_eq!(verdict, Verdict::Forked);
    assert!(detail.ends_with("records are not those the checkpoint was signed for"), "{detail}");
    assert!(one.verdicts().contains(&Verdict::Forked));
}

#[test]
fn another_key_or_no_checkpoint_is_refused() {
    let fixture = Fixture::new();
    fixture.open().close().expect("closed");
    let mut settings = fixture.settings();
    settings.signing = signing(2);
    let Err(Error::Unsound { verdict, .. }) = fixture.try_open_with(settings) else { panic!("it opened") };
    assert_eq!(verdict, Verdict::WrongKey);
    let mut settings = fixture.settings();
    settings.writer = "proxy-gate-2".to_owned();
    let Err(Error::Unsound { verdict, .. }) = fixture.try_open_with(settings) else { panic!("it opened") };
    assert_eq!(verdict, Verdict::WrongKey);
    fixture.change("checkpoint", |note| note[30] ^= 1);
    assert_eq!(refused(&fixture).0, Verdict::Forked);
    fs::remove_file(fixture.file("checkpoint")).expect("removed");
    assert_eq!(refused(&fixture), (Verdict::Missing, format!("there is {SEGMENT} but no checkpoint")));
}

#[test]
fn a_missing_or_changed_segment_between_others_is_refused() {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 16 << 10;
    let log = fixture.open();
    record_all(&log, &["SELECT 1"; 12]);
    log.close().expect("closed");
    // With it, the leaves of a finished segment are not read (`summary_tests.rs`).
    fs::remove_file(fixture.file("000000000001.summary")).expect("removed");
    let middle = fixture.file("000000000001.segment");
    let bytes = fs::read(&middle).expect("read");
    for (at, verdict) in [(9, Verdict::Forked), (BLOCK_BYTES + 300, Verdict::Forked)] {
        fixture.change("000000000001.segment", |bytes| bytes[at] ^= 1);
        assert_eq!(refused(&fixture).0, verdict, "byte {at}");
        fs::write(&middle, &bytes).expect("restored");
    }
    fs::remove_file(&middle).expect("removed");
    assert_eq!(refused(&fixture), (Verdict::Missing, "there is no 000000000001.segment".to_owned()));
    fs::write(&middle, &bytes).expect("restored");
    fixture.open();
}

#[test]
fn a_segment_that_was_allocated_and_not_begun_is_taken_away() {
    let fixture = killed(&["SELECT 1"]);
    for torn in [0, 100, BLOCK_BYTES, BLOCK_BYTES + 512] {
        let mut bytes = vec![0; 64 << 10];
        bytes[..torn].fill(7);
        fs::write(fixture.file("000000000001.segment"), bytes).expect("written");
        fs::write(fixture.file("000000000002.segment.new"), [0; 10]).expect("written");
        fs::write(fixture.file("spare"), [0; 10]).expect("written");
        fixture.open().close().expect("closed");
        let names = fs::read_dir(fixture.dir()).expect("listed").map(|entry| entry.expect("an entry").file_name());
        // The log has one spare of its own as soon as it has written a quarter of its segment.
        let names: BTreeSet<_> = names.filter(|name| name != "spare").collect();
        let left = ["checkpoint", "lock", "000000000000.segment"].map(OsString::from);
        assert_eq!(names, BTreeSet::from(left));
        let spare = fs::metadata(fixture.file("spare")).map_or(64 << 10, |spare| spare.len());
        assert_eq!(spare, 64 << 10, "not the one that was left");
        assert_eq!(fixture.verdicts(), [Verdict::Ok]);
    }
    let recovered = fixture.kinds().into_iter().filter(|kind| *kind == Kind::Recovered).count();
    assert_eq!(recovered, 3);
}

#[test]
fn a_log_killed_before_its_first_record_begins_anew() {
    let fixture = Fixture::new();
    fixture.disk.writes.store(1, std::sync::atomic::Ordering::Release);
    assert!(matches!(fixture.try_open(), Err(Error::Failed(_))));
    assert!(fixture.file("checkpoint").exists(), "from then on a missing checkpoint is told");
    fixture.open().close().expect("closed");
    assert_eq!(fixture.kinds(), [Kind::Opened, Kind::Closed]);
}

/// After a failed sync the page cache may show a batch the medium does not hold: what is accepted without a
/// checkpoint is written once more before anything builds on it, and a disk that fails then is an error.
#[test]
fn what_no_checkpoint_covers_is_written_once_more() {
    let fixture = killed(&["SELECT 1"]);
    fixture.disk.writes.store(1, std::sync::atomic::Ordering::Release);
    let error = fixture.try_open().expect_err("the disk fails");
    assert!(matches!(&error, Error::Storage { verb: "write", .. }), "{error}");
    fixture.open().close().expect("closed");
    assert_eq!(texts(&fixture), ["SELECT 1"]);
    let tried = fixture.disk.tried.load(std::sync::atomic::Ordering::Acquire);
    fixture.open();
    let written = fixture.disk.tried.load(std::sync::atomic::Ordering::Acquire) - tried;
    assert_eq!(written, 1, "after an orderly end only the opening is written");
}

#[test]
fn a_log_that_is_not_the_one_remembered_is_refused_untouched() {
    let fixture = Fixture::new();
    let log = fixture.open();
    record_all(&log, &["SELECT 1", "SELECT 2"]);
    let known = log.checkpoint();
    record_all(&log, &["SELECT 3"]);
    log.close().expect("closed");
    let opened = |fixture: &Fixture, size, root| {
        let settings = fixture.settings().remembering(Some((size, root)));
        let before = fs::read(fixture.file(SEGMENT)).ok();
        let opened = fixture.try_open_with(settings);
        if opened.is_err() {
            assert_eq!(fs::read(fixture.file(SEGMENT)).ok(), before, "what is refused is not touched");
        }
        opened
    };
    let refused = |fixture: &Fixture, size, root| {
        let refused = opened(fixture, size, root).expect_err("it must not open");
        let text = refused.to_string();
        assert!(text.contains("bring back the newest copy") && text.contains("\"checkpoint\""), "{text}");
        match refused {
            Error::Unsound { verdict, detail, .. } => (verdict, detail),
            other => panic!("{other}"),
        }
    };
    let (verdict, detail) = refused(&fixture, known.size, [7; 32]);
    assert_eq!((verdict, detail.contains("are not those the register remembers")), (Verdict::Forked, true), "{detail}");
    let (verdict, detail) = refused(&fixture, known.size + 9, known.root);
    assert_eq!((verdict, detail.contains("the register remembers ")), (Verdict::RolledBack, true), "{detail}");
    opened(&fixture, known.size, known.root).expect("it has grown since").close().expect("closed");
    opened(&fixture, 0, known.root).expect("nothing was remembered").close().expect("closed");

    // All of it put back to an older state, its signed checkpoint included: only the memory elsewhere tells.
    let older = Fixture::new();
    older.open().close().expect("closed");
    assert_eq!(refused(&older, 1000, known.root).0, Verdict::RolledBack);
    fs::remove_dir_all(older.dir()).expect("removed");
    assert_eq!(refused(&older, 1, known.root).0, Verdict::Missing);
    assert_eq!(opened(&older, 0, known.root).map(drop), Ok(()), "a new log");
}

#[test]
fn the_sizes_of_a_configuration_become_settings() {
    let settings = Fixture::new().settings().sized(1, 2, std::time::Duration::from_secs(3), 4);
    assert_eq!((settings.segment_bytes, settings.reserve_bytes), (1, 2));
    assert_eq!((settings.epoch.age.as_secs(), settings.epoch.bytes), (3, 4));
}

#[test]
fn a_log_of_another_version_is_refused_by_name_and_not_touched() {
    use crate::log::segment::SegmentHeader;
    for (version, is_refused) in [('0', true), ('2', true), ('\u{1}', false)] {
        let fixture = Fixture::new();
        fixture.open().close().expect("closed");
        fixture.change(SEGMENT, |bytes| {
            bytes[7] = version as u8;
            let check = crate::audit::tree::sha256(&[&bytes[..4064]]);
            bytes[4064..4096].copy_from_slice(&check);
        });
        let before = fs::read(fixture.file(SEGMENT)).expect("read");
        assert_eq!(SegmentHeader::other_version(&before[..4096]).is_some(), is_refused);
        let refused = fixture.try_open().expect_err("it must not open");
        assert_eq!(fs::read(fixture.file(SEGMENT)).expect("read"), before);
        let verified = super::super::verify::verify(&fixture.dir(), &signing(1).public(), None);
        if !is_refused {
            assert!(matches!(refused, Error::Unsound { .. }), "{refused}");
            assert!(verified.expect("findings").iter().any(|finding| finding.verdict == Verdict::Forked));
            continue;
        }
        let text = refused.to_string();
        assert!(
            text.contains(&format!("{SEGMENT} is of format version {version}, and this portreeve reads version 1"))
        );
        assert!(text.contains("move the log's directory aside"), "{text}");
        assert_eq!(verified.expect_err("it is not read").to_string(), text);
        let read: Result<Vec<_>, _> =
            super::super::reader::Reader::open(&fixture.dir()).expect("opened").entries().collect();
        assert_eq!(read.expect_err("it is not read").to_string(), text);
    }
}

/// Larger than whatever is read or written at once.
#[test]
fn a_torn_batch_of_many_mebibytes_is_dropped_and_a_whole_one_stays() {
    let long = "SELECT 3".repeat(3 << 20);
    let opened_again = |change: fn(&mut Vec<u8>)| {
        let mut fixture = Fixture::new();
        fixture.segment_bytes = 64 << 20;
        write_and_die(&fixture, &["SELECT 1", &long]);
        fixture.change(SEGMENT, change);
        fixture.open().close().expect("closed");
        let recovered = fixture.kinds().into_iter().filter(|kind| *kind == Kind::Recovered).count();
        assert_eq!(fixture.verdicts(), [Verdict::Ok]);
        (texts(&fixture), recovered)
    };
    assert_eq!(opened_again(|_| {}), (vec!["SELECT 1".to_owned(), "SELECT 3".to_owned()], 0));
    let torn: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes[20 << 20..].fill(0),
        |bytes| bytes[9 << 20..][..BLOCK_BYTES].fill(0),
        |bytes| bytes[3 * BLOCK_BYTES..][..BLOCK_BYTES].fill(0),
    ];
    for change in torn {
        assert_eq!(opened_again(change), (vec!["SELECT 1".to_owned()], 1));
    }
}
