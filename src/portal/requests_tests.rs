use super::*;
use crate::grant::world::{reason, wish};
use crate::grant::{By, Channel, Mode, Purpose};
use crate::ids::CustomerId;
use crate::portal::test_site::{self, OLGA_PASSWORD, OLGA_TOKEN, OTTO_TOKEN, Site};

const ASK_ME: &str = r#"{"mode":"per-request","scope":"read","terms":{"longest":"4h"}}"#;

/// A site whose acme wants to be asked, and jane's request for an hour there.
async fn asked() -> (Site, String) {
    let site = Site::start().await;
    let answer = site.api("PUT", "/v1/customers/acme/consent", OLGA_TOKEN, Some(ASK_ME)).await;
    assert_eq!((answer.status, answer.json()["terms"]["longest"].as_str()), (200, Some("4h")), "{}", answer.body);
    let request = open(&site, "acme", Scope::Read);
    site.until(|state| state.requests().count() == 1).await;
    (site, request)
}

/// Jane asks for that customer; the request's id.
fn open(site: &Site, customer: &str, scope: Scope) -> String {
    let staff = site.state().staff_named("jane").expect("jane").id;
    let customer: CustomerId = site.customer(customer);
    let (lasting, start_by) = (Duration::from_secs(3600), site.now().plus(Duration::from_secs(86_400)));
    let (purpose, channel) = (Purpose::Fault, Channel::Mail);
    let what = What::RequestOpened { staff, customer, scope, lasting, start_by, purpose, channel };
    format!("r{}", site.append(By::Staff(staff), what, Some(wish())).0)
}

