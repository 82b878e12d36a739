use super::*;

/// UTC, to the minute, such as `2026-11-23 08:00`.
fn at(text: &str) -> Timestamp {
    let parsed = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a moment");
    Timestamp(parsed.and_utc().timestamp_micros())
}

fn told(moment: Option<Timestamp>) -> String {
    moment.map_or("-".to_owned(), |at| at.to_string().replace('T', " ").chars().take(16).collect())
}

/// Hours, a moment in UTC, when they end if it is within them, when they next open. 2026-11-23 is a Monday. Berlin is at
/// +1 in winter and +2 in summer; its clocks go back on 2026-10-25 and forward on 2027-03-28, at 01:00 UTC.
const TABLE: &str = "
| mon-fri 09:00-17:00 Europe/Berlin | 2026-11-23 07:59 | -                | 2026-11-23 08:00 |
| mon-fri 09:00-17:00 Europe/Berlin | 2026-11-23 08:00 | 2026-11-23 16:00 | 2026-11-23 08:00 |
| mon-fri 09:00-17:00 Europe/Berlin | 2026-11-23 15:59 | 2026-11-23 16:00 | 2026-11-23 15:59 |
| mon-fri 09:00-17:00 Europe/Berlin | 2026-11-23 16:00 | -                | 2026-11-24 08:00 |
| mon-fri 09:00-17:00 Europe/Berlin | 2026-11-27 16:00 | -                | 2026-11-30 08:00 |
| mon-fri 09:00-17:00 Europe/Berlin | 2026-07-06 07:00 | 2026-07-06 15:00 | 2026-07-06 07:00 |
| sat,sun 09:00-17:00 UTC           | 2026-11-23 12:00 | -                | 2026-11-28 09:00 |
| fri 22:00-06:00 UTC               | 2026-11-27 23:00 | 2026-11-28 06:00 | 2026-11-27 23:00 |
| fri 22:00-06:00 UTC               | 2026-11-28 05:59 | 2026-11-28 06:00 | 2026-11-28 05:59 |
| fri 22:00-06:00 UTC               | 2026-11-28 06:00 | -                | 2026-12-04 22:00 |
| fri 22:00-06:00 UTC               | 2026-11-27 05:00 | -                | 2026-11-27 22:00 |
| daily 22:00-06:00 Asia/Tokyo      | 2026-11-23 14:00 | 2026-11-23 21:00 | 2026-11-23 14:00 |
| daily 00:00-24:00 UTC             | 2026-11-23 12:00 | 2026-12-01 00:00 | 2026-11-23 12:00 |
| mon-fri 00:00-24:00 UTC           | 2026-11-23 12:00 | 2026-11-28 00:00 | 2026-11-23 12:00 |
| fri-mon 00:00-24:00 UTC           | 2026-11-28 12:00 | 2026-12-01 00:00 | 2026-11-28 12:00 |
| daily 01:00-04:00 Europe/Berlin   | 2026-10-24 23:00 | 2026-10-25 03:00 | 2026-10-24 23:00 |
| daily 01:00-02:30 Europe/Berlin   | 2026-10-25 00:29 | 2026-10-25 00:30 | 2026-10-25 00:29 |
| daily 01:00-02:30 Europe/Berlin   | 2026-10-25 01:15 | -                | 2026-10-26 00:00 |
| daily 02:30-04:00 Europe/Berlin   | 2026-10-25 00:30 | 2026-10-25 03:00 | 2026-10-25 00:30 |
| daily 01:00-02:30 Europe/Berlin   | 2027-03-28 00:30 | 2027-03-28 01:00 | 2027-03-28 00:30 |
| daily 02:30-04:00 Europe/Berlin   | 2027-03-28 00:59 | -                | 2027-03-28 01:00 |
| daily 02:30-04:00 Europe/Berlin   | 2027-03-28 01:00 | 2027-03-28 02:00 | 2027-03-28 01:00 |
| sun 02:10-02:50 Europe/Berlin     | 2027-03-28 00:00 | -                | 2027-04-04 00:10 |
| fri 08:00-18:00 Pacific/Apia      | 2011-12-30 12:00 | -                | 2012-01-05 18:00 |
| fri 12:00-06:00 Pacific/Apia      | 2011-12-30 12:00 | 2011-12-30 16:00 | 2011-12-30 12:00 |
";

