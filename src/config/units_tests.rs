//! Tables of quantities, good and bad.

use super::*;

#[test]
fn a_quantity_reads_as_written_and_is_written_shortest() {
    for (text, millis, again) in [
        ("15m", 900_000, "15m"),
        ("90s", 90_000, "90s"),
        ("120s", 120_000, "2m"),
        ("2h", 7_200_000, "2h"),
        ("14d", 1_209_600_000, "14d"),
        ("250ms", 250, "250ms"),
        ("0s", 0, "0ms"),
    ] {
        let read = duration(text).expect(text);
        assert_eq!(read, Duration::from_millis(millis), "{text}");
        assert_eq!(Span(read).to_string(), again, "{text}");
    }
    for (text, bytes, again) in [("64MiB", 64 << 20, "64MiB"), ("1024KiB", 1 << 20, "1MiB"), ("100B", 100, "100B")] {
        let read = size(text).expect(text);
        assert_eq!(read, bytes, "{text}");
        assert_eq!(Size(read).to_string(), again, "{text}");
    }
}

#[test]
fn what_is_no_quantity_is_told_what_to_write() {
    for text in [
        "",
        "15",
        "m",
        "-1m",
        "+1m",
        "1.5h",
        "1h30m",
        "15 m",
        "15M",
        "１５m",
        "99999999999999999999d",
        "18446744073709551615d",
    ] {
        let refused = duration(text).expect_err(text).to_string();
        assert_eq!(
            refused,
            format!(
                "\"{text}\" is not a duration: write a whole number and one unit of ms, s, m, h, d, such as \"15m\""
            )
        );
    }
    for text in ["", "64", "64MB", "64 MiB", "-1MiB", "17179869184GiB"] {
        assert!(size(text).is_err(), "{text}");
    }
}
