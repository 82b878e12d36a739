use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339(text).expect(text).timestamp_micros())
}

fn window(schedule: &str, zone: &str) -> Window {
    Window::new(schedule.parse().expect(schedule), zone.parse().expect(zone))
}

#[test]
fn a_second_is_inside_when_the_expression_includes_it() {
    let night = window("* * 1-4 * * *", "Europe/Copenhagen");
    for (moment, inside, opens) in [
        ("2026-11-25T23:59:59Z", false, "2026-11-26T00:00:00Z"),
        ("2026-11-26T00:00:00Z", true, "2026-11-26T00:00:00Z"),
        ("2026-11-26T03:59:59Z", true, "2026-11-26T03:59:59Z"),
        ("2026-11-26T04:00:00Z", false, "2026-11-27T00:00:00Z"),
        // The night on which 02:00 becomes 03:00: the window is an hour shorter, and opens.
        ("2026-03-29T00:59:59Z", true, "2026-03-29T00:59:59Z"),
        ("2026-03-29T01:00:00Z", true, "2026-03-29T01:00:00Z"),
        ("2026-03-29T03:00:00Z", false, "2026-03-29T23:00:00Z"),
        // The night on which 03:00 becomes 02:00: an hour longer.
        ("2026-10-25T00:30:00Z", true, "2026-10-25T00:30:00Z"),
        ("2026-10-25T01:30:00Z", true, "2026-10-25T01:30:00Z"),
        ("2028-02-29T12:00:00Z", false, "2028-03-01T00:00:00Z"),
    ] {
        assert_eq!(night.includes(at(moment)), inside, "{moment}");
        assert_eq!(night.opens(at(moment)), Some(at(opens)), "{moment}");
    }
}

#[test]
fn a_window_that_is_over_says_so() {
    let once = window("* * * * * * 2020", "UTC");
    assert_eq!(once.opens(at("2026-11-26T00:00:00Z")), None);
}
