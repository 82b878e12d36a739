//! Somebody who can make directories beside the logs: nothing of it is read, nothing is stopped by it, and each is told of.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;

use super::super::search::search;
use super::super::search::tests::{ACME, Written, statement};
use super::super::search::{Found, Query};
use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::SealedDataKey;
use crate::secret::Secret;

/// The key of the log that tests write.
pub(in crate::log) fn own() -> [u8; 32] {
    SigningKey::from_seed(&Secret::new([3; 32])).public()
}

/// As a folder in which the keys of these names are pinned, all of them that one.
pub(in crate::log) fn pinned(names: &[&str]) -> impl Fn(&str) -> Result<Option<[u8; 32]>, String> {
    move |name| Ok(names.contains(&name).then(own))
}

/// A copy of a log's directory.
pub(in crate::log) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for file in fs::read_dir(from).expect("listed").map(|file| file.expect("an entry")) {
        fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

fn names(dirs: &[PathBuf]) -> Vec<String> {
    dirs.iter().map(|dir| dir.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

/// Everything found, and which data keys were opened.
async fn found(written: &Written, logs: &Vouched) -> (Vec<Found>, Vec<SealedDataKey>) {
    let asked = RefCell::new(Vec::new());
    let query = Query { customer: Some(ACME), pinned: logs.keys().clone(), ..Query::default() };
    let opener = async |keys: Vec<SealedDataKey>| {
        asked.borrow_mut().extend(keys.clone());
        written.open(&keys)
    };
    let found = search(logs.dirs(), &query, &written.recipients, opener).await.expect("nothing stops it");
    (found, asked.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_claims_anothers_origin_adds_nothing_and_stops_nothing() {
    let written = Written::statements(6).await;
    let audit = written.audit();
    let alone = vouched(&audit, pinned(&["w"])).expect("listed");
    assert!(alone.is_whole() && alone.told().is_empty(), "{:?}", alone.told());
    let (expected, opened) = found(&written, &alone).await;
    assert!(expected.len() == 3 && !opened.is_empty(), "{expected:?}");

    // What a proxy could write that has the tag keys: records of another log, where they never were.
    copy(&audit.join("w"), &audit.join("zzz"));
    let log = written.open_at("zzz");
    statement(&log, 9, Some(ACME)).await;
    log.close().expect("closed");
    for name in ["empty", "in\u{1b}[2Jk", &"x".repeat(255)] {
        fs::create_dir(audit.join(name)).expect("made");
        fs::write(audit.join(name).join(CHECKPOINT), "").expect("written");
    }
    // Neither a log nor anything that claims to be one.
    fs::create_dir(audit.join("witnessed")).expect("made");
    fs::write(audit.join("notes"), "").expect("written");
    let logs = vouched(&audit, pinned(&["w"])).expect("listed");
    assert_eq!(names(logs.dirs()), ["w"]);
    assert!(logs.is_whole(), "what is not pinned is missed by nobody");
    assert_eq!(found(&written, &logs).await, (expected, opened));
    let told = logs.told();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|line| line.contains("its key is not pinned") && !line.contains('\u{1b}')), "{told:?}");
    assert_eq!(logs.whole().expect("all that is pinned").dirs().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_pinned_key_does_not_vouch_for_it_is_left_out_and_missed() {
    let written = Written::statements(2).await;
    let audit = written.audit();
    let whole = audit.join("w");
    let cases: [(&str, &str, fn(&Path, &Path)); 7] = [
        ("is not signed by the key of portreeve/other", "another's", copy),
        ("there are segments and no checkpoint", "without checkpoint", |from, to| {
            copy(from, to);
            fs::remove_file(to.join(CHECKPOINT)).expect("removed");
        }),
        ("its checkpoint names no log", "an empty one", |_, to| {
            fs::create_dir(to).expect("made");
            fs::write(to.join(CHECKPOINT), "").expect("written");
        }),
        ("no file of a checkpoint's size", "a directory", |_, to| {
            fs::create_dir_all(to.join(CHECKPOINT)).expect("made")
        }),
        ("no file of a checkpoint's size", "a large one", |_, to| {
            fs::create_dir(to).expect("made");
            let file = fs::File::create(to.join(CHECKPOINT)).expect("made");
            file.set_len(CHECKPOINT_BYTES_MAX + 1).expect("long");
        }),
        ("it is a symbolic link", "a link", |from, to| symlink(from, to).expect("made")),
        ("it is a symbolic link", "a link to nothing", |_, to| symlink("/nowhere", to).expect("made")),
    ];
    for (why, what, make) in cases {
        let other = audit.join("other");
        make(&whole, &other);
        let logs = vouched(&audit, pinned(&["w", "other"])).expect("listed");
        assert_eq!((names(logs.dirs()), logs.is_whole()), (vec!["w".to_owned()], false), "{what}");
        assert_eq!(logs.left_out().collect::<Vec<_>>(), ["other"], "{what}");
        let told = logs.told();
        assert!(told.len() == 1 && told[0].contains(why) && told[0].contains("audit verify"), "{what}: {told:?}");
        assert_eq!(logs.fault_of("other").map(ToString::to_string), logs.clone().whole().err().map(|e| e.to_string()));
        assert!(logs.whole().is_err(), "{what}");
        if other.is_symlink() {
            fs::remove_file(other).expect("removed");
        } else {
            fs::remove_dir_all(other).expect("removed");
        }
    }
    fs::create_dir(audit.join("witnessed")).expect("made");
    let unreadable = |name: &str| if name != "x" { Err("cannot read its key".to_owned()) } else { Ok(None) };
    let logs = vouched(&audit, unreadable).expect("listed");
    assert!(!logs.is_whole() && logs.told().len() == 1, "{:?}", logs.told());
    assert!(logs.told()[0].contains("cannot read its key"), "{:?}", logs.told());
}

#[test]
fn a_log_that_begins_is_no_alarm_and_keys_that_are_all_gone_are() {
    let (written, log) = Written::empty();
    let audit = written.audit();
    fs::create_dir(audit.join("other")).expect("made");
    fs::write(audit.join("other/lock"), "").expect("written");
    fs::write(audit.join("other/checkpoint.new"), "").expect("written");
    let logs = vouched(&audit, pinned(&["w", "other"])).expect("listed");
    assert_eq!((names(logs.dirs()), logs.told()), (vec!["w".to_owned()], vec![]));
    assert!(logs.is_whole() && logs.check_remembered(&audit, "w", 3).is_ok());
    assert!(logs.check_remembered(&audit, "other", 0).is_ok(), "nobody remembers anything of it");
    let gone = logs.check_remembered(&audit, "other", 3).expect_err("it is gone").to_string();
    assert!(gone.contains("the register remembers 3 records of it"), "{gone}");
    log.close().expect("closed");

    let logs = vouched(&audit, |_| Ok(None)).expect("listed");
    assert!(logs.dirs().is_empty() && !logs.is_whole(), "not as if there were no records");
    assert!(logs.whole().is_err());
}

#[test]
fn who_makes_many_directories_gets_few_lines() {
    let dir = tempfile::tempdir().expect("a directory");
    for number in 0..100 {
        fs::create_dir_all(dir.path().join(format!("x{number}")).join(CHECKPOINT)).expect("made");
    }
    let told = vouched(dir.path(), |_| Ok(None)).expect("listed").told();
    assert_eq!(told.len(), TOLD_MAX + 1);
    assert!(told.last().is_some_and(|line| line.starts_with("92 more")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exchanged_after_it_was_vouched_for_is_not_read() {
    let written = Written::statements(2).await;
    let audit = written.audit();
    let logs = vouched(&audit, pinned(&["w"])).expect("listed");
    let note = fs::read_to_string(audit.join("w").join(CHECKPOINT)).expect("read");
    let claimed = note.replacen("portreeve/w", "portreeve/portal", 1);
    fs::write(audit.join("w").join(CHECKPOINT), claimed).expect("written");
    let query = Query { pinned: logs.keys().clone(), ..Query::default() };
    let opener = async |keys: Vec<SealedDataKey>| written.open(&keys);
    let refused = search(logs.dirs(), &query, &written.recipients, opener).await.expect_err("another's");
    assert!(refused.to_string().contains("is wrong-key"), "{refused}");
}
