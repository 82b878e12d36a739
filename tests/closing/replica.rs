//! A streaming replica: no purge is claimed before it has replayed it, neither while it lags nor while it is away, nor if it
//! follows another timeline than the primary's.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::{Cluster, postgres_bin};
use portreeve::cli::demo::stage::{SHARED_DATABASE, said};
use portreeve::grant::{AccountStep, SnapshotStep, Stage};
use portreeve::purge::Road;
use portreeve::retention::certificate::Findings;
use portreeve::retentiond::closing::{Turned, turn};
use portreeve::secret::Secret;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use super::ground::Ground;

/// Whatever should happen soon happens within this.
const SOON: Duration = Duration::from_secs(60);

/// Starts a server that ends with its own standard input, which is ours.
const WATCHER: &str = r#"
"$1" -D "$2" -c port="$3" -c unix_socket_directories="$4" -c listen_addresses= </dev/null >"$2.log" 2>&1 & server=$!
while read -r word; do :; done
kill -QUIT "$server" 2>/dev/null
wait "$server"
"#;

/// A copy of a cluster that follows it.
struct Replica {
    data: PathBuf,
    port: u16,
    watcher: Option<Child>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A command as whoever the cluster runs as.
fn as_owner(data: &Path, program: &Path) -> Command {
    let owner = fs::metadata(data).expect("a folder");
    let mut command = Command::new(program);
    command.uid(owner.uid()).gid(owner.gid()).current_dir("/");
    command
}

impl Replica {
    /// Copies the cluster, with a slot of its own there.
    async fn of(cluster: &Cluster, name: &str) -> Replica {
        let hba = cluster.directory().join("data/pg_hba.conf");
        let lines = fs::read_to_string(&hba).expect("pg_hba.conf");
        fs::write(&hba, format!("local replication postgres trust\n{lines}")).expect("written");
        cluster.run_sql("postgres", "select pg_reload_conf()").await.expect("reloaded");
        Replica::at(cluster, &cluster.socket_directory(), name)
    }

    /// Copies the server that has its socket there, with a slot of its own there.
    fn at(cluster: &Cluster, socket: &Path, name: &str) -> Replica {
        let data = cluster.directory().join(name);
        let road = format!("host={} port={} user=postgres application_name={name}", socket.display(), cluster.port());
        let program = postgres_bin().expect("PostgreSQL").join("pg_basebackup");
        let copy = as_owner(&cluster.directory().join("data"), &program)
            .args(["-R", "-C", "-S", name, "-X", "stream", "-c", "fast", "-d", &road, "-D", &data.to_string_lossy()])
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        assert!(copy.status.success(), "{}", said(&copy));
        // Of a server whose socket is in its data directory, the lock is copied as well.
        let lock = data.join(format!(".s.PGSQL.{}.lock", cluster.port()));
        if lock.exists() {
            fs::remove_file(lock).expect("removed");
        }
        Replica { data, port: cluster.port(), watcher: None }
    }

