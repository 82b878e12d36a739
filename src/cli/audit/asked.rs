//! What a reading was asked for, as it was typed: the keyring records it with who asked and why.
//! Not here: who it is, and the asking (`audit.rs`).

/// Of all values, the keyring is told so many characters.
const ASKED_MAX: usize = 200;

/// The verb, and every flag of these that was given. A value stands in quotes, so that nothing in it reads as another flag or
/// as the reason.
pub(super) fn asked(verb: &str, flags: &[(&str, Option<&str>)]) -> String {
    let (mut asked, mut left) = (verb.to_owned(), ASKED_MAX);
    for (name, value) in flags {
        asked.extend(value.map(|value| format!(" --{name} {}", quoted(value, &mut left))));
    }
    asked
}

/// As much of a value as there is room left for, in quotes; where it was cut, behind them.
fn quoted(value: &str, left: &mut usize) -> String {
    let mut kept = String::new();
    for c in value.chars() {
        let Some(rest) = left.checked_sub(c.escape_debug().count()) else {
            let (end, of) = (kept.chars().count(), value.chars().count());
            return format!("{kept:?} (cut after {end} of {of} characters)");
        };
        *left = rest;
        kept.push(c);
    }
    format!("{kept:?}")
}
