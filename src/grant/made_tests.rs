//! What earlier builds took: it still folds, and nobody makes the like any more.

use super::*;
use crate::clock::Timestamp;
use crate::grant::story::{all_of, invited, people};
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, minutes, trust};
use crate::grant::{AccountStep, By, INVITED_FOR, apply};

const JOE: StaffId = StaffId(4);

/// An event as an earlier build stored it: it folds, but to make it now is refused.
fn before_the_bound(world: &mut World, by: By, what: What, side: Option<Personal>, bound: impl Into<Rule>) -> OwnerId {
    let (stored, unchanged) = (world.make(by, what, side), world.state.clone());
    let refused = apply_made(&mut world.state, &stored, &trust());
    assert_eq!(refused, Err(Fault::Rule(bound.into())), "{what:?}");
    assert_eq!(all_of(&world.state), all_of(&unchanged), "what is refused changes nothing");
    assert_eq!(apply(&mut world.state, &stored, &trust()), Ok(()), "{what:?}");
    let id = OwnerId(stored.sequence.0);
    world.events.push(stored);
    id
}

fn invite(world: &World) -> What {
    What::OwnerInvited { customer: ACME, ends: world.now.plus(INVITED_FOR) }
}

fn accepting() -> Option<Personal> {
    Some(Personal { password_hash: Some("$argon2id$…".to_owned()), ..Personal::default() })
}

#[test]
fn more_invitations_than_sixteen_fold_if_they_were_made_before() {
    let mut world = people(0);
    let (by, what, count) = (By::Owner(OLGA), invite(&world), u8::try_from(INVITED_MAX).expect("few"));
    for number in 0..count {
        world.must(by, what, Some(invited(&format!("a{number}"), number)));
    }
    let one_more = Some(invited("one-more", 100));
    let id = before_the_bound(&mut world, by, what, one_more, Rule::InvitedTooMany(ACME));
    world.must(By::Owner(id), What::OwnerAccepted { invitation: id }, accepting());
}

#[test]
fn whoever_became_an_owner_of_a_closed_account_before_is_one() {
    let mut world = people(0);
    let account = |step| What::Account { customer: ACME, step };
    let what = invite(&world);
    let sent =
        [1, 2, 3, 4].map(|code| OwnerId(world.must(By::Owner(OLGA), what, Some(invited(&format!("a{code}"), code))).0));
    world.now = minutes(10);
    world.must(By::Owner(OLGA), account(AccountStep::Closed), None);
    let closed = ClosureRule::AccessClosed(minutes(10));
    let late = before_the_bound(&mut world, By::Owner(OLGA), what, Some(invited("late", 9)), closed);
    let accepted = |id| (By::Owner(id), What::OwnerAccepted { invitation: id });
    let taken_back = |id| (By::Operator, What::OwnerUninvited { invitation: id });
    for (by, what) in [accepted(sent[0]), taken_back(sent[1])] {
        before_the_bound(&mut world, by, what, accepting().filter(|_| what.has_side()), Rule::InvitationOver);
    }
    world.must(By::Owner(late), What::OwnerAccepted { invitation: late }, accepting());
    world.must(By::Owner(OLGA), account(AccountStep::Reopened), None);
    let (by, what) = accepted(sent[2]);
    before_the_bound(&mut world, by, what, accepting(), Rule::InvitationOver);
    let active = |id| world.state.owner(id).is_some_and(|owner| owner.active);
    assert_eq!([sent[0], sent[1], sent[2], late].map(active), [true, false, true, true]);
    // What was over by itself, taken back or accepted is over in every fold.
    let end = NOON.plus(INVITED_FOR);
    for (id, now) in [(sent[0], minutes(10)), (sent[1], minutes(10)), (sent[3], end), (late, end)] {
        let (by, what) = accepted(id);
        let stored = World { now, ..world.clone() }.make(by, what, accepting());
        assert_eq!(apply(&mut world.state.clone(), &stored, &trust()), Err(Rule::InvitationOver.into()), "{id}");
    }
}

fn handed_out(world: &World, staff: StaffId, subject: u8) -> (By, What, Option<Personal>) {
    let step = StaffStep::TokenIssued { until: Timestamp(world.now.0 + 600_000_000), code: None };
    let side =
        Personal { verifier: Some("v".to_owned()), subject: Some(vec![subject; 32].into()), ..Personal::default() };
    (By::Staff(staff), What::Staff { staff, step }, Some(side))
}

#[test]
fn a_subject_of_the_provider_is_one_member_of_staff() {
    let mut world = people(0);
    let (by, what, side) = handed_out(&world, JANE, 1);
    world.must(by, what, side);
    let (by, what, side) = handed_out(&world, JOE, 1);
    before_the_bound(&mut world, by, what, side, Rule::SubjectTaken(JANE));
    // Two of them by an earlier build: each goes on, until an operator says otherwise.
    for staff in [JANE, JOE] {
        let (by, what, side) = handed_out(&world, staff, 1);
        world.must(by, what, side);
    }
    world.must(By::Operator, What::Staff { staff: JOE, step: StaffStep::SubjectForgotten }, None);
    let (by, what, side) = handed_out(&world, JOE, 1);
    assert_eq!(world.try_to(by, what, side), Err(Rule::SubjectTaken(JANE).into()));
    let (by, what, side) = handed_out(&world, JOE, 2);
    world.must(by, what, side);
    // Whoever is gone is known by nothing.
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    world.must(By::Operator, What::Staff { staff: JOE, step: StaffStep::SubjectForgotten }, None);
    let (by, what, side) = handed_out(&world, JOE, 1);
    world.must(by, what, side);
}
