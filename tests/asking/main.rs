//! Asking for access as staff and owners do it: the command line on one side, the portal's API on the other, and the gate
//! between, on a whole Portreeve.
//! Not here: the rules one by one (`src/grant/asking_tests.rs`), and the page (`src/portal/requests_tests.rs`).

use std::path::PathBuf;
use std::process::Output;

use portreeve::cli::demo::stage::{self, STAFF, Stage, said};
use serde_json::Value;

/// A Portreeve whose acme wants to be asked each time, up to writing.
async fn asked() -> Stage {
    let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
    let settings = stage::Settings { cache, ..stage::Settings::new(env!("CARGO_BIN_EXE_portreeve")) };
    let stage = Stage::set_up(settings).await.expect("a stage");
    owner(&stage, "PUT", "consent", r#"{"mode":"per-request","scope":"write"}"#);
    stage
}

/// Acme's owner asks the API; the answer of one that was done.
fn owner(stage: &Stage, verb: &str, path: &str, body: &str) -> Value {
    let body = Some(body).filter(|body| !body.is_empty());
    let (status, answer) =
        stage.api("acme", verb, &format!("/v1/customers/acme/{path}"), body).expect("the portal answers");
    assert_eq!(status, 200, "{verb} {path}: {answer}");
    serde_json::from_str(&answer).expect("JSON")
}

/// Jane at the command line, with her password where it is asked for.
fn jane(stage: &Stage, arguments: &[&str]) -> Output {
    let password = stage.path(&format!("{STAFF}.password"));
    let password = password.to_string_lossy();
    let all = [&["--format", "json"], arguments, &["--password-file", &password]].concat();
    stage.command(&all).output().expect("portreeve runs")
}

/// The only row of what a command printed.
fn row(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().next().unwrap_or_default()).expect("a row as JSON")
}

