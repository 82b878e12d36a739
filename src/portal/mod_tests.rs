//! Stories told with real requests: `curl` against a portal on a port of its own, with certificates made for the test.

use std::time::Duration;

use super::test_site::{Answer, OLGA_PASSWORD, OLGA_TOKEN, OTTO_TOKEN, Site, session};
use crate::audit::record::Kind;
use crate::grant::{Mode, Scope};
use crate::ids::SessionId;

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_sees_the_sign_in_and_nothing_else() {
    let site = Site::start().await;
    for path in ["/", "/history"] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")), "{path}");
        assert_eq!(answer.body, "");
    }
    let page = site.get("/sign-in").await;
    assert_eq!(page.status, 200);
    for needed in
        ["<html lang=\"en\">", "<label for=\"name\">", "<label for=\"password\">", "<main", "<h1>Sign in</h1>"]
    {
        assert!(page.body.contains(needed), "{needed} in {}", page.body);
    }
    for unneeded in ["<script", "style=", "http://"] {
        assert!(!page.body.contains(unneeded), "{unneeded} in {}", page.body);
    }
    for path in ["/consent", "/sessions/end", "/grants/end", "/sign-out"] {
        let answer = site.stranger().post(path, &["csrf=x", "mode=standing", "id=g1"]).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")), "{path}");
    }
}

/// Where they are, a whole Portreeve is needed: `tests/signing_in`.
#[tokio::test(flavor = "multi_thread")]
async fn no_short_lived_password_is_handed_out_where_the_gate_takes_stored_ones() {
    let site = Site::start().await;
    for path in ["/staff", "/staff/oidc", "/staff/oidc/callback?code=x&state=y"] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("the gate takes stored passwords"), "{path}: {}", answer.body);
    }
    let wanted = r#"{"name":"jane","password":"pencil","code":"123456"}"#;
    let answer = site.api("POST", "/v1/staff/token", "", Some(wanted)).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (404, Some("not-found")), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_headers_that_keep_it_safe() {
    let site = Site::start().await;
    for path in ["/", "/sign-in", "/no-such", "/v1/no-such", "/v1/customers/acme/consent"] {
        let answer = site.get(path).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        // Not on localhost, where other things live.
        assert_eq!(answer.header("strict-transport-security"), None);
    }
    let style = site.get("/style.css").await;
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_signs_in_switches_on_and_off_and_signs_out() {
    let site = Site::start().await;
    let olga = site.stranger();
    let answer = olga.sign_in("olga", OLGA_PASSWORD).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("__Host-portreeve="), "{cookie}");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.split("; ").any(|found| found == attribute), "{attribute} in {cookie}");
    }

    assert_eq!(site.recorded(), [(Kind::SignedIn, Some(site.owner("olga").0), "olga".to_owned())]);

    let page = olga.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Nobody may see your data."), "{}", page.body);
    assert!(page.body.contains("Ask me each time"));
    let (csrf, seen) = (page.csrf(), page.seen());

    let on = ["mode=standing", "scope=read", "end=2h", "time=", &seen];
    let answer = olga.post_with(&csrf, "/consent", &on).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{}", answer.body);
    let consent = site.consent("acme", Mode::Standing).await;
    assert_eq!((consent.mode, consent.scope), (Mode::Standing, Scope::Read));
    assert_eq!(consent.until.map(|until| until.since(consent.set_at).as_secs().div_ceil(60)), Some(120));
    let page = olga.get("/").await;
    assert!(
        page.body.contains("Saved.") && page.body.contains("Your support team may see everything"),
        "{}",
        page.body
    );
    assert!(!olga.get("/").await.body.contains("Saved."), "said once");

    let answer = olga.post_with(&csrf, "/consent", &["mode=off"]).await;
    assert_eq!(answer.status, 303);
    assert_eq!(site.consent("acme", Mode::Off).await.mode, Mode::Off);
    assert!(olga.get("/").await.body.contains("Switched off."));

    let answer = olga.post_with(&csrf, "/sign-out", &[]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")));
    let id = cookie.split(';').next().expect("a pair").to_owned();
    let replayed = site.curl(&["-H", &format!("Cookie: {id}"), &site.url("/")]).await;
    assert_eq!(replayed.header("location"), Some("/sign-in"), "the id is dead, not only forgotten by the browser");
}

