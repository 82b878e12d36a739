use std::fs;
use std::path::Path;

use super::super::fixture::*;
use super::super::index::tests::with_tags_swapped;
use super::*;
use crate::log::Log;

const SEGMENT: &str = "000000000000.segment";

fn closed(segment_bytes: u64, texts: &[&str]) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = segment_bytes;
    let log = fixture.open();
    record_all(&log, texts);
    log.close().expect("closed");
    fixture
}

fn record_all(log: &Log, texts: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for text in texts {
        runtime.block_on(log.record(statement(Some(SEVEN), text))).expect("durable");
    }
}

fn findings(fixture: &Fixture) -> Vec<Finding> {
    verify(&fixture.dir(), &signing(1).public(), None).expect("readable")
}

fn alarms(fixture: &Fixture) -> Vec<Finding> {
    findings(fixture).into_iter().filter(|finding| finding.verdict.is_alarm()).collect()
}

/// What was done to a file's bytes, and how.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

#[test]
fn every_flipped_byte_is_found_and_placed() {
    let fixture = closed(12 << 10, &["SELECT 1"]);
    let names = ["000000000000.segment", "000000000001.segment"];
    assert!(fixture.file(names[1]).exists(), "one segment is full, one has a tail of zeros");
    for name in names {
        let bytes = fs::read(fixture.file(name)).expect("read");
        for (at, byte) in bytes.into_iter().enumerate() {
            flip(&fixture.file(name), at, byte ^ 0x20);
            let found = alarms(&fixture);
            let first = found.first().unwrap_or_else(|| panic!("byte {at} of {name} was flipped and nothing found"));
            let placed: u64 = placed(&first.place, name).unwrap_or_else(|| panic!("byte {at} of {name}: {first}"));
            let at_most = at as u64;
            assert!(placed <= at_most, "byte {at} of {name} is before what is said: {first}");
            assert!(at_most - placed < BLOCK, "byte {at} of {name} is far from what is said: {first}");
            flip(&fixture.file(name), at, byte);
        }
    }
    let note = fs::read(fixture.file(CHECKPOINT)).expect("read");
    for (at, byte) in note.into_iter().enumerate() {
        flip(&fixture.file(CHECKPOINT), at, byte ^ 0x20);
        let found = alarms(&fixture);
        assert!(found.iter().any(|finding| finding.place == CHECKPOINT), "byte {at} of the checkpoint: {found:?}");
        flip(&fixture.file(CHECKPOINT), at, byte);
    }
    assert_eq!(alarms(&fixture), []);
}

#[test]
fn the_tree_alone_finds_what_is_changed_in_it_and_looks_at_no_record() {
    let fixture = closed(64 << 10, &["SELECT 1", "SELECT 2"]);
    let tree = || examine_tree(&fixture.dir(), &signing(1).public()).expect("readable");
    let whole = tree();
    let mut said = findings(&fixture);
    said[0].detail.push_str("; the records themselves were not looked at");
    assert_eq!(whole.findings, said);
    let all = examine(&fixture.dir(), &signing(1).public(), None, u64::MAX).expect("readable");
    assert_eq!((whole.size, whole.root, whole.records), (all.size, all.root, all.records));
    let bytes = fs::read(fixture.file(SEGMENT)).expect("read");
    let mut parts = vec![false; bytes.len()];
    for (offset, block) in (0..).step_by(BLOCK_BYTES).zip(bytes.chunks(BLOCK_BYTES)) {
        if let Some(header) = BatchHeader::parse(block) {
            let start = offset + super::super::segment::content_start(header.leaves);
            parts[start..offset + header.length as usize].fill(true);
        }
    }
    assert!(parts.contains(&true));
    for at in (0..bytes.len()).step_by(11) {
        flip(&fixture.file(SEGMENT), at, bytes[at] ^ 4);
        assert_eq!(tree().findings.iter().any(|finding| finding.verdict.is_alarm()), !parts[at], "byte {at}");
        flip(&fixture.file(SEGMENT), at, bytes[at]);
    }
    let of_another = examine_tree(&fixture.dir(), &signing(2).public()).expect("readable");
    assert_eq!(of_another.findings[0].verdict, Verdict::WrongKey);
}

