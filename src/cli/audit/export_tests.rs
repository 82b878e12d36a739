//! A target on its own; whole exports are in `tests/durable/export.rs`.

use super::*;

#[test]
fn a_file_that_is_there_is_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("acme.jsonl");
    std::fs::write(&path, "mine").expect("written");
    let refused = Target::begin(Some(&path)).err().expect("it is there");
    assert_eq!(refused.exit(), Exit::Usage);
    assert!(refused.message().contains("nothing is overwritten"), "{}", refused.message());
    let refused = Target::begin(Some(&dir.path().join("nowhere/acme.jsonl"))).err().expect("no such directory");
    assert!(
        refused.message().contains("cannot make") && refused.message().contains("nowhere"),
        "{}",
        refused.message()
    );
    assert_eq!(std::fs::read(&path).expect("there"), b"mine");
}
