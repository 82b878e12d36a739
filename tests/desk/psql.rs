//! psql at the desk: asking, being asked back, answering, a code from the phone, giving back; and what is recorded.

use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::said;
use serde_json::Value;

use crate::ground::{Ground, SOON, cell};

const WHY: &str = "REASON 'invoices show wrong totals' TICKET 'SUP-1'";

/// The first cell of the first row that psql printed unaligned.
fn first(output: &str) -> &str {
    let mut lines = output.lines().skip_while(|line| !line.contains('|'));
    lines.nth(1).and_then(|row| row.split('|').next()).expect("a row")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refusal_says_to_type_leads_to_access_and_back() {
    let ground = Ground::new(&[]).await;
    let refused = said(&ground.psql("acme", "select 1"));
    let (_, typed) = refused.split_once("with dbname=portreeve and type: ").expect("the desk is named");
    let line = typed.lines().next().unwrap_or_default();
    let line =
        line.replace("REASON '…'", "REASON 'invoices show wrong totals'").replace("TICKET '…'", "TICKET 'SUP-1'");
    let line = line.replace("NECESSITY '…'", "NECESSITY 'the totals are in the rows'");
    let asked = ground.desk(&[&line]);
    assert!(asked.status.success(), "{line}: {}", said(&asked));
    assert!(said(&asked).contains("this is the desk, jane: every line is recorded"), "{}", said(&asked));
    assert!(said(&asked).contains("its account owner is asked now"), "{}", said(&asked));
    let request = first(&said(&asked)).to_owned();
    let twice = ground.desk(&[&line]);
    assert!(!twice.status.success() && said(&twice).contains("still waits for an answer"), "{}", said(&twice));

    ground.owner("POST", &format!("requests/{request}/ask-back"), r#"{"question":"which invoices?"}"#);
    let shown = said(&ground.desk(&["SHOW requests"]));
    assert!(shown.contains("asked-back") && shown.contains("which invoices?"), "{shown}");
    let answered = said(&ground.desk(&[&format!("ANSWER {request} 'those of May'; SHOW REQUESTS;")]));
    assert_eq!(answered.matches("those of May").count(), 2, "what was done a moment ago is shown: {answered}");
    ground.owner("POST", &format!("requests/{request}/approve"), r#"{"for":"30m"}"#);
    let inside = ground.psql("acme", "select 'inside'");
    assert!(inside.status.success(), "{}", said(&inside));
    let shown = said(&ground.desk(&["SHOW CUSTOMERS", "SHOW GRANTS", "SHOW SESSION"]));
    assert!(shown.contains("connect with dbname=acme") && shown.contains("|live|"), "{shown}");
    assert!(shown.contains("jane|127.0.0.1:"), "{shown}");

    let released = said(&ground.desk(&["RELEASE acme"]));
    assert!(released.contains("|ended by staff|"), "{released}");
    let refused = said(&ground.psql("acme", "select 1"));
    assert!(refused.contains("your grant was ended"), "what was given back opens nothing: {refused}");
    let nothing = said(&ground.desk(&["RELEASE acme"]));
    assert!(nothing.contains("you have no access to \"acme\" to give back"), "{nothing}");
    let again = said(&ground.desk(&[&format!("REQUEST acme FOR '2 hours' {WHY}")]));
    assert!(again.contains("|metadata|2 h|open|"), "without more it is the least: {again}");
    let withdrawn = said(&ground.desk(&[&format!("WITHDRAW {}", first(&again).trim_start_matches('r'))]));
    assert!(withdrawn.contains("|withdrawn|"), "{withdrawn}");
    let history = ground.must(&["audit", "search", "--customer", "acme", "--kind", "decided"]);
    for verb in ["request.opened", "request.answered", "request.withdrawn", "grant.ended"] {
        assert!(history.contains(verb), "its owner sees {verb}: {history}");
    }
    ground.must(&["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_opens_at_once_and_stands_in_no_record() {
    let ground = Ground::new(&[]).await;
    let none = said(&ground.desk(&[&format!("REQUEST acme {WHY} CODE 000000")]));
    assert!(none.contains("no one-time code of \"acme\" is in force"), "{none}");
    let made = ground.owner("POST", "code", r#"{"for":"1h","scope":"read"}"#);
    let code = made.get("code").and_then(Value::as_str).expect("a code").to_owned();
    let wrong = if code == "111111" { "222222" } else { "111111" };
    let missed = said(&ground.desk(&[&format!("REQUEST acme {WHY} CODE {wrong}")]));
    assert!(missed.contains("28P01") || missed.contains("4 more tries"), "{missed}");
    let used = ground.desk(&[&format!("request acme {WHY} code '{code}'")]);
    assert!(used.status.success() && said(&used).contains("|read|live|"), "{}", said(&used));
    assert!(ground.psql("acme", "select count(*) from contacts").status.success());
    let twice = said(&ground.desk(&[&format!("REQUEST acme {WHY} CODE {code}")]));
    assert!(twice.contains("no one-time code"), "{twice}");

    let used = ground.record("desk", |record| cell(record, "text").starts_with("request acme"));
    assert!(cell(&used, "text").ends_with("code ******"), "{used}");
    assert!(cell(&used, "result").contains("REQUEST"), "{used}");
    // The three that did not open stand there too, the last of them after that one.
    let until = Instant::now() + SOON;
    let masked = |record: &&Value| cell(record, "text").ends_with(" CODE ******");
    while ground.records("desk").iter().filter(masked).count() < 3 {
        assert!(Instant::now() < until, "{:#?}", ground.records("desk"));
        std::thread::sleep(Duration::from_millis(100));
    }
    let all = ground.must(&["--format", "json", "audit", "search", "--limit", "0"]);
    for digits in [code.as_str(), wrong] {
        assert!(!all.contains(digits), "the code is in no record: {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_typed_is_recorded_first_and_answered_helpfully() {
    let ground = Ground::new(&[]).await;
    for (typed, says) in [
        ("SHOW HELP", "REQUEST customer FOR '2 hours'"),
        ("select * from contacts", "the desk holds no data to query"),
        ("\\d", "connect with dbname set to its name"),
        ("REQEST acme", "did you mean REQUEST?"),
        ("SHOW grants please", "\"please\" is not expected there"),
        ("REQUEST acne FOR 1h", "Type SHOW CUSTOMERS; to see those you look after."),
        ("REQUEST acme FOR 'a while'", "Write one whole number and a unit"),
        ("REQUEST acme SCOPE everything", "\"everything\" is not one of metadata, read, write"),
        ("REQUEST acme FOR 1h REASON 'why' TICKET 'SUP-1'", "reason"),
        ("REQUEST acme FOR $1", "there is no parameter $1"),
        ("WITHDRAW r1", "you have no request \"r1\""),
        ("RELEASE g1", "there is no customer and no grant \"g1\""),
        ("OPEN acme REASON 'invoices show wrong totals' TICKET 'SUP-1'", "Type: REQUEST acme FOR '1 hour'"),
        ("SET application_name = 'x'", "SET"),
        ("COPY contacts FROM STDIN", "the desk holds no data"),
    ] {
        let output = said(&ground.desk(&[typed]));
        assert!(output.contains(says), "{typed}: {output}");
    }
    let open = ground.desk(&[&format!("OPEN acme FOR 1h {WHY}")]);
    assert!(!open.status.success(), "its owner wants to be asked: {}", said(&open));
    ground.owner("PUT", "consent", r#"{"mode":"standing","scope":"read"}"#);
    let open = ground.desk(&[&format!("OPEN acme FOR 1h {WHY}")]);
    assert!(open.status.success() && said(&open).contains("|metadata|live|"), "{}", said(&open));
    let doubted = ground.desk(&["QUESTION acme REASON 'the caller was not from acme, it seems'"]);
    assert!(doubted.status.success() && said(&doubted).contains("until its account owner has answered"));
    assert!(said(&ground.psql("acme", "select 1")).contains("in doubt"), "nothing is opened meanwhile");

    let recorded = ground.records("desk");
    let of =
        |text: &str| recorded.iter().find(|record| cell(record, "text") == text).unwrap_or_else(|| panic!("{text}"));
    assert!(cell(of("select * from contacts"), "result").starts_with("0A000"));
    assert!(cell(of("SHOW HELP"), "result").contains("HELP"));
    for record in &recorded {
        assert_eq!((cell(record, "staff"), cell(record, "customer")), ("jane", "portreeve"), "{record}");
    }
    let left = ground.record("session-ended", |record| cell(record, "customer") == "portreeve");
    assert_eq!(cell(&left, "verb"), "client-left", "{left}");
}

/// An act whose process died before it was recorded what became of it is looked up by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_a_dead_proxy_left_is_resolved() {
    let mut ground = Ground::new(&[]).await;
    assert!(ground.desk(&["SHOW GRANTS"]).status.success());
    ground.stage.proxy = None;
    let folders: Vec<_> = glob(&ground, "intents");
    let [folder] = folders.as_slice() else { panic!("one folder: {folders:?}") };
    assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), 0, "nothing is left open");
    let event = "000102030405060708090a0b0c0d0e0f";
    std::fs::write(folder.join(event), "4 c1\n").expect("a note");
    ground.stage.start_proxy().expect("it starts");
    let resolved = ground.must(&["audit", "search", "--kind", "decided", "--limit", "1000"]);
    assert!(resolved.contains("resolved") && resolved.contains("superseded"), "{resolved}");
    assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), 0);
}

/// Folders of that name anywhere on the stage.
fn glob(ground: &Ground, name: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![ground.stage.path("")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|file| file == name) {
                found.push(path);
            } else if path.is_dir() && !path.is_symlink() {
                open.push(path);
            }
        }
    }
    found
}
