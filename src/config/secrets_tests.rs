//! Secret files of every mode and content.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("proxy.key");
    fs::write(&path, content).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
    (directory, path)
}

#[test]
fn only_a_file_of_ones_own_is_a_secret() {
    for (mode, allowed) in
        [(0o400, true), (0o600, true), (0o440, false), (0o404, false), (0o640, false), (0o620, false), (0o644, false)]
    {
        let (_directory, path) = file(b"s3cret", mode);
        match read_secret(&path) {
            Ok(secret) => assert!(allowed && secret.expose() == b"s3cret", "{mode:o}"),
            Err(refused) => {
                let text = refused.to_string();
                assert!(!allowed, "{mode:o}: {text}");
                assert!(text.contains(&format!("has mode {mode:04o}")) && text.contains("chmod 0400"), "{text}");
                assert!(!text.contains("s3cret"), "{text}");
            }
        }
    }
}

#[test]
fn a_line_has_no_end_and_is_one() {
    for (content, line) in [
        (&b"s3cret\n"[..], Some("s3cret")),
        (b"s3cret\r\n", Some("s3cret")),
        (b" s3 cret ", Some(" s3 cret ")),
        (b"", None),
        (b"\n", None),
        (b"two\nlines\n", None),
        (b"\xff\n", None),
        (b"nul\0\n", None),
    ] {
        let (_directory, path) = file(content, 0o400);
        assert_eq!(read_secret_line(&path).ok().map(|secret| secret.expose().clone()).as_deref(), line, "{content:?}");
    }
}

#[test]
fn what_is_missing_says_what_to_do() {
    let (directory, path) = file(b"x", 0o400);
    let missing = read_secret(&path.with_file_name("other")).expect_err("missing").to_string();
    assert!(missing.contains("cannot read the secret file") && missing.contains("keys init"), "{missing}");
    let folder = read_secret(directory.path()).expect_err("a folder").to_string();
    assert!(folder.contains("is not a regular file"), "{folder}");
}
