//! What the command writes of a log that the gate wrote: tiles, checkpoint and key, by other people's reader.
//! Not here: sizes and damage (`tiles.rs`).

use std::fs;

use portreeve::cli::demo::stage::{Settings, Stage};
use serde_json::json;

use super::asking::Others;
use super::tiles::files;

#[tokio::test(flavor = "multi_thread")]
async fn the_tiles_of_every_log_of_a_stage_are_read() {
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_portreeve"));
    settings.cache = Some(env!("CARGO_TARGET_TMPDIR").into());
    let mut stage = Stage::set_up(settings).await.expect("a stage");
    let (status, answer) = stage.set_consent("acme", r#"{"mode":"standing","scope":"read"}"#).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    stage.grant("acme", "read").expect("a grant");
    let said = stage.psql("acme").expect("psql").args(["-At", "-c", "select 1"]).output().expect("it runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(stage.proxy.take().expect("it runs").stop().expect("it stops"));

    let mut others = Others::start();
    let mut read = 0;
    for entry in fs::read_dir(stage.audit()).expect("listed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if !path.join("checkpoint").exists() {
            continue;
        }
        let folder = stage.path(&format!("tiles-{name}"));
        let output = folder.to_string_lossy().into_owned();
        stage.run(&["audit", "tiles", "--log", &name, "--output", &output]).expect("written");
        let [note, key] = ["checkpoint", "log.vkey"].map(|file| fs::read_to_string(folder.join(file)).expect("read"));
        let mut question = json!({ "ask": "open", "note": note, "key": key.trim_end(), "folder": folder });
        let told = others.ask(&question).expect("a checkpoint");
        assert_eq!(told["origin"], format!("portreeve/{name}"));
        question["ask"] = "tiles".into();
        let tiles = others.ask(&question).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        assert_eq!(tiles["entries"], told["size"], "{name}");
        assert_eq!(tiles["files"], files(&folder.join("tile")).len());
        read += u64::from(told["size"] != 0);
    }
    assert!(read >= 2, "the gate's log and the portal's");
}
