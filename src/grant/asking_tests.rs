use super::code_tests::{redeem, with_code};
use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, ask, minutes, open, owner, reason, said, staff, wish};
use crate::grant::{Decision, Fault, Limit, Limits, Locks, What, decide};

pub(super) fn refused(answer: Result<Sequence, Fault>) -> String {
    answer.expect_err("it is refused").to_string()
}

pub(super) fn hour(count: u64) -> Duration {
    Duration::from_secs(3600 * count)
}

/// The same world with a second owner, o5 oscar.
pub(super) fn two_owners() -> (World, OwnerId) {
    let mut world = World::asked();
    let oscar = world.must(By::Owner(OLGA), What::OwnerCreated { customer: ACME }, Some(owner("oscar")));
    (world, OwnerId(oscar.0))
}

fn step(world: &mut World, by: By, request: RequestId, step: RequestStep) -> Result<Sequence, Fault> {
    let personal = if step.has_side() { said("which invoices?") } else { None };
    world.try_to(by, What::Request { request, step }, personal)
}

#[test]
fn an_approval_issues_the_grant_for_what_is_left_of_the_wish() {
    let mut world = World::asked();
    let request = world.open(Scope::Read, 60);
    world.now = minutes(10);
    let grant = GrantId(world.approve(OLGA, request, 30).expect("she may").0);
    let issued = world.state.grant(grant).expect("it is issued");
    assert_eq!((issued.staff, issued.customer, issued.scope), (JANE, ACME, Scope::Read));
    assert_eq!((issued.issued, issued.ends), (minutes(10), minutes(40)), "absolute, from the approval on");
    assert_eq!((issued.given, issued.ticket.as_str()), (Given::Request(request), "SUP-1"));
    let locks = Locks::default();
    let decision = decide(&world.state, &ask(minutes(11), &locks), &Limits::default(), minutes(11));
    assert!(matches!(decision, Decision::Allow(allowed) if allowed.grant() == grant && allowed.until() == minutes(40)));
    assert_eq!(world.state.waiting_requests().count(), 0);
}

/// Bypass 11: self-approval, by whatever name.
#[test]
fn the_requester_never_approves_and_only_owners_do() {
    let mut world = World::asked();
    let twin = Personal { token_digests: None, ..owner("jane") };
    let jane = world.must(By::Owner(OLGA), What::OwnerCreated { customer: ACME }, Some(twin));
    let request = world.open(Scope::Read, 60);
    let said = refused(world.approve(OwnerId(jane.0), request, 60));
    assert!(said.contains("whoever asks never approves"), "{said}");
    let approved = RequestStep::Approved { scope: Scope::Read, lasting: hour(1) };
    for by in [By::Staff(JANE), By::Operator, By::System, By::VendorApp] {
        let said = refused(step(&mut world, by, request, approved));
        assert!(said.contains("only the account owner"), "{by}: {said}");
    }
    let stranger = world.must(
        By::Operator,
        What::CustomerCreated { layout: crate::grant::Layout::Database },
        Some(crate::grant::world::customer("globex")),
    );
    let otto =
        world.must(By::Operator, What::OwnerCreated { customer: CustomerId(stranger.0) }, Some(owner("ottokar")));
    assert!(refused(world.approve(OwnerId(otto.0), request, 60)).contains("is not an owner of c1"));
}

/// Bypass 11: a person counts once; an owner who is gone does not count.
#[test]
fn several_owners_approve_each_once_and_the_least_of_them_stands() {
    let (mut world, oscar) = two_owners();
    world.agree(Mode::PerRequest, Scope::Write, &Terms { approvals: 2, ..Terms::default() }).expect("two of two");
    let request = world.open(Scope::Read, 60);
    world.approve(OLGA, request, 45).expect("the first");
    assert_eq!(world.state.newest_grant(JANE, ACME), None, "one of two is not enough");
    let said = refused(world.approve(OLGA, request, 45));
    assert_eq!(
        said,
        "o2 has approved already, and a person counts once: 1 of 2 approvals are there; another owner must approve"
    );
    let mut removed = world.clone();
    removed.must(By::Owner(oscar), What::OwnerRemoved { owner: OLGA }, None);
    removed.approve(oscar, request, 60).expect("the first that counts");
    assert_eq!(removed.state.newest_grant(JANE, ACME), None, "who is no owner any more does not count");
    let grant = world.approve(oscar, request, 60).expect("the second");
    let grant = world.state.grant(GrantId(grant.0)).expect("now it is issued");
    assert_eq!((grant.issued, grant.ends), (NOON, minutes(45)), "what the more careful of them allowed");
    assert!(refused(world.approve(oscar, request, 60)).contains("is over (approved)"), "a request is decided once");
}

