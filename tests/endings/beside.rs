//! What concerns one session alone, or comes from the database: what happens to it, and to those beside it.
//! Not here: ends that somebody orders for all (`revoked.rs`).

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::STAFF;

use crate::cast::{SOON, superuser};
use crate::client::{Session, sign_in_from, words};
use crate::ground::{Ground, sign_in_soon};
use crate::measured::{wait_for_records, wait_for_roles};

const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_allowed_any_more_ends_its_own_sessions_only() {
    let mut ground = Ground::new(&[]).await;
    ground.grant(STAFF, "acme", "write", "2h");
    let here = sign_in_soon(&ground.stage, STAFF, "acme", "here").await;
    let there = sign_in_from(&ground.stage, ELSEWHERE, STAFF, "acme", "there").await.expect("from another address");
    assert_eq!(ground.roles().await.len(), 1, "both under one grant, with one role");
    let only = r#"{"mode":"standing","scope":"write","terms":{"addresses":["127.0.0.2/32"]}}"#;
    let (status, answer) = ground.stage.set_consent("acme", only).expect("the portal");
    assert_eq!(status, 200, "{answer}");
    assert!(told(here, &mut ground).await.contains("127.0.0.1"), "it is told where it came from");
    for _ in 0..20 {
        there.client.simple_query("select count(*) from contacts").await.expect("the other one is undisturbed");
    }
    let another = sign_in_from(&ground.stage, ELSEWHERE, STAFF, "acme", "another").await;
    another
        .expect("the role is open for further sessions from there")
        .client
        .simple_query("select 1")
        .await
        .expect("1");
    let end = end_of(&ground, "address-not-allowed");
    assert_eq!(end.as_deref(), Some("none gone"));
    drop(there);
    wait_for_roles(&ground, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_the_server_never_answered_is_in_doubt() {
    let mut ground = Ground::new(&[]).await;
    ground.grant(STAFF, "acme", "write", "2h");
    let superuser = superuser(&ground.stage).await;
    for (sql, fate) in [
        ("update contacts set full_name = 'changed' || pg_sleep(0.03)::text", "in doubt gone"),
        ("begin; update tickets set subject = 'changed' where id = 1", "aborted gone"),
        ("select 1", "none gone"),
    ] {
        let session = sign_in_soon(&ground.stage, STAFF, "acme", "unlucky").await;
        let asked = session.client.batch_execute(sql);
        let pid = session.pid;
        let ended = async {
            let busy = "select count(*) from pg_stat_activity where pid = $1
                and (query ~ 'pg_sleep' and state = 'active' or state like 'idle%' and query !~ 'backend_pid')";
            let until = Instant::now() + SOON;
            while superuser.query_one(busy, &[&pid]).await.expect("activity").get::<_, i64>(0) == 0 {
                assert!(Instant::now() < until, "{sql} does not begin");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            superuser.execute("select pg_terminate_backend($1)", &[&pid]).await.expect("ended by an administrator");
        };
        let _: (Result<(), _>, ()) = tokio::join!(asked, ended);
        told(session, &mut ground).await;
        assert_eq!(end_of(&ground, "upstream-gone").as_deref(), Some(fate), "{sql}");
        ground.ends.clear();
    }
}

/// What the session's client is told at the end, which is recorded by then.
async fn told(session: Session, ground: &mut Ground) -> String {
    let ended = tokio::time::timeout(SOON, session.connection).await.expect("it ends").expect("no panic");
    wait_for_records(ground, &[session.pid]).await;
    ended.1.as_ref().map(words).unwrap_or_default()
}

/// The fate and the result in the last end with that reason.
fn end_of(ground: &Ground, reason: &str) -> Option<String> {
    let end = ground.ends.iter().rev().find(|end| end.verb.as_deref() == Some(reason))?;
    Some(format!("{} {}", end.fate.as_deref()?, end.result.as_deref()?))
}
