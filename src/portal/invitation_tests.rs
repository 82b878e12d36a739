//! Invitations, with real requests: accepted once, in time, by nobody else; another owner invited; and what goes wrong.

use std::time::Duration;

use super::super::Settings;
use super::super::attempts::Bounds;
use super::super::test_site::{Answer, OLGA_PASSWORD, OLGA_TOKEN, OTTO_TOKEN, Site};
use super::*;
use crate::grant::world::customer;
use crate::grant::{AccountStep, By, INVITED_FOR, Layout, Mode};
use crate::ids::CustomerId;

const CODE: &str = "a-code-of-43-characters-that-nobody-guesses";
const PASSWORD: &str = "password=a+long+enough+one";
const AGAIN: &str = "again=a+long+enough+one";

/// initech, to whose account ina is invited, for so long.
async fn with_invited(site: &Site, code: &str, lasting: Duration) -> CustomerId {
    let mut side = customer("initech");
    side.display = Some("Initech & Sons".to_owned());
    let created = What::CustomerCreated { layout: Layout::Database };
    let id = CustomerId(site.append(By::Operator, created, Some(side)).0);
    invite(site, id, code, lasting);
    site.newest().await;
    id
}

fn invite(site: &Site, customer: CustomerId, code: &str, lasting: Duration) {
    let side = Personal {
        name: Some("ina@initech.example".to_owned()),
        invitation: Some(sha256(code.as_bytes()).to_vec().into()),
        ..Personal::default()
    };
    let what = What::OwnerInvited { customer, ends: site.now().plus(lasting) };
    site.append(By::Operator, what, Some(side));
}

fn refused(answer: &Answer) {
    assert_eq!(answer.status, 410, "{}", answer.body);
    assert!(answer.body.contains("This invitation cannot be used") && answer.body.contains("ask whoever invited you"));
}

