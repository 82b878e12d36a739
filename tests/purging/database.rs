//! Purging a customer that has a database of its own.

use portreeve::cli::demo::cluster::{Cluster, Settings};
use portreeve::purge::{drop_database, target};

use super::ground::{cluster, maintenance, prepared};

#[tokio::test]
async fn a_database_goes_with_its_sessions_and_what_is_remembered_of_it() {
    let cluster = cluster().await;
    cluster.run_sql("postgres", "create extension pg_stat_statements").await.expect("an extension");
    cluster.create_database("acme").await.expect("a database");
    cluster.seed("acme").await.expect("rows");
    prepared(&cluster, "postgres").await;
    cluster.run_sql("postgres", "grant app to portreeve_maintenance").await.expect("granted");
    let road = maintenance(&cluster);
    let connection = road.connect("postgres").await.expect("a connection");
    let acme = target(&connection, "acme").await.expect("it is there");
    let dsn = cluster.superuser_dsn("acme");
    let (client, driver) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.expect("a connection");
    let driver = tokio::spawn(driver);
    client.batch_execute("select 1").await.expect("a session");

    client.query("select pg_create_logical_replication_slot('copying', 'test_decoding')", &[]).await.expect("a slot");
    let refused = drop_database(&road, "postgres", &acme).await.expect_err("a slot is in the way").to_string();
    assert!(refused.contains("replication slot copying"), "{refused}");
    client.query("select pg_drop_replication_slot('copying')", &[]).await.expect("no slot");
    // only a superuser may end a superuser's session
    let refused = drop_database(&road, "postgres", &acme).await.expect_err("a session that stays").to_string();
    assert!(refused.contains("SUPERUSER") || refused.contains("superuser"), "{refused}");
    assert!(refused.contains("takes connections again"), "{refused}");
    client.query("select 1", &[]).await.expect("the session is as it was");
    drop(road.connect("acme").await.expect("and others come in"));
    drop(client);
    driver.await.expect("no panic").expect("a clean end");

    let dropped = drop_database(&road, "postgres", &acme).await.expect("dropped");
    assert!(dropped.was_there && dropped.bytes > 1 << 20, "{dropped:?}");
    assert_eq!(dropped.statements_gone, Some(true));
    let again = drop_database(&road, "postgres", &acme).await.expect("gone already");
    assert!(!again.was_there && again.statements_gone == Some(true));

    cluster.run_sql("postgres", "drop extension pg_stat_statements").await.expect("no extension");
    let unseen = drop_database(&road, "postgres", &acme).await.expect("gone already");
    assert_eq!(unseen.statements_gone, Some(false), "the library still remembers, and nobody can look");

    cluster.create_database("acme").await.expect("a new customer of that name");
    let refused = drop_database(&road, "postgres", &acme).await.expect_err("another database").to_string();
    assert!(refused.contains("is another database now"), "{refused}");
    let missing = target(&connection, "nobody").await.expect_err("no such database").to_string();
    assert!(missing.contains("there is no database \"nobody\""), "{missing}");
}

/// Somebody gives the name to another database again and again while it is dropped: that one always stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_gets_the_name_meanwhile_is_never_dropped() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let cluster = Arc::new(cluster().await);
    prepared(&cluster, "postgres").await;
    cluster.run_sql("postgres", "grant app to portreeve_maintenance").await.expect("granted");
    let road = maintenance(&cluster);
    let connection = road.connect("postgres").await.expect("a connection");
    let (mut dropped, mut refused) = (0, 0);
    for round in 0..10 {
        if round >= 3 && refused > 0 {
            break;
        }
        cluster.create_database("acme").await.expect("a database");
        cluster.create_database("other").await.expect("another");
        let acme = target(&connection, "acme").await.expect("it is there");
        let other = target(&connection, "other").await.expect("it is there");
        let stop = Arc::new(AtomicBool::new(false));
        let (renamed, mut first) = tokio::sync::watch::channel(0_u32);
        let renaming = {
            let (cluster, stop) = (Arc::clone(&cluster), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // each may fail: it is being dropped, or somebody is connected
                    let swap = [("acme", "old"), ("other", "acme"), ("acme", "other"), ("old", "acme")];
                    for (from, to) in swap {
                        let sql = format!("alter database {from} rename to {to}");
                        let is_done = cluster.run_sql("postgres", &sql).await.is_ok();
                        renamed.send_modify(|count| *count += u32::from(is_done));
                    }
                }
            })
        };
        first.wait_for(|count| *count > 0).await.expect("a name is swapped");
        let ended = drop_database(&road, "postgres", &acme).await;
        let is_dropped = ended.is_ok();
        match ended {
            Ok(_) => dropped += 1,
            Err(why) => {
                let why = why.to_string();
                let of_names = ["is another database now", "has another name now", "\"acme\" does not exist (3D000)"];
                assert!(of_names.iter().any(|one| why.contains(one)), "round {round}: for another reason: {why}");
                refused += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        renaming.await.expect("no panic");
        let there = format!("select 1 from pg_database where oid = {}", acme.oid);
        let is_there = !cluster.run_sql("postgres", &there).await.expect("asked").is_empty();
        assert_eq!(is_there, !is_dropped, "round {round}: what was said of it");
        let left = format!("select datname from pg_database where oid = {}", other.oid);
        let left = cluster.run_sql("postgres", &left).await.expect("asked").concat();
        let [Some(name)] = left.as_slice() else { panic!("round {round}: the other database is gone") };
        for name in [name.as_str(), "acme", "old", "other"] {
            cluster.run_sql("postgres", &format!("drop database if exists {name} with (force)")).await.expect("clean");
        }
    }
    assert!(refused > 0, "no round saw a swap: {dropped} were dropped");
}

#[tokio::test]
async fn a_road_to_one_server_leads_to_no_other() {
    // made anew: those of the cache are copies of one
    let anew = Cluster::start(Settings::default());
    let (one, other) = tokio::join!(cluster(), anew);
    let other = other.expect("another server");
    for cluster in [&one, &other] {
        prepared(cluster, "postgres").await;
        cluster.create_database("acme").await.expect("a database");
    }
    let server = maintenance(&one).connect("postgres").await.expect("a connection").server().await.expect("an answer");
    let acme = target(&maintenance(&other).connect("postgres").await.expect("a connection"), "acme").await;
    let swapped = maintenance(&other).only(&server);
    let refused = drop_database(&swapped, "postgres", &acme.expect("it is there")).await.expect_err("another server");
    assert!(refused.to_string().contains("another server answers"), "{refused}");
    maintenance(&other).connect("postgres").await.expect("untouched");
    let there = other.run_sql("postgres", "select 1 from pg_database where datname = 'acme'").await.expect("asked");
    assert_eq!(there.len(), 1, "it stays");
    maintenance(&one).only(&server).connect("postgres").await.expect("the one it is");
}
