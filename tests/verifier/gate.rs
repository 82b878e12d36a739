//! A log that the gate wrote of a real session: read from its files, and from its tiles.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portreeve::cli::demo::stage::{Settings, Stage};

use super::python::{hide_first_record, leaves, verifier};

const CUSTOMER: &str = "acme";
/// Numbers of kinds, as FORMAT.md gives them.
const STATEMENT: u64 = 12;
const SIGNED_IN: u64 = 10;

/// A stage on which Jane did something at acme and umbrella, and whose gate has stopped.
async fn stage() -> Stage {
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_portreeve"));
    settings.cache = Some(env!("CARGO_TARGET_TMPDIR").into());
    let mut stage = Stage::set_up(settings).await.expect("a stage");
    for customer in [CUSTOMER, "umbrella"] {
        let (status, answer) = stage.set_consent(customer, r#"{"mode":"standing","scope":"read"}"#).expect("an answer");
        assert_eq!(status, 200, "{answer}");
        stage.grant(customer, "read").expect("a grant");
    }
    for customer in [CUSTOMER, "umbrella", CUSTOMER] {
        let said =
            stage.psql(customer).expect("psql").args(["-At", "-c", "select 'größe', 1"]).output().expect("it runs");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    assert!(stage.proxy.take().expect("it runs").stop().expect("it stops"));
    stage
}

fn log(stage: &Stage) -> PathBuf {
    let dirs = std::fs::read_dir(stage.audit()).expect("listed").map(|entry| entry.expect("an entry").path());
    dirs.into_iter().find(|dir| name(dir).starts_with("proxy-")).expect("the gate's log")
}

fn name(dir: &Path) -> &str {
    dir.file_name().and_then(|name| name.to_str()).expect("a name")
}

fn key(stage: &Stage, dir: &Path) -> PathBuf {
    stage.path("log-keys").join(format!("{}.vkey", name(dir)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_the_gate_is_read_and_a_flipped_byte_is_found() {
    let stage = stage().await;
    let dir = log(&stage);
    let key = key(&stage, &dir);
    let told = verifier("log", &[&dir, &key]).expect("all as it must be");
    let kinds: Vec<u64> = told[0]["kinds"].as_array().expect("kinds").iter().filter_map(|kind| kind.as_u64()).collect();
    assert_eq!(told[0]["size"], kinds.len());
    let count = |wanted: u64| kinds.iter().filter(|kind| **kind == wanted).count();
    assert_eq!((count(SIGNED_IN), count(STATEMENT)), (3, 3), "{kinds:?}");

    let tiles = stage.path("tiles");
    let output = tiles.to_string_lossy().into_owned();
    stage.run(&["audit", "tiles", "--log", name(&dir), "--output", &output]).expect("written");
    let of_tiles = verifier("tiles", &[&tiles, &key]).expect("all as it must be");
    assert_eq!(of_tiles[0]["kinds"], told[0]["kinds"]);
    let refused = stage.run(&["audit", "tiles", "--log", name(&dir), "--output", &output]).expect_err("it is there");
    assert!(refused.to_string().contains("nothing is overwritten"), "{refused}");

    let segment = dir.join("000000000000.segment");
    let whole = std::fs::read(&segment).expect("read");
    let half = stage.path("half");
    std::fs::write(&segment, [&whole[..4096 + 150], &[0xff], &whole[4096 + 151..]].concat()).expect("written");
    let output = half.to_string_lossy().into_owned();
    stage.run(&["audit", "tiles", "--log", name(&dir), "--output", &output]).expect_err("a leaf was changed");
    assert!(!half.exists(), "nothing is left of it");
    let used = whole.iter().rposition(|byte| *byte != 0).expect("something is in it");
    for at in (0..=used).step_by(used / 40).chain([0, 7, 4095, 4096, used]) {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        std::fs::write(&segment, changed).expect("written");
        let wrong = verifier("log", &[&dir, &key]).expect_err("it was changed");
        assert!(wrong.starts_with("000000000000.segment"), "byte {at}: {wrong}");
    }
    std::fs::write(&segment, &whole[..whole.len() - 4096]).expect("written");
    verifier("log", &[&dir, &key]).expect_err("it was cut");
    std::fs::write(&segment, &whole).expect("written");
    let other = stage.path("log-keys/portal.vkey");
    verifier("log", &[&dir, &other]).expect_err("another log's key");
}

/// Everything about acme, made by our own command from what the gate wrote.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_the_gates_log_is_accepted_and_a_forged_one_refused() {
    let stage = stage().await;
    let path = stage.path("proof.json");
    let output = path.to_string_lossy().into_owned();
    stage.run(&["audit", "prove", "--customer", CUSTOMER, "--since", "1h", "--output", &output]).expect("made");
    let dirs = std::fs::read_dir(stage.audit()).expect("listed").map(|entry| entry.expect("an entry").path());
    let keys: Vec<PathBuf> = dirs.map(|dir| key(&stage, &dir)).filter(|key| key.exists()).collect();
    let mut arguments: Vec<&Path> = vec![&path];
    arguments.extend(keys.iter().map(PathBuf::as_path));
    let told = verifier("proof", &arguments).expect("it holds");
    let texts: Vec<&str> = told.iter().filter_map(|record| record["values"]["0"].as_str()).collect();
    assert_eq!(texts, ["select 'größe', 1"; 2], "both visits to acme, none of umbrella: {told:?}");

    let mut command = vec!["--config", "/nonexistent/p.toml", "--format", "json", "verify-proof", &output];
    let named: Vec<String> = keys.iter().map(|key| key.to_string_lossy().into_owned()).collect();
    command.extend(named.iter().flat_map(|key| ["--key", key.as_str()]));
    let ours = portreeve(&command);
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
    let lines = String::from_utf8(ours.stdout).expect("text");
    let fingerprint = told[0]["fingerprint"].as_str().expect("a fingerprint");
    assert!(lines.contains(&format!("records of {CUSTOMER} (c1, tag key {fingerprint})")), "{lines}");
    assert_eq!(lines.matches("größe").count(), 2, "{lines}");

    let proof: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("read")).expect("JSON");
    let which = proof["logs"]
        .as_array()
        .expect("logs")
        .iter()
        .position(|log| log["checkpoint"].as_str().is_some_and(|note| note.starts_with("portreeve/proxy-")));
    let of_gate = format!("/logs/{}", which.expect("the gate's log"));
    let mut without = proof.clone();
    let logs = without["logs"].as_array_mut().expect("logs");
    logs.retain(|log| log["checkpoint"].as_str().is_some_and(|note| !note.starts_with("portreeve/proxy-")));
    std::fs::write(&path, without.to_string()).expect("written");
    let missed = verifier("proof", &arguments).expect_err("a log left out");
    assert!(missed.starts_with("portreeve/proxy-") && missed.ends_with("says nothing about this log"), "{missed}");
    let ours = portreeve(&command);
    assert_eq!(ours.status.code(), Some(4));
    let lines = String::from_utf8(ours.stdout).expect("text");
    assert!(lines.contains("\"absent\"") && !lines.contains("\"complete\""), "{lines}");

    type Forgery<'a> = (&'a str, &'a dyn Fn(&mut serde_json::Value));
    let forgeries: [Forgery<'_>; 5] = [
        ("a leaf left out", &|log| drop(log["leaves"].as_array_mut().expect("leaves").pop())),
        ("two leaves swapped", &|log| log["leaves"].as_array_mut().expect("leaves").swap(0, 1)),
        ("a hash left out", &|log| drop(log["hashes"].as_array_mut().expect("hashes").pop())),
        ("a later beginning", &|log| log["from"] = log["to"].clone()),
        ("another data key", &|log| log["keys"][0]["key"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()),
    ];
    for (what, forge) in forgeries {
        let mut forged = proof.clone();
        forge(forged.pointer_mut(&of_gate).expect("a log"));
        std::fs::write(&path, forged.to_string()).expect("written");
        verifier("proof", &arguments).expect_err(what);
        let ours = portreeve(&command);
        assert_eq!(ours.status.code(), Some(4), "{what}");
        let lines = String::from_utf8(ours.stdout).expect("text");
        assert!(lines.contains("\"finding\"") && lines.contains("portreeve/proxy-"), "{what}: {lines}");
    }

    // The first record of all left out, and the hashes made again from the log: nothing but its first link tells.
    let mut forged = proof.clone();
    let first = hide_first_record(forged.pointer_mut(&of_gate).expect("a log"), &leaves(&log(&stage)));
    std::fs::write(&path, forged.to_string()).expect("written");
    let missed = verifier("proof", &arguments).expect_err("the first record left out");
    assert!(missed.contains("is left out: position "), "{first}: {missed}");
    let ours = portreeve(&command);
    assert_eq!(ours.status.code(), Some(4));
    let lines = String::from_utf8(ours.stdout).expect("text");
    assert!(lines.contains("it is not shown, and could be a record that is left out"), "{first}: {lines}");

    // Of another shape than the format gives: both readers refuse it, whatever else is right.
    let shapes: [Forgery<'_>; 4] = [
        ("no log", &|proof| proof["logs"] = serde_json::json!([])),
        ("a log twice", &|proof| {
            let again = proof["logs"][0].clone();
            proof["logs"].as_array_mut().expect("logs").push(again);
        }),
        ("a member nobody knows", &|proof| proof["logs"][0]["more"] = 1.into()),
        ("a member missing", &|proof| drop(proof["period"].as_object_mut().expect("a period").remove("until"))),
    ];
    for (what, shape) in shapes {
        let mut shaped = proof.clone();
        shape(&mut shaped);
        std::fs::write(&path, shaped.to_string()).expect("written");
        verifier("proof", &arguments).expect_err(what);
        let code = portreeve(&command).status.code();
        assert!(matches!(code, Some(1 | 2 | 4)), "{what}: {code:?}");
    }
}

fn portreeve(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portreeve")).args(arguments).output().expect("it runs")
}
