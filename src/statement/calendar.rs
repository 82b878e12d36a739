//! PostgreSQL's dates and times in binary, written as its ISO style writes them.
//! Not here: time zones; `timestamptz` is shown in UTC.
//! Formats: `date_send`, `time_send`, `timetz_send`, `timestamp_send` (days and microseconds since 2000-01-01).

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// `2026-11-21`, `infinity`, `0044-03-15 BC`.
pub(super) fn date(days: i32) -> Option<String> {
    Some(match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => {
            let (text, era) = day(i64::from(days));
            text + era
        }
    })
}

/// `23:36:00.5`; none beyond 24:00:00.
pub(super) fn time(micros: i64) -> Option<String> {
    if !(0..=MICROS_PER_DAY).contains(&micros) {
        return None;
    }
    let seconds = micros / MICROS_PER_SECOND;
    let fraction = match micros % MICROS_PER_SECOND {
        0 => String::new(),
        fraction => format!(".{fraction:06}").trim_end_matches('0').to_owned(),
    };
    Some(format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// `23:36:00+01`; `zone` is seconds west of Greenwich.
pub(super) fn timetz(micros: i64, zone: i32) -> Option<String> {
    let size = zone.unsigned_abs();
    if size >= 16 * 3600 {
        return None;
    }
    let sign = if zone > 0 { '-' } else { '+' };
    let mut offset = format!("{sign}{:02}", size / 3600);
    if !size.is_multiple_of(3600) {
        offset.push_str(&format!(":{:02}", size / 60 % 60));
    }
    if !size.is_multiple_of(60) {
        offset.push_str(&format!(":{:02}", size % 60));
    }
    Some(time(micros)? + &offset)
}

/// `2026-11-21 23:36:00`.
pub(super) fn timestamp(micros: i64) -> Option<String> {
    moment(micros, "")
}

/// `2026-11-21 23:36:00+00`.
pub(super) fn timestamptz(micros: i64) -> Option<String> {
    moment(micros, "+00")
}

fn moment(micros: i64, zone: &str) -> Option<String> {
    match micros {
        i64::MAX => Some("infinity".to_owned()),
        i64::MIN => Some("-infinity".to_owned()),
        micros => {
            let (text, era) = day(micros.div_euclid(MICROS_PER_DAY));
            Some(format!("{text} {}{zone}{era}", time(micros.rem_euclid(MICROS_PER_DAY))?))
        }
    }
}

/// A day counted from 2000-01-01, and ` BC` where it is before the year 1: eras of 400 years that start on 1 March.
fn day(days: i64) -> (String, &'static str) {
    let from_march_0000 = days + 730_425;
    let (era, day_of_era) = (from_march_0000.div_euclid(146_097), from_march_0000.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}