/// One of two owners who lowers the number must not thereby have approved alone what waited for both.
#[test]
fn fewer_approvals_deny_what_waited_for_more() {
    let (mut world, oscar) = two_owners();
    let two = Terms { approvals: 2, ..Terms::default() };
    world.agree(Mode::PerRequest, Scope::Write, &two).expect("two of two");
    let request = world.open(Scope::Read, 60);
    world.approve(OLGA, request, 60).expect("the first");
    world.agree(Mode::PerRequest, Scope::Read, &two).expect("as many as before");
    assert_eq!(world.state.waiting_requests().count(), 1, "as many must approve as before: it still waits");
    world.agree(Mode::PerRequest, Scope::Write, &Terms::default()).expect("one is enough from now on");
    assert_eq!(world.state.request(request).and_then(|r| r.outcome), Some((NOON, Outcome::Denied(By::Owner(OLGA)))));
    for owner in [OLGA, oscar] {
        assert!(refused(world.approve(owner, request, 60)).contains("is over (denied)"), "{owner}");
    }
    let anew = world.open(Scope::Read, 60);
    world.agree(Mode::PerRequest, Scope::Write, &two).expect("more than before");
    assert!(
        world.state.request(anew).is_some_and(|r| r.status(NOON).is_waiting()),
        "more approvals let nothing through"
    );
}

/// Bypass 10: an approval that is used months later, a request that waits for ever.
#[test]
fn what_waited_too_long_opens_nothing() {
    let mut world = World::asked();
    let request = world.open(Scope::Read, 60);
    world.now = minutes(12 * 60);
    assert_eq!(
        refused(world.approve(OLGA, request, 60)),
        "r5 is over (unanswered), and a request is decided once: ask anew"
    );
    world.now = minutes(24 * 60);
    assert!(refused(world.approve(OLGA, request, 60)).contains("(too-late)"));
    let again = world.open(Scope::Read, 60);
    assert!(world.approve(OLGA, again, 60).is_ok(), "the old one is not in the way");
}

#[test]
fn a_request_is_answered_by_a_clock_that_is_five_seconds_behind() {
    let mut world = World::asked();
    let request = world.open(Scope::Read, 60);
    let at = |behind: i64| {
        let mut world = World { now: Timestamp(NOON.0 - behind), ..world.clone() };
        world.approve(OLGA, request, 60).map(drop)
    };
    assert_eq!(at(5_000_000), Ok(()));
    assert!(matches!(at(5_000_001), Err(Fault::Rule(Rule::ClockBehind(_)))));
}

#[test]
fn a_grant_begins_within_a_week() {
    let world = World::asked();
    let by = |start_by| world.clone().try_to(By::Staff(JANE), open(Scope::Read, 60, start_by), Some(wish())).map(drop);
    let week = minutes(7 * 1440);
    assert_eq!(by(week), Ok(()));
    assert_eq!(by(Timestamp(week.0 + 1)), Err(Rule::StartTooFar.into()));
}

#[test]
fn what_was_asked_for_before_the_terms_were_set_is_approved_within_them() {
    let mut world = World::asked();
    let day = Terms { longest: hour(24), ..Terms::default() };
    world.agree(Mode::PerRequest, Scope::Write, &day).expect("it can be kept");
    let request = world.open(Scope::Read, 12 * 60);
    assert!(world.clone().approve(OLGA, request, 12 * 60).is_ok(), "for longer than is usual");
    let shorter = Terms { longest: Duration::from_secs(1800), ..Terms::default() };
    world.agree(Mode::PerRequest, Scope::Write, &shorter).expect("it can be kept");
    let sequence = world.approve(OLGA, request, 12 * 60).expect("it was asked for");
    assert_eq!(world.state.grant(GrantId(sequence.0)).map(|grant| grant.ends), Some(minutes(30)));
}