    /// Starts it, and waits until it answers.
    async fn start(&mut self) -> Client {
        let server = postgres_bin().expect("PostgreSQL").join("postgres");
        let mut watcher = as_owner(&self.data, Path::new("/bin/sh"));
        watcher.args(["-c", WATCHER, "watcher"]).arg(server).arg(&self.data).arg(self.port.to_string()).arg(&self.data);
        self.watcher = Some(watcher.process_group(0).stdin(Stdio::piped()).spawn().expect("it runs"));
        let began = Instant::now();
        let road = format!("host={} port={} user=postgres dbname={SHARED_DATABASE}", self.data.display(), self.port);
        loop {
            match tokio_postgres::connect(&road, NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) => {
                    let log = fs::read_to_string(self.data.with_extension("log")).unwrap_or_default();
                    assert!(began.elapsed() < Duration::from_secs(30), "{error}: {log}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn stop(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            watcher.wait().expect("it ends");
        }
    }
}

async fn rows(replica: &Client) -> i64 {
    let sql = "select (select count(*) from contacts where tenant_id = 7) + (select count(*) from orders where tenant_id = 7)";
    replica.query_one(sql, &[]).await.expect("counted").get(0)
}

/// Closes an account whose rows may go at once.
async fn close(ground: &Ground) {
    ground.close("initech").await;
    ground.account("initech", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_claimed_only_when_every_replica_has_replayed_it() {
    let ground = Ground::new().await;
    let mut replica = Replica::of(&ground.stage.cluster, "copy").await;
    let client = replica.start().await;
    assert_eq!(rows(&client).await, 1200);
    close(&ground).await;

    client.batch_execute("select pg_wal_replay_pause()").await.expect("it lags from now on");
    let lags = ground.turn().await;
    let waits = |why: &String| why.contains("has not replayed the purge yet");
    assert!(lags.troubles.iter().any(|(_, why)| waits(why)), "{lags:?}");
    assert_eq!(ground.rows(7).await, "0", "it is purged");
    assert_eq!(rows(&client).await, 1200, "not there");
    assert_eq!((ground.stage_of("initech"), ground.closure("initech").purge.verified), (Stage::Purging, None));

    drop(client);
    replica.stop();
    let away = ground.turn().await;
    assert!(away.troubles.iter().any(|(_, why)| waits(why)), "one that is away has not replayed it: {away:?}");
    assert_eq!((ground.stage_of("initech"), ground.closure("initech").purge.verified), (Stage::Purging, None));

    let client = replica.start().await;
    let before = ground.now();
    ground.well().await;
    assert_eq!(rows(&client).await, 0, "it is gone on the replica when it is claimed");
    assert_eq!(ground.stage_of("initech"), Stage::LiveClean);
    let verified = ground.closure("initech").purge.verified.map(|(at, rows, _)| (at >= before, rows));
    assert_eq!(verified, Some((true, 1200)), "what was begun before that moment counts as dirty");
    let verdict = ground.verified("initech");
    assert_eq!(verdict.findings, []);
    let Findings::Live(live) = &verdict.parts.first().expect("part 1").body.findings else {
        unreachable!("part 1 is about live rows")
    };
    assert!(live.replicas.iter().any(|replica| format!("{replica:?}").contains("copy")), "{:?}", live.replicas);
}

/// The primary knows nothing of a replica that is away and has no slot. One that is configured is asked itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_configured_is_asked_whether_the_primary_knows_of_it_or_not() {
    let ground = Ground::new().await;
    let mut replica = Replica::of(&ground.stage.cluster, "copy").await;
    drop(replica.start().await);
    close(&ground).await;
    replica.stop();
    let slot = "select count(pg_drop_replication_slot(slot_name)) from pg_replication_slots where not active";
    let until = Instant::now() + Duration::from_secs(20);
    while ground.column("postgres", slot).await != ["1"] {
        assert!(Instant::now() < until, "the primary holds on to it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let away = with_reader(&ground, None, ("copy", &replica.data)).await;
    let waits =
        |why: &String| why.contains("replica \"copy\" of cluster \"main\" cannot be asked whether it has replayed");
    assert!(away.troubles.iter().any(|(_, why)| waits(why)), "{away:?}");
    assert_eq!(ground.rows(7).await, "0", "it is purged");
    assert_eq!((ground.stage_of("initech"), ground.closure("initech").purge.verified), (Stage::Purging, None));

    let slot = "select count(*) from pg_create_physical_replication_slot('copy', true)";
    assert_eq!(ground.column("postgres", slot).await, ["1"]);
    let client = replica.start().await;
    let (silent, is_asked) = falls_silent(&replica);
    let turned = timeout(SOON, with_reader(&ground, None, ("copy", silent.path()))).await.expect("a turn ends");
    let waits = |why: &String| {
        why.contains("replica \"copy\" of cluster \"main\" cannot be asked")
            && why.contains("does not answer within 10s")
    };
    assert!(is_asked.load(Ordering::Acquire) && turned.troubles.iter().any(|(_, why)| waits(why)), "{turned:?}");
    assert_eq!(ground.stage_of("initech"), Stage::Purging);

    let until = Instant::now() + SOON;
    while ground.stage_of("initech") != Stage::LiveClean {
        let turned = with_reader(&ground, None, ("copy", &replica.data)).await;
        assert!(Instant::now() < until, "{turned:?}");
    }
    assert_eq!(rows(&client).await, 0, "it is gone on the replica when it is claimed");
}

/// A folder with a socket to the replica, which is silent from the question on how far it is; and whether it came to that.
fn falls_silent(replica: &Replica) -> (TempDir, Arc<AtomicBool>) {
    const QUESTION: &[u8] = b"pg_last_wal_replay_lsn";
    let (folder, name) = (tempfile::tempdir().expect("a folder"), format!(".s.PGSQL.{}", replica.port));
    let (listener, there) = (UnixListener::bind(folder.path().join(&name)).expect("bound"), replica.data.join(name));
    let is_asked = Arc::new(AtomicBool::new(false));
    let asks_now = Arc::clone(&is_asked);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut asks, mut hears) = client.into_split();
            let asks_now = Arc::clone(&asks_now);
            let (mut answers, mut takes) = UnixStream::connect(&there).await.expect("it runs").into_split();
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut hears).await });
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while asks.read_buf(&mut asked).await.expect("read") > 0 {
                    if asked.windows(QUESTION.len()).any(|bytes| bytes == QUESTION) {
                        asks_now.store(true, Ordering::Release);
                        std::future::pending::<()>().await;
                    }
                    takes.write_all(&asked).await.expect("written");
                    asked.clear();
                }
            });
        }
    });
    (folder, is_asked)
}

