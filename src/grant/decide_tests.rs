use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, ask, minutes, reason, staff};
use crate::grant::{By, Consent, Lock, Mode, OWN_GRANT_MAX, What};

/// Jane connects to acme; times are minutes after noon, `-` is none. Of acme: its switch, the most it allows, when it
/// turns itself off. Of her grant: its scope, when it begins, ends, and was cut short. Then the time, her other open
/// sessions, a lock, when the register was last read. The answer is `until` and a time, or what stands in the way.
const TABLE: &str = "
| jane | switch      | most  | off | grant    | from | ends | cut | now | open | lock | read | answer                  |
|------|-------------|-------|-----|----------|------|------|-----|-----|------|------|------|-------------------------|
| here | standing    | read  | -   | read     | 0    | 60   | -   | 1   | 0    | -    | 1    | until 60                |
| here | standing    | write | -   | write    | 0    | 60   | -   | 1   | 0    | -    | 1    | until 60                |
| here | standing    | write | -   | read     | 0    | 60   | -   | 59  | 7    | -    | 59   | until 60                |
| here | standing    | read  | 30  | read     | 0    | 60   | -   | 1   | 0    | -    | 1    | until 30                |
| here | per-request | read  | -   | read     | 0    | 60   | -   | 1   | 0    | -    | 1    | until 60                |
| here | off         | read  | -   | read     | 0    | 60   | -   | 1   | 0    | -    | 1    | consent-off             |
| here | off         | read  | -   | -        | 0    | 0    | -   | 1   | 0    | -    | 1    | consent-off,no-grant    |
| here | standing    | read  | -   | -        | 0    | 0    | -   | 1   | 0    | -    | 1    | no-grant                |
| here | standing    | read  | 30  | read     | 0    | 60   | -   | 30  | 0    | -    | 30   | consent-over            |
| here | standing    | read  | -   | read     | 0    | 60   | -   | 60  | 0    | -    | 60   | grant-over              |
| here | standing    | read  | 30  | read     | 0    | 60   | -   | 60  | 0    | -    | 60   | consent-over,grant-over |
| here | standing    | read  | -   | read     | 0    | 60   | 5   | 6   | 0    | -    | 6    | grant-ended             |
| here | off         | read  | -   | read     | 0    | 60   | 5   | 6   | 0    | -    | 6    | consent-off,grant-ended |
| here | off         | read  | -   | read     | 0    | 60   | 90  | 91  | 0    | -    | 91   | consent-off,grant-over  |
| here | standing    | read  | -   | read     | 9    | 60   | -   | 1   | 0    | -    | 1    | grant-not-begun         |
| here | standing    | read  | -   | write    | 0    | 60   | -   | 1   | 0    | -    | 1    | scope-too-wide          |
| here | standing    | read  | -   | metadata | 0    | 60   | -   | 1   | 0    | -    | 1    | scope-not-offered       |
| gone | standing    | read  | -   | read     | 0    | 60   | -   | 1   | 0    | -    | 1    | staff-inactive          |
| here | standing    | read  | -   | read     | 0    | 60   | -   | 1   | 8    | -    | 1    | too-many-connections    |
| here | standing    | read  | -   | read     | 0    | 60   | -   | 1   | 0    | c1   | 1    | locked                  |
| here | standing    | read  | -   | read     | 0    | 60   | -   | 1   | 0    | s3   | 1    | locked                  |
| here | standing    | read  | -   | read     | 0    | 60   | -   | 1   | 0    | g9   | 1    | locked                  |
| here | standing    | read  | -   | read     | 0    | 60   | -   | 1   | 0    | c2   | 1    | until 60                |
| here | standing    | read  | -   | read     | 0    | 60   | -   | 1   | 0    | -    | 0    | register-stale          |
";

/// The grant of every row that has one.
const G9: GrantId = GrantId(9);

fn time(cell: &str) -> Option<Timestamp> {
    (cell != "-").then(|| minutes(cell.parse().expect("minutes")))
}

