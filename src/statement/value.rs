//! A bind value in words, decoded from PostgreSQL's text or binary format.
//! Deliberately not a check: what cannot be decoded is shown as hexadecimal with its type, never refused.
//! Formats: `*_send` functions of PostgreSQL 18, `src/backend/utils/adt/`.

use super::calendar;

/// How a value of that type, format (0 is text, 1 is binary) and bytes reads: what PostgreSQL would print, or `\x…`
/// with the type's number where that is not known. The text is as sent: escape it before it meets a terminal.
pub fn display(type_oid: u32, format: u16, value: &[u8]) -> String {
    let shown = match format {
        0 => std::str::from_utf8(value).ok().map(str::to_owned),
        1 => binary(type_oid, value),
        _ => None,
    };
    shown.unwrap_or_else(|| format!("{} (type {type_oid})", hexadecimal(value)))
}

/// `\x0102`.
fn hexadecimal(value: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    let mut out = String::with_capacity(2 + 2 * value.len());
    out.push_str("\\x");
    out.extend(value.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    out
}

/// The array types that hold a known type, and their elements' type.
const ARRAYS: [(u32, u32); 22] = [
    (1000, 16),
    (1001, 17),
    (1002, 18),
    (1003, 19),
    (1016, 20),
    (1005, 21),
    (1007, 23),
    (1009, 25),
    (1028, 26),
    (199, 114),
    (1021, 700),
    (1022, 701),
    (1014, 1042),
    (1015, 1043),
    (1182, 1082),
    (1183, 1083),
    (1115, 1114),
    (1185, 1184),
    (1270, 1266),
    (1231, 1700),
    (2951, 2950),
    (3807, 3802),
];

fn binary(type_oid: u32, value: &[u8]) -> Option<String> {
    match ARRAYS.iter().find(|(array, _)| *array == type_oid) {
        Some((_, element)) => array(*element, value),
        None => scalar(type_oid, value),
    }
}

fn scalar(type_oid: u32, value: &[u8]) -> Option<String> {
    let text = || std::str::from_utf8(value).ok().map(str::to_owned);
    match type_oid {
        16 => match value {
            [0] => Some("false".to_owned()),
            [1] => Some("true".to_owned()),
            _ => None,
        },
        17 => Some(hexadecimal(value)),
        20 => Some(i64::from_be_bytes(exactly(value)?).to_string()),
        21 => Some(i16::from_be_bytes(exactly(value)?).to_string()),
        23 => Some(i32::from_be_bytes(exactly(value)?).to_string()),
        26 => Some(u32::from_be_bytes(exactly(value)?).to_string()),
        18 | 19 | 25 | 114 | 142 | 705 | 1042 | 1043 => text(),
        700 => Some(float(f64::from(f32::from_be_bytes(exactly(value)?)), &f32::from_be_bytes(exactly(value)?), 6)),
        701 => Some(float(f64::from_be_bytes(exactly(value)?), &f64::from_be_bytes(exactly(value)?), 15)),
        1082 => calendar::date(i32::from_be_bytes(exactly(value)?)),
        1083 => calendar::time(i64::from_be_bytes(exactly(value)?)),
        1114 => calendar::timestamp(i64::from_be_bytes(exactly(value)?)),
        1184 => calendar::timestamptz(i64::from_be_bytes(exactly(value)?)),
        1266 => {
            let (micros, zone) = value.split_first_chunk()?;
            calendar::timetz(i64::from_be_bytes(*micros), i32::from_be_bytes(exactly(zone)?))
        }
        1700 => numeric(value),
        2950 => Some(uuid(u128::from_be_bytes(exactly(value)?))),
        3802 => match value.split_first()? {
            (1, json) => std::str::from_utf8(json).ok().map(str::to_owned),
            _ => None,
        },
        _ => None,
    }
}

fn exactly<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// As PostgreSQL prints it: the shortest digits that read back, with an exponent below 1e-4 and from 10^`digits`.
fn float(value: f64, exact: &(impl std::fmt::Display + std::fmt::LowerExp), digits: i32) -> String {
    let size = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else if size != 0.0 && (size < 1e-4 || size >= 10_f64.powi(digits)) {
        let shortest = format!("{exact:e}");
        match shortest.split_once('e') {
            Some((mantissa, exponent)) => {
                let (sign, size) = exponent.strip_prefix('-').map_or(('+', exponent), |size| ('-', size));
                format!("{mantissa}e{sign}{size:0>2}")
            }
            None => shortest,
        }
    } else {
        format!("{exact}")
    }
}

fn uuid(value: u128) -> String {
    let digits = format!("{value:032x}");
    let mut out = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out
}

/// More decimal digits than this are not written out: a few bytes could ask for 131,072 of them.
const NUMERIC_DIGITS_MAX: i32 = 4096;

/// `numeric_send`: count, weight, sign and display scale, each 16 bits, then digits of base 10,000.
fn numeric(value: &[u8]) -> Option<String> {
    let (header, digits) = value.split_first_chunk::<8>()?;
    let [n0, n1, w0, w1, s0, s1, d0, d1] = *header;
    let (count, weight) = (u16::from_be_bytes([n0, n1]), i32::from(i16::from_be_bytes([w0, w1])));
    let (sign, scale) = (u16::from_be_bytes([s0, s1]), i32::from(u16::from_be_bytes([d0, d1])));
    if digits.len() != 2 * usize::from(count) {
        return None;
    }
    let minus = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    if weight > NUMERIC_DIGITS_MAX / 4 || scale > NUMERIC_DIGITS_MAX || weight < -NUMERIC_DIGITS_MAX {
        return None;
    }
    let digits: Vec<u16> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |n, b| n << 8 | u16::from(*b))).collect();
    if digits.iter().any(|digit| *digit > 9999) {
        return None;
    }
    // The digit that stands for 10,000^power; what is not sent is zero.
    let digit = |power: i32| usize::try_from(weight - power).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let mut whole: String = (0..=weight.max(0)).rev().map(|power| format!("{:04}", digit(power))).collect();
    whole.drain(..whole.len().saturating_sub(1).min(whole.len() - whole.trim_start_matches('0').len()));
    let mut fraction: String = (1..=(scale + 3) / 4).map(|place| format!("{:04}", digit(-place))).collect();
    fraction.truncate(usize::try_from(scale).ok()?);
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{minus}{whole}{point}{fraction}"))
}

