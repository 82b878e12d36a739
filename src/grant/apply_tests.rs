use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, customer, issue, minutes, owner, reason, staff, trust};
use crate::grant::{Side, chain};

/// What the fold answers to the next event of that world.
fn answer(world: &World, by: By, what: What, personal: Option<Personal>) -> Result<(), Fault> {
    let mut world = world.clone();
    world.try_to(by, what, personal).map(drop)
}

fn set(mode: Mode, scope: Scope, until: Option<Timestamp>) -> What {
    What::ConsentSet { customer: ACME, mode, scope, until }
}

#[test]
fn a_new_customer_is_closed() {
    let world = World::with_people();
    let acme = world.state.customer_named("acme").expect("it was created");
    assert_eq!((acme.id, acme.consent.mode), (ACME, Mode::Off));
    assert_eq!(world.state.sequence(), Sequence(3));
}

#[test]
fn only_the_owner_widens() {
    let mut world = World::with_people();
    let on = set(Mode::Standing, Scope::Read, None);
    let widens = Err(Fault::Rule(Rule::OnlyOwnerWidens { customer: ACME }));
    for by in [By::Operator, By::System, By::VendorApp, By::Staff(JANE)] {
        assert_eq!(answer(&world, by, on, None), widens, "{by} switches on");
    }
    world.consent(Mode::Standing, Scope::Read, Some(minutes(60)));
    for wider in [
        set(Mode::Standing, Scope::Write, Some(minutes(60))),
        set(Mode::Standing, Scope::Read, Some(minutes(61))),
        set(Mode::Standing, Scope::Read, None),
    ] {
        assert_eq!(answer(&world, By::Operator, wider, None), widens, "{wider:?}");
    }
    for narrower in [
        set(Mode::Off, Scope::Write, None),
        set(Mode::PerRequest, Scope::Read, Some(minutes(60))),
        set(Mode::Standing, Scope::Metadata, Some(minutes(60))),
        set(Mode::Standing, Scope::Read, Some(minutes(30))),
    ] {
        assert_eq!(answer(&world, By::Operator, narrower, None), Ok(()), "{narrower:?}");
    }
}

#[test]
fn consent_that_is_over_can_only_be_renewed_by_the_owner() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, Some(minutes(10)));
    world.now = minutes(10);
    let again = set(Mode::Standing, Scope::Read, Some(minutes(11)));
    assert_eq!(answer(&world, By::Operator, again, None), Err(Rule::OnlyOwnerWidens { customer: ACME }.into()));
    assert_eq!(answer(&world, By::Owner(OLGA), again, None), Ok(()));
}

#[test]
fn a_switch_is_set_on_until_a_moment_to_come() {
    let world = World::with_people();
    for mode in [Mode::PerRequest, Mode::Standing] {
        for over in [minutes(-1), NOON] {
            let until = answer(&world, By::Owner(OLGA), set(mode, Scope::Read, Some(over)), None);
            assert_eq!(until, Err(Rule::AlreadyOver.into()), "{mode} until {over}");
        }
        let soon = set(mode, Scope::Read, Some(Timestamp(NOON.0 + 1)));
        assert_eq!(answer(&world, By::Owner(OLGA), soon, None), Ok(()), "{mode}");
    }
    let off = set(Mode::Off, Scope::Read, Some(NOON));
    assert_eq!(answer(&world, By::Owner(OLGA), off, None), Ok(()), "off is off, whatever is said of its end");
}

#[test]
fn an_owners_act_needs_the_portals_signature() {
    let mut world = World::with_people();
    let signed = world.make(By::Owner(OLGA), set(Mode::Standing, Scope::Read, None), None);
    let unsigned = Stored { signature: None, ..signed.clone() };
    assert_eq!(apply(&mut world.state, &unsigned, &trust()), Err(Fault::Unsigned(Sequence(4))));
    let forged = Stored { signature: Some([1; 64]), ..signed.clone() };
    assert_eq!(apply(&mut world.state, &forged, &trust()), Err(Fault::Signature(Sequence(4))));
    let other = Trust { portal_key: [9; 32] };
    assert_eq!(apply(&mut world.state, &signed, &other), Err(Fault::Signature(Sequence(4))));
    assert_eq!(apply(&mut world.state, &signed, &trust()), Ok(()));
}

