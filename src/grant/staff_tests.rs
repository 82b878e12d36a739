use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, ask, minutes, staff};
use crate::grant::{
    Ask, Condition, Decision, Fault, Limits, Lock, Locks, Mode, Refusal, SUPPORT, Scope, StaffCondition, TeamRole,
    TeamStep, What, decide,
};
use crate::ids::GrantId;

const JOE: StaffId = StaffId(4);
const LENA: StaffId = StaffId(5);

/// acme open for reading, jane with a grant until 13:00; joe, and lena who leads.
fn world() -> (World, GrantId) {
    let mut world = World::with_people();
    for name in ["joe", "lena"] {
        world.must(By::Operator, What::StaffCreated, Some(staff(name)));
    }
    let lead = TeamStep::MemberAdded { team: SUPPORT, staff: LENA, role: TeamRole::Lead };
    world.must(By::Operator, What::Team(lead), None);
    world.consent(Mode::Standing, Scope::Read, None);
    let grant = world.grant(Scope::Read, minutes(60));
    (world, grant)
}

fn step(world: &mut World, by: By, step: StaffStep, personal: Option<Personal>) -> Result<Sequence, Fault> {
    world.try_to(by, What::Staff { staff: JANE, step }, personal)
}

fn limit(hours: &str, networks: &str) -> Option<Personal> {
    let some = |text: &str| Some(text.to_owned());
    let networks = networks.split(',').map(|network| network.trim().to_owned()).collect();
    Some(Personal { hours: some(hours), networks: Some(networks), ..Personal::default() })
}

fn because(reason: &str) -> Option<Personal> {
    Some(Personal { reason: Some(reason.to_owned()), ..Personal::default() })
}

/// Until when jane is let in, or everything that stands in her way.
fn answer(world: &World, limits: &Limits, now: Timestamp) -> Result<Timestamp, Refusal> {
    let locks = Locks::default();
    match decide(&world.state, &Ask { ..ask(now, &locks) }, limits, now) {
        Decision::Allow(authorized) => Ok(authorized.until()),
        Decision::Refuse(refusal) => Err(refusal),
    }
}

fn code(world: &World, limits: &Limits, now: Timestamp) -> String {
    answer(world, limits, now).map_or_else(|refusal| refusal.code(), |until| format!("until {until}"))
}

#[test]
fn whoever_is_suspended_reaches_nothing_and_their_grants_are_gone() {
    let (mut world, grant) = world();
    let suspended = What::Staff { staff: JANE, step: StaffStep::Suspended };
    assert!(suspended.narrows(&world.state, world.now));
    let mut locks = Locks::default();
    locks.place(Lock::Staff(JANE), world.state.sequence());
    step(&mut world, By::Operator, StaffStep::Suspended, None).expect("allowed");
    assert_eq!(locks.lift_confirmed(&world.state), [Lock::Staff(JANE)]);
    let refusal = answer(&world, &Limits::default(), NOON).expect_err("she is suspended");
    assert_eq!(refusal.code(), "staff-suspended,grant-ended");
    assert_eq!(
        refusal.hint(&world.state).split(". ").next(),
        Some("Ask a team lead or a member of security; they type: portreeve staff resume jane --as THEIR-NAME")
    );
    assert!(world.state.grant(grant).is_some_and(|grant| grant.ended.is_some()));
    let again = step(&mut world, By::Operator, StaffStep::Suspended, None);
    assert_eq!(again, Err(Rule::Suspended(JANE).into()));
    let opened = world.try_to(
        By::Staff(JANE),
        crate::grant::world::issue(Scope::Read, minutes(60)),
        Some(crate::grant::world::reason()),
    );
    assert_eq!(opened, Err(Rule::Suspended(JANE).into()));
    step(&mut world, By::Staff(LENA), StaffStep::Resumed, None).expect("a lead resumes");
    assert_eq!(code(&world, &Limits::default(), NOON), "grant-ended", "what had ended stays so");
    world.grant(Scope::Read, minutes(60));
    assert!(answer(&world, &Limits::default(), NOON).is_ok());
}

