use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, customer, minutes, owner, staff, trust};
use crate::grant::{AccountStep, ClosureRule, Fault, Layout, Mode, Scope, Stored, What, apply};

const DAY: i64 = 24 * 60;

/// acme (c1) without an owner, and jane (s2).
fn ownerless() -> World {
    let mut world = World::new();
    world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer("acme")));
    world.must(By::Operator, What::StaffCreated, Some(staff("jane")));
    world
}

fn side(name: &str, code: u8) -> Personal {
    let invitation = Some(vec![code; 32].into());
    Personal { name: Some(name.to_owned()), invitation, ..Personal::default() }
}

fn invite(world: &mut World, by: By, name: &str, code: u8) -> Result<OwnerId, Fault> {
    let what = What::OwnerInvited { customer: ACME, ends: world.now.plus(INVITED_FOR) };
    world.try_to(by, what, Some(side(name, code))).map(|sequence| OwnerId(sequence.0))
}

fn accept(world: &mut World, id: OwnerId) -> Result<(), Fault> {
    let side = Personal { password_hash: Some("$argon2id$…".to_owned()), ..Personal::default() };
    world.try_to(By::Owner(id), What::OwnerAccepted { invitation: id }, Some(side)).map(drop)
}

fn rule<T: std::fmt::Debug>(refused: Result<T, Fault>) -> Rule {
    match refused {
        Err(Fault::Rule(rule)) => rule,
        other => panic!("no rule: {other:?}"),
    }
}

#[test]
fn whoever_accepts_is_an_owner_and_nothing_is_switched_on() {
    let mut world = ownerless();
    let id = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    assert!(world.state.owner(id).is_none() && world.state.owners_of(ACME).next().is_none(), "not yet one");
    assert_eq!(world.state.invitation_with(&[1; 32]).map(|found| found.id), Some(id));
    world.now = minutes(3 * DAY);
    accept(&mut world, id).expect("in time");
    let owner = world.state.owner(id).expect("one now");
    assert_eq!((owner.customer, owner.name.as_str(), owner.active), (ACME, "olga@acme.example", true));
    assert_eq!((owner.created, owner.password_hash.as_str()), (world.now, "$argon2id$…"));
    assert_eq!(world.state.owner_named("olga@acme.example").map(|owner| owner.id), Some(id));
    let acme = world.state.customer(ACME).expect("there");
    assert_eq!(acme.consent.mode, Mode::Off);
    assert!(acme.is_undecided(), "accepting decides nothing");
    assert_eq!(world.state.invitation(id).and_then(|found| found.became), Some(Became::Accepted(world.now)));
    // Twice is once too often.
    assert_eq!(rule(accept(&mut world, id)), Rule::InvitationOver);
    // The owner that it made does what owners do.
    let what = What::ConsentSet { customer: ACME, mode: Mode::PerRequest, scope: Scope::Read, until: None };
    world.must(By::Owner(id), what, None);
}

#[test]
fn an_operator_makes_only_a_first_owner_by_invitation_too() {
    let mut world = World::with_people();
    assert_eq!(rule(invite(&mut world, By::Operator, "otto@acme.example", 1)), Rule::NotFirstOwner(ACME));
    world.must(By::Owner(OLGA), What::OwnerRemoved { owner: OLGA }, None);
    assert_eq!(rule(invite(&mut world, By::Operator, "otto@acme.example", 1)), Rule::NotFirstOwner(ACME), "it had one");

    // Two invitations make no two owners: the later takes the place of the earlier.
    let mut world = ownerless();
    let first = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    let second = invite(&mut world, By::Operator, "otto@acme.example", 2).expect("in its place");
    assert_eq!(world.state.invitation(first).and_then(|found| found.became), Some(Became::Withdrawn(NOON)));
    assert_eq!(rule(accept(&mut world, first)), Rule::InvitationOver);
    // Nor do an invitation and "owner create".
    world.must(By::Operator, What::OwnerCreated { customer: ACME }, Some(owner("olga")));
    assert_eq!(rule(accept(&mut world, second)), Rule::NotFirstOwner(ACME));
    for by in [By::Staff(JANE), By::System, By::VendorApp] {
        assert!(matches!(rule(invite(&mut world, by, "eve@acme.example", 3)), Rule::NotYours { .. }), "{by}");
    }
}