#[test]
fn the_chain_is_held() {
    let world = World::with_people();
    let next = world.make(By::Operator, What::StaffCreated, Some(staff("joe")));
    let at = next.sequence;
    let cases = [
        (Stored { sequence: Sequence(9), ..next.clone() }, Fault::Gap { expected: at, found: Sequence(9) }),
        (Stored { hash: [0; 32], ..next.clone() }, Fault::Chain(at)),
        (Stored { hash: chain(&world.state.head(), b"?"), content: b"?".to_vec(), ..next.clone() }, Fault::Content(at)),
    ];
    for (stored, fault) in cases {
        let mut state = world.state.clone();
        assert_eq!(apply(&mut state, &stored, &trust()), Err(fault));
        assert_eq!((state.sequence(), state.head()), (world.state.sequence(), world.state.head()), "it is as it was");
        assert!(state.staff_named("joe").is_none());
    }
}

#[test]
fn a_side_row_is_the_one_it_was_or_is_erased() {
    let world = World::with_people();
    let next = world.make(By::Operator, What::StaffCreated, Some(staff("joe")));
    let mut swapped = next.clone();
    swapped.side = swapped.side.map(|side| Side { body: staff("eve").encode(), ..side });
    assert_eq!(apply(&mut world.state.clone(), &swapped, &trust()), Err(Fault::Side(next.sequence)));
    let mut state = world.state.clone();
    assert_eq!(apply(&mut state, &Stored { side: None, ..next }, &trust()), Ok(()));
    let erased = state.staff(StaffId(4)).expect("the number stays");
    assert_eq!((erased.name.as_str(), erased.verifier.as_str()), (ERASED, ""));
    assert!(state.staff_named(ERASED).is_none(), "nobody signs in as the erased");
    let mut added = world.make(By::Operator, What::StaffRemoved { staff: JANE }, None);
    added.side = world.events.first().and_then(|event| event.side.clone());
    assert_eq!(apply(&mut world.state.clone(), &added, &trust()), Err(Fault::Side(added.sequence)));
}

#[test]
fn staff_open_grants_only_within_standing_consent() {
    let mut world = World::with_people();
    let by = By::Staff(JANE);
    let cases = |world: &World, what| answer(world, by, what, Some(reason()));
    let read = issue(Scope::Read, minutes(60));
    let off = |mode| Err(Fault::Rule(Rule::NoStandingConsent { customer: ACME, mode }));
    assert_eq!(cases(&world, read), off(Mode::Off));
    world.consent(Mode::PerRequest, Scope::Read, None);
    assert_eq!(cases(&world, read), off(Mode::PerRequest));
    world.consent(Mode::Standing, Scope::Read, Some(minutes(90)));
    assert_eq!(cases(&world, read), Ok(()));
    let wide = Rule::ScopeTooWide { asked: Scope::Write, allowed: Scope::Read };
    assert_eq!(cases(&world, issue(Scope::Write, minutes(60))), Err(wide.into()));
    assert_eq!(cases(&world, issue(Scope::Metadata, minutes(60))), Ok(()));
    assert_eq!(cases(&world, issue(Scope::Read, minutes(90))), Ok(()));
    assert_eq!(cases(&world, issue(Scope::Read, minutes(91))), Err(Rule::BeyondConsent(minutes(90)).into()));
    assert_eq!(cases(&world, issue(Scope::Read, NOON)), Err(Rule::AlreadyOver.into()));
    world.consent(Mode::Standing, Scope::Read, None);
    assert_eq!(cases(&world, issue(Scope::Read, minutes(120))), Ok(()));
    assert_eq!(cases(&world, issue(Scope::Read, minutes(121))), Err(Rule::TooLong.into()));
    for by in [By::Operator, By::Owner(OLGA), By::Staff(StaffId(9)), By::VendorApp, By::System] {
        let refused = answer(&world, by, read, Some(reason()));
        assert!(matches!(refused, Err(Fault::Rule(Rule::NotYours { .. }))), "{by}: {refused:?}");
    }
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(cases(&world, read), Err(Rule::NoStaff(JANE).into()));
}