#[test]
fn only_somebody_else_who_vouches_resumes() {
    let (mut world, _) = world();
    assert_eq!(step(&mut world, By::Staff(LENA), StaffStep::Resumed, None), Err(Rule::NotSuspended(JANE).into()));
    step(&mut world, By::System, StaffStep::Suspended, None).expect("allowed");
    for (by, rule) in [(By::Staff(JANE), Rule::NotForOneself), (By::Staff(JOE), Rule::DoesNotVouch(JOE))] {
        assert_eq!(step(&mut world, by, StaffStep::Resumed, None), Err(rule.into()));
    }
    for by in [By::Operator, By::System, By::VendorApp, By::Owner(OLGA)] {
        let refused = step(&mut world, by, StaffStep::Resumed, None);
        assert!(matches!(refused, Err(Fault::Rule(Rule::NotYours { .. }))), "{by}: {refused:?}");
    }
    world.must(By::Operator, What::Staff { staff: LENA, step: StaffStep::Suspended }, None);
    let refused = step(&mut world, By::Staff(LENA), StaffStep::Resumed, None);
    assert_eq!(refused, Err(Rule::DoesNotVouch(LENA).into()), "a lead who is suspended does not vouch");
}

#[test]
fn who_may_suspend() {
    let (world, _) = world();
    for (by, may) in [
        (By::Operator, true),
        (By::System, true),
        (By::Staff(LENA), true),
        (By::Staff(JANE), true),
        (By::Staff(JOE), false),
        (By::Owner(OLGA), false),
        (By::VendorApp, false),
    ] {
        assert_eq!(step(&mut world.clone(), by, StaffStep::Suspended, None).is_ok(), may, "{by}");
    }
}

/// The configuration's version, what jane attested and until when (minutes after noon), and what follows at 12:10.
#[test]
fn what_must_be_attested() {
    for (required, attested, expected) in [
        (None, None, "until 2026-11-21T13:00:00.000000Z"),
        (Some(3), None, "not-attested"),
        (Some(3), Some((2, 500)), "attestation-outdated"),
        (Some(3), Some((3, 10)), "attestation-over"),
        (Some(3), Some((3, 500)), "until 2026-11-21T13:00:00.000000Z"),
        (Some(3), Some((4, 30)), "until 2026-11-21T12:30:00.000000Z"),
    ] {
        for kind in Attestation::ALL.iter().copied() {
            let (mut world, _) = world();
            if let Some((version, until)) = attested {
                let made = StaffStep::Attested { kind, version, until: minutes(until) };
                step(&mut world, By::Operator, made, None).expect("allowed");
            }
            let mut limits = Limits::default();
            match kind {
                Attestation::Confidentiality => limits.attestations.confidentiality = required,
                Attestation::Training => limits.attestations.training = required,
            }
            assert_eq!(code(&world, &limits, minutes(10)), expected, "{kind} {required:?} {attested:?}");
        }
    }
}

#[test]
fn a_missing_attestation_says_what_to_do() {
    let (world, _) = world();
    let limits = Limits {
        attestations: Attestations { confidentiality: Some(3), training: Some(20_260_301) },
        ..Limits::default()
    };
    let refusal = answer(&world, &limits, NOON).expect_err("neither is attested");
    assert_eq!(
        refusal.detail(&world.state),
        "\"jane\" has not attested version 3 of the confidentiality agreement. \"jane\" has not attested version 20260301 \
         of the training."
    );
    assert!(
        refusal.hint(&world.state).starts_with(
            "Sign the confidentiality agreement. Then an operator types: portreeve staff attest jane --kind \
             confidentiality --version 3 --until DATE. Go through the training."
        ),
        "{}",
        refusal.hint(&world.state)
    );
}

#[test]
fn hours_end_a_session_and_a_lead_excepts() {
    let (mut world, _) = world();
    step(&mut world, By::Operator, StaffStep::Limited, limit("daily 08:00-13:30 Europe/Copenhagen", "any"))
        .expect("ok");
    // 12:00 UTC is 13:00 there.
    let limits = Limits::default();
    assert_eq!(answer(&world, &limits, NOON), Ok(minutes(30)));
    let refusal = answer(&world, &limits, minutes(30)).expect_err("half past one");
    assert_eq!(refusal.conditions, [Condition::Staff(StaffCondition::OutOfHours)]);
    assert_eq!(refusal.detail(&world.state), "\"jane\" works daily 08:00-13:30 Europe/Copenhagen.");
    assert!(refusal.hint(&world.state).contains("portreeve staff except jane --for 2h"));
    let longer = StaffStep::Excepted { until: minutes(45) };
    assert_eq!(
        step(&mut world, By::Staff(JANE), longer, because("the release is late")),
        Err(Rule::NotForOneself.into())
    );
    let short = step(&mut world, By::Staff(LENA), longer, because("late"));
    assert!(matches!(short, Err(Fault::Rule(Rule::Text(_)))), "{short:?}");
    let too_long = StaffStep::Excepted { until: minutes(24 * 60 + 1) };
    let refused = step(&mut world, By::Staff(LENA), too_long, because("the release is late"));
    assert_eq!(refused, Err(Rule::ExceptionTooLong.into()));
    let a_day = StaffStep::Excepted { until: minutes(24 * 60) };
    step(&mut world.clone(), By::Staff(LENA), a_day, because("the release is late")).expect("a day is not too long");
    step(&mut world, By::Staff(LENA), longer, because("the release is late")).expect("a lead excepts");
    assert_eq!(answer(&world, &limits, NOON), Ok(minutes(45)));
    assert_eq!(answer(&world, &limits, minutes(44)), Ok(minutes(45)));
    assert_eq!(code(&world, &limits, minutes(45)), "off-duty");
}

