//! Hours of the week in a time zone, written `mon-fri 09:00-17:00 Europe/Berlin`; they may cross midnight.
//! Not here: whose hours they are. Edges follow the wall clock: one that a clock change skips is the moment of the
//! change, one that comes twice is the first of the two.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::clock::Timestamp;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_A_DAY: u16 = 24 * 60;
const EXAMPLE: &str = "mon-fri 09:00-17:00 Europe/Berlin";
/// An edge that a clock change skips lies at most this many minutes after it.
const SKIPPED_MINUTES_MAX: i64 = 24 * 60;

/// A span of hours on some days of the week. It begins on such a day, and may end on the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Bit 0 is Monday.
    days: u8,
    /// Minutes after midnight at which they begin.
    from: u16,
    /// Minutes after midnight at which they end; not after `from`: on the next day.
    to: u16,
    zone: Tz,
}

/// A text that is no hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursFault {
    /// Not of that form.
    #[error("\"{0}\" is not hours of the week: write such as {EXAMPLE}")]
    NotHours(String),
    /// Not a day, or a range that is none.
    #[error("\"{0}\" is no day of the week: use mon, tue, wed, thu, fri, sat, sun, a range such as mon-fri, or daily")]
    Day(String),
    /// Not a time of day.
    #[error("\"{0}\" is no time of day: write 00:00 to 24:00")]
    Time(String),
    /// Hours of no length.
    #[error("from {0} to {0} is no time at all: for the whole day write 00:00-24:00")]
    Empty(String),
    /// Not a time zone of the IANA database.
    #[error("\"{found}\" is no time zone: {}", meant(*nearest))]
    Zone {
        /// What was written.
        found: String,
        /// The zone whose name is most like it.
        nearest: Option<&'static str>,
    },
}

fn meant(nearest: Option<&str>) -> String {
    let example = "use one of the IANA database, such as Europe/Berlin";
    nearest.map_or(example.to_owned(), |zone| format!("did you mean {zone}?"))
}

impl Hours {
    /// When they end, if that moment is within them.
    pub fn end(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.local(now)?.date();
        let yesterday = today.checked_sub_days(Days::new(1)).filter(|_| self.crosses_midnight());
        let spans = [yesterday, Some(today)].into_iter().flatten().filter_map(|day| self.span(day));
        let (day, end) = spans.filter(|(_, from, to)| *from <= now && now < *to).map(|(day, _, to)| (day, to)).max()?;
        if self.from != self.to { Some(end) } else { Some(self.joined(day, end)) }
    }

    /// The first moment from `now` on that is within them; none: never again.
    pub fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        if self.end(now).is_some() {
            return Some(now);
        }
        let today = self.local(now)?.date();
        // Eight days hold every day of the week, and two weeks one that a clock change does not swallow.
        let days = (0..=15).filter_map(|ahead| today.checked_add_days(Days::new(ahead)));
        days.filter_map(|day| self.span(day)).map(|(_, from, _)| from).find(|from| *from > now)
    }

    /// Whole days that follow each other are one span; eight of them are a week without end.
    fn joined(&self, mut day: NaiveDate, mut end: Timestamp) -> Timestamp {
        for _ in 0..DAYS.len() {
            let next = day.checked_add_days(Days::new(1)).and_then(|next| self.span(next));
            let Some((next, _, to)) = next.filter(|(_, from, _)| *from <= end) else { break };
            (day, end) = (next, to);
        }
        end
    }

    fn crosses_midnight(&self) -> bool {
        self.to <= self.from
    }

    /// The span that begins on that day, if it is one of theirs and the clock lets it be.
    fn span(&self, day: NaiveDate) -> Option<(NaiveDate, Timestamp, Timestamp)> {
        use chrono::Datelike as _;
        let number = day.weekday().num_days_from_monday();
        if self.days & (1 << number) == 0 {
            return None;
        }
        let last = if self.crosses_midnight() { day.checked_add_days(Days::new(1))? } else { day };
        let (from, to) = (self.moment(day, self.from)?, self.moment(last, self.to)?);
        (from < to).then_some((day, from, to))
    }

    fn moment(&self, day: NaiveDate, minutes: u16) -> Option<Timestamp> {
        let wall = day.and_hms_opt(0, 0, 0)?.checked_add_signed(TimeDelta::minutes(i64::from(minutes)))?;
        let at = match self.zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at,
            MappedLocalTime::None => self.change_before(wall)?,
        };
        Some(Timestamp(at.timestamp_micros()))
    }

    /// The change of the clock that skips that wall time.
    fn change_before(&self, skipped: NaiveDateTime) -> Option<DateTime<Tz>> {
        let minute_before = |minutes| skipped.checked_sub_signed(TimeDelta::minutes(minutes));
        (1..=SKIPPED_MINUTES_MAX).filter_map(minute_before).find_map(|wall| {
            let latest = self.zone.from_local_datetime(&wall).latest();
            latest.and_then(|at| at.checked_add_signed(TimeDelta::minutes(1)))
        })
    }

    fn local(&self, at: Timestamp) -> Option<NaiveDateTime> {
        Some(DateTime::from_timestamp_micros(at.0)?.with_timezone(&self.zone).naive_local())
    }
}