fn flip(path: &Path, at: usize, byte: u8) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
    file.write_all_at(&[byte], at as u64).expect("written");
}

/// The byte a finding names, if it is in that file.
fn placed(place: &str, file: &str) -> Option<u64> {
    let at = place.strip_prefix(file)?.strip_prefix(" byte ")?;
    at.split(',').next()?.parse().ok()
}

#[test]
fn a_changed_part_is_placed_at_its_record() {
    let fixture = closed(64 << 10, &["SELECT 1", "SELECT 2"]);
    // Header, the opening with the vendor's two data keys, then the first statement with the customer's two.
    fixture.change(SEGMENT, |bytes| bytes[2 * BLOCK_BYTES + 900] ^= 1);
    let found = alarms(&fixture);
    let start = 2 * BLOCK_BYTES + super::super::segment::content_start(3) + 2 * 88;
    assert_eq!(
        found[0].to_string(),
        format!("forked: {SEGMENT} byte {start}, position 5: a sealed part does not match its leaf")
    );
}

#[test]
fn a_cut_tail_is_rolled_back_and_a_cut_file_is_told() {
    let fixture = closed(64 << 10, &["SELECT 1", "SELECT 2"]);
    let whole = fs::read(fixture.file(SEGMENT)).expect("read");
    fixture.change(SEGMENT, |bytes| bytes[4 * BLOCK_BYTES..].fill(0));
    let found = alarms(&fixture);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].verdict, Verdict::RolledBack);
    assert_eq!(found[0].detail, "it was signed for 8 leaves and 7 are there");
    for cut in [0, 1, BLOCK_BYTES, 3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 100, whole.len() - 1] {
        fixture.change(SEGMENT, |bytes| *bytes = whole[..cut].to_vec());
        assert_ne!(alarms(&fixture), [], "cut to {cut}");
        assert!(fixture.try_open().is_err(), "cut to {cut}");
    }
}

#[test]
fn another_key_is_the_wrong_key_and_nothing_else() {
    let fixture = closed(64 << 10, &["SELECT 1"]);
    let found = verify(&fixture.dir(), &signing(2).public(), None).expect("readable");
    assert_eq!(found.iter().map(|finding| finding.verdict).collect::<Vec<_>>(), [Verdict::WrongKey], "{found:?}");
}

#[test]
fn a_missing_file_is_told_by_name() {
    let fixture = closed(16 << 10, &["SELECT 1"; 9]);
    fs::remove_file(fixture.file("000000000001.segment")).expect("removed");
    let found = alarms(&fixture);
    assert_eq!((found[0].verdict, found[0].place.as_str()), (Verdict::Missing, "000000000001.segment"));
    let fixture = closed(64 << 10, &["SELECT 1"]);
    fs::remove_file(fixture.file(CHECKPOINT)).expect("removed");
    let found = alarms(&fixture);
    assert_eq!((found[0].verdict, found[0].place.as_str()), (Verdict::Missing, CHECKPOINT));
}

/// Nobody who has not the log's key can make one. Whoever has it could hide a record from every search without touching it.
#[test]
fn an_index_that_says_other_than_the_leaves_is_found_if_anybody_would_go_by_it() {
    let fixture = closed(16 << 10, &[]);
    let (log, runtime) = (fixture.open(), tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));
    for customer in [SEVEN, EIGHT].into_iter().cycle().take(9) {
        runtime.block_on(log.record(statement(Some(customer), "SELECT 1"))).expect("durable");
    }
    log.close().expect("closed");
    let path = fixture.file("000000000001.index");
    let index = indexes::make(&RealDisk, &fixture.dir(), 1).expect("read").expect("whole");
    let swapped = with_tags_swapped(&index);
    let (right, other_key) = (index.to_bytes(&signing(1)), swapped.to_bytes(&signing(2)));
    assert!(right != swapped.to_bytes(&signing(1)) && fs::read(&path).expect("read") == right);
    let (mut early, mut cut) = (index.clone(), right.clone());
    early.head.latest.0 -= 1;
    cut.truncate(right.len() - 4);
    let of_the_one_before = fs::read(fixture.file("000000000000.index")).expect("read");
    let cases = [
        ("right", right, false),
        ("two tags swapped", swapped.to_bytes(&signing(1)), true),
        ("another time", early.to_bytes(&signing(1)), true),
        ("of another key", other_key, false),
        ("of another segment", of_the_one_before, false),
        ("cut", cut, false),
    ];
    for (what, bytes, is_found) in cases {
        fs::write(&path, bytes).expect("written");
        let tree = examine_tree(&fixture.dir(), &signing(1).public()).expect("readable").findings;
        for found in [alarms(&fixture), tree.into_iter().filter(|found| found.verdict.is_alarm()).collect()] {
            let found: Vec<_> = found.iter().map(|finding| (finding.verdict, finding.place.as_str())).collect();
            let expected: &[_] = if is_found { &[(Verdict::Forked, "000000000001.index")] } else { &[] };
            assert_eq!(found, expected, "{what}");
        }
    }
}

