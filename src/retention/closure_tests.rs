use std::fmt::Write;

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::retention::certificate::Part;
use crate::retention::solve::{Backend, solve};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn at(text: &str) -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339(text).expect(text).timestamp_micros())
}

fn closed(when: &str) -> Closure {
    let backend = Backend { name: "main".to_owned(), takes: HOUR, expiry_lag: HOUR, store_keeps: Duration::ZERO };
    let promise = Promise::default();
    let solution = solve(&promise, &[backend]).expect("possible");
    Closure::new(CustomerId(7), Dates::new(at(when), &promise, &solution))
}

fn day(closure: &Closure, days: u32) -> Timestamp {
    closure.dates.closed.plus(days * DAY)
}

/// What the machinery confirms when it does `act` at `now`.
fn confirm(facts: &mut Facts, act: Act, now: Timestamp) {
    match act {
        Act::TurnAccessOff => facts.access_off = Some(now),
        Act::Archive => facts.archive_verified = Some(now),
        Act::TellOwners => facts.owners_told = Some(now),
        Act::MakePlan => facts.planned = Some(now),
        Act::Purge => {
            facts.live_clean = Some(now);
            facts.dirty_snapshots = Some(68);
        }
        Act::CheckAgain => facts.checked.push(now),
        Act::DestroyArchive => facts.archive_gone = Some(now),
        Act::DestroyValues => facts.values_gone = Some(now),
        Act::DestroySkeleton => facts.skeleton_gone = Some(now),
        Act::ConfirmApplicationLogs => facts.application_logs_gone = Some(now),
        Act::Certify(part) => facts.certified.push(part),
    }
}

/// Plays an account's end hour by hour from closure for so many days, doing each act at once; tells when each stage and
/// act came.
fn play(
    closure: &mut Closure,
    facts: &mut Facts,
    days: u32,
    mut meanwhile: impl FnMut(&mut Closure, &mut Facts, Timestamp),
) -> Vec<(Duration, String)> {
    let mut story = Vec::new();
    for hour in 0..=24 * days {
        let now = closure.dates.closed.plus(hour * HOUR);
        meanwhile(closure, facts, now);
        if facts.live_clean.is_some_and(|clean| now >= clean.plus(14 * DAY)) {
            facts.dirty_snapshots = Some(0);
        }
        loop {
            let step = next(closure, facts, now);
            if step.stage != closure.stage {
                closure.stage = step.stage;
                story.push((now.since(closure.dates.closed), step.stage.to_string()));
            }
            for act in &step.acts {
                story.push((now.since(closure.dates.closed), format!("{act:?}")));
                confirm(facts, *act, now);
            }
            if step.acts.is_empty() {
                break;
            }
        }
    }
    story
}

fn fine() -> Facts {
    Facts { has_good_snapshot: true, window_opens: Some(Timestamp(0)), ..Facts::default() }
}

fn when(story: &[(Duration, String)], what: &str) -> Option<Duration> {
    story.iter().find(|(_, told)| told == what).map(|(at, _)| *at)
}

/// The whole way, as a DPO may read it.
#[test]
fn the_way_of_a_closed_account() {
    let mut told = String::new();
    for Transition { from, to, needs } in TRANSITIONS {
        writeln!(told, "{from} -> {to}").expect("written");
        for need in needs {
            writeln!(told, "    {}", need.told()).expect("written");
        }
    }
    assert_eq!(
        told,
        "\
CLOSED -> ARCHIVED
    access is off and sessions are ended
    the archive was written and read back
ARCHIVED -> CHOICE
    the owners were told what they may choose
CHOICE -> PLANNED
    the 30 days to choose are over
    what will be purged is fixed
PLANNED -> PURGING
    the day of the purge has come
    the clocks agree
    there is a good recent snapshot
    purges may run at this hour
    the purge is below its cap or approved by people
PURGING -> LIVE_CLEAN
    the purge is below its cap or approved by people
    the purge is committed, verified and replayed on each replica
    certificate part 1 (live) is signed
LIVE_CLEAN -> BACKUPS_CLEAN
    the purge is below its cap or approved by people
    no row had come back a day later
    no row had come back a week later
    each snapshot that held the rows is confirmed absent
    certificate part 2 (backups) is signed
BACKUPS_CLEAN -> ARCHIVE_DESTROYED
    the archive and its key are gone (waits while held)
    the values in the audit log cannot be opened any more (waits while held)
    certificate part 3 (archive) is signed
ARCHIVE_DESTROYED -> LOGS_CLEAN
    the skeleton of the audit log cannot be opened any more (waits while held)
    the application's logs are past their age
    certificate part 4 (logs) is signed
"
    );
}

