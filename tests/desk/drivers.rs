//! Drivers at the desk, in the extended protocol with parameters: psycopg, JDBC, and portals of a Rust driver.

use std::path::PathBuf;

use portreeve::cli::demo::stage::STAFF;
use serde_json::Value;

use crate::ground::{Ground, cell, file};

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_asks_with_parameters() {
    let ground = Ground::new(&[]).await;
    let made = ground.owner("POST", "code", r#"{"for":"1h","scope":"read"}"#);
    let code = made.get("code").and_then(Value::as_str).expect("a code").to_owned();
    let (script, conninfo) = (file("tests/desk/desk.py"), ground.stage.conninfo("portreeve"));
    let said = ground.run(file("target/venv/bin/python"), &[&script.to_string_lossy(), &conninfo, &code]);
    assert!(said.contains("done"), "{said}");
    is_in_no_record(&ground, &code, "CODE $3");
    let executed = ground.record("desk", |record| {
        cell(record, "verb") == "execute" && cell(record, "text").starts_with("REQUEST $1 FOR $2")
    });
    assert!(executed.to_string().contains("invoices show wrong totals"), "its values are recorded: {executed}");
    ground.must(&["audit", "verify"]);
}

/// The records of the line that gave the code are there, that of its outcome too, and neither they nor any others have it.
fn is_in_no_record(ground: &Ground, code: &str, parameter: &str) {
    let used = ground.record("desk", |record| {
        let text = cell(record, "text");
        let is_it = text.starts_with("REQUEST acme REASON") && text.contains(parameter);
        is_it && cell(record, "verb") == "execute" && record.get("outcome").is_some_and(|outcome| !outcome.is_null())
    });
    let all = ground.must(&["--format", "json", "audit", "search", "--limit", "0"]);
    let place = cell(&used, "place");
    assert!(!place.is_empty() && all.contains(place), "{place} is not in {all}");
    let hex: String = code.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!all.contains(code) && !all.contains(&hex), "the code {code} is in no record: {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jdbc_asks_with_parameters() {
    let ground = Ground::new(&[]).await;
    let made = ground.owner("POST", "code", r#"{"for":"1h","scope":"read"}"#);
    let code = made.get("code").and_then(Value::as_str).expect("a code").to_owned();
    let ca = &ground.stage.cluster.certificates().gate_ca;
    let url = format!(
        "jdbc:postgresql://localhost:{}/portreeve?sslmode=verify-full&sslrootcert={}",
        ground.stage.gate_port(),
        ca.display()
    );
    let (classes, program) = ("/usr/share/java/postgresql.jar", file("tests/desk/Desk.java"));
    let arguments = ["-cp", classes, &program.to_string_lossy(), &url, STAFF, &code];
    let said = ground.run(PathBuf::from("java"), &arguments);
    assert!(said.contains("done"), "{said}");
    is_in_no_record(&ground, &code, "CODE $1");
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_give_their_rows_in_portions_and_run_once() {
    let ground = Ground::new(&[]).await;
    let (mut client, _connection) = ground.driver().await;
    let help = client.prepare("SHOW HELP").await.expect("it is prepared");
    assert_eq!(help.columns().len(), 2);
    let transaction = client.transaction().await.expect("drivers want transactions");
    let portal = transaction.bind(&help, &[]).await.expect("a portal");
    let mut count = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 3).await.expect("a portion");
        count.push(rows.len());
        if rows.len() < 3 {
            break;
        }
    }
    assert_eq!(count, [3, 3, 3, 1]);
    let again = transaction.query_portal(&portal, 3).await.expect_err("it ran");
    assert_eq!(again.code().map(tokio_postgres::error::SqlState::code), Some("55000"));
    transaction.rollback().await.expect("nothing is undone");
    let wrong = client.prepare("SHOW nothing").await.expect_err("it is no line");
    assert!(wrong.as_db_error().and_then(|error| error.hint()).is_some_and(|hint| hint.contains("SHOW GRANTS")));
    let session = client.query_one("SHOW SESSION", &[]).await.expect("after an error it goes on");
    assert_eq!((session.get::<_, &str>(0), session.get::<_, &str>(2)), (STAFF, "driver"));
    client.batch_execute("SHOW GRANTS; SHOW REQUESTS; SHOW CUSTOMERS").await.expect("three at once");
}