#[test]
fn an_owner_invites_others_as_long_as_they_are_one() {
    let mut world = World::with_people();
    let id = invite(&mut world, By::Owner(OLGA), "otto@acme.example", 1).expect("a second owner");
    let other = invite(&mut world, By::Owner(OLGA), "ina@acme.example", 2).expect("a third");
    accept(&mut world, id).expect("both are open");
    world.must(By::Owner(id), What::OwnerRemoved { owner: OLGA }, None);
    assert_eq!(rule(accept(&mut world, other)), Rule::InvitationOver, "whoever is gone has invited nobody");
    assert_eq!(
        rule(invite(&mut world, By::Owner(OLGA), "eve@acme.example", 3)),
        Rule::NotOwner { owner: OLGA, customer: ACME }
    );
}

#[test]
fn it_ends_by_itself_and_can_be_sent_again() {
    let mut world = ownerless();
    let id = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    world.now = NOON.plus(INVITED_FOR);
    assert_eq!(rule(accept(&mut world, id)), Rule::InvitationOver, "seven days are over");
    let again = invite(&mut world, By::Operator, "olga@acme.example", 2).expect("sent again");
    assert_eq!(world.state.invited_to(ACME).map(|found| found.id).collect::<Vec<_>>(), [again]);
    assert_eq!(rule(accept(&mut world, id)), Rule::InvitationOver, "the old link stays what it is");
    accept(&mut world, again).expect("the new one");
    // A clock that was set back revives nothing: by it the invitation is not made yet.
    let mut world = ownerless();
    world.now = minutes(10);
    let id = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    world.now = NOON;
    assert_eq!(rule(accept(&mut world, id)), Rule::ClockBehind(minutes(10)));
}

#[test]
fn a_code_and_a_name_are_one_persons() {
    let mut world = ownerless();
    let layout = Layout::Database;
    let globex = CustomerId(world.must(By::Operator, What::CustomerCreated { layout }, Some(customer("globex"))).0);
    let id = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    let of_globex = |world: &World| What::OwnerInvited { customer: globex, ends: world.now.plus(INVITED_FOR) };
    let what = of_globex(&world);
    let refused = rule(world.try_to(By::Operator, what, Some(side("olga@acme.example", 2))));
    assert_eq!(refused, Rule::NameTaken { name: "olga@acme.example".to_owned(), holder: id.to_string() });
    assert_eq!(rule(world.try_to(By::Operator, what, Some(side("gail", 1)))), Rule::TokenTaken);
    // Over, the name is free again; then it is whoever's accepts first.
    world.now = NOON.plus(INVITED_FOR);
    let what = of_globex(&world);
    let theirs = OwnerId(world.must(By::Operator, what, Some(side("olga@acme.example", 2))).0);
    accept(&mut world, theirs).expect("open");
    let refused = rule(invite(&mut world, By::Operator, "olga@acme.example", 3));
    assert_eq!(refused, Rule::NameTaken { name: "olga@acme.example".to_owned(), holder: theirs.to_string() });
    let what = What::OwnerInvited { customer: ACME, ends: world.now };
    assert_eq!(rule(world.try_to(By::Operator, what, Some(side("gail", 4)))), Rule::AlreadyOver);
    let what = What::OwnerInvited { customer: ACME, ends: world.now.plus(INVITED_FOR_MAX * 2) };
    assert_eq!(rule(world.try_to(By::Operator, what, Some(side("gail", 4)))), Rule::InvitedTooLong);
    let what = What::OwnerInvited { customer: ACME, ends: world.now.plus(INVITED_FOR) };
    for bad in [side("Gail", 4), Personal { invitation: Some(vec![4; 31].into()), ..side("gail", 4) }] {
        assert!(matches!(rule(world.try_to(By::Operator, what, Some(bad))), Rule::Text(_)));
    }
}

