//! A log that the gate wrote of a real session: read from its files, and from its tiles.

use std::path::{Path, PathBuf};

use portreeve::cli::demo::stage::{Settings, Stage};

use super::python::verifier;

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
