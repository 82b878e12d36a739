//! The import law: who may import whom. A pure core decides, thin shells do I/O, services never meet.

use super::sources::Source;

/// What every module but the words may import.
const WORDS: [&str; 4] = ["ids", "clock", "entropy", "secret"];

/// Everything that is not a service.
const BELOW: [&str; 23] = [
    "ids",
    "clock",
    "entropy",
    "secret",
    "wire",
    "statement",
    "grant",
    "audit",
    "session",
    "retention",
    "datamap",
    "disk",
    "log",
    "register",
    "keyring",
    "fence",
    "snapshots",
    "purge",
    "witnesses",
    "keeping",
    "config",
    "net",
    "observe",
];

/// Where a module stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Imports nothing of the crate.
    Word,
    /// Neither tokio nor files nor a clock.
    Core,
    /// One seam to the world.
    Adapter,
    /// Imports everything below, and no other service.
    Service,
}

use Layer::{Adapter, Core, Service, Word};

/// The law. Besides what is listed, core and adapters may import the words, services everything below, and each
/// module itself. An entry with a path allows that path only.
const LAW: [(&str, Layer, &[&str]); 28] = [
    ("ids", Word, &[]),
    ("clock", Word, &[]),
    ("entropy", Word, &[]),
    ("secret", Word, &[]),
    ("wire", Core, &[]),
    ("statement", Core, &[]),
    ("grant", Core, &[]),
    ("audit", Core, &[]),
    ("session", Core, &["wire", "statement", "audit::record"]),
    ("retention", Core, &[]),
    ("datamap", Core, &[]),
    ("disk", Adapter, &[]),
    ("log", Adapter, &["audit", "statement", "disk"]),
    ("register", Adapter, &["grant", "audit", "log", "disk", "net", "config"]),
    ("keyring", Adapter, &["audit", "log", "disk"]),
    ("fence", Adapter, &["grant", "wire", "net"]),
    ("snapshots", Adapter, &["audit::keys", "disk", "net"]),
    ("purge", Adapter, &["datamap", "net"]),
    ("witnesses", Adapter, &["audit", "log", "disk", "net", "config"]),
    ("keeping", Adapter, &["retention", "grant", "register", "snapshots", "config", "disk"]),
    ("config", Adapter, &["disk", "retention", "grant"]),
    ("net", Adapter, &["wire"]),
    ("observe", Adapter, &["config"]),
    ("proxy", Service, &[]),
    ("portal", Service, &[]),
    ("retentiond", Service, &[]),
    ("witness", Service, &[]),
    ("cli", Service, &[]),
];

/// What the core must not touch, and what has leave to.
const IMPURE: [(&str, &[&str]); 10] = [
    ("tokio", &[]),
    ("std::fs", &[]),
    ("std::env", &[]),
    ("std::process", &[]),
    ("std::thread", &[]),
    ("std::os", &[]),
    ("std::io", &[]),
    ("SystemTime", &["clock"]),
    ("Instant", &[]),
    ("OsEntropy", &["entropy"]),
];

fn law(module: &str) -> Option<(Layer, &'static [&'static str])> {
    LAW.iter().find(|(name, ..)| *name == module).map(|(_, layer, may)| (*layer, *may))
}

fn may(module: &str, path: &str) -> bool {
    let Some((layer, listed)) = law(module) else {
        return false;
    };
    let target = path.split("::").next().unwrap_or_default();
    let within =
        |allowed: &&str| path == *allowed || path.strip_prefix(*allowed).is_some_and(|at| at.starts_with("::"));
    target == module
        || match layer {
            Word => false,
            Core | Adapter => WORDS.contains(&target) || listed.iter().any(within),
            Service => BELOW.contains(&target),
        }
}

/// Imports of one file that the law does not allow. A test may start the demonstration's PostgreSQL.
pub(crate) fn unlawful(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else {
        return Vec::new();
    };
    let code = source.code();
    let paths = paths(&code);
    let demonstration = |path: &str| source.is_test() && path.starts_with("cli::demo");
    let unlawful = paths.iter().filter(|path| !may(module, path) && !demonstration(path));
    let mut unlawful: Vec<String> =
        unlawful.map(|path| format!("{}: {module} may not import crate::{path}", source.path)).collect();
    if !source.is_test() && code.lines().any(|line| climbs(line) > depth(&source.path)) {
        unlawful.push(format!("{}: super climbs out of {module}; say crate::", source.path));
    }
    unlawful
}

/// How many modules above a file's own are still within its top-level module.
fn depth(path: &str) -> usize {
    let folders = path.matches('/').count().saturating_sub(1);
    if path.ends_with("/mod.rs") { folders.saturating_sub(1) } else { folders }
}

/// How often an import at the file's own level says `super::`.
fn climbs(line: &str) -> usize {
    let import = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("use ");
    import.map_or(0, |path| path.split("::").take_while(|part| *part == "super").count())
}

/// Modules that the law does not know.
pub(crate) fn unknown_modules(sources: &[Source]) -> Vec<String> {
    let unknown = sources.iter().filter(|source| source.module().is_some_and(|module| law(module).is_none()));
    unknown.map(|source| format!("{}: its module is not in the law (tests/tidy/imports.rs)", source.path)).collect()
}

/// What a file of the words or the core touches though it must not. Tests may.
pub(crate) fn impure(source: &Source) -> Vec<String> {
    let Some((module, Word | Core)) = source.module().and_then(|module| Some((module, law(module)?.0))) else {
        return Vec::new();
    };
    if source.is_test() {
        return Vec::new();
    }
    let code = source.code();
    let words = IMPURE.iter().filter(|(word, leave)| !leave.contains(&module) && holds(&code, word));
    words.map(|(word, _)| format!("{}: the pure core may not touch {word}", source.path)).collect()
}

