use super::*;
use crate::audit::keys::Recipient;
use crate::audit::record::Kind;
use crate::clock::{Clock, SystemClock};
use crate::grant::Stage;
use crate::grant::world::{ACME, NOON, OLGA, World, minutes, reason};
use crate::register::act::tests::Office;

const VALUES: (CustomerId, RecordPart) = (ACME, RecordPart::Values);
const SKELETON: (CustomerId, RecordPart) = (ACME, RecordPart::Skeleton);

/// acme, closed at noon some days ago.
fn closed() -> World {
    let mut world = World::with_people();
    world.must(By::Operator, What::Account { customer: ACME, step: AccountStep::Closed }, None);
    world
}

fn hold(world: &mut World) -> What {
    let texts = crate::grant::Personal { authority: Some("district court".to_owned()), ..reason() };
    let what = What::HoldPlaced { customer: ACME, review: minutes(60 * 24 * 400) };
    let hold = crate::ids::HoldId(world.must(By::Operator, what, Some(texts)).0);
    What::HoldReleased { hold }
}

#[test]
fn values_are_due_after_90_days_and_the_skeleton_after_a_year_and_none_under_a_hold() {
    let terms = Terms::default();
    let day = |count: u64| NOON.plus(Duration::from_secs(count * 86_400));
    let mut world = closed();
    let due = |world: &World, now| erasures_due(&world.state, &terms, now);
    assert_eq!(due(&World::with_people(), day(1000)), [], "an open account loses nothing");
    assert_eq!(due(&world, Timestamp(day(90).0 - 1)), []);
    assert_eq!(due(&world, day(90)), [VALUES]);
    assert_eq!(due(&world, day(400)), [VALUES], "one after the other");
    let release = hold(&mut world);
    assert_eq!(due(&world, day(400)), [], "held");
    let texts = crate::grant::Personal { authority: Some("district court".to_owned()), ..reason() };
    world.must(By::Operator, release, Some(texts));
    let system = |world: &mut World, step| world.must(By::System, What::Account { customer: ACME, step }, None);
    system(&mut world, AccountStep::ErasureBegun { part: RecordPart::Values });
    hold(&mut world);
    assert_eq!(due(&world, day(90)), [VALUES], "what was begun is ended, for nobody knows what is gone already");
    system(&mut world, AccountStep::ErasureDone { part: RecordPart::Values, keys: 1 });
    assert_eq!(due(&world, day(400)), [], "the skeleton is held");
    // Immediate removal takes the values at once, and the skeleton when it is due.
    let mut world = closed();
    world.must(By::Owner(OLGA), What::Account { customer: ACME, step: AccountStep::Immediate }, None);
    assert_eq!(due(&world, NOON), [VALUES]);
    assert!(
        world.state.customer(ACME).is_some_and(|acme| acme.closure.as_ref().map(Closure::stage) == Some(Stage::Closed))
    );
}

/// Both parts are kept for no time at all.
const AT_ONCE: Terms = Terms { values_after: Duration::ZERO, skeleton_after: Duration::ZERO };

