use super::*;
use crate::grant::story::{GLOBEX, all_of, end, happen, people};
use crate::grant::world::{ACME, OLGA, World, minutes, trust};
use crate::grant::{By, Stored, What, apply};
use crate::ids::Sequence;

/// Stories that leave texts of every kind, each kind at least once after what it needs; the numbers choose among names.
const STORIES: [&[usize]; 3] = [
    &[17, 0, 1, 2, 4, 3, 6, 8, 12, 9, 10, 14, 15, 13, 5],
    &[3, 3, 17, 17, 2, 5, 7, 8, 0, 15, 9, 11, 2, 4, 16],
    &[6, 14, 8, 8, 9, 12, 12, 13, 10, 1, 0, 0, 0, 17, 2],
];

/// Whether its side row is about acme: people and places of others are not.
fn is_about_acme(stored: &Stored) -> bool {
    let what = Event::decode(&stored.content).expect("it is an event").what;
    match what {
        What::StaffCreated => false,
        What::CustomerCreated { .. } => stored.sequence == Sequence(ACME.0),
        What::OwnerCreated { customer } | What::OwnerInvited { customer, .. } => customer != GLOBEX,
        _ => true,
    }
}

/// The state of those events, without what was said about acme.
fn without(events: &[Stored]) -> State {
    let mut state = State::default();
    for stored in events {
        let side = stored.side.clone().filter(|_| !is_about_acme(stored));
        apply(&mut state, &Stored { side, ..stored.clone() }, &trust()).expect("the chain holds without");
    }
    state
}

/// Those events as somebody folds them who looked away while texts about acme went that stand behind the first of them.
/// None: they refuse something by what they half know, and fold anew (`register/fold.rs`).
fn without_behind(events: &[Stored], first: usize) -> Option<State> {
    let mut state = State::default();
    for (number, stored) in events.iter().enumerate() {
        let side = stored.side.clone().filter(|_| number < first || !is_about_acme(stored));
        match apply(&mut state, &Stored { side, ..stored.clone() }, &trust()) {
            Ok(()) => {}
            Err(crate::grant::Fault::Rule(_)) => return None,
            Err(other) => panic!("the chain holds without: {other}"),
        }
    }
    Some(state)
}

fn told(lies: usize, story: &[usize], shift: usize) -> World {
    let mut world = people(lies);
    for (number, kind) in story.iter().enumerate() {
        happen(&mut world, (*kind, (number + shift) % 4));
        world.now = world.now.plus(std::time::Duration::from_secs(60));
    }
    world
}

/// What is counted of the events of all stories is in `register/forget_tests.rs`; there stories are made at random, too.
#[test]
fn with_the_event_that_forgets_a_fold_is_as_one_that_never_had_the_texts() {
    for lies in 0..3 {
        for (story, shift) in STORIES.iter().flat_map(|story| (0..4).map(move |shift| (story, shift))) {
            let mut world = told(lies, story, shift);
            assert_ne!(all_of(&world.state), all_of(&without(&world.events)), "there is something to forget");
            end(&mut world);
            let (ran, fresh) = (all_of(&world.state), all_of(&without(&world.events)));
            let differs = ran.lines().zip(fresh.lines()).find(|(one, other)| one != other);
            assert!(ran == fresh, "acme lies as {lies}, {story:?} from {shift}: {differs:?}");
        }
    }
}

/// With a name that went in between, too.
#[test]
fn whoever_looked_away_meanwhile_forgets_as_much() {
    let mut refused = 0;
    for (story, shift) in STORIES.iter().flat_map(|story| (0..4).map(move |shift| (story, shift))) {
        let mut world = told(0, story, shift);
        end(&mut world);
        let fresh = all_of(&without(&world.events));
        for first in 0..=world.events.len() {
            let Some(half) = without_behind(&world.events, first) else {
                refused += 1;
                continue;
            };
            let half = all_of(&half);
            let differs = half.lines().zip(fresh.lines()).find(|(one, other)| one != other);
            assert!(half == fresh, "{story:?} from {shift}, looked away at {first}: {differs:?}");
        }
    }
    assert!(refused < 20, "{refused} times something is refused");
}

#[test]
fn nothing_more_is_written_about_whom_nobody_knows() {
    let mut world = told(0, STORIES[0], 0);
    let hold = || What::HoldPlaced { customer: ACME, review: minutes(9999) };
    let court = || {
        let authority = Some("district court".to_owned());
        Some(crate::grant::Personal { authority, ..crate::grant::world::reason() })
    };
    assert!(world.clone().try_to(By::Operator, hold(), court()).is_ok(), "while it is known");
    end(&mut world);
    let at = world.now;
    let forgotten = Err(Rule::from(ClosureRule::Forgotten(at)).into());
    assert_eq!(world.clone().try_to(By::Operator, hold(), court()), forgotten);
    let twin = Some(crate::grant::world::owner("a-late-one"));
    assert_eq!(world.clone().try_to(By::Operator, What::OwnerCreated { customer: ACME }, twin), forgotten);
    let owner = world.state.owner(OLGA).expect("her number stays");
    assert!(!owner.active && owner.password_hash.is_empty() && owner.token_digests.is_empty(), "and nothing else");
    let nobody = What::HoldPlaced { customer: CustomerId(99), review: minutes(9999) };
    assert_eq!(world.try_to(By::Operator, nobody, court()), Err(Rule::NoCustomer(CustomerId(99)).into()));
}