/// A turn of a daemon that has the replica, whose socket is there, in its configuration; and another server than the stage's
/// as its primary.
async fn with_reader(ground: &Ground, primary: Option<&Replica>, (name, socket): (&str, &Path)) -> Turned {
    let road = |socket: &Path| {
        let port = ground.stage.cluster.port();
        let dsn = format!("host={} port={port} user=portreeve_maintenance", socket.display());
        Road::new(&Secret::new(dsn), None).expect("a road")
    };
    let mut world = ground.world().await;
    let Some(Ok(upstream)) = world.upstreams.get_mut("main") else { unreachable!("the ground has one") };
    if let Some(primary) = primary {
        upstream.road = road(&primary.data);
    }
    upstream.replicas.push((name.to_owned(), road(socket)));
    let turned = turn(&world, ground.now()).await.expect("a turn");
    world.acts.log.close().expect("the log closes");
    turned
}

/// What the server answers to a question of yes or no.
async fn is_so(server: &Client, sql: &str) -> bool {
    server.query_one(sql, &[]).await.expect(sql).get(0)
}

/// After a failover the reader still follows the old primary, which went on past the purge's position: that number says
/// nothing about the new one's log.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_on_another_timeline_has_replayed_nothing_of_the_purge() {
    let ground = Ground::new().await;
    let cluster = &ground.stage.cluster;
    let (mut one, mut two) = (Replica::of(cluster, "one").await, Replica::of(cluster, "two").await);
    let (promoted, left) = (one.start().await, two.start().await);
    close(&ground).await;
    assert!(is_so(&promoted, "select pg_promote(true, 30)").await);
    for _ in 0..4 {
        ground.column("postgres", "select pg_logical_emit_message(true, 'a test', 'it goes on')").await;
        ground.column("postgres", "select pg_switch_wal()").await;
    }
    let old = ground.column("postgres", "select pg_current_wal_lsn()").await.concat();
    let (replayed, until) = (format!("select pg_last_wal_replay_lsn() >= '{old}'"), Instant::now() + SOON);
    while !is_so(&left, &replayed).await {
        assert!(Instant::now() < until, "it does not replay what its primary has");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let astray = with_reader(&ground, Some(&one), ("reader", &two.data)).await;
    let waits = |why: &String| why.contains("reader: it follows timeline 1, and the primary is on timeline 2");
    assert!(astray.troubles.iter().any(|(_, why)| waits(why)), "{astray:?}");
    assert!(is_so(&promoted, &format!("select pg_current_wal_lsn() < '{old}'")).await, "its numbers alone say more");
    assert_eq!((rows(&promoted).await, rows(&left).await), (0, 1200));
    assert_eq!((ground.stage_of("initech"), ground.closure("initech").purge.verified), (Stage::Purging, None));

    let mut three = Replica::at(cluster, &one.data, "three");
    let follows = three.start().await;
    let until = Instant::now() + SOON;
    while ground.stage_of("initech") != Stage::LiveClean {
        let turned = with_reader(&ground, Some(&one), ("reader", &three.data)).await;
        assert!(Instant::now() < until, "{turned:?}");
    }
    assert_eq!(rows(&follows).await, 0, "it is gone on the replica when it is claimed");
}