#[test]
fn hours_that_touch_are_one() {
    let (mut world, _) = world();
    let hours = "daily 08:00-12:20 UTC; daily 12:20-12:40 UTC";
    step(&mut world, By::Operator, StaffStep::Limited, limit(hours, "any")).expect("allowed");
    assert_eq!(answer(&world, &Limits::default(), NOON), Ok(minutes(40)));
}

#[test]
fn a_session_comes_from_where_it_may() {
    let (mut world, _) = world();
    step(&mut world, By::Operator, StaffStep::Limited, limit("any", "10.1.0.0/16, ::1")).expect("allowed");
    let refusal = answer(&world, &Limits::default(), NOON).expect_err("127.0.0.1 is elsewhere");
    assert_eq!(refusal.code(), "elsewhere");
    assert_eq!(refusal.detail(&world.state), "\"jane\" may come in from 10.1.0.0/16, ::1; the client is at 127.0.0.1.");
    step(&mut world, By::Operator, StaffStep::Limited, limit("any", "127.0.0.0/8")).expect("allowed");
    assert_eq!(answer(&world, &Limits::default(), NOON), Ok(minutes(60)));
}

#[test]
fn limits_that_cannot_be_read_are_refused_and_erased_ones_let_nobody_in() {
    let (mut world, _) = world();
    for (hours, networks) in [
        ("daily 08:00-17:00 Europe/Kopenhagen", "any"),
        ("any", "10.1.0.0/33"),
        ("", "any"),
        ("any", " , "),
        ("any", &vec!["10.0.0.1"; 17].join(",")),
    ] {
        let refused = step(&mut world, By::Operator, StaffStep::Limited, limit(hours, networks));
        assert!(matches!(refused, Err(Fault::Rule(_))), "{hours} {networks}: {refused:?}");
    }
    let what = What::Staff { staff: JANE, step: StaffStep::Limited };
    let mut erased = world.make(By::Operator, what, limit("any", "any"));
    erased.side = None;
    crate::grant::apply(&mut world.state, &erased, &crate::grant::world::trust()).expect("a side row may be gone");
    assert_eq!(code(&world, &Limits::default(), NOON), "off-duty,elsewhere");
    assert!(world.state.staff(JANE).is_some_and(|jane| jane.works() && jane.standing.hours.is_some()));
    assert!(world.state.serves(JANE, ACME));
}

/// The words stand behind the verb and the staff member, and whether it narrows: then the gate does not wait for the register.
#[test]
fn a_step_is_said_in_words_and_only_suspending_narrows() {
    let until = minutes(60);
    for (step, words, narrows) in [
        (StaffStep::Suspended, "", true),
        (StaffStep::Resumed, "", false),
        (
            StaffStep::Attested { kind: Attestation::Training, version: 3, until },
            ": training version 3 until 2026-11-21T13:00:00.000000Z",
            false,
        ),
        (StaffStep::Limited, "", false),
        (StaffStep::Excepted { until }, ": until 2026-11-21T13:00:00.000000Z", false),
        (
            StaffStep::TokenIssued { until, code: None },
            ": until 2026-11-21T13:00:00.000000Z, by the identity provider",
            false,
        ),
        (
            StaffStep::TokenIssued { until, code: Some(7) },
            ": until 2026-11-21T13:00:00.000000Z, by a second factor",
            false,
        ),
        (StaffStep::SecondFactorSet, "", false),
        (StaffStep::SecondFactorRemoved, "", false),
        (StaffStep::SubjectForgotten, "", false),
    ] {
        assert_eq!((step.to_string().as_str(), step.narrows()), (words, narrows), "{}", step.verb());
    }
}
