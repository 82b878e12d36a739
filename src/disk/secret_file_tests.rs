use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode_of(refused: Result<Secret<Vec<u8>>, Fault>) -> Option<u32> {
    match refused {
        Ok(secret) => {
            assert_eq!(secret.expose(), b"s3cret");
            None
        }
        Err(Fault::Exposed(mode)) => Some(mode),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_is_ones_own_or_handed_over_by_systemd() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("key");
    let elsewhere = tempfile::tempdir().expect("another");
    fs::write(&path, "s3cret").expect("written");
    for (mode, own, handed_over) in [
        (0o400, true, true),
        (0o600, true, true),
        (0o440, false, true),
        (0o640, false, true),
        (0o460, false, false),
        (0o444, false, false),
        (0o404, false, false),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let refused = |allowed: bool| (!allowed).then_some(mode);
        assert_eq!(mode_of(read(&path, 99, None)), refused(own), "{mode:o}");
        assert_eq!(mode_of(read(&path, 99, Some(elsewhere.path()))), refused(own), "{mode:o}");
        assert_eq!(mode_of(read(&path, 99, Some(directory.path()))), refused(handed_over), "{mode:o}");
        let around = elsewhere.path().join("..").join(directory.path().file_name().expect("a name")).join("key");
        assert_eq!(mode_of(read(&around, 99, Some(elsewhere.path()))), refused(own), "{mode:o}: not below it");
    }
}

#[test]
fn what_is_no_secret_file_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("key");
    assert!(matches!(read(&path, 9, None), Err(Fault::Unreadable(_))));
    assert!(matches!(read(directory.path(), 9, None), Err(Fault::NotAFile)));
    fs::write(&path, "ten bytes!").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("set");
    assert!(matches!(read(&path, 9, None), Err(Fault::TooLarge)));
}
