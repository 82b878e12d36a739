use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, ask, minutes, reason, staff};
use crate::grant::{
    AccountStep, Bounds, Decision, Fault, Limits, Locks, Mode, SUPPORT, StaffStep, TeamRole, TeamStep, Terms, What,
    decide,
};

const JOE: StaffId = StaffId(4);
const LENA: StaffId = StaffId(5);
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// acme asks each time and lets the glass be broken, or not; joe, and lena who leads.
fn world(break_glass: bool) -> World {
    let mut world = World::with_people();
    for name in ["joe", "lena"] {
        world.must(By::Operator, What::StaffCreated, Some(staff(name)));
    }
    let lead = TeamStep::MemberAdded { team: SUPPORT, staff: LENA, role: TeamRole::Lead };
    world.must(By::Operator, What::Team(lead), None);
    agree(&mut world, Mode::PerRequest, break_glass);
    world
}

fn agree(world: &mut World, mode: Mode, break_glass: bool) {
    let terms = Bounds { break_glass, ..Terms::default().bounds() };
    let what = What::ConsentAgreed { customer: ACME, mode, scope: Scope::Read, until: None, terms };
    world.must(By::Owner(OLGA), what, None);
}

fn asked(scope: Scope, lasting: Duration) -> What {
    What::Glass(GlassStep::Asked { staff: JANE, customer: ACME, scope, lasting, purpose: Purpose::Fault })
}

fn ask_for(world: &mut World) -> GlassId {
    GlassId(world.must(By::Staff(JANE), asked(Scope::Read, HALF_AN_HOUR), Some(reason())).0)
}

fn confirm(world: &mut World, by: By, glass: GlassId) -> Result<Sequence, Fault> {
    world.try_to(by, What::Glass(GlassStep::Confirmed { glass }), None)
}

fn code(world: &World, now: Timestamp) -> String {
    let locks = Locks::default();
    match decide(&world.state, &ask(now, &locks), &Limits::default(), now) {
        Decision::Allow(authorized) => format!("until {}", authorized.until().since(NOON).as_secs() / 60),
        Decision::Refuse(refusal) => refusal.code(),
    }
}

#[test]
fn two_open_it_for_a_while_and_it_is_a_class_of_its_own() {
    let mut world = world(true);
    let glass = ask_for(&mut world);
    assert_eq!(code(&world, NOON), "no-grant", "one alone opens nothing");
    let grant = GrantId(confirm(&mut world, By::Staff(LENA), glass).expect("a lead confirms").0);
    assert_eq!(code(&world, NOON), "until 30");
    assert_eq!(code(&world, minutes(30)), "grant-over");
    let grant = world.state.grant(grant).expect("it was issued");
    assert_eq!(
        (grant.given, grant.staff, grant.reason.as_str()),
        (Given::BreakGlass(LENA), JANE, "invoices show wrong totals")
    );
    assert_eq!(confirm(&mut world, By::Staff(LENA), glass), Err(Rule::NoGlass(glass).into()), "once only");
}

#[test]
fn two_different_people_one_of_whom_vouches() {
    let mut world = world(true);
    let glass = ask_for(&mut world);
    assert_eq!(confirm(&mut world, By::Staff(JANE), glass), Err(Rule::NotForOneself.into()));
    assert_eq!(confirm(&mut world, By::Staff(JOE), glass), Err(Rule::NeitherVouches.into()));
    for by in [By::Operator, By::System, By::VendorApp, By::Owner(OLGA)] {
        let refused = confirm(&mut world, by, glass);
        assert!(matches!(refused, Err(Fault::Rule(Rule::NotYours { .. }))), "{by}: {refused:?}");
    }
    let mut suspended = world.clone();
    suspended.must(By::Operator, What::Staff { staff: LENA, step: StaffStep::Suspended }, None);
    assert_eq!(confirm(&mut suspended, By::Staff(LENA), glass), Err(Rule::Suspended(LENA).into()));
    let security = TeamStep::MemberAdded { team: SUPPORT, staff: JANE, role: TeamRole::Security };
    world.must(By::Operator, What::Team(security), None);
    confirm(&mut world, By::Staff(JOE), glass).expect("whoever asks may be the one who vouches");
}

#[test]
fn off_means_off_and_so_does_not_agreed_to() {
    let mut closed = world(true);
    let glass = ask_for(&mut closed);
    agree(&mut closed, Mode::Off, true);
    assert_eq!(confirm(&mut closed, By::Staff(LENA), glass), Err(Rule::AccessOff { customer: ACME }.into()));
    let refused = closed.try_to(By::Staff(JANE), asked(Scope::Read, HALF_AN_HOUR), Some(reason()));
    assert_eq!(refused, Err(Rule::AccessOff { customer: ACME }.into()));

    let mut without = world(false);
    let refused = without.try_to(By::Staff(JANE), asked(Scope::Read, HALF_AN_HOUR), Some(reason()));
    assert_eq!(refused, Err(Rule::NoBreakGlass { customer: ACME }.into()));
}

