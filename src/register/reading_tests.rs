use std::path::Path;

use super::super::at::{At as Where, Place};
use super::super::seen::Seen;
use super::*;
use crate::grant::world::{World, staff, trust};
use crate::grant::{By, Fault, Mode, Scope, What};

const SOME: usize = 5 * BATCH + 7;

/// So many events and more: staff, and switches that an owner moved and the portal signed.
fn world() -> World {
    let mut world = World::with_people();
    while world.events.len() < SOME {
        match world.events.len() % 8 {
            0 => drop(world.consent(Mode::Standing, Scope::Read, None)),
            number => {
                let name = format!("staff-{number}-{}", world.events.len());
                world.must(By::Operator, What::StaffCreated, Some(staff(&name)));
            }
        }
    }
    world
}

fn place() -> Place {
    Where::File("/register".into()).place()
}

/// What becomes of these events, which a role has seen up to there.
fn read(events: &[Stored], known: Option<Seen>) -> Result<Folded, Error> {
    let (place, trust, before) = (place(), trust(), State::default());
    let known = known.map(|seen| (seen, Path::new("/seen")));
    let wanted = Wanted { place: &place, trust: &trust, known };
    std::thread::scope(|scope| {
        let mut reading = Reading::behind(&before, wanted, scope);
        let _ = events.iter().try_for_each(|event| reading.take(event.clone()));
        reading.end()
    })
}

/// How many were folded, and what the next one was found as.
fn found(events: &[Stored], known: Option<Seen>) -> (u64, Option<Fault>) {
    let Folded { next, outcome } = read(events, known).expect("there are threads");
    let reached = next.expect("what was before is believed").sequence().0;
    match outcome {
        Ok(()) => (reached, None),
        Err(Error::Broken { fault, .. }) => (reached, Some(fault)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn however_many_they_make_the_same_state() {
    let world = world();
    for count in [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH, SOME] {
        let Folded { next, outcome } = read(&world.events[..count], None).expect("there are threads");
        outcome.expect("they fit");
        let (state, last) = (next.expect("they are believed"), count.checked_sub(1).map(|last| &world.events[last]));
        assert_eq!((state.sequence().0, state.head()), (count as u64, last.map_or([0; 32], |last| last.hash)));
    }
    let state = read(&world.events, None).expect("there are threads").next.expect("they are believed");
    assert_eq!(format!("{state:?}"), format!("{:?}", world.state));
}

#[test]
fn the_first_that_does_not_fit_is_named_and_nothing_behind_it_is_folded() {
    let world = world();
    for at in [0, 1, BATCH - 1, BATCH, 2 * BATCH + 3, SOME - 1] {
        let (before, sequence) = (at as u64, Sequence(at as u64 + 1));
        let mut events = world.events.clone();
        events[at].hash = [0; 32];
        // Another one further on is not what is told.
        events[SOME - 1].content = b"?".to_vec();
        assert_eq!(found(&events, None), (before, Some(Fault::Chain(sequence))), "hash {at}");
        let mut events = world.events.clone();
        events.remove(at);
        let expected = (at + 1 < SOME).then(|| Fault::Gap { expected: sequence, found: sequence.next() });
        assert_eq!(found(&events, None), (before, expected), "gap {at}");
        let mut events = world.events.clone();
        events[at].side = events[(at + 1) % SOME].side.clone().or_else(|| events[(at + 2) % SOME].side.clone());
        assert_eq!(found(&events, None), (before, Some(Fault::Side(sequence))), "side row {at}");
    }
}

#[test]
fn a_rule_holds_whichever_thread_looked_at_the_event() {
    let mut world = world();
    // The last one's name, once more: only the state knows that it is taken.
    let last = world.events.len() as u64;
    let again = staff(&world.state.all_staff().last().expect("there is one").name);
    let event = world.make(By::Operator, What::StaffCreated, Some(again));
    world.events.push(event);
    let (reached, fault) = found(&world.events, None);
    assert_eq!(reached, last);
    assert!(matches!(fault, Some(Fault::Rule(_))), "{fault:?}");
}

#[test]
fn signatures_are_verified_behind_what_was_seen() {
    let mut world = world();
    let signed: Vec<usize> = (0..SOME).filter(|at| world.events[*at].signature.is_some()).collect();
    let at = signed[signed.len() / 2];
    world.events[at].signature = Some([0; 64]);
    let seen = |at: usize| Seen { sequence: Sequence(at as u64 + 1), hash: world.events[at].hash };
    let fault = Some(Fault::Signature(Sequence(at as u64 + 1)));
    assert_eq!(found(&world.events, None), (at as u64, fault.clone()));
    assert_eq!(found(&world.events, Some(seen(at - 1))), (at as u64, fault));
    assert_eq!(found(&world.events, Some(seen(at))), (SOME as u64, None));
    assert_eq!(found(&world.events, Some(seen(SOME - 1))), (SOME as u64, None));
}

#[test]
fn of_another_history_nothing_is_believed() {
    let world = world();
    for at in [0, BATCH - 1, BATCH, SOME - 1] {
        let seen = Seen { sequence: Sequence(at as u64 + 1), hash: [1; 32] };
        let Folded { next, outcome } = read(&world.events, Some(seen)).expect("there are threads");
        assert!(next.is_none(), "{at}");
        assert!(matches!(outcome, Err(Error::Different { sequence, .. }) if sequence == seen.sequence), "{at}");
    }
}
