//! npm's oidc-provider says who jane is, the portal hands her a password, and psql comes in with it; nobody else does.

use portreeve::clock::{Clock as _, SystemClock};
use portreeve::grant::{code_of, step_at};
use serde_json::Value;

use crate::ground::Ground;
use crate::second_factor;

const AMR: (&str, &str) = ("staff.oidc", "amr = [\"otp\", \"hwk\"]");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_from_the_portal_opens_the_gate_and_a_stored_one_does_not() {
    let ground = Ground::with_provider(&[AMR]).await;
    let stored = ground.stage.secret("jane.password").expect("a password");
    let lena = ground.stage.write_secret("lena.password", "correct horse battery").expect("a file");
    ground.must(&["staff", "create", "lena", "--password-file", &lena.to_string_lossy()]);

    // Neither her stored password nor one of nobody opens anything, and the two are told alike.
    let told = ground.is_turned_away("jane", &stored);
    assert!(told.contains("password authentication failed for user \"jane\""), "{told}");
    assert!(told.contains("short-lived passwords only"), "{told}");
    assert!(told.contains(&format!("Get one at {}, and connect with it.", ground.portal("/staff"))), "{told}");
    let nobody = ground.is_turned_away("nobody", &stored);
    assert_eq!(told.replace("jane", "nobody"), nobody);
    let refused = ground.stage.grant("acme", "read").expect_err("no token").to_string();
    assert!(refused.contains("short-lived password: get one at"), "{refused}");

    let first = ground.new_token("first");
    ground.stage.grant("acme", "read").expect("a grant, by the same password");
    ground.is_let_in(&first);
    ground.is_let_in(&first);
    let told = ground.is_turned_away("lena", &first);
    assert!(told.contains("password authentication failed for user \"lena\""), "it is jane's alone: {told}");

    // The same as JSON; the newest takes the place of the one before.
    let browser = ground.browser("json");
    let form = ground.at_provider(&browser);
    let shown = browser.follow(&form.url, Some("login=jane&amr=hwk"), &["Accept: application/json"], "\0");
    let answer: Value = serde_json::from_str(&shown.body).expect("JSON");
    assert_eq!((shown.status, &answer["user"]), (200, &Value::from("jane")), "{shown:?}");
    assert!(answer["until"].as_str().is_some_and(|until| until.ends_with('Z')), "{shown:?}");
    let second = answer["password"].as_str().expect("a password").to_owned();
    ground.is_let_in(&second);
    ground.is_turned_away("jane", &first);

    // It is recorded that it was handed out, and the password itself is nowhere.
    let handed = ground.records();
    let by = |verb: &str| handed.iter().filter(|record| record["verb"] == *verb).count();
    assert!(by("staff-portal") >= 2 && by("token.issued") >= 4, "{handed:#?}");
    assert!(handed.iter().any(|record| record.to_string().contains("identity provider: sub-jane by pwd, otp")));
    for password in [&first, &second] {
        let found = ground.files_with(password, &["jane.password", "jane.pgpass", "lena.pgpass", "pgpass"]);
        assert!(found.is_empty(), "{found:?}");
    }
    assert!(!ground.records().iter().any(|record| record.to_string().contains(&second)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_the_provider_or_the_portal_does_not_vouch_for_gets_none() {
    let ground = Ground::with_provider(&[AMR]).await;

    // One factor is not enough; somebody who does not work here; somebody who says no at the provider.
    ground.sign_in(&ground.browser("one"), "jane", "pwd").refuses(403, "the provider names pwd, and one of otp, hwk");
    ground.is_recorded("id-token", "a second factor is needed");
    ground.sign_in(&ground.browser("two"), "mallory", "otp").refuses(403, "no member of staff here is called");
    ground.is_recorded("staff-unknown", "mallory");
    let browser = ground.browser("three");
    let form = ground.at_provider(&browser);
    browser.follow(&form.url, Some("refuse=1"), &[], "\0").refuses(403, "the identity provider refuses: access_denied");

    // A sign-in that another browser began, as when somebody sends jane their own link, or steals hers.
    let (own, other) = (ground.browser("own"), ground.browser("other"));
    let form = ground.at_provider(&own);
    let on_the_way = own.follow(&form.url, Some("login=jane&amr=otp"), &[], "/staff/oidc/callback");
    let callback = on_the_way.next;
    assert!(callback.starts_with(&ground.portal("/staff/oidc/callback?code=")), "{callback}");
    let foreign = "this sign-in was not begun in this browser";
    other.one(&callback, None, &[]).refuses(403, foreign);
    ground.at_provider(&other);
    other.one(&callback, None, &[]).refuses(403, foreign);
    ground.is_recorded("foreign-flow", foreign);
    let cut = callback.replace("state=", "state=A");
    own.one(&cut, None, &[]).refuses(403, foreign);
    // The refusal took the cookie: the same code is worth nothing any more, not even to its own browser.
    own.one(&callback, None, &[]).refuses(403, foreign);
    // Who is signed in at the provider gets one without being asked again.
    own.follow(&ground.portal("/staff/oidc"), None, &[], "\0").password();

    // Of a sign-in that went well the provider takes the code once.
    let browser = ground.browser("again");
    let form = ground.at_provider(&browser);
    let jar = ground.place.folder.path().join("again.jar");
    let callback = browser.follow(&form.url, Some("login=jane&amr=otp"), &[], "/staff/oidc/callback").next;
    let cookies = std::fs::read(&jar).expect("cookies");
    browser.one(&callback, None, &[]).password();
    std::fs::write(&jar, cookies).expect("the cookie is back");
    browser.one(&callback, None, &[]).refuses(403, "the identity provider refuses: invalid_grant");
    ground.is_recorded("provider-refused", "invalid_grant");

    // Nor is her own password, with a second factor from here, worth one.
    let stored = ground.stage.secret("jane.password").expect("a password");
    let secret = second_factor::secret(&ground, "jane");
    let code = code_of(&secret, step_at(SystemClock.now()));
    second_factor::ask(&ground, "jane", &stored, &code).refuses(404, "by way of the identity provider only");
    let form = format!("name=jane&password={stored}&code={code}");
    let origin = format!("Origin: {}", ground.portal(""));
    let page = ground.browser("page").one(&ground.portal("/staff/token"), Some(&form), &[&origin]);
    page.refuses(404, "by way of the identity provider only");

    // Suspended: the password she has is over at once, and she gets no other.
    let token = ground.new_token("three-more");
    ground.stage.grant("acme", "read").expect("a grant");
    ground.is_let_in(&token);
    ground.must(&["staff", "suspend", "jane"]);
    let told = ground.is_turned_away("jane", &token);
    assert!(told.contains("short-lived password of user \"jane\" is over"), "{told}");
    ground.sign_in(&ground.browser("four"), "jane", "otp").refuses(403, "is suspended");
    ground.is_recorded("staff-suspended", "jane");
    ground.must(&["staff", "remove", "jane"]);
    let told = ground.is_turned_away("jane", &token);
    assert!(told.contains("password authentication failed"), "as nobody's: {told}");
    ground.sign_in(&ground.browser("five"), "jane", "otp").refuses(403, "no member of staff here is called");
    let page = ground.browser("six").one(&ground.portal("/staff"), None, &[]);
    assert!(page.status == 200 && page.body.contains("href=\"/staff/oidc\""), "{page:?}");
    assert!(!page.body.contains("<form"), "{page:?}");
}