/// What was asked for before is not confirmed after: not even once all is as it was.
#[test]
fn what_was_asked_before_off_a_closing_or_a_suspension_is_asked_anew() {
    let suspended = |world: &mut World| {
        world.must(By::Operator, What::Staff { staff: JANE, step: StaffStep::Suspended }, None);
        world.must(By::Staff(LENA), What::Staff { staff: JANE, step: StaffStep::Resumed }, None);
    };
    let switched = |world: &mut World| {
        agree(world, Mode::Off, true);
        agree(world, Mode::PerRequest, true);
    };
    let closed = |world: &mut World| {
        for step in [AccountStep::Closed, AccountStep::Reopened] {
            world.must(By::Owner(OLGA), What::Account { customer: ACME, step }, None);
        }
        agree(world, Mode::PerRequest, true);
    };
    let between: [&dyn Fn(&mut World); 3] = [&suspended, &switched, &closed];
    for happens in between {
        let mut world = world(true);
        let glass = ask_for(&mut world);
        confirm(&mut world.clone(), By::Staff(LENA), glass).expect("before");
        happens(&mut world);
        assert_eq!(confirm(&mut world, By::Staff(LENA), glass), Err(Rule::NoGlass(glass).into()));
        let anew = ask_for(&mut world);
        confirm(&mut world, By::Staff(LENA), anew).expect("asked anew");
    }
}

#[test]
fn a_clock_that_was_set_back_confirms_nothing() {
    let mut world = world(true);
    let glass = ask_for(&mut world);
    world.now = NOON.plus(Duration::ZERO);
    world.now.0 -= 6_000_000;
    assert_eq!(confirm(&mut world, By::Staff(LENA), glass), Err(Rule::ClockBehind(NOON).into()));
    world.now.0 += 1_000_000;
    confirm(&mut world, By::Staff(LENA), glass).expect("clocks differ by five seconds");
}

#[test]
fn an_owner_who_takes_it_back_ends_what_it_opened() {
    for (mode, break_glass, expected) in [
        (Mode::PerRequest, true, "until 30"),
        (Mode::Standing, true, "until 30"),
        (Mode::PerRequest, false, "grant-ended,not-asked"),
        (Mode::Standing, false, "grant-ended,not-asked"),
    ] {
        let mut world = world(true);
        let glass = ask_for(&mut world);
        confirm(&mut world, By::Staff(LENA), glass).expect("a lead confirms");
        agree(&mut world, mode, break_glass);
        assert_eq!(code(&world, NOON), expected, "{mode} {break_glass}");
    }
}

#[test]
fn it_is_short_and_narrow_and_soon() {
    let mut world = world(true);
    for (scope, lasting, rule) in [
        (Scope::Write, HALF_AN_HOUR, Rule::ScopeTooWide { asked: Scope::Write, allowed: Scope::Read }),
        (Scope::Metadata, HALF_AN_HOUR, Rule::ScopeNotOffered(Scope::Metadata)),
        (Scope::Read, Duration::from_secs(3601), Rule::GlassTooLong(GLASS_MAX)),
        (Scope::Read, Duration::ZERO, Rule::AlreadyOver),
    ] {
        let refused = world.try_to(By::Staff(JANE), asked(scope, lasting), Some(reason()));
        assert_eq!(refused, Err(rule.into()));
    }
    let longest = world.clone().try_to(By::Staff(JANE), asked(Scope::Read, GLASS_MAX), Some(reason()));
    longest.expect("an hour, exactly");
    let glass = ask_for(&mut world);
    world.now = NOON.plus(CONFIRM_WITHIN);
    assert_eq!(confirm(&mut world, By::Staff(LENA), glass), Err(Rule::NoGlass(glass).into()));
    let nobody = world.try_to(By::Staff(JANE), asked(Scope::Read, HALF_AN_HOUR), None);
    assert!(matches!(nobody, Err(Fault::Side(_))), "an emergency without a reason: {nobody:?}");
}

#[test]
fn a_step_is_said_in_words_and_somebody_has_a_quarter_of_an_hour_to_confirm() {
    let What::Glass(asked) = asked(Scope::Read, HALF_AN_HOUR) else { unreachable!("it is about a glass") };
    assert_eq!(asked.to_string(), format!(" {JANE} to {ACME}: read, {}, for 30 min", Purpose::Fault));
    let glass = GlassId(9);
    assert_eq!(GlassStep::Confirmed { glass }.to_string(), format!(" {glass}"));
    assert_eq!(CONFIRM_WITHIN, Duration::from_secs(900));
}

#[test]
fn nobody_asks_in_somebody_elses_name_and_all_that_was_asked_for_is_known() {
    let mut world = world(true);
    for by in [By::Staff(JOE), By::Staff(LENA), By::Operator, By::System] {
        let refused = world.clone().try_to(by, asked(Scope::Read, HALF_AN_HOUR), Some(reason()));
        assert!(matches!(refused, Err(Fault::Rule(Rule::NotYours { .. }))), "{by}: {refused:?}");
    }
    assert_eq!(world.state.glasses().count(), 0);
    let glass = ask_for(&mut world);
    assert_eq!(world.state.glasses().map(|glass| (glass.id, glass.staff)).collect::<Vec<_>>(), [(glass, JANE)]);
}
