//! Fuzzes the parser of this name in `parsers.rs`.

#![no_main]

#[path = "../parsers.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| parsers::named("pieces")(data));