/// An owner who invites by a name learns that it is not free, and no more; at their own account, and an operator, whose it is.
#[test]
fn owners_are_not_told_who_else_is_an_owner_where() {
    let mut world = World::with_people();
    let layout = Layout::Database;
    let globex = CustomerId(world.must(By::Operator, What::CustomerCreated { layout }, Some(customer("globex"))).0);
    world.must(By::Operator, What::OwnerCreated { customer: globex }, Some(owner("gail-of-globex")));
    let not_free = |name: &str| Rule::NameNotFree(name.to_owned());
    assert_eq!(rule(invite(&mut world, By::Owner(OLGA), "gail-of-globex", 1)), not_free("gail-of-globex"));
    assert!(!not_free("gail").to_string().contains("belongs"));
    let what = What::CustomerCreated { layout };
    let hooli = CustomerId(world.must(By::Operator, what, Some(customer("hooli"))).0);
    let what = What::OwnerInvited { customer: hooli, ends: world.now.plus(INVITED_FOR) };
    world.must(By::Operator, what, Some(side("hal", 2)));
    assert_eq!(rule(invite(&mut world, By::Owner(OLGA), "hal", 3)), not_free("hal"));
    let own = Rule::NameTaken { name: "olga".to_owned(), holder: OLGA.to_string() };
    assert_eq!(rule(invite(&mut world, By::Owner(OLGA), "olga", 3)), own);
    let refused = rule(world.try_to(By::Operator, what, Some(side("olga", 4))));
    assert_eq!(refused, own, "an operator is told");
    // Nor is whoever accepts.
    let id = invite(&mut world, By::Owner(OLGA), "otto@acme.example", 5).expect("it is free");
    world.must(By::Operator, What::CustomerCreated { layout }, Some(customer("umbrella")));
    let umbrella = CustomerId(world.state.sequence().0);
    world.must(By::Operator, What::OwnerCreated { customer: umbrella }, Some(owner("otto@acme.example")));
    assert_eq!(rule(accept(&mut world, id)), not_free("otto@acme.example"));
}

#[test]
fn an_account_keeps_sixteen_names_from_others_and_no_more() {
    let mut world = World::with_people();
    let count = u8::try_from(INVITED_MAX).expect("few");
    let name = |number: u8| format!("a{number}@acme.example");
    let sent: Vec<OwnerId> = (1..=count)
        .map(|number| invite(&mut world, By::Owner(OLGA), &name(number), number).expect("there is room"))
        .collect();
    let refused = rule(invite(&mut world, By::Owner(OLGA), "more@acme.example", 100));
    assert_eq!(refused, Rule::InvitedTooMany(ACME));
    assert!(refused.to_string().starts_with("16 invitations to c1 are open"), "{refused}");
    invite(&mut world, By::Owner(OLGA), &name(1), 101).expect("in the place of the first");
    world.must(By::Owner(OLGA), What::OwnerUninvited { invitation: sent[1] }, None);
    invite(&mut world, By::Owner(OLGA), "more@acme.example", 102).expect("one was taken back");
    assert_eq!(rule(invite(&mut world, By::Owner(OLGA), &name(2), 103)), Rule::InvitedTooMany(ACME));
    world.now = NOON.plus(INVITED_FOR);
    invite(&mut world, By::Owner(OLGA), &name(2), 104).expect("all are over");
    // Without names nobody could tell whose place was taken: what was allowed is not forbidden later.
    let mut state = State::default();
    for stored in &world.events {
        let side = stored.side.clone().filter(|_| stored.sequence.0 < sent[0].0);
        apply(&mut state, &Stored { side, ..stored.clone() }, &trust()).expect("the chain holds without");
    }
}

#[test]
fn taken_back_it_is_worth_nothing() {
    let mut world = ownerless();
    let id = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    let what = What::OwnerUninvited { invitation: id };
    assert!(what.narrows(&world.state, world.now));
    assert!(matches!(rule(world.try_to(By::Staff(JANE), what, None)), Rule::NotYours { .. }));
    world.must(By::Operator, what, None);
    assert_eq!(rule(accept(&mut world, id)), Rule::InvitationOver);
    assert_eq!(rule(world.try_to(By::Operator, what, None)), Rule::InvitationOver);
}

#[test]
fn a_closed_account_gets_no_owner_by_invitation() {
    let account = |step| What::Account { customer: ACME, step };
    let mut world = World::with_people();
    let sent = invite(&mut world, By::Owner(OLGA), "otto@acme.example", 1).expect("it is open");
    let closed = minutes(10);
    world.now = closed;
    world.must(By::Operator, account(AccountStep::Closed), None);
    assert_eq!(world.state.invitation(sent).and_then(|found| found.became), Some(Became::Closed(closed)));
    assert_eq!(rule(accept(&mut world, sent)), Rule::InvitationOver);
    assert!(world.state.owner(sent).is_none());
    let refused = rule(invite(&mut world, By::Owner(OLGA), "ina@acme.example", 2));
    assert_eq!(refused, ClosureRule::AccessClosed(closed).into());
    // Reopened it invites again; what was sent before the end stays what it is.
    world.must(By::Owner(OLGA), account(AccountStep::Reopened), None);
    assert_eq!(rule(accept(&mut world, sent)), Rule::InvitationOver);
    let anew = invite(&mut world, By::Owner(OLGA), "otto@acme.example", 3).expect("it is open again");
    accept(&mut world, anew).expect("in time");

    // Nor does one that never had an owner get its first one so.
    let mut world = ownerless();
    let sent = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    world.must(By::Operator, account(AccountStep::Closed), None);
    assert_eq!(rule(accept(&mut world, sent)), Rule::InvitationOver);
    let refused = rule(invite(&mut world, By::Operator, "olga@acme.example", 2));
    assert_eq!(refused, ClosureRule::AccessClosed(NOON).into());
    assert!(world.state.owners_of(ACME).next().is_none());
}

