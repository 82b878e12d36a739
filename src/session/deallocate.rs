//! Which name a DEALLOCATE takes away, if that can be told for certain from its text.
//! Not here: DEALLOCATE ALL, whose tag says it.

use crate::session::names::Name;

/// The name in `DEALLOCATE [PREPARE] name[;]`; none, if the text is anything else, has comments, or leaves a doubt.
pub(super) fn deallocated(text: &[u8]) -> Option<Name> {
    let (first, rest) = word(text)?;
    if !first.eq_ignore_ascii_case(b"deallocate") {
        return None;
    }
    let rest = match word(rest) {
        Some((second, after)) if second.eq_ignore_ascii_case(b"prepare") => after,
        Some(_) | None => rest,
    };
    let rest = rest.trim_ascii().strip_suffix(b";").unwrap_or(rest).trim_ascii();
    if let Some(quoted) = rest.strip_prefix(b"\"").and_then(|quoted| quoted.strip_suffix(b"\"")) {
        // A doubled quote inside would have to be undone; what has one is a doubt.
        return (!quoted.is_empty() && !quoted.contains(&b'"')).then(|| Name::new(quoted));
    }
    let plain = rest.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let starts = rest.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    (plain && starts).then(|| Name::new(&rest.to_ascii_lowercase()))
}

/// A leading word of letters that white space ends.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|byte| !byte.is_ascii_alphabetic())?;
    let (word, rest) = text.split_at_checked(end)?;
    rest.first().is_some_and(u8::is_ascii_whitespace).then_some((word, rest))
}

#[cfg(test)]
#[path = "deallocate_tests.rs"]
mod tests;