/// Dimensions an array can have (`MAXDIM`).
const DIMENSIONS_MAX: usize = 6;

/// `array_send`: dimensions, whether there are NULLs, the elements' type, each dimension's length and lower bound,
/// then each element with its length.
fn array(element_oid: u32, value: &[u8]) -> Option<String> {
    // Much more text than bytes can only come from crafted numerics.
    let length_max = 64 * 1024 + 16 * value.len();
    let mut rest = value;
    let dimensions = usize::try_from(next_i32(&mut rest)?).ok().filter(|n| *n <= DIMENSIONS_MAX)?;
    next_i32(&mut rest)?;
    if next_i32(&mut rest)? != i32::try_from(element_oid).ok()? {
        return None;
    }
    if dimensions == 0 {
        return rest.is_empty().then(|| "{}".to_owned());
    }
    let mut lengths = Vec::with_capacity(dimensions);
    let mut bounds = String::new();
    let mut shifted = false;
    for _ in 0..dimensions {
        let (length, lower) = (next_i32(&mut rest)?, next_i32(&mut rest)?);
        lengths.push(usize::try_from(length).ok().filter(|n| *n > 0)?);
        bounds.push_str(&format!("[{lower}:{}]", lower.checked_add(length - 1)?));
        shifted |= lower != 1;
    }
    let mut out = if shifted { bounds + "=" } else { String::new() };
    level(element_oid, &lengths, &mut rest, &mut out, length_max)?;
    rest.is_empty().then_some(out)
}

fn level(element_oid: u32, lengths: &[usize], rest: &mut &[u8], out: &mut String, length_max: usize) -> Option<()> {
    let Some((length, inner)) = lengths.split_first() else {
        return element(element_oid, rest, out);
    };
    out.push('{');
    for index in 0..*length {
        if index > 0 {
            out.push(',');
        }
        level(element_oid, inner, rest, out, length_max)?;
        if out.len() > length_max {
            return None;
        }
    }
    out.push('}');
    Some(())
}

fn element(element_oid: u32, rest: &mut &[u8], out: &mut String) -> Option<()> {
    let length = next_i32(rest)?;
    if length == -1 {
        out.push_str("NULL");
        return Some(());
    }
    let (bytes, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    let shown = scalar(element_oid, bytes)?;
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace() || c == '\x0b';
    if shown.is_empty() || shown.eq_ignore_ascii_case("null") || shown.contains(special) {
        out.push('"');
        for c in shown.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    } else {
        out.push_str(&shown);
    }
    Some(())
}

fn next_i32(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(i32::from_be_bytes(*bytes))
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
