//! kill -9 anywhere in a turn that archives, purges and certifies: the next process goes on, and the counts are exact.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use portreeve::clock::Clock;
use portreeve::grant::{AccountStep, SnapshotStep, Stage};
use portreeve::retention::certificate::Findings;
use portreeve::retentiond::closing::turn;

use super::ground::{Ground, Moved, maintenance, world};

const CONFIGURATION: &str = "PORTREEVE_TEST_CONFIGURATION";
const DSN: &str = "PORTREEVE_TEST_DSN";

/// Not a test of its own: the process that the next one kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by a_daemon_killed_anywhere_goes_on_exactly"]
async fn a_turn_to_be_killed() {
    let configuration = PathBuf::from(std::env::var(CONFIGURATION).expect("a configuration"));
    let clock = Arc::new(Moved(AtomicI64::new(0)));
    let mut world = world(&configuration, Arc::clone(&clock), &std::env::var(DSN).expect("a road")).await;
    // many batches, so that the purge takes a while
    (world.pace.rows_first, world.pace.rows_max) = (25, 25);
    let turned = turn(&world, clock.now()).await.expect("a turn");
    assert_eq!(turned.troubles, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_anywhere_goes_on_exactly() {
    let ground = Ground::new().await;
    let others = ground.others(7).await;
    for name in ["initech", "acme"] {
        ground.close(name).await;
        ground.account(name, AccountStep::Immediate).await.expect("asked for");
    }
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    let (mut kills, mut patience, mut found, mut last) = (0, 20, BTreeMap::new(), None);
    loop {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--ignored", "--exact", "killed::a_turn_to_be_killed"])
            .env(CONFIGURATION, ground.stage.configuration())
            .env(DSN, maintenance(&ground.stage))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this binary runs");
        let wait = Duration::from_millis(patience);
        let ended = tokio::task::spawn_blocking(move || {
            std::thread::sleep(wait);
            let ended = child.try_wait().expect("ours");
            child.kill().expect("still ours");
            child.wait().expect("it ended");
            ended
        });
        if let Some(status) = ended.await.expect("no panic") {
            assert!(status.success(), "after {kills} kills: {status}");
            break;
        }
        let stages = ["initech", "acme"].map(|name| ground.stage_of(name));
        let rows: u32 = ground.rows(7).await.parse().expect("a number");
        let archives = ["initech", "acme"].map(|name| ground.files(name).len());
        let here = (stages, rows, archives);
        *found.entry(here).or_insert(0) += 1;
        kills += 1;
        // each gets hardly further than the one before; where nothing moves, a little longer each time, to get through
        patience = if last == Some(here) { patience + 2 + kills / 30 } else { patience.saturating_sub(5) };
        last = Some(here);
        assert!(kills < 400, "it does not come to an end");
    }
    println!("{kills} kills: {found:?}");
    assert!(kills >= 20 && found.len() >= 8, "{kills} kills are not every step: {found:?}");
    let rest = [
        found.keys().any(|(stages, ..)| stages[1] == Stage::Closed),
        found.keys().any(|(stages, _, archives)| stages[1] == Stage::Closed && archives[1] > 0),
        found.keys().any(|(stages, ..)| stages[0] == Stage::Planned),
        found.keys().any(|(stages, ..)| stages[1] == Stage::Purging),
        found.keys().any(|(stages, rows, _)| stages[0] == Stage::Purging && *rows == 0),
    ];
    let is_amid = |rows: u32| (1..1200).contains(&rows);
    assert!(found.keys().any(|(_, rows, _)| is_amid(*rows)), "no kill met rows of which some are gone: {found:?}");
    // closed, archived, planned, a database about to go, rows gone and not certified: on a busy machine one is missed
    assert!(rest.iter().filter(|is_met| **is_met).count() >= 3, "the kills met a part of the way: {found:?}");
    ground.well().await;
    assert_eq!(ground.others(7).await, others);
    assert_eq!(ground.rows(7).await, "0");
    for name in ["initech", "acme"] {
        assert_eq!(ground.stage_of(name), Stage::LiveClean, "{name}");
        let verdict = ground.verified(name);
        assert_eq!(verdict.findings, [], "{name}");
        let Findings::Live(live) = &verdict.parts[0].body.findings else { panic!("part 1 is about live rows") };
        assert!(live.tables.iter().all(|table| table.planned == table.deleted && table.left == 0), "{live:?}");
    }
    assert_eq!(ground.closure("initech").purge.verified.map(|(_, rows, _)| rows), Some(1200));
}
