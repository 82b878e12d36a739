//! One customer's archive, taken back in: every row is the same.

use std::process::{Command, Stdio};

use portreeve::cli::demo::cluster::postgres_bin;
use portreeve::datamap::{DataMap, Layout};
use portreeve::purge::{Manifest, Schema, archive};
use serde_json::Value;

use super::ground::{Ground, MAP, ROWS, cluster, connect, map};

/// Unpacks with tar and loads with psql, as a customer would.
fn loaded(ground: &portreeve::cli::demo::cluster::Cluster, bytes: &[u8], database: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("archive.tar");
    std::fs::write(&file, bytes).expect("written");
    let unpacked =
        Command::new("tar").args(["-xf"]).arg(&file).arg("-C").arg(directory.path()).status().expect("tar runs");
    assert!(unpacked.success());
    let text = std::fs::read_to_string(directory.path().join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&text).expect("json");
    let psql = |arguments: &[&str], input: Stdio| {
        let mut command = Command::new("psql");
        command
            .args(["-qX", "-v", "ON_ERROR_STOP=1", "-d", &ground.superuser_dsn(database)])
            .args(arguments)
            .stdin(input);
        let done = command.output().expect("psql runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    psql(&["-c", "drop schema public; create schema public"], Stdio::null());
    let schema = std::fs::read_to_string(directory.path().join("schema.sql")).expect("a schema");
    std::fs::write(directory.path().join("schema.sql"), schema.replace("CREATE SCHEMA public;", "")).expect("written");
    psql(&["-f", directory.path().join("schema.sql").to_str().expect("text")], Stdio::null());
    for (number, table) in manifest.get("tables").and_then(Value::as_array).expect("tables").iter().enumerate() {
        let name = table.get("table").and_then(Value::as_str).expect("a name");
        let columns: Vec<&str> =
            table.get("columns").and_then(Value::as_array).expect("columns").iter().filter_map(Value::as_str).collect();
        for part in 1..=table.get("parts").and_then(Value::as_u64).expect("parts") {
            let part = directory.path().join(format!("tables/{number}/{part:08}.copy"));
            let input = std::fs::File::open(&part).expect("a part");
            psql(&["-c", &format!("copy {name} ({}) from stdin", columns.join(", "))], Stdio::from(input));
        }
    }
    let last = directory.path().join("constraints.sql");
    if last.exists() {
        psql(&["-f", last.to_str().expect("text")], Stdio::null());
    }
    directory
}

async fn archived(
    connection: &mut portreeve::purge::Connection,
    customer: &str,
    schema: &Schema,
    text: &str,
) -> (Manifest, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut told = 0;
    let manifest = archive(connection, &map(text), customer, (schema, None), &mut bytes, &mut |_, rows| told += rows)
        .await
        .expect("an archive");
    assert_eq!(told, manifest.rows());
    (manifest, bytes)
}

#[tokio::test]
async fn one_customers_rows_come_back_the_same() {
    let ground = Ground::with(
        "update contacts set email = E'odd\\\\t\\n\\\\N ' || id where id = 4;
         alter table history add loud text generated always as (upper(what)) stored;
         set role app; update contacts set photo = lo_from_bytea(0, convert_to('a picture', 'UTF8')) where id = 7; reset role",
    )
    .await;
    let text = MAP.replace("what = \"behaviour\" }", "what = \"behaviour\", loud = \"behaviour\" }");
    let (manifest, bytes) = archived(&mut ground.connection().await, "2", &Schema::Generated, &text).await;
    let counts: Vec<(&str, u64)> =
        manifest.tables.iter().map(|table| (table.table.name.as_str(), table.rows)).collect();
    assert_eq!(counts, ROWS);
    assert_eq!(manifest.large_objects.len(), 1);
    assert_eq!(manifest.large_objects[0].bytes, 9);
    ground.cluster.create_database("scratch").await.expect("a database");
    let directory = loaded(&ground.cluster, &bytes, "scratch");
    let object = directory.path().join(format!("large-objects/{}/00000001", manifest.large_objects[0].oid));
    assert_eq!(std::fs::read(object).expect("a picture"), b"a picture");
    for (sql, condition) in [
        ("select md5(string_agg(c::text, ',' order by id)) from contacts c", "where tenant_id = 2"),
        ("select md5(string_agg(o::text, ',' order by id)) from orders o", "where tenant_id = 2"),
        ("select md5(string_agg(e::text, ',' order by e::text)) from events e", "where tenant_id = 2"),
        (
            "select md5(string_agg(l::text, ',' order by l.id)) from lines l join orders o on o.id = order_id",
            "where tenant_id = 2",
        ),
    ] {
        let original = ground.column(&format!("{sql} {condition}")).await;
        let copy = ground.cluster.run_sql("scratch", sql).await.expect(sql);
        assert_eq!(copy, [original.into_iter().map(Some).collect::<Vec<_>>()], "{sql}");
    }
    let (nobody, bytes) =
        archived(&mut connect(&ground.cluster, "shared").await, "77", &Schema::Generated, &text).await;
    assert_eq!(nobody.rows(), 0);
    ground.cluster.create_database("empty").await.expect("a database");
    loaded(&ground.cluster, &bytes, "empty");
}

#[tokio::test]
async fn a_whole_database_comes_back_with_keys_and_indexes() {
    let cluster = cluster().await;
    cluster.create_database("acme").await.expect("a database");
    cluster.seed("acme").await.expect("rows");
    // one by its type, one through a domain as the extension lo has, one that nothing names
    let pictures = "create domain lo as oid; create table pictures (id int primary key, picture oid, other lo); \
                    insert into pictures values (1, lo_from_bytea(0, 'a face'), lo_from_bytea(0, 'a hand')); \
                    select lo_from_bytea(0, 'a foot')";
    cluster.run_sql("acme", pictures).await.expect("large objects");
    let program = postgres_bin().expect("postgresql").join("pg_dump");
    let schema = Schema::PgDump { program, dsn: cluster.superuser_dsn("acme"), password_file: None };
    let text = include_str!("../../config/datamap.toml");
    let (manifest, bytes) = archived(&mut connect(&cluster, "acme").await, "acme", &schema, text).await;
    assert_eq!(manifest.tables.len(), 5);
    cluster.create_database("scratch").await.expect("a database");
    let directory = loaded(&cluster, &bytes, "scratch");
    let read = |object: &portreeve::purge::Object| {
        let file = directory.path().join(format!("large-objects/{}/00000001", object.oid));
        String::from_utf8(std::fs::read(file).expect("an object")).expect("text")
    };
    let mut objects: Vec<String> = manifest.large_objects.iter().map(read).collect();
    objects.sort();
    assert_eq!(objects, ["a face", "a foot", "a hand"]);
    let restored: Vec<u32> = manifest.large_objects.iter().map(|object| object.oid).collect();
    let named = cluster.run_sql("scratch", "select picture from pictures union select other from pictures").await;
    let named: Vec<String> = named.expect("rows").into_iter().flatten().flatten().collect();
    assert_eq!(named.len(), 2);
    for oid in named {
        assert!(restored.contains(&oid.parse().expect("an oid")), "{oid}");
    }
    for sql in [
        "select md5(string_agg(c::text, ',' order by id)) from contacts c",
        "select md5(string_agg(i::text, ',' order by id)) from invoices i",
        "select string_agg(conname, ',' order by conname) from pg_constraint where connamespace = 'public'::regnamespace",
        "select string_agg(indexname, ',' order by indexname) from pg_indexes where schemaname = 'public'",
    ] {
        let (one, other) = (cluster.run_sql("acme", sql).await, cluster.run_sql("scratch", sql).await);
        assert_eq!(one.expect(sql), other.expect(sql), "{sql}");
    }
}

/// A schema's archive holds what its tables name, and nothing of the schema beside it.
#[tokio::test]
async fn a_schema_of_its_own_comes_with_its_large_objects() {
    let cluster = cluster().await;
    cluster.create_database("crm").await.expect("a database");
    let sql = "create domain lo as oid; create schema one; create schema two; \
               create table one.pictures (id int, picture lo); create table two.pictures (id int, picture oid); \
               insert into one.pictures values (1, lo_from_bytea(0, 'a face')), (2, 4294967295); \
               insert into two.pictures values (1, lo_from_bytea(0, 'a hand'))";
    cluster.run_sql("crm", sql).await.expect("schemas");
    // as the daemon's: no table of such a layout is named
    let whole = DataMap { layout: Layout::Database, tenant: None, tables: Default::default() };
    let (mut connection, mut bytes) = (connect(&cluster, "crm").await, Vec::new());
    let schema = (&Schema::Generated, Some("one"));
    let mut tell = |_: &_, _| {};
    let archiving = archive(&mut connection, &whole, "one", schema, &mut bytes, &mut tell);
    let manifest = archiving.await.expect("an archive");
    let sizes: Vec<u64> = manifest.large_objects.iter().map(|object| object.bytes).collect();
    assert_eq!(sizes, [6], "{manifest:?}");
    let rows: Vec<_> = manifest.tables.iter().map(|table| (table.table.schema.as_str(), table.rows)).collect();
    assert_eq!(rows, [("one", 2)]);
    assert!(bytes.windows(6).any(|window| window == b"a face"));
    assert!(!bytes.windows(6).any(|window| window == b"a hand"), "nobody else's");
}

/// Counts and forgets; holds the memory of this process to account.
struct Counting(u64);

impl tokio::io::AsyncWrite for Counting {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.0 += u64::try_from(bytes.len()).expect("a length");
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[tokio::test]
async fn two_million_rows_take_no_more_memory() {
    let cluster = cluster().await;
    let sql = "create unlogged table many (id int, tenant_id int, note text);
        insert into many select g, 7, repeat(md5(g::text), 2) from generate_series(1, 2000000) g";
    cluster.run_sql("shared", sql).await.expect("rows");
    let text = "version = 1\nlayout = \"shared\"\ntables.\"public.many\" = { tenant = \"tenant_id\", columns = { id = \
                \"none\", tenant_id = \"none\", note = \"none\" } }\n";
    let before = peak_kib();
    let mut sink = Counting(0);
    let mut connection = connect(&cluster, "shared").await;
    let manifest = archive(&mut connection, &map(text), "7", (&Schema::Generated, None), &mut sink, &mut |_, _| {})
        .await
        .expect("an archive");
    assert_eq!(manifest.rows(), 2_000_000);
    assert!(sink.0 > 140_000_000, "{} bytes", sink.0);
    let more = peak_kib() - before;
    println!("two million rows, {} MB: {more} KiB more memory", sink.0 / 1_000_000);
    assert!(more < 64 * 1024, "{more} KiB");
}
