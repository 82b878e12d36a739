use super::super::Register;
use super::super::act::tests::Office;
use super::super::opened::tests::cut_off;
use super::*;
use crate::audit::keys::Recipient;
use crate::clock::{Clock as _, SystemClock};
use crate::grant::world::{ACME, JANE, World, customer, trust};
use crate::grant::{By, INVITED_FOR, Layout, Mode, Personal, SUPPORT, TeamStep, What};
use crate::ids::CustomerId;

fn office() -> Office {
    Office::with(&World::with_people(), &[Recipient::Vendor, Recipient::Customer(ACME)])
}

fn draft(what: What, personal: Option<Personal>) -> Draft {
    Draft { by: By::Operator, what, personal }
}

/// A customer of that name, its owner invited, as the next two events.
fn row(state: &State, name: &str, code: u8) -> Vec<Draft> {
    let id = CustomerId(state.sequence().0 + 1);
    let invited = Personal {
        name: Some(format!("olga@{name}.example")),
        invitation: Some(vec![code; 32].into()),
        ..Personal::default()
    };
    let ends = SystemClock.now().plus(INVITED_FOR);
    vec![
        draft(What::CustomerCreated { layout: Layout::Database }, Some(customer(name))),
        draft(What::OwnerInvited { customer: id, ends }, Some(invited)),
    ]
}

#[tokio::test]
async fn all_of_them_stand_one_behind_the_other_and_each_is_recorded_before_and_after() {
    let office = office();
    let done = office.acts.act_all(|state| Ok(row(state, "globex", 1))).await.expect("allowed");
    assert_eq!((done.sequence, done.concluded), (Sequence(5), true));
    let globex = done.state.customer_named("globex").expect("there").id;
    assert_eq!((globex, done.state.invited_to(globex).count()), (CustomerId(4), 1));
    let records = office.records();
    let said = |record: &Record| {
        let skeleton = &record.skeleton;
        (record.kind, skeleton.verb.clone().unwrap_or_default(), skeleton.sequence, skeleton.result.clone())
    };
    let written = Some("written".to_owned());
    assert_eq!(
        records.iter().map(said).collect::<Vec<_>>(),
        [
            (Kind::Intent, "customer.created".to_owned(), Some(3), None),
            (Kind::Intent, "owner.invited".to_owned(), Some(4), None),
            (Kind::Decided, "customer.created".to_owned(), Some(4), written.clone()),
            (Kind::Decided, "owner.invited".to_owned(), Some(5), written),
        ]
    );
    // The customer had no keys when this began.
    assert!(records.iter().all(|record| record.customer.is_none()));
    assert!(records.iter().all(|record| record.values.customer.as_deref() == Some("globex")), "whom they concern");
    let read = Register::open(&office.path, trust()).and_then(|register| register.state());
    assert_eq!(read.expect("it verifies").head(), done.state.head());
}

#[tokio::test]
async fn if_one_is_refused_none_is_made_and_that_is_recorded() {
    let office = office();
    let refused = office
        .acts
        .act_all(|state| {
            let mut drafts = row(state, "globex", 1);
            drafts.extend(row(state, "acme", 2));
            Ok(drafts)
        })
        .await
        .expect_err("acme is there");
    assert!(matches!(&refused, Error::Refused(why) if why.contains("\"acme\"")), "{refused}");
    let state = office.acts.register.state().expect("it verifies");
    assert_eq!(state.sequence(), Sequence(3), "nothing was added");
    let records = office.records();
    let results: Vec<_> = records.iter().map(|record| record.skeleton.result.as_deref()).collect();
    assert_eq!(results, [Some("refused")]);
}