fn list(stage: &Stage, arguments: &[&str]) -> Vec<Value> {
    let output = stage.run(&[&["--format", "json"], arguments].concat()).expect("it lists");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text<'a>(row: &'a Value, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

fn open(stage: &Stage, more: &[&str]) -> Output {
    let wish = ["request", "open", "--staff", STAFF, "--customer", "acme", "--purpose", "fault", "--channel", "phone"];
    let why = ["--reason", "invoices show wrong totals", "--ticket", "SUP-1"];
    jane(stage, &[&wish, why.as_slice(), more].concat())
}

const WHY_READ: [&str; 2] = ["--necessity", "the totals are in the rows"];

fn psql(stage: &Stage, statement: &str) -> Output {
    stage.psql("acme").expect("psql").args(["-c", statement]).output().expect("psql runs")
}

fn code_file(stage: &Stage, code: &str) -> PathBuf {
    stage.write_secret("code", code).expect("a file")
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_ask_answer_and_give_back_and_owners_decide() {
    let stage = asked().await;
    let bare = open(&stage, &[]);
    assert!(said(&bare).contains("the sentence why metadata is not enough is missing"), "{}", said(&bare));
    let asked = row(&open(&stage, &WHY_READ));
    let id = text(&asked, "id").to_owned();
    assert_eq!((text(&asked, "status"), text(&asked, "channel")), ("open", "phone"), "{asked}");
    let twice = open(&stage, &WHY_READ);
    assert!(said(&twice).contains("still waits for an answer"), "{}", said(&twice));
    let refused = psql(&stage, "select 1");
    assert!(
        said(&refused).contains("type: REQUEST acme SCOPE read FOR '1 hour' REASON '…' NECESSITY '…' TICKET '…';"),
        "{}",
        said(&refused)
    );

    owner(&stage, "POST", &format!("requests/{id}/ask-back"), r#"{"question":"which invoices?"}"#);
    let answered = row(&jane(&stage, &["request", "answer", &id, "--text", "those of May"]));
    assert_eq!(text(&answered, "status"), "open", "{answered}");
    let shown = list(&stage, &["request", "show", &id]);
    let texts: Vec<&str> = shown.iter().map(|row| text(row, "text")).collect();
    assert_eq!(texts, ["", "which invoices?", "those of May"]);
    let approved = owner(&stage, "POST", &format!("requests/{id}/approve"), r#"{"for":"30m"}"#);
    let grant = text(&approved, "grant").to_owned();
    let inside = psql(&stage, "select 'inside'");
    assert!(inside.status.success() && said(&inside).contains("inside"), "{}", said(&inside));
    let released = row(&jane(&stage, &["grant", "release", &grant]));
    assert_eq!((text(&released, "status"), text(&released, "given")), ("ended", id.as_str()), "{released}");
    let refused = psql(&stage, "select 1");
    assert!(said(&refused).contains("your grant was ended"), "what was given back opens nothing: {}", said(&refused));

    let again = row(&open(&stage, &WHY_READ));
    assert_eq!(list(&stage, &["request", "list", "--waiting"]).len(), 1);
    let withdrawn = row(&jane(&stage, &["request", "withdraw", text(&again, "id")]));
    assert_eq!(text(&withdrawn, "status"), "withdrawn", "{withdrawn}");
    assert!(list(&stage, &["request", "list", "--waiting"]).is_empty());
    assert_eq!(list(&stage, &["request", "list", "--customer", "acme", "--staff", STAFF]).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_used_once_and_guesses_are_counted_over_commands() {
    let stage = asked().await;
    let none = open(&stage, &["--code-file", &code_file(&stage, "000000").to_string_lossy()]);
    assert!(said(&none).contains("no one-time code of \"acme\" is in force"), "{}", said(&none));
    let made = owner(&stage, "POST", "code", r#"{"for":"1h"}"#);
    let code = text(&made, "code").to_owned();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let missed = open(&stage, &["--code-file", &code_file(&stage, wrong).to_string_lossy()]);
    assert!(said(&missed).contains("4 more tries"), "{}", said(&missed));
    let file = code_file(&stage, &code);
    let used = row(&open(&stage, &["--code-file", &file.to_string_lossy()]));
    assert!(text(&used, "given").starts_with('k') && text(&used, "status") == "live", "{used}");
    assert!(psql(&stage, "select 1").status.success());
    let twice = open(&stage, &["--code-file", &file.to_string_lossy()]);
    assert!(said(&twice).contains("no one-time code"), "{}", said(&twice));
    let made = owner(&stage, "POST", "code", "");
    let code = text(&made, "code").to_owned();
    let wrong = code_file(&stage, if code == "000000" { "000001" } else { "000000" });
    for left in ["4 more tries", "3 more tries", "2 more tries", "1 more tries", "it was the last try"] {
        let missed = open(&stage, &["--code-file", &wrong.to_string_lossy()]);
        assert!(said(&missed).contains(left), "{left}: {}", said(&missed));
    }
    let late = open(&stage, &["--code-file", &code_file(&stage, &code).to_string_lossy()]);
    assert!(said(&late).contains("no one-time code"), "the right one is worth nothing now: {}", said(&late));
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_and_doubts_shut_a_session_that_is_open() {
    let stage = asked().await;
    let id = text(&row(&open(&stage, &WHY_READ)), "id").to_owned();
    owner(&stage, "POST", &format!("requests/{id}/approve"), "");
    assert!(psql(&stage, "select 1").status.success());
    let elsewhere = r#"{"mode":"per-request","scope":"write","terms":{"addresses":["192.0.2.0/24"],"longest":"4h"}}"#;
    owner(&stage, "PUT", "consent", elsewhere);
    let refused = psql(&stage, "select 1");
    assert!(said(&refused).contains("does not allow access from 127.0.0.1"), "{}", said(&refused));
    let shown = list(&stage, &["consent", "show", "acme"]);
    let consent = shown.first().expect("a row");
    assert_eq!(
        (text(consent, "mode"), consent.get("longest_seconds")),
        ("per-request", Some(&14_400.into())),
        "{consent}"
    );
    owner(&stage, "PUT", "consent", r#"{"mode":"per-request","scope":"write","terms":{}}"#);
    assert!(psql(&stage, "select 1").status.success(), "the grant outlived the terms");
    let question = ["consent", "question", "acme", "--staff", STAFF, "--reason", "export to a third country"];
    assert_eq!(text(&row(&jane(&stage, &question)), "doubt"), "export to a third country");
    let paused = psql(&stage, "select 1");
    assert!(said(&paused).contains("instruction is in doubt"), "{}", said(&paused));
    owner(&stage, "POST", "doubt/answer", "");
    assert!(psql(&stage, "select 1").status.success());
}
