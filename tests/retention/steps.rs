//! kill -9 at each named step of a snapshot and of a deletion: what stands then, and that the next daemon ends it well.
//! Not here: a purge's steps (`tests/closing`, `tests/purging`).

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use portreeve::clock::Clock as _;
use portreeve::config;
use portreeve::disk::RealDisk;
use portreeve::grant::{Snapshot, SnapshotStatus, State, Trust};
use portreeve::register::Register;
use rustix::process::{Signal, getpid, kill_process};
use tokio::task::block_in_place;

use crate::ground::{DAY, Ground, Moved, Place, daemon};
use crate::seam::{Go, Seam, Verb};

const CONFIGURATION: &str = "PORTREEVE_TEST_CONFIGURATION";
const NOW: &str = "PORTREEVE_TEST_NOW";
const STEP: &str = "PORTREEVE_TEST_STEP";

/// How the snapshot that is due to go, and the one that is due to come, stand after a kill.
const STANDS: [(&str, &str); 10] = [
    ("before remove snapshot", "expiring and there; none"),
    ("after remove snapshot", "expiring and not there; none"),
    ("before replace running", "deleted and not there; begun and not there"),
    ("after replace running", "deleted and not there; begun and running"),
    ("before append running", "deleted and not there; begun and running"),
    ("after append running", "deleted and not there; begun and running"),
    ("before sync running", "deleted and not there; begun and running"),
    ("after sync running", "deleted and not there; begun and running"),
    ("before rename running", "deleted and not there; begun and running"),
    ("after rename running", "deleted and not there; begun and whole"),
];

/// Not a test of its own: the process that dies at a step.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by a_daemon_killed_at_each_step_is_followed_by_one_that_ends_it_well"]
async fn a_turn_that_dies_at_its_step() {
    let said = |name: &str| std::env::var(name).expect(name);
    let config = config::load(&PathBuf::from(said(CONFIGURATION))).expect("a configuration");
    let clock = Moved::at(said(NOW).parse().expect("a moment"));
    let last = said(STEP);
    let steps = AtomicUsize::new(0);
    let disk = Seam::disk(move |step| {
        let counts = match step.verb {
            Verb::Replace | Verb::Rename | Verb::Remove | Verb::Append | Verb::Sync | Verb::Record => true,
            Verb::List | Verb::Read => false,
        };
        if counts && (steps.fetch_add(1, Ordering::Relaxed).to_string() == last || step.name() == last) {
            println!("\nat {}", step.name());
            std::io::stdout().flush()?;
            kill_process(getpid(), Signal::KILL)?;
        }
        Ok(Go::On)
    });
    let mut daemon = daemon(&config, &clock, &Arc::new(AtomicI64::new(0)), &disk).await;
    let turn = daemon.turn(clock.now()).await.expect("a turn");
    assert!(turn.expired.gone.len() == 1 && turn.attempts.iter().all(|attempt| attempt.fault.is_none()), "{turn:?}");
}

/// What the register says, with nobody at work.
fn state(place: &Place) -> Arc<State> {
    let trust = Trust { portal_key: [0; 32] };
    Register::open(&place.config.register.path, trust).expect("a register").state().expect("a state")
}

fn word(place: &Place, snapshot: Option<&Snapshot>) -> String {
    let Some(snapshot) = snapshot else { return "none".to_owned() };
    let there = |ending: &str| place.store().join(format!("{}.{ending}", snapshot.id)).exists();
    let place = match (there("snapshot"), there("running")) {
        (true, false) if snapshot.status == SnapshotStatus::Begun => "whole",
        (true, false) => "there",
        (false, true) => "running",
        (false, false) => "not there",
        (true, true) => "there twice",
    };
    let status = match snapshot.status {
        SnapshotStatus::Begun => "begun",
        SnapshotStatus::Verified => "verified",
        SnapshotStatus::Failed => "failed",
        SnapshotStatus::Adopted => "adopted",
        SnapshotStatus::Expiring { .. } => "expiring",
        SnapshotStatus::Deleted { .. } => "deleted",
    };
    format!("{status} and {place}")
}