/// The state a row speaks of, made directly: rows may describe what the fold would never let happen.
fn state_of(row: &[&str]) -> State {
    let mut state = World::with_people().state;
    let staff = state.staff.get_mut(&JANE).expect("jane is there");
    Arc::make_mut(staff).active = row[0] == "here";
    let acme = Arc::make_mut(state.customers.get_mut(&ACME).expect("acme is there"));
    acme.consent.mode = row[1].parse().expect("a mode");
    acme.consent.scope = row[2].parse().expect("a scope");
    acme.consent.until = time(row[3]);
    if let Ok(scope) = row[4].parse() {
        let (issued, ends) = (minutes(row[5].parse().expect("from")), minutes(row[6].parse().expect("ends")));
        let ended = time(row[7]).map(|at| (at, By::Owner(OLGA)));
        let (purpose, text) = (crate::grant::Purpose::Fault, String::new());
        let (reason, ticket) = (text.clone(), text);
        let grant = Grant { id: G9, staff: JANE, customer: ACME, scope, issued, ends, purpose, reason, ticket, ended };
        state.grants.insert(G9, Arc::new(grant));
        state.newest.insert((ACME, JANE), G9);
    }
    state
}

fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let lines = TABLE.lines().filter(|line| line.starts_with("| ")).skip(1);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

#[test]
fn the_decision_table() {
    let mut seen = 0;
    for row in rows() {
        assert_eq!(answer(&row), row[12], "{row:?}");
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn every_condition_that_fails_is_named() {
    let row = ["gone", "off", "read", "-", "read", "0", "60", "5", "60", "8", "c1", "0"];
    assert_eq!(answer(&row), "register-stale,staff-inactive,consent-off,grant-ended,locked,too-many-connections");
}

/// What is decided about a row.
fn answer(row: &[&str]) -> String {
    let state = state_of(row);
    let mut locks = Locks::default();
    if let Ok(lock) = row[10].parse() {
        locks.place(lock, Sequence(3));
    }
    let now = time(row[8]).expect("now");
    let read = time(row[11]).expect("read");
    let connections = row[9].parse().expect("open");
    let ask = Ask { connections, register_read: read, ..ask(now, &locks) };
    match decide(&state, &ask, &Limits::default(), now) {
        Decision::Allow(authorized) => format!("until {}", authorized.until().since(NOON).as_secs() / 60),
        Decision::Refuse(refusal) => refusal.code(),
    }
}

#[test]
fn a_session_keeps_to_the_grant_it_began_under() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Write, None);
    let first = world.grant(Scope::Read, minutes(60));
    let second = world.grant(Scope::Write, minutes(60));
    let locks = Locks::default();
    let under = |grant| match decide(&world.state, &Ask { grant, ..ask(NOON, &locks) }, &Limits::default(), NOON) {
        Decision::Allow(authorized) => Ok(authorized.grant()),
        Decision::Refuse(refusal) => Err(refusal.code()),
    };
    assert_eq!(under(Some(first)), Err("grant-ended".to_owned()));
    assert_eq!(under(Some(second)), Ok(second));
    assert_eq!(under(None), Ok(second));
    assert_eq!(under(Some(GrantId(99))), Err("no-grant".to_owned()));
}

#[test]
fn a_grant_serves_its_own_staff_member_and_customer_only() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let grant = Some(world.grant(Scope::Read, minutes(60)));
    let joe = StaffId(world.must(By::Operator, What::StaffCreated, Some(staff("joe"))).0);
    let locks = Locks::default();
    let ask = Ask { staff: joe, grant, ..ask(NOON, &locks) };
    let Decision::Refuse(refusal) = decide(&world.state, &ask, &Limits::default(), NOON) else {
        panic!("joe came in by jane's grant");
    };
    assert_eq!(refusal.conditions, [Condition::NoGrant { staff: joe, customer: ACME }]);
}

#[test]
fn only_scopes_that_cannot_write_may_overlap() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Write, None);
    for (scope, overlaps) in [(Scope::Read, true), (Scope::Write, false)] {
        world.grant(scope, minutes(60));
        let locks = Locks::default();
        let Decision::Allow(authorized) = decide(&world.state, &ask(NOON, &locks), &Limits::default(), NOON) else {
            panic!("{scope} was granted");
        };
        assert_eq!(authorized.read_only().is_ok(), overlaps, "{scope}");
    }
}

