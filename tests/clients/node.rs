//! node's `pg` with its cursors and streams, from the packages that `make setup` installs.

use std::process::{Command, Stdio};

use portreeve::cli::demo::stage::{STAFF, Stage};
use serde_json::{Value, json};

use super::ground::{CUSTOMER, root, same, stage};
use super::oracle::{Oracle, Told};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_script_sees_the_same_through_the_gate() {
    for (gate, lines) in [("overlap", [].as_slice()), ("strict", &[("proxy", "strict = true")])] {
        let stage = stage("read", lines).await;
        let mut oracle = Oracle::of(&stage).await;
        plays(&stage, &mut oracle, gate).await;
    }
}

/// Packages come from whatever registry npm is set up with.
#[test]
fn the_lock_file_names_no_registry() {
    let lock = std::fs::read_to_string(root().join("tests/clients/node/package-lock.json")).expect("a lock file");
    assert!(lock.contains("\"integrity\"") && !lock.contains("\"resolved\""), "npm wrote where packages came from");
}

async fn plays(stage: &Stage, oracle: &mut Oracle<'_>, gate: &str) {
    let gated = json!({
        "host": "localhost",
        "port": stage.gate_port(),
        "database": CUSTOMER,
        "user": STAFF,
        "ca": stage.cluster.certificates().gate_ca,
    });
    let mut gated = node(&gated);
    gated.env("PGPASSFILE", stage.passfile().expect("a password file"));
    let direct = json!({
        "host": stage.cluster.socket_directory(),
        "port": stage.cluster.port(),
        "database": CUSTOMER,
        "user": "postgres",
    });
    let seen = same(gated, node(&direct)).await;
    assert!(seen.lines().count() > 1000, "{seen}");
    let [long, pooled] = oracle.settle(2).await.try_into().expect("two sessions");
    for told in [&long, &pooled] {
        assert_eq!((told.gate(), told.application.as_str()), (gate, "node"));
        assert_eq!(told.end.skeleton.verb.as_deref(), Some("client-left"));
    }
    is_told(&long);
}

fn is_told(told: &Told) {
    let summary = told.summary();
    let count = |line: &str| summary.iter().filter(|found| *found == line).count();
    assert!(count("execute suspended -") >= 15, "{summary:?}");
    assert_eq!((count("execute error 22012"), count("bind error 22012")), (1, 1), "{summary:?}");
    assert_eq!(count("query error 42703"), 1, "{summary:?}");
    assert_eq!(count("query error 57014"), 1, "{summary:?}");
    assert!(!told.cancels.is_empty());
    assert_eq!(told.notifications.len(), 1, "{:?}", told.notifications);
}

fn node(place: &Value) -> Command {
    let modules = root().join("target/node/node_modules");
    assert!(modules.join("pg-query-stream").exists(), "{} is missing: run make setup", modules.display());
    let mut node = Command::new("node");
    node.arg(root().join("tests/clients/node/script.js")).arg(place.to_string());
    node.env("NODE_PATH", modules).stdin(Stdio::null());
    node
}
