//! kill -9 anywhere in a turn that archives, purges and certifies: the next process goes on, and the counts are exact.

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
    let world = world(&configuration, Arc::clone(&clock), &std::env::var(DSN).expect("a road")).await;
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
    let mut kills = 0;
    loop {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--ignored", "--exact", "killed::a_turn_to_be_killed"])
            .env(CONFIGURATION, ground.stage.configuration())
            .env(DSN, maintenance(&ground.stage))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this binary runs");
        // a little longer each time, so that in the end it gets through
        let wait = Duration::from_millis(20 + 2 * kills + 20 * (kills / 60));
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
        kills += 1;
        assert!(kills < 300, "it does not come to an end");
    }
    println!("{kills} kills");
    assert!(kills >= 20, "{kills} kills are not every step");
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
