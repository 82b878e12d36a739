use std::fs;

use super::*;
use crate::audit::checkpoint::verifier_key;

/// A folder with a pinned key for each of these logs: all bytes of it are that number.
fn pinned(names: &[(&str, u8)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let public = dir.path().join("keyring.pub");
    fs::create_dir(dir.path().join("log-keys")).expect("made");
    for (name, byte) in names {
        let line = verifier_key(&format!("portreeve/{name}"), &[*byte; 32]);
        fs::write(log_key(&public, name), line).expect("written");
    }
    (dir, public)
}

#[test]
fn a_writer_writes_the_log_whose_pinned_key_is_its_own() {
    let (_dir, public) = pinned(&[("portal", 1), ("portal.2", 2), ("portal.3", 3), ("portal.5", 5)]);
    let name = |byte| log_name(&public, "portal", &[byte; 32]).expect("readable");
    assert_eq!([name(1), name(2), name(3)], ["portal", "portal.2", "portal.3"]);
    // A key that is pinned nowhere is refused by the log itself; one behind a gap is no successor.
    assert_eq!([name(9), name(5)], ["portal", "portal"]);
    assert_eq!(log_names(&public, "portal").expect("readable"), ["portal", "portal.2", "portal.3"]);
    assert_eq!(log_names(&public, "keyring").expect("readable"), ["keyring"], "nothing is pinned of it");
}

#[test]
fn a_pinned_key_that_is_none_is_refused() {
    let (_dir, public) = pinned(&[("portal", 1), ("portal.2", 2)]);
    fs::write(log_key(&public, "portal.2"), "no key").expect("written");
    assert!(matches!(log_name(&public, "portal", &[1; 32]), Err(Error::Damaged { .. })));
}
