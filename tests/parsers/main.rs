//! The parsers that are fuzzed (`fuzz/`), for a short while and from a seed: inputs that are right, changed a little.
//! `PARSER_ROUNDS` says how many of each; a failure names the parser and the seed, and is repeated by `PARSER_SEED`. What is
//! right is written into the folder `PARSER_CORPUS`, one for each parser, for a fuzzer to begin with.

#![expect(clippy::panic, reason = "a test fails by panicking, in its own functions too")]
#![expect(clippy::indexing_slicing, reason = "what is indexed was measured just before")]

mod mutations;
#[path = "../../fuzz/parsers.rs"]
mod parsers;
mod seeds;

use mutations::Mutations;

/// So many inputs of each parser, and with which seed they begin.
fn rounds() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    match number("PARSER_SEED") {
        Some(seed) => (seed, 1),
        None => (1, number("PARSER_ROUNDS").unwrap_or(3000)),
    }
}

fn each(of: impl Fn(&str) -> bool) {
    let (first, rounds) = rounds();
    for (name, accepts) in parsers::PARSERS.into_iter().filter(|(name, _)| of(name)) {
        let seeds = seeds::of(name);
        assert!(!seeds.is_empty(), "{name} has nothing to begin with");
        let refused: Vec<usize> = (0..seeds.len()).filter(|at| !accepts(&seeds[*at])).collect();
        let expected: &[usize] = match name {
            // sealed with another credential, as every one must be
            "keyring_file" => &[0, 1],
            // a text that is looked for, not a block's content
            "pieces" => &[1],
            _ => &[],
        };
        assert_eq!(refused, expected, "{name}: of its seeds these are refused");
        let parse = parsers::named(name);
        if let Some(corpus) = std::env::var_os("PARSER_CORPUS") {
            write(&std::path::Path::new(&corpus).join(name), &seeds).expect("the corpus is written");
        }
        // Files are slower than memory.
        let rounds = if ["keyring_file", "config"].contains(&name) { rounds.div_ceil(10) } else { rounds };
        for seed in first..first + rounds {
            let input = Mutations::new(seed).input(&seeds);
            let ran = std::panic::catch_unwind(|| parse(&input));
            assert!(ran.is_ok(), "{name} panicked with PARSER_SEED={seed}, on {} bytes", input.len());
        }
    }
}

fn write(folder: &std::path::Path, seeds: &[Vec<u8>]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut numbered = seeds.iter().enumerate();
    numbered.try_for_each(|(number, seed)| std::fs::write(folder.join(format!("right-{number}")), seed))
}

#[test]
fn the_wires_parsers_take_anything() {
    each(|name| ["frames", "backend", "startup", "keyring_message"].contains(&name));
}

#[test]
fn the_logs_parsers_take_anything() {
    let leaves = ["descriptor", "segment", "batch", "record", "checkpoint", "proof"];
    let beside = ["index", "blocks", "words", "pieces"];
    each(|name| leaves.contains(&name) || beside.contains(&name));
}

#[test]
fn the_parsers_of_what_others_say_of_a_log_take_anything() {
    each(|name| ["note", "add_checkpoint", "public", "summary"].contains(&name));
}

#[test]
fn the_files_parsers_take_anything() {
    let files = ["certificate", "keyring_file", "config", "datamap", "snapshot_header", "archive_header"];
    each(|name| files.contains(&name));
}

/// No parser is left out, and each has its target.
#[test]
fn every_parser_has_its_fuzz_target() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("readable");
    for (name, _) in parsers::PARSERS {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")), "{name}");
        let target = std::fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).expect(name);
        assert!(target.contains("fuzz_target!"), "{name}");
    }
    let targets = std::fs::read_dir(folder.join("fuzz_targets")).expect("listed").count();
    assert_eq!(targets, parsers::PARSERS.len());
}
