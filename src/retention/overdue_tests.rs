use super::*;
use crate::retention::closure::{Dates, Request};
use crate::retention::inventory::Archive;
use crate::retention::plan::{Caps, OnCeiling};
use crate::retention::promise::Promise;
use crate::retention::solve::Backend;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const START: Timestamp = Timestamp(1_795_000_000_000_000);

fn rules() -> Rules {
    let backend = Backend { name: "main".to_owned(), takes: HOUR, expiry_lag: HOUR, store_keeps: Duration::ZERO };
    Rules::new(Promise::default(), &[backend], Caps::default(), OnCeiling::HoldLastGood).expect("possible")
}

fn snapshot(id: &str, started: Timestamp, state: State) -> Snapshot {
    Snapshot {
        id: id.to_owned(),
        backend: "main".to_owned(),
        sequence: 1,
        started,
        store_started: None,
        state,
        origin: Origin::Own,
        is_listed: true,
        locked_until: None,
        bytes: 0,
        manifest: None,
    }
}

fn inventory(snapshots: Vec<Snapshot>) -> Inventory {
    Inventory { stores: [("main".to_owned(), Listing::Whole)].into(), snapshots, ..Inventory::default() }
}

fn of(alarms: &[Alarm], what: &What) -> Option<Level> {
    alarms.iter().find(|alarm| alarm.what == *what).map(|alarm| alarm.level)
}

#[test]
fn an_alarm_grows_until_the_promise_is_broken_whatever_the_job_says() {
    // Deleting, running, failed: a state is no excuse.
    for state in [State::Deleting, State::Running, State::Failed, State::Complete, State::Verified] {
        let inventory = inventory(vec![snapshot("s", START, state)]);
        let what = What::Gone(Object::Snapshot("main".to_owned(), "s".to_owned()));
        let minutes = |minutes: u32| START.plus(14 * DAY - HOUR + minutes * Duration::from_secs(60));
        for (now, level) in [
            (minutes(0), None),
            (minutes(29), None),
            (minutes(30), Some(Level::Half)),
            (minutes(48), Some(Level::Most)),
            (minutes(60), Some(Level::Over)),
            (START.plus(400 * DAY), Some(Level::Over)),
        ] {
            assert_eq!(of(&alarms(&inventory, &rules(), None, now), &what), level, "{state:?} at {now}");
        }
    }
}

#[test]
fn the_earliest_witness_counts_and_foreign_objects_promise_nothing() {
    let now = START.plus(14 * DAY);
    let mut skewed = snapshot("skewed", START.plus(5 * DAY), State::Verified);
    skewed.store_started = Some(START);
    let mut foreign = snapshot("foreign", START, State::Verified);
    foreign.origin = Origin::Foreign;
    let found = alarms(&inventory(vec![skewed, foreign]), &rules(), None, now);
    let gone: Vec<_> = found.iter().filter(|alarm| matches!(alarm.what, What::Gone(_))).collect();
    assert_eq!(gone.len(), 1, "{found:?}");
    assert_eq!(gone[0].what, What::Gone(Object::Snapshot("main".to_owned(), "skewed".to_owned())));
}

#[test]
fn backups_that_fail_silently_are_noticed() {
    // GitLab's five methods: failed and unread ones are none.
    let fresh = START.plus(100 * HOUR);
    let good = What::NoGoodSnapshot("main".to_owned());
    for (state, level) in
        [(State::Verified, None), (State::Complete, Some(Level::Over)), (State::Failed, Some(Level::Over))]
    {
        let found = alarms(&inventory(vec![snapshot("s", fresh, state)]), &rules(), None, fresh.plus(HOUR));
        assert_eq!(of(&found, &good), level, "{state:?}");
    }
    let verified = inventory(vec![snapshot("s", fresh, State::Verified)]);
    for (hours, level) in [(5, None), (6, Some(Level::Half)), (10, Some(Level::Most)), (12, Some(Level::Over))] {
        let found = alarms(&verified, &rules(), None, fresh.plus(hours * HOUR));
        assert_eq!(of(&found, &good), level, "{hours} h");
    }
    // A store that answers by half is not an empty one.
    let mut half = verified;
    half.stores.insert("main".to_owned(), Listing::Failed("timed out".to_owned()));
    let found = alarms(&half, &rules(), None, fresh);
    assert_eq!(of(&found, &What::StoreSilent("main".to_owned())), Some(Level::Over));
}

#[test]
fn every_date_of_a_closed_account_has_its_alarm() {
    let rules = rules();
    let closure = Closure::new(CustomerId(7), Dates::new(START, rules.promise(), rules.solution()));
    let customer = Object::Customer(CustomerId(7));
    let dates = closure.dates;
    let with = |closure: &Closure, facts: Facts, now| {
        let inventory = Inventory { closed: vec![(closure.clone(), facts)], ..inventory(vec![]) };
        alarms(&inventory, &rules, None, now)
    };
    let archived = Facts { archive_verified: Some(START), ..Facts::default() };
    let clean = Facts { live_clean: Some(START.plus(31 * DAY)), dirty_snapshots: Some(0), ..archived.clone() };
    for (what, facts, now, level) in [
        (What::Rows(customer.clone()), archived.clone(), dates.purge_from, None),
        (What::Rows(customer.clone()), archived.clone(), START.plus(50 * DAY), Some(Level::Half)),
        (What::Rows(customer.clone()), archived.clone(), dates.purge_latest, Some(Level::Over)),
        (What::Rows(customer.clone()), clean.clone(), dates.purge_latest, None),
        (What::Backups(customer.clone()), archived, dates.gone_by, Some(Level::Over)),
        (What::Backups(customer.clone()), clean.clone(), dates.gone_by, None),
        (What::Gone(customer.clone()), clean.clone(), dates.gone_by, Some(Level::Over)),
        (What::Values(customer.clone()), clean.clone(), dates.gone_by, Some(Level::Over)),
        (What::Skeleton(customer.clone()), clean.clone(), dates.skeleton_by, Some(Level::Over)),
    ] {
        assert_eq!(of(&with(&closure, facts, now), &what), level, "{what:?} at {now}");
    }
    let held = closure.after(Request::PlaceHold { review: START.plus(80 * DAY) }, START).expect("placed");
    let found = with(&held, clean, START.plus(91 * DAY));
    assert_eq!(of(&found, &What::Review(customer.clone())), Some(Level::Over), "a hold nobody reviews is loud");
    assert_eq!(of(&found, &What::Gone(customer)), None, "what it keeps is not late");
}

#[test]
fn an_archive_of_an_open_account_and_a_freeze_have_theirs() {
    let archive = Archive { id: "a".to_owned(), customer: CustomerId(7), started: START, manifest: None };
    let inventory = Inventory { archives: vec![archive], is_frozen: true, ..inventory(vec![]) };
    let found = alarms(&inventory, &rules(), Some(HOUR / 2), START.plus(14 * DAY));
    assert_eq!(of(&found, &What::Gone(Object::Archive("a".to_owned()))), Some(Level::Over));
    assert_eq!(of(&found, &What::Frozen), Some(Level::Half));
    let found = alarms(&inventory, &rules(), Some(HOUR), START);
    assert_eq!(of(&found, &What::Frozen), Some(Level::Over));
}
