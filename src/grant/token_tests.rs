use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, ask, minutes};
use crate::grant::{
    AtDesk, Decision, Fault, Limits, Locks, Mode, SUPPORT, Scope, StaffStep, TeamRole, TeamStep, What, apply, at_desk,
    decide,
};

const MINUTE: i64 = 60_000_000;

/// RFC 6238, appendix B: the moments in seconds, and the last six of the eight digits it gives.
#[test]
fn codes_are_those_of_the_specification() {
    let secret = b"12345678901234567890";
    for (seconds, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ] {
        assert_eq!(code_of(secret, step_at(Timestamp(seconds * 1_000_000))), code, "{seconds}");
    }
}

/// RFC 4648, section 10, without its padding.
#[test]
fn secrets_are_typed_as_in_the_specification() {
    for (plain, typed) in [
        ("", ""),
        ("f", "MY"),
        ("fo", "MZXQ"),
        ("foo", "MZXW6"),
        ("foob", "MZXW6YQ"),
        ("fooba", "MZXW6YTB"),
        ("foobar", "MZXW6YTBOI"),
    ] {
        assert_eq!(base32(plain.as_bytes()), typed);
    }
}

#[test]
fn a_code_is_taken_one_step_early_or_late() {
    let factor = SecondFactor { secret: vec![7; SECRET_BYTES], used: 0, sequence: Sequence(1) };
    let now = step_at(NOON);
    for (step, taken) in [(now - 2, false), (now - 1, true), (now, true), (now + 1, true), (now + 2, false)] {
        assert_eq!(factor.step_of(&code_of(&factor.secret, step), NOON), taken.then_some(step), "{}", step - now);
    }
    for wrong in ["", "12345", "1234567", "abcdef"] {
        assert_eq!(factor.step_of(wrong, NOON), None);
    }
    let erased = SecondFactor { secret: Vec::new(), ..factor };
    assert_eq!(erased.step_of(&code_of(&[], now), NOON), None, "an erased secret has no codes");
}

fn issued(until: i64, code: Option<u64>) -> What {
    let until = Timestamp(NOON.0 + until * MINUTE);
    What::Staff { staff: JANE, step: StaffStep::TokenIssued { until, code } }
}

fn verifier(text: &str) -> Option<Personal> {
    Some(Personal { verifier: Some(text.to_owned()), ..Personal::default() })
}

fn side(subject: Option<u8>) -> Option<Personal> {
    let subject = subject.map(|byte| vec![byte; 32].into());
    Some(Personal { verifier: Some("v".to_owned()), subject, ..Personal::default() })
}

#[test]
fn whom_the_provider_means_stays_the_same_until_an_operator_says_otherwise() {
    let mut world = World::with_people();
    let handed = |world: &mut World, subject| world.try_to(By::Staff(JANE), issued(10, None), side(subject)).map(drop);
    let changed = || Err(Fault::Rule(Rule::SubjectChanged(JANE)));
    assert_eq!(handed(&mut world, Some(1)), Ok(()));
    for other in [Some(2), None] {
        assert_eq!(handed(&mut world, other), changed(), "{other:?}");
    }
    let short = Some(Personal { subject: Some(vec![1; 31].into()), ..side(None).expect("one") });
    assert!(world.try_to(By::Staff(JANE), issued(10, None), short).is_err(), "no digest");
    // What a second factor is worth carries it on.
    world.must(By::Operator, What::Staff { staff: JANE, step: StaffStep::SecondFactorSet }, secret(SECRET_BYTES));
    let standing = world.state.staff(JANE).expect("she is there").standing.clone();
    let carried = standing.token_side(ShownBy::Code(7), "v".to_owned());
    assert_eq!(Some(&carried), side(Some(1)).as_ref());
    assert_eq!(world.try_to(By::Staff(JANE), issued(10, Some(7)), side(None)).map(drop), changed());
    world.must(By::Staff(JANE), issued(10, Some(7)), Some(carried));
    assert_eq!(world.state.staff_of_subject([1; 32]).map(|staff| staff.id), Some(JANE));

    let forgotten = What::Staff { staff: JANE, step: StaffStep::SubjectForgotten };
    for by in [By::Staff(JANE), By::Owner(OLGA), By::System, By::VendorApp] {
        assert!(world.try_to(by, forgotten, None).is_err(), "{by}");
    }
    world.must(By::Operator, forgotten, None);
    assert_eq!(world.state.staff_of_subject([1; 32]), None);
    assert_eq!(handed(&mut world, Some(2)), Ok(()));
    assert_eq!(handed(&mut world, Some(1)), changed());
    // Whoever folds it after the rows before the newest were erased knows the same.
    let newest = world.state.sequence();
    let mut anew = State::default();
    for stored in &world.events {
        let is_kept = stored.sequence == newest || stored.sequence.0 <= 3;
        let side = stored.side.clone().filter(|_| is_kept);
        let stored = crate::grant::Stored { side, ..stored.clone() };
        apply(&mut anew, &stored, &crate::grant::world::trust()).expect("it verifies");
    }
    let subject = |state: &State| state.staff(JANE).and_then(|staff| staff.standing.subject);
    assert_eq!((subject(&anew), subject(&world.state)), (Some([2; 32]), Some([2; 32])));
    // Somebody who is gone is nobody.
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(world.state.staff_of_subject([2; 32]), None);
}

