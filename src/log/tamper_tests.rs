//! What can be done to a log by whoever can write its files, and what is said of it, with the place: by a verification
//! with every key, and by opening the log for writing.

use std::fs;
use std::path::PathBuf;

use super::fixture::*;
use super::open::DataKeys;
use super::reader::Reader;
use super::segment::{BATCH_HEADER_BYTES, BatchHeader, Depth, Found, batch_at, content_start, hash_of};
use super::verify::{Opening, Verdict, verify};
use super::{Error, Log};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::audit::keys::{Part, Recipient};
use crate::audit::public::{Lost, Notice};
use crate::audit::record::Kind;
use crate::audit::tag::Tagger;
use crate::audit::tree::{Frontier, sha256};
use crate::disk::{BLOCK_BYTES, Disk, RealDisk};
use crate::ids::{CustomerId, EventId};

const FIRST: &str = "000000000000.segment";
const SECOND: &str = "000000000001.segment";
const LAST: &str = "000000000002.segment";
const CHECKPOINT: &str = "checkpoint";

/// Three segments: the opening, ten records of two customers, the end; four batches of one block in each.
fn log() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 20 << 10;
    let log = fixture.open();
    record(&log, 10);
    log.close().expect("closed");
    assert!(fixture.file(LAST).exists() && !fixture.file("000000000003.segment").exists());
    fixture
}

/// The same layout, of a log that goes on from another, with a notice of erasure in place of the first record.
fn chained() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 20 << 10;
    let before = Checkpoint { origin: "portreeve/proxy-gate-0".to_owned(), size: 1, root: sha256(&[b"a leaf"]) };
    let log = fixture.try_open_with(fixture.settings().continuing(before.sign(&signing(3)))).expect("opened");
    let lost = vec![Lost { log: "portreeve/proxy-gate-1".to_owned(), records: 1 }];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(log.notice(Notice::new(EventId([1; 16]), Part::Values, NOON, lost))).expect("durable");
    record_of([EIGHT, SEVEN], &log, 9);
    log.close().expect("closed");
    assert!(fixture.file(LAST).exists() && !fixture.file("000000000003.segment").exists());
    let kinds: Vec<Kind> =
        Reader::open(&fixture.dir()).expect("readable").leaves().map(|leaf| leaf.expect("whole").place.kind).collect();
    assert!(kinds[0] == Kind::Continues && kinds.contains(&Kind::Notice), "{kinds:?}");
    fixture
}

/// Another log of the same make.
fn another(fixture: &Fixture) -> Fixture {
    let first = Reader::open(&fixture.dir()).expect("readable").leaves().next().expect("a leaf").expect("whole");
    if first.place.kind == Kind::Continues { chained() } else { log() }
}

fn record(log: &Log, count: usize) {
    record_of([SEVEN, EIGHT], log, count);
}

fn record_of(customers: [CustomerId; 2], log: &Log, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for customer in customers.into_iter().cycle().take(count) {
        runtime.block_on(log.record(statement(Some(customer), "SELECT 1"))).expect("durable");
    }
}

/// The bytes of a block.
fn block(number: usize) -> std::ops::Range<usize> {
    number * BLOCK_BYTES..(number + 1) * BLOCK_BYTES
}

fn image(fixture: &Fixture) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(fixture.dir()).expect("listed").map(|entry| entry.expect("an entry").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("read"))).collect()
}

fn put_back(fixture: &Fixture, image: Vec<(PathBuf, Vec<u8>)>, which: impl Fn(&str) -> bool) {
    for (path, bytes) in image {
        if which(path.file_name().and_then(|name| name.to_str()).unwrap_or_default()) {
            fs::write(fixture.file(path.file_name().and_then(|name| name.to_str()).expect("a name")), bytes)
                .expect("written");
        }
    }
}

/// Signs what is there, as whoever has the log's key can; or the first leaves of it.
fn sign_again(fixture: &Fixture, key: u8, size: Option<u64>) {
    let mut tree = Frontier::new();
    let reader = Reader::open(&fixture.dir()).expect("readable");
    for leaf in reader.leaves() {
        if size.is_none_or(|size| tree.size() < size) {
            tree.push(leaf.expect("whole").leaf_hash());
        }
    }
    let checkpoint = Checkpoint { origin: "portreeve/proxy-gate-1".to_owned(), size: tree.size(), root: tree.root() };
    fs::write(fixture.file(CHECKPOINT), checkpoint.sign(&signing(key))).expect("written");
}

