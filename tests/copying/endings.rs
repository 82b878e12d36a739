//! A COPY that does not come to its end: the client is killed, or access is switched off.

use std::io::Write;
use std::time::Instant;

use portreeve::cli::demo::stage::said;
use serde_json::Value;

use super::ground::{Ground, WITHIN, cell, lines};

/// The last session ended for that reason, its transaction undone, and the COPY says what had been sent.
async fn ended(ground: &Ground, reason: &str) {
    let end = ground.record("session-ended", |record| cell(record, "verb").starts_with(reason));
    assert_eq!(cell(&end, "fate"), "aborted", "{end:#}");
    let copy = ground.record("statement", |record| cell(record, "text") == "copy imported from stdin");
    assert_eq!(cell(&copy, "result"), "unknown", "{copy:#}");
    let copied = copy.pointer("/outcome/copied_bytes").and_then(Value::as_u64);
    assert!(copied.is_some_and(|bytes| bytes > 100_000), "{copy:#}");
    ground.until("select count(*) from pg_stat_activity where usename like 'pr_g_%'", "0").await;
    assert_eq!(ground.value("select count(*) from imported").await, "0");
    let is_done = |record: &Value| cell(record, "verb") == "copy-done";
    assert!(!ground.search("statement").iter().any(is_done), "nobody sent CopyDone");
    ground.verified();
}

#[tokio::test]
async fn a_client_killed_in_the_middle_leaves_nothing() {
    let ground = Ground::new().await;
    let (mut psql, _input) = ground.begin_copy().await;
    psql.kill().expect("killed");
    psql.wait().expect("gone");
    ended(&ground, "client-gone").await;
}

#[tokio::test]
async fn switching_off_in_the_middle_leaves_nothing() {
    let ground = Ground::new().await;
    let (psql, mut input) = ground.begin_copy().await;
    let (status, answer) = ground.stage.set_consent("acme", r#"{"mode":"off"}"#).expect("the portal answers");
    assert_eq!(status, 200, "{answer}");
    let off = Instant::now();
    // psql notices when it can no longer send.
    while input.write_all(&lines(100_000..150_000)).is_ok() {
        assert!(off.elapsed() < WITHIN, "psql goes on");
    }
    drop(input);
    let output = psql.wait_with_output().expect("psql ends");
    assert!(!output.status.success(), "{}", said(&output));
    ended(&ground, "consent-off").await;
}