#[test]
fn they_end_and_open_by_the_wall_clock() {
    let rows = TABLE.lines().filter(|line| line.starts_with('|'));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    for row in &rows {
        let hours: Hours = row[0].parse().expect("hours");
        let now = at(row[1]);
        assert_eq!((told(hours.end(now)).as_str(), told(hours.opens(now)).as_str()), (row[2], row[3]), "{row:?}");
        assert_eq!(hours.to_string().parse(), Ok(hours), "{row:?}");
    }
    assert_eq!(rows.len(), 25);
}

#[test]
fn what_is_no_hours_is_named() {
    let table = [
        ("", "write such as mon-fri 09:00-17:00 Europe/Berlin"),
        ("mon-fri 09:00-17:00", "write such as"),
        ("mon-fri 09:00 Europe/Berlin", "write such as"),
        ("mon-fri 09:00-17:00 Europe/Berlin now", "write such as"),
        ("monday 09:00-17:00 UTC", "\"monday\" is no day"),
        ("mon- 09:00-17:00 UTC", "\"\" is no day"),
        ("mon 9:00-17:00 UTC", "\"9:00\" is no time of day"),
        ("mon 09:00-24:01 UTC", "\"24:01\" is no time of day"),
        ("mon 09:60-17:00 UTC", "\"09:60\" is no time of day"),
        ("mon 09:00-09:00 UTC", "is no time at all"),
        ("mon 24:00-09:00 UTC", "is no time at all"),
        ("mon 09:00-17:00 Europe/Berlni", "did you mean Europe/Berlin?"),
        ("mon 09:00-17:00 Europe/Berln", "did you mean Europe/Berlin?"),
        ("mon 09:00-17:00 berlin", "did you mean Europe/Berlin?"),
        ("mon 09:00-17:00 europe/berlin", "did you mean Europe/Berlin?"),
        ("mon 09:00-17:00 Atlantis/Poseidonia", "no time zone"),
        ("mon 09:00-17:00 Qqqqqqqq/Zzzzzzzz", "use one of the IANA database, such as Europe/Berlin"),
    ];
    for (text, says) in table {
        let fault = text.parse::<Hours>().expect_err(text).to_string();
        assert!(fault.contains(says), "{text}: {fault}");
    }
}

#[test]
fn days_are_written_as_a_range_where_they_are_one() {
    let table = [
        ("daily 09:00-17:00 UTC", "daily 09:00-17:00 UTC"),
        ("mon,tue,wed 09:00-24:00 UTC", "mon-wed 09:00-24:00 UTC"),
        ("thu,tue,wed 09:00-17:00 UTC", "tue-thu 09:00-17:00 UTC"),
        ("sat-sun 09:00-17:00 UTC", "sat,sun 09:00-17:00 UTC"),
        ("mon,wed,fri 22:00-06:00 UTC", "mon,wed,fri 22:00-06:00 UTC"),
        ("fri-mon 09:00-17:00 UTC", "mon,fri,sat,sun 09:00-17:00 UTC"),
        ("tue 00:00-24:00 UTC", "tue 00:00-24:00 UTC"),
    ];
    for (text, written) in table {
        let hours: Hours = text.parse().expect("hours");
        assert_eq!((hours.to_string(), format!("{hours:?}")), (written.to_owned(), format!("Hours({written})")));
    }
}

#[test]
fn no_moment_is_too_far_away() {
    let hours: Hours = "daily 00:00-24:00 UTC".parse().expect("hours");
    for moment in [i64::MIN, i64::MAX, 0] {
        let (end, opens) = (hours.end(Timestamp(moment)), hours.opens(Timestamp(moment)));
        assert_eq!(end.is_some(), opens.is_some(), "{moment}");
    }
}
