//! Who may be at the desk, and who has to leave at once: removed, suspended, elsewhere, idle; and the gate that stops.

use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{STAFF, said};
use tokio::task::JoinHandle;
use tokio_postgres::Error;

use crate::ground::{Ground, SOON, cell};

/// What a session was told last: SQLSTATE and message.
async fn told(connection: JoinHandle<Result<(), Error>>) -> (String, String) {
    let ended = tokio::time::timeout(SOON, connection).await.expect("it ends").expect("it does not panic");
    let error = ended.expect_err("it is told why");
    let error = error.as_db_error().expect("the gate says why");
    (error.code().code().to_owned(), error.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_limited_and_removed_they_are_out_at_once() {
    let ground = Ground::new(&[]).await;
    let (client, connection) = ground.driver().await;
    client.simple_query("SHOW SESSION").await.expect("she is there");
    let since = Instant::now();
    ground.must(&["staff", "suspend", STAFF]);
    let (code, message) = told(connection).await;
    assert_eq!((code.as_str(), message.as_str()), ("57P01", "the desk is closed to you: you are suspended"));
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    client.simple_query("SHOW SESSION").await.expect_err("it is over");
    let ended = ground.record("session-ended", |record| cell(record, "verb").contains("staff-suspended"));
    assert_eq!(cell(&ended, "staff"), STAFF, "{ended}");
    let refused = said(&ground.desk(&["SHOW GRANTS"]));
    assert!(refused.contains("the desk is closed to you: you are suspended"), "{refused}");
    assert!(refused.contains("portreeve staff resume jane"), "{refused}");
    let recorded = ground.record("refused", |record| cell(record, "verb") == "staff-suspended");
    assert_eq!(cell(&recorded, "customer"), "portreeve", "{recorded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_and_removed() {
    let ground = Ground::new(&[]).await;
    let (_client, connection) = ground.driver().await;
    ground.must(&["staff", "limit", STAFF, "--networks", "10.0.0.0/8"]);
    assert_eq!(told(connection).await.1, "the desk is closed to you: you may not come in from there");
    let refused = said(&ground.desk(&["SHOW GRANTS"]));
    assert!(refused.contains("may come in from 10.0.0.0/8; the client is at 127.0.0.1"), "{refused}");
    ground.must(&["staff", "limit", STAFF, "--networks", "any"]);
    let (_client, connection) = ground.driver().await;
    ground.must(&["staff", "remove", STAFF]);
    assert_eq!(told(connection).await.1, "the desk is closed to you: your account was removed");
    let refused = said(&ground.desk(&["SHOW GRANTS"]));
    assert!(refused.contains("password authentication failed"), "as a name that never was: {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_for_too_long_and_a_gate_that_stops() {
    let mut ground = Ground::new(&[("proxy", "idle_after = \"3s\"")]).await;
    let (client, connection) = ground.driver().await;
    client.simple_query("SHOW SESSION").await.expect("she is there");
    let since = Instant::now();
    let (code, message) = told(connection).await;
    assert_eq!((code.as_str(), message.as_str()), ("57P05", "session ended after 3 s without a line"));
    assert!(since.elapsed() > Duration::from_secs(2), "it was patient for {:?}", since.elapsed());
    let (client, connection) = ground.driver().await;
    client.simple_query("SHOW SESSION").await.expect("she is there");
    drop(ground.stage.proxy.take());
    assert_eq!(told(connection).await.0, "57P01");
}
