use chrono::{DateTime, Datelike};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339(text).expect(text).timestamp_micros())
}

fn grid() -> Grid {
    Grid::new(Duration::from_secs(5 * 3600)).expect("five hours")
}

#[test]
fn a_year_with_a_leap_day_and_two_changes_of_the_clock_has_one_gap_only() {
    let (mut now, end) = (at("2028-01-01T00:00:00Z"), at("2029-01-01T00:00:00Z"));
    let (mut taken, mut begun) = (Vec::<Slot>::new(), Vec::new());
    while now < end {
        let due = grid().due(taken.last().copied(), now);
        if let Some(slot) = due.slot {
            assert_eq!(due.missed, 0, "{now}");
            taken.push(slot);
            begun.push(now);
        }
        now = now.plus(Duration::from_secs(300));
    }
    let gaps: std::collections::BTreeSet<u64> =
        begun.windows(2).skip(1).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    assert_eq!(gaps, [5 * 3600].into(), "every 5 hours, over 29 February and both changes of summer time");
    // 366 days are 1756.8 periods; each slot that a part of the year lies in has one.
    assert_eq!(begun.len(), 1757);
    let leap = begun.iter().filter(|at| {
        let day = DateTime::from_timestamp_micros(at.0).expect("a moment");
        (day.month(), day.day()) == (2, 29)
    });
    assert_eq!(leap.count(), 5);
}

#[test]
fn what_is_due() {
    let g = grid();
    let now = at("2026-11-26T12:00:00Z");
    let present = g.slot(now);
    for (what, taken, slot, missed) in [
        ("the first ever", vec![], Some(present), 0),
        ("already begun", vec![present], None, 0),
        ("the next one", vec![Slot(present.0 - 1)], Some(present), 0),
        ("after a night: the newest only", vec![Slot(present.0 - 9)], Some(present), 8),
        ("CronJob's 100 missed starts", vec![Slot(present.0 - 500)], Some(present), 499),
        ("left by a clock that was ahead", vec![Slot(present.0 + 70), Slot(present.0 - 2)], Some(present), 1),
    ] {
        assert_eq!(g.due(taken, now), Due { slot, missed }, "{what}");
    }
    assert!(Grid::new(Duration::ZERO).is_none());
}

proptest! {
    #[test]
    fn every_moment_lies_in_exactly_one_slot(every in 1_u64..10_000_000, now in -(1_i64 << 50)..(1_i64 << 52)) {
        let grid = Grid::new(Duration::from_secs(every)).expect("a period");
        let now = Timestamp(now);
        let slot = grid.slot(now);
        prop_assert!(grid.begin(slot) <= now && now < grid.next(now));
        prop_assert_eq!(grid.slot(grid.begin(slot)), slot);
        prop_assert_eq!(grid.next(now).since(grid.begin(slot)), Duration::from_secs(every));
    }
}