#[test]
fn the_way_is_one_line_from_closed_to_the_end() {
    for (transition, following) in TRANSITIONS.iter().zip(TRANSITIONS.iter().skip(1)) {
        assert_eq!(transition.to, following.from);
        assert!(transition.from < transition.to);
    }
    assert_eq!((TRANSITIONS[0].from, TRANSITIONS[7].to), (Stage::Closed, Stage::LogsClean));
}

#[test]
fn every_date_follows_from_the_promise_whatever_the_calendar() {
    // Closed on 29 February, on the eve of a change of the clock, and at the end of a year.
    for (closed_at, choice, purge, gone, skeleton) in [
        (
            "2028-02-29T12:00:00Z",
            "2028-03-30T12:00:00Z",
            "2028-03-31T12:00:00Z",
            "2028-05-29T12:00:00Z",
            "2029-02-28T12:00:00Z",
        ),
        (
            "2027-03-01T00:00:00Z",
            "2027-03-31T00:00:00Z",
            "2027-04-01T00:00:00Z",
            "2027-05-30T00:00:00Z",
            "2028-02-29T00:00:00Z",
        ),
        (
            "2026-10-24T23:30:00Z",
            "2026-11-23T23:30:00Z",
            "2026-11-24T23:30:00Z",
            "2027-01-22T23:30:00Z",
            "2027-10-24T23:30:00Z",
        ),
    ] {
        let dates = closed(closed_at).dates;
        assert_eq!(dates.choice_until, at(choice), "{closed_at}");
        assert_eq!(dates.purge_from, at(purge), "{closed_at}");
        assert_eq!(dates.gone_by, at(gone), "{closed_at}");
        // Never later than the same day a year on: 365 days, not "a year".
        assert_eq!(dates.skeleton_by, at(skeleton), "{closed_at}");
        assert_eq!(dates.purge_latest, at(closed_at).plus(69 * DAY - 2 * HOUR), "{closed_at}");
    }
}

#[test]
fn an_ordinary_end_keeps_every_date() {
    let mut closure = closed("2028-02-01T09:00:00Z");
    let story = play(&mut closure, &mut fine(), 366, |_, _, _| {});
    let expected = [
        ("TurnAccessOff", Duration::ZERO),
        ("Archive", Duration::ZERO),
        ("TellOwners", Duration::ZERO),
        ("CHOICE", Duration::ZERO),
        ("MakePlan", 30 * DAY),
        ("PLANNED", 30 * DAY),
        ("PURGING", 31 * DAY),
        ("Purge", 31 * DAY),
        ("Certify(Live)", 31 * DAY),
        ("LIVE_CLEAN", 31 * DAY),
        ("CheckAgain", 32 * DAY),
        ("BACKUPS_CLEAN", 45 * DAY),
        ("DestroyArchive", 90 * DAY - HOUR),
        ("DestroyValues", 90 * DAY - HOUR),
        ("ARCHIVE_DESTROYED", 90 * DAY - HOUR),
        ("DestroySkeleton", 365 * DAY - HOUR),
        ("ConfirmApplicationLogs", 365 * DAY),
        ("LOGS_CLEAN", 365 * DAY),
    ];
    for (what, offset) in expected {
        assert_eq!(when(&story, what), Some(offset), "{what} in {story:?}");
    }
    assert_eq!(story.iter().filter(|(_, what)| what == "CheckAgain").count(), 2, "after a day and a week");
    assert_eq!(closure.stage, Stage::LogsClean);
}

