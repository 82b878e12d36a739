//! How files look: what they begin with, how long they and their lines are, what nothing is called.

use super::sources::Source;

/// A file is no longer than this, in lines, unless it is a test or among `LONG`.
const LINES: usize = 500;

/// No file is longer than this, in lines.
const LINES_MAX: usize = 800;

/// No line is longer than this, in characters.
const LINE_CHARACTERS_MAX: usize = 130;

/// Files that are longer than `LINES`, and how long they may be. Only ever made shorter; an entry that is no longer
/// needed, or allows 50 lines more than needed, fails.
const LONG: [(&str, usize); 0] = [];

/// What nothing is called, as a whole word of a file's, module's or type's name.
const NAMES: [&str; 12] = [
    "manager",
    "managers",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "util",
    "utils",
    "utility",
    "utilities",
    "common",
    "misc",
];

/// What is left to do belongs into an issue.
const LEFT: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Everything odd about one file.
pub(crate) fn odd(source: &Source) -> Vec<String> {
    let path = &source.path;
    let mut odd = Vec::new();
    let beside_its_module = source.path.starts_with("src/") && source.is_test();
    if !source.text.starts_with("//! ") && !beside_its_module {
        odd.push(format!("{path}: does not begin with //! and what it is"));
    }
    let lines = source.text.lines().count();
    let usual = if source.is_test() { LINES_MAX } else { LINES };
    let allowed = LONG.iter().find(|(long, _)| long == path).map_or(usual, |(_, lines)| (*lines).min(LINES_MAX));
    if lines > allowed {
        odd.push(format!("{path}: {lines} lines, at most {allowed}"));
    }
    for (number, line) in (1..).zip(source.text.lines()) {
        let characters = line.chars().count();
        if characters > LINE_CHARACTERS_MAX {
            odd.push(format!("{path}:{number}: {characters} characters, at most {LINE_CHARACTERS_MAX}"));
        }
        if let Some(left) = LEFT.iter().find(|left| words(line).any(|word| word == **left)) {
            odd.push(format!("{path}:{number}: {left} belongs into an issue"));
        }
    }
    odd.extend(names(source).map(|name| format!("{path}: nothing is called {name}: say what it is")));
    odd
}

/// Exceptions that are no longer needed.
pub(crate) fn stale_exceptions(sources: &[Source]) -> Vec<String> {
    let stale = LONG.iter().filter(|(path, allowed)| is_stale(lines_of(sources, path), *allowed));
    stale.map(|(path, allowed)| format!("{path}: the exception for {allowed} lines can go or shrink")).collect()
}

fn lines_of(sources: &[Source], path: &str) -> usize {
    sources.iter().find(|source| source.path == path).map_or(0, |source| source.text.lines().count())
}

fn is_stale(lines: usize, allowed: usize) -> bool {
    lines <= LINES || allowed > lines + 50
}

/// Names of the file and of what it defines that hold a forbidden word.
fn names(source: &Source) -> impl Iterator<Item = String> {
    let of_file = source.path.split(['/', '.']).map(str::to_owned);
    let code = source.code();
    let words: Vec<&str> = words(&code).collect();
    let defined = words.windows(2).filter_map(|pair| match pair {
        ["struct" | "enum" | "trait" | "mod" | "type", name] => Some((*name).to_owned()),
        _ => None,
    });
    let names: Vec<String> = of_file.chain(defined).collect();
    names.into_iter().filter(|name| parts(name).iter().any(|part| NAMES.contains(&part.as_str())))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The words of `a_snake` or `ACamel`, in lower case.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| c != '_') {
            part.extend(c.to_lowercase());
        }
    }
    parts
}

#[test]
fn what_is_odd_is_found() {
    let long_file = format!("//! x\n{}", "\n".repeat(LINES));
    let long_line = format!("//! {}", "x".repeat(LINE_CHARACTERS_MAX));
    let left = format!("//! x\n// {}: later", LEFT[0]);
    for (path, text, count) in [
        ("src/log/mod.rs", "//! The log.\nstruct Common0;", 0),
        ("src/log/mod.rs", "use std::fmt;", 1),
        ("src/log/mod_tests.rs", "use super::*;", 0),
        ("src/log/mod.rs", long_file.as_str(), 1),
        ("src/log/mod_tests.rs", long_file.as_str(), 0),
        ("src/log/mod.rs", long_line.as_str(), 1),
        ("src/log/mod.rs", left.as_str(), 1),
        ("src/log/util.rs", "//! x", 1),
        ("src/common/mod.rs", "//! x", 1),
        ("src/log/mod.rs", "//! x\npub struct SegmentManager;", 1),
        ("src/log/mod.rs", "//! x\nmod test_helpers {}", 1),
        ("src/log/mod.rs", "//! A handler would be odd.\nuse axum::handler::Handler;", 0),
    ] {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(odd(&source).len(), count, "{path}: {:?}", odd(&source));
    }
}

#[test]
fn an_exception_goes_stale() {
    for (lines, allowed, stale) in [(0, 600, true), (500, 600, true), (560, 600, false), (540, 600, true)] {
        assert_eq!(is_stale(lines, allowed), stale, "{lines} {allowed}");
    }
}
