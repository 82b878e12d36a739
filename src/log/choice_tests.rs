//! Whatever becomes of the indexes, a search gives what it gives without them, or says that the log is damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::super::indexes;
use super::super::search::tests::{ACME, BETA, SESSION, Written, outcome, statement};
use super::super::search::{self, Found};
use super::super::segment::{BATCH_HEADER_BYTES, BatchHeader, content_start};
use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::descriptor::DESCRIPTOR_BYTES;
use crate::audit::keys::SealedDataKey;
use crate::audit::tree::sha256;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::disk::{BLOCK_BYTES, RealDisk};
use crate::ids::{CustomerId, StaffId};
use crate::log::Log;
use crate::secret::Secret;

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32]))
}

fn pinned() -> BTreeMap<String, [u8; 32]> {
    [("portreeve/w".to_owned(), signing(3).public())].into()
}

/// Statements of both customers with their outcomes, in several segments.
async fn written() -> Written {
    let (written, log) = Written::empty();
    write(&log, 1..=130).await;
    log.close().expect("closed");
    written
}

async fn write(log: &Log, frames: std::ops::RangeInclusive<u64>) {
    for frame in frames {
        let customer = Some(if frame % 3 == 0 { ACME } else { BETA });
        statement(log, frame, customer).await;
        // Every fifth has none, and every seventh has it much later.
        match frame {
            frame if frame % 5 == 0 => {}
            frame if frame % 7 == 0 => outcome(log, frame, frame + 90_000, customer, "late"),
            frame => outcome(log, frame, frame + 1, customer, "done"),
        }
    }
}

fn dir(written: &Written) -> PathBuf {
    written.dirs().pop().expect("a log")
}

fn files(written: &Written, ending: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(dir(written)).expect("listed").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = names.filter(|path| path.extension().is_some_and(|found| found == ending)).collect();
    files.sort();
    files
}

async fn searched(written: &Written, query: &Query, pinned: BTreeMap<String, [u8; 32]>) -> Result<Vec<Found>, String> {
    let query = Query { pinned, ..query.clone() };
    let opener = async |keys: Vec<SealedDataKey>| written.open(&keys);
    search::search(&written.dirs(), &query, &written.recipients, opener).await.map_err(|error| error.to_string())
}

fn queries() -> Vec<(&'static str, Query)> {
    let at = |second: i64| Some(Timestamp(1_000_000 * second));
    let of = |customer| Query { customer: Some(customer), ..Query::default() };
    let statements = Query { kinds: vec![Kind::Statement], ..Query::default() };
    vec![
        ("all", Query::default()),
        ("customer", of(ACME)),
        ("nobody", of(CustomerId(1))),
        ("since", Query { since: at(100), ..of(BETA) }),
        ("until", Query { until: at(20), kinds: vec![Kind::Outcome], ..of(ACME) }),
        ("between", Query { since: at(60), until: at(65), ..Query::default() }),
        ("today", Query { since: Some(Timestamp(SystemClock.now().0 - 3_600_000_000)), ..Query::default() }),
        ("staff", Query { staff: Some(StaffId(2)), ..statements.clone() }),
        ("session", Query { session: Some(SESSION), ..of(ACME) }),
        ("text", Query { text: Some("SELECT 81 ".to_owned()), ..of(ACME) }),
        ("limit", Query { limit: 3, ..of(BETA) }),
        ("state", Query { sqlstate: Some("57014".to_owned()), since: at(100), ..of(BETA) }),
        ("from", Query { from: [("portreeve/w".to_owned(), 171)].into(), ..of(ACME) }),
        ("at", Query { at: Some(150), ..Query::default() }),
    ]
}

/// All answers, by reading everything.
async fn answers(written: &Written) -> Vec<Vec<Found>> {
    let mut answers = Vec::new();
    for (what, query) in queries() {
        answers.push(searched(written, &query, BTreeMap::new()).await.expect(what));
    }
    answers
}