/// Only the portal lets an owner in: it signs for whoever has shown the code. Nobody else accepts in their place.
#[test]
fn nobody_accepts_for_another_and_nothing_counts_unsigned() {
    let mut world = ownerless();
    let id = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    let what = What::OwnerAccepted { invitation: id };
    let hash = Personal { password_hash: Some("$argon2id$…".to_owned()), ..Personal::default() };
    for by in [By::Operator, By::Staff(JANE), By::Owner(OwnerId(99)), By::System, By::VendorApp] {
        assert!(matches!(rule(world.try_to(by, what, Some(hash.clone()))), Rule::NotYours { .. }), "{by}");
    }
    let unsigned = Stored { signature: None, ..world.make(By::Owner(id), what, Some(hash)) };
    assert_eq!(apply(&mut world.state.clone(), &unsigned, &trust()), Err(Fault::Unsigned(unsigned.sequence)));
    assert_eq!(
        rule(world.try_to(By::Owner(id), what, Some(Personal::default()))),
        Rule::Text(TextFault::Missing("password hash"))
    );
}

#[test]
fn erased_it_fits_no_code_and_names_nobody() {
    let mut world = ownerless();
    let id = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    accept(&mut world, id).expect("in time");
    let mut state = State::default();
    for stored in &world.events {
        let side = stored.side.clone().filter(|_| stored.sequence.0 < id.0);
        apply(&mut state, &Stored { side, ..stored.clone() }, &trust()).expect("the chain holds without");
    }
    assert!(state.invitation_with(&[1; 32]).is_none());
    let owner = state.owner(id).expect("the event stays");
    assert_eq!((owner.name.as_str(), owner.password_hash.as_str()), ("erased", ""));
    let shown = format!("{:?}", world.state.invitation(id));
    assert!(shown.contains("olga@acme.example") && !shown.contains("digest"), "{shown}");
}

#[test]
fn it_lasts_thirty_days_at_most_and_is_accepted_by_a_clock_that_is_five_seconds_behind() {
    let mut world = ownerless();
    let until = |world: &World, ends| {
        let what = What::OwnerInvited { customer: ACME, ends };
        world.clone().try_to(By::Operator, what, Some(side("olga@acme.example", 1))).map(drop)
    };
    let longest = NOON.plus(INVITED_FOR_MAX);
    assert_eq!(until(&world, longest), Ok(()));
    assert_eq!(until(&world, Timestamp(longest.0 + 1)), Err(Rule::InvitedTooLong.into()));
    let id = invite(&mut world, By::Operator, "olga@acme.example", 1).expect("the first");
    assert_eq!(world.state.invitations().map(|found| found.id).collect::<Vec<_>>(), [id]);
    let at = |now| accept(&mut World { now, ..world.clone() }, id);
    assert_eq!(at(Timestamp(NOON.0 - 5_000_000)), Ok(()));
    assert_eq!(at(Timestamp(NOON.0 - 5_000_001)), Err(Rule::ClockBehind(NOON).into()));
}

/// What an owner sends takes the place of what was sent to the same name, and of nothing else.
#[test]
fn an_owners_invitation_takes_the_place_of_one_to_the_same_name() {
    let mut world = ownerless();
    let first = invite(&mut world, By::Operator, "otto@acme.example", 1).expect("the first");
    let olga = OwnerId(world.must(By::Operator, What::OwnerCreated { customer: ACME }, Some(owner("olga"))).0);
    invite(&mut world, By::Owner(olga), "ina@acme.example", 2).expect("another");
    assert_eq!(world.state.invitation(first).and_then(|found| found.became), None);
    invite(&mut world, By::Owner(olga), "otto@acme.example", 3).expect("the same name");
    assert_eq!(world.state.invitation(first).and_then(|found| found.became), Some(Became::Withdrawn(NOON)));
}
