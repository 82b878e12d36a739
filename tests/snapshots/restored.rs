//! What comes back is what was there: every row of every table.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use portreeve::cli::demo::cluster::{Cluster, postgres_bin};
use portreeve::clock::SystemClock;
use portreeve::secret::Secret;
use portreeve::snapshots::{Deleted, Error, Kind, Named, State, Target, read_private_key};

use crate::ground::{Ground, cluster_back_end, dump_of, now, on};

/// Every row of every table, as text, in an order of its own.
const ROWS: &str = "select tablename, (xpath('/row/rows/text()', query_to_xml(format('select md5(string_agg(t::text, \
                    chr(10) order by t::text)) || count(*) as rows from %I t', tablename), false, true, '')))[1]::text \
                    from pg_tables where schemaname = 'public' order by 1";

async fn rows(cluster: &Cluster, database: &str) -> Vec<Vec<Option<String>>> {
    let rows = cluster.run_sql(database, ROWS).await.expect("rows");
    assert!(rows.len() >= 4, "{rows:?}");
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_comes_back_row_by_row() {
    let ground = Ground::new().await;
    let before = now();
    let order = ground.order(None);
    let taken = ground.take(&dump_of("acme"), &order).await.expect("taken");
    assert_eq!(taken.header.kind, Kind::PgDump);
    assert!(taken.header.started() >= before && taken.foot.finished >= taken.header.started());
    assert!(taken.foot.parts > 10, "entries: {}", taken.foot.parts);
    let by_server = taken.header.source_started().expect("it has a clock").0;
    assert!((by_server - taken.header.started().0).abs() < 60_000_000, "the same machine's clock");

    let stored = fs::read(ground.path(order.id)).expect("the file");
    assert!(!stored.windows(4).any(|window| window == b"acme"), "no customer's name in the clear");
    assert!(!stored.windows(5).any(|window| window == b"PGDMP"), "no dump in the clear");
    let mode = fs::metadata(ground.path(order.id)).expect("the file").permissions().mode();
    assert_eq!(mode & 0o007, 0, "others may not read it: {mode:o}");
    assert_eq!(fs::read_dir(ground.dir.path().join("run")).expect("listed").count(), 0, "a password file was left");

    let verified = ground.store.verify(order.id, &ground.private, &ground.programs(), &mut on).expect("verified");
    assert_eq!(verified.names.database, "acme");
    assert_eq!(verified.names.customers().map(|customer| customer.0).collect::<Vec<_>>(), [7, 8]);
    ground.store.check_stored(order.id, &mut on).expect("without a key");

    let cluster = &ground.cluster;
    cluster.run_sql("postgres", "create role restorer superuser login password 'r'").await.expect("a role");
    let hba = cluster.directory().join("data/pg_hba.conf");
    let lines = fs::read_to_string(&hba).expect("readable");
    fs::write(&hba, format!("hostssl all restorer 127.0.0.1/32 scram-sha-256\n{lines}")).expect("writable");
    cluster.run_sql("postgres", "select pg_reload_conf()").await.expect("reloaded");
    cluster.create_database("copy").await.expect("a database");
    let mut upstream = ground.upstream();
    (upstream.user, upstream.password) = ("restorer".to_owned(), Secret::new("r".to_owned()));
    let target = Target::Database { upstream: &upstream, database: "copy" };
    ground.store.restore(order.id, &ground.private, &ground.programs(), &target, &mut on).expect("restored");
    assert_eq!(rows(cluster, "copy").await, rows(cluster, "acme").await);
    assert_ne!(rows(cluster, "copy").await, rows(cluster, "globex").await);

    // A second time it is in its own way: nothing is committed, and it says so.
    let again = ground.store.restore(order.id, &ground.private, &ground.programs(), &target, &mut on);
    let said = again.expect_err("the tables are there").to_string();
    assert!(said.contains("already exists"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_comes_back_as_a_server() {
    let ground = Ground::new().await;
    let expected = (rows(&ground.cluster, "acme").await, rows(&ground.cluster, "globex").await);
    let order = ground.order(None);
    let taken = ground.take(&cluster_back_end(), &order).await.expect("taken");
    assert_eq!(taken.header.kind, Kind::PgBaseBackup);
    assert!(taken.foot.parts > 500, "files: {}", taken.foot.parts);
    ground.store.verify(order.id, &ground.private, &ground.programs(), &mut on).expect("verified");

    let key = ground.dir.path().join("snapshot.key");
    let digits = ground.private.expose().map(|byte| format!("{byte:02x}")).concat();
    fs::write(&key, format!("{digits}\n")).expect("written");
    let exposed = read_private_key(&key).expect_err("others may read it").to_string();
    assert!(exposed.contains("chmod 0400"), "{exposed}");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o400)).expect("closed");
    let private = read_private_key(&key).expect("a key");

    let data = ground.cluster.directory().join("restored");
    let target = Target::Directory(&data);
    ground.store.restore(order.id, &private, &ground.programs(), &target, &mut on).expect("restored");
    let filled = ground.store.restore(order.id, &private, &ground.programs(), &target, &mut on);
    assert!(matches!(filled, Err(Error::Refused(_))), "{filled:?}");

    // The original goes away; the copy takes its place.
    let mut cluster = ground.cluster;
    cluster.stop();
    let original = cluster.directory().join("data");
    let owner = fs::metadata(&original).expect("the data");
    give(&data, owner.uid(), owner.gid());
    fs::rename(&original, cluster.directory().join("original")).expect("moved");
    fs::rename(&data, &original).expect("moved");
    cluster.start_again().await.expect("the restored server starts");
    assert_eq!((rows(&cluster, "acme").await, rows(&cluster, "globex").await), expected);
}

fn give(path: &Path, uid: u32, gid: u32) {
    chown(path, Some(uid), Some(gid)).expect("given");
    if path.is_dir() {
        fs::read_dir(path).expect("listed").for_each(|entry| give(&entry.expect("an entry").path(), uid, gid));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_deleted_as_meant_and_seen_to_be_gone() {
    let ground = Ground::new().await;
    let (first, second) = (ground.order(None), ground.order(None));
    ground.take(&dump_of("acme"), &first).await.expect("taken");
    ground.take(&dump_of("globex"), &second).await.expect("taken");
    let ours = ground.ours();
    assert_eq!(ours.len(), 2);
    assert!(ours.iter().all(|ours| matches!(ours.state, State::Complete(_))));
    assert_ne!(ours[0].header.series, ours[1].header.series, "another database is another series");

    let found = ground.store.find(first.id).expect("found");
    let named = Named { id: first.id, started: found.header.started() };
    let there = ground.store.confirm_absent(first.id, &SystemClock).expect_err("it is there");
    assert!(matches!(there, Error::StillThere { .. }), "{there}");
    let lease = ground.store.lease().expect("the lead");
    let other = Named { id: first.id, started: now() };
    let changed = ground.store.delete(&lease, &other).expect_err("another start");
    assert!(matches!(changed, Error::Changed { .. }), "{changed}");
    assert_eq!(ground.ours().len(), 2);
    assert_eq!(ground.store.delete(&lease, &named).expect("deleted"), Deleted::Removed);
    assert_eq!(ground.store.delete(&lease, &named).expect("again"), Deleted::WasGone);
    assert_eq!(ground.store.confirm_absent(first.id, &SystemClock).expect("gone").id(), first.id);
    assert_eq!(ground.ours().iter().map(|ours| ours.header.id()).collect::<Vec<_>>(), [second.id]);
}

/// Runs one of PostgreSQL's programs as the superuser over the socket; its standard output.
pub(crate) fn as_superuser(cluster: &Cluster, program: &str, arguments: &[&str]) -> Vec<u8> {
    let bin = postgres_bin().expect("PostgreSQL");
    let socket = cluster.directory().join("socket");
    let owner = fs::metadata(cluster.directory().join("data")).expect("the data");
    let output = Command::new(bin.join(program))
        .args(["-h", &socket.to_string_lossy(), "-p", &cluster.port().to_string(), "-U", "postgres"])
        .args(arguments)
        .uid(owner.uid())
        .gid(owner.gid())
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
