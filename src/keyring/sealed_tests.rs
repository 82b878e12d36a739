use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;
use crate::keyring::Kept;

const SLOT: Slot = Slot { recipient: Recipient::Customer(CustomerId(7)), part: Part::Values, period: 2026 };

/// A file as the first version wrote it: the generation secret stands in it.
fn v0(keyring: &Keyring, credential: &Secret<[u8; 32]>) -> Vec<u8> {
    let (generation, secret, nonce) = (1_u64, [5; 32], [6; NONCE_LEN]);
    let header = [MAGIC_V0.as_slice(), &generation.to_be_bytes(), &secret, &nonce].concat();
    let mut body = encode(keyring).expect("encoded");
    let tag = kek(credential, generation, &Secret::new(secret))
        .expect("a key")
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&header), &mut body)
        .expect("sealed");
    [header.as_slice(), &body, tag.as_ref()].concat()
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    let _missing = fs::remove_file(path);
    fs::write(path, bytes).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

#[test]
fn a_file_of_the_first_version_is_read_once_and_rewritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, credential) = (dir.path().join("k"), dir.path().join("c"));
    write(&credential, &[9; 32], 0o400);
    let mut keyring = Keyring::generate(&OsEntropy);
    keyring.make(SLOT, &OsEntropy);
    let public = keyring.public(&SLOT).expect("a key").expect("made");
    let old = v0(&keyring, &Secret::new([9; 32]));
    write(&path, &old, 0o600);
    let clock = crate::clock::SystemClock;
    let mut kept = Kept::open(Arc::new(RealDisk), &path, &credential).expect("the old form is read");
    kept.own_recipients(&clock, &OsEntropy).expect("settled");
    drop(kept);
    let now = fs::read(&path).expect("read");
    assert!(now.starts_with(MAGIC), "rewritten");
    assert!(!now.windows(32).any(|window| window == [5; 32]), "no generation secret stands in it");
    let kept = Kept::open(Arc::new(RealDisk), &path, &credential).expect("the new form is read");
    assert_eq!(kept.keyring().public(&SLOT).expect("a key"), Some(public));
    drop(kept);
    write(&path, &old, 0o600);
    let refused = Kept::open(Arc::new(RealDisk), &path, &credential).err().expect("it is an old copy now");
    assert!(matches!(refused, Error::OldKeyring { found: 1, newest: 2, .. }), "{refused}");
}