fn secret(bytes: usize) -> Option<Personal> {
    Some(Personal { second_factor: Some(vec![7; bytes].into()), ..Personal::default() })
}

fn token(world: &World) -> Option<&Token> {
    world.state.staff(JANE).and_then(|staff| staff.standing.token.as_ref())
}

#[test]
fn only_the_portal_hands_out_a_short_lived_password_and_only_to_its_owner() {
    let world = World::with_people();
    let handed = |by, what, side| world.clone().try_to(by, what, side).map(drop);
    assert_eq!(handed(By::Staff(JANE), issued(10, None), verifier("v")), Ok(()));
    for by in [By::Operator, By::System, By::VendorApp, By::Staff(StaffId(9)), By::Owner(OLGA)] {
        let refused = handed(by, issued(10, None), verifier("v"));
        assert!(matches!(refused, Err(Fault::Rule(Rule::NotYours { verb: "token.issued", .. }))), "{by}: {refused:?}");
    }
    for (until, rule) in [(0, Rule::AlreadyOver), (-1, Rule::AlreadyOver), (61, Rule::TokenTooLong)] {
        assert_eq!(handed(By::Staff(JANE), issued(until, None), verifier("v")), Err(rule.into()));
    }
    assert_eq!(handed(By::Staff(JANE), issued(60, None), verifier("v")), Ok(()), "an hour, exactly");
    let missing = handed(By::Staff(JANE), issued(10, None), Some(Personal::default()));
    assert_eq!(missing, Err(Rule::from(TextFault::Missing("password verifier")).into()));
    // Whoever may write the register and has not the portal's key makes none.
    let mut unsigned = world.make(By::Staff(JANE), issued(10, None), verifier("v"));
    unsigned.signature = None;
    let refused = apply(&mut world.state.clone(), &unsigned, &crate::grant::world::trust());
    assert_eq!(refused, Err(Fault::Unsigned(unsigned.sequence)));
}

#[test]
fn the_newest_counts_until_its_end_and_not_beyond_a_suspension() {
    let mut world = World::with_people();
    let at = |world: &World, sign_in, minute: i64| {
        let staff = world.state.staff(JANE).expect("she is there");
        staff.verifier_at(sign_in, Timestamp(NOON.0 + minute * MINUTE)).map(str::to_owned)
    };
    let stored = at(&world, SignIn::Password, 0);
    assert!(stored.is_some());
    assert_eq!(at(&world, SignIn::Token, 0), None, "a stored password alone opens nothing");
    world.must(By::Staff(JANE), issued(10, None), verifier("first"));
    world.must(By::Staff(JANE), issued(10, None), verifier("second"));
    for (minute, expected) in [(0, Some("second")), (9, Some("second")), (10, None), (60, None)] {
        assert_eq!(at(&world, SignIn::Token, minute).as_deref(), expected, "{minute}");
        assert_eq!(at(&world, SignIn::Password, minute), stored);
    }
    let lead = crate::grant::world::staff("lena");
    let lena = StaffId(world.must(By::Operator, What::StaffCreated, Some(lead)).0);
    let step = TeamStep::MemberAdded { team: SUPPORT, staff: lena, role: TeamRole::Lead };
    world.must(By::Operator, What::Team(step), None);
    world.must(By::Operator, What::Staff { staff: JANE, step: StaffStep::Suspended }, None);
    assert_eq!(token(&world).map(|token| token.until), Some(NOON));
    assert_eq!(world.try_to(By::Staff(JANE), issued(10, None), verifier("third")), Err(Rule::Suspended(JANE).into()));
    world.must(By::Staff(lena), What::Staff { staff: JANE, step: StaffStep::Resumed }, None);
    assert_eq!(at(&world, SignIn::Token, 0), None, "resuming does not bring it back");
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(world.try_to(By::Staff(JANE), issued(10, None), verifier("x")), Err(Rule::NoStaff(JANE).into()));
}

