//! One-time codes, used: by whom, until when, how often, and signed by what. Their keys are made of no digits here, which
//! takes long (`code`): the register knows only the keys.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::tests::{hour, refused, two_owners};
use super::*;
use crate::grant::world::{ACME, JANE, OLGA, World, minutes, owner, portal_key, reason, staff, trust};
use crate::grant::{CODE_MISSES_MAX, Fault, Layout, SUPPORT, Stored, TeamStep, What, apply};

fn key_of(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes are a seed")
}

fn created(world: &World, key: &Ed25519KeyPair, expires: Timestamp) -> What {
    let key = key.public_key().as_ref().try_into().expect("a public key has 32 bytes");
    let lasting = hour(1);
    assert!(expires <= world.now.plus(CODE_LIFE));
    What::CodeCreated { customer: ACME, scope: Scope::Read, lasting, expires, key }
}

fn salt() -> Option<Personal> {
    Some(Personal { salt: Some(vec![0; 16].into()), ..Personal::default() })
}

/// A code for an hour of reading, made by that owner, and the key that its digits would make.
fn code_of(world: &mut World, owner: OwnerId) -> (CodeId, Ed25519KeyPair) {
    let seed = u8::try_from(world.state.sequence().0).expect("a small world");
    let key = key_of(seed);
    let what = created(world, &key, world.now.plus(CODE_LIFE));
    (CodeId(world.must(By::Owner(owner), what, salt()).0), key)
}

/// The same, made by olga.
pub(super) fn with_code(world: &mut World) -> (CodeId, Ed25519KeyPair) {
    code_of(world, OLGA)
}

fn used(code: CodeId) -> What {
    What::CodeRedeemed { code, staff: JANE, purpose: Purpose::Fault }
}

/// Jane uses it.
pub(super) fn redeem(world: &mut World, code: CodeId, key: &Ed25519KeyPair) -> Result<Sequence, Fault> {
    world.try_signed(key, By::Staff(JANE), used(code), Some(reason()))
}

fn is_dead(world: &World, code: CodeId, key: &Ed25519KeyPair) -> bool {
    redeem(&mut world.clone(), code, key) == Err(Rule::CodeOver.into())
}

#[test]
fn a_code_opens_one_grant_for_whoever_knows_it() {
    let mut world = World::asked();
    let (code, key) = with_code(&mut world);
    let what = used(code);
    for (key, why) in [(portal_key(), "not even the portal's key"), (key_of(1), "nor any other")] {
        let forged = world.clone().try_signed(&key, By::Staff(JANE), what, Some(reason()));
        assert_eq!(forged, Err(Fault::Signature(Sequence(6))), "{why}");
    }
    let unsigned = Stored { signature: None, ..world.make(By::Staff(JANE), what, Some(reason())) };
    assert_eq!(apply(&mut world.state.clone(), &unsigned, &trust()), Err(Fault::Unsigned(Sequence(6))));
    let unknown = redeem(&mut world.clone(), CodeId(4), &key);
    assert_eq!(unknown, Err(Fault::Signature(Sequence(6))), "there is no key of no code");
    world.now = minutes(9);
    let grant = GrantId(redeem(&mut world, code, &key).expect("in time").0);
    let opened = world.state.grant(grant).expect("it is open");
    assert_eq!((opened.given, opened.staff, opened.customer), (Given::Code(code), JANE, ACME));
    assert_eq!((opened.scope, opened.issued, opened.ends), (Scope::Read, minutes(9), minutes(69)));
    assert_eq!((opened.purpose, opened.ticket.as_str()), (Purpose::Fault, "SUP-1"));
    assert_eq!(world.state.code(code).and_then(|code| code.used), Some(grant));
    assert!(is_dead(&world, code, &key), "it is used once");
}

