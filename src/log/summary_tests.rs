use std::fs;

use super::super::fixture::*;
use super::super::verify::Verdict;
use super::*;
use crate::audit::record::Kind;
use crate::ids::CustomerId;

/// A closed log of several segments; in each, records of customer 7 and the vendor, and of customer 8 only in the first.
fn closed() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 20 << 10;
    let log = fixture.open();
    record(&log, EIGHT, "SELECT 8");
    for number in 0..40 {
        record(&log, SEVEN, &format!("SELECT {number} {}", "x".repeat(900)));
    }
    log.close().expect("closed");
    fixture
}

fn record(log: &super::super::Log, customer: CustomerId, text: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(log.record(statement(Some(customer), text))).expect("durable");
}

fn names(fixture: &Fixture, end: &str) -> Vec<String> {
    let entries = fs::read_dir(fixture.dir()).expect("listed").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries.filter_map(|name| Some(name.to_str()?.strip_suffix(end)?.to_owned())).collect();
    names.sort();
    names
}

fn summaries(fixture: &Fixture) -> Vec<Vec<u8>> {
    let read = |number: &String| fs::read(fixture.file(&format!("{number}.summary"))).expect("read");
    names(fixture, ".summary").iter().map(read).collect()
}

/// Flips a bit of a leaf in the midst of the first segment, where no start looks that believes its summary.
fn change_a_leaf(fixture: &Fixture) {
    fixture.change("000000000000.segment", |bytes| bytes[2 * BLOCK_BYTES + 200] ^= 1);
}

#[test]
fn a_finished_segment_is_not_read_again_and_its_chains_go_on() {
    let fixture = closed();
    let segments = names(&fixture, ".segment");
    assert!(segments.len() > 3, "{segments:?}");
    assert_eq!(names(&fixture, ".summary"), segments[..segments.len() - 1]);
    let log = fixture.open();
    record(&log, EIGHT, "SELECT 8 again");
    record(&log, SEVEN, "SELECT 7 again");
    log.close().expect("closed");
    assert_eq!(fixture.verdicts(), [Verdict::Ok]);
    assert!(fixture.verify().iter().all(|finding| finding.verdict == Verdict::Ok), "every chain is whole");
    let again = fixture.records().into_iter().filter(|(_, record)| record.kind == Kind::Statement).count();
    assert_eq!(again, 43);

    change_a_leaf(&fixture);
    fixture.open().close().expect("the summary is believed");
    assert!(!fixture.verdicts().contains(&Verdict::Ok), "and whoever verifies reads the segment");
    fs::remove_file(fixture.file("000000000000.summary")).expect("removed");
    let refused = fixture.try_open().expect_err("without it the segment is read");
    assert!(refused.to_string().contains("000000000000.segment"), "{refused}");
}

#[test]
fn a_summary_that_is_gone_or_changed_is_made_anew() {
    let fixture = closed();
    let before = summaries(&fixture);
    for number in names(&fixture, ".summary") {
        fs::remove_file(fixture.file(&format!("{number}.summary"))).expect("removed");
    }
    fixture.open().close().expect("closed");
    assert!(summaries(&fixture)[..before.len()] == before, "what reading finds is what the writer knew");
    let length = before[0].len();
    for at in (0..length).step_by(7).chain([length - 1]) {
        fixture.change("000000000000.summary", |bytes| bytes[at] ^= 0x10);
        fixture.open().close().expect("closed");
        assert!(summaries(&fixture)[0] == before[0], "byte {at}");
    }
    fixture.change("000000000000.summary", |bytes| bytes.truncate(length / 2));
    fs::write(fixture.file("000000000001.summary"), &before[0]).expect("written");
    fixture.open().close().expect("closed");
    assert!(summaries(&fixture)[..before.len()] == before);
    assert_eq!(fixture.verdicts(), [Verdict::Ok]);
}

#[test]
fn one_of_a_segment_that_went_on_since_is_not_believed() {
    let fixture = closed();
    let last = names(&fixture, ".segment").pop().expect("there are segments");
    let disk = fixture.disk.clone();
    // As if the segment after it had been begun, and was dropped in a recovery.
    let block = fs::read(fixture.file(&format!("{last}.segment"))).expect("read");
    let number = last.parse().expect("a number");
    let (tree, tags) = (Frontier::of(1, vec![[1; 32]]).expect("one leaf"), Tags::new());
    let stale = Summary { segment: number, end: 8192, tree, batch: 3, previous: [2; 32], tags };
    write(&disk, &fixture.dir(), &stale, &signing(1)).expect("written");
    assert_eq!(read(&disk, &fixture.dir(), number, &block[..BLOCK_BYTES], &signing(1).public()), Some(stale.clone()));
    assert_eq!(read(&disk, &fixture.dir(), number, &block[..BLOCK_BYTES], &signing(2).public()), None, "another key");
    assert_eq!(
        read(&disk, &fixture.dir(), number, &block[1..=BLOCK_BYTES], &signing(1).public()),
        None,
        "another block"
    );
    let log = fixture.open();
    for text in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
        record(&log, SEVEN, &text.repeat(1500));
    }
    // Killed before upkeep wrote the true one.
    let image = fs::read(fixture.file(&format!("{last}.summary"))).expect("read");
    log.close().expect("closed");
    assert!(names(&fixture, ".segment").pop() > Some(last.clone()), "it was finished");
    fs::write(fixture.file(&format!("{last}.summary")), image).expect("written");
    fixture.open().close().expect("it is read instead");
    assert!(fixture.verify().iter().all(|finding| finding.verdict == Verdict::Ok));
}

#[test]
fn where_the_register_remembers_the_midst_of_a_segment_it_is_read() {
    let fixture = closed();
    let (size, root) = {
        let log = fixture.open();
        let checkpoint = log.checkpoint();
        log.close().expect("closed");
        (checkpoint.size, checkpoint.root)
    };
    for (size, root, opens) in [(size, root, true), (size, [9; 32], false), (5, [9; 32], false)] {
        let mut settings = fixture.settings();
        settings.remembered = Some((size, root));
        assert_eq!(fixture.try_open_with(settings).map(|log| log.close().expect("closed")).is_ok(), opens, "{size}");
    }
}

#[test]
fn a_disk_that_fails_under_a_summary_is_an_error() {
    let fixture = closed();
    fs::remove_file(fixture.file("000000000000.summary")).expect("removed");
    fixture.disk.replaces.store(1, std::sync::atomic::Ordering::Release);
    assert!(fixture.try_open().is_err(), "an error of the disk is one");
    fixture.open().close().expect("closed");
    assert!(fixture.file("000000000000.summary").exists());
}
