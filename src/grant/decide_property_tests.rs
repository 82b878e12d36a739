//! What holds of every decision, whatever happened before: tried on many states.

use proptest::prelude::*;

use super::tests::{G9, limit, several, state_of};
use super::*;
use crate::grant::world::{ACME, JANE, OLGA, World, ask, minutes, reason, staff, wish};
use crate::grant::{
    By, Channel, Consent, Given, Limit, Lock, Mode, OWN_GRANT_MAX, Purpose, RequestStep, SUPPORT, StaffStep, TeamStep,
    Terms, What,
};
use crate::ids::RequestId;

/// One more event, whether or not the rules allow it: small numbers, so that they often meet.
fn any_event() -> impl Strategy<Value = (By, What, i64)> {
    let by = prop_oneof![
        3 => Just(By::Owner(OLGA)),
        3 => (3..6u64).prop_map(|id| By::Staff(StaffId(id))),
        2 => Just(By::Operator),
        1 => Just(By::System),
    ];
    let mode = prop_oneof![Just(Mode::Off), Just(Mode::PerRequest), Just(Mode::Standing), Just(Mode::Standing)];
    let scope = prop_oneof![Just(Scope::Metadata), Just(Scope::Read), Just(Scope::Write)];
    let until = proptest::option::of((-5..200i64).prop_map(minutes));
    let consent = (mode, scope.clone(), until).prop_map(|(mode, scope, until)| What::ConsentSet {
        customer: ACME,
        mode,
        scope,
        until,
    });
    let grant = (3..6u64, scope, 0..150i64).prop_map(|(staff, scope, ends)| What::GrantIssued {
        staff: StaffId(staff),
        customer: ACME,
        scope,
        ends: minutes(ends),
        purpose: Purpose::Fault,
    });
    let asked = (3..6u64, 1..150u64, any::<bool>()).prop_map(|(staff, lasting, write)| What::RequestOpened {
        staff: StaffId(staff),
        customer: ACME,
        scope: if write { Scope::Write } else { Scope::Read },
        lasting: Duration::from_secs(60 * lasting),
        start_by: minutes(1000),
        purpose: Purpose::Fault,
        channel: Channel::Mail,
    });
    let step = (6..16u64, 1..150u64, 0..8usize).prop_map(|(id, lasting, kind)| What::Request {
        request: RequestId(id),
        step: match kind {
            0 => RequestStep::Denied,
            1 => RequestStep::Withdrawn,
            _ => RequestStep::Approved { scope: Scope::Read, lasting: Duration::from_secs(60 * lasting) },
        },
    });
    let terms = (any_terms(), any::<bool>()).prop_map(|(terms, asks)| What::ConsentAgreed {
        customer: ACME,
        mode: if asks { Mode::PerRequest } else { Mode::Standing },
        scope: Scope::Write,
        until: None,
        terms: terms.bounds(),
    });
    let what = prop_oneof![
        4 => consent,
        2 => terms,
        4 => asked,
        5 => step,
        1 => Just(What::InstructionQuestioned { customer: ACME }),
        1 => Just(What::InstructionConfirmed { customer: ACME }),
        6 => grant,
        1 => (1..12u64).prop_map(|id| What::GrantEnded { grant: GrantId(id) }),
        1 => (3..6u64).prop_map(|id| What::StaffRemoved { staff: StaffId(id) }),
    ];
    (by, what, 0..20i64)
}

/// Terms that can be set by numbers alone.
fn any_terms() -> impl Strategy<Value = Terms> {
    (1..200u64, any::<bool>()).prop_map(|(longest, break_glass)| Terms {
        longest: Duration::from_secs(60 * longest),
        break_glass,
        ..Terms::default()
    })
}

/// A world after some of those events; those that the rules forbid left no trace.
fn any_world() -> impl Strategy<Value = World> {
    proptest::collection::vec(any_event(), 0..14).prop_map(|events| {
        let mut world = World::with_people();
        for name in ["joe", "ann"] {
            world.must(By::Operator, What::StaffCreated, Some(staff(name)));
        }
        world.consent(Mode::Standing, Scope::Write, None);
        for (by, what, later) in events {
            let by = match (by, what) {
                (_, What::GrantIssued { staff, .. } | What::RequestOpened { staff, .. }) => By::Staff(staff),
                (_, What::Request { step: RequestStep::Approved { .. }, .. } | What::ConsentAgreed { .. }) => {
                    By::Owner(OLGA)
                }
                (by, _) => by,
            };
            let personal = what.has_side().then(wish);
            let before = format!("{:?}", world.state);
            if world.try_to(by, what, personal).is_err() {
                assert_eq!(format!("{:?}", world.state), before, "a refused event left a trace");
            }
            world.now = world.now.plus(Duration::from_secs(60 * later.unsigned_abs()));
        }
        world
    })
}

