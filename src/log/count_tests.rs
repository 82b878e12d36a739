//! What cannot be read is not counted as nothing: certificates name these numbers, and keys are destroyed by them.

use std::fs;

use super::super::search::tests::{ACME, Written, statement};
use super::super::vouched::{self, Vouched};
use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::disk::BLOCK_BYTES;
use crate::secret::Secret;

fn pinned() -> BTreeMap<String, [u8; 32]> {
    [("portreeve/w".to_owned(), SigningKey::from_seed(&Secret::new([3; 32])).public())].into()
}

/// What there is of ACME, by the indexes and without any, or why that cannot be told; and whether it can be told that there
/// is no notice.
fn told(written: &Written) -> [Result<Vec<Counted>, String>; 3] {
    let counted = |pinned| count(&written.dirs(), ACME, &written.recipients, &pinned);
    let noticed = noticed(&written.dirs(), &pinned(), EventId([1; 16]), Part::Values);
    let none = noticed.map(|notice| {
        assert_eq!(notice, None);
        Vec::new()
    });
    [counted(pinned()), counted(BTreeMap::new()), none].map(|told| told.map_err(|error| error.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_middle_or_end_cannot_be_read_is_not_counted() {
    let written = Written::statements(80).await;
    let [by_index, by_leaves, no_notice] = told(&written);
    let (by_index, by_leaves) = (by_index.expect("whole"), by_leaves.expect("whole"));
    assert!(by_index == by_leaves && by_index[0].records == 80, "{by_index:?}");
    assert_eq!(no_notice, Ok(Vec::new()));

    let dir = written.dirs().pop().expect("a log");
    let segment = |number: u64| dir.join(super::super::segment::file_name(number));
    let last = (0..).take_while(|number| segment(*number).exists()).last().expect("there are some");
    assert!(last >= 3, "{last}");
    let lost = |number: u64, changed: Option<Vec<u8>>, how: &str| {
        let image = fs::read(segment(number)).expect("read");
        match changed {
            Some(changed) => fs::write(segment(number), changed).expect("written"),
            None => fs::remove_file(segment(number)).expect("removed"),
        }
        for told in told(&written) {
            let why = told.expect_err(how);
            assert!(why.contains("leaves are signed"), "{how}: {why}");
        }
        fs::write(segment(number), image).expect("put back");
    };
    lost(1, None, "one in the middle is gone");
    lost(last, None, "the last one is gone");
    let mut cleared = fs::read(segment(last)).expect("read");
    cleared.iter_mut().skip(BLOCK_BYTES).for_each(|byte| *byte = 0);
    lost(last, Some(cleared), "what was signed in the last one is zeros");
    assert_eq!(told(&written).map(|told| told.map(|counted| counted.len())), [Ok(1), Ok(1), Ok(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planted_beside_the_logs_is_not_counted_and_gives_no_notice() {
    let written = Written::statements(4).await;
    let audit = written.audit();
    let counted = |logs: &Vouched| count(logs.dirs(), ACME, &written.recipients, logs.keys()).expect("read");
    let pinned = vouched::tests::pinned(&["w"]);
    let alone = counted(&vouched::vouched(&audit, &pinned).expect("listed"));
    assert_eq!((alone.len(), alone[0].records), (1, 4));

    let planted = audit.join("retention-9");
    vouched::tests::copy(&audit.join("w"), &planted);
    let log = written.open_at("retention-9");
    statement(&log, 9, Some(ACME)).await;
    let (event, part) = (EventId([1; 16]), Part::Values);
    log.notice(Notice::new(event, part, Timestamp(0), vec![])).await.expect("durable");
    log.close().expect("closed");
    fs::create_dir(audit.join("x")).expect("made");
    fs::write(audit.join("x/checkpoint"), "").expect("written");
    // It is a notice, where it is read.
    let read = noticed(&[planted], &BTreeMap::new(), event, part).expect("readable");
    assert!(read.is_some());
    let logs = vouched::vouched(&audit, &pinned).expect("listed").whole().expect("all that is pinned");
    assert_eq!(counted(&logs), alone);
    assert_eq!(noticed(logs.dirs(), logs.keys(), event, part).expect("readable"), None);
}
