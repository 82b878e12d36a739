use super::*;
use crate::retention::closure::Dates;
use crate::retention::promise::Promise;
use crate::retention::solve::{Backend, solve};

const HOUR: Duration = Duration::from_secs(3600);
const START: Timestamp = Timestamp(1_700_000_000_000_000);

fn closed(count: u64, stage: Stage, facts: &Facts) -> Vec<(Closure, Facts)> {
    let backend = Backend { name: "main".to_owned(), takes: HOUR, expiry_lag: HOUR, store_keeps: Duration::ZERO };
    let promise = Promise::default();
    let solution = solve(&promise, &[backend]).expect("possible");
    let dates = Dates::new(START, &promise, &solution);
    let one = |id| (Closure { stage, ..Closure::new(CustomerId(id), dates) }, facts.clone());
    (0..count).map(one).collect()
}

fn over(all: &[(Closure, Facts)], now: Timestamp) -> Option<(usize, usize)> {
    let over = above(all.iter().map(|(closure, facts)| (closure, facts)), 3, now);
    over.map(|over| (over.count, over.due.len()))
}

/// Each row: what is there, and what is above a cap of three, if anything: how many count, how many may not begin.
#[test]
fn what_begins_now_and_what_began_within_a_day_count_together() {
    let now = START.plus(32 * 24 * HOUR);
    let due = Facts { planned: Some(START), has_good_snapshot: true, window_opens: Some(START), ..Facts::default() };
    let begun = |ago: Duration| Facts {
        begun: Some(Timestamp(now.0 - i64::try_from(ago.as_micros()).expect("short"))),
        ..due.clone()
    };
    let both = |one: Vec<(Closure, Facts)>, other: Vec<(Closure, Facts)>| [one, other].concat();
    let approval = |approval| Facts { approval, ..due.clone() };
    for (name, all, expected) in [
        ("none", vec![], None),
        ("as many as the cap", closed(3, Stage::Planned, &due), None),
        ("one more", closed(4, Stage::Planned, &due), Some((4, 4))),
        ("not their day", closed(9, Stage::Planned, &Facts { planned: None, ..due.clone() }), None),
        (
            "one, after three in the last hours",
            both(closed(3, Stage::LiveClean, &begun(23 * HOUR)), closed(1, Stage::Planned, &due)),
            Some((4, 1)),
        ),
        (
            "one, after three a day ago",
            both(closed(3, Stage::LiveClean, &begun(24 * HOUR)), closed(1, Stage::Planned, &due)),
            None,
        ),
        ("many that are under way go on", closed(9, Stage::Purging, &begun(HOUR)), None),
        (
            "approved ones do not count",
            both(closed(9, Stage::Planned, &approval(Approval::Given)), closed(3, Stage::Planned, &due)),
            None,
        ),
        ("one that is held stays held", closed(1, Stage::Planned, &approval(Approval::Waits)), Some((1, 1))),
        ("a held one that came back waits", closed(1, Stage::LiveClean, &approval(Approval::Waits)), Some((1, 1))),
        ("one that came back goes", closed(9, Stage::LiveClean, &due), None),
        ("a plan made anew begins again", closed(4, Stage::Purging, &due), Some((4, 4))),
        ("nothing while clocks disagree", closed(9, Stage::Planned, &Facts { is_frozen: true, ..due.clone() }), None),
    ] {
        assert_eq!(over(&all, now), expected, "{name}");
    }
}

#[test]
fn what_is_held_waits_for_people_and_for_no_date() {
    let now = START.plus(400 * 24 * HOUR);
    let facts = Facts { planned: Some(START), approval: Approval::Waits, ..Facts::default() };
    let all = closed(1, Stage::Planned, &facts);
    let step = next(&all[0].0, &all[0].1, now);
    assert_eq!(step.stage, Stage::Planned);
    assert!(!step.acts.contains(&Act::Purge), "{step:?}");
    let why: Vec<_> = step.waits.iter().map(|wait| wait.why).collect();
    assert!(why.contains(&super::super::Why::People), "{why:?}");
}