fn path(request: &str, answer: &str) -> String {
    format!("/v1/customers/acme/requests/{request}/{answer}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_sees_asks_back_shortens_and_approves_by_the_api() {
    let (site, request) = asked().await;
    let listed = site.api("GET", "/v1/customers/acme/requests", OLGA_TOKEN, None).await.json();
    let first = &listed["requests"][0];
    assert_eq!((first["request"].as_str(), first["status"].as_str()), (Some(request.as_str()), Some("open")));
    assert_eq!((first["for"].as_str(), first["ticket"].as_str()), (Some("1h"), Some("SUP-1")));
    assert_eq!(first["necessity"].as_str(), Some("the totals are in the rows"));
    let asked = site.api("POST", &path(&request, "ask-back"), OLGA_TOKEN, Some(r#"{"question":"which ones?"}"#)).await;
    assert_eq!((asked.status, asked.json()["status"].as_str()), (200, Some("asked-back")), "{}", asked.body);
    let more = site.api("POST", &path(&request, "approve"), OLGA_TOKEN, Some(r#"{"for":"2h"}"#)).await;
    assert_eq!(more.status, 422, "{}", more.body);
    assert!(more.body.contains("read for 1 h was asked for: approve that or less"), "{}", more.body);
    let less = site.api("POST", &path(&request, "approve"), OLGA_TOKEN, Some(r#"{"for":"30m"}"#)).await.json();
    assert_eq!(less["status"].as_str(), Some("approved"), "{less}");
    let grant = less["grant"].as_str().and_then(|grant| grant.parse().ok()).expect("a grant");
    let state = site.state();
    let grant = state.grant(grant).expect("it is issued");
    assert_eq!(grant.ends.since(grant.issued), Duration::from_secs(1800));
    let again = site.api("POST", &path(&request, "approve"), OLGA_TOKEN, None).await;
    assert!(again.status == 422 && again.body.contains("is over (approved)"), "{}", again.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_customers_is_not_there() {
    let (site, request) = asked().await;
    let own = path(&request, "approve");
    let as_if_own = own.replace("acme", "globex");
    for (path, token) in [(&own, OTTO_TOKEN), (&as_if_own, OTTO_TOKEN), (&as_if_own, OLGA_TOKEN)] {
        let answer = site.api("POST", path, token, None).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
    assert_eq!(site.api("POST", &own, "nobody-0123456789", None).await.status, 401);
    let wrong = site.api("POST", &path(&request, "aprove"), OLGA_TOKEN, None).await;
    assert!(wrong.status == 400 && wrong.body.contains("Did you mean \\\"approve\\\"?"), "{}", wrong.body);
    let list = site.api("GET", "/v1/customers/globex/requests", OTTO_TOKEN, None).await.json();
    assert_eq!(list["requests"].as_array().map(Vec::len), Some(0), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_request_and_takes_the_answer() {
    let (site, request) = asked().await;
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let page = olga.get("/").await;
    for told in ["jane", "asks to see everything for", "Why less is not enough: the totals are in the rows", "Let in"] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    let csrf = page.csrf();
    let id = format!("id={request}");
    let foreign = olga.post_with("wrong", "/requests", &[&id, "answer=approve", "lasting=30m"]).await;
    assert_eq!(foreign.status, 403, "{}", foreign.body);
    let denied = olga.post_with(&csrf, "/requests", &[&id, "answer=deny"]).await;
    assert_eq!((denied.status, denied.header("location")), (303, Some("/")), "{}", denied.body);
    site.until(|state| state.waiting_requests().count() == 0).await;
    assert!(olga.get("/").await.body.contains("Denied. Nobody was let in."));
    open(&site, "acme", Scope::Read);
    site.until(|state| state.waiting_requests().count() == 1).await;
    let second = site.state().waiting_requests().next().expect("it waits").id;
    let approve = [&format!("id={second}"), "answer=approve", "lasting=15m"];
    assert_eq!(olga.post_with(&csrf, "/requests", &approve).await.status, 303);
    site.until(|state| state.grants().count() == 1).await;
    assert!(olga.get("/").await.body.contains("Approved."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_shown_once_and_known_to_nobody_else() {
    let site = Site::start().await;
    let off = site.api("POST", "/v1/customers/acme/code", OLGA_TOKEN, None).await;
    assert!(off.status == 422 && off.body.contains("off means off"), "{}", off.body);
    assert_eq!(site.api("PUT", "/v1/customers/acme/consent", OLGA_TOKEN, Some(ASK_ME)).await.status, 200);
    site.consent("acme", Mode::PerRequest).await;
    let made = site.api("POST", "/v1/customers/acme/code", OLGA_TOKEN, Some(r#"{"for":"30m"}"#)).await.json();
    let digits = Secret::new(made["code"].as_str().expect("a code").to_owned());
    let state = site.newest().await;
    let code = state.live_code(site.customer("acme"), site.now()).expect("it lives");
    assert_eq!((code.scope, code.lasting), (Scope::Read, Duration::from_secs(1800)));
    let key = code.key_of(&digits).expect("its digits");
    let staff = state.staff_named("jane").expect("jane").id;
    let what = What::CodeRedeemed { code: code.id, staff, purpose: Purpose::Question };
    let grant = site.append_signed(&key, By::Staff(staff), what, Some(reason()));
    site.until(|state| state.grants().any(|other| other.id.0 == grant.0)).await;
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let csrf = olga.get("/").await.csrf();
    let shown = olga.post_with(&csrf, "/code", &["scope=read", "lasting=1h"]).await;
    assert!(shown.status == 200 && shown.body.contains("It works once, until"), "{}", shown.body);
    assert!(!olga.get("/").await.body.contains("It works once"));
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_are_set_on_their_page_and_contradictions_refused() {
    let (site, _) = asked().await;
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let page = olga.get("/terms").await;
    assert!(page.status == 200 && page.body.contains("value=\"4h\""), "{}", page.body);
    let (csrf, hours, seen) = (page.csrf(), "hours=mon-fri 09:00-17:00 Europe/Berlin", page.seen());
    let fields = ["longest=2h", "approvals=1", hours, "addresses=192.0.2.0/24", &seen];
    assert_eq!(olga.post_with(&csrf, "/terms", &fields).await.status, 303);
    site.until(|state| state.customer_named("acme").is_some_and(|acme| acme.consent.terms.longest.as_secs() == 7200))
        .await;
    let page = olga.get("/").await;
    assert!(page.body.contains("Saved. These terms hold from now on"), "{}", page.body);
    let page = olga.get("/terms").await;
    let seen = page.seen();
    assert!(page.body.contains("value=\"mon-fri 09:00-17:00 Europe/Berlin\""));
    for (field, says) in [
        ("longest=0s", "the longest grant is 0 s"),
        ("approvals=2", "2 owners should approve, but the account has 1"),
        ("hours=mon 09:00-10:00 Europe/Berln", "did you mean Europe/Berlin?"),
        ("addresses=192.0.2.7/24", "write 192.0.2.0/24"),
        ("regions=Germany", "the two letters of a country"),
        ("longest=30d", "at most 7d are possible"),
    ] {
        let refused = olga.post_with(&csrf, "/terms", &[field, &seen]).await;
        assert!(
            (400..500).contains(&refused.status) && refused.body.to_lowercase().contains(&says.to_lowercase()),
            "{field}: {}",
            refused.body
        );
    }
}

/// A page that was opened before another owner's off neither saves terms nor moves the switch over it.
#[tokio::test(flavor = "multi_thread")]
async fn another_owners_off_outlives_a_page_that_was_opened_before() {
    let (site, _) = asked().await;
    let customer = site.customer("acme");
    let oscar = test_site::owner("oscar", "something of oscar's", "oscar-token-0123456789abcdef");
    site.append(By::Owner(site.owner("olga")), What::OwnerCreated { customer }, Some(oscar));
    site.until(|state| state.owner_named("oscar").is_some()).await;
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let (terms, switch) = (olga.get("/terms").await, olga.get("/").await);
    let off =
        site.api("PUT", "/v1/customers/acme/consent", "oscar-token-0123456789abcdef", Some(r#"{"mode":"off"}"#)).await;
    assert_eq!(off.status, 200, "{}", off.body);
    let off = site.consent("acme", Mode::Off).await;
    let csrf = terms.csrf();
    let saved = olga.post_with(&csrf, "/terms", &["longest=2h", &terms.seen()]).await;
    let on = ["mode=per-request", "scope=read", "end=open", &switch.seen()];
    let moved = olga.post_with(&csrf, "/consent", &on).await;
    for refused in [saved, moved] {
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert!(refused.body.contains("What you allow was changed meanwhile: open the page again"), "{}", refused.body);
    }
    let bare = olga.post_with(&csrf, "/consent", &["mode=per-request", "scope=read", "end=open"]).await;
    assert_eq!(bare.status, 400, "which page it is from must be said: {}", bare.body);
    assert_eq!(site.newest().await.customer(customer).map(|acme| acme.consent.clone()), Some(off));
    let page = olga.get("/terms").await;
    assert_eq!(olga.post_with(&csrf, "/terms", &["longest=2h", &page.seen()]).await.status, 303);
    let consent = site.newest().await.customer(customer).expect("acme").consent.clone();
    assert_eq!((consent.mode, consent.terms.longest), (Mode::Off, Duration::from_secs(7200)));
    assert_eq!(olga.post_with(&csrf, "/consent", &["mode=off", &switch.seen()]).await.status, 303, "off always goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_is_shown_and_answered() {
    let (site, request) = asked().await;
    let (staff, customer) = (site.state().staff_named("jane").expect("jane").id, site.customer("acme"));
    let why = Personal { reason: Some("export to a third country".to_owned()), ..Personal::default() };
    site.append(By::Staff(staff), What::InstructionQuestioned { customer }, Some(why));
    site.until(|state| state.customer(customer).is_some_and(|acme| acme.questioned.is_some())).await;
    let paused = site.api("POST", &path(&request, "approve"), OLGA_TOKEN, None).await;
    assert!(paused.status == 422 && paused.body.contains("nothing is opened until"), "{}", paused.body);
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let page = olga.get("/").await;
    assert!(page.body.contains("export to a third country"), "{}", page.body);
    assert_eq!(olga.post_with(&page.csrf(), "/doubt", &[]).await.status, 303);
    site.until(|state| state.customer(customer).is_some_and(|acme| acme.questioned.is_none())).await;
    assert_eq!(site.api("POST", &path(&request, "approve"), OLGA_TOKEN, None).await.status, 200);
}