async fn assert_same(written: &Written, expected: &[Vec<Found>], why: &str) {
    for ((what, query), expected) in queries().into_iter().zip(expected) {
        let found = searched(written, &query, pinned()).await;
        assert!(found.as_ref() == Ok(expected), "{why}, {what}: {:?}", found.map(|found| found.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_by_the_indexes_gives_what_reading_everything_gives() {
    let written = written().await;
    let (segments, indexed) = (files(&written, "segment").len(), files(&written, "index").len());
    assert!(indexed > 4 && indexed == segments - 1, "{indexed} of {segments}");
    let expected = answers(&written).await;
    assert!(expected.iter().filter(|found| found.is_empty()).count() <= 2, "the queries find something");
    assert_same(&written, &expected, "as written").await;
    // And while it is written further.
    let log = written.open_again();
    write(&log, 131..=145).await;
    let expected = answers(&written).await;
    assert_same(&written, &expected, "open").await;
    log.close().expect("closed");
}

/// Between statement and outcome the clock was set back, or ahead by days: the outcome decides all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_found_whenever_its_outcome_says_it_was() {
    let (written, log) = Written::empty();
    // Before all that is asked for: these failed too.
    write(&log, 1..=9).await;
    statement(&log, 100, Some(ACME)).await;
    statement(&log, 104, Some(ACME)).await;
    write(&log, 11..=30).await;
    outcome(&log, 100, 3, Some(ACME), "error");
    outcome(&log, 104, 3 * 86_400, Some(ACME), "error");
    write(&log, 31..=50).await;
    log.close().expect("closed");
    assert!(files(&written, "index").len() > 4, "they are far apart");
    let at = |second: i64| Some(Timestamp(1_000_000 * second));
    let state = Query { sqlstate: Some("57014".to_owned()), since: at(90), until: at(110), ..Query::default() };
    for query in [state.clone(), Query { customer: Some(ACME), ..state }] {
        for pinned in [pinned(), BTreeMap::new()] {
            let found = searched(&written, &query, pinned).await.expect("whole");
            let own = |one: &Found| (one.record.kind, one.record.skeleton.frame, one.outcome.is_some());
            let found: Vec<_> = found.iter().map(own).collect();
            assert_eq!(found, [100, 104].map(|frame| (Kind::Statement, Some(frame), true)), "{query:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_customers_own_leaves_are_read() {
    let written = written().await;
    let query = Query { customer: Some(ACME), ..Query::default() };
    let expected = searched(&written, &query, BTreeMap::new()).await.expect("whole");
    let (mut of_others, mut own) = ([0; 4], [0; 4]);
    let segments = files(&written, "segment");
    // The last one has no index.
    let some = segments.iter().take(3).chain(segments.last());
    for (segment, (of_others, own)) in some.zip(of_others.iter_mut().zip(&mut own)) {
        let is_last = Some(segment) == segments.last();
        let image = fs::read(segment).expect("read");
        for at in (BLOCK_BYTES..image.len() - BLOCK_BYTES).step_by(BLOCK_BYTES) {
            let mut changed = image.clone();
            // The first bytes of what follows two leaves.
            changed[at + 128 + 168 * 2 + 40] ^= 1;
            fs::write(segment, &changed).expect("written");
            let (found, all) =
                (searched(&written, &query, pinned()).await, searched(&written, &query, [].into()).await);
            match (found, all) {
                (Ok(found), Err(_)) => {
                    assert!(found == expected, "block {at}");
                    *of_others += 1;
                }
                (Err(error), Err(_)) => {
                    // Behind damage at the very end there is nothing: it is what was signed that is missing.
                    let is_told = error.contains("forked") || (is_last && error.contains("missing"));
                    assert!(is_told && error.contains(".segment at byte"), "{error}");
                    *own += 1;
                }
                (found, all) => {
                    assert!(image[at..at + 8] != *b"PRTRBAT1", "a batch that is damaged is noticed: {all:?}");
                    assert!(found.is_ok_and(|found| found == expected), "block {at}");
                }
            }
        }
        fs::write(segment, &image).expect("written");
    }
    let indexed = |counts: [usize; 4]| counts.into_iter().take(3).sum::<usize>();
    assert!(indexed(of_others) > 8 && indexed(own) > 3, "{of_others:?} of others, {own:?} of its own");
    assert!(of_others[3] > 0 && own[3] > 0, "{of_others:?} of others, {own:?} of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_gone_changed_or_of_something_else_is_passed_over() {
    let (written, other) = (written().await, written().await);
    let expected = answers(&written).await;
    let indexes = files(&written, "index");
    let images: Vec<Vec<u8>> = indexes.iter().map(|path| fs::read(path).expect("read")).collect();
    let theirs = fs::read(&files(&other, "index")[1]).expect("read");
    let (path, image) = (&indexes[1], &images[1]);
    for at in (0..image.len()).step_by(image.len() / 24).chain([image.len() - 1]) {
        let mut changed = image.clone();
        changed[at] ^= 0x20;
        fs::write(path, &changed).expect("written");
        let query = Query { customer: Some(ACME), ..Query::default() };
        assert!(searched(&written, &query, pinned()).await.as_ref() == Ok(&expected[1]), "byte {at}");
    }
    let cases: [(&str, Option<&[u8]>); 6] = [
        ("cut", Some(&image[..image.len() / 2])),
        ("empty", Some(&[])),
        ("longer", Some(&[image.as_slice(), &[0]].concat())),
        ("of another segment", Some(&images[2])),
        ("of another log with the same name and key", Some(&theirs)),
        ("gone", None),
    ];
    for (what, bytes) in cases {
        match bytes {
            Some(bytes) => fs::write(path, bytes).expect("written"),
            None => fs::remove_file(path).expect("removed"),
        }
        assert_same(&written, &expected, what).await;
    }
    indexes.iter().filter(|path| path.exists()).for_each(|path| fs::remove_file(path).expect("removed"));
    assert_same(&written, &expected, "all gone").await;
    // The next starts make them anew, some at a time, from the leaves alone, and just as they were.
    for _ in 0..indexes.len().div_ceil(8) {
        written.open_again().close().expect("closed");
    }
    let made: Vec<Vec<u8>> = indexes.iter().map(|path| fs::read(path).expect("made anew")).collect();
    assert!(made == images);
    fs::write(path, &images[2]).expect("written");
    written.open_again().close().expect("closed");
    assert!(fs::read(path).expect("read") == *image);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_another_key_signed_is_passed_over() {
    let written = written().await;
    let expected = answers(&written).await;
    let dir = dir(&written);
    let index = indexes::make(&RealDisk, &dir, 1).expect("read").expect("whole");
    fs::write(dir.join("000000000001.index"), index.to_bytes(&signing(4))).expect("written");
    assert_same(&written, &expected, "another key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_segment_that_went_on_since_is_passed_over() {
    let written = written().await;
    let last = files(&written, "segment").len() as u64 - 1;
    let path = dir(&written).join(super::super::index::file_name(last));
    // As if the segment after it had been begun, and was dropped in a recovery.
    let stale = indexes::make(&RealDisk, &dir(&written), last).expect("read").expect("whole").to_bytes(&signing(3));
    fs::write(&path, &stale).expect("written");
    let expected = answers(&written).await;
    assert_same(&written, &expected, "of the segment that is written").await;
    let log = written.open_again();
    write(&log, 131..=190).await;
    log.close().expect("closed");
    assert!(files(&written, "segment").len() as u64 > last + 1, "it was finished");
    let expected = answers(&written).await;
    assert!(fs::read(&path).expect("read") != stale);
    assert_same(&written, &expected, "made when it was finished").await;
    fs::write(&path, stale).expect("written");
    assert_same(&written, &expected, "of a part of the segment").await;
}

/// Takes a statement of ACME's away from it, in a batch of that segment that others follow, with the batch's digest made
/// right.
fn taken_away(written: &Written, segment: u64, image: &[u8]) -> Vec<u8> {
    let key = written.recipients.tag(Recipient::Customer(ACME)).expect("a key");
    let (own, mut changed, mut at) = (Tagger::new(&key, "portreeve/w").tag(segment), image.to_vec(), BLOCK_BYTES);
    while let Some(header) = BatchHeader::parse(&image[at..]) {
        let (first, digest, next) =
            (at + BATCH_HEADER_BYTES, at + content_start(header.leaves) - 32, at + header.length as usize);
        let is_followed = BatchHeader::parse(&image[next..]).is_some();
        for leaf in (first..digest).step_by(DESCRIPTOR_BYTES).filter(|_| is_followed) {
            let bytes = image[leaf..leaf + DESCRIPTOR_BYTES].try_into().expect("a leaf's length");
            let mut descriptor = Descriptor::parse(bytes).expect("a leaf");
            if descriptor.place.tag == own && descriptor.place.kind == Kind::Statement {
                descriptor.place.tag = [9; 16];
                changed[leaf..leaf + DESCRIPTOR_BYTES].copy_from_slice(&descriptor.to_bytes());
                let right = sha256(&[&changed[at..digest]]);
                changed[digest..digest + 32].copy_from_slice(&right);
                return changed;
            }
        }
        at = next;
    }
    panic!("segment {segment} has no such leaf");
}

/// Somebody who can write the files, and has no key, lets the log sign an index of leaves that it did not write.
#[tokio::test(flavor = "multi_thread")]
async fn no_index_is_signed_of_leaves_that_were_changed() {
    let written = written().await;
    let query = Query { customer: Some(ACME), ..Query::default() };
    let expected = searched(&written, &query, pinned()).await.expect("whole");
    let (segment, index) = (&files(&written, "segment")[1], &files(&written, "index")[1]);
    let (image, made) = (fs::read(segment).expect("read"), fs::read(index).expect("read"));
    fs::write(segment, taken_away(&written, 1, &image)).expect("written");
    fs::remove_file(index).expect("removed");
    // The start goes by the segment's summary, and its upkeep makes indexes that are not there.
    written.open_again().close().expect("closed");
    fs::write(segment, &image).expect("put back");
    assert!(searched(&written, &query, pinned()).await.as_ref() == Ok(&expected));
    assert!(!index.exists());
    written.open_again().close().expect("closed");
    assert!(fs::read(index).expect("made of what is whole again") == made);
}

/// It is made from what everybody can read: so it tells nobody more.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_says_nothing_that_the_leaves_do_not() {
    let written = written().await;
    for (segment, path) in (0..).zip(files(&written, "index")) {
        let index = indexes::make(&RealDisk, &dir(&written), segment).expect("read").expect("whole");
        assert!(fs::read(path).expect("read") == index.to_bytes(&signing(3)));
    }
}