#[test]
fn immediate_removal_waits_for_no_date_but_the_snapshots() {
    let mut closure = closed("2026-11-26T00:00:00Z");
    closure = closure.after(Request::RemoveNow, closure.dates.closed).expect("allowed");
    // The window is closed and there is no hurry by the dates.
    let mut facts = Facts { window_opens: None, ..fine() };
    let story = play(&mut closure, &mut facts, 366, |_, _, _| {});
    for what in ["Purge", "Certify(Live)", "DestroyArchive", "DestroyValues"] {
        assert_eq!(when(&story, what), Some(Duration::ZERO), "{what}");
    }
    assert_eq!(when(&story, "BACKUPS_CLEAN"), Some(14 * DAY), "other customers' snapshots are not cut short");
    assert_eq!(when(&story, "ARCHIVE_DESTROYED"), Some(14 * DAY));
    assert_eq!(when(&story, "DestroySkeleton"), Some(365 * DAY - HOUR), "who deleted what stays its time");
}

#[test]
fn a_hold_keeps_the_archive_and_the_keys_and_nothing_else() {
    let mut closure = closed("2026-11-26T00:00:00Z");
    let release = day(&closure, 200);
    let story = play(&mut closure, &mut fine(), 366, |closure, _, now| {
        let placed = closure.dates.closed.plus(40 * DAY);
        if now == placed {
            // Midway, when the rows are gone already.
            assert_eq!(closure.stage, Stage::LiveClean);
            *closure = closure.after(Request::PlaceHold { review: placed.plus(180 * DAY) }, now).expect("placed");
        }
        if now == release {
            *closure = closure.after(Request::ReleaseHold, now).expect("released");
        }
    });
    assert_eq!(when(&story, "Purge"), Some(31 * DAY), "live rows go on time");
    assert_eq!(when(&story, "BACKUPS_CLEAN"), Some(45 * DAY), "and snapshots");
    assert_eq!(when(&story, "DestroyArchive"), Some(200 * DAY), "kept until released, then at once");
    assert_eq!(when(&story, "DestroyValues"), Some(200 * DAY));
    assert_eq!(when(&story, "DestroySkeleton"), Some(365 * DAY - HOUR));
}

#[test]
fn a_hold_outranks_immediate_removal_until_it_is_released() {
    let mut closure = closed("2026-11-26T00:00:00Z");
    let now = closure.dates.closed;
    closure = closure.after(Request::PlaceHold { review: day(&closure, 60) }, now).expect("placed");
    closure = closure.after(Request::RemoveNow, now).expect("noted");
    assert!(closure.is_held() && !closure.is_removed_now());
    let release = day(&closure, 50);
    let story = play(&mut closure, &mut fine(), 100, |closure, _, now| {
        if now == release {
            *closure = closure.after(Request::ReleaseHold, now).expect("released");
        }
    });
    assert_eq!(when(&story, "Purge"), Some(31 * DAY), "live rows go on time, not before");
    assert_eq!(when(&story, "DestroyArchive"), Some(50 * DAY), "the removal asked for takes effect");
    // Without a release nothing that the hold keeps goes, and it is told until when it waits.
    let mut held = closed("2026-11-26T00:00:00Z");
    held = held.after(Request::PlaceHold { review: day(&held, 60) }, now).expect("placed");
    let mut facts = fine();
    let story = play(&mut held, &mut facts, 400, |_, _, _| {});
    assert_eq!((when(&story, "DestroyArchive"), when(&story, "DestroySkeleton")), (None, None));
    assert_eq!(held.stage, Stage::BackupsClean);
    let step = next(&held, &facts, day(&held, 400));
    let wait = step.waits.iter().find(|wait| wait.need == Need::ArchiveGone).expect("told");
    assert_eq!((wait.why, wait.until), (Why::Held, Some(day(&held, 60))));
}