/// Changes the last leaf of the last segment's third block with every hash made right, and signs again: somebody who
/// holds the log's key, but not the customers'.
fn rewrite(fixture: &Fixture, change: impl FnOnce(&mut Descriptor)) {
    let at = block(3).start as u64;
    let path = fixture.file(LAST);
    let file = RealDisk.open_to_read(&path).expect("opened");
    let length = file.len().expect("a length");
    let Found::Batch(batch) = batch_at(file.as_ref(), at, length, Depth::Parts).expect("read") else {
        panic!("no batch")
    };
    let mut leaf = batch.leaves.last().expect("a leaf").descriptor;
    change(&mut leaf);
    let mut bytes = fs::read(&path).expect("read");
    let count = batch.leaves.len();
    let leaves_at = block(3).start + BATCH_HEADER_BYTES;
    bytes[leaves_at + (count - 1) * DESCRIPTOR_BYTES..][..DESCRIPTOR_BYTES].copy_from_slice(&leaf.to_bytes());
    let digest_at = block(3).start + content_start(batch.header.leaves) - 32;
    let digest = sha256(&[&bytes[block(3).start..digest_at]]);
    bytes[digest_at..][..32].copy_from_slice(&digest);
    // The next batch names this one's digest.
    let next = BatchHeader::parse(&bytes[block(4)]).expect("a batch follows");
    let next = BatchHeader { previous: digest, ..next };
    bytes[block(4).start..][..BATCH_HEADER_BYTES].copy_from_slice(&next.to_bytes());
    let digest_at = block(4).start + content_start(next.leaves) - 32;
    let digest = sha256(&[&bytes[block(4).start..digest_at]]);
    bytes[digest_at..][..32].copy_from_slice(&digest);
    fs::write(path, bytes).expect("written");
    sign_again(fixture, 1, None);
}