#[test]
fn terms_have_one_spelling() {
    let world = World::asked();
    let hours = Limit::To("mon-wed 09:00-17:00 UTC".parse().expect("hours"));
    let terms = Terms { hours, ..Terms::default() };
    let agreed = |hours: &str| {
        let (mode, scope, until) = (Mode::PerRequest, Scope::Read, None);
        let what = What::ConsentAgreed { customer: ACME, mode, scope, until, terms: terms.bounds() };
        let side = Personal { hours: Some(hours.to_owned()), ..Personal::default() };
        world.clone().try_to(By::Owner(OLGA), what, Some(side)).map(drop)
    };
    assert_eq!(agreed("mon-wed 09:00-17:00 UTC"), Ok(()));
    assert!(agreed("mon,tue,wed 09:00-17:00 UTC").is_err());
}

#[test]
fn what_is_said_of_a_request_has_words() {
    let mut world = World::asked();
    let request = world.open(Scope::Read, 60);
    let asked = |world: &World, personal| {
        let what = What::Request { request, step: RequestStep::AskedBack };
        world.clone().try_to(By::Owner(OLGA), what, Some(personal)).map(drop)
    };
    assert_eq!(asked(&world, Personal::default()), Err(Rule::from(TextFault::Missing("text")).into()));
    assert!(matches!(asked(&world, said("").expect("a side row")), Err(Fault::Rule(Rule::Text(_)))));
    assert_eq!(asked(&world, said("which invoices?").expect("a side row")), Ok(()));
    step(&mut world, By::Owner(OLGA), request, RequestStep::AskedBack).expect("she asks");
    let what = What::Request { request, step: RequestStep::Answered };
    let answer = world.try_to(By::Staff(JANE), what, Some(Personal::default()));
    assert_eq!(answer, Err(Rule::from(TextFault::Missing("text")).into()));
}

#[test]
fn a_clock_that_was_set_back_opens_nothing() {
    let mut world = World::asked();
    world.now = minutes(60);
    let request = world.open(Scope::Read, 60);
    world.now = minutes(0);
    let said = refused(world.approve(OLGA, request, 60));
    assert!(said.contains("this machine's clock is behind: the register says that 2026-11-21T13:00:00"), "{said}");
    world.now = minutes(60);
    step(&mut world, By::Owner(OLGA), request, RequestStep::Denied).expect("no");
    world.now = minutes(0);
    assert!(
        refused(world.approve(OLGA, request, 60)).contains("(denied)"),
        "what was decided stays decided at any hour"
    );
}

#[test]
fn what_may_be_asked_for() {
    let ends = minutes(1440);
    let with = |personal: Personal| Some(personal);
    let off = World::with_people();
    let asked = World::asked();
    let mut reading = World::with_people();
    reading.consent(Mode::PerRequest, Scope::Read, None);
    let mut short = World::with_people();
    short.agree(Mode::PerRequest, Scope::Write, &Terms { longest: hour(1), ..Terms::default() }).expect("an hour");
    let bare = reason();
    let brief = Personal { necessity: Some("because".to_owned()), ..reason() };
    let table: [(&World, What, Option<Personal>, &str); 11] = [
        (&off, open(Scope::Read, 60, ends), with(wish()), "off means off"),
        (&asked, open(Scope::Read, 60, ends), with(wish()), ""),
        (&asked, open(Scope::Read, 480, ends), with(wish()), ""),
        (&asked, open(Scope::Read, 481, ends), with(wish()), "the account owner allows 8 h at a time"),
        (&short, open(Scope::Read, 61, ends), with(wish()), "the account owner allows 1 h at a time"),
        (&asked, open(Scope::Read, 0, ends), with(wish()), "the end lies before the beginning"),
        (&reading, open(Scope::Write, 60, ends), with(wish()), "allows scope read, not write"),
        (&asked, open(Scope::Read, 60, NOON), with(wish()), "the end lies before the beginning"),
        (&asked, open(Scope::Read, 60, minutes(8 * 1440)), with(wish()), "more than 7 days ahead"),
        (&asked, open(Scope::Read, 60, ends), with(bare), "the sentence why metadata is not enough is missing"),
        (&asked, open(Scope::Read, 60, ends), with(brief), "has 7 characters; it needs 10"),
    ];
    for (world, what, personal, says) in table {
        let answer = world.clone().try_to(By::Staff(JANE), what, personal);
        let said = answer.err().map(|fault| fault.to_string()).unwrap_or_default();
        assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{what:?}: {said}");
    }
    let mut twice = World::asked();
    twice.open(Scope::Read, 60);
    let said = refused(twice.try_to(By::Staff(JANE), open(Scope::Read, 60, ends), Some(wish())));
    assert_eq!(said, "r5 of yours still waits for an answer: withdraw it before you ask again");
    let said = refused(twice.try_to(By::Operator, open(Scope::Read, 60, ends), Some(wish())));
    assert!(said.contains("cannot be done by operator"), "{said}");
}