#[test]
fn what_is_asked_for_is_refused_with_the_reason() {
    let staged = |stage| {
        let mut closure = closed("2026-11-26T00:00:00Z");
        closure.stage = stage;
        closure
    };
    let now = day(&staged(Stage::Closed), 10);
    let late = day(&staged(Stage::Closed), 30);
    for (stage, request, now, expected) in [
        (Stage::Closed, Request::Reopen, now, Ok(Stage::Active)),
        (Stage::Planned, Request::Reopen, now, Ok(Stage::Active)),
        (Stage::Purging, Request::Reopen, now, Err(Refused::TooLate(Stage::Purging))),
        (Stage::LogsClean, Request::Reopen, now, Err(Refused::TooLate(Stage::LogsClean))),
        (Stage::Active, Request::RemoveNow, now, Err(Refused::NotClosed)),
        (Stage::Choice, Request::Choose(Choice::Return), now, Ok(Stage::Choice)),
        (Stage::Choice, Request::Choose(Choice::Return), late, Err(Refused::ChoiceOver(late))),
        (Stage::Purging, Request::Choose(Choice::Delete), now, Err(Refused::ChoiceOver(late))),
        (Stage::Purging, Request::PlaceHold { review: late }, now, Ok(Stage::Purging)),
        (Stage::Purging, Request::PlaceHold { review: now }, now, Err(Refused::NoReview)),
        (Stage::LogsClean, Request::PlaceHold { review: late }, now, Err(Refused::NothingLeft)),
        (Stage::Choice, Request::ReleaseHold, now, Err(Refused::NotHeld)),
    ] {
        let after = staged(stage).after(request, now).map(|closure| closure.stage);
        assert_eq!(after, expected, "{stage}: {request:?}");
    }
}

#[test]
fn a_purge_waits_for_the_clocks_a_snapshot_and_the_window_and_says_so() {
    let mut closure = closed("2026-11-26T00:00:00Z");
    closure.stage = Stage::Planned;
    let opens = day(&closure, 33);
    for (facts, now, why, until) in [
        (Facts { is_frozen: true, ..fine() }, day(&closure, 32), Why::Frozen, None),
        (
            Facts { has_good_snapshot: false, ..fine() },
            day(&closure, 32),
            Why::NoGoodSnapshot,
            Some(closure.dates.purge_latest),
        ),
        (Facts { window_opens: Some(opens), ..fine() }, day(&closure, 32), Why::Window, Some(opens)),
        (Facts { window_opens: None, ..fine() }, day(&closure, 32), Why::NoWindow, Some(closure.dates.purge_latest)),
        (fine(), day(&closure, 30), Why::Date, Some(closure.dates.purge_from)),
    ] {
        let step = next(&closure, &facts, now);
        assert_eq!(step.stage, Stage::Planned);
        let wait = step.waits.first().expect("waits");
        assert_eq!((wait.why, wait.until), (why, until));
        assert!(!wait.why.to_string().is_empty());
    }
    // At the latest moment neither the hour nor broken backups are waited for; clocks that disagree are.
    let latest = closure.dates.purge_latest;
    let facts = Facts { window_opens: None, has_good_snapshot: false, ..fine() };
    assert_eq!(next(&closure, &facts, latest).acts, [Act::Purge]);
    assert!(next(&closure, &Facts { is_frozen: true, ..facts }, latest).acts.is_empty());
}

#[test]
fn what_has_its_day_goes_even_if_an_earlier_stage_is_stuck() {
    let mut closure = closed("2026-11-26T00:00:00Z");
    closure.stage = Stage::LiveClean;
    let clean = Some(day(&closure, 31));
    let facts = Facts { live_clean: clean, dirty_snapshots: Some(1), checked: vec![day(&closure, 40)], ..fine() };
    let step = next(&closure, &facts, day(&closure, 90));
    assert_eq!(step.stage, Stage::LiveClean);
    assert_eq!(step.acts, [Act::DestroyArchive, Act::DestroyValues]);
    assert_eq!(step.waits.first().map(|wait| wait.why), Some(Why::Snapshots(1)));
    // Rows that came back are purged anew, and everything counts from then.
    let again = Facts { live_clean: Some(day(&closure, 45)), dirty_snapshots: None, ..facts };
    let step = next(&closure, &again, day(&closure, 45));
    assert_eq!(step.waits.first().map(|wait| (wait.need, wait.why)), Some((Need::CheckedAfterDay, Why::Date)));
}

