//! The page on its own; certificates are in `tests/proofs.rs`.

use super::*;

#[test]
fn a_page_never_takes_the_place_of_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("page.html");
    keep(&path, "one").expect("a new file");
    let refused = keep(&path, "another").expect_err("it is there");
    assert_eq!(refused.exit(), Exit::Usage);
    assert!(refused.message().contains("nothing is overwritten"), "{}", refused.message());
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "one");
    let refused = keep(&dir.path().join("nowhere/page.html"), "one").expect_err("no such directory");
    assert!(refused.message().contains("cannot write"), "{}", refused.message());
}
