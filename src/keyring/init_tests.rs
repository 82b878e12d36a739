use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;

fn files(dir: &Path) -> Files {
    let log = |name: &str| LogKey {
        origin: format!("portreeve/{name}"),
        secret: dir.join(format!("secrets/{name}.key")),
        public: dir.join(format!("log-keys/{name}.vkey")),
    };
    Files {
        keyring: dir.join("var/keyring"),
        credential: dir.join("secrets/keyring.credential"),
        keyring_public: dir.join("keyring.pub"),
        portal_signing: dir.join("secrets/portal-signing.key"),
        portal_public: dir.join("portal-signing.pub"),
        instance: dir.join("secrets/instance.key"),
        logs: vec![log("proxy-gate-1"), log("keyring")],
    }
}

fn run(files: &Files) -> Result<Vec<(PathBuf, Done)>, Error> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    init(files, &disk, &OsEntropy)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o7777
}

#[test]
fn everything_is_made_once_and_kept_afterwards() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = files(dir.path());
    let made = run(&files).expect("made");
    assert_eq!(made.len(), 10);
    assert!(made.iter().all(|(_, done)| *done == Done::Made), "{made:?}");
    assert_eq!((mode(&files.credential), mode(&files.keyring), mode(&files.keyring_public)), (0o400, 0o600, 0o444));
    let before: Vec<Vec<u8>> = made.iter().map(|(path, _)| fs::read(path).expect("read")).collect();
    let kept = run(&files).expect("kept");
    assert!(kept.iter().all(|(_, done)| *done == Done::Kept), "{kept:?}");
    assert_eq!(kept.iter().map(|(path, _)| fs::read(path).expect("read")).collect::<Vec<_>>(), before);
}

#[test]
fn public_keys_are_the_halves_of_the_secret_ones() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = files(dir.path());
    run(&files).expect("made");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (_store, keyring) = Store::open(disk, &files.keyring, &files.credential).expect("opened");
    assert_eq!(read_public_key(&files.keyring_public).expect("read"), keyring.public_key().expect("a key"));
    let public = |path: &Path| SigningKey::from_seed(&read_seed(path).expect("read")).public();
    assert_eq!(read_public_key(&files.portal_public).expect("read"), public(&files.portal_signing));
    for log in &files.logs {
        assert_eq!(read_public_key(&log.public).expect("read"), public(&log.secret));
        assert!(fs::read_to_string(&log.public).expect("read").starts_with(&log.origin));
    }
}

#[test]
fn a_lost_half_is_named_and_never_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = files(dir.path());
    run(&files).expect("made");
    fs::remove_file(&files.credential).expect("removed");
    let error = run(&files).expect_err("the credential is lost").to_string();
    assert!(error.contains("keyring.credential does not exist"), "{error}");
    assert!(!files.credential.exists(), "a new credential would not open the keyring");
}

#[test]
fn a_public_key_of_another_secret_is_not_believed() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = files(dir.path());
    run(&files).expect("made");
    fs::remove_file(&files.portal_signing).expect("removed");
    let error = run(&files).expect_err("another pair").to_string();
    assert!(error.contains("portal-signing.pub") && error.contains("not the public half"), "{error}");
}

#[test]
fn what_is_no_public_key_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("p");
    for text in ["", "x", "AAAA", "a+b+c", "portreeve/x+00000000+AAAA"] {
        fs::write(&path, text).expect("written");
        assert!(matches!(read_public_key(&path), Err(Error::Damaged { .. })), "{text}");
    }
    assert!(matches!(read_public_key(&dir.path().join("none")), Err(Error::Missing { .. })));
}
