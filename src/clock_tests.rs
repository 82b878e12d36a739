use chrono::Datelike;

use super::*;

#[test]
fn a_timestamp_is_written_as_rfc_3339() {
    for (micros, written) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (1_795_304_160_123_456, "2026-11-21T23:36:00.123456Z"),
        (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ] {
        assert_eq!(Timestamp(micros).to_string(), written);
    }
}

#[test]
fn arithmetic_stops_at_the_ends() {
    assert_eq!(Timestamp::NEVER.plus(Duration::from_secs(1)), Timestamp::NEVER);
    assert_eq!(Timestamp(5).since(Timestamp(7)), Duration::ZERO);
    assert_eq!(Timestamp(7).since(Timestamp(5)), Duration::from_micros(2));
}

/// By it the keys are chosen that a record is sealed to.
#[test]
fn each_days_date_is_that_of_another_calendar() {
    for day in -40_000..200_000_i64 {
        let date = chrono::DateTime::from_timestamp(day * 86_400, 0).expect("a time").date_naive();
        let expected = (date.year().into(), date.month().into(), date.day().into());
        for second in [day * 86_400, day * 86_400 + 86_399] {
            assert_eq!(Timestamp(second * 1_000_000).date(), expected, "{date}");
        }
    }
}

#[test]
fn the_date_is_the_one_that_is_written() {
    for micros in [0, -1, 951_782_400_000_000, 1_795_304_160_123_456, 4_107_542_399_999_999] {
        let (year, month, day) = Timestamp(micros).date();
        assert!(Timestamp(micros).to_string().starts_with(&format!("{year:04}-{month:02}-{day:02}T")));
    }
}
