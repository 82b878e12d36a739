//! A store that is full, read-only, or answers by halves, under a daemon that goes on: it tells, and claims nothing.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use portreeve::grant::SnapshotStatus;
use portreeve::retention::overdue::What;

use crate::ground::{DAY, Ground};
use crate::seam::{Go, Seam, Step, Verb, When};

type Fault = fn(Step<'_>) -> io::Result<Go>;

/// Whether it is a snapshot, or on its way to be one.
fn is_snapshot(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ["snapshot", "running"].iter().any(|known| ending == *known))
}

/// Whether it is in the store, or the store itself.
fn is_in_store(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "store") && path.file_name().is_some_and(|name| name != "audit")
}

/// A disk with a fault that comes and goes.
struct Switch(Arc<Mutex<Option<Fault>>>);

impl Switch {
    async fn ground() -> (Switch, Ground) {
        let fault: Arc<Mutex<Option<Fault>>> = Arc::default();
        let switch = Switch(Arc::clone(&fault));
        let disk = Seam::disk(move |step| match *fault.lock().expect("not poisoned") {
            Some(fault) => fault(step),
            None => Ok(Go::On),
        });
        (switch, Ground::on("snapshot_every = \"1d\"", disk).await)
    }

    fn set(&self, fault: Option<Fault>) {
        *self.0.lock().expect("not poisoned") = fault;
    }
}

/// Turns until the next one deletes and takes.
async fn until_due(ground: &mut Ground) -> BTreeMap<String, portreeve::clock::Timestamp> {
    for _ in 0..20 {
        ground.turn().await;
        let next = ground.next(DAY);
        ground.go_to(next);
        if ground.listed().values().any(|started| ground.now().0 - started.0 >= 14 * DAY - DAY / 6) {
            return ground.listed();
        }
    }
    unreachable!("nothing becomes due: {:?}", ground.listed());
}

async fn alive(ground: &Ground) -> usize {
    ground.state().await.snapshots().filter(|snapshot| snapshot.may_exist()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_lies_or_answers_by_halves_is_told_and_nothing_is_claimed() {
    let (switch, mut ground) = Switch::ground().await;
    let faults: [(&str, Fault); 5] = [
        ("it cannot be listed", |step| match step.verb {
            Verb::List if is_in_store(step.path) => Err(ErrorKind::TimedOut.into()),
            _ => Ok(Go::On),
        }),
        ("it lists what cannot be read", |step| match step.verb {
            Verb::Read if is_snapshot(step.path) => Err(io::Error::other("Input/output error")),
            _ => Ok(Go::On),
        }),
        ("it is read-only", |step| match step.verb {
            Verb::Replace | Verb::Rename | Verb::Remove if is_in_store(step.path) => {
                Err(ErrorKind::ReadOnlyFilesystem.into())
            }
            _ => Ok(Go::On),
        }),
        ("it deletes nothing", |step| match (step.when, step.verb) {
            (When::Before, Verb::Remove) if is_snapshot(step.path) => Err(ErrorKind::PermissionDenied.into()),
            _ => Ok(Go::On),
        }),
        ("it says that it deleted, and did not", |step| match (step.when, step.verb) {
            (When::Before, Verb::Remove) if is_snapshot(step.path) => Ok(Go::Lie),
            _ => Ok(Go::On),
        }),
    ];
    for (what, fault) in faults {
        let before = until_due(&mut ground).await;
        let alive_before = alive(&ground).await;
        switch.set(Some(fault));
        let turn = ground.turn().await;
        switch.set(None);
        assert!(turn.expired.gone.is_empty() && !turn.is_well(), "{what}: {turn:?}");
        let is_silent = turn.alarms.iter().any(|alarm| matches!(alarm.what, What::StoreSilent(_)));
        let is_told = is_silent || !turn.expired.left.is_empty();
        assert!(is_told, "{what}: {turn:?}");
        assert!(before.keys().all(|id| ground.listed().contains_key(id)), "{what}");
        assert!(alive(&ground).await >= alive_before, "{what}: something is claimed to be gone");
        let turn = ground.turn().await;
        assert_eq!(turn.expired.left.len(), 0, "{what}, over: {turn:?}");
        assert!(!turn.expired.gone.is_empty(), "{what}, over: {turn:?}");
        ground.nothing_is_too_old(14);
        ground.register_and_store_agree().await;
    }
}

/// What is appended goes to the device that is always full: the error is the kernel's own.
fn to_a_full_device(step: Step<'_>) -> io::Result<Go> {
    match (step.when, step.verb) {
        (When::Before, Verb::Append) => {
            let full = OpenOptions::new().write(true).open("/dev/full").and_then(|mut full| full.write_all(b"x"));
            full.map(|()| Go::On)
        }
        _ => Ok(Go::On),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_leaves_no_half_snapshot_and_the_old_ones_go_on_time() {
    let (switch, mut ground) = Switch::ground().await;
    until_due(&mut ground).await;
    switch.set(Some(to_a_full_device));
    let turn = ground.turn().await;
    assert!(!turn.expired.gone.is_empty() && turn.attempts.is_empty(), "deleting needs no room: {turn:?}");
    let before = ground.listed();
    let next = ground.next(DAY);
    ground.go_to(next);
    let turn = ground.turn().await;
    let faults: Vec<_> = turn.attempts.iter().filter_map(|attempt| attempt.fault.as_deref()).collect();
    assert!(matches!(faults[..], [fault] if fault.contains("No space left on device")), "{faults:?}");
    assert!(!turn.is_well());
    let after = ground.listed();
    assert!(after.keys().all(|id| before.contains_key(id)), "nothing of it is left: {after:?}");
    let state = ground.state().await;
    let failed = turn.attempts.iter().find_map(|attempt| attempt.snapshot).expect("it was begun");
    let status = state.snapshot(failed).expect("in the catalog").status;
    assert!(matches!(status, SnapshotStatus::Deleted { .. }), "{status:?}");
    switch.set(None);
    let now = ground.now().0;
    ground.go_to(now + DAY / 24);
    let turn = ground.turn().await;
    assert!(matches!(&turn.attempts[..], [attempt] if attempt.fault.is_none()), "tried again: {turn:?}");
    ground.register_and_store_agree().await;
    ground.nothing_is_too_old(14);
}

/// A failed snapshot that cannot be removed stays known, and is removed when that is possible.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_snapshot_that_cannot_be_removed_is_kept_in_the_catalog_until_it_is() {
    let (switch, mut ground) = Switch::ground().await;
    ground.turn().await;
    let next = ground.next(DAY);
    ground.go_to(next);
    switch.set(Some(|step| match (step.when, step.verb) {
        (When::Before, Verb::Sync) if is_snapshot(step.path) => Err(ErrorKind::StorageFull.into()),
        (When::Before, Verb::Remove) if is_snapshot(step.path) => Err(ErrorKind::PermissionDenied.into()),
        _ => Ok(Go::On),
    }));
    let turn = ground.turn().await;
    let failed = turn.attempts.iter().find_map(|attempt| attempt.snapshot).expect("it was begun");
    assert!(ground.listed().contains_key(&failed.to_string()), "it is there, as failed");
    let status = ground.state().await.snapshot(failed).expect("in the catalog").status;
    assert_eq!(status, SnapshotStatus::Failed);
    switch.set(None);
    for _ in 0..16 {
        let next = ground.next(DAY);
        ground.go_to(next);
        ground.turn().await;
    }
    assert!(!ground.listed().contains_key(&failed.to_string()), "it went as any other");
    ground.nothing_is_too_old(14);
    ground.register_and_store_agree().await;
}
