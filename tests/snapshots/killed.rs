//! The daemon is killed while it takes a snapshot: what is left is listed as failed, and goes.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::clock::SystemClock;
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::secret::Secret;
use portreeve::snapshots::{About, Deleted, Named, Order, Programs, State, Store, Upstream};

use crate::ground::{Ground, cluster_back_end, instance, now};

const AT: &str = "PORTREEVE_TEST_SNAPSHOT_AT";

/// Not a test of its own: the daemon that is killed. It goes on until somebody does.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by kill_the_daemon_and_its_snapshot_is_a_failed_one"]
async fn a_daemon_to_be_killed() {
    let at = std::env::var(AT).expect("where");
    let mut at = at.split('|');
    let mut next = || at.next().expect("a word").to_owned();
    let (store, port, ca, private, bin) = (next(), next(), next(), next(), next());
    let upstream = Upstream {
        host: "127.0.0.1".to_owned(),
        port: port.parse().expect("a port"),
        user: "portreeve_snapshot".to_owned(),
        password: Secret::new(r"a:b\c d'e".to_owned()),
        ca: ca.into(),
        certificate: None,
        database: "postgres".to_owned(),
        private: private.into(),
    };
    let about = About::ask(&upstream, None).await.expect("it answers");
    let store = Store::open(Arc::new(RealDisk), Path::new(&store), instance()).expect("a store");
    let lease = store.lease().expect("the lead");
    let (id, started) = (Order::fresh_id(&OsEntropy), now());
    let order =
        Order { id, started, slot: None, recipient: [9; 32], customers: Vec::new(), bytes_per_second_max: None };
    let programs = Programs::in_directory(Path::new(&bin));
    let taken = tokio::task::block_in_place(|| {
        let mut watch = |progress: portreeve::snapshots::Progress| {
            println!("\ntaken {}", progress.bytes);
            if progress.bytes > 0 {
                // Whoever reads the line above kills us; if nobody does, we end by ourselves.
                std::thread::sleep(Duration::from_secs(60));
            }
            ControlFlow::Continue(())
        };
        let (back_end, clock, entropy) = (cluster_back_end(), &SystemClock, &OsEntropy);
        store.take(&lease, &back_end, &programs, &upstream, &about, &order, clock, entropy, &mut watch)
    });
    unreachable!("it was not killed: {taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_the_daemon_and_its_snapshot_is_a_failed_one() {
    let ground = Ground::new().await;
    let upstream = ground.upstream();
    let bin = portreeve::cli::demo::cluster::postgres_bin().expect("PostgreSQL");
    let words = [ground.store.dir(), Path::new(&upstream.port.to_string()), &upstream.ca, &upstream.private, &bin]
        .map(|word| word.display().to_string())
        .join("|");
    let mut daemon = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture", "killed::a_daemon_to_be_killed"])
        .env(AT, words)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let output = BufReader::new(daemon.stdout.take().expect("a pipe"));
    let is_writing = |line: &String| line.strip_prefix("taken ").is_some_and(|bytes| bytes != "0");
    output.lines().map_while(Result::ok).find(is_writing).expect("it takes a snapshot");
    let running = ground.ours();
    let running = running.first().expect("one");
    assert_eq!(running.state, State::Running);
    assert!(processes_with(&running.header.id().to_string()) > 0, "pg_basebackup is known by the snapshot's id");
    assert!(ground.store.lease().is_err(), "it leads");
    daemon.kill().expect("still ours");
    daemon.wait().expect("killed");

    let left = ground.ours();
    let failed = left.first().expect("one");
    assert_eq!(failed.state, State::Failed);
    let lease = ground.store.lease().expect("the lead is free");
    assert_eq!(lease.token(), 2);
    let named = Named { id: failed.header.id(), started: failed.header.started() };
    assert_eq!(ground.store.delete(&lease, &named).expect("deleted"), Deleted::Removed);
    ground.store.confirm_absent(named.id, &SystemClock).expect("gone");

    // Its own child saw the pipe break.
    let id = named.id.to_string();
    let killed = Instant::now();
    while processes_with(&id) > 0 {
        assert!(killed.elapsed() < Duration::from_secs(10), "pg_basebackup outlived the daemon");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many processes have that word in their command line.
fn processes_with(word: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
}
