use tempfile::TempDir;

use super::super::act::tests::Office;
use super::*;
use crate::audit::keys::Recipient;
use crate::disk::RealDisk;
use crate::grant::world::{ACME, JANE, World};
use crate::grant::{Mode, Purpose, Scope, State, wish};

const EVENT: EventId = EventId([7; 16]);

fn noted() -> (TempDir, Noted) {
    let folder = tempfile::tempdir().expect("a folder");
    let noted = Noted::open(Arc::new(RealDisk), folder.path().join("intents")).expect("a folder in it");
    (folder, noted)
}

#[tokio::test]
async fn what_is_noted_is_found_until_it_is_forgotten() {
    let (folder, noted) = noted();
    assert_eq!(noted.left().expect("an empty folder"), []);
    for customer in [Some(ACME), None] {
        let intent = OpenIntent { event: EVENT, expected: Sequence(41), customer };
        noted.note(intent).await.expect("a note");
        assert_eq!(noted.left().expect("a note"), [intent]);
    }
    std::fs::write(folder.path().join("intents/half.new"), "4").expect("what a crash left");
    noted.forget(EVENT).await.expect("it is there");
    assert_eq!(noted.left().expect("no note"), []);
    std::fs::write(folder.path().join("intents").join(EVENT.to_string()), "acme\n").expect("a file");
    let fault = noted.left().expect_err("no note").to_string();
    assert!(fault.contains("understand") && fault.contains("\"41 c7\""), "{fault}");
}

#[tokio::test]
async fn an_act_leaves_no_note_and_one_that_cannot_be_noted_is_not_done() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let office = Office::with(&world, &[Recipient::Vendor, Recipient::Customer(ACME)]);
    let (folder, noted) = noted();
    let (purpose, reason, ticket) = (Purpose::Fault, "invoices show wrong totals".to_owned(), "SUP-1".to_owned());
    let why = wish::Why { purpose, reason, ticket };
    let hour = std::time::Duration::from_secs(3600);
    let open = |_: &State| Ok(wish::opened((JANE, ACME), (Scope::Read, hour), &why, office.acts.clock.now()));
    let done = office.acts.act_noted(&noted, None, open).await.expect("standing consent");
    assert!(done.concluded && done.warnings.is_empty(), "{done:?}");
    assert_eq!(noted.left().expect("no note"), []);

    std::fs::remove_dir(folder.path().join("intents")).expect("it is empty");
    let before = office.acts.register.state().expect("a state").sequence();
    office.acts.act_noted(&noted, None, open).await.expect_err("there is nowhere to note it");
    assert_eq!(office.acts.register.state().expect("a state").sequence(), before);
    let grant = done.state.newest_grant(JANE, ACME).expect("it was issued").id;
    let released = office.acts.act_noted(&noted, None, |_| Ok(wish::released(JANE, grant))).await;
    assert!(released.expect("what narrows is done all the same").concluded);
}