#[test]
fn a_new_grant_ends_the_old() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Write, None);
    let first = world.grant(Scope::Read, minutes(60));
    let second = world.grant(Scope::Write, minutes(60));
    assert_eq!(world.state.grant(first).and_then(|grant| grant.ended), Some((NOON, By::Staff(JANE))));
    let live: Vec<_> = world.state.live_grants_of(ACME, NOON).map(|grant| grant.id).collect();
    assert_eq!(live, [second]);
}

#[test]
fn narrowing_the_switch_ends_what_it_no_longer_covers() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Write, None);
    let grant = world.grant(Scope::Write, minutes(60));
    let after = |mode, scope, until| {
        let mut world = world.clone();
        world.now = minutes(1);
        world.consent(mode, scope, until);
        let grant = world.state.grant(grant).expect("it was issued");
        (grant.ended.is_some(), grant.ends)
    };
    assert_eq!(after(Mode::Off, Scope::Write, None), (true, minutes(60)));
    assert_eq!(after(Mode::PerRequest, Scope::Write, None), (true, minutes(60)));
    assert_eq!(after(Mode::Standing, Scope::Read, None), (true, minutes(60)));
    assert_eq!(after(Mode::Standing, Scope::Write, Some(minutes(5))), (false, minutes(5)), "cut short for good");
    assert_eq!(after(Mode::Standing, Scope::Write, Some(minutes(90))), (false, minutes(60)));
}

#[test]
fn removing_staff_ends_their_grants_for_good() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let grant = world.grant(Scope::Read, minutes(60));
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert!(world.state.grant(grant).is_some_and(|grant| grant.ended.is_some()));
    let again = answer(&world, By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(again, Err(Rule::NoStaff(JANE).into()));
}

#[test]
fn an_operator_makes_the_first_owner_only_even_when_that_one_is_gone() {
    let mut world = World::with_people();
    let second = What::OwnerCreated { customer: ACME };
    let refused = Err(Fault::Rule(Rule::NotFirstOwner(ACME)));
    assert_eq!(answer(&world, By::Operator, second, Some(owner("oscar"))), refused);
    assert_eq!(answer(&world, By::Owner(OLGA), second, Some(owner("oscar"))), Ok(()));
    world.consent(Mode::Standing, Scope::Read, None);
    let grant = world.grant(Scope::Read, minutes(60));
    world.must(By::Operator, What::OwnerRemoved { owner: OLGA }, None);
    assert_eq!(answer(&world, By::Operator, second, Some(owner("oscar"))), refused);
    assert!(world.state.owner_named("olga").is_none() && world.state.owner_with_token(&[4; 32]).is_none());
    let acme = world.state.customer(ACME).expect("it was created");
    assert_eq!(acme.consent.mode, Mode::Off, "nobody could switch it off any more");
    assert!(world.state.grant(grant).is_some_and(|grant| grant.ended.is_some()));
    let on = answer(&world, By::Owner(OLGA), set(Mode::Standing, Scope::Read, None), None);
    assert_eq!(on, Err(Rule::NotOwner { owner: OLGA, customer: ACME }.into()));
}

#[test]
fn an_owner_acts_for_their_own_account_only() {
    let mut world = World::with_people();
    let globex = CustomerId(
        world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer("globex"))).0,
    );
    for mode in [Mode::Off, Mode::Standing] {
        let what = What::ConsentSet { customer: globex, mode, scope: Scope::Read, until: None };
        let refused = Err(Rule::NotOwner { owner: OLGA, customer: globex }.into());
        assert_eq!(answer(&world, By::Owner(OLGA), what, None), refused);
    }
}

#[test]
fn a_database_has_one_customer_and_a_name_one_holder() {
    let world = World::with_people();
    let twin = Personal { database: Some("acme".to_owned()), ..customer("acme2") };
    let refused = answer(&world, By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(twin));
    assert!(matches!(refused, Err(Fault::Rule(Rule::DatabaseTaken { holder: ACME, .. }))), "{refused:?}");
    let taken = [
        (
            What::CustomerCreated { layout: Layout::Database },
            Personal { database: Some("other".to_owned()), ..customer("acme") },
        ),
        (What::StaffCreated, staff("jane")),
        (What::OwnerCreated { customer: ACME }, owner("olga")),
    ];
    for (what, personal) in taken {
        let by = if matches!(what, What::OwnerCreated { .. }) { By::Owner(OLGA) } else { By::Operator };
        let refused = answer(&world, by, what, Some(personal));
        assert!(matches!(refused, Err(Fault::Rule(Rule::NameTaken { .. }))), "{refused:?}");
    }
}

