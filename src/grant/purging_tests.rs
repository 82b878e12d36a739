use super::*;
use crate::ids::StaffId;

const PLAN: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];
const ANN: By = By::Staff(StaffId(1));
const BOB: By = By::Staff(StaffId(2));

fn at(second: i64) -> Timestamp {
    Timestamp(second * 1_000_000)
}

fn held(people: People) -> Purge {
    let mut purge = Purge::default();
    purge.plan(PLAN, at(1));
    assert_eq!(purge.check_held(PLAN), Ok(()));
    purge.held = Some((at(2), people));
    purge
}

#[test]
fn a_plan_that_is_held_begins_only_once_two_different_people_approved_exactly_it() {
    let mut purge = held(People::Two);
    assert_eq!(purge.check_begun(PLAN), Err(ClosureRule::Unapproved));
    assert_eq!(purge.check_approved(OTHER, ANN), Err(ClosureRule::OtherPlan));
    assert_eq!(purge.check_approved(PLAN, By::Operator), Err(ClosureRule::Unapproved), "no password of a person");
    assert_eq!(purge.check_approved(PLAN, ANN), Ok(()));
    purge.approve(ANN, at(3));
    assert_eq!(purge.check_approved(PLAN, ANN), Err(ClosureRule::SamePerson(at(3))));
    assert_eq!(purge.check_begun(PLAN), Err(ClosureRule::Unapproved), "one is not two");
    assert_eq!(purge.check_approved(PLAN, BOB), Ok(()));
    purge.approve(BOB, at(4));
    assert_eq!((purge.check_begun(PLAN), purge.waits()), (Ok(()), false));
    assert_eq!(purge.check_begun(OTHER), Err(ClosureRule::OtherPlan));
    assert_eq!(purge.check_approved(PLAN, By::Staff(StaffId(3))), Err(ClosureRule::Again(at(4))));
    purge.plan(OTHER, at(5));
    assert_eq!((purge.held, purge.approved), (None, [None; 2]), "another plan was approved by nobody");
}

#[test]
fn a_plan_is_held_once_before_it_is_begun() {
    let mut purge = held(People::Two);
    assert_eq!(purge.check_held(OTHER), Err(ClosureRule::OtherPlan));
    assert_eq!(purge.check_held(PLAN), Err(ClosureRule::Again(at(2))));
    purge.held = None;
    purge.begin(PLAN, at(3));
    assert_eq!(purge.check_held(PLAN), Err(ClosureRule::PurgeBegun(at(3))), "too late to hold it");
}

#[test]
fn an_operators_word_gives_way_to_two_people_and_is_enough_where_one_is() {
    let mut one = held(People::One);
    assert!(one.waits());
    one.approve(By::Operator, at(3));
    assert_eq!(one.check_begun(PLAN), Ok(()));
    let mut two = Purge::default();
    two.plan(PLAN, at(1));
    assert_eq!(two.check_approved(PLAN, By::Operator), Ok(()));
    two.approve(By::Operator, at(2));
    two.held = Some((at(3), People::Two));
    for by in [ANN, BOB] {
        assert!(two.waits());
        assert_eq!(two.check_approved(PLAN, by), Ok(()));
        two.approve(by, at(4));
    }
    assert!(two.is_approved(People::Two) && !two.waits());
}

#[test]
fn a_plan_that_changed_after_it_was_begun_is_made_anew_and_begun_anew() {
    let mut purge = Purge::default();
    assert_eq!(purge.check_replanned(PLAN), Err(ClosureRule::First("purge.begun")));
    purge.plan(PLAN, at(1));
    purge.begin(PLAN, at(2));
    assert_eq!(purge.check_begun(PLAN), Err(ClosureRule::PurgeBegun(at(2))));
    assert_eq!(purge.check_replanned(PLAN), Err(ClosureRule::Again(at(1))), "it is the same plan");
    assert_eq!(purge.check_replanned(OTHER), Ok(()));
    purge.replan(OTHER, at(3));
    assert_eq!((purge.begun, purge.plan_begun(), purge.replanned), (Some(at(2)), None, Some(at(3))));
    assert_eq!(purge.check_verified(), Err(ClosureRule::First("purge.begun")), "what was verified was not begun");
    purge.held = Some((at(4), People::Two));
    assert_eq!(purge.check_begun(OTHER), Err(ClosureRule::Unapproved), "above the cap it is approved anew");
    purge.approve(ANN, at(5));
    purge.approve(BOB, at(5));
    assert_eq!(purge.check_begun(OTHER), Ok(()));
    purge.begin(OTHER, at(6));
    assert_eq!((purge.begun, purge.plan_begun()), (Some(at(2)), Some(at(6))));
    purge.verified = Some((at(7), 9, 1));
    assert_eq!(purge.check_replanned(PLAN), Err(ClosureRule::Again(at(7))));
    purge.rechecked = Some((at(8), 1));
    assert_eq!((purge.came_back(), purge.check_replanned(OTHER)), (Some(at(8)), Ok(())), "rows came back");
}

/// Each row: when it was looked again, and how many rows were there; it was clean at the seventh second.
#[test]
fn rows_came_back_only_if_some_were_seen_after_it_was_clean() {
    for (again, rows, came_back) in [(8, 1, Some(at(8))), (8, 0, None), (7, 1, None), (6, 1, None)] {
        let verified = Some((at(7), 9, 1));
        let mut purge = Purge { verified, rechecked: Some((at(again), rows)), ..Purge::default() };
        assert_eq!(purge.came_back(), came_back, "{rows} at {again}");
        purge.verified = None;
        assert_eq!(purge.came_back(), None, "what was never clean did not come back");
    }
}
