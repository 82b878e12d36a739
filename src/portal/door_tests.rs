use super::super::Settings;
use super::super::test_site::Site;
use super::*;
use crate::grant::{By, Personal, What};

const TOKEN: &str = "the-vendors-own-application";

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_of_whom_is_recorded_beside_a_former_name() {
    let door = Door { token: Some(sha256(TOKEN.as_bytes())), limits: Limits::default() };
    let site = Site::start_with(|settings| Settings { door, ..settings }).await;
    let customer = site.customer("acme");
    let named = Personal { name: Some("acme-gmbh".to_owned()), ..Personal::default() };
    site.append(By::Operator, What::CustomerRenamed { customer }, Some(named));
    site.newest().await;
    for (staff, customer, first, is_renamed) in [
        ("nobody", "acme", "staff-unknown", true),
        ("jane", "acme", "customer-unknown", true),
        ("nobody", "acme-gmbh", "staff-unknown", false),
    ] {
        let wish = json!({
            "staff": staff, "customer": customer, "door": "admin-panel", "action": "log in", "address": "127.0.0.1",
        });
        let answer = site.api("POST", "/v1/access", TOKEN, Some(&wish.to_string())).await;
        assert_eq!(answer.status, 403, "{}", answer.body);
        let verb = site.records().pop().and_then(|record| record.skeleton.verb).expect("a record");
        let codes: Vec<&str> = verb.split(',').collect();
        assert!(codes.contains(&first), "{verb}");
        assert_eq!(codes.contains(&"renamed"), is_renamed, "{verb}");
    }
}
