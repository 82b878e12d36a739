//! The ways in which text spells one value: COPY, JSON, SQL and XML escape it, URLs and base64 encode it, `bytea` shows it
//! in hexadecimal; and its letters may be upper or lower.
//! Not here: looking for them (`needles.rs`). So many and no more: what is escaped twice in other orders is not among them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What some text must write differently; what is not ASCII, too.
const SPECIAL: &str = "\\\"'&<>";

/// Whether there are more ways to spell it than [`spellings`] knows.
pub(super) fn is_special(value: &str) -> bool {
    value.chars().any(|c| !matches!(c, ' '..='~') || SPECIAL.contains(c))
}

/// Every spelling, with ASCII letters in lower case, as whoever compares folds them.
pub(super) fn spellings(value: &str) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    for cased in BTreeSet::from([value.to_owned(), value.to_lowercase(), value.to_uppercase()]) {
        let json = [escaped(&cased, false), escaped(&cased, true)];
        let in_copy = json.each_ref().map(|text| copied(text));
        let plain = [copied(&cased), xml(&cased), cased.replace('\'', "''")];
        let urls = [url(&cased, "%20"), url(&cased, "+")];
        all.extend(plain.into_iter().chain(json).chain(in_copy).chain(urls).map(|text| folded(&text)));
        all.insert(folded(&cased));
        all.insert(cased.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
        all.extend((0..3).flat_map(|offset| base64(cased.as_bytes(), offset)));
    }
    all
}

fn folded(text: &str) -> Vec<u8> {
    text.to_ascii_lowercase().into_bytes()
}

/// As COPY writes a column of text.
fn copied(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out
}

/// As a JSON string holds it; with everything that is not ASCII escaped, or nothing of that.
fn escaped(text: &str, is_ascii: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '"' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() || (is_ascii && !c.is_ascii()) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    // writing to a String does not fail
                    write!(out, "\\u{unit:04x}").unwrap_or_default();
                }
            }
            c => out.push(c),
        }
    }
    out
}

fn xml(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

fn url(text: &str, space: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b' ' => out.push_str(space),
            byte => write!(out, "%{byte:02x}").unwrap_or_default(),
        }
    }
    out
}

/// What base64 makes of it after so many other bytes, without the letters that its neighbours have a part in.
fn base64(bytes: &[u8], offset: usize) -> Vec<Vec<u8>> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(bytes);
    let (skipped, whole) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    let middle = |text: String| text.as_bytes().get(skipped..whole).map(<[u8]>::to_ascii_lowercase);
    [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)].into_iter().filter_map(middle).collect()
}
