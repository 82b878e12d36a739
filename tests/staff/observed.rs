//! A roll-out: staff are let in where no owner has decided yet, it is said and recorded, and it ends by itself.
//! Not here: everything that stands in the way all the same (`src/grant/observing_tests.rs`).

use portreeve::cli::demo::stage::{STAFF, said};
use portreeve::clock::{Clock, SystemClock, Timestamp};

use serde_json::Value;

use crate::door::{DIGEST, TOKEN, ask, wish};
use crate::ground::Ground;

/// The day that is so many days ahead.
fn day(ahead: i64) -> String {
    let at = Timestamp(SystemClock.now().0 + ahead * 86_400_000_000).to_string();
    at.get(..10).expect("a day").to_owned()
}

fn psql(ground: &Ground, customer: &str, statement: &str) -> String {
    let output = ground.stage.psql(customer).expect("psql").args(["-c", statement]).output().expect("psql runs");
    said(&output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_decided_nothing_is_observed_and_whoever_decides_ends_it() {
    let line = format!("observe_until = \"{}\"", day(20));
    let ground = Ground::new(&[("limits", &line)]).await;
    // Acme's owner has switched on, and jane has no grant: that stands.
    let refused = psql(&ground, "acme", "select 1");
    assert!(refused.contains("you have no grant"), "{refused}");
    let inside = psql(&ground, "globex", "select 'inside'");
    let log = std::fs::read_to_string(ground.stage.path("proxy.log")).expect("its log");
    assert!(inside.contains("OBSERVED: this is a roll-out") && inside.contains("inside"), "{inside}: {log}");
    let written = psql(&ground, "globex", "create table mine (id int)");
    assert!(written.contains("permission denied"), "reading only: {written}");
    let search = |kind| ground.must(&["--format", "json", "audit", "search", "--customer", "globex", "--kind", kind]);
    let observed = search("observed");
    assert!(observed.contains("consent-off,no-grant") && observed.contains("has no grant"), "{observed}");
    let statements = search("statement");
    assert!(statements.contains("select 'inside'") && statements.contains("\"observed\""), "{statements}");
    assert!(ground.must(&["audit", "search", "--kind", "observed"]).contains("a roll-out"), "when it began to be");
    assert!(log.contains("OBSERVING"), "{log}");

    // Her session ends at once when the owner says no.
    let mut session = ground.stage.psql("globex").expect("psql");
    let session = session.args(["-c", "select pg_sleep(120)"]).stdout(std::process::Stdio::piped());
    let session = session.stderr(std::process::Stdio::piped()).spawn().expect("psql starts");
    let until = std::time::Instant::now() + crate::ground::SOON;
    while ground.backends().await == 0 {
        assert!(std::time::Instant::now() < until, "the session does not begin");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let since = std::time::Instant::now();
    let (status, answer) = ground.stage.set_consent("globex", r#"{"mode":"off"}"#).expect("the portal answers");
    assert_eq!(status, 200, "{answer}");
    crate::ground::ended(session, since, "switched support access off");
    let refused = psql(&ground, "globex", "select 1");
    assert!(refused.contains("its account owner has support access switched off"), "{refused}");
    ground.must(&["staff", "suspend", STAFF]);
    let refused = psql(&ground, "initech", "select 1");
    assert!(refused.contains("you are suspended") && !refused.contains("OBSERVED"), "{refused}");
    ground.must(&["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_has_come_observes_nobody_and_one_too_far_ahead_does_not_start() {
    let line = format!("observe_until = \"{}\"", day(0));
    let mut ground = Ground::new(&[("limits", &line)]).await;
    let refused = psql(&ground, "globex", "select 1");
    assert!(refused.contains("support access switched off") && !refused.contains("OBSERVED"), "{refused}");
    let file = ground.stage.configuration();
    let text = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, text.replace(&day(0), &day(40))).expect("another day");
    let fault = ground.stage.start_proxy().expect_err("it is too far ahead").to_string();
    assert!(fault.contains("more than 30 days ahead"), "{fault}");
    std::fs::write(&file, text.replace(&day(0), "soon")).expect("no day");
    let fault = ground.stage.start_proxy().expect_err("it is no day").to_string();
    assert!(fault.contains("limits.observe_until") && fault.contains("2027-01-31"), "{fault}");
}

/// What the vendor's application opens is the same decision, and as loud.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_is_not_sql_observes_as_the_gate_does() {
    let (line, token) = (format!("observe_until = \"{}\"", day(20)), format!("vendor_token_sha256 = \"{DIGEST}\""));
    let ground = Ground::new(&[("limits", &line), ("portal", &token)]).await;
    let (status, refused) = ask(&ground, TOKEN, &wish("jane", "acme"));
    assert_eq!((status, &refused["conditions"][0]["code"]), (403, &Value::from("no-grant")), "decided: {refused}");
    let (status, allowed) = ask(&ground, TOKEN, &wish("jane", "globex"));
    assert_eq!((status, &allowed["allow"], &allowed["scope"]), (200, &Value::Bool(true), &Value::from("read")));
    assert_eq!(allowed["grant"], Value::Null, "no event issued one: {allowed}");
    let observed = &allowed["observed"];
    assert!(observed["message"].as_str().is_some_and(|text| text.starts_with("OBSERVED: this is a roll-out")));
    assert_eq!(observed["refusal"]["conditions"][0]["code"], "consent-off", "what it would say without: {allowed}");
    let found = ground.must(&["--format", "json", "audit", "search", "--customer", "globex", "--kind", "observed"]);
    assert!(found.contains("consent-off,no-grant") && found.contains("admin-panel: log in as customer"), "{found}");
    let found = ground.must(&["--format", "json", "audit", "search", "--customer", "globex", "--kind", "signed-in"]);
    assert!(found.contains("admin-panel") && found.contains("\"observed\"") && found.contains("roll-out"), "{found}");
    let (status, history) =
        ground.stage.api("globex", "GET", "/v1/customers/globex/history", None).expect("it answers");
    assert!(status == 200 && history.contains("Portreeve is being introduced: you had not decided"), "{history}");
    assert!(history.contains("admin-panel"), "its owner reads where: {history}");

    let (status, answer) = ground.stage.set_consent("globex", r#"{"mode":"off"}"#).expect("the portal answers");
    assert_eq!(status, 200, "{answer}");
    let (status, refused) = ask(&ground, TOKEN, &wish("jane", "globex"));
    assert_eq!((status, &refused["conditions"][0]["code"]), (403, &Value::from("consent-off")), "{refused}");
    assert_eq!(refused["observed"], Value::Null, "whoever is refused is not observed: {refused}");
    ground.must(&["audit", "verify"]);
}