fn answers(keys: u64, pending: &[&str]) -> Result<Gone, String> {
    Ok(Gone { keys, pending: pending.iter().map(|copy| (*copy).to_owned()).collect() })
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_between_a_recorded_intent_and_a_recorded_completion_and_always_for_the_same_event() {
    let office = Office::with(&closed(), &[Recipient::Vendor, Recipient::Customer(ACME)]);
    let acts = &office.acts;
    let refused = acts.erase(VALUES, &Terms::default(), |_| async { answers(1, &[]) }).await.expect_err("too early");
    assert!(refused.to_string().contains("the values of c1 are kept until 2027-02-19"), "{refused}");
    let mut events = Vec::new();
    // The keyring is away; then a copy is; then it is done.
    let broken = acts.erase(VALUES, &AT_ONCE, |doomed| {
        events.push(doomed);
        // When it is asked, the register and the log say so already.
        let state = acts.register.state().expect("it verifies");
        let closure = state.customer(ACME).and_then(|acme| acme.closure.as_ref()).expect("closed");
        assert!(matches!(closure.values, Erasure::Begun { event, .. } if event == doomed.event));
        async { Err("nobody answers".to_owned()) }
    });
    let broken = broken.await.expect_err("not destroyed");
    assert!(matches!(&broken, Error::NotDestroyed(why) if why == "nobody answers"), "{broken}");
    assert_eq!(erasures_due(&acts.register.state().expect("read"), &Terms::default(), SystemClock.now()), [VALUES]);
    let pending = acts.erase(VALUES, &AT_ONCE, |doomed| {
        events.push(doomed);
        async { answers(1, &["/usb/keyring"]) }
    });
    assert_eq!(pending.await.expect("asked"), Erased::Pending(vec!["/usb/keyring".to_owned()]));
    let done = acts.erase(VALUES, &AT_ONCE, |doomed| {
        events.push(doomed);
        async { answers(1, &[]) }
    });
    assert_eq!(done.await.expect("done"), Erased::Done(1));
    assert!(events.iter().all(|doomed| *doomed == events[0]), "{events:?}");
    assert_eq!((events.len(), events[0].part), (3, Part::Values));
    let again = acts.erase(VALUES, &AT_ONCE, |_| async { answers(1, &[]) }).await.expect_err("done already");
    assert!(again.to_string().contains("are erased since"), "{again}");
    acts.erase(SKELETON, &AT_ONCE, |_| async { answers(1, &[]) }).await.expect("the other part");
    let records = office.records();
    let told: Vec<String> = records
        .iter()
        .map(|record| format!("{} {}", record.kind.word(), record.skeleton.verb.as_deref().unwrap_or_default()))
        .collect();
    let verbs = ["erasure.values.begun", "erasure.values.done", "erasure.skeleton.begun", "erasure.skeleton.done"];
    let expected: Vec<String> =
        verbs.iter().flat_map(|verb| [format!("intent {verb}"), format!("decided {verb}")]).collect();
    assert_eq!(told, expected);
    assert!(records.iter().all(|record| record.customer.is_none()), "sealed to the vendor, not to who is erased");
    assert!(records.iter().any(|record| record.kind == Kind::Decided && record.skeleton.count == Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_keeps_the_keys_and_the_keyring_is_not_even_asked() {
    let mut world = closed();
    hold(&mut world);
    let office = Office::with(&world, &[Recipient::Vendor, Recipient::Customer(ACME)]);
    let mut asked = false;
    let refused = office.acts.erase(VALUES, &AT_ONCE, |_| {
        asked = true;
        async { answers(1, &[]) }
    });
    let refused = refused.await.expect_err("held");
    assert!(refused.to_string().contains("a hold forbids it"), "{refused}");
    assert!(!asked);
}

#[test]
fn what_was_begun_stays_lawful_when_the_promise_gets_longer() {
    let mut world = closed();
    let begin = AccountStep::ErasureBegun { part: RecordPart::Values };
    world.must(By::System, What::Account { customer: ACME, step: begin }, None);
    let closure = world.state.customer(ACME).and_then(|acme| acme.closure.clone()).expect("closed");
    let begun = closure.values.begun().expect("begun");
    assert!(erasure_due(&closure, RecordPart::Values, &Terms::default()) > begun);
    assert_eq!(lawful_from(&closure, RecordPart::Values, &Terms::default()), begun);
    assert_eq!(lawful_from(&closure, RecordPart::Values, &AT_ONCE), NOON, "its day, if that was before");
    let skeleton = lawful_from(&closure, RecordPart::Skeleton, &Terms::default());
    assert_eq!(skeleton, erasure_due(&closure, RecordPart::Skeleton, &Terms::default()));
}
