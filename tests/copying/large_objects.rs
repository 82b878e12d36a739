//! psql's large objects, which libpq does by FunctionCall.

use std::fs;

use portreeve::cli::demo::stage::said;

use super::ground::{Ground, cell, sha256};

/// A stage whose fence leaves large objects to everybody.
pub async fn ground() -> Ground {
    let ground = Ground::new().await;
    let give = "grant execute on function lo_creat(int), lo_create(oid), lo_from_bytea(oid, bytea) to public";
    ground.stage.cluster.run_sql("acme", give).await.expect("granted");
    ground
}

/// Where one grant's work is over, another's begins, or the application's: the data is there.
#[tokio::test]
async fn what_was_imported_outlives_the_session_and_the_grant() {
    let ground = ground().await;
    let from = ground.stage.path("picture");
    let picture: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&from, &picture).expect("written");
    let import = format!("\\lo_import '{}'", from.display());
    let output = ground.psql(&[&import, "insert into imported select oid, 'picture' from pg_largeobject_metadata"]);
    assert!(output.status.success(), "{}", said(&output));
    // The role goes with its last session, and with the grant there is none to come.
    ground.until("select count(*) from pg_roles where rolname like 'pr\\_g\\_%'", "0").await;
    let (status, answer) = ground.stage.set_consent("acme", r#"{"mode":"off"}"#).expect("the portal answers");
    assert_eq!(status, 200, "{answer}");
    let owner = "select pg_get_userbyid(lomowner) from pg_largeobject_metadata join imported on id = oid";
    assert_eq!(ground.value(owner).await, "app");
    let digest = "set role app; select encode(sha256(lo_get(id::oid)), 'hex') from imported where name = 'picture'";
    assert_eq!(ground.value(digest).await, sha256(&picture));
    assert_eq!(ground.value("set role app; select lo_unlink(id::oid) from imported").await, "1");
    ground.verified();
}

#[tokio::test]
async fn imported_exported_and_unlinked() {
    let ground = ground().await;
    let (from, to) = (ground.stage.path("picture"), ground.stage.path("picture-back"));
    let picture: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&from, &picture).expect("written");
    let output = ground.psql(&[
        &format!("\\lo_import '{}'", from.display()),
        &format!("\\lo_export :LASTOID '{}'", to.display()),
        "\\lo_unlink :LASTOID",
        "\\lo_unlink 4711",
    ]);
    assert!(!output.status.success() && said(&output).contains("4711 does not exist"), "{}", said(&output));
    assert!(fs::read(&to).expect("readable") == picture, "the picture came back as it went");
    assert_eq!(ground.value("select count(*) from pg_largeobject_metadata").await, "0");

    let unlinked = ground.record("statement", |record| {
        cell(record, "function") == "lo_unlink" && cell(record, "result").contains("42704")
    });
    assert_eq!(cell(&unlinked, "verb"), "function-call");
    assert!(unlinked.to_string().contains("4711"), "{unlinked:#}");
    let calls = ground.search("statement");
    let of = |name: &str| calls.iter().filter(|call| cell(call, "function") == name).count();
    assert!(of("lo_open") >= 2 && of("lowrite") > 10 && of("loread") > 10 && of("lo_close") >= 2, "{calls:#?}");
    let read = calls.iter().find(|call| cell(call, "function") == "loread").expect("a call");
    assert!(read.get("bytes").and_then(serde_json::Value::as_u64).is_some_and(|bytes| bytes > 1000), "{read:#}");
    ground.verified();
}
