use super::*;
use crate::grant::world::{JANE, World};
use crate::grant::{By, Lock, Personal, StaffStep, What};

/// What stands in jane's way, coming from 10.1.2.3; empty: nothing.
fn code(world: &World, locks: &Locks, read: Timestamp) -> String {
    let (address, credential) = ([10, 1, 2, 3].into(), Timestamp::NEVER);
    let who = AtDesk { staff: JANE, address, register_read: read, credential, locks };
    at_desk(&world.state, &who, &Limits::default(), world.now).map_or_else(|refusal| refusal.code(), |_| String::new())
}

fn limited_to(network: &str) -> Option<Personal> {
    let (hours, networks) = (Some("any".to_owned()), Some(vec![network.to_owned()]));
    Some(Personal { hours, networks, ..Personal::default() })
}

#[test]
fn who_may_be_at_the_desk() {
    let (mut world, mut locks) = (World::with_people(), Locks::default());
    assert_eq!(code(&world, &locks, world.now), "", "in no team, with no grant, consent off: she may still ask");
    assert_eq!(code(&world, &locks, Timestamp(world.now.0 - 5_000_000)), "register-stale");
    let limited = What::Staff { staff: JANE, step: StaffStep::Limited };
    world.must(By::Operator, limited, limited_to("192.0.2.0/24"));
    assert_eq!(code(&world, &locks, world.now), "elsewhere");
    world.must(By::Operator, limited, limited_to("10.0.0.0/8"));
    assert_eq!(code(&world, &locks, world.now), "");
    locks.place(Lock::Staff(JANE), world.state.sequence());
    assert_eq!(code(&world, &locks, world.now), "locked");
    world.must(By::Operator, What::Staff { staff: JANE, step: StaffStep::Suspended }, None);
    assert_eq!(code(&world, &locks, world.now), "staff-suspended,locked");
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(code(&world, &Locks::default(), world.now), "staff-inactive");
}

#[test]
fn it_says_why_and_what_to_do() {
    let mut world = World::with_people();
    world.must(By::Operator, What::Staff { staff: JANE, step: StaffStep::Suspended }, None);
    let locks = Locks::default();
    let (address, credential) = ([10, 1, 2, 3].into(), Timestamp::NEVER);
    let who = AtDesk { staff: JANE, address, register_read: world.now, credential, locks: &locks };
    let refusal = at_desk(&world.state, &who, &Limits::default(), world.now).expect_err("she is suspended");
    assert_eq!(refusal.message(), "the desk is closed to you: you are suspended");
    assert_eq!(refusal.detail(&world.state), "The staff account \"jane\" is suspended since 2026-11-21 12:00 UTC.");
    assert!(refusal.hint(&world.state).contains("portreeve staff resume jane"), "{}", refusal.hint(&world.state));
}

#[test]
fn each_condition_says_why_what_is_missing_and_the_way_out() {
    let world = World::with_people();
    let table = [
        (
            DeskCondition::RegisterStale { read: world.now },
            "the register of decisions cannot be read",
            "The register was last read at 2026-11-21 12:00 UTC.",
            "Ask an operator to run \"portreeve doctor\" on the gate's machine, then connect again.",
        ),
        (DeskCondition::Gone, "your account was removed", "There is no such active staff account.", "Ask an operator."),
        (
            DeskCondition::Staff(StaffCondition::ElsewhereNetwork { address: [10, 1, 2, 3].into() }),
            "you may not come in from there",
            "\"jane\" may come in from no network at all; the client is at 10.1.2.3.",
            "Connect from a network you may come from, or ask an operator; they type: portreeve staff limit jane \
             --networks NETWORKS.",
        ),
        (DeskCondition::Locked, "you were shut out a moment ago", "The register will say by whom.", "Ask an operator."),
    ];
    for (condition, why, detail, hint) in table {
        let refusal = DeskRefusal { staff: JANE, conditions: vec![condition] };
        assert_eq!(refusal.message(), format!("the desk is closed to you: {why}"));
        assert_eq!((refusal.detail(&world.state).as_str(), refusal.hint(&world.state).as_str()), (detail, hint));
    }
}