async fn accept(site: &Site, code: &str) -> Answer {
    site.stranger().post("/invitation", &[&format!("code={code}"), PASSWORD, AGAIN]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_makes_one_owner_once_and_switches_nothing_on() {
    let site = Site::start().await;
    let initech = with_invited(&site, CODE, INVITED_FOR).await;
    let link = format!("/invitation?code={CODE}");
    let page = site.get(&link).await;
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    for needed in ["Initech &amp; Sons", "ina@initech.example", "<label for=\"password\">", "nobody is allowed in"] {
        assert!(page.body.contains(needed), "{needed} in {}", page.body);
    }
    assert_eq!(site.get(&link).await.status, 200, "looking uses nothing up");

    let browser = site.stranger();
    let code = format!("code={CODE}");
    for (fields, problem) in [
        ([code.as_str(), "password=short", "again=short"], "needs 8 characters or more"),
        ([&code, PASSWORD, "again=another+one"], "The two passwords differ."),
    ] {
        let answer = browser.post("/invitation", &fields).await;
        assert!(answer.status == 400 && answer.body.contains(problem), "{}", answer.body);
    }
    let foreign = ["-H", "Origin: https://evil.example", "-d", &code, "-d", PASSWORD, "-d", AGAIN];
    assert_eq!(browser.request("/invitation", &foreign).await.status, 403);
    assert!(site.newest().await.owners_of(initech).next().is_none(), "none of that made an owner");

    let answer = accept(&site, CODE).await;
    assert!(answer.status == 200 && answer.body.contains("You are an owner of Initech &amp; Sons"), "{}", answer.body);
    let state = site.newest().await;
    let ina = state.owner_named("ina@initech.example").expect("an owner").clone();
    assert_eq!((ina.customer, state.customer(initech).map(|one| one.consent.mode)), (initech, Some(Mode::Off)));
    assert!(!ina.password_hash.contains("enough"), "a hash");
    let browser = site.signed_in("ina@initech.example", "a long enough one").await;
    assert!(browser.get("/").await.body.contains("Support access to Initech &amp; Sons"));

    // Used is used.
    refused(&accept(&site, CODE).await);
    refused(&site.get(&link).await);
    assert_eq!(site.newest().await.owners_of(initech).count(), 1);
}

/// Both arrive at the same moment: the register lets one of them in.
#[tokio::test(flavor = "multi_thread")]
async fn used_twice_at_once_it_makes_one_owner() {
    let site = Site::start().await;
    let initech = with_invited(&site, CODE, INVITED_FOR).await;
    let (one, other) = tokio::join!(accept(&site, CODE), accept(&site, CODE));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200, "one of them is an owner");
    assert!([409, 410, 422].contains(&statuses[1]), "and the other is told: {statuses:?}");
    assert_eq!(site.newest().await.owners_of(initech).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_replaced_or_never_was_opens_nothing() {
    let site = Site::start().await;
    let initech = with_invited(&site, "expired", Duration::from_millis(1)).await;
    refused(&site.get("/invitation?code=expired").await);
    refused(&accept(&site, "expired").await);
    invite(&site, initech, "replaced", INVITED_FOR);
    invite(&site, initech, "newest", INVITED_FOR);
    site.newest().await;
    refused(&accept(&site, "replaced").await);
    let open = site.state().invited_to(initech).last().expect("the newest").id;
    site.append(By::Operator, What::OwnerUninvited { invitation: open }, None);
    site.newest().await;
    refused(&accept(&site, "newest").await);
    assert_eq!(site.recorded(), [], "these were codes");
    for path in ["/invitation", "/invitation?code=", "/invitation?code=guessed"] {
        refused(&site.get(path).await);
    }
    let guesses = site.recorded();
    assert!(guesses.len() == 3 && guesses.iter().all(|(kind, owner, _)| *kind == Kind::Refused && owner.is_none()));
    for _ in 0..2 {
        refused(&site.get("/invitation?code=guessed").await);
    }
    let late = site.get("/invitation?code=guessed").await;
    assert_eq!(late.status, 429, "who guesses waits: {}", late.body);
    invite(&site, initech, CODE, INVITED_FOR);
    assert_eq!(accept(&site, CODE).await.status, 200, "and keeps nobody from their own link");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_lets_nobody_in_by_what_was_sent_before() {
    let site = Site::start().await;
    let initech = with_invited(&site, CODE, INVITED_FOR).await;
    assert_eq!(site.get(&format!("/invitation?code={CODE}")).await.status, 200);
    site.append(By::Operator, What::Account { customer: initech, step: AccountStep::Closed }, None);
    site.newest().await;
    refused(&site.get(&format!("/invitation?code={CODE}")).await);
    refused(&accept(&site, CODE).await);
    assert!(site.newest().await.owners_of(initech).next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_accepts_as_a_page_does() {
    let site = Site::start().await;
    with_invited(&site, CODE, INVITED_FOR).await;
    let send = |body: String| {
        let url = site.url("/v1/invitation");
        let site = &site;
        async move { site.curl(&["-X", "POST", "-H", "Content-Type: application/json", "-d", &body, &url]).await }
    };
    let short = send(format!(r#"{{"code":"{CODE}","password":"short"}}"#)).await;
    assert_eq!((short.status, short.json()["error"]["code"].as_str()), (400, Some("password")), "{}", short.body);
    let unclear = send("{}".to_owned()).await;
    assert_eq!(unclear.status, 400, "{}", unclear.body);
    let wrong = send(r#"{"code":"guessed","password":"a long enough one"}"#.to_owned()).await;
    assert_eq!(
        (wrong.status, wrong.json()["error"]["code"].as_str()),
        (410, Some("invitation-over")),
        "{}",
        wrong.body
    );
    let right = send(format!(r#"{{"code":"{CODE}","password":"a long enough one"}}"#)).await;
    assert_eq!((right.status, right.json()["owner"]["customer"].as_str()), (200, Some("initech")), "{}", right.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_invites_another_and_takes_it_back() {
    let site = Site::start().await;
    let acme = site.customer("acme");
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let page = olga.get("/owners").await;
    assert!(page.body.contains("<strong>olga</strong>") && page.body.contains("Invite another owner"), "{}", page.body);
    let csrf = page.csrf();
    let code_of = |body: &str| {
        let (_, rest) = body.split_once("/invitation?code=").expect("a link");
        rest.split(['<', '"']).next().expect("its code").to_owned()
    };
    let made = olga.post_with(&csrf, "/owners/invite", &["name=Otto@Acme.example"]).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let first = code_of(&made.body);
    assert!(!olga.get("/owners").await.body.contains(&first), "shown once");
    let id = site.newest().await.invited_to(acme).next().expect("one").id;
    let answer = olga.post_with(&csrf, "/owners/uninvite", &[&format!("id={id}")]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/owners")), "{}", answer.body);
    site.newest().await;
    refused(&accept(&site, &first).await);

    let made = site.api("POST", "/v1/customers/acme/owners", OLGA_TOKEN, Some(r#"{"name":"otto@acme.example"}"#)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let code = code_of(&made.body);
    let listed = site.api("GET", "/v1/customers/acme/owners", OLGA_TOKEN, None).await.json();
    assert_eq!(
        (&listed["owners"][0]["name"], &listed["invitations"][0]["name"]),
        (&Value::from("olga"), &Value::from("otto@acme.example"))
    );
    assert_eq!(accept(&site, &code).await.status, 200);
    assert_eq!(site.newest().await.owners_of(acme).count(), 2, "several owners, as several approvals need");
    for (method, path, body) in [
        ("GET", "/v1/customers/acme/owners", None),
        ("POST", "/v1/customers/acme/owners", Some(r#"{"name":"eve@acme.example"}"#)),
    ] {
        assert_eq!(site.api(method, path, OTTO_TOKEN, body).await.status, 404, "only the own account");
    }
    let created = What::CustomerCreated { layout: Layout::Database };
    let hooli = CustomerId(site.append(By::Operator, created, Some(customer("hooli"))).0);
    invite(&site, hooli, "theirs", INVITED_FOR);
    let theirs = site.newest().await.invitations().last().expect("one").id;
    let answer = olga.post_with(&csrf, "/owners/uninvite", &[&format!("id={theirs}")]).await;
    assert_eq!(answer.status, 404, "another's invitation is not there for her");
    let taken = olga.post_with(&csrf, "/owners/invite", &["name=otto"]).await;
    assert!(taken.status == 422 && taken.body.contains("otto"), "{}", taken.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn inviting_tells_nobody_who_is_an_owner_elsewhere() {
    let site = Site::start().await;
    let invite = async |token, customer, name: &str| {
        let wish = json!({ "name": name }).to_string();
        site.api("POST", &format!("/v1/customers/{customer}/owners"), token, Some(&wish)).await
    };
    let otto = site.owner("otto").to_string();
    let taken = invite(OLGA_TOKEN, "acme", "otto").await;
    assert_eq!(taken.status, 422, "{}", taken.body);
    assert!(!taken.body.contains(&otto) && !taken.body.contains("belongs to"), "{}", taken.body);
    for number in 2..=16 {
        let made = invite(OLGA_TOKEN, "acme", &format!("a{number}@acme.example")).await;
        assert_eq!(made.status, 200, "{}", made.body);
    }
    for name in ["otto", "free@acme.example"] {
        let late = invite(OLGA_TOKEN, "acme", name).await;
        assert_eq!((late.status, late.json()["error"]["code"].as_str()), (429, Some("too-many-attempts")), "{name}");
        assert!(late.header("retry-after").is_some());
    }
    // Whoever is an owner of something else invites, and signing in is counted by itself.
    assert_eq!(invite(OTTO_TOKEN, "globex", "gail@globex.example").await.status, 200);
    assert_eq!(site.stranger().sign_in("olga", OLGA_PASSWORD).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_that_is_not_read_lets_nobody_become_an_owner() {
    let site = Site::start().await;
    with_invited(&site, CODE, INVITED_FOR).await;
    site.lose_the_register();
    while site.api("GET", "/v1/customers/acme/consent", OLGA_TOKEN, None).await.status != 503 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answer = accept(&site, CODE).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
}

/// Another site's page can have an owner's browser look at links as often as it likes.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_links_use_up_no_attempt_to_sign_in() {
    let attempts = Bounds { window: Duration::from_secs(900), per_name: 5, per_address: 5 };
    let site = Site::start_with(|settings| Settings { attempts, ..settings }).await;
    let mut statuses = Vec::new();
    for number in 0..30 {
        statuses.push(site.get(&format!("/invitation?code=wrong-{number}")).await.status);
    }
    assert_eq!((&statuses[..5], statuses[5..].iter().all(|status| *status == 429)), (&[410; 5][..], true));
    assert_eq!(site.stranger().sign_in("olga", OLGA_PASSWORD).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_no_text_is_not_repeated() {
    let site = Site::start().await;
    let answer = site.api("POST", "/v1/invitation", "", Some(r#"{"code":"x","password":8276354091}"#)).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("not-an-acceptance")));
    assert!(!answer.body.contains("8276354091"), "{}", answer.body);
}
