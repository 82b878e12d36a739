use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn at(text: &str) -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339(text).expect("a moment").timestamp_micros())
}

#[test]
fn a_month_ends_where_the_next_one_begins_and_its_term_is_counted_from_there() {
    for (month, days, due) in [
        (202_611, 0, "2026-12-01T00:00:00Z"),
        (202_612, 0, "2027-01-01T00:00:00Z"),
        (202_802, 0, "2028-03-01T00:00:00Z"),
        (202_608, 90, "2026-11-30T00:00:00Z"),
        (202_511, 365, "2026-12-01T00:00:00Z"),
    ] {
        let (due, after) = (at(due), DAY * days);
        assert_eq!(ends(month, after), Some(due), "{month}");
        assert!(month < first_kept(after, due) && month >= first_kept(after, Timestamp(due.0 - 1)), "{month}");
    }
}

#[test]
fn what_is_no_month_has_no_end_and_no_moment_is_too_far_off() {
    for month in [0, 2026, 202_600, 202_613, 202_699, u32::MAX] {
        assert_eq!(ends(month, DAY), None, "{month}");
    }
    assert_eq!(first_kept(Duration::MAX, Timestamp(0)), month_of(Timestamp(i64::MIN)));
    assert_eq!(ends(202_611, Duration::MAX), Some(Timestamp(i64::MAX)));
}

#[test]
fn the_month_of_a_moment_is_that_of_utc() {
    assert_eq!(month_of(at("2026-11-30T23:59:59Z")), 202_611);
    assert_eq!(month_of(at("2026-12-01T00:00:00+01:00")), 202_611);
    assert_eq!(month_of(at("2026-12-01T00:00:00Z")), 202_612);
}