#[test]
fn an_approver_gives_what_was_asked_or_less() {
    let mut world = World::asked();
    let request = world.open(Scope::Read, 60);
    let more = |scope, minutes: u64| RequestStep::Approved { scope, lasting: Duration::from_secs(60 * minutes) };
    for step_for_more in [more(Scope::Write, 60), more(Scope::Read, 61)] {
        let said = refused(step(&mut world, By::Owner(OLGA), request, step_for_more));
        assert_eq!(said, "read for 1 h was asked for: approve that or less");
    }
    assert!(refused(step(&mut world, By::Owner(OLGA), request, more(Scope::Read, 0))).contains("before the beginning"));
    let wide = world.clone().open_after_withdrawal(request);
    let mut wide_world = wide.0;
    let write = step(&mut wide_world, By::Owner(OLGA), wide.1, more(Scope::Read, 60)).expect("less far");
    assert_eq!(wide_world.state.grant(GrantId(write.0)).map(|grant| grant.scope), Some(Scope::Read));
}

impl World {
    /// Jane withdraws that request and asks for writing instead.
    fn open_after_withdrawal(mut self, request: RequestId) -> (World, RequestId) {
        step(&mut self, By::Staff(JANE), request, RequestStep::Withdrawn).expect("her own");
        let wide = self.open(Scope::Write, 60);
        (self, wide)
    }
}

#[test]
fn who_may_say_what_about_a_request() {
    let mut world = World::asked();
    let joe = StaffId(world.must(By::Operator, What::StaffCreated, Some(staff("joe"))).0);
    let request = world.open(Scope::Read, 60);
    let (jane, joe, olga) = (By::Staff(JANE), By::Staff(joe), By::Owner(OLGA));
    let may = |by, wanted| step(&mut world.clone(), by, request, wanted).is_ok();
    for (wanted, allowed) in [
        (RequestStep::Denied, vec![olga, By::Operator, By::System, By::VendorApp]),
        (RequestStep::AskedBack, vec![olga]),
        (RequestStep::Answered, vec![]),
        (RequestStep::Withdrawn, vec![jane]),
    ] {
        for by in [jane, joe, olga, By::Operator, By::System, By::VendorApp] {
            assert_eq!(may(by, wanted), allowed.contains(&by), "{by} {}", wanted.verb());
        }
    }
    step(&mut world, olga, request, RequestStep::AskedBack).expect("she asks");
    let may = |by| step(&mut world.clone(), by, request, RequestStep::Answered).is_ok();
    assert!(may(jane) && !may(joe) && !may(olga) && !may(By::Operator));
    assert!(world.clone().approve(OLGA, request, 60).is_ok(), "she need not wait for the answer");
}

#[test]
fn off_and_its_like_end_what_waits() {
    let off = What::ConsentSet { customer: ACME, mode: Mode::Off, scope: Scope::Write, until: None };
    let closed = What::Account { customer: ACME, step: crate::grant::AccountStep::Closed };
    let gone = What::StaffRemoved { staff: JANE };
    let alone = What::OwnerRemoved { owner: OLGA };
    for what in [off, closed, gone, alone] {
        let mut world = World::asked();
        let request = world.open(Scope::Read, 60);
        world.must(By::Operator, what, None);
        let denied = world.state.request(request).and_then(|request| request.outcome);
        assert_eq!(denied, Some((NOON, Outcome::Denied(By::Operator))), "{}", what.verb());
        assert_eq!(world.state.waiting_requests().count(), 0);
    }
}

