//! Splits the start-up parameter `options` into settings, as PostgreSQL's `pg_split_opts` and command line do.
//! Not here: which settings are allowed (`parameters`).

use crate::wire::response::{Report, Severity};
use crate::wire::{Fault, sqlstate};

/// The settings in `options`, in order: only `-c name=value`, `-cname=value` and `--name=value` are understood.
///
/// # Errors
/// A refusal (0A000), which names what was found instead.
pub(super) fn settings(options: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut settings = Vec::new();
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().ok_or_else(|| refused(&word))?
        } else if let Some(setting) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            setting.to_owned()
        } else {
            return Err(refused(&word));
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| refused(&word))?;
        let name = name.replace('-', "_");
        if !is_name(&name) {
            return Err(refused(&word));
        }
        settings.push((name, value.to_owned()));
    }
    Ok(settings)
}

/// Words between white space; a backslash takes the next character as it is.
fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        if is_space(character) {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        if character == '\\' {
            word.extend(characters.next());
        } else {
            word.push(character);
        }
    }
    words.extend(word);
    words
}

/// C's `isspace` in the C locale.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// A setting's name: letters, digits, `_`, `$`, parts divided by dots.
fn is_name(name: &str) -> bool {
    name.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$')
    })
}

fn refused(word: &str) -> Fault {
    let report = Report::new(
        Severity::Fatal,
        sqlstate::FEATURE_NOT_SUPPORTED,
        format!("\"{word}\" is not accepted in the start-up parameter \"options\""),
    );
    let hint = "Only settings are accepted, as -c name=value or --name=value.";
    Fault::Refused(Box::new(report.hint(hint)))
}