impl FromStr for Hours {
    type Err = HoursFault;

    fn from_str(text: &str) -> Result<Hours, HoursFault> {
        let wrong = || HoursFault::NotHours(text.to_owned());
        let mut words = text.split_ascii_whitespace();
        let (Some(days), Some(times), Some(zone), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong());
        };
        let (from, to) = times.split_once('-').ok_or_else(wrong)?;
        let (from_minutes, to_minutes) = (minutes(from)?, minutes(to)?);
        if from_minutes == to_minutes || from_minutes == MINUTES_A_DAY {
            return Err(HoursFault::Empty(from.to_owned()));
        }
        Ok(Hours { days: days_of(days)?, from: from_minutes, to: to_minutes % MINUTES_A_DAY, zone: zone_of(zone)? })
    }
}

fn days_of(text: &str) -> Result<u8, HoursFault> {
    let text = text.to_ascii_lowercase();
    if text == "daily" {
        return Ok(0b111_1111);
    }
    let number = |word: &str| DAYS.iter().position(|day| *day == word).ok_or_else(|| HoursFault::Day(word.to_owned()));
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        // From friday to monday, too.
        let length = (last + DAYS.len() - first) % DAYS.len();
        (0..=length).for_each(|ahead| days |= 1_u8 << ((first + ahead) % DAYS.len()));
    }
    Ok(days)
}

fn minutes(text: &str) -> Result<u16, HoursFault> {
    let wrong = || HoursFault::Time(text.to_owned());
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let two = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u16>().ok()).flatten()
    };
    match (two(hour), two(minute)) {
        (Some(hour), Some(minute)) if hour < 24 && minute < 60 || (hour, minute) == (24, 0) => Ok(hour * 60 + minute),
        (Some(_) | None, Some(_) | None) => Err(wrong()),
    }
}

/// The time zone of that name.
///
/// # Errors
/// Names the zone whose name is most like it.
fn zone_of(text: &str) -> Result<Tz, HoursFault> {
    text.parse().map_err(|_| {
        let found = text.to_owned();
        let low = text.to_ascii_lowercase();
        let likeness = |name: &str| {
            let name = name.to_ascii_lowercase();
            let city = name.rsplit('/').next().unwrap_or(&name);
            strsim::damerau_levenshtein(&name, &low).min(strsim::damerau_levenshtein(city, &low))
        };
        let nearest = TZ_VARIANTS.iter().map(|zone| (likeness(zone.name()), zone.name())).min();
        let nearest = nearest.filter(|(distance, _)| *distance <= low.len() / 2).map(|(_, name)| name);
        HoursFault::Zone { found, nearest }
    })
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_on = |number: &usize| self.days & (1 << number) != 0;
        let on: Vec<usize> = (0..DAYS.len()).filter(is_on).collect();
        let days = match (on.first(), on.last()) {
            (Some(0), Some(6)) if on.len() == DAYS.len() => "daily".to_owned(),
            (Some(first), Some(last)) if on.len() > 2 && last - first + 1 == on.len() => {
                format!("{}-{}", day_name(*first), day_name(*last))
            }
            (Some(_) | None, Some(_) | None) => on.iter().map(|day| day_name(*day)).collect::<Vec<_>>().join(","),
        };
        let to = if self.to == 0 { MINUTES_A_DAY } else { self.to };
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{days} {}-{} {}", time(self.from), time(to), self.zone)
    }
}

fn day_name(number: usize) -> &'static str {
    DAYS.get(number).copied().unwrap_or("?")
}

impl fmt::Debug for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hours({self})")
    }
}

#[cfg(test)]
#[path = "hours_tests.rs"]
mod tests;
