use std::collections::BTreeSet;

use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, ask, minutes, staff};
use crate::grant::{Attestation, By, Closure, Given, Limit, Lock, Mode, Purpose, Questioned, StaffStep, What};
use crate::ids::{CodeId, RequestId};

/// What a data protection officer reads, and what is tested.
const TABLE: &str = include_str!("decisions.md");

/// The grant of every row that has one.
pub(super) const G9: GrantId = GrantId(9);

/// A row: jane, switch, at most, off at, terms, grant, begins, ends, cut, now, besides, answer.
type Row<'a> = [&'a str; 12];

/// `12:30`; `-` is none.
fn time(cell: &str) -> Option<Timestamp> {
    let (hour, minute) = cell.split_once(':')?;
    let (hour, minute): (i64, i64) = (hour.parse().expect("an hour"), minute.parse().expect("a minute"));
    Some(minutes(60 * (hour - 12) + minute))
}

fn shown(at: Timestamp) -> String {
    at.to_string().get(11..16).expect("a time of day").to_owned()
}

pub(super) fn limit<T: std::str::FromStr>(text: &str) -> Limit<T> {
    if text == "erased" { Limit::Erased } else { Limit::To(text.parse().ok().expect("it reads")) }
}

pub(super) fn several<T: std::str::FromStr>(text: &str) -> Limit<Vec<T>> {
    match limit(text) {
        Limit::To(one) => Limit::To(vec![one]),
        Limit::Free => Limit::Free,
        Limit::Erased => Limit::Erased,
    }
}

/// The state a row speaks of, made directly: rows may describe what the fold would never let happen.
pub(super) fn state_of(row: &Row<'_>) -> State {
    let mut state = World::with_people().state;
    let staff = state.staff.get_mut(JANE).expect("jane is there");
    let (presence, region) = row[0].split_once('/').unwrap_or((row[0], ""));
    (staff.active, staff.region) = (presence != "gone", region.parse().ok());
    let standing = &mut staff.standing;
    match presence {
        "here" | "nobody" | "gone" | "teamless" => {}
        "suspended" => standing.suspended = Some((NOON, By::Operator)),
        "till 12:20" => standing.hours = Some(vec!["daily 08:00-12:20 UTC".parse().expect("hours")]),
        "trained" => drop(standing.attested.insert(Attestation::Training, (3, minutes(40)))),
        "remote" => standing.networks = Some(vec!["192.0.2.0/24".parse().expect("a network")]),
        other => panic!("{other} is no way to be"),
    }
    if presence == "teamless" {
        state.teams.leave(JANE);
    }
    let acme = state.customers.get_mut(ACME).expect("acme is there");
    acme.consent.mode = row[1].parse().expect("a mode");
    acme.consent.scope = row[2].parse().expect("a scope");
    acme.consent.until = time(row[3]);
    let terms = &mut acme.consent.terms;
    match row[4].split_once(' ').unwrap_or((row[4], "")) {
        ("-", _) => {}
        ("glass", _) => terms.break_glass = true,
        ("hours", hours) => terms.hours = limit(hours),
        ("from", network) => terms.networks = several(network),
        ("in", region) => terms.regions = several(region),
        ("longest", minutes) => terms.longest = Duration::from_secs(60 * minutes.parse::<u64>().expect("minutes")),
        ("doubt", _) => {
            acme.questioned = Some(Questioned { at: NOON, by: By::Staff(JANE), reason: String::new() });
        }
        ("closed", _) => acme.closure = Some(Closure::new(NOON, By::Owner(OLGA), Sequence(8))),
        (other, _) => panic!("{other} is no term"),
    }
    if let Some((scope, given)) = row[5].split_once(" by ") {
        let given = match given {
            "own" => Given::Own,
            "request" => Given::Request(RequestId(8)),
            "code" => Given::Code(CodeId(8)),
            "glass" => Given::BreakGlass(StaffId(4)),
            other => panic!("{other} is no way to a grant"),
        };
        let (scope, issued, ends) = (scope.parse().expect("a scope"), time(row[6]), time(row[7]));
        let (issued, ends) = (issued.expect("begins"), ends.expect("ends"));
        let ended = time(row[8]).map(|at| (at, By::Owner(OLGA)));
        let (purpose, reason, ticket) = (Purpose::Fault, String::new(), String::new());
        let (id, staff, customer) = (G9, JANE, ACME);
        let grant = Grant { id, staff, customer, scope, issued, ends, purpose, given, reason, ticket, ended };
        state.keep_newest(grant);
    }
    state
}

