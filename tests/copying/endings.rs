//! A COPY that does not come to its end: the client is killed, or access is switched off.

use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

use portreeve::cli::demo::stage::said;
use serde_json::Value;

use super::ground::{Ground, WITHIN, cell, lines};

/// A gate that is patient with an idle session for so long.
async fn impatient(idle_after: &str) -> Ground {
    let mut ground = Ground::new().await;
    let path = ground.stage.configuration();
    let toml = std::fs::read_to_string(&path).expect("the configuration");
    let toml = toml.replace("[proxy]\n", &format!("[proxy]\nidle_after = \"{idle_after}\"\n"));
    assert!(toml.contains("idle_after"), "{toml}");
    std::fs::write(&path, toml).expect("the configuration");
    ground.stage.start_proxy().expect("a gate");
    ground
}

/// A COPY that never ends: its client holds still, and what was copied so far goes.
#[tokio::test]
async fn a_copy_that_is_left_idle_is_ended_and_leaves_nothing() {
    let ground = impatient("3s").await;
    let (psql, input) = ground.begin_copy().await;
    ended(&ground, "idle").await;
    drop(input);
    let output = psql.wait_with_output().expect("psql ends");
    assert!(!output.status.success() && !said(&output).contains("COPY 5"), "{}", said(&output));
}

/// The last row breaks the rule, and the server says so when all of it is there.
#[tokio::test]
async fn the_last_row_that_breaks_a_rule_undoes_them_all() {
    let ground = Ground::new().await;
    let rule = "alter table imported add unique (name) deferrable initially deferred";
    ground.stage.cluster.run_sql("acme", rule).await.expect("a rule");
    let mut data = lines(0..20_000);
    data.extend_from_slice(b"20000\tname 0\n");
    let mut psql = ground.stage.psql("acme").expect("psql");
    psql.args(["-c", "copy imported from stdin"]);
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(&data).expect("psql reads");
    drop(input);
    let output = child.wait_with_output().expect("psql ends");
    assert!(!output.status.success() && said(&output).contains("imported_name_key"), "{}", said(&output));
    ground.copied(&data, "duplicate key");
    ground.record("statement", |record| {
        cell(record, "text") == "copy imported from stdin" && cell(record, "result").starts_with("23505")
    });
    assert_eq!(ground.value("select count(*) from imported").await, "0");
    ground.verified();
}

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