/// Zeros cost nothing to add to a file: nobody's memory follows them.
#[test]
fn a_file_that_was_made_huge_is_a_finding_for_all_who_read_it() {
    let fixture = closed(16 << 10, &["SELECT 1"; 9]);
    let (huge, path) = (1_u64 << 40, fixture.file(SEGMENT));
    let header =
        BatchHeader { batch: 0, first_position: 0, leaves: 1, length: huge - BLOCK, written: NOON, previous: [0; 32] };
    fixture.change(SEGMENT, |bytes| {
        let place = bytes.iter_mut().skip(BLOCK_BYTES).zip(header.to_bytes());
        place.for_each(|(byte, header)| *byte = header);
    });
    fs::File::options().write(true).open(&path).expect("opened").set_len(huge).expect("made longer");
    for found in [findings(&fixture), examine_tree(&fixture.dir(), &signing(1).public()).expect("readable").findings] {
        let at_header = |finding: &&Finding| finding.place.starts_with(SEGMENT) && finding.detail.contains("continue");
        assert!(found.iter().find(at_header).is_some_and(|found| found.verdict == Verdict::Forked), "{found:?}");
    }
    let reader = crate::log::reader::Reader::open(&fixture.dir()).expect("a log");
    let refused = reader.entries().find_map(Result::err).expect("it is not read").to_string();
    assert!(refused.contains("000000000000.segment has 1099511627776 bytes, and says 16384"), "{refused}");
    assert_eq!(indexes::make(&RealDisk, &fixture.dir(), 0), Ok(None));
    assert!(fixture.try_open().is_err());
}

/// Many are held at once while a log is read ahead.
#[test]
fn a_very_long_batch_is_not_read_ahead_and_looked_at_all_the_same() {
    let long = "x".repeat(17 << 20);
    let fixture = closed(16 << 10, &["SELECT 1", &long, "SELECT 2"]);
    assert_eq!(alarms(&fixture), []);
    assert_eq!(fixture.verify().len(), findings(&fixture).len());
    let (dir, names) = (fixture.dir(), RealDisk.names(&fixture.dir()).expect("listed"));
    let mut segments: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    segments.sort_unstable();
    std::thread::scope(|scope| {
        let mut ahead = Ahead::start(scope, (&RealDisk, &dir), Depth::Parts, segments.clone());
        let mut given = 0;
        for segment in segments {
            let file = RealDisk.open_to_read(&dir.join(file_name(segment))).expect("opened");
            let (length, mut offset) = (file.len().expect("known"), BLOCK);
            while let Found::Batch(batch) = ahead::read(file.as_ref(), offset, length, Depth::Parts).expect("read") {
                let is_long = batch.header.length > 16 << 20;
                assert_eq!(ahead.take((segment, offset)).is_none(), is_long, "{segment} {offset}");
                (given, offset) = (given + usize::from(!is_long), offset + batch.header.length);
            }
        }
        assert!(given > 3, "{given}");
    });
}