/// Whether `code` holds `word` as a whole path or the start of one, in a grouped import, too.
fn holds(code: &str, word: &str) -> bool {
    let whole = |(at, _): (usize, &str)| {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        let after = code.get(at + word.len()..).and_then(|after| after.chars().next());
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part(before) && !part(after)
    };
    let grouped = word
        .strip_prefix("std::")
        .is_some_and(|name| expanded(code, "std::").iter().any(|path| path.split("::").next() == Some(name)));
    grouped || code.match_indices(word).any(whole)
}

/// Every path that starts at `crate::`, groups taken apart, and every `super` that climbs there.
fn paths(code: &str) -> Vec<String> {
    let mut paths = expanded(code, "crate::");
    paths.retain(|path| !path.is_empty());
    paths
}

/// Every path after `root`, groups taken apart.
fn expanded(code: &str, root: &str) -> Vec<String> {
    let starts = code.match_indices(root).filter(|(at, _)| {
        let before = code.get(..*at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$')
    });
    let mut found = Vec::new();
    for (at, _) in starts {
        tree(code.get(at + root.len()..).unwrap_or_default(), "", &mut found);
    }
    found
}

/// Reads one use-tree at the start of `text` into full paths; gives what follows it.
fn tree<'a>(text: &'a str, prefix: &str, found: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut inside) = text.strip_prefix('{') {
        loop {
            inside = inside.trim_start();
            if inside.is_empty() || inside.starts_with('}') {
                return inside.strip_prefix('}').unwrap_or_default();
            }
            let rest = tree(inside, prefix, found).trim_start();
            let rest = rest.find([',', '}']).map_or("", |at| rest.get(at..).unwrap_or_default());
            inside = rest.strip_prefix(',').unwrap_or(rest);
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    match rest.strip_prefix("::") {
        Some(deeper) if !name.is_empty() => tree(deeper, &path, found),
        _ => {
            found.push(path);
            rest
        }
    }
}

#[cfg(test)]
fn file(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn groups_are_taken_apart() {
    for (code, expected) in [
        ("use crate::audit::record::Record;", vec!["audit::record::Record"]),
        (
            "use crate::{clock, audit::{self, keys::{Part, Recipient}}, ids::*};\nfn f() {}",
            vec!["clock", "audit::self", "audit::keys::Part", "audit::keys::Recipient", "ids::"],
        ),
        ("use crate::{log as l, proxy};", vec!["log", "proxy"]),
        ("let x = crate::clock::Timestamp(7);", vec!["clock::Timestamp"]),
        ("pub(crate) fn f() {} pub(in crate::log) fn g() {}", vec!["log"]),
        ("use other_crate::x; $crate::y", vec![]),
    ] {
        assert_eq!(paths(code), expected, "{code}");
    }
}

#[test]
fn the_law_bites() {
    for (path, text, broken) in [
        ("src/session/mod.rs", "use crate::audit::record::Kind;", false),
        ("src/session/mod.rs", "use crate::audit::keys::Part;", true),
        ("src/session/mod.rs", "use crate::{ids, grant};", true),
        ("src/grant/decide.rs", "// use crate::log;\nuse crate::ids;", false),
        ("src/grant/decide.rs", "fn f() { crate::log::x() }", true),
        ("src/ids.rs", "use crate::clock;", true),
        ("src/proxy/mod.rs", "use crate::{log, portal::page};", true),
        ("src/proxy/mod.rs", "use crate::log::Log;", false),
        ("src/cli/audit.rs", "use crate::proxy::run;", true),
        ("src/log/mod.rs", "use crate::keyring::Client;", true),
        ("src/log/mod.rs", "use crate::logs;", true),
        ("src/main.rs", "use portreeve::proxy;", false),
        ("src/wire/frame_tests.rs", "use crate::session::Session;", true),
        ("src/net/tls_tests.rs", "use crate::cli::demo::cluster::Cluster;", false),
        ("src/net/tls.rs", "use crate::cli::demo::cluster::Cluster;", true),
        ("src/log/reader.rs", "use super::Entry;", false),
        ("src/log/reader.rs", "use super::super::keyring::Client;", true),
        ("src/log/mod.rs", "use super::keyring::Client;", true),
        ("src/log/mod.rs", "mod inner {\n    use super::Entry;\n}", false),
        ("src/cli/demo/cluster.rs", "use super::super::Exit;", false),
    ] {
        assert_eq!(!unlawful(&file(path, text)).is_empty(), broken, "{path}: {text}");
    }
    assert_eq!(unknown_modules(&[file("src/misc/mod.rs", "")]).len(), 1);
    assert!(unknown_modules(&[file("src/wire/mod.rs", ""), file("src/ids_tests.rs", "")]).is_empty());
}

#[test]
fn the_core_is_pure() {
    for (path, text, broken) in [
        ("src/wire/frame.rs", "use tokio::sync::watch;", true),
        ("src/wire/frame.rs", "use std::{fmt, fs};", true),
        ("src/wire/frame.rs", "use std::{fmt, collections::BTreeMap};", false),
        ("src/wire/frame.rs", "let now = std::time::Instant::now();", true),
        ("src/wire/frame.rs", "struct Instantly; // tokio", false),
        ("src/wire/frame_tests.rs", "use std::fs;", false),
        ("src/clock.rs", "use std::time::SystemTime;", false),
        ("src/grant/mod.rs", "use std::time::{Duration, SystemTime};", true),
        ("src/log/mod.rs", "use tokio::sync::watch;", false),
    ] {
        assert_eq!(!impure(&file(path, text)).is_empty(), broken, "{path}: {text}");
    }
}