#[test]
fn asked_grants_outlive_a_switch_that_only_wants_to_be_asked() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Write, None);
    let request = world.open(Scope::Read, 60);
    let grant = GrantId(world.approve(OLGA, request, 60).expect("she may").0);
    world.consent(Mode::PerRequest, Scope::Write, None);
    assert!(world.state.grant(grant).is_some_and(|grant| grant.is_live(NOON)));
    world
        .agree(Mode::PerRequest, Scope::Write, &Terms { longest: Duration::from_secs(60), ..Terms::default() })
        .expect("1m");
    assert_eq!(world.state.grant(grant).map(|grant| grant.ends), Some(minutes(1)), "cut to the new longest");
    world.consent(Mode::Off, Scope::Write, None);
    assert!(world.state.grant(grant).is_some_and(|grant| grant.ended.is_some()));
}

#[test]
fn a_doubt_pauses_everything_until_an_owner_answers() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Write, None);
    let request = world.open(Scope::Read, 60);
    let doubt = What::InstructionQuestioned { customer: ACME };
    let why = |text: &str| Some(Personal { reason: Some(text.to_owned()), ..Personal::default() });
    assert!(
        refused(world.clone().try_to(By::Operator, doubt, why("export to a third country"))).contains("cannot be done")
    );
    assert!(refused(world.clone().try_to(By::Staff(JANE), doubt, why("hm"))).contains("needs 10"));
    world.must(By::Staff(JANE), doubt, why("export to a third country"));
    let paused = "staff doubted the instructions of c1 at 2026-11-21T12:00:00";
    let issue = crate::grant::world::issue(Scope::Read, minutes(60));
    assert!(refused(world.clone().try_to(By::Staff(JANE), issue, Some(reason()))).contains(paused));
    assert!(refused(world.clone().approve(OLGA, request, 60)).contains(paused));
    let asked = open(Scope::Read, 60, minutes(1440));
    assert!(refused(world.clone().try_to(By::Staff(JANE), asked, Some(wish()))).contains(paused));
    let confirm = What::InstructionConfirmed { customer: ACME };
    for by in [By::Staff(JANE), By::Operator, By::System, By::VendorApp] {
        assert!(refused(world.clone().try_to(by, confirm, None)).contains("only the account owner"), "{by}");
    }
    let mut narrowed = world.clone();
    narrowed.must(
        By::Operator,
        What::ConsentSet { customer: ACME, mode: Mode::PerRequest, scope: Scope::Read, until: None },
        None,
    );
    assert!(narrowed.state.customer(ACME).is_some_and(|acme| acme.questioned.is_some()), "an operator answers nothing");
    let mut anew = world.clone();
    anew.consent(Mode::Standing, Scope::Read, None);
    assert!(anew.state.customer(ACME).is_some_and(|acme| acme.questioned.is_none()), "an owner who sets it anew does");
    world.must(By::Owner(OLGA), confirm, None);
    assert!(world.approve(OLGA, request, 60).is_ok());
    assert!(refused(world.try_to(By::Owner(OLGA), confirm, None)).contains("nobody doubts"));
}

#[test]
fn only_owners_set_terms_and_only_such_as_can_be() {
    let mut world = World::with_people();
    let terms = Terms { longest: hour(1), ..Terms::default() };
    let what =
        What::ConsentAgreed { customer: ACME, mode: Mode::Off, scope: Scope::Read, until: None, terms: terms.bounds() };
    for by in [By::Operator, By::Staff(JANE), By::System, By::VendorApp] {
        assert!(world.clone().try_to(by, what, None).is_err(), "{by}");
    }
    let zero = world.agree(Mode::PerRequest, Scope::Read, &Terms { longest: Duration::ZERO, ..Terms::default() });
    assert!(refused(zero).contains("the longest grant is 0 s"));
    let alone = world.agree(Mode::PerRequest, Scope::Read, &Terms { approvals: 2, ..Terms::default() });
    assert!(refused(alone).contains("2 owners should approve, but the account has 1"));
    let (mut many, _) = two_owners();
    many.agree(Mode::PerRequest, Scope::Read, &Terms { approvals: 2, ..Terms::default() }).expect("two of two");
    let standing = What::ConsentSet { customer: ACME, mode: Mode::Standing, scope: Scope::Read, until: None };
    let said = refused(many.try_to(By::Owner(OLGA), standing, None));
    assert!(said.contains("mode standing lets staff in without asking"), "{said}");
    world.agree(Mode::Standing, Scope::Write, &terms).expect("an hour");
    world.consent(Mode::Standing, Scope::Read, None);
    assert_eq!(world.state.customer(ACME).map(|acme| acme.consent.terms.clone()), Some(terms), "the terms stay");
    let long = crate::grant::world::issue(Scope::Read, minutes(61));
    assert!(refused(world.try_to(By::Staff(JANE), long, Some(reason()))).contains("allows 1 h at a time"));
}

