//! What staff get from the portal, and what is erased with it.

use rusqlite::Connection;

use super::super::act::tests::Office;
use super::*;
use crate::clock::{Clock as _, SystemClock};
use crate::grant::SECRET_BYTES;
use crate::grant::world::{JANE, portal_key, trust};

const SHOWN: ShownBy = ShownBy::Subject([4; 32]);

/// Hands one out, and dies before anything is erased.
async fn issue(office: &Office, verifier: &str) {
    let until = SystemClock.now().plus(Duration::from_secs(600));
    let what = What::Staff { staff: JANE, step: StaffStep::TokenIssued { until, code: None } };
    let build = |state: &State| {
        let standing = &state.staff(JANE).expect("she is there").standing;
        let side = standing.token_side(SHOWN, verifier.to_owned());
        Ok(Draft { by: By::Staff(JANE), what, personal: Some(side) })
    };
    office.acts.act(Some(&portal_key()), build).await.expect("she may");
}

#[tokio::test]
async fn a_short_lived_password_is_recorded_and_the_verifier_before_it_erased() {
    let office = Office::open();
    let acts = office.owner_acts();
    let until = SystemClock.now().plus(Duration::from_secs(600));
    for verifier in ["first-verifier", "second-verifier"] {
        acts.issue_token(JANE, (until, SHOWN), verifier.to_owned()).await.expect("she may");
    }
    let standing = |state: &State| state.staff(JANE).expect("she is there").standing.clone();
    let token = standing(&office.acts.register.state().expect("it verifies")).token.expect("she has one");
    assert_eq!((token.verifier.as_str(), token.until), ("second-verifier", until));
    // Whoever reads the register from its beginning sees the newest only, and a chain that verifies.
    let anew = Register::open(&office.path, trust()).expect("it verifies");
    assert_eq!(standing(&anew.state().expect("it verifies")).token, Some(token));
    let sides = anew.read_from(Sequence(4)).expect("read").into_iter().map(|stored| stored.side);
    let bodies: Vec<Option<String>> =
        sides.map(|side| side.map(|side| String::from_utf8_lossy(&side.body).into_owned())).collect();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(bodies[0].is_none() && bodies[1].as_ref().is_some_and(|body| body.contains("second-verifier")));
    let issued: Vec<_> = office.records().into_iter().map(|record| record.values.message.unwrap_or_default()).collect();
    assert!(issued.iter().all(|text| !text.contains("verifier")), "{issued:?}");
    assert!(issued[0].starts_with("token.issued s3: until ") && issued[0].ends_with(", by staff s3"), "{issued:?}");
    assert_eq!(office.story().len(), 4, "each its intent and what became of it");
    // What a process left that died before it had erased it, or that was in somebody's way, goes with the next one.
    let left = || {
        let events = anew.read_from(Sequence(4)).expect("read");
        events.into_iter().map(|stored| stored.side.is_some()).collect::<Vec<_>>()
    };
    issue(&office, "third-verifier").await;
    assert_eq!(left(), [false, true, true]);
    office
        .owner_acts_after(&acts)
        .issue_token(JANE, (until, SHOWN), "fourth-verifier".to_owned())
        .await
        .expect("she may");
    assert_eq!(left(), [false, false, false, true]);
    let refused = acts.issue_token(JANE, (until, ShownBy::Code(7)), "x".to_owned()).await;
    assert!(matches!(&refused, Err(Error::Refused(why)) if why.contains("has no second factor")), "{refused:?}");
}

#[tokio::test]
async fn secrets_of_a_factor_or_of_somebody_who_is_gone_are_erased_once_they_open_nothing() {
    let office = Office::open();
    let register = &office.acts.register;
    let left = || {
        register.erase_outdated().expect("nobody reads");
        let anew = Register::open(&office.path, trust()).expect("it verifies");
        let [one, other] = [&anew, register].map(|register| register.state().expect("it verifies"));
        assert!(one.staff(JANE) == other.staff(JANE), "one fold is as the other");
        let sides = anew.read_from(Sequence(4)).expect("read").into_iter().map(|stored| stored.side.is_some());
        sides.collect::<Vec<_>>()
    };
    let step = |step| What::Staff { staff: JANE, step };
    let secret =
        |byte: u8| Some(Personal { second_factor: Some(vec![byte; SECRET_BYTES].into()), ..Default::default() });
    office.operator(step(StaffStep::SecondFactorSet), secret(1)).await.expect("the rules allow it");
    assert_eq!(left(), [true]);
    office.operator(step(StaffStep::SecondFactorSet), secret(2)).await.expect("the rules allow it");
    assert_eq!(left(), [false, true]);
    office.operator(step(StaffStep::SecondFactorRemoved), None).await.expect("the rules allow it");
    assert_eq!(left(), [false; 3]);
    office.operator(step(StaffStep::SecondFactorSet), secret(3)).await.expect("the rules allow it");
    issue(&office, "verifier").await;
    assert_eq!(left(), [false, false, false, true, true]);
    office.operator(What::StaffRemoved { staff: JANE }, None).await.expect("the rules allow it");
    assert_eq!(left(), [false; 6]);
    let state = register.state().expect("it verifies");
    assert_eq!(state.staff(JANE).map(|jane| jane.name.as_str()), Some("jane"), "who it was is still known");
}

/// Somebody who reads keeps nothing from being erased for good: it is tried again by itself.
#[tokio::test]
async fn what_was_replaced_is_overwritten_once_nobody_reads() {
    let office = Office::open();
    let acts = office.owner_acts();
    let is_left = |text: &str| {
        let files = ["sqlite", "sqlite-wal"].map(|ending| std::fs::read(office.path.with_extension(ending)));
        let mut files = files.into_iter().map(Result::unwrap_or_default);
        files.any(|file| file.windows(text.len()).any(|bytes| bytes == text.as_bytes()))
    };
    let until = SystemClock.now().plus(Duration::from_secs(600));
    acts.issue_token(JANE, (until, SHOWN), "first-verifier".to_owned()).await.expect("she may");
    // Another daemon of the portal's died before it had erased anything.
    issue(&office, "second-verifier").await;
    let reader = Connection::open(&office.path).expect("it opens");
    reader.execute_batch("BEGIN; SELECT count(*) FROM side").expect("it reads");
    let acts = office.owner_acts_after(&acts);
    let told = acts.tidy_up().await.expect_err("somebody reads").to_string();
    assert!(told.contains("somebody reads the register"), "{told}");
    // The row is gone, so that the next one need not look for it; what it held is not.
    acts.issue_token(JANE, (until, SHOWN), "third-verifier".to_owned()).await.expect("readers are in nobody's way");
    assert!(is_left("first-verifier"));
    reader.execute_batch("COMMIT").expect("it is done");
    acts.tidy_up().await.expect("nobody reads");
    let left = ["first-verifier", "second-verifier", "third-verifier"].map(is_left);
    assert_eq!(left, [false, false, true]);
}
