//! A streaming replica: no purge is claimed before it has replayed it, neither while it lags nor while it is away.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::{Cluster, postgres_bin};
use portreeve::cli::demo::stage::{SHARED_DATABASE, said};
use portreeve::grant::{AccountStep, SnapshotStep, Stage};
use portreeve::purge::Road;
use portreeve::retention::certificate::Findings;
use portreeve::retentiond::closing::{Turned, turn};
use portreeve::secret::Secret;
use tokio_postgres::{Client, NoTls};

use super::ground::Ground;

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
    async fn of(cluster: &Cluster) -> Replica {
        let hba = cluster.directory().join("data/pg_hba.conf");
        let lines = fs::read_to_string(&hba).expect("pg_hba.conf");
        fs::write(&hba, format!("local replication postgres trust\n{lines}")).expect("written");
        cluster.run_sql("postgres", "select pg_reload_conf()").await.expect("reloaded");
        let (data, socket) = (cluster.directory().join("copy"), cluster.socket_directory());
        let road = format!("host={} port={} user=postgres application_name=copy", socket.display(), cluster.port());
        let copy =
            as_owner(&cluster.directory().join("data"), &postgres_bin().expect("PostgreSQL").join("pg_basebackup"))
                .args([
                    "-D",
                    &data.to_string_lossy(),
                    "-R",
                    "-C",
                    "-S",
                    "copy",
                    "-X",
                    "stream",
                    "-c",
                    "fast",
                    "-d",
                    &road,
                ])
                .stdin(Stdio::null())
                .output()
                .expect("it runs");
        assert!(copy.status.success(), "{}", said(&copy));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_claimed_only_when_every_replica_has_replayed_it() {
    let ground = Ground::new().await;
    let mut replica = Replica::of(&ground.stage.cluster).await;
    let client = replica.start().await;
    assert_eq!(rows(&client).await, 1200);
    ground.close("initech").await;
    ground.account("initech", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;

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
    let mut replica = Replica::of(&ground.stage.cluster).await;
    drop(replica.start().await);
    ground.close("initech").await;
    ground.account("initech", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    replica.stop();
    let slot = "select count(pg_drop_replication_slot(slot_name)) from pg_replication_slots where not active";
    let until = Instant::now() + Duration::from_secs(20);
    while ground.column("postgres", slot).await != ["1"] {
        assert!(Instant::now() < until, "the primary holds on to it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let away = with_replica(&ground, &replica).await;
    let waits =
        |why: &String| why.contains("replica \"copy\" of cluster \"main\" cannot be asked whether it has replayed");
    assert!(away.troubles.iter().any(|(_, why)| waits(why)), "{away:?}");
    assert_eq!(ground.rows(7).await, "0", "it is purged");
    assert_eq!((ground.stage_of("initech"), ground.closure("initech").purge.verified), (Stage::Purging, None));

    let slot = "select count(*) from pg_create_physical_replication_slot('copy', true)";
    assert_eq!(ground.column("postgres", slot).await, ["1"]);
    let client = replica.start().await;
    let until = Instant::now() + Duration::from_secs(60);
    while ground.stage_of("initech") != Stage::LiveClean {
        let turned = with_replica(&ground, &replica).await;
        assert!(Instant::now() < until, "{turned:?}");
    }
    assert_eq!(rows(&client).await, 0, "it is gone on the replica when it is claimed");
}

/// A turn of a daemon that has the replica in its configuration.
async fn with_replica(ground: &Ground, replica: &Replica) -> Turned {
    let mut world = ground.world().await;
    let dsn = format!("host={} port={} user=postgres", replica.data.display(), replica.port);
    let road = Road::new(&Secret::new(dsn), None).expect("a road");
    let Some(Ok(upstream)) = world.upstreams.get_mut("main") else { unreachable!("the ground has one") };
    upstream.replicas.push(("copy".to_owned(), road));
    let turned = turn(&world, ground.now()).await.expect("a turn");
    world.acts.log.close().expect("the log closes");
    turned
}