/// What is done, the first alarm (verdict and where), and with which verdict the log does not open; none: it does, for
/// parts are looked at by verification and not at every start.
struct Case {
    what: &'static str,
    done: fn(&Fixture),
    alarm: (Verdict, &'static str),
    refused: Option<Verdict>,
}

use Verdict::{Forked, Missing, RolledBack, WrongKey};

fn case(
    what: &'static str,
    done: fn(&Fixture),
    alarm: (Verdict, &'static str),
    refused: impl Into<Option<Verdict>>,
) -> Case {
    Case { what, done, alarm, refused: refused.into() }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    vec![
        case(
            "a segment's header flipped",
            |f| f.change(SECOND, |b| b[9] ^= 1),
            (Forked, "000000000001.segment byte 0"),
            Forked,
        ),
        case(
            "a batch's header flipped",
            |f| f.change(SECOND, |b| b[block(2).start + 20] ^= 1),
            (Forked, "000000000001.segment byte 8192"),
            Forked,
        ),
        case(
            "a leaf flipped",
            |f| f.change(SECOND, |b| b[block(2).start + 130] ^= 1),
            (Forked, "000000000001.segment byte 8320"),
            Forked,
        ),
        case(
            "a sealed part flipped",
            |f| f.change(LAST, |b| b[block(2).start + 700] ^= 1),
            (Forked, "000000000002.segment byte "),
            Forked,
        ),
        case(
            "two batches swapped",
            |f| {
                f.change(SECOND, |b| {
                    let other = b[block(3)].to_vec();
                    b.copy_within(block(2), block(3).start);
                    b[block(2)].copy_from_slice(&other);
                })
            },
            (Forked, "000000000001.segment byte 8192"),
            Forked,
        ),
        case(
            "a batch deleted",
            |f| f.change(SECOND, |b| b[block(3)].fill(0)),
            (Missing, "000000000001.segment byte 12288"),
            Forked,
        ),
        case(
            "a batch twice",
            |f| f.change(SECOND, |b| b.copy_within(block(2), block(3).start)),
            (Forked, "000000000001.segment byte 12288"),
            Forked,
        ),
        case(
            "a segment deleted",
            |f| fs::remove_file(f.file(SECOND)).expect("removed"),
            (Missing, "000000000001.segment"),
            Missing,
        ),
        case(
            "a segment twice",
            |f| {
                fs::copy(f.file(FIRST), f.file(SECOND)).expect("copied");
            },
            (Forked, "000000000001.segment byte 0"),
            Forked,
        ),
        case(
            "two segments swapped",
            |f| {
                let (first, second) = (fs::read(f.file(FIRST)).expect("read"), fs::read(f.file(SECOND)).expect("read"));
                f.change(FIRST, |b| *b = second);
                f.change(SECOND, |b| *b = first);
            },
            (Forked, "000000000000.segment byte 0"),
            Forked,
        ),
        case(
            "a segment renamed",
            |f| fs::rename(f.file(LAST), f.file("000000000003.segment")).expect("renamed"),
            (Missing, "000000000002.segment"),
            Missing,
        ),
        case("the last batch gone", |f| f.change(LAST, |b| b[block(4)].fill(0)), (RolledBack, CHECKPOINT), RolledBack),
        case(
            "the last segment gone",
            |f| fs::remove_file(f.file(LAST)).expect("removed"),
            (RolledBack, CHECKPOINT),
            RolledBack,
        ),
        case(
            "a segment cut",
            |f| f.change(SECOND, |b| b.truncate(block(3).start)),
            (Forked, "000000000001.segment byte 0"),
            Forked,
        ),
        case(
            "the last segment cut within a block",
            |f| f.change(LAST, |b| b.truncate(block(3).start + 100)),
            (Forked, "000000000002.segment byte 0"),
            Forked,
        ),
        case(
            "an older image of the segments",
            |f| {
                let older = image(f);
                let log = f.open();
                record(&log, 3);
                log.close().expect("closed");
                fs::remove_file(f.file("000000000003.segment")).expect("it went on");
                fs::remove_file(f.file("000000000004.segment")).expect("it went on");
                put_back(f, older, |name| name.ends_with(".segment"));
            },
            (RolledBack, CHECKPOINT),
            RolledBack,
        ),
        case(
            "one segment from a backup",
            |f| {
                let log = f.open();
                record(&log, 1);
                log.close().expect("closed");
                let backup = image(f);
                let log = f.open();
                record(&log, 3);
                log.close().expect("closed");
                put_back(f, backup, |name| name == "000000000003.segment");
            },
            (Forked, "000000000004.segment byte 0"),
            Forked,
        ),
        case(
            "a segment of another log",
            |f| {
                let other = fs::read(another(f).file(SECOND)).expect("read");
                f.change(SECOND, |b| *b = other);
            },
            (Forked, "000000000001.segment byte 0"),
            Forked,
        ),
        case(
            "another log under this checkpoint",
            |f| {
                put_back(f, image(&another(f)), |name| name.ends_with(".segment"));
            },
            (Forked, CHECKPOINT),
            Forked,
        ),
        case(
            "the checkpoint deleted",
            |f| fs::remove_file(f.file(CHECKPOINT)).expect("removed"),
            (Missing, CHECKPOINT),
            Missing,
        ),
        case("the checkpoint changed", |f| f.change(CHECKPOINT, |b| b[26] ^= 1), (Forked, CHECKPOINT), Forked),
        case(
            "its signature stripped",
            |f| {
                f.change(CHECKPOINT, |b| {
                    let text = String::from_utf8(b.clone()).expect("text");
                    *b = text.split_once("\n\n").expect("a note").0.as_bytes().to_vec();
                })
            },
            (Forked, CHECKPOINT),
            Forked,
        ),
        case(
            "its signature stripped, and another's there",
            |f| {
                f.change(CHECKPOINT, |b| {
                    let text = String::from_utf8(b.clone()).expect("text");
                    *b = format!("{}\n\n— witness.example AAAAAAAA\n", text.split_once("\n\n").expect("a note").0)
                        .into_bytes();
                })
            },
            (WrongKey, CHECKPOINT),
            WrongKey,
        ),
        case("signed again with another key", |f| sign_again(f, 2, None), (WrongKey, CHECKPOINT), WrongKey),
        case(
            "a record moved to the other customer, by who has the log's key",
            |f| {
                rewrite(f, |leaf| {
                    leaf.place.tag = Tagger::new(
                        &f.recipients.tag(Recipient::Customer(SEVEN)).expect("a key"),
                        "portreeve/proxy-gate-1",
                    )
                    .tag(2);
                })
            },
            (Missing, "000000000002.segment byte "),
            None,
        ),
        case(
            "a record taken away from its customer likewise",
            |f| rewrite(f, |leaf| leaf.place.tag = [9; 16]),
            (Missing, "000000000002.segment byte "),
            None,
        ),
        case(
            "a record's time changed likewise",
            |f| rewrite(f, |leaf| leaf.place.at.0 += 1),
            (WrongKey, "000000000002.segment byte "),
            None,
        ),
        case(
            "a record's kind changed likewise",
            |f| rewrite(f, |leaf| leaf.place.kind = Kind::Outcome),
            (WrongKey, "000000000002.segment byte "),
            None,
        ),
        case(
            "a record's hash changed likewise",
            |f| rewrite(f, |leaf| leaf.values.hash = hash_of(b"x")),
            (Forked, "000000000002.segment byte "),
            Forked,
        ),
    ]
}

/// The first alarm: without any key if there is one, else with the data keys there were.
fn alarm(fixture: &Fixture, keys: &DataKeys) -> Option<(Verdict, String)> {
    let opening = Opening { recipients: &fixture.recipients, keys };
    [None, Some(&opening)].into_iter().find_map(|opening| {
        let found = verify(&fixture.dir(), &signing(1).public(), opening).expect("readable");
        let alarm = found.into_iter().find(|finding| finding.verdict.is_alarm())?;
        Some((alarm.verdict, alarm.place))
    })
}

#[test]
fn whatever_is_done_to_a_log_has_its_verdict_and_its_place() {
    whatever_is_done_to(log);
}

/// With a beginning that is another log's end, and a notice; both have summaries beside finished segments.
#[test]
fn whatever_is_done_to_a_log_that_goes_on_from_another_has_its_verdict_and_its_place() {
    whatever_is_done_to(chained);
    for (what, at) in [("where it comes from", block(1).start), ("a notice", block(2).start)] {
        let fixture = chained();
        let bytes = fs::read(fixture.file(FIRST)).expect("read");
        let BatchHeader { leaves, .. } = BatchHeader::parse(&bytes[at..]).expect("a batch");
        fixture.change(FIRST, |bytes| bytes[at + content_start(leaves) + 3] ^= 1);
        let (verdict, place) = alarm(&fixture, &DataKeys::new()).expect("it is found");
        assert!(verdict == Forked && place.starts_with("000000000000.segment byte "), "{what}: {verdict} {place}");
    }
}

fn whatever_is_done_to(log: fn() -> Fixture) {
    for Case { what, done, alarm: (verdict, place), refused } in cases() {
        let fixture = log();
        let keys = fixture.data_keys();
        assert_eq!(alarm(&fixture, &keys), None, "before");
        done(&fixture);
        let (found, at) = alarm(&fixture, &keys).unwrap_or_else(|| panic!("{what}: nothing was found"));
        assert_eq!(found, verdict, "{what}: at {at}");
        assert!(at.starts_with(place), "{what}: at {at}");
        // A start believes the summaries of finished segments, and leaves what is in them to who verifies.
        let believing = log();
        let its_keys = believing.data_keys();
        done(&believing);
        match (believing.try_open(), refused) {
            (Ok(log), _) => {
                log.close().expect("closed");
                assert!(alarm(&believing, &its_keys).is_some(), "{what}: it was forgotten");
            }
            (Err(Error::Unsound { verdict, .. }), Some(expected)) => assert_eq!(verdict, expected, "{what}"),
            (Err(error), _) => panic!("{what}: {error}"),
        }
        for segment in 0..5 {
            let _gone = fs::remove_file(fixture.file(&format!("{segment:012}.summary")));
        }
        let before = image(&fixture);
        match (fixture.try_open(), refused) {
            (Ok(log), None) => log.close().expect("closed"),
            (Ok(_), Some(verdict)) => panic!("{what}: it opened and should be {verdict}"),
            (Err(Error::Unsound { verdict, .. }), Some(expected)) => {
                assert_eq!(verdict, expected, "{what}");
                let after = image(&fixture);
                assert!(before.iter().all(|file| after.contains(file)), "{what}: what is refused is not touched");
            }
            (Err(error), _) => panic!("{what}: {error}"),
        }
    }
}

/// What is no alarm by itself, and what an outside memory makes of it.
#[test]
fn an_older_state_of_all_of_it_is_told_by_a_memory_elsewhere_only() {
    let fixture = log();
    let older = image(&fixture);
    let open = fixture.open();
    record(&open, 3);
    let known = open.checkpoint();
    open.close().expect("closed");
    let newer = image(&fixture);
    for (path, _) in newer {
        fs::remove_file(path).expect("removed");
    }
    put_back(&fixture, older, |_| true);
    assert_eq!(alarm(&fixture, &fixture.data_keys()), None, "whoever has nothing else cannot know");
    let opened = fixture.try_open_with(fixture.settings().remembering(Some((known.size, known.root))));
    assert!(matches!(opened, Err(Error::Unsound { verdict: RolledBack, .. })), "{opened:?}");
    // A shorter checkpoint over the same leaves is the state of a second ago.
    sign_again(&fixture, 1, Some(5));
    let found = verify(&fixture.dir(), &signing(1).public(), None).expect("readable");
    let verdicts: Vec<Verdict> = found.iter().map(|finding| finding.verdict).collect();
    assert_eq!(verdicts, [Verdict::Ok, Verdict::Unwitnessed], "{found:?}");
}

#[test]
fn a_tail_that_was_cut_off_is_torn_until_the_log_is_opened() {
    let fixture = log();
    sign_again(&fixture, 1, Some(5));
    fixture.change(LAST, |bytes| bytes[block(4)][512..].fill(0));
    fixture.change(LAST, |bytes| bytes[block(4).start + 300] = 0);
    let keys = DataKeys::new();
    let found = alarm(&fixture, &keys);
    assert!(matches!(&found, Some((Verdict::Torn, place)) if place.starts_with(LAST)), "{found:?}");
    fixture.open().close().expect("closed");
    assert_eq!(alarm(&fixture, &keys), None);
}