#[test]
fn it_opens_for_ten_minutes_by_a_clock_that_is_five_seconds_behind() {
    let mut world = World::asked();
    world.now = minutes(20);
    let (code, key) = with_code(&mut world);
    let at = |now| redeem(&mut World { now, ..world.clone() }, code, &key).map(drop);
    let made = minutes(20);
    assert_eq!(at(Timestamp(made.0 - 5_000_000)), Ok(()));
    assert_eq!(at(Timestamp(made.0 - 5_000_001)), Err(Rule::ClockBehind(made).into()));
    assert_eq!(at(Timestamp(minutes(30).0 - 1)), Ok(()));
    assert_eq!(at(minutes(30)), Err(Rule::CodeOver.into()));
}

/// What it opens lasts no longer than the owner's consent and terms let anything last.
#[test]
fn what_a_code_opens_ends_with_the_consent() {
    let mut world = World::with_people();
    world.consent(Mode::PerRequest, Scope::Write, Some(minutes(30)));
    let (code, key) = with_code(&mut world);
    let grant = GrantId(redeem(&mut world, code, &key).expect("it is open").0);
    assert_eq!(world.state.grant(grant).map(|grant| grant.ends), Some(minutes(30)));
}

#[test]
fn whoever_uses_a_code_uses_it_for_themselves_and_with_words() {
    let mut world = World::asked();
    let (code, key) = with_code(&mut world);
    let joe = StaffId(world.must(By::Operator, What::StaffCreated, Some(staff("joe"))).0);
    for by in [By::Staff(joe), By::Owner(OLGA), By::Operator, By::System, By::VendorApp] {
        let refused = world.clone().try_signed(&key, by, used(code), Some(reason()));
        assert!(matches!(refused, Err(Fault::Rule(Rule::NotYours { .. }))), "{by}: {refused:?}");
        let missed = world.clone().try_to(by, What::CodeMissed { code }, None);
        assert_eq!(missed.is_ok(), by == By::Staff(joe), "{by}");
    }
    for texts in [Personal { reason: None, ..reason() }, Personal { ticket: None, ..reason() }] {
        let refused = world.clone().try_signed(&key, By::Staff(JANE), used(code), Some(texts));
        assert!(matches!(refused, Err(Fault::Rule(Rule::Text(_)))), "{refused:?}");
    }
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(redeem(&mut world, code, &key), Err(Rule::NoStaff(JANE).into()));
}

/// Bypass 11: self-approval, by a code one reads out to oneself.
#[test]
fn nobody_reads_out_a_code_to_themselves() {
    let mut world = World::asked();
    let twin = Personal { token_digests: None, ..owner("jane") };
    let jane = OwnerId(world.must(By::Owner(OLGA), What::OwnerCreated { customer: ACME }, Some(twin)).0);
    let (code, key) = code_of(&mut world, jane);
    assert_eq!(redeem(&mut world, code, &key), Err(Rule::RequesterApproves.into()));
}

/// Five guesses kill a code, so whoever is in no team for that customer guesses none.
#[test]
fn only_those_who_serve_the_customer_use_up_its_code() {
    let mut world = World::asked();
    let (code, key) = with_code(&mut world);
    let joe = StaffId(world.must(By::Operator, What::StaffCreated, Some(staff("joe"))).0);
    let left = TeamStep::MemberRemoved { team: SUPPORT, staff: joe };
    world.must(By::Operator, What::Team(left), None);
    let missed = world.try_to(By::Staff(joe), What::CodeMissed { code }, None);
    assert_eq!(missed, Err(Rule::NotInTeam { staff: joe, customer: ACME }.into()));
    let what = What::CodeRedeemed { code, staff: joe, purpose: Purpose::Fault };
    let opened = world.try_signed(&key, By::Staff(joe), what, Some(reason()));
    assert_eq!(opened, Err(Rule::NotInTeam { staff: joe, customer: ACME }.into()));
    world.must(By::Staff(JANE), What::CodeMissed { code }, None);
    assert_eq!(world.state.code(code).map(|code| code.misses), Some(1));
    redeem(&mut world, code, &key).expect("one guess is not many");
}