/// What is added behind a segment's end is none of it for whoever reads ahead, either.
#[test]
fn a_batch_that_is_added_behind_a_segments_end_is_no_leaf_of_it() {
    let fixture = closed(16 << 10, &["SELECT 1"; 9]);
    let leaves = |found: Examined| (found.size, found.findings.into_iter().map(|one| one.verdict).collect::<Vec<_>>());
    let examined = |fixture: &Fixture| {
        let by_one = examine(&fixture.dir(), &signing(1).public(), None, u64::MAX).expect("readable");
        let by_several = examine_ahead(&fixture.dir(), &signing(1).public(), None).expect("readable");
        (leaves(by_one), leaves(by_several))
    };
    let ((size, _), _) = examined(&fixture);
    fixture.change(SEGMENT, |bytes| {
        let last = (BLOCK_BYTES..bytes.len()).step_by(BLOCK_BYTES).rfind(|at| bytes[*at..].starts_with(b"PRTRBAT1"));
        let copy = bytes[last.expect("a batch")..].to_vec();
        assert_eq!(copy.len(), BLOCK_BYTES, "the segment is full, to its very end");
        bytes.extend(copy);
    });
    let (by_one, by_several) = examined(&fixture);
    assert_eq!(by_one, by_several);
    assert_eq!((by_one.0, by_one.1.first()), (size, Some(&Verdict::Forked)));
}

#[test]
fn swapped_repeated_and_moved_batches_are_found() {
    let fixture = closed(64 << 10, &["SELECT 1", "SELECT 2", "SELECT 3"]);
    let whole = fs::read(fixture.file(SEGMENT)).expect("read");
    let block = |n: usize| n * BLOCK_BYTES..(n + 1) * BLOCK_BYTES;
    let changes: [Change<'_>; 3] = [
        ("swapped", &|bytes| {
            bytes[block(3)].copy_from_slice(&whole[block(4)]);
            bytes[block(4)].copy_from_slice(&whole[block(3)]);
        }),
        ("repeated", &|bytes| bytes[block(6)].copy_from_slice(&whole[block(5)])),
        ("left out", &|bytes| {
            bytes[block(3).start..block(5).end].copy_from_slice(&whole[block(4).start..block(6).end])
        }),
    ];
    for (what, change) in changes {
        fixture.change(SEGMENT, change);
        assert_ne!(alarms(&fixture), [], "{what}");
        assert!(fixture.try_open().is_err(), "{what}");
        fs::write(fixture.file(SEGMENT), &whole).expect("restored");
    }
}

#[test]
fn a_log_that_is_being_written_raises_no_alarm() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let writing = log.clone();
    let writer = std::thread::spawn(move || {
        // Until the log is closed.
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        while runtime.block_on(writing.record(statement(Some(SEVEN), "SELECT 1"))).is_ok() {}
    });
    let statements = || fixture.kinds().into_iter().filter(|kind| *kind == Kind::Statement).count();
    let written: Vec<usize> = (0..20)
        .map(|_| {
            assert_eq!(alarms(&fixture), []);
            statements()
        })
        .collect();
    assert!(written.is_sorted() && written.first() < written.last(), "nothing was written meanwhile: {written:?}");
    log.close().expect("closed");
    writer.join().expect("it ends with the log");
    assert_eq!(fixture.verify()[0].verdict, Verdict::Ok);
}

#[test]
fn records_sealed_under_other_keys_or_links_are_found_with_keys() {
    let fixture = closed(64 << 10, &["SELECT 1", "SELECT 2"]);
    let mut keys = fixture.data_keys();
    for position in 0..8 {
        if keys.holds(position) {
            keys.insert(position, &crate::secret::Secret::new([9; 32]));
        }
    }
    let opening = Opening { recipients: &fixture.recipients, keys: &keys };
    let found = verify(&fixture.dir(), &signing(1).public(), Some(&opening)).expect("readable");
    assert!(found.iter().all(|finding| finding.verdict == Verdict::WrongKey), "{found:?}");
    assert_eq!(found.len(), 4, "the opening, two statements, the end");
    let other_tags = Recipients::new();
    other_tags.set_tag(Recipient::Customer(SEVEN), crate::audit::keys::TagKey(crate::secret::Secret::new([9; 32])));
    let opening = Opening { recipients: &other_tags, keys: &keys };
    let found = verify(&fixture.dir(), &signing(1).public(), Some(&opening)).expect("readable");
    assert_eq!(found[0].verdict, Verdict::Ok, "records of others are left alone");
}