/// globex has no keys yet: its record cannot be sealed. Nothing is recorded of those before it either, which nobody would
/// conclude.
#[tokio::test]
async fn if_one_cannot_be_recorded_none_is_begun() {
    let mut world = World::with_people();
    world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer("globex")));
    let office = Office::with(&world, &[Recipient::Vendor, Recipient::Customer(ACME)]);
    let both = |state: &State| {
        let mut drafts = row(state, "initech", 1);
        let globex = state.customer_named("globex").expect("there").id;
        let ends = SystemClock.now().plus(INVITED_FOR);
        let invited = Personal {
            name: Some("gus@globex.example".to_owned()),
            invitation: Some(vec![2; 32].into()),
            ..Personal::default()
        };
        drafts.push(draft(What::OwnerInvited { customer: globex, ends }, Some(invited)));
        Ok(drafts)
    };
    let fault = office.acts.act_all(both).await.expect_err("it cannot be recorded");
    assert!(matches!(&fault, Error::Log(crate::log::Error::NoKey { .. })), "{fault}");
    let done = office.acts.act_all(|state| Ok(row(state, "initech", 1))).await.expect("allowed");
    assert_eq!(done.sequence, Sequence(6), "nothing was added before");
    let kinds: Vec<_> = office.records().iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [Kind::Intent, Kind::Intent, Kind::Decided, Kind::Decided], "and nothing is left open");
}

#[tokio::test]
async fn what_takes_access_away_is_not_made_among_others() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, crate::grant::Scope::Read, None);
    let issued = SystemClock.now();
    world.now = issued;
    world.grant(crate::grant::Scope::Read, issued.plus(std::time::Duration::from_secs(3600)));
    let office = Office::with(&world, &[Recipient::Vendor, Recipient::Customer(ACME)]);
    let step = TeamStep::Unassigned { team: SUPPORT, customer: ACME };
    let refused = office.acts.act_all(|_| Ok(vec![draft(What::Team(step), None)])).await;
    assert!(matches!(refused, Err(Error::Bug(_))), "jane ({JANE}) has a grant that the proxies must hear of first");
    assert!(office.records().is_empty());
}

/// Two writers at once: each row of both stands whole, none twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_writer_makes_it_begin_anew_and_splits_nothing() {
    let office = office();
    let other = Register::open(&office.path, trust()).expect("it opens");
    let mut raced = false;
    let done = office.acts.act_all(|state| {
        if !std::mem::replace(&mut raced, true) {
            let between = draft(What::CustomerCreated { layout: Layout::Database }, Some(customer("initech")));
            let place = (state.sequence(), state.head());
            let id = crate::ids::EventId([9; 16]);
            let proposal = between.propose(id, SystemClock.now(), [9; 32], place);
            other.append(&proposal).expect("the other is first");
        }
        Ok(row(state, "globex", 1))
    });
    let done = done.await.expect("the second time");
    assert_eq!(done.sequence, Sequence(6));
    let globex = done.state.customer_named("globex").expect("there").id;
    assert_eq!((globex, done.state.invited_to(globex).count()), (CustomerId(5), 1));
    let records = office.records();
    let superseded = records.iter().filter(|record| record.skeleton.result.as_deref() == Some("superseded"));
    assert_eq!(superseded.count(), 2, "both of the first try");
}

/// The road is cut once the register has them.
#[tokio::test]
async fn all_of_what_nobody_can_say_yet_stays_open() {
    let mut office = office();
    let (register, cut) = cut_off(&office.path);
    office.acts.register = register;
    cut.store(2, std::sync::atomic::Ordering::SeqCst);
    let fault = office.acts.act_all(|state| Ok(row(state, "globex", 1))).await.expect_err("no answer");
    assert!(matches!(fault, Error::Unsure(_)), "{fault}");
    let open = office.left_open(0).await;
    let resolved = office.acts.resolve_open_intents(&open).await.expect("it reads");
    let found: Vec<_> = resolved.iter().map(|(_, found)| *found).collect();
    assert_eq!(found, [Some(Sequence(4)), Some(Sequence(5))]);
    assert_eq!(office.left_open(0).await, []);
}

#[tokio::test]
async fn nothing_wanted_is_nothing_done() {
    let office = office();
    let done = office.acts.act_all(|_| Ok(Vec::new())).await.expect("nothing");
    assert_eq!(done.sequence, Sequence(3));
    assert!(office.records().is_empty());
}