/// What may be taken away from a state or an ask.
#[derive(Clone, Debug)]
enum Less {
    Event(By, What),
    Terms(Terms),
    Lock(Lock),
    Later(i64),
    StalerBy(i64),
    MoreOpen(usize),
    FewerAllowed(usize),
    CarriedUntil(i64),
}

fn any_less() -> impl Strategy<Value = Less> {
    let scope = prop_oneof![Just(Scope::Metadata), Just(Scope::Read), Just(Scope::Write)];
    let mode = prop_oneof![Just(Mode::Off), Just(Mode::PerRequest), Just(Mode::Standing)];
    let until = proptest::option::of((0..200i64).prop_map(minutes));
    prop_oneof![
        (mode, scope, until).prop_map(|(mode, scope, until)| {
            Less::Event(By::Operator, What::ConsentSet { customer: ACME, mode, scope, until })
        }),
        (4..16u64).prop_map(|id| Less::Event(By::System, What::GrantEnded { grant: GrantId(id) })),
        (3..6u64).prop_map(|id| Less::Event(By::Operator, What::StaffRemoved { staff: StaffId(id) })),
        Just(Less::Event(By::Operator, What::OwnerRemoved { owner: OLGA })),
        (3..6u64).prop_map(|id| {
            Less::Event(By::Operator, What::Staff { staff: StaffId(id), step: StaffStep::Suspended })
        }),
        (3..6u64).prop_map(|id| {
            let step = TeamStep::MemberRemoved { team: SUPPORT, staff: StaffId(id) };
            Less::Event(By::Operator, What::Team(step))
        }),
        Just(Less::Event(By::Operator, What::Team(TeamStep::Unassigned { team: SUPPORT, customer: ACME }))),
        any_narrow_terms().prop_map(Less::Terms),
        Just(Less::Event(By::Staff(JANE), What::InstructionQuestioned { customer: ACME })),
        (6..16u64).prop_map(|id| {
            Less::Event(By::System, What::Request { request: RequestId(id), step: RequestStep::Denied })
        }),
        Just(Less::Lock(Lock::Customer(ACME))),
        Just(Less::Lock(Lock::Staff(JANE))),
        (4..16u64).prop_map(|id| Less::Lock(Lock::Grant(GrantId(id)))),
        (0..200i64).prop_map(Less::Later),
        (0..10i64).prop_map(Less::StalerBy),
        (0..9usize).prop_map(Less::MoreOpen),
        (0..9usize).prop_map(Less::FewerAllowed),
        (0..200i64).prop_map(Less::CarriedUntil),
    ]
}

