//! Durations (`15m`) and sizes (`64MiB`) as people write them, read and written back exactly.
//! Not here: fractions and sums such as `1h30m`; one whole number and one unit, so that two readers never disagree.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units of time, the longest first, with their length in milliseconds.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size, the largest first, with their length in bytes.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A text that is neither a duration nor a size, with what was expected instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{found}\" is not a {what}: write a whole number and one unit of {units}, such as \"{example}\"")]
pub struct NotAQuantity {
    found: String,
    what: &'static str,
    units: &'static str,
    example: &'static str,
}

/// Reads a duration such as `15m`, `2h` or `14d`.
///
/// # Errors
/// If it is not one whole number followed by `ms`, `s`, `m`, `h` or `d`, or does not fit.
pub fn duration(text: &str) -> Result<Duration, NotAQuantity> {
    let wrong = || NotAQuantity { found: text.to_owned(), what: "duration", units: "ms, s, m, h, d", example: "15m" };
    quantity(text, &TIMES).map(Duration::from_millis).ok_or_else(wrong)
}

/// Reads a size such as `64MiB`, in bytes.
///
/// # Errors
/// If it is not one whole number followed by `B`, `KiB`, `MiB` or `GiB`, or does not fit.
pub fn size(text: &str) -> Result<u64, NotAQuantity> {
    let wrong = || NotAQuantity { found: text.to_owned(), what: "size", units: "B, KiB, MiB, GiB", example: "64MiB" };
    quantity(text, &SIZES).ok_or_else(wrong)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The shortest writing of `amount` in whole `units`.
fn written(amount: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor));
    let (unit, factor) = whole.or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{unit}", amount / factor)
}

/// A duration in the configuration file. Whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A size in the configuration file. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &TIMES))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.0, &SIZES))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Read { expected: "a duration such as \"15m\"", read: |text| duration(text).map(Span) })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Read { expected: "a size such as \"64MiB\"", read: |text| size(text).map(Size) })
    }
}

/// Reads a string through `read`; anything but a string is answered with `expected`.
struct Read<T> {
    expected: &'static str,
    read: fn(&str) -> Result<T, NotAQuantity>,
}

impl<T> serde::de::Visitor<'_> for Read<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }
}

#[cfg(test)]
#[path = "units_tests.rs"]
mod tests;
