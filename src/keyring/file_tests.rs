use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::AtomicBool;

use super::*;
use crate::audit::keys::{Part, Recipient, Recipients, seal_data_key};
use crate::clock::Timestamp;
use crate::disk::{AppendFile, BlockFile, ReadAt};
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;
use crate::keyring::Slot;

const ACME: Recipient = Recipient::Customer(CustomerId(7));
const SLOT: Slot = Slot { recipient: ACME, part: Part::Values, period: 2026 };

/// A directory with a keyring file `k` and its credential `c`; the keyring holds one key and one tag.
fn kept() -> (tempfile::TempDir, PathBuf, PathBuf, [u8; 32]) {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, credential) = (dir.path().join("k"), dir.path().join("c"));
    fs::write(&credential, [9; 32]).expect("written");
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o400)).expect("closed");
    let mut keyring = Keyring::generate(&OsEntropy);
    keyring.make(SLOT, &OsEntropy);
    keyring.make_tag(ACME, &OsEntropy);
    Store::create(Arc::new(RealDisk), &path, Secret::new([9; 32]), &mut keyring, &OsEntropy).expect("created");
    let public = keyring.public(&SLOT).expect("a key").expect("made").public;
    (dir, path, credential, public)
}

fn open(path: &Path, credential: &Path) -> Result<(Store, Keyring), Error> {
    Store::open(Arc::new(RealDisk), path, credential)
}

#[test]
fn a_keyring_reads_back_and_is_closed_to_others() {
    let (_dir, path, credential, public) = kept();
    let (mut store, mut keyring) = open(&path, &credential).expect("opened");
    assert_eq!(keyring.public(&SLOT).expect("a key").expect("kept").public, public);
    assert!(keyring.holds_tag(ACME));
    assert_eq!(keyring.revision, 1);
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
    store.save(&mut keyring, &OsEntropy).expect("saved");
    drop(store);
    let (_store, again) = open(&path, &credential).expect("opened again");
    assert_eq!((again.revision, again.public_key().expect("a key")), (2, keyring.public_key().expect("a key")));
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
}

#[test]
fn no_key_stands_in_the_file_in_the_clear() {
    let (_dir, path, credential, _) = kept();
    let (_store, keyring) = open(&path, &credential).expect("opened");
    let sealed = fs::read(&path).expect("read");
    let secrets = keyring.private.values().chain(keyring.tags.values()).map(Box::as_ref).chain([&keyring.seed]);
    for secret in secrets {
        assert!(!sealed.windows(32).any(|window| window == secret.expose()));
    }
    assert!(!format!("{keyring:?}").contains(&format!("{:?}", keyring.seed.expose())));
}

#[test]
fn a_second_user_of_the_file_is_turned_away() {
    let (_dir, path, credential, _) = kept();
    let first = open(&path, &credential).expect("opened");
    assert!(matches!(open(&path, &credential), Err(Error::Busy { .. })));
    drop(first);
    open(&path, &credential).expect("free again");
}

#[test]
fn a_file_that_exists_is_never_made_anew() {
    let (_dir, path, _, _) = kept();
    let mut keyring = Keyring::generate(&OsEntropy);
    let before = fs::read(&path).expect("read");
    let made = Store::create(Arc::new(RealDisk), &path, Secret::new([1; 32]), &mut keyring, &OsEntropy);
    assert!(matches!(made, Err(Error::Exists { .. })));
    assert_eq!(fs::read(&path).expect("read"), before);
}

