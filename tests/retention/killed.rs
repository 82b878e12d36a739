//! A daemon that dies at any point: the next one says what became of what it was about to do, and goes on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{self, Settings, Stage, said};
use portreeve::entropy::OsEntropy;
use portreeve::grant::{SnapshotStatus, SnapshotStep};
use portreeve::snapshots::Order;

use crate::ground::Ground;

/// How long a daemon may take to begin a snapshot.
const SOON: Duration = Duration::from_secs(20);

/// A kill between the events of a deletion leaves one of these; each ends with the object gone and confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_begun_is_ended() {
    for is_removed in [false, true] {
        let mut ground = Ground::new("snapshot_every = \"5d\"").await;
        ground.turn().await;
        let state = ground.state().await;
        let id = state.snapshots().next().expect("a snapshot").id;
        ground.keeping().step(id, SnapshotStep::Expiring).await.expect("recorded");
        let file = ground.store().join(format!("{id}.snapshot"));
        assert!(file.exists());
        if is_removed {
            fs::remove_file(&file).expect("removed");
        }
        let turn = ground.turn().await;
        assert_eq!(turn.expired.gone.iter().map(|(gone, _)| *gone).collect::<Vec<_>>(), [id], "{turn:?}");
        assert!(!file.exists());
        let state = ground.state().await;
        let status = state.snapshot(id).expect("in the catalog").status;
        assert!(matches!(status, SnapshotStatus::Deleted { .. }), "{status:?}");
    }
}

/// A kill just after a snapshot was begun: it failed, and there is nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_only_begun_is_failed_and_gone() {
    let mut ground = Ground::new("snapshot_every = \"5d\"").await;
    let (id, started) = (Order::fresh_id(&OsEntropy), ground.now());
    let backend = ground.shelf().number;
    // as whoever begins one has done before
    ground.shelf().note_mark().expect("noted");
    ground.keeping().step(id, SnapshotStep::Begun { backend, started }).await.expect("recorded");
    let turn = ground.turn().await;
    assert_eq!((turn.settled, turn.attempts.len()), (1, 1), "{turn:?}");
    let state = ground.state().await;
    let status = state.snapshot(id).expect("in the catalog").status;
    assert!(matches!(status, SnapshotStatus::Deleted { .. }), "{status:?}");
    ground.register_and_store_agree().await;
}

/// The real process, killed while it takes a snapshot; and what the command line says of it all.
#[tokio::test(flavor = "multi_thread")]
async fn kill_the_real_daemon_while_it_takes_a_snapshot() {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    let settings = Settings { cache, ..Settings::new(env!("CARGO_BIN_EXE_portreeve")) };
    let mut stage = Stage::set_up(settings).await.expect("a stage");
    stage.prepare_retention().await.expect("prepared");
    let store = stage.path("store");
    // pg_dump waits for this transaction, so that the snapshot is being taken when the daemon is killed.
    let dsn = stage.cluster.superuser_dsn("acme");
    let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.expect("connected");
    let driver = tokio::spawn(connection);
    client.batch_execute("begin; lock table contacts in access exclusive mode").await.expect("locked");
    stage.start_retention().await.expect("started");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&store).expect("a directory").map(|entry| entry.expect("an entry").file_name());
        entries.map(|name| name.to_string_lossy().into_owned()).collect()
    };
    let begun = Instant::now();
    while !names().iter().any(|name| name.ends_with(".running")) {
        assert!(begun.elapsed() < SOON, "no snapshot is begun: {:?}", names());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.retention.as_mut().expect("it runs").kill().expect("killed");
    drop(client);
    driver.await.expect("no panic").expect("ended");

    // One turn: what was open is settled, and every database has its snapshot of this slot.
    let once = stage.command(&["retention", "run", "--once"]).output().expect("run");
    assert_eq!(once.status.code(), Some(0), "{}", said(&once));
    assert!(String::from_utf8_lossy(&once.stderr).contains("a snapshot had no outcome"), "{}", said(&once));
    let whole = names().iter().filter(|name| name.ends_with(".snapshot")).count();
    assert_eq!(whole, stage::CUSTOMERS.len() + 1, "{:?}", names());

    let plan = stage.run(&["retention", "plan", "--format", "json"]).expect("a plan");
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    let last: serde_json::Value = serde_json::from_str(plan.lines().last().expect("a line")).expect("JSON");
    assert_eq!(plan.lines().count(), whole + 2, "the failed one waits for its day: {plan}");
    let applied = stage.run(&["retention", "apply", "--plan", last["plan"].as_str().expect("a token")]);
    let applied = applied.expect("nothing is due, and that is applied");
    assert!(!said(&applied).contains("gone"), "{}", said(&applied));
    assert_eq!(names().iter().filter(|name| name.ends_with(".snapshot")).count(), whole, "{:?}", names());
    let status = stage.command(&["retention", "status"]).output().expect("run");
    assert_eq!(status.status.code(), Some(0), "{}", said(&status));
    let stale = stage.command(&["retention", "apply", "--plan", "sha256:00@1"]).output().expect("run");
    assert_eq!(stale.status.code(), Some(2), "{}", said(&stale));
    let alone = stage.command(&[
        "retention",
        "restore",
        "--backend",
        "nightly",
        "--snapshot",
        "00000000000000000000000000000000",
        "--private-key",
        &stage.path("snapshots.key").to_string_lossy(),
        "--directory",
        &stage.path("back").to_string_lossy(),
        "--reason",
        "a test of the restore",
    ]);
    let mut alone = alone;
    let alone = alone.output().expect("run");
    assert_eq!(alone.status.code(), Some(3), "a restore needs two people: {}", said(&alone));
    stage.run(&["audit", "verify"]).expect("every log verifies");
}
