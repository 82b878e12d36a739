//! What becomes of intents whose writer did not say so, and which there are.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::act::tests::Office;
use super::super::noted::Noted;
use super::super::opened::tests::{away, cut_off};
use super::*;
use crate::clock::{Clock as _, SystemClock};
use crate::disk::RealDisk;
use crate::entropy::{OsEntropy, random};
use crate::grant::world::{ACME, staff};
use crate::grant::{By, Draft, Mode, Scope, State, What};

#[tokio::test]
async fn open_intents_of_the_dead_are_resolved_by_id() {
    let office = Office::open();
    let written = office
        .acts
        .register
        .read_from(Sequence(3))
        .expect("it reads")
        .first()
        .map(|event| crate::grant::Event::decode(&event.content).expect("an event").id);
    let event = written.expect("there are three");
    let open = [
        OpenIntent { event, expected: Sequence(2), customer: None },
        OpenIntent { event: EventId([0xee; 16]), expected: Sequence(3), customer: Some(ACME) },
    ];
    let resolved = office.acts.resolve_open_intents(&open).await.expect("it reads");
    assert_eq!(resolved, [(open[0], Some(Sequence(3))), (open[1], None)]);
    assert_eq!(office.story(), ["decided resolved written 3", "decided resolved superseded 3"]);
}

#[tokio::test]
async fn what_a_dead_writer_was_about_to_do_is_found_in_its_log_and_resolved() {
    let office = Office::open();
    let done = office.operator(What::StaffCreated, Some(staff("joe"))).await.expect("allowed");
    assert!(done.concluded);
    let from = office.acts.log.checkpoint().size;
    let (dir, open) = (office.log_directory.as_path(), async |from| office.left_open(from).await);
    assert_eq!(open(0).await, [], "what was done in order is not open");
    assert!(has_intents(dir, 0).expect("readable"));
    assert!(!has_intents(dir, from).expect("readable"));

    // One process died between its intent and the append, the other between the append and the outcome.
    let died = async |id: [u8; 16], what: What, customer, append: bool| {
        let state = office.acts.register.state().expect("it verifies");
        let personal = matches!(what, What::StaffCreated).then(|| staff("ann"));
        let draft = Draft { by: By::Operator, what, personal };
        let place = (state.sequence(), state.head());
        let mut record = Record::new(SystemClock.now(), Kind::Intent, customer);
        record.skeleton.event = Some(EventId(id).to_string());
        record.skeleton.sequence = Some(state.sequence().0);
        office.acts.log.record(record).await.expect("durable");
        if append {
            let proposal = draft.propose(EventId(id), SystemClock.now(), random(&OsEntropy), place);
            office.acts.register.append(&proposal).expect("appended");
        }
        OpenIntent { event: EventId(id), expected: state.sequence(), customer }
    };
    let off = What::ConsentSet { customer: ACME, mode: Mode::Off, scope: Scope::Read, until: None };
    let before = died([0xaa; 16], off, Some(ACME), false).await;
    let after = died([0xbb; 16], What::StaffCreated, None, true).await;
    let found = open(from).await;
    assert_eq!(found, [before, after]);
    let resolved = office.acts.resolve_open_intents(&found).await.expect("recorded");
    assert_eq!(resolved, [(before, None), (after, Some(Sequence(after.expected.0 + 1)))]);
    assert_eq!(office.story().split_off(4), ["decided resolved superseded 4", "decided resolved written 5"]);
    assert_eq!(open(0).await, [], "once is enough");
}

/// The road is cut once the register has the event: nothing is said of what is not known, until the next start asks.
#[tokio::test]
async fn what_nobody_can_say_yet_stays_open_in_the_log_and_in_the_notes() {
    let mut office = Office::open();
    let folder = tempfile::tempdir().expect("a directory");
    let noted = Noted::open(Arc::new(RealDisk), folder.path().join("noted")).expect("a folder");
    let (register, cut) = cut_off(&office.path);
    office.acts.register = register;
    let draft = |name| Draft { by: By::Operator, what: What::StaffCreated, personal: Some(staff(name)) };
    cut.store(2, Ordering::SeqCst);
    let fault = office.acts.act_noted(&noted, None, |_| Ok(draft("joe"))).await.expect_err("no answer");
    assert!(matches!(fault, Error::Unsure(_)), "{fault}");
    let said = fault.to_string();
    assert!(said.starts_with("it is not known whether the register has the change: cannot append to"), "{said}");
    assert_eq!(office.story(), ["intent staff.created - 3"]);
    let open = office.left_open(0).await;
    assert_eq!(noted.left().expect("it reads"), open);
    let [intent] = open.as_slice() else { panic!("one: {open:?}") };
    let resolved = office.acts.resolve_open_intents(&open).await.expect("it reads");
    assert_eq!(resolved, [(*intent, Some(Sequence(4)))]);
    assert_eq!(office.story().split_off(1), ["decided resolved written 4"]);
    assert_eq!(office.left_open(0).await, []);

    // Where only the append's answer is missing, the register is asked at once.
    noted.forget(intent.event).await.expect("removed");
    cut.store(1, Ordering::SeqCst);
    let done = office.acts.act_noted(&noted, None, |_| Ok(draft("ann"))).await.expect("it is there");
    assert!(done.concluded && done.sequence == Sequence(5), "{done:?}");
    assert_eq!(noted.left().expect("it reads"), []);
    assert_eq!(office.left_open(0).await, []);
}

/// The register goes away before it is appended to: then nobody need wonder whether it has the event.
#[tokio::test]
async fn what_was_never_tried_is_not_left_open() {
    let mut office = Office::open();
    let (register, away) = away(&office.path);
    office.acts.register = register;
    let build = |_: &State| {
        away.store(true, Ordering::SeqCst);
        Ok(Draft { by: By::Operator, what: What::StaffCreated, personal: Some(staff("joe")) })
    };
    let fault = office.acts.act(None, build).await.expect_err("it is away");
    assert!(matches!(fault, Error::Server { .. }), "{fault}");
    away.store(false, Ordering::SeqCst);
    assert_eq!((office.sequence(), office.left_open(0).await), (3, Vec::new()));
    assert_eq!(office.story(), ["intent staff.created - 3", "decided staff.created unknown 3"]);
}

#[test]
fn how_far_all_is_resolved_is_noted_and_nothing_is_lost_with_the_note() {
    let directory = tempfile::tempdir().expect("a directory");
    let note = directory.path().join("resolved");
    assert_eq!(resolved_up_to(&note), 0);
    note_resolved(&note, 41).expect("written");
    assert_eq!(resolved_up_to(&note), 41);
    std::fs::write(&note, "4x").expect("spoilt");
    assert_eq!(resolved_up_to(&note), 0);
}