#[test]
fn what_came_back_is_purged_unless_it_waits_for_people() {
    let mut closure = closed("2026-11-26T00:00:00Z");
    closure.stage = Stage::LiveClean;
    let given = Facts { approval: Approval::Given, ..fine() };
    assert_eq!(next(&closure, &given, day(&closure, 40)).acts, [Act::Purge]);
    let waits = Facts { approval: Approval::Waits, ..fine() };
    let step = next(&closure, &waits, day(&closure, 40));
    assert_eq!(step.acts, []);
    assert_eq!(step.waits.first().map(|wait| (wait.need, wait.why)), Some((Need::Approved, Why::People)));
}

proptest! {
    /// However long each act takes, whatever is held when: nothing goes before its day or under a hold, no part is
    /// signed before its facts, and the stage never goes back.
    #[test]
    fn nothing_goes_early_or_under_a_hold(
        delays in prop::collection::vec(0_u32..200, 11),
        hold in prop::option::of((0_u32..24 * 300, 1_u32..24 * 200)),
        remove in prop::option::of(0_u32..24 * 120),
        frozen in (0_u32..24 * 300, 0_u32..24 * 20),
    ) {
        let mut closure = closed("2027-12-01T00:00:00Z");
        let mut facts = fine();
        let mut pending: Vec<(Act, u32)> = Vec::new();
        for hour in 0..24 * 380_u32 {
            let now = closure.dates.closed.plus(hour * HOUR);
            facts.is_frozen = (frozen.0..frozen.0 + frozen.1).contains(&hour);
            if let Some((from, length)) = hold {
                if hour == from && closure.stage != Stage::LogsClean {
                    closure = closure.after(Request::PlaceHold { review: now.plus(DAY) }, now).expect("placed");
                }
                if hour == from + length && closure.is_held() {
                    closure = closure.after(Request::ReleaseHold, now).expect("released");
                }
            }
            if remove == Some(hour) {
                closure = closure.after(Request::RemoveNow, now).expect("noted");
            }
            if facts.live_clean.is_some_and(|clean| now >= clean.plus(14 * DAY)) {
                facts.dirty_snapshots = Some(0);
            }
            let step = next(&closure, &facts, now);
            prop_assert!(step.stage >= closure.stage);
            // A purge that was begun goes on under a hold placed midway: its archive is sealed, half a purge helps nobody.
            let begins = closure.stage < Stage::Purging && step.stage >= Stage::Purging;
            let is_time = now >= closure.dates.purge_from || closure.is_removed_now();
            prop_assert!(!begins || is_time, "purged early");
            closure.stage = step.stage;
            for act in step.acts {
                let destroys = matches!(act, Act::DestroyArchive | Act::DestroyValues | Act::DestroySkeleton);
                prop_assert!(!(destroys && closure.is_held()), "{act:?} under a hold");
                prop_assert!(!((destroys || act == Act::Purge) && facts.is_frozen), "{act:?} while frozen");
                if act == Act::Purge {
                    prop_assert!(facts.archive_verified.is_some(), "purged without an archive");
                }
                if act == Act::Certify(Part::Backups) {
                    let week = facts.live_clean.map(|clean| clean.plus(7 * DAY));
                    prop_assert!(facts.dirty_snapshots == Some(0) && facts.checked.iter().copied().max() >= week);
                }
                if !pending.iter().any(|(known, _)| *known == act) {
                    let at = usize::try_from(hour).unwrap_or(0) % delays.len();
                    pending.push((act, hour + delays[at]));
                }
            }
            for (act, _) in pending.iter().filter(|(_, done)| *done == hour) {
                confirm(&mut facts, *act, now);
            }
            pending.retain(|(_, done)| *done > hour);
        }
        prop_assert!(facts.live_clean.is_some());
    }
}
