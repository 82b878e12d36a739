use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_password_lies_where_only_we_look_and_goes() {
    let above = tempfile::tempdir().expect("a directory");
    let private = PrivateDirectory::create(above.path()).expect("created");
    let path = private.keep(&Secret::new(r"a:b\c".to_owned())).expect("kept");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(private.path()), mode(&path)), (0o700, 0o600));
    assert_eq!(fs::read_to_string(&path).expect("readable"), "*:*:*:*:a\\:b\\\\c\n");
    drop(private);
    assert_eq!(fs::read_dir(above.path()).expect("listed").count(), 0);
}

#[test]
fn a_password_that_the_file_cannot_hold_is_refused() {
    let above = tempfile::tempdir().expect("a directory");
    let private = PrivateDirectory::create(above.path()).expect("created");
    let refused = private.keep(&Secret::new("first\nsecond".to_owned())).expect_err("two lines").to_string();
    assert!(refused.contains("line break") && !refused.contains("second"), "{refused}");
}
