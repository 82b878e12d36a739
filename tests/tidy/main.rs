//! House rules, held by tests: the import law and how files look. The tables here are the law.
//! Not here: what rustfmt and clippy hold.

mod imports;
mod looks;
mod sources;

use sources::Source;

/// Fails with every violation on a line of its own.
fn none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

fn all(folders: &[&str]) -> Vec<Source> {
    let sources: Vec<Source> = folders.iter().flat_map(|folder| sources::below(folder)).collect();
    assert!(sources.len() > 3, "the sources were found");
    sources
}

#[test]
fn every_import_is_within_the_law() {
    none(&all(&["src"]).iter().flat_map(imports::unlawful).collect::<Vec<_>>());
}

#[test]
fn every_module_is_in_the_law() {
    none(&imports::unknown_modules(&all(&["src"])));
}

#[test]
fn the_core_touches_neither_files_nor_clocks_nor_tokio() {
    none(&all(&["src"]).iter().flat_map(imports::impure).collect::<Vec<_>>());
}

#[test]
fn every_file_looks_like_ours() {
    none(&all(&["src", "tests", "benches"]).iter().flat_map(looks::odd).collect::<Vec<_>>());
}

#[test]
fn no_exception_is_stale() {
    none(&looks::stale_exceptions(&all(&["src", "tests", "benches"])));
}
