//! Large objects and other FunctionCalls as libraries do them: libpq by itself, and JDBC, which fetches by portals too.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use portreeve::cli::demo::stage::{STAFF, said};
use serde_json::Value;

use super::ground::{Ground, cell};
use super::large_objects::ground;

fn file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name).display().to_string()
}

/// Runs a client with the password file, to its end; answers what it said.
fn run(ground: &Ground, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env("PGPASSFILE", ground.stage.passfile().expect("a file"));
    let output = command.output().expect("it runs; if it is missing, make setup installs it");
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// All frames of the one session, once it has ended.
fn frames(ground: &Ground) -> Vec<Value> {
    let ended = ground.record("session-ended", |record| cell(record, "verb") == "client-left");
    let mut frames = ground.search("statement");
    frames.retain(|record| cell(record, "session") == cell(&ended, "session"));
    assert!(frames.iter().all(|record| cell(record, "gate") == "strict"), "{frames:#?}");
    frames
}

/// How often each function was called, and with what result when it failed.
fn calls(frames: &[Value]) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for call in frames.iter().filter(|record| cell(record, "verb") == "function-call") {
        let result = cell(call, "result");
        let failed = result.split(' ').next().filter(|word| word.len() == 5 && *word != "done");
        let name = [cell(call, "function"), failed.unwrap_or_default()].join(" ");
        *calls.entry(name.trim().to_owned()).or_default() += 1;
    }
    calls
}

#[tokio::test]
async fn libpq() {
    let ground = ground().await;
    let said = run(&ground, "python3", &[&file("tests/copying/large_objects.py"), &ground.stage.conninfo("acme")]);
    assert!(said.contains("done 5000"), "{said}");
    let heard: Vec<&str> = said.lines().filter(|line| line.starts_with("ERROR:")).collect();
    let expected = [
        "ERROR:  invalid large-object descriptor: 77",
        "ERROR:  large object 4711 does not exist",
        "ERROR:  current transaction is aborted, commands ignored until end of transaction block",
    ];
    assert_eq!(heard, expected, "{said}");
    let expected = [
        ("lo_close", 1),
        ("lo_creat", 1),
        ("lo_create", 1),
        ("lo_lseek", 1),
        ("lo_lseek64", 1),
        ("lo_open", 1),
        ("lo_open 42704", 1),
        ("lo_tell", 1),
        ("lo_tell64", 1),
        ("lo_truncate", 1),
        ("lo_truncate64", 1),
        ("lo_unlink", 1),
        ("lo_unlink 25P02", 1),
        ("lo_unlink 42704", 1),
        ("loread", 1),
        ("loread 42704", 1),
        ("lowrite", 7),
    ];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    assert_eq!(calls(&frames(&ground)), expected);
    // What the transaction left is there, though its role has gone.
    assert_eq!(ground.value("set role app; select length(lo_get(5000))").await, "100");
    ground.verified();
}

#[tokio::test]
async fn jdbc() {
    let ground = ground().await;
    let ca = &ground.stage.cluster.certificates().gate_ca;
    let url = format!(
        "jdbc:postgresql://localhost:{}/acme?sslmode=verify-full&sslrootcert={}",
        ground.stage.gate_port(),
        ca.display()
    );
    let classes = "/usr/share/java/postgresql.jar";
    let said = run(&ground, "java", &["-cp", classes, &file("tests/copying/LargeObjects.java"), &url, STAFF]);
    assert!(said.contains("done"), "{said}");
    let frames = frames(&ground);
    let calls = calls(&frames);
    assert!(calls["lowrite"] >= 10 && calls["loread"] >= 2 && calls["lo_open 42704"] == 1, "{calls:?}");
    assert!(calls["lo_creat"] == 1 && calls["lo_unlink"] == 1 && calls["lo_truncate64"] == 1, "{calls:?}");

    let ended = |verb: &str, result: &str| {
        let is_it = |frame: &&Value| cell(frame, "verb") == verb && cell(frame, "result").starts_with(result);
        frames.iter().filter(is_it).count()
    };
    // 1,000 rows by 90 are eleven full portions and a rest, and so on down to 400.
    assert!(ended("execute", "suspended") > 50, "{frames:#?}");
    assert_eq!(ended("bind", "22012"), 1, "planned already");
    let limited: Vec<_> = frames.iter().filter(|frame| frame["row_limit"] == 90).collect();
    assert!(limited.len() > 50, "{limited:#?}");
    assert!(
        limited.iter().all(|frame| cell(frame, "text").starts_with("select id, name from imported")),
        "{limited:#?}"
    );
    assert_eq!(ground.value("select count(*) from imported").await, "0");
    ground.verified();
}
