use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};

use super::*;

/// Nobody's, as the system calls it.
const OTHER: u32 = 65_534;

/// Whether others' rights can be taken on here; said where they cannot.
pub(in crate::cli) fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("not tested here: only root can work as another user");
    }
    is_root
}

#[test]
fn what_another_user_may_not_do_is_not_done_in_its_directory() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (roots, others) = (dir.path().join("roots"), dir.path().join("others"));
    for (folder, owner) in [(&roots, 0), (&others, OTHER)] {
        fs::create_dir(folder).expect("made");
        chown(folder, Some(owner), Some(owner)).expect("given away");
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("set");
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("set");
    let owner = Owner::of(&others).expect("a directory");
    let (mine, theirs) = (others.join("mine"), roots.join("theirs"));
    owner
        .act(|| {
            fs::write(&mine, "").expect("its own");
            let refused = fs::write(&theirs, "").expect_err("root's");
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
            // A thread that goes on by itself has no more rights.
            let (theirs, refused) = (theirs.clone(), io::ErrorKind::PermissionDenied);
            let thread = std::thread::spawn(move || fs::write(theirs, "").expect_err("root's").kind());
            assert_eq!(thread.join().expect("it ends"), refused);
        })
        .expect("taken on");
    assert_eq!(fs::metadata(&mine).expect("there").uid(), OTHER);
    fs::write(&theirs, "").expect("root has its rights back");
    assert_eq!(fs::metadata(&theirs).expect("there").uid(), 0);
    std::os::unix::fs::symlink(&roots, dir.path().join("link")).expect("made");
    let refused = Owner::of(&dir.path().join("link")).expect_err("a link");
    assert!(refused.message().contains("no directory"), "{}", refused.message());
}
