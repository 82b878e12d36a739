//! psycopg 3 with its binary libpq, from the virtual environment of `make setup`.

use std::process::{Command, Stdio};

use portreeve::cli::demo::stage::Stage;

use super::ground::{CUSTOMER, root, same, stage};
use super::oracle::{Oracle, Told, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_python_script_sees_the_same_through_the_gate() {
    let stage = stage("read", &[]).await;
    let mut oracle = Oracle::of(&stage).await;
    plays(&stage, &mut oracle, "overlap", "").await;
    // What its libpq 18 can do besides: TLS from the first byte, and longer cancel keys.
    plays(&stage, &mut oracle, "overlap", "sslnegotiation=direct").await;
    plays(&stage, &mut oracle, "overlap", "min_protocol_version=3.2 max_protocol_version=latest").await;
}

/// The same script through the gate and past it.
pub(crate) async fn plays(stage: &Stage, oracle: &mut Oracle<'_>, gate: &str, more: &str) {
    let passfile = stage.passfile().expect("a password file");
    let mut gated = python(&format!("{} application_name=script {more}", stage.conninfo(CUSTOMER)));
    gated.env("PGPASSFILE", passfile);
    let seen = same(gated, python(&stage.cluster.superuser_dsn(CUSTOMER))).await;
    assert!(seen.lines().count() > 1000, "{seen}");
    let mut long = 0;
    for told in oracle.settle(3).await {
        assert_eq!((told.gate(), told.application.as_str()), (gate, "script"));
        assert_eq!(told.end.skeleton.verb.as_deref(), Some("client-left"));
        if told.statements.len() > 100 {
            long_session_is_told(&told);
            long += 1;
        }
        let is_cancelled = told.with_text("select pg_sleep(300)").count() > 0;
        assert_eq!(is_cancelled, !told.cancels.is_empty(), "{:?}", told.summary());
    }
    assert_eq!(long, 1);
}

fn long_session_is_told(told: &Told) {
    let summary = told.summary();
    let count = |line: &str| summary.iter().filter(|found| *found == line).count();
    assert_eq!(count("execute error 22012"), 1, "{summary:?}");
    assert!(summary.iter().any(|line| line.ends_with(" skipped -")), "{summary:?}");
    assert_eq!(count("query done FETCH 400") + count("execute done FETCH 400"), 3, "{summary:?}");
    assert!(summary.iter().any(|line| line.ends_with("COPY 1200")), "{summary:?}");
    let named = |found: &&portreeve::log::search::Found| {
        let verb = found.record.skeleton.verb.as_deref();
        verb == Some("parse") && found.record.values.statement.as_ref().is_some_and(|name| !name.is_empty())
    };
    assert!(told.statements.iter().filter(named).count() >= 2, "prepared by name");
    let binary = told.statements.iter().filter_map(|found| found.record.values.binds.as_deref()).flatten();
    assert!(binary.filter(|bind| bind.format == 1).count() > 10);
    assert!(told.statements.iter().all(|found| outcome(found).skeleton.result.as_deref() != Some("unknown")));
}

fn python(dsn: &str) -> Command {
    let program = root().join("target/venv/bin/python");
    assert!(program.exists(), "{} is missing: run make setup", program.display());
    let mut python = Command::new(program);
    python.arg(root().join("tests/clients/script.py")).arg(dsn).stdin(Stdio::null());
    python
}
