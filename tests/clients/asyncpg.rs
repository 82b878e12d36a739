//! asyncpg, which speaks the protocol itself: binary values, pipelines that end in Flush, COPY both ways.

use std::process::{Command, Stdio};

use portreeve::cli::demo::stage::Stage;

use super::ground::{CUSTOMER, allow, root, same, stage, table_to_import_into};
use super::oracle::{Oracle, Told, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn an_asyncpg_script_sees_the_same_through_the_gate() {
    let stage = stage("read", &[]).await;
    let mut oracle = Oracle::of(&stage).await;
    plays(&stage, &mut oracle, "read").await;
    table_to_import_into(&stage).await;
    allow(&stage, "write").await;
    plays(&stage, &mut oracle, "write").await;
}

async fn plays(stage: &Stage, oracle: &mut Oracle<'_>, scope: &str) {
    let mut gated = python(&stage.conninfo(CUSTOMER), scope);
    gated.env("PGPASSFILE", stage.passfile().expect("a password file"));
    let seen = same(gated, python(&stage.cluster.superuser_dsn(CUSTOMER), scope)).await;
    assert!(seen.lines().count() > 1000, "{seen}");
    let [long, pooled] = oracle.settle(2).await.try_into().expect("two sessions");
    for told in [&long, &pooled] {
        assert_eq!(told.application, "asyncpg");
        assert_eq!(told.end.skeleton.verb.as_deref(), Some("client-left"));
    }
    assert_eq!(long.gate(), if scope == "write" { "strict" } else { "overlap" });
    is_told(&long);
    if scope == "write" {
        writing_is_told(&long);
    }
}

fn is_told(told: &Told) {
    let summary = told.summary();
    let count = |line: &str| summary.iter().filter(|found| *found == line).count();
    assert_eq!(count("query done COPY 1170"), 3, "{summary:?}");
    assert_eq!(count("parse error 42703") + count("query error 42703"), 1, "{summary:?}");
    assert_eq!(count("execute error 22012"), 1, "{summary:?}");
    assert!(count("execute suspended -") >= 7, "{summary:?}");
    assert!(count("execute error 57014") >= 1 && !told.cancels.is_empty(), "{summary:?}");
    assert_eq!(told.notifications.len(), 1, "{:?}", told.notifications);
    let binary = told.statements.iter().filter_map(|found| found.record.values.binds.as_deref()).flatten();
    assert!(binary.filter(|bind| bind.format == 1).count() > 100);
}

fn writing_is_told(told: &Told) {
    let copied: Vec<_> = told
        .statements
        .iter()
        .filter(|found| found.record.skeleton.verb.as_deref() == Some("copy-done"))
        .map(|found| (found.record.skeleton.copied_bytes, outcome(found).skeleton.result.as_deref()))
        .collect();
    let results: Vec<_> = copied.iter().map(|(_, result)| *result).collect();
    assert_eq!(results, [Some("done"), Some("done"), Some("error")]);
    assert_eq!(copied[1].0, Some(45_000), "3,000 lines of 15 bytes");
    let summary = told.summary();
    let count = |line: &str| summary.iter().filter(|found| *found == line).count();
    assert_eq!(count("execute done INSERT 0 1"), 100, "{summary:?}");
}

fn python(place: &str, scope: &str) -> Command {
    let program = root().join("target/venv/bin/python");
    assert!(program.exists(), "{} is missing: run make setup", program.display());
    let mut python = Command::new(program);
    python.arg(root().join("tests/clients/script_asyncpg.py")).args([place, scope]).stdin(Stdio::null());
    python
}
