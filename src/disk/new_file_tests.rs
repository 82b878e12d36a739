//! Wholly or not at all, never over another, closed to others.

use std::os::unix::fs::MetadataExt;

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("one").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn it_has_its_name_when_it_is_finished_and_not_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("export");
    let mut file = NewFile::begin(&path).expect("begun");
    file.write_all(b"half").expect("written");
    assert!(!path.exists());
    file.finish().expect("finished");
    assert_eq!(fs::read(&path).expect("there"), b"half");
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
    assert_eq!(names(dir.path()), ["export"]);
}

#[test]
fn given_up_it_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut file = NewFile::begin(&dir.path().join("export")).expect("begun");
    file.write_all(b"half").expect("written");
    assert_eq!(names(dir.path()).len(), 1);
    drop(file);
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_name_that_is_taken_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("export");
    std::os::unix::fs::symlink("nowhere", &path).expect("a link");
    assert_eq!(NewFile::begin(&path).err().expect("taken").kind(), ErrorKind::AlreadyExists);
    fs::remove_file(&path).expect("removed");
    let mut file = NewFile::begin(&path).expect("begun");
    file.write_all(b"mine").expect("written");
    fs::write(&path, b"somebody's").expect("written");
    assert_eq!(file.finish().expect_err("taken meanwhile").kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).expect("there"), b"somebody's");
    assert_eq!(names(dir.path()), ["export"]);
}