/// Each case: what is done to the directory, and what the error must say. Every error names the file and the way out.
#[test]
fn what_is_wrong_is_said_with_the_file_and_the_way_out() {
    type Harm = fn(&Path, &Path);
    let cases: &[(&str, Harm, &[&str])] = &[
        (
            "no file",
            |path, _| fs::remove_file(path).expect("removed"),
            &["keyring file", "/k", "does not exist", "keys init"],
        ),
        ("no credential", |_, c| fs::remove_file(c).expect("removed"), &["keyring credential", "/c", "does not exist"]),
        ("another credential", |_, c| write(c, &[8; 32], 0o400), &["/k", "does not open with", "/c", "restore"]),
        ("a short credential", |_, c| write(c, &[9; 31], 0o400), &["keyring credential", "/c", "31 bytes long"]),
        ("an open credential", |_, c| write(c, &[9; 32], 0o440), &["/c", "mode 0440", "chmod 0400"]),
        (
            "an open file",
            |path, _| write(path, &fs::read(path).expect("read"), 0o604),
            &["/k", "mode 0604", "chmod 0600"],
        ),
        ("an empty file", |path, _| write(path, &[], 0o600), &["keyring file", "/k", "shorter than its header"]),
        (
            "no generation secret",
            |path, _| fs::remove_file(generation::path_of(path)).expect("removed"),
            &["generation secret", "/k.generation", "does not exist"],
        ),
        (
            "a damaged generation secret",
            |path, _| write(&generation::path_of(path), &[1; 64], 0o600),
            &["generation secret", "/k.generation", "not a generation secret"],
        ),
        (
            "a file of a newer version",
            |path, _| {
                let mut bytes = fs::read(path).expect("read");
                bytes[19] = b'2';
                write(path, &bytes, 0o600);
            },
            &[
                "keyring file",
                "/k",
                "is of version 2, and this portreeve reads version 1",
                "start the portreeve that wrote it",
            ],
        ),
        (
            "generation secrets of a newer version",
            |path, _| {
                let (path, mut bytes) = (generation::path_of(path), fs::read(generation::path_of(path)).expect("read"));
                bytes[22] = b'1';
                write(&path, &bytes, 0o600);
            },
            &[
                "generation secret",
                "/k.generation",
                "is of version 1, and this portreeve reads version 0",
                "that wrote it",
            ],
        ),
        ("another file", |path, _| write(path, &[b'x'; 200], 0o600), &["/k", "not a keyring file"]),
        (
            "a directory",
            |path, _| {
                fs::remove_file(path).expect("removed");
                fs::create_dir(path).expect("made")
            },
            &["/k", "not a regular file"],
        ),
        (
            "a cut file",
            |path, _| {
                let bytes = fs::read(path).expect("read");
                write(path, bytes.split_last().expect("not empty").1, 0o600);
            },
            &["/k", "does not open with", "damaged"],
        ),
    ];
    for (case, harm, expected) in cases {
        let (_dir, path, credential, _) = kept();
        harm(&path, &credential);
        let error = open(&path, &credential).err().expect(case).to_string();
        for word in *expected {
            assert!(error.contains(word), "{case}: {error}");
        }
        assert!(!case.contains("newer") || !error.contains("from its copy"), "{case}: {error}");
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    let _missing = fs::remove_file(path);
    fs::write(path, bytes).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

#[test]
fn one_flipped_bit_anywhere_keeps_it_shut() {
    let (_dir, path, credential, _) = kept();
    let whole = fs::read(&path).expect("read");
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        *flipped.get_mut(at).expect("in it") ^= 1 << (at % 8);
        write(&path, &flipped, 0o600);
        assert!(open(&path, &credential).is_err(), "byte {at}");
    }
    write(&path, &whole, 0o600);
    open(&path, &credential).expect("whole again");
}

/// What a crash can leave while the file is replaced: the new one beside it not begun, torn, or whole; or in its place.
#[test]
fn a_crash_between_any_two_steps_leaves_a_file_that_opens() {
    let (_dir, path, credential, public) = kept();
    let (store, mut keyring) = open(&path, &credential).expect("opened");
    let second = Slot { period: 2027, ..SLOT };
    keyring.make(second, &OsEntropy);
    keyring.revision += 1;
    let next = store.seal(&keyring, &OsEntropy).expect("sealed");
    drop(store);
    let old = fs::read(&path).expect("read");
    let beside = path.with_added_extension("new");
    let torn = (0..=next.len()).map(|len| (next.get(..len).expect("within"), &old));
    for (left, current) in torn.chain([(&b""[..], &next)]) {
        write(&beside, left, 0o600);
        write(&path, current, 0o600);
        let (mut store, mut found) = open(&path, &credential).expect("opened");
        assert_eq!(found.public(&SLOT).expect("a key").expect("kept").public, public);
        assert_eq!(found.holds(&second), *current == next);
        // What was left behind does not stand in the way of the next rewrite.
        if left.len() % 64 == 0 {
            store.save(&mut found, &OsEntropy).expect("saved");
        }
    }
}

/// A disk that refuses to replace files.
struct Full;

impl Disk for Full {
    fn make_directory(&self, dir: &Path) -> io::Result<()> {
        RealDisk.make_directory(dir)
    }
    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.names(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        RealDisk.lock(path)
    }
    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        RealDisk.is_locked(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }
    fn read_secret(&self, path: &Path, bytes_max: u64) -> Result<Secret<Vec<u8>>, Fault> {
        RealDisk.read_secret(path, bytes_max)
    }
    fn settle(&self, path: &Path) -> io::Result<()> {
        RealDisk.settle(path)
    }
    fn replace(&self, _path: &Path, _bytes: &[u8], _mode: u32) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn allocate(&self, path: &Path, len: u64) -> io::Result<()> {
        RealDisk.allocate(path, len)
    }
    fn allocate_for_later(&self, path: &Path, len: u64, hurries: &AtomicBool) -> io::Result<()> {
        RealDisk.allocate_for_later(path, len, hurries)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn BlockFile>> {
        RealDisk.open(path)
    }
    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        RealDisk.open_to_append(path)
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        RealDisk.open_to_read(path)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(dir)
    }
}

#[test]
fn a_key_that_could_not_be_kept_is_not_handed_out() {
    let (_dir, path, credential, _) = kept();
    let clock = Fixed(Timestamp(1_795_000_000_000_000));
    let mut kept = super::super::Kept::open(Arc::new(Full), &path, &credential).expect("opened");
    let refused = kept.own_recipients(&clock, &OsEntropy).expect_err("the disk is full");
    assert!(matches!(refused, Error::Storage { verb: "replace", .. }), "{refused}");
    assert_eq!(kept.keyring().recipients(), [ACME]);
    assert!(!kept.keyring().holds_tag(Recipient::Vendor));
}

struct Fixed(Timestamp);

impl crate::clock::Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[test]
fn a_key_opens_what_is_sealed_to_it_after_a_restart() {
    let (_dir, path, credential, _) = kept();
    let (store, keyring) = open(&path, &credential).expect("opened");
    let key = keyring.public(&SLOT).expect("a key").expect("kept");
    key.verify(&keyring.public_key().expect("a key")).expect("signed");
    let sealed = seal_data_key(&key, "portreeve/x", 3, &Secret::new([5; 32])).expect("sealed");
    drop(store);
    let (_store, keyring) = open(&path, &credential).expect("opened again");
    assert_eq!(keyring.open(&sealed).expect("opens").expose(), &[5; 32]);
    assert!(Recipients::new().tags().is_empty());
}
