//! Coverage and scan against real catalogs: the traps of a forgotten table, and five thousand tables.

use std::time::{Duration, Instant};

use portreeve::datamap::coverage::{Class, coverage};
use portreeve::datamap::propose::{Samples, propose};
use portreeve::datamap::{Category, Erase, Layout, Path};
use portreeve::purge::{catalog, samples};

use super::ground::{cluster, connect, map};

/// One table of each class.
const TRAPS: &str = "
create table tenants (id int primary key, name text);
create table users (id int primary key, tenant_id int not null references tenants, handle text, ip inet);
create index on users (tenant_id);
create table notes (id int primary key, user_id int references users, body text);
create table users_bak_2024 as select * from users;
create table events (tenant_id int not null, at date not null, what text) partition by range (at);
create table events_old partition of events for values from (minvalue) to ('2025-01-01');
create unlogged table sess (id int, account_id int);
create table blobs (id int primary key, payload jsonb);
create table countries (code text primary key);
create materialized view summary as select tenant_id, count(*) from users group by 1;
create extension postgres_fdw;
create server far foreign data wrapper postgres_fdw;
create foreign table remote (id int, tenant_id int) server far;
insert into tenants values (1, 'one');
insert into users select g, 1, 'person' || g || '@example.com', '192.0.2.1' from generate_series(1, 50) g;
";

#[tokio::test]
async fn every_trap_surfaces() {
    let cluster = cluster().await;
    cluster.run_sql("shared", TRAPS).await.expect("tables");
    let connection = connect(&cluster, "shared").await;
    let catalog = catalog(&connection).await.expect("a catalog");
    let found = coverage(None, &catalog);
    let classes: Vec<(String, Class)> = found.rows.iter().map(|row| (row.table.name.clone(), row.class)).collect();
    let expected = [
        ("blobs", Class::Opaque),
        ("countries", Class::Unclassified),
        ("events", Class::OrphanKey),
        ("notes", Class::ViaForeignKey),
        ("remote", Class::Foreign),
        ("sess", Class::OrphanKey),
        ("summary", Class::MaterialisedView),
        ("tenants", Class::DirectKey),
        ("users", Class::DirectKey),
        ("users_bak_2024", Class::OrphanKey),
    ];
    assert_eq!(classes, expected.map(|(name, class)| (name.to_owned(), class)));
    assert!(found.rows.iter().all(|row| !row.findings.is_empty()), "without a map nothing is covered");
    assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    assert!(found.warnings[0].starts_with("public.notes: foreign key notes_user_id_fkey has no index"));

    let samples = samples(&connection, &catalog).await.expect("samples");
    let proposal = propose(&catalog, &samples, None, None);
    let undecided: Vec<&str> = proposal.undecided.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(undecided, ["blobs", "countries", "remote", "tenants"]);
    let text = proposal.to_toml();
    assert!(!text.contains("example.com") && !text.contains("192.0.2"), "no sampled value is shown: {text}");
    let proposed = map(&text);
    let users = &proposed.tables[&"public.users".parse().expect("a name")];
    assert_eq!(users.columns["handle"], Category::Contact, "the values look like it, the name does not");
    assert_eq!(users.columns["ip"], Category::Network);
    assert!(
        matches!(&proposed.tables[&"public.notes".parse().expect("a name")].path, Path::Via(via) if via.columns == ["user_id"])
    );
    assert_eq!(proposed.tables[&"public.summary".parse().expect("a name")].erase, Erase::Refresh);
    let left: Vec<String> = coverage(Some(&proposed), &catalog)
        .rows
        .iter()
        .filter(|row| !row.findings.is_empty())
        .map(|row| row.table.name.clone())
        .collect();
    assert_eq!(left, ["blobs", "countries", "remote", "tenants"], "only what a person must decide is left");
}

#[tokio::test]
async fn the_shipped_maps_cover_the_demonstration() {
    let cluster = cluster().await;
    cluster.create_database("acme").await.expect("a database");
    cluster.seed("acme").await.expect("rows");
    cluster.run_sql("shared", include_str!("../../src/cli/demo/shared_data.sql")).await.expect("rows");
    for (database, text, layout) in [
        ("acme", include_str!("../../config/datamap.toml"), Layout::Database),
        ("shared", include_str!("../../config/datamap-shared.toml"), Layout::Shared),
    ] {
        let connection = connect(&cluster, database).await;
        let catalog = catalog(&connection).await.expect("a catalog");
        let found = coverage(Some(&map(text)), &catalog);
        assert!(found.is_complete() && !found.rows.is_empty(), "{found:#?}");
        let samples = samples(&connection, &catalog).await.expect("samples");
        assert_eq!(propose(&catalog, &samples, None, None).map.layout, layout, "the layout is guessed right");
    }
}

#[tokio::test]
async fn five_thousand_tables_take_less_than_two_seconds() {
    let cluster = cluster().await;
    let sql = "do $$ begin for n in 1..5000 loop
        execute format('create table t%s (id int, tenant_id int, a text, b jsonb, c timestamptz, d text, e numeric, f uuid)', n);
        if n > 1 then execute format('alter table t%s add up int', n); end if;
        if n % 100 = 0 then commit; end if;
    end loop; end $$";
    cluster.run_sql("shared", sql).await.expect("tables");
    let connection = connect(&cluster, "shared").await;
    let began = Instant::now();
    let catalog = catalog(&connection).await.expect("a catalog");
    let proposal = propose(&catalog, &Samples::new(), None, None);
    let found = coverage(Some(&proposal.map), &catalog);
    let took = began.elapsed();
    assert_eq!(found.rows.len(), 5000);
    assert!(found.is_complete());
    println!("coverage of 5,000 tables: {} ms", took.as_millis());
    assert!(took < Duration::from_secs(2), "{took:?}");
}