fn rows() -> Vec<Row<'static>> {
    let lines = TABLE.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells =
        |line: &'static str| -> Vec<&'static str> { line.trim_matches('|').split('|').map(str::trim).collect() };
    lines.map(|line| cells(line).try_into().unwrap_or_else(|_| panic!("not twelve cells: {line}"))).collect()
}

#[test]
fn the_decision_table() {
    for row in rows() {
        assert_eq!(answer(&row), row[11], "{row:?}");
    }
    assert_eq!(rows().len(), 74);
}

/// Every answer there is but two: a grant's scope is always offered where it was issued, and sessions beyond the cap, like
/// all else, have rows of their own.
#[test]
fn the_decision_table_has_every_way_to_be_refused() {
    let told: BTreeSet<&str> = rows().iter().flat_map(|row| row[11].split(',')).collect();
    let refusals: BTreeSet<&str> = told.into_iter().filter(|answer| !answer.starts_with("until ")).collect();
    let all = "address-not-allowed attestation-outdated attestation-over consent-off consent-over customer-closed \
               customer-unknown elsewhere grant-ended grant-not-begun grant-over instruction-questioned locked no-grant \
               not-asked not-attested not-in-team off-duty out-of-hours region-not-allowed register-stale \
               scope-too-wide staff-inactive staff-suspended staff-unknown too-many-connections";
    assert_eq!(refusals, all.split_ascii_whitespace().collect());
}

#[test]
fn an_answer_says_until_when_it_holds() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    world.grant(Scope::Read, minutes(60));
    let (locks, read) = (Locks::default(), Timestamp(NOON.0 - 2_000_000));
    let asked = Ask { register_read: read, ..ask(NOON, &locks) };
    let Decision::Allow(authorized) = decide(&world.state, &asked, &Limits::default(), NOON) else {
        panic!("it was granted");
    };
    let lease = read.plus(Duration::from_secs(5));
    assert_eq!((authorized.until(), authorized.lease(), authorized.deadline()), (minutes(60), lease, lease));
    assert_eq!((authorized.sequence(), authorized.scope()), (world.state.sequence(), Scope::Read));
}

#[test]
fn a_clock_may_be_a_second_behind_and_no_more() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    world.grant(Scope::Read, minutes(60));
    let at = |behind: i64| {
        let (now, locks) = (Timestamp(NOON.0 - behind), Locks::default());
        match decide(&world.state, &ask(now, &locks), &Limits::default(), now) {
            Decision::Allow(_) => String::new(),
            Decision::Refuse(refusal) => refusal.code(),
        }
    };
    assert_eq!((at(1_000_000), at(1_000_001)), (String::new(), "grant-not-begun".to_owned()));
}

#[test]
fn a_lock_outlasts_what_the_register_said_before_it() {
    let mut world = World::with_people();
    let moved = world.consent(Mode::Standing, Scope::Read, None);
    let suspended = world.must(By::Operator, What::Staff { staff: JANE, step: StaffStep::Suspended }, None);
    let mut locks = Locks::default();
    locks.place(Lock::Customer(ACME), moved);
    locks.place(Lock::Staff(JANE), suspended);
    assert_eq!(locks.lift_confirmed(&world.state), []);
    assert!(!locks.is_empty());
}

#[test]
fn every_condition_that_fails_is_named() {
    let row = ["gone", "off", "read", "-", "in DE", "read by own", "12:00", "13:00", "12:05", "13:00", "locked c1", ""];
    assert_eq!(answer(&row), "staff-inactive,consent-off,grant-ended,region-not-allowed,locked");
}

/// What is decided about a row.
fn answer(row: &Row<'_>) -> String {
    let state = state_of(row);
    let now = time(row[9]).expect("now");
    let (mut locks, mut limits) = (Locks::default(), Limits::default());
    let (mut connections, mut register_read, mut address) = (0, now, IpAddr::from([127, 0, 0, 1]));
    let mut customer = ACME;
    match row[10].split_once(' ').unwrap_or((row[10], "")) {
        ("-", _) => {}
        ("specific", _) => limits.standing = false,
        ("training", version) => limits.attestations.training = version.parse().ok(),
        ("locked", lock) => locks.place(lock.parse().expect("a lock"), Sequence(3)),
        ("register", at) => register_read = time(at).expect("a time"),
        ("customer", "unknown") => customer = CustomerId(99),
        ("from", from) => address = from.parse().expect("an address"),
        (open, "open") => connections = open.parse().expect("a count"),
        (other, _) => panic!("{other} is nothing besides"),
    }
    let staff = if row[0] == "nobody" { StaffId(99) } else { JANE };
    let ask = Ask { staff, customer, connections, register_read, address, ..ask(now, &locks) };
    match decide(&state, &ask, &limits, now) {
        Decision::Allow(authorized) => format!("until {}", shown(authorized.until())),
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