#[test]
fn names_and_reasons_are_held_to_their_form() {
    let mut world = World::with_people();
    for name in ["", "Acme", "a b", "é", "portreeve", "erased", "a/b", &"a".repeat(64)] {
        let refused =
            answer(&world, By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer(name)));
        assert!(matches!(refused, Err(Fault::Rule(Rule::Text(_)))), "{name}: {refused:?}");
    }
    world.consent(Mode::Standing, Scope::Read, None);
    let texts = |reason: &str, ticket: &str| Personal {
        reason: Some(reason.to_owned()),
        ticket: Some(ticket.to_owned()),
        ..Personal::default()
    };
    let issue = |personal| answer(&world, By::Staff(JANE), issue(Scope::Read, minutes(60)), Some(personal));
    assert_eq!(issue(texts("too short", "SUP-1")), Err(Rule::Text(TextFault::Reason(9)).into()));
    assert_eq!(issue(texts("   spaces    ", "SUP-1")), Err(Rule::Text(TextFault::Reason(6)).into()));
    assert_eq!(issue(texts("long enough", " ")), Err(Rule::Text(TextFault::Ticket).into()));
    assert_eq!(issue(texts("long enough", "SUP-1")), Ok(()));
}

#[test]
fn an_owners_token_is_theirs() {
    let world = World::with_people();
    assert_eq!(world.state.owner_with_token(&[4; 32]).map(|owner| owner.id), Some(OLGA));
}

#[test]
fn what_has_no_side_row_comes_with_none() {
    let world = World::with_people();
    let side = world.events[0].side.clone();
    let with = world.make(By::Operator, What::StaffRemoved { staff: JANE }, None);
    let event = Event { side: side.as_ref().map(Side::digest), ..Event::decode(&with.content).expect("an event") };
    let content = event.encode();
    let hash = chain(&world.state.head(), &content);
    for side in [side, None] {
        let stored = Stored { hash, content: content.clone(), side, ..with.clone() };
        assert_eq!(apply(&mut world.state.clone(), &stored, &trust()), Err(Fault::Side(Sequence(4))));
    }
    let without = world.make(By::Operator, What::StaffCreated, None);
    assert_eq!(
        apply(&mut world.state.clone(), &without, &trust()),
        Err(Fault::Side(Sequence(4))),
        "nor without its own"
    );
}

/// Whoever examines a register ahead of the fold goes on from there.
#[test]
fn what_was_examined_says_what_the_next_one_is_behind() {
    let world = World::with_people();
    let mut place = (Sequence(0), [0; 32]);
    for stored in &world.events {
        place = examine(stored, place, Some(&trust())).expect("it continues the chain").place();
    }
    assert_eq!(place, (world.state.sequence(), world.state.head()));
}

#[test]
fn an_own_grant_lasts_as_long_as_the_owner_allows_and_no_longer() {
    let mut world = World::with_people();
    let terms = Terms { longest: Duration::from_secs(1800), ..Terms::default() };
    world.agree(Mode::Standing, Scope::Read, &terms).expect("it can be kept");
    let own = |ends| answer(&world, By::Staff(JANE), issue(Scope::Read, ends), Some(reason()));
    assert_eq!(own(minutes(30)), Ok(()));
    assert_eq!(own(minutes(31)), Err(Rule::LongerThanAllowed(Duration::from_secs(1800)).into()));
}

#[test]
fn whoever_may_narrow_ends_a_grant_and_nobody_else() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let joe = StaffId(world.must(By::Operator, What::StaffCreated, Some(staff("joe"))).0);
    let grant = world.grant(Scope::Read, minutes(60));
    let end = What::GrantEnded { grant };
    for by in [By::Staff(JANE), By::Owner(OLGA), By::Operator, By::System, By::VendorApp] {
        let mut world = world.clone();
        world.must(by, end, None);
        assert_eq!(world.state.grant(grant).and_then(|grant| grant.ended), Some((world.now, by)));
    }
    let refused = answer(&world, By::Staff(joe), end, None);
    assert!(matches!(refused, Err(Fault::Rule(Rule::NotYours { .. }))), "{refused:?}");
}