/// What was asked and given before an account was closed is worth nothing after it is reopened, nor for a new customer.
#[test]
fn a_reopened_account_begins_anew() {
    let mut world = World::asked();
    let request = world.open(Scope::Read, 60);
    let (code, key) = with_code(&mut world);
    let account = |step| What::Account { customer: ACME, step };
    world.must(By::Owner(OLGA), account(crate::grant::AccountStep::Closed), None);
    let closed = open(Scope::Read, 60, minutes(1440));
    assert!(refused(world.clone().try_to(By::Staff(JANE), closed, Some(wish()))).contains("closed"));
    assert!(refused(world.clone().approve(OLGA, request, 60)).contains("is over (denied)"));
    world.must(By::Owner(OLGA), account(crate::grant::AccountStep::Reopened), None);
    assert!(refused(world.clone().approve(OLGA, request, 60)).contains("is over (denied)"));
    world.consent(Mode::PerRequest, Scope::Write, None);
    assert!(refused(redeem(&mut world, code, &key)).contains("that code opens nothing"));
    let twin = Some(crate::grant::world::customer("acme"));
    let created = What::CustomerCreated { layout: crate::grant::Layout::Database };
    assert!(refused(world.try_to(By::Operator, created, twin)).contains("never given twice"));
}

/// Whatever is said of a request, at most one grant comes of it, and none without as many owners as were needed.
#[test]
fn a_request_gives_one_grant_at_most() {
    let (mut world, oscar) = two_owners();
    world.agree(Mode::PerRequest, Scope::Write, &Terms { approvals: 2, ..Terms::default() }).expect("two of two");
    let request = world.open(Scope::Read, 60);
    world.approve(OLGA, request, 60).expect("the first");
    world.agree(Mode::PerRequest, Scope::Write, &Terms::default()).expect("one is enough now");
    assert_eq!(world.state.grants().count(), 0, "nobody approved since");
    assert!(refused(world.approve(OLGA, request, 30)).contains("is over (denied)"), "nor can they any more");
    let request = world.open(Scope::Read, 60);
    world.approve(OLGA, request, 30).expect("one is enough for what is asked from now on");
    assert_eq!(world.state.grants().map(|grant| grant.ends).collect::<Vec<_>>(), [minutes(30)]);
    assert!(refused(world.approve(oscar, request, 60)).contains("is over (approved)"));
    assert_eq!(world.state.grants().count(), 1);
}

/// A visit gets no longer; whoever needs more time asks anew, while the old one lasts.
#[test]
fn a_visit_is_renewed_by_a_new_request_and_then_the_old_one_is_over() {
    let mut world = World::asked();
    let request = world.open(Scope::Read, 60);
    let old = GrantId(world.approve(OLGA, request, 60).expect("she may").0);
    world.now = minutes(50);
    let again = world.open(Scope::Read, 60);
    assert!(world.state.grant(old).is_some_and(|grant| grant.is_live(world.now)), "asking takes nothing away");
    let said = refused(world.approve(OLGA, request, 60));
    assert!(said.contains("is over") && said.contains("ask anew"), "the first is used up: {said}");
    let new = GrantId(world.approve(OLGA, again, 60).expect("she may").0);
    assert_eq!(
        world.state.grant(new).map(|grant| grant.ends),
        Some(minutes(110)),
        "absolute, from its own approval on"
    );
    assert!(world.state.grant(old).is_some_and(|grant| grant.ended.is_some()), "at most one is live");
    let locks = Locks::default();
    let session = crate::grant::Ask { grant: Some(old), ..ask(world.now, &locks) };
    assert!(matches!(decide(&world.state, &session, &Limits::default(), world.now), Decision::Refuse(_)));
}