/// Limits to put where there are none.
fn any_narrow_terms() -> impl Strategy<Value = Terms> {
    (any_terms(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(terms, hours, networks, regions)| Terms {
        hours: if hours { limit("daily 12:10-13:20 UTC") } else { Limit::Free },
        networks: if networks { several("127.0.0.0/30") } else { Limit::Free },
        regions: if regions { several("DE") } else { Limit::Free },
        ..terms
    })
}

/// The terms that are left of both: where either limits, it is limited.
fn narrowed(terms: &Terms, by: &Terms) -> Terms {
    fn both<T: Clone>(limit: &Limit<T>, by: &Limit<T>) -> Limit<T> {
        match limit {
            Limit::Free => by.clone(),
            Limit::To(_) | Limit::Erased => limit.clone(),
        }
    }
    Terms {
        longest: terms.longest.min(by.longest),
        approvals: terms.approvals.max(by.approvals),
        break_glass: terms.break_glass && by.break_glass,
        hours: both(&terms.hours, &by.hours),
        networks: both(&terms.networks, &by.networks),
        regions: both(&terms.regions, &by.regions),
    }
}

/// Everything a decision is made from.
#[derive(Clone, Debug)]
struct Scene {
    world: World,
    locks: Locks,
    staff: StaffId,
    grant: Option<GrantId>,
    open: usize,
    read: Timestamp,
    now: Timestamp,
    credential: Timestamp,
    limits: Limits,
}

impl Scene {
    fn decide(&self) -> Decision {
        let Scene { world, locks, staff, grant, open, read, now, credential, limits } = self;
        let (connections, register_read, credential) = (*open, *read, *credential);
        let ask = Ask { staff: *staff, grant: *grant, connections, register_read, credential, ..ask(*now, locks) };
        decide(&world.state, &ask, limits, *now)
    }

    fn less(&mut self, less: &Less) {
        let acme = self.world.state.customers.get_mut(ACME).expect("acme is there");
        match *less {
            // Operators, the system and a doubt only narrow; what the fold refuses changes nothing.
            Less::Event(by, what) => drop(self.world.try_to(by, what, what.has_side().then(reason))),
            Less::Terms(ref terms) => {
                acme.consent.terms = narrowed(&acme.consent.terms, terms);
            }
            // Where hours are limited, a later moment may well be a better one.
            Less::Later(_) if acme.consent.terms.hours != Limit::Free => {}
            Less::Lock(lock) => self.locks.place(lock, Sequence(0)),
            Less::Later(by) => self.now = self.now.plus(Duration::from_secs(60 * by.unsigned_abs())),
            Less::StalerBy(seconds) => self.read = Timestamp(self.read.0 - 1_000_000 * seconds),
            Less::MoreOpen(more) => self.open += more,
            Less::CarriedUntil(minute) => self.credential = self.credential.min(minutes(minute)),
            Less::FewerAllowed(most) => {
                self.limits.connections_per_grant = self.limits.connections_per_grant.min(most);
            }
        }
    }
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let grant = prop_oneof![3 => Just(None), 1 => (4..16u64).prop_map(|id| Some(GrantId(id)))];
    // Most worlds end with a grant that may well live; else hardly a scene would let anybody in.
    let last = proptest::option::weighted(0.8, (proptest::option::of(1..120i64), 1..100i64, any::<bool>()));
    let staff = prop_oneof![6 => Just(JANE), 1 => (4..6u64).prop_map(StaffId)];
    (any_world(), last, staff, grant, 0..9usize, 0..6i64, 0..30i64).prop_map(
        |(mut world, last, staff, grant, open, age, later)| {
            if let Some((until, lasting, write)) = last {
                let after = |minutes: i64| world.now.plus(Duration::from_secs(60 * minutes.unsigned_abs()));
                let (until, ends) = (until.map(after), after(lasting));
                world.consent(Mode::Standing, Scope::Write, until);
                let scope = if write { Scope::Write } else { Scope::Read };
                let what = crate::grant::world::issue(scope, until.map_or(ends, |until| ends.min(until)));
                // Not if Jane was removed before.
                drop(world.try_to(By::Staff(JANE), what, Some(reason())));
            }
            let now = world.now.plus(Duration::from_secs(60 * later.unsigned_abs()));
            let read = Timestamp(now.0 - age * 1_000_000);
            let (locks, limits, credential) = (Locks::default(), Limits::default(), Timestamp::NEVER);
            Scene { world, locks, staff, grant, open, read, now, credential, limits }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn taking_anything_away_never_allows_more(
        scene in any_scene(),
        less in proptest::collection::vec(any_less(), 1..4),
    ) {
        let mut narrowed = scene.clone();
        less.iter().for_each(|less| narrowed.less(less));
        if let Decision::Allow(after) = narrowed.decide() {
            let Decision::Allow(before) = scene.decide() else {
                return Err(TestCaseError::fail(format!("{less:?} opened a door")));
            };
            prop_assert_eq!(after.grant(), before.grant());
            prop_assert!(after.scope() <= before.scope());
            prop_assert!(after.until() <= before.until());
            prop_assert!(after.lease() <= before.lease());
        }
    }

    #[test]
    fn allowed_is_within_every_deadline(scene in any_scene()) {
        let state = &scene.world.state;
        match scene.decide() {
            Decision::Allow(authorized) => {
                let grant = state.grant(authorized.grant()).expect("it goes by a grant that exists");
                let acme = state.customer(ACME).expect("acme");
                let Consent { mode, scope, until, terms, .. } = acme.consent.clone();
                prop_assert!(terms.admits(IpAddr::from([127, 0, 0, 1])) && acme.questioned.is_none());
                prop_assert!(terms.admits_from(state.staff(scene.staff).and_then(|staff| staff.region)));
                prop_assert!(terms.hours_end(scene.now).is_some_and(|end| authorized.until() <= end));
                prop_assert!(authorized.until() <= grant.issued.plus(terms.longest));
                prop_assert!(grant.given != Given::Own || mode == Mode::Standing);
                prop_assert_eq!((grant.staff, grant.customer, grant.ended), (scene.staff, ACME, None));
                prop_assert!(state.staff(scene.staff).is_some_and(|staff| staff.active));
                prop_assert!(mode != Mode::Off && grant.scope <= scope && authorized.scope() == grant.scope);
                prop_assert!(authorized.until() <= grant.ends);
                prop_assert!(grant.given != Given::Own || authorized.until() <= grant.issued.plus(OWN_GRANT_MAX));
                prop_assert!(until.is_none_or(|until| authorized.until() <= until));
                prop_assert!(authorized.deadline() <= scene.read.plus(scene.limits.register_stale_after));
                prop_assert!(authorized.deadline() <= authorized.until() && scene.now < authorized.deadline());
                prop_assert_eq!(authorized.sequence(), state.sequence());
            }
            Decision::Refuse(refusal) => {
                prop_assert!(!refusal.conditions.is_empty());
                prop_assert!(!refusal.message(state).ends_with('.'));
                prop_assert!(refusal.detail(state).ends_with('.') && !refusal.hint(state).is_empty());
            }
        }
    }

    #[test]
    fn at_the_deadline_it_is_over(scene in any_scene()) {
        if let Decision::Allow(authorized) = scene.decide() {
            for now in [authorized.until(), authorized.lease()] {
                let later = Scene { now, ..scene.clone() };
                prop_assert!(matches!(later.decide(), Decision::Refuse(_)));
            }
        }
    }

    #[test]
    fn any_ask_of_any_state_is_answered(
        cells in (0..2usize, 0..3usize, 0..3usize, -9..99i64, 0..4usize, -9..99i64, -9..99i64, -9..99i64),
        terms in 0..6usize,
        ids in (any::<u64>(), any::<u64>(), proptest::option::of(any::<u64>())),
        times in (any::<i64>(), any::<i64>()),
        open in any::<usize>(),
    ) {
        let (active, mode, scope, off, grant, from, ends, ended) = cells;
        let clock = |minute: i64| format!("{:02}:{:02}", 12 + minute.max(0) / 60, minute.max(0) % 60);
        let time = |minute: i64| if minute < 0 { "-".to_owned() } else { clock(minute) };
        let (off, from, ends, ended) = (time(off), clock(from), clock(ends), time(ended));
        let row = [
            ["here", "gone"][active],
            Mode::WORDS[mode],
            Scope::WORDS[scope],
            &off,
            ["-", "hours erased", "from 192.0.2.0/24", "in DE", "longest 9", "hours mon 00:00-24:00 UTC"][terms],
            ["-", "metadata by own", "read by request", "write by code"][grant],
            &from,
            &ends,
            &ended,
            "12:00",
            "-",
            "",
        ];
        let state = state_of(&row);
        let locks = Locks::default();
        let (now, register_read) = (Timestamp(times.0), Timestamp(times.1));
        let near = |id: u64, expected: u64| if id.is_multiple_of(2) { expected } else { id };
        let ask = Ask {
            staff: StaffId(near(ids.0, JANE.0)),
            customer: CustomerId(near(ids.1, ACME.0)),
            grant: ids.2.map(|id| GrantId(near(id, G9.0))),
            connections: open,
            register_read,
            ..ask(now, &locks)
        };
        for limits in [Limits::default(), Limits { register_stale_after: Duration::MAX, ..Limits::default() }] {
            match decide(&state, &ask, &limits, now) {
                Decision::Allow(authorized) => prop_assert!(now < authorized.deadline()),
                Decision::Refuse(refusal) => {
                    prop_assert!(!refusal.code().is_empty());
                    prop_assert!(!refusal.detail(&state).is_empty() && !refusal.hint(&state).is_empty());
                }
            }
        }
    }
}

/// The properties say nothing about scenes in which nobody is let in anyway.
#[test]
fn enough_of_the_scenes_let_somebody_in() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut scene = || any_scene().new_tree(&mut runner).expect("a scene").current();
    let allowed = (0..512).filter(|_| matches!(scene().decide(), Decision::Allow(_))).count();
    assert!((128..480).contains(&allowed), "{allowed} of 512");
}