#[test]
fn a_lock_holds_until_the_register_confirms_it() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    world.grant(Scope::Read, minutes(60));
    let mut locks = Locks::default();
    locks.place(Lock::Customer(ACME), world.state.sequence());
    locks.place(Lock::Staff(JANE), world.state.sequence());
    assert_eq!(locks.lift_confirmed(&world.state), []);
    assert_eq!(Locks::from_text(&locks.to_text()), Ok(locks.clone()), "{}", locks.to_text());
    world.consent(Mode::Off, Scope::Read, None);
    assert_eq!(locks.lift_confirmed(&world.state), [Lock::Customer(ACME)]);
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(locks.lift_confirmed(&world.state), [Lock::Staff(JANE)]);
    assert!(locks.is_empty());
    assert!(Locks::from_text("c1").is_err() && Locks::from_text("x1 #3").is_err());
}

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
        purpose: crate::grant::Purpose::Fault,
    });
    let what = prop_oneof![
        4 => consent,
        6 => grant,
        1 => (1..12u64).prop_map(|id| What::GrantEnded { grant: GrantId(id) }),
        1 => (3..6u64).prop_map(|id| What::StaffRemoved { staff: StaffId(id) }),
    ];
    (by, what, 0..20i64)
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
                (By::Staff(_), What::GrantIssued { staff, .. }) => By::Staff(staff),
                (by, _) => by,
            };
            let personal = matches!(what, What::GrantIssued { .. }).then(reason);
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
    Lock(Lock),
    Later(i64),
    StalerBy(i64),
    MoreOpen(usize),
    FewerAllowed(usize),
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
        Just(Less::Lock(Lock::Customer(ACME))),
        Just(Less::Lock(Lock::Staff(JANE))),
        (4..16u64).prop_map(|id| Less::Lock(Lock::Grant(GrantId(id)))),
        (0..200i64).prop_map(Less::Later),
        (0..10i64).prop_map(Less::StalerBy),
        (0..9usize).prop_map(Less::MoreOpen),
        (0..9usize).prop_map(Less::FewerAllowed),
    ]
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
    limits: Limits,
}

impl Scene {
    fn decide(&self) -> Decision {
        let Scene { world, locks, staff, grant, open, read, now, limits } = self;
        let ask = Ask { staff: *staff, grant: *grant, connections: *open, register_read: *read, ..ask(*now, locks) };
        decide(&world.state, &ask, limits, *now)
    }

    fn less(&mut self, less: &Less) {
        match *less {
            // Operators and the system only narrow; what the fold refuses changes nothing.
            Less::Event(by, what) => drop(self.world.try_to(by, what, None)),
            Less::Lock(lock) => self.locks.place(lock, Sequence(0)),
            Less::Later(by) => self.now = self.now.plus(Duration::from_secs(60 * by.unsigned_abs())),
            Less::StalerBy(seconds) => self.read = Timestamp(self.read.0 - 1_000_000 * seconds),
            Less::MoreOpen(more) => self.open += more,
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
            let (locks, limits) = (Locks::default(), Limits::default());
            Scene { world, locks, staff, grant, open, read, now, limits }
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
                let Consent { mode, scope, until, .. } = state.customer(ACME).expect("acme").consent.clone();
                prop_assert_eq!((grant.staff, grant.customer, grant.ended), (scene.staff, ACME, None));
                prop_assert!(state.staff(scene.staff).is_some_and(|staff| staff.active));
                prop_assert!(mode != Mode::Off && grant.scope <= scope && authorized.scope() == grant.scope);
                prop_assert!(authorized.until() <= grant.ends);
                prop_assert!(authorized.until() <= grant.issued.plus(OWN_GRANT_MAX));
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
        ids in (any::<u64>(), any::<u64>(), proptest::option::of(any::<u64>())),
        times in (any::<i64>(), any::<i64>()),
        open in any::<usize>(),
    ) {
        let (active, mode, scope, off, grant, from, ends, ended) = cells;
        let texts = [off, from, ends, ended].map(|minute| if minute < 0 { "-".to_owned() } else { minute.to_string() });
        let plain = |text: &str| if text == "-" { "0".to_owned() } else { text.to_owned() };
        let (from, ends) = (plain(&texts[1]), plain(&texts[2]));
        let row = [
            ["here", "gone"][active],
            Mode::WORDS[mode],
            Scope::WORDS[scope],
            &texts[0],
            ["-", "metadata", "read", "write"][grant],
            &from,
            &ends,
            &texts[3],
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
