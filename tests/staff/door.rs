//! A door that is not SQL: the vendor's application asks `POST /v1/access`, the same decision answers, and the owner
//! reads of it, allowed or not.
//! Not here: the decision itself (`src/grant`).

use std::process::Command;

use serde_json::{Value, json};

use crate::ground::Ground;

pub(crate) const TOKEN: &str = "a token of the vendor's application";
/// `printf %s "$TOKEN" | sha256sum`
pub(crate) const DIGEST: &str = "42ce51513a8d15e565c1cc87ed675438084457c62498e00df641c473b685f6b6";

/// The status and the answer.
pub(crate) fn ask(ground: &Ground, token: &str, body: &str) -> (u16, Value) {
    let header = ground.stage.write_secret("vendor.header", &format!("Authorization: Bearer {token}")).expect("a file");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20", "-X", "POST", "-w", "\n%{http_code}", "-d", body]);
    curl.arg("--cacert").arg(&ground.stage.cluster.certificates().gate_ca);
    curl.arg("-H").arg(format!("@{}", header.display())).args(["-H", "Content-Type: application/json"]);
    curl.arg(format!("https://localhost:{}/v1/access", ground.stage.portal_port()));
    let output = curl.output().expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).expect("JSON"))
}

pub(crate) fn wish(staff: &str, customer: &str) -> String {
    let (door, action, address) = ("admin-panel", "log in as customer", "127.0.0.1");
    json!({"staff": staff, "customer": customer, "door": door, "action": action, "address": address}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_decision_and_the_same_record_serve_other_doors() {
    let ground = Ground::new(&[("portal", &format!("vendor_token_sha256 = \"{DIGEST}\""))]).await;
    let (status, refused) = ask(&ground, TOKEN, &wish("jane", "acme"));
    assert_eq!((status, &refused["allow"]), (403, &Value::Bool(false)), "{refused}");
    assert_eq!(refused["conditions"][0]["code"], "no-grant", "{refused}");
    assert!(refused["conditions"][0]["hint"].as_str().is_some_and(|hint| hint.contains("dbname=portreeve and type: ")));

    ground.grant();
    let (status, allowed) = ask(&ground, TOKEN, &wish("jane", "acme"));
    assert_eq!(
        (status, &allowed["allow"], &allowed["scope"]),
        (200, &Value::Bool(true), &Value::from("read")),
        "{allowed}"
    );
    ground.must(&["staff", "suspend", "jane"]);
    let (status, refused) = ask(&ground, TOKEN, &wish("jane", "acme"));
    assert_eq!((status, &refused["conditions"][0]["code"]), (403, &Value::from("staff-suspended")), "{refused}");

    for (token, body, expected) in [
        ("another token", wish("jane", "acme"), 401),
        ("", wish("jane", "acme"), 401),
        (TOKEN, wish("nobody", "acme"), 403),
        (TOKEN, wish("lena", "nowhere"), 403),
        (TOKEN, "{}".to_owned(), 400),
        (TOKEN, wish("jane", "acme").replace("127.0.0.1", "here"), 400),
        (TOKEN, wish("jane", "acme").replace("admin-panel", ""), 400),
    ] {
        let (status, answer) = ask(&ground, token, &body);
        assert_eq!(status, expected, "{body}: {answer}");
        assert_ne!(answer["allow"], Value::Bool(true), "{answer}");
    }
    let recorded = ground.must(&["--format", "json", "audit", "search", "--customer", "acme"]);
    let of_door = recorded.lines().filter(|line| line.contains("admin-panel")).collect::<Vec<_>>();
    assert!(
        of_door.iter().any(|line| line.contains("\"allowed\"") && line.contains("log in as customer")),
        "{recorded}"
    );
    assert!(of_door.iter().any(|line| line.contains("staff-suspended")), "{recorded}");
    let (status, history) = ground.stage.api("acme", "GET", "/v1/customers/acme/history", None).expect("the portal");
    assert!(status == 200 && history.contains("admin-panel"), "its owner reads of it: {history}");
}