#[test]
fn a_code_dies_with_guesses_with_a_newer_one_and_with_the_switch() {
    let mut world = World::asked();
    let (code, key) = with_code(&mut world);
    let is_live = |world: &World| world.state.live_code(ACME, world.now).is_some_and(|live| live.id == code);
    let mut guessed = world.clone();
    for _ in 0..CODE_MISSES_MAX {
        assert!(is_live(&guessed));
        guessed.must(By::Staff(JANE), What::CodeMissed { code }, None);
    }
    assert!(is_dead(&guessed, code, &key) && !is_live(&guessed));
    let missed = guessed.try_to(By::Staff(JANE), What::CodeMissed { code }, None);
    assert_eq!(missed, Err(Rule::CodeOver.into()));
    let mut newer = world.clone();
    let (second, its_key) = with_code(&mut newer);
    assert!(is_dead(&newer, code, &key) && !is_live(&newer), "a newer code");
    redeem(&mut newer, second, &its_key).expect("which opens");
    let mut moved = world.clone();
    moved.consent(Mode::Off, Scope::Write, None);
    moved.consent(Mode::PerRequest, Scope::Write, None);
    assert!(is_dead(&moved, code, &key) && !is_live(&moved), "the switch was moved");
    let mut gone = two_owners().0;
    let (code, key) = with_code(&mut gone);
    gone.must(By::Operator, What::OwnerRemoved { owner: OLGA }, None);
    assert!(gone.state.live_code(ACME, gone.now).is_some(), "another owner keeps the switch where it is");
    assert!(is_dead(&gone, code, &key), "whose code it was is gone");
}

/// The code of one customer is no code of another.
#[test]
fn each_customer_has_its_own_code() {
    let mut world = World::asked();
    let layout = Layout::Database;
    let named = crate::grant::world::customer("globex");
    let globex = CustomerId(world.must(By::Operator, What::CustomerCreated { layout }, Some(named)).0);
    let gail = world.must(By::Operator, What::OwnerCreated { customer: globex }, Some(owner("gail-of-globex")));
    let set = What::ConsentSet { customer: globex, mode: Mode::PerRequest, scope: Scope::Read, until: None };
    world.must(By::Owner(OwnerId(gail.0)), set, None);
    let (code, key) = with_code(&mut world);
    assert!(world.state.live_code(globex, world.now).is_none());
    let foreign = created(&world, &key_of(99), world.now.plus(CODE_LIFE));
    let refused = world.clone().try_to(By::Owner(OwnerId(gail.0)), foreign, salt());
    assert_eq!(refused, Err(Rule::NotOwner { owner: OwnerId(gail.0), customer: ACME }.into()));
    redeem(&mut world, code, &key).expect("it is acme's");
}

#[test]
fn who_may_make_a_code_and_for_what() {
    let make = |world: &World, by, scope, lasting, expires| {
        let what = What::CodeCreated { customer: ACME, scope, lasting, expires, key: [1; 32] };
        world.clone().try_to(by, what, salt()).err().map(|fault| fault.to_string()).unwrap_or_default()
    };
    let (olga, soon) = (By::Owner(OLGA), minutes(10));
    let world = World::asked();
    assert_eq!(make(&world, olga, Scope::Read, hour(1), soon), "");
    for by in [By::Operator, By::Staff(JANE), By::System, By::VendorApp] {
        assert!(make(&world, by, Scope::Read, hour(1), soon).contains("only the account owner"), "{by}");
    }
    for expires in [minutes(11), minutes(0), minutes(-1)] {
        assert!(make(&world, olga, Scope::Read, hour(1), expires).contains("at most 10 minutes"), "{expires}");
    }
    assert!(make(&world, olga, Scope::Read, hour(9), soon).contains("allows 8 h at a time"));
    assert!(make(&World::with_people(), olga, Scope::Read, hour(1), soon).contains("off means off"));
    let (mut many, _) = two_owners();
    many.agree(Mode::PerRequest, Scope::Write, &Terms { approvals: 2, ..Terms::default() }).expect("two of two");
    assert!(make(&many, olga, Scope::Read, hour(1), soon).contains("2 owners must approve here"), "one is not two");
    let what = created(&world, &key_of(1), soon);
    assert!(refused(world.clone().try_to(olga, what, Some(Personal::default()))).contains("salt"));
}