#[test]
fn a_code_is_used_once_and_never_one_before_it() {
    let mut world = World::with_people();
    let by_code = |step| issued(10, Some(step));
    let refused = world.try_to(By::Staff(JANE), by_code(7), verifier("v"));
    assert_eq!(refused, Err(Rule::NoSecondFactor(JANE).into()));
    let given = What::Staff { staff: JANE, step: StaffStep::SecondFactorSet };
    let taken = What::Staff { staff: JANE, step: StaffStep::SecondFactorRemoved };
    assert_eq!(world.try_to(By::Operator, taken, None), Err(Rule::NoSecondFactor(JANE).into()));
    for by in [By::Staff(JANE), By::System, By::VendorApp] {
        assert!(world.try_to(by, given, secret(SECRET_BYTES)).is_err(), "{by}");
    }
    for bytes in [0, 10, 21] {
        assert!(world.try_to(By::Operator, given, secret(bytes)).is_err(), "{bytes} bytes");
    }
    world.must(By::Operator, given, secret(SECRET_BYTES));
    for (step, expected) in [(7, true), (7, false), (6, false), (8, true), (7, false)] {
        let done = world.try_to(By::Staff(JANE), by_code(step), verifier("v")).map(drop);
        assert_eq!(done, if expected { Ok(()) } else { Err(Rule::CodeUsed.into()) }, "{step}");
    }
    // The identity provider's word needs no code, and uses none up.
    world.must(By::Staff(JANE), issued(10, None), verifier("v"));
    world.must(By::Staff(JANE), by_code(9), verifier("v"));
    world.must(By::Operator, taken, None);
    assert!(world.try_to(By::Staff(JANE), by_code(10), verifier("v")).is_err());
}

#[test]
fn what_one_signed_in_with_bounds_a_session_among_everything_else() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    world.grant(Scope::Read, minutes(60));
    let locks = Locks::default();
    let answer = |credential: i64, now: i64| {
        let (credential, now) = (Timestamp(NOON.0 + credential * MINUTE), Timestamp(NOON.0 + now * MINUTE));
        match decide(&world.state, &crate::grant::Ask { credential, ..ask(now, &locks) }, &Limits::default(), now) {
            Decision::Allow(allowed) => Ok((allowed.until().0 - NOON.0) / MINUTE),
            Decision::Refuse(refusal) => Err(refusal),
        }
    };
    assert_eq!(answer(30, 0), Ok(30));
    assert_eq!(answer(90, 0), Ok(60), "the grant ends first");
    assert_eq!(answer(30, 29), Ok(30));
    let over = answer(30, 30).expect_err("it is over");
    assert_eq!(over.code(), "sign-in-over");
    assert!(over.is_of_one_session(), "others of hers may go on");
    assert!(over.detail(&world.state).contains("\"jane\" signed in with carries a session until"));
    assert!(over.hint(&world.state).contains("Get a new short-lived password"));
    let at = |credential, now: Timestamp| {
        let who = AtDesk { staff: JANE, address: [127, 0, 0, 1].into(), register_read: now, credential, locks: &locks };
        at_desk(&world.state, &who, &Limits::default(), now).map_err(|refusal| refusal.code())
    };
    assert_eq!(at(NOON.plus(Duration::from_secs(2)), NOON), Ok(NOON.plus(Duration::from_secs(2))));
    assert_eq!(at(NOON, NOON), Err("sign-in-over".to_owned()));
    assert_eq!(world.state.customer(ACME).map(|customer| customer.name.as_str()), Some("acme"));
}

#[test]
fn neither_secret_shows_when_printed() {
    let mut world = World::with_people();
    let given = What::Staff { staff: JANE, step: StaffStep::SecondFactorSet };
    world.must(By::Operator, given, secret(SECRET_BYTES));
    world.must(By::Staff(JANE), issued(10, None), verifier("SCRAM-SHA-256$4096:c2FsdA==$a:b"));
    let printed = format!("{:?}", world.state);
    assert!(!printed.contains("c2FsdA") && !printed.contains("7, 7, 7"), "{printed}");
    let standing = &world.state.staff(JANE).expect("she is there").standing;
    let printed = format!("{standing:?}");
    assert!(printed.contains("***") && !printed.contains("c2FsdA") && !printed.contains("7, 7"), "{printed}");
    let (token, factor) = (standing.token.as_ref().expect("one"), standing.second_factor.as_ref().expect("one"));
    assert_eq!(format!("{token:?}"), "Token(*** until 2026-11-21T12:10:00.000000Z)");
    assert_eq!(format!("{factor:?}"), "SecondFactor(***, used 0)");
}

#[test]
fn only_a_code_uses_up_a_step() {
    assert_eq!(ShownBy::Code(59_842_081).code(), Some(59_842_081));
    assert_eq!(ShownBy::Subject([7; 32]).code(), None);
}

#[test]
fn a_world_has_one_seed_for_ever() {
    let mut world = World::with_people();
    let seed = *world.state.seed();
    assert_eq!(world.events.first().map(|first| first.hash), Some(seed));
    world.consent(Mode::Standing, Scope::Read, None);
    assert_eq!(*world.state.seed(), seed);
}
