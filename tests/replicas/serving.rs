//! Reading from a replica: who gets there, as whom, and how far behind it may be.

use std::time::{Duration, Instant};

use portreeve::audit::record::Kind;
use portreeve::cli::demo::stage::said;

use crate::ground::{Ground, SOON, Version, one, sign_in, words};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_served_by_a_replica_of_15() {
    is_served(Version::Fifteen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_served_by_a_replica_of_18() {
    is_served(Version::Eighteen).await;
}

async fn is_served(version: Version) {
    let ground = Ground::new(version, "15s").await;
    ground.stage.grant("acme", "read").expect("a grant");
    let session = ground.sign_in_soon("acme@reader").await;
    assert_eq!(one(&session.client, "select pg_is_in_recovery()").await, "t");
    assert_ne!(one(&session.client, "select count(*) from contacts").await, "0");
    let (role, roles) = (one(&session.client, "select session_user").await, ground.roles().await);
    assert_eq!(roles, std::slice::from_ref(&role), "the role is the primary's");
    assert_eq!(ground.backends().await, [session.pid.to_string()]);
    let refused = one(&session.client, "update contacts set full_name = ''").await;
    assert!(refused.starts_with("42501") || refused.starts_with("25006"), "{refused}");

    beside_the_primary(&ground).await;
    cancelled(&ground).await;
    watched(&ground).await;
    let begun = ground.records(Kind::SignedIn).await;
    let databases: Vec<_> = begun.iter().filter_map(|found| found.record.values.database.clone()).collect();
    assert!(databases.contains(&"acme@reader".to_owned()) && databases.contains(&"acme".to_owned()), "{databases:?}");
    drop(session);
    ground.wait_for_roles(0).await;

    turned_away(&ground).await;
    waited_for(&ground).await;
}

/// A session at the primary has a role and a backend of its own.
async fn beside_the_primary(ground: &Ground) {
    let here = ground.sign_in_soon("acme").await;
    assert_eq!(one(&here.client, "select pg_is_in_recovery()").await, "f");
    ground.wait_for_roles(2).await;
    drop(here);
    ground.wait_for_roles(1).await;
    assert_eq!(ground.backends().await.len(), 1, "the reader at the replica stays");
}

/// A cancel reaches the server that runs the statement.
async fn cancelled(ground: &Ground) {
    let session = ground.sign_in_soon("acme@reader").await;
    let (_, tls) = ground.road("acme@reader");
    let cancel = session.client.cancel_token();
    let busy =
        format!("select count(*) from pg_stat_activity where pid = {} and query ~ '^select pg_sleep'", session.pid);
    let asking = async {
        let until = Instant::now() + SOON;
        while ground.standby.ask("postgres", &busy).await != ["1"] {
            assert!(Instant::now() < until, "the statement does not begin");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel_query(tls).await.expect("a cancel");
    };
    let (answer, ()) = tokio::join!(one(&session.client, "select pg_sleep(600)"), asking);
    assert!(answer.starts_with("57014"), "{answer}");
    assert_eq!(one(&session.client, "select 1").await, "1", "the session goes on");
}

/// The road watch explains the sessions at the replica, and sees who is there besides.
async fn watched(ground: &Ground) {
    let road = ground.stage.command(&["--format", "json", "road", "list"]).output().expect("it runs");
    let shown = said(&road);
    let line = shown.lines().find(|line| line.contains("main@reader") && line.contains("pr_g_")).unwrap_or_default();
    assert!(line.contains("gate"), "{shown}");
    let doctor = said(&ground.stage.command(&["--format", "json", "doctor"]).output().expect("it runs"));
    let line = doctor.lines().find(|line| line.contains("main@reader")).unwrap_or_default();
    assert!(line.contains("follows, and has replayed"), "{doctor}");
}

async fn turned_away(ground: &Ground) {
    for (dbname, says) in [
        ("acme@other", "3D000 there is no such replica; No replica is called \"other\"; there are: reader."),
        ("acme@", "3D000 there is no such replica; No replica is called \"\"; there are: reader."),
        ("nobody@reader", "3D000 there is no such customer; No customer is called \"nobody\""),
        ("portreeve@reader", "3D000 there is no such customer"),
        ("globex@reader", "28000 no access to customer \"globex\": you have no grant"),
    ] {
        let told = words(&ground.sign_in(dbname).await.err().expect("nobody gets in"));
        assert!(told.starts_with(says), "{dbname}: {told}");
    }
    ground.stage.grant("acme", "write").expect("a grant");
    let told = ground.refused("acme@reader", "a replica is for reading only").await;
    assert!(told.contains("dbname=acme, or ask for a grant with the scope read"), "{told}");
    assert_eq!(ground.roles().await, Vec::<String>::new(), "nothing was made for them");
    ground.stage.grant("acme", "read").expect("a grant");
    drop(ground.sign_in_soon("acme@reader").await);
    ground.wait_for_roles(0).await;
}

/// Whoever comes while the replica lags gets in as soon as it has replayed their role, and not before.
async fn waited_for(ground: &Ground) {
    ground.standby.pause().await;
    let coming = tokio::spawn(sign_in(ground.road("acme@reader")));
    let role = ground.wait_for_roles(1).await.concat();
    let there = format!("select count(*) from pg_roles where rolname = '{role}'");
    assert_eq!(ground.standby.ask("postgres", &there).await, ["0"]);
    assert!(!coming.is_finished(), "nobody is let in as nobody");
    ground.standby.resume().await;
    let session = coming.await.expect("no panic").expect("it gets in");
    assert_eq!(one(&session.client, "select session_user").await, role);
    drop(session);
    ground.wait_for_roles(0).await;
    // What was opened at the primary is seen, though the replica was late to hear of it.
    ground.standby.pause().await;
    ground.stage.cluster.run_sql("acme", "grant update on contacts to public").await.expect("a hole");
    let coming = tokio::spawn(sign_in(ground.road("acme@reader")));
    ground.wait_for_roles(1).await;
    ground.standby.resume().await;
    let told = words(&coming.await.expect("no panic").err().expect("the fence is not sound"));
    assert!(told.contains("the fence around this customer is not sound"), "{told}");
    ground.stage.cluster.run_sql("acme", "revoke update on contacts from public").await.expect("mended");
    ground.wait_for_roles(0).await;
}
