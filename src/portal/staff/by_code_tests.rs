use std::time::Duration;

use super::*;
use crate::audit::record::Kind;
use crate::entropy::OsEntropy;
use crate::grant::{By, Personal, SECRET_BYTES, StaffStep, What, code_of, step_at};
use crate::ids::StaffId;
use crate::portal::Settings;
use crate::portal::attempts::Bounds;
use crate::portal::staff::Handing;
use crate::portal::test_site::{Answer, Site};
use crate::wire::scram::verifier_from_password;

const SECRET: [u8; SECRET_BYTES] = [7; SECRET_BYTES];

/// mia works here, and has a second factor.
async fn with_mia() -> Site {
    let attempts = Bounds { window: Duration::from_secs(900), per_name: 100, per_address: 100 };
    let handing = Handing::new(Duration::from_secs(600), None, true, &OsEntropy);
    let site = Site::start_with(|settings| Settings { staff: Some(handing), attempts, ..settings }).await;
    let verifier = Some(verifier_from_password("pencil", &[1; 16], ITERATIONS).to_stored());
    let mia = Personal { name: Some("mia".to_owned()), verifier, ..Personal::default() };
    let staff = StaffId(site.append(By::Operator, What::StaffCreated, Some(mia)).0);
    let secret = Personal { second_factor: Some(SECRET.to_vec().into()), ..Personal::default() };
    site.append(By::Operator, What::Staff { staff, step: StaffStep::SecondFactorSet }, Some(secret));
    site.newest().await;
    site
}

/// Asks for a password with her own, and the code of that many steps from now.
async fn ask(site: &Site, password: &str, later: u64) -> Answer {
    with_code(site, password, &code_of(&SECRET, step_at(site.now()) + later)).await
}

/// What was recorded, as kind and verb.
fn story(site: &Site) -> Vec<(Kind, String)> {
    let records = site.records().into_iter();
    records.map(|record| (record.kind, record.skeleton.verb.unwrap_or_default())).collect()
}

async fn with_code(site: &Site, password: &str, code: &str) -> Answer {
    let body = format!("{{\"name\":\"mia\",\"password\":\"{password}\",\"code\":\"{code}\"}}");
    site.api("POST", "/v1/staff/token", "", Some(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_is_stopped_though_she_signs_in_meanwhile() {
    let site = with_mia().await;
    let wrong = with_code(&site, "pencil", "none").await;
    for _ in 0..3 {
        assert_eq!(with_code(&site, "pencil", "none").await.body, wrong.body);
    }
    assert_eq!(ask(&site, "pencil", 0).await.status, 200);
    assert_eq!(with_code(&site, "pencil", "none").await.body, wrong.body);
    let blocked = ask(&site, "pencil", 1).await;
    assert_eq!((blocked.status, blocked.body), (403, wrong.body));
    assert_eq!(story(&site).pop(), Some((Kind::Refused, "codes-blocked".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_came_to_nothing_is_recorded_as_such_and_told_as_a_wrong_one() {
    let site = with_mia().await;
    let wrong = ask(&site, "pen", 0).await;
    assert_eq!((wrong.status, wrong.json()["error"]["code"].as_str()), (403, Some("not-these")), "{}", wrong.body);
    assert_eq!(ask(&site, "pencil", 0).await.status, 200);
    site.refuse_passwords();
    let late = ask(&site, "pencil", 1).await;
    assert_eq!((late.status, &late.body), (403, &wrong.body));
    let told = [
        (Kind::Refused, "wrong-password"),
        (Kind::SignedIn, "staff-portal"),
        (Kind::SignedIn, "staff-portal"),
        (Kind::Refused, "not-issued"),
    ];
    assert_eq!(story(&site), told.map(|(kind, verb)| (kind, verb.to_owned())));
    let last = site.records().pop().expect("records");
    assert_eq!(last.values.message.as_deref(), Some("that was used a moment ago"));
}
