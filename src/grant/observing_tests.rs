use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, ask, minutes};
use crate::grant::{AccountStep, By, Lock, Locks, SUPPORT, StaffStep, TeamStep, What};
use crate::ids::Sequence;

/// Noon of the next day.
const UNTIL: Timestamp = Timestamp(NOON.0 + 24 * 60 * 60_000_000);

/// Until when jane is let in as observed; else what stands in her way.
fn answer(world: &World, locks: &Locks, now: Timestamp) -> Result<Timestamp, String> {
    let observing = Some(Observing { until: UNTIL });
    match decide_observing(&world.state, &ask(now, locks), &Limits::default(), observing, now) {
        (Decision::Allow(allowed), Some(observed)) => {
            assert_eq!((allowed.grant(), allowed.scope()), (observed.grant.id, Scope::Read));
            assert_eq!(allowed.sequence(), world.state.sequence(), "by what the register says");
            assert!(observed.grant.id.is_unissued() && world.state.grant(observed.grant.id).is_none());
            assert_eq!(observed.refusal.code(), "consent-off,no-grant");
            Ok(allowed.until())
        }
        (Decision::Allow(_), None) => Err("by a grant of her own".to_owned()),
        (Decision::Refuse(refusal), None) => Err(refusal.code()),
        (Decision::Refuse(_), Some(_)) => panic!("nobody who is refused is observed"),
    }
}

fn code(world: &World) -> String {
    answer(world, &Locks::default(), world.now).map_or_else(|code| code, |until| format!("until {until}"))
}

#[test]
fn whom_no_owner_has_decided_about_is_observed_until_the_day() {
    let world = World::with_people();
    let midnight = minutes(12 * 60);
    assert_eq!(answer(&world, &Locks::default(), minutes(1)), Ok(midnight), "a visit is of one day");
    assert_eq!(answer(&world, &Locks::default(), minutes(12 * 60 - 1)), Ok(midnight));
    assert_eq!(answer(&world, &Locks::default(), midnight), Ok(UNTIL), "the last of them ends with the roll-out");
    assert_eq!(answer(&world, &Locks::default(), UNTIL), Err("consent-off,no-grant".to_owned()), "it ends by itself");
    let (locks, now) = (Locks::default(), minutes(1));
    let (decision, observed) = decide_observing(&world.state, &ask(now, &locks), &Limits::default(), None, now);
    assert!(matches!(decision, Decision::Refuse(_)) && observed.is_none(), "without a roll-out nobody is");
}

/// Its number is the day's, hers and the customer's, and is no event's.
#[test]
fn each_visit_that_is_observed_has_a_number_of_its_own() {
    let number = |staff, customer, now| GrantId::unissued(StaffId(staff), CustomerId(customer), now).map(|id| id.0);
    // 2026-11-21 is day 20778 since 1970, and the eleventh of 32.
    let of_day = |day: u64, staff: u64, customer: u64| Some((1 << 45) + (day << 40) + (staff << 20) + customer);
    let (next_day, last) = (Timestamp(NOON.0 + 86_400_000_000), (1 << 20) - 1);
    assert_eq!(number(3, 1, NOON), of_day(10, 3, 1));
    assert_eq!(number(3, 1, next_day), of_day(11, 3, 1));
    assert_eq!(number(last, last, NOON), of_day(10, last, last));
    for (staff, customer) in [(last + 1, 1), (3, last + 1)] {
        assert_eq!(number(staff, customer, NOON), None, "a register of a million events is past its roll-out");
    }
    for (id, is_unissued) in [(0, false), (9, false), ((1 << 45) - 1, false), (1 << 45, true), ((1 << 45) + 9, true)] {
        assert_eq!(GrantId(id).is_unissued(), is_unissued, "{id}");
    }
    assert_eq!(OBSERVING_MAX.as_secs() / 86_400, 30, "a roll-out takes a month at most");
}

/// A session that is open asks again by the grant it was let in by.
#[test]
fn a_session_that_is_observed_stays_so_until_an_owner_decides() {
    let mut world = World::with_people();
    let grant = GrantId::unissued(JANE, ACME, NOON);
    assert!(grant.is_some_and(|grant| grant.0.to_string().len() <= 14), "it fits into a role's name: {grant:?}");
    let again = |world: &World| {
        let (locks, observing) = (Locks::default(), Some(Observing { until: UNTIL }));
        let ask = Ask { grant, ..ask(world.now, &locks) };
        decide_observing(&world.state, &ask, &Limits::default(), observing, world.now).1.is_some()
    };
    assert!(again(&world));
    world.now = minutes(12 * 60 - 1);
    assert!(again(&world));
    world.now = minutes(12 * 60);
    assert!(!again(&world), "the day is over");
    world.now = minutes(1);
    world.consent(Mode::PerRequest, Scope::Read, None);
    assert!(!again(&world), "from now on she has to ask");
}

#[test]
fn whatever_anybody_decided_stands() {
    for mode in [Mode::Off, Mode::PerRequest, Mode::Standing] {
        let mut world = World::with_people();
        world.consent(mode, Scope::Read, None);
        let expected = if mode == Mode::Off { "consent-off,no-grant" } else { "no-grant" };
        assert_eq!(code(&world), expected, "{mode}");
        if mode == Mode::Standing {
            world.grant(Scope::Read, minutes(60));
            assert_eq!(code(&world), "by a grant of her own");
            // An operator takes it all back: that is a decision, too.
            let off = What::ConsentSet { customer: ACME, mode: Mode::Off, scope: Scope::Read, until: None };
            world.must(By::Operator, off, None);
            assert_eq!(code(&world), "consent-off,grant-ended");
        }
    }
    let mut world = World::with_people();
    let off = What::ConsentSet { customer: ACME, mode: Mode::Off, scope: Scope::Read, until: None };
    world.must(By::Owner(OLGA), off, None);
    assert_eq!(code(&world), "consent-off,no-grant", "off that is said is off");
    let mut world = World::with_people();
    world.must(By::Owner(OLGA), What::Account { customer: ACME, step: AccountStep::Closed }, None);
    assert_eq!(code(&world), "customer-closed,no-grant");
}

#[test]
fn whatever_else_stands_in_the_way_does_so_still() {
    let mut world = World::with_people();
    world.must(By::Operator, What::Team(TeamStep::MemberRemoved { team: SUPPORT, staff: JANE }), None);
    assert_eq!(code(&world), "not-in-team,consent-off,no-grant");
    let mut world = World::with_people();
    let mut locks = Locks::default();
    locks.place(Lock::Customer(ACME), Sequence(0));
    assert_eq!(answer(&world, &locks, world.now), Err("consent-off,no-grant,locked".to_owned()));
    world.must(By::Operator, What::Staff { staff: JANE, step: StaffStep::Suspended }, None);
    assert_eq!(code(&world), "staff-suspended,consent-off,no-grant");
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(code(&world), "staff-inactive,consent-off,no-grant");
    let world = World::with_people();
    let observing = Some(Observing { until: UNTIL });
    let locks = Locks::default();
    let stale = Ask { register_read: Timestamp(0), ..ask(world.now, &locks) };
    let (decision, observed) = decide_observing(&world.state, &stale, &Limits::default(), observing, world.now);
    assert!(matches!(decision, Decision::Refuse(_)) && observed.is_none());
    let crowded = Ask { connections: 8, ..ask(world.now, &locks) };
    let (decision, observed) = decide_observing(&world.state, &crowded, &Limits::default(), observing, world.now);
    assert!(matches!(decision, Decision::Refuse(_)) && observed.is_none());
}
