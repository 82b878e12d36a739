//! An index is made of what is there; nothing depends on it.

use super::super::fixture::*;
use super::*;
use crate::disk::RealDisk;

fn record(log: &crate::log::Log, text: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(log.record(statement(Some(SEVEN), text))).expect("durable");
}

/// A closed log of several segments.
fn written() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.segment_bytes = 16 << 10;
    let log = fixture.open();
    (0..9).for_each(|number| record(&log, &format!("SELECT {number}")));
    log.close().expect("closed");
    fixture
}

/// A sector that went bad in a segment that is only kept does not keep the gate from recording what happens now.
#[test]
fn a_segment_that_cannot_be_read_has_no_index_and_the_log_goes_on() {
    let fixture = written();
    let index = fixture.file("000000000000.index");
    let made = std::fs::read(&index).expect("there is one");
    std::fs::remove_file(&index).expect("removed");
    *fixture.disk.unreadable.lock().expect("not poisoned") = Some(("000000000000.segment".to_owned(), BLOCK));
    let log = fixture.open();
    record(&log, "SELECT 10");
    // The upkeep, which looks for indexes, has its last turn when the log is closed.
    log.close().expect("closed");
    assert!(!index.exists());
    *fixture.disk.unreadable.lock().expect("not poisoned") = None;
    fixture.open().close().expect("closed");
    assert_eq!(std::fs::read(&index).expect("made anew"), made);
}

#[test]
fn one_that_cannot_be_written_is_not_there_and_no_more() {
    let fixture = written();
    let index = fixture.file("000000000000.index");
    let made = std::fs::read(&index).expect("there is one");
    std::fs::remove_file(&index).expect("removed");
    let (dir, end) = (fixture.dir(), header(&RealDisk, &fixture.dir(), 1).map(|next| End::from(&next)));
    fixture.disk.replaces.store(1, std::sync::atomic::Ordering::Release);
    write(&fixture.disk, &dir, 0, end, None, &signing(1));
    assert!(!index.exists());
    write(&fixture.disk, &dir, 0, end, None, &signing(1));
    assert_eq!(std::fs::read(&index).expect("written"), made);
}
