use super::*;
use crate::grant::world::{ACME, JANE, OLGA, World, ask, issue, minutes, reason, staff};
use crate::grant::{By, Decision, Fault, Limits, Locks, Mode, Scope, What, decide};

fn name(name: &str) -> Option<Personal> {
    Some(Personal { name: Some(name.to_owned()), ..Personal::default() })
}

/// acme open for reading; jane in `support`, which looks after it; team `billing`, empty.
fn world() -> (World, TeamId) {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let billing = TeamId(world.must(By::Operator, What::Team(TeamStep::Created), name("billing")).0);
    (world, billing)
}

fn step(world: &mut World, step: TeamStep) -> Result<Sequence, Fault> {
    world.try_to(By::Operator, What::Team(step), None)
}

fn refused(world: &World) -> Option<String> {
    let locks = Locks::default();
    match decide(&world.state, &ask(world.now, &locks), &Limits::default(), world.now) {
        Decision::Allow(_) => None,
        Decision::Refuse(refusal) => Some(format!("{}: {}", refusal.code(), refusal.detail(&world.state))),
    }
}

#[test]
fn everybody_begins_in_support() {
    let (world, _) = world();
    let support = world.state.team_named("support").expect("it is there from the beginning");
    assert_eq!(world.state.members(support.id).collect::<Vec<_>>(), [(JANE, TeamRole::Support)]);
    assert_eq!(world.state.looked_after(support.id).collect::<Vec<_>>(), [ACME]);
    assert!(world.state.serves(JANE, ACME));
}

#[test]
fn without_a_team_in_common_nobody_gets_in_nor_opens_a_grant() {
    let (mut world, billing) = world();
    world.grant(Scope::Read, minutes(60));
    assert_eq!(refused(&world), None);
    step(&mut world, TeamStep::Assigned { team: billing, customer: ACME }).expect("allowed");
    step(&mut world, TeamStep::Unassigned { team: SUPPORT, customer: ACME }).expect("allowed");
    let why = refused(&world).expect("jane is not in billing");
    assert_eq!(
        why,
        "not-in-team,grant-ended: \"acme\" is looked after by team \"billing\", and \"jane\" is not in it. The vendor's \
         operator ended grant g6 at 2026-11-21 12:00 UTC."
    );
    let opened = world.try_to(By::Staff(JANE), issue(Scope::Read, minutes(60)), Some(reason()));
    assert_eq!(opened, Err(Rule::NotInTeam { staff: JANE, customer: ACME }.into()));
    step(&mut world, TeamStep::MemberAdded { team: billing, staff: JANE, role: TeamRole::Support }).expect("allowed");
    world.grant(Scope::Read, minutes(60));
    assert_eq!(refused(&world), None);
}

#[test]
fn taking_a_team_away_ends_only_what_it_carried() {
    for (other_team, ended) in [(false, true), (true, false)] {
        let (mut world, billing) = world();
        if other_team {
            step(&mut world, TeamStep::Assigned { team: billing, customer: ACME }).expect("allowed");
            let role = TeamRole::Lead;
            step(&mut world, TeamStep::MemberAdded { team: billing, staff: JANE, role }).expect("allowed");
        }
        let grant = world.grant(Scope::Read, minutes(60));
        for narrower in [
            TeamStep::MemberRemoved { team: SUPPORT, staff: JANE },
            TeamStep::Unassigned { team: SUPPORT, customer: ACME },
        ] {
            let mut world = world.clone();
            let left_out = world.state.left_out_by(narrower);
            assert_eq!(left_out, if ended { vec![grant] } else { Vec::new() }, "{narrower:?}");
            assert!(What::Team(narrower).narrows(&world.state, world.now));
            step(&mut world, narrower).expect("allowed");
            assert_eq!(world.state.grant(grant).is_some_and(|grant| grant.ended.is_some()), ended, "{narrower:?}");
        }
    }
}

#[test]
fn a_dissolved_team_is_gone_with_all_it_carried() {
    let (mut world, billing) = world();
    step(&mut world, TeamStep::Assigned { team: billing, customer: ACME }).expect("allowed");
    step(&mut world, TeamStep::MemberAdded { team: billing, staff: JANE, role: TeamRole::Lead }).expect("allowed");
    step(&mut world, TeamStep::MemberRemoved { team: SUPPORT, staff: JANE }).expect("allowed");
    assert!(world.state.serves(JANE, ACME) && world.state.vouches(JANE));
    step(&mut world, TeamStep::Dissolved { team: billing }).expect("allowed");
    assert!(!world.state.serves(JANE, ACME) && !world.state.vouches(JANE));
    assert_eq!(step(&mut world, TeamStep::Dissolved { team: billing }), Err(Rule::NoTeam(billing).into()));
    assert_eq!(step(&mut world, TeamStep::Dissolved { team: SUPPORT }), Err(Rule::SupportStays.into()));
    let again = world.try_to(By::Operator, What::Team(TeamStep::Created), name("billing"));
    assert!(matches!(again, Err(Fault::Rule(Rule::NameTaken { .. }))), "{again:?}");
}