/// Whoever has switched off looks at once whether it is off.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_did_is_in_the_next_answer() {
    let site = Site::start().await;
    let path = "/v1/customers/acme/consent";
    for mode in ["standing", "off", "per-request"].repeat(8) {
        let body = format!(r#"{{"mode":"{mode}","scope":"read"}}"#);
        let put = site.api("PUT", path, OLGA_TOKEN, Some(&body)).await;
        assert_eq!(put.status, 200, "{}", put.body);
        let got = site.api("GET", path, OLGA_TOKEN, None).await;
        assert_eq!(got.json()["mode"].as_str(), Some(mode), "{}", got.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer_and_then_wait() {
    let site = Site::start().await;
    let nobody = site.stranger();
    let wrong = nobody.sign_in("olga", "not it").await;
    let unknown = nobody.sign_in("orla", "not it").await;
    assert_eq!((wrong.status, unknown.status), (403, 403));
    assert_eq!(wrong.body.replace("olga", "orla"), unknown.body);
    assert!(wrong.header("set-cookie").is_none());
    let olga = Some(site.owner("olga").0);
    let refused = [(Kind::Refused, olga, "olga".to_owned()), (Kind::Refused, None, "orla".to_owned())];
    assert_eq!(site.recorded(), refused);
    for _ in 0..4 {
        assert_eq!(nobody.sign_in("olga", "not it").await.status, 403);
    }
    let late = nobody.sign_in("olga", OLGA_PASSWORD).await;
    assert_eq!(late.status, 429, "the right password does not help then");
    let wait: u64 = late.header("retry-after").expect("when").parse().expect("seconds");
    assert!((1..=900).contains(&wait), "{wait}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_from_elsewhere_changes_nothing() {
    let site = Site::start().await;
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let csrf = olga.get("/").await.csrf();
    let other = site.signed_in("olga", OLGA_PASSWORD).await.get("/").await.csrf();
    let token = format!("csrf={csrf}");
    let foreign = format!("csrf={other}");
    let from = |origin: &str| format!("Origin: {origin}");
    let tries: [(&str, String, String); 6] = [
        ("no origin", "X-Nothing: 1".to_owned(), token.clone()),
        ("another site", from("https://evil.example"), token.clone()),
        ("a sandbox", from("null"), token.clone()),
        ("plain text", from(&site.origin.replace("https", "http")), token.clone()),
        ("another session's token", from(&site.origin), foreign),
        ("an empty token", from(&site.origin), "csrf=".to_owned()),
    ];
    for (what, origin, csrf) in tries {
        let form = ["-H", &origin, "-d", &csrf, "-d", "mode=standing", "-d", "scope=write", "-d", "end=open"];
        let answer = olga.request("/consent", &form).await;
        assert_eq!(answer.status, 403, "{what}: {}", answer.body);
        let state = site.newest().await;
        assert_eq!(state.customer_named("acme").map(|acme| acme.consent.mode), Some(Mode::Off), "{what}");
    }
    let answer = olga.post("/consent", &["mode=standing"]).await;
    assert_eq!(answer.status, 400, "no token at all: {}", answer.body);
    let answer = site.curl(&["-d", "name=olga", "--data-urlencode", OLGA_PASSWORD, &site.url("/sign-in")]).await;
    assert_eq!(answer.status, 403, "nobody is signed in from another site either");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_moves_the_switch_with_an_owners_token() {
    let site = Site::start().await;
    let path = "/v1/customers/acme/consent";
    let answer = site.api("GET", path, OLGA_TOKEN, None).await;
    assert_eq!((answer.status, answer.json()["mode"].as_str()), (200, Some("off")), "{}", answer.body);

    let until = "2099-01-01T00:00:00Z";
    let wish = format!(r#"{{"mode":"standing","scope":"write","until":"{until}"}}"#);
    let answer = site.api("PUT", path, OLGA_TOKEN, Some(&wish)).await;
    let json = answer.json();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((json["mode"].as_str(), json["scope"].as_str()), (Some("standing"), Some("write")));
    assert_eq!(json["until"].as_str(), Some(until));
    assert_eq!(json["customer"]["name"].as_str(), Some("acme"));
    assert_eq!((json["set_by"]["kind"].as_str(), json["set_by"]["name"].as_str()), (Some("owner"), Some("olga")));

    let by_id = format!("/v1/customers/{}/consent", site.customer("acme"));
    let answer = site.api("PUT", &by_id, OLGA_TOKEN, Some(r#"{"mode":"off"}"#)).await;
    assert_eq!((answer.status, answer.json()["mode"].as_str()), (200, Some("off")), "{}", answer.body);
    assert_eq!(site.consent("acme", Mode::Off).await.mode, Mode::Off);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_owners_customer_looks_like_one_that_is_not_there() {
    let site = Site::start().await;
    let session = SessionId([1; 8]);
    for tail in ["consent", "history", "sessions"] {
        let there = site.api("GET", &format!("/v1/customers/globex/{tail}"), OLGA_TOKEN, None).await;
        let nowhere = site.api("GET", &format!("/v1/customers/nowhere/{tail}"), OLGA_TOKEN, None).await;
        assert_eq!((there.status, &there.body), (404, &nowhere.body), "{tail}");
        let by_id = site.customer("globex");
        let by_id = site.api("GET", &format!("/v1/customers/{by_id}/{tail}"), OLGA_TOKEN, None).await;
        assert_eq!((by_id.status, by_id.body), (404, there.body), "{tail}");
    }
    let wish = Some(r#"{"mode":"standing","scope":"read"}"#);
    assert_eq!(site.api("PUT", "/v1/customers/globex/consent", OLGA_TOKEN, wish).await.status, 404);
    let end = format!("/v1/customers/globex/sessions/{session}/end");
    assert_eq!(site.api("POST", &end, OLGA_TOKEN, Some("")).await.status, 404);
    assert_eq!(site.newest().await.customer_named("globex").map(|globex| globex.consent.mode), Some(Mode::Off));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_does_not_understand_is_refused_by_name() {
    let site = Site::start().await;
    let path = "/v1/customers/acme/consent";
    let says = |answer: &Answer, status: u16, code: &str| {
        let json = answer.json();
        assert_eq!((answer.status, json["error"]["code"].as_str()), (status, Some(code)), "{}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(json["error"]["message"].is_string() && json["error"]["hint"].is_string(), "{}", answer.body);
    };
    let put = |body: &'static str| site.api("PUT", path, OLGA_TOKEN, Some(body));
    says(&put("{\"mode\":").await, 400, "not-json");
    says(&put(r#"{"mode":"off","scop":"read"}"#).await, 400, "unknown-field");
    says(&put(r#"{"mode":"per-request","scope":"read","terms":{"hour":1}}"#).await, 400, "terms");
    says(&site.api("PUT", path, OLGA_TOKEN, Some(&" ".repeat(17_000))).await, 413, "too-large");
    says(&site.api("PUT", path, "not a token", Some(r#"{"mode":"off"}"#)).await, 401, "sign-in-needed");
    says(&site.get(path).await, 401, "sign-in-needed");
    says(&site.api("DELETE", path, OLGA_TOKEN, None).await, 405, "method");
    says(&site.api("GET", "/v1/customer/acme", OLGA_TOKEN, None).await, 404, "not-found");
    says(&site.api("GET", "/v1/customers/acme/history?limits=5", OLGA_TOKEN, None).await, 400, "unknown-parameter");
    says(&site.api("GET", "/v1/customers/acme/history?limit=0", OLGA_TOKEN, None).await, 400, "limit");
    says(&site.api("GET", "/v1/customers/acme/history?since=today", OLGA_TOKEN, None).await, 400, "not-a-time");
    let cookie_is_no_authority = site.signed_in("olga", OLGA_PASSWORD).await.get(path).await;
    says(&cookie_is_no_authority, 401, "sign-in-needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_told_in_words_newest_first_page_by_page() {
    let site = Site::start().await;
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let page = olga.get("/history").await;
    assert_eq!(page.status, 200, "{}", page.body);
    for told in [
        "jane ran a statement",
        "select '&lt;script&gt;'",
        "12 rows from contacts were sent to jane's screen",
        "Turned away. jane tried at 14:02; you had not allowed it. Nothing was shown.",
        "<time datetime=\"2026-11-21T14:02:00Z\"",
    ] {
        assert!(page.body.contains(told), "{told} in {}", page.body);
    }
    assert!(page.body.find("ran a statement") < page.body.find("Turned away"), "newest first");
    assert!(!page.body.contains("<script>") && !page.body.contains("globex"));

    let path = "/v1/customers/acme/history";
    let first = site.api("GET", &format!("{path}?limit=2"), OLGA_TOKEN, None).await.json();
    let next = first["next"].as_str().expect("there is more");
    let second = site.api("GET", &format!("{path}?limit=2&before={next}"), OLGA_TOKEN, None).await.json();
    let positions = |page: &serde_json::Value| {
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        entries.iter().filter_map(|entry| entry["position"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!((positions(&first), positions(&second)), (vec![4, 3], vec![1]));
    assert!(second["next"].is_null(), "{second}");
    let statement = &first["entries"][0];
    assert_eq!(statement["text"].as_str(), Some("select '<script>'"));
    assert_eq!((statement["outcome"]["rows"].as_u64(), statement["outcome"]["bytes"].as_u64()), (Some(12), Some(480)));

    let since = site.api("GET", &format!("{path}?since=2026-11-21T14:30:00Z"), OLGA_TOKEN, None).await.json();
    assert_eq!(positions(&since), [4, 3]);
    assert_eq!(site.readers(), [site.owner("olga"); 4], "each reading is the owner's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_ends_their_own_sessions_and_no_others() {
    let site = Site::start().await;
    let listed = site.api("GET", "/v1/customers/acme/sessions", OLGA_TOKEN, None).await.json();
    assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(listed["sessions"][0]["session"].as_str(), Some(session(1).to_string().as_str()));

    let end = |number| format!("/v1/customers/acme/sessions/{}/end", session(number));
    assert_eq!(site.api("POST", &end(3), OLGA_TOKEN, Some("")).await.status, 404, "otto's");
    assert_eq!(site.api("POST", &end(1), OTTO_TOKEN, Some("")).await.status, 404, "olga's");
    let ended = site.api("POST", &end(1), OLGA_TOKEN, Some("")).await;
    assert_eq!((ended.status, ended.json()["ended"].as_bool()), (200, Some(true)));
    assert_eq!(site.api("POST", &end(1), OLGA_TOKEN, Some("")).await.status, 404, "ended already");

    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let page = olga.get("/").await;
    assert!(page.body.contains("End jane's session now"), "{}", page.body);
    let csrf = page.csrf();
    for number in [3, 2] {
        let id = format!("id={}", session(number));
        assert_eq!(olga.post_with(&csrf, "/sessions/end", &[&id]).await.status, 303);
    }
    assert_eq!(site.sessions_left(), [session(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_works_when_the_book_does_not() {
    let site = Site::start().await;
    site.shut_the_book();
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let page = olga.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("The history cannot be read now."), "{}", page.body);
    assert!(page.body.contains("The gate does not say now who is in."), "{}", page.body);
    let on = ["mode=standing", "scope=read", "end=open", &page.seen()];
    let answer = olga.post_with(&page.csrf(), "/consent", &on).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let answer = site.api("PUT", "/v1/customers/acme/consent", OLGA_TOKEN, Some(r#"{"mode":"off"}"#)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = site.api("GET", "/v1/customers/acme/history", OLGA_TOKEN, None).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (503, Some("unavailable")));
    assert!(!answer.body.contains("keyring"), "the cause stays in our diary: {}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tls_of_this_century_and_nobody_waits_for_the_slow() {
    let site = Site::start().await;
    let silent = tokio::net::TcpStream::connect(site.address).await.expect("connects");
    for version in [&["--tls-max", "1.2"], &["--tlsv1.3", "--http1.1"]] {
        let [one, two] = version;
        assert_eq!(site.curl(&[one, two, &site.url("/sign-in")]).await.status, 200, "{version:?}");
    }
    let plain = site.url("/sign-in").replace("https", "http");
    assert_eq!(site.curl(&[&plain]).await.status, 0, "nothing is answered in plain text");
    let garbage = site.curl(&["-H", "Cookie: __Host-portreeve=\u{1}\u{fffd};;=", &site.url("/")]).await;
    assert!(garbage.status == 303 || garbage.status == 400, "{}", garbage.status);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_when_told() {
    let site = Site::start().await;
    assert_eq!(site.get("/sign-in").await.status, 200);
    let stopped = tokio::time::timeout(Duration::from_secs(8), site.stop()).await.expect("in time");
    assert!(stopped.is_ok(), "{stopped:?}");
}

#[test]
fn a_public_url_is_an_https_origin() {
    let origin = |url| super::Origin::new(url).map(|origin| (origin.text, origin.lasting)).ok();
    assert_eq!(origin("https://Portal.Example:8443/"), Some(("https://portal.example:8443".to_owned(), true)));
    assert_eq!(origin("https://portal.example:443"), Some(("https://portal.example".to_owned(), true)));
    assert_eq!(origin("https://localhost:8443"), Some(("https://localhost:8443".to_owned(), false)));
    assert_eq!(origin("https://[::1]:8443"), Some(("https://[::1]:8443".to_owned(), false)));
    for wrong in ["http://portal.example", "https://", "https://a/b", "https://a b", "portal.example", "https://u@a"] {
        assert_eq!(origin(wrong), None, "{wrong}");
    }
}