/// A turn in a process of its own that dies at that step, by its name or its number; the step's name, or none if it came
/// to its end before.
fn dies_at(place: &Place, step: &str) -> Option<String> {
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture", "steps::a_turn_that_dies_at_its_step"])
        .env(CONFIGURATION, place.dir.path().join("portreeve.toml"))
        .env(NOW, place.now().0.to_string())
        .env(STEP, step)
        .stdin(Stdio::null())
        .output()
        .expect("this binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = said.lines().find_map(|line| line.strip_prefix("at ")).map(str::to_owned);
    match output.status.signal() {
        Some(9) => Some(name.expect("it says where it dies")),
        _ => {
            assert!(output.status.success() && name.is_none(), "{said}{}", String::from_utf8_lossy(&output.stderr));
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_at_each_step_is_followed_by_one_that_ends_it_well() {
    let mut ground = Ground::new("snapshot_every = \"5d\"").await;
    ground.next_slot();
    for _ in 0..3 {
        assert!(ground.turn().await.is_well());
        ground.next_slot();
    }
    // Now the oldest is fifteen days old, and a slot has come.
    let mut seen = BTreeSet::new();
    // Each by its name; then whatever else changes anything, its records and notes, in their order.
    let named = STANDS.iter().map(|(name, _)| (*name).to_owned());
    for step in named.chain((0..).map(|step: usize| step.to_string())) {
        let before = ground.state().await;
        let old = before.snapshots().filter(|snapshot| snapshot.may_exist()).min_by_key(|snapshot| snapshot.started);
        let (old, last) = (old.expect("one is due").id, before.snapshots().map(|snapshot| snapshot.sequence).max());
        let place = ground.rest();
        let died = block_in_place(|| dies_at(&place, &step));
        let after = state(&place);
        let new = after.snapshots().find(|snapshot| Some(snapshot.sequence) > last);
        let new_id = new.map(|snapshot| snapshot.id);
        let stands = format!("{}; {}", word(&place, after.snapshot(old)), word(&place, new));
        ground = Ground::wake(place, Arc::new(RealDisk)).await;
        let Some(died) = died else {
            assert_eq!(stands, "deleted and not there; verified and there");
            break;
        };
        for snapshot in after.snapshots() {
            let is_there = ground.listed().contains_key(&snapshot.id.to_string());
            let claims_absence = matches!(snapshot.status, SnapshotStatus::Deleted { .. });
            assert!(!(claims_absence && is_there), "{died}: {snapshot:?} is said to be gone");
        }
        if let Some((_, expected)) = STANDS.iter().find(|(name, _)| *name == died) {
            assert_eq!(stands, *expected, "{died}");
        }

        let now = ground.now().0;
        ground.go_to(now + 1_000_000);
        let turn = ground.turn().await;
        assert!(turn.is_well(), "after {died}: {turn:?}");
        ground.nothing_is_too_old(14);
        let state = ground.state().await;
        let is_gone = |id| matches!(state.snapshot(id).map(|known| known.status), Some(SnapshotStatus::Deleted { .. }));
        assert!(is_gone(old), "after {died}");
        let of_slot = state
            .snapshots()
            .filter(|snapshot| snapshot.status == SnapshotStatus::Verified && snapshot.started.0 >= now - DAY);
        assert_eq!(of_slot.count(), 1, "after {died}: the slot has its snapshot, once");
        // One that was killed in the middle leaves what waits for its day.
        let is_torn =
            new_id.is_some_and(|id| state.snapshot(id).is_some_and(|new| new.status == SnapshotStatus::Failed));
        assert!(!is_torn || stands.ends_with("begun and running"), "after {died}: {stands}");
        ground.next_slot();
        if is_torn {
            // It goes on its day; until then it is no part of the next kill.
            for _ in 0..3 {
                assert!(ground.turn().await.is_well());
                ground.next_slot();
            }
            assert!(new_id.is_some_and(|id| !ground.listed().contains_key(&id.to_string())), "after {died}");
        }
        seen.insert(died);
    }
    for (name, _) in STANDS {
        assert!(seen.contains(name), "{name} is no step of {seen:?}");
    }
    assert!(seen.len() > STANDS.len(), "its records and notes are steps as well: {seen:?}");
    println!("{seen:#?}");
}