#[test]
fn what_changes_nothing_or_names_nobody_is_refused() {
    let (mut world, billing) = world();
    let (nobody, nowhere) = (StaffId(99), CustomerId(99));
    let role = TeamRole::Support;
    for (wanted, rule) in [
        (
            TeamStep::MemberAdded { team: SUPPORT, staff: JANE, role },
            Rule::MemberAlready { team: SUPPORT, staff: JANE },
        ),
        (TeamStep::MemberAdded { team: TeamId(99), staff: JANE, role }, Rule::NoTeam(TeamId(99))),
        (TeamStep::MemberAdded { team: billing, staff: nobody, role }, Rule::NoStaff(nobody)),
        (TeamStep::MemberRemoved { team: billing, staff: JANE }, Rule::NotAMember { team: billing, staff: JANE }),
        (TeamStep::Assigned { team: SUPPORT, customer: ACME }, Rule::AssignedAlready { team: SUPPORT, customer: ACME }),
        (TeamStep::Assigned { team: billing, customer: nowhere }, Rule::NoCustomer(nowhere)),
        (TeamStep::Unassigned { team: billing, customer: ACME }, Rule::NotAssigned { team: billing, customer: ACME }),
    ] {
        assert_eq!(step(&mut world, wanted), Err(rule.into()), "{wanted:?}");
    }
    for by in [By::Staff(JANE), By::Owner(OLGA), By::System, By::VendorApp] {
        let refused = world.try_to(by, What::Team(TeamStep::Created), name("spies"));
        assert!(matches!(refused, Err(Fault::Rule(Rule::NotYours { .. }))), "{by}: {refused:?}");
    }
    for taken in ["support", "billing", "Billing", "portreeve"] {
        assert!(world.try_to(By::Operator, What::Team(TeamStep::Created), name(taken)).is_err(), "{taken}");
    }
}

#[test]
fn whoever_is_removed_is_in_no_team() {
    let (mut world, _) = world();
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(world.state.teams_of(JANE).count(), 0);
    let joe = StaffId(world.must(By::Operator, What::StaffCreated, Some(staff("joe"))).0);
    assert!(world.state.serves(joe, ACME), "who comes later begins in support all the same");
}

#[test]
fn teams_are_listed_oldest_first_and_by_whom_they_concern() {
    let (mut world, billing) = world();
    step(&mut world, TeamStep::MemberAdded { team: billing, staff: JANE, role: TeamRole::Lead }).expect("allowed");
    step(&mut world, TeamStep::Assigned { team: billing, customer: ACME }).expect("allowed");
    let state = &world.state;
    let names = |teams: Vec<&Team>| teams.into_iter().map(|team| team.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(state.teams().collect()), ["support", "billing"]);
    assert_eq!(names(state.teams_for(ACME).collect()), ["support", "billing"]);
    let of_jane: Vec<_> = state.teams_of(JANE).map(|(team, role)| (team.id, role)).collect();
    assert_eq!(of_jane, [(SUPPORT, TeamRole::Support), (billing, TeamRole::Lead)]);
    step(&mut world, TeamStep::Dissolved { team: billing }).expect("allowed");
    let all: Vec<_> = world.state.teams().map(|team| (team.id, team.dissolved)).collect();
    assert_eq!(all, [(SUPPORT, None), (billing, Some(world.now))], "a dissolved one is still known");
    assert_eq!(names(world.state.teams_for(ACME).collect()), ["support"]);
}

#[test]
fn a_step_is_said_in_words_and_narrows_where_it_takes_somebody_out() {
    let (team, staff, customer) = (TeamId(7), JANE, ACME);
    for (step, words, narrows) in [
        (TeamStep::Created, "", false),
        (TeamStep::Dissolved { team }, " t7", true),
        (TeamStep::MemberAdded { team, staff, role: TeamRole::Lead }, " t7: s3 as lead", false),
        (TeamStep::MemberRemoved { team, staff }, " t7: s3", true),
        (TeamStep::Assigned { team, customer }, " t7: c1", false),
        (TeamStep::Unassigned { team, customer }, " t7: c1", true),
    ] {
        assert_eq!((step.to_string().as_str(), step.narrows()), (words, narrows), "{}", step.verb());
    }
}
