use std::fs;

use super::*;
use crate::clock::SystemClock;
use crate::disk::RealDisk;
use crate::disk::crashing::{Call, CrashingDisk, Fault, How};
use crate::entropy::OsEntropy;
use crate::secret::Secret;
use crate::snapshots::{Algorithm, Kind, Origin};

const ID: SnapshotId = SnapshotId([5; 16]);

fn instance(id: u8, key: u8) -> Instance {
    Instance::new([id; 16], &Secret::new([key; 32]))
}

fn store(dir: &Path) -> Store {
    Store::create(Arc::new(RealDisk), dir, instance(1, 1), &OsEntropy).expect("a store")
}

fn header(instance: &Instance) -> HeaderBytes {
    let header = Header {
        instance: instance.id(),
        id: ID.0,
        kind: Kind::PgBaseBackup,
        series: [0; 16],
        slot: None,
        started: 11,
        source_started: None,
        origin: Origin::Taken,
        server_version: "15.18".to_owned(),
        system_identifier: None,
        checksums: Some(Algorithm::Sha256),
        token: 1,
        chunk_bytes: 1024,
        recipient: [0; 32],
        enc: Vec::new(),
        sealed_key: Vec::new(),
        sealed_names: Vec::new(),
    };
    HeaderBytes::new(header, instance)
}

#[test]
fn a_directory_that_is_not_the_store_proves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store");
    let store = store(&path);
    let filled = Store::create(Arc::new(RealDisk), &path, instance(1, 1), &OsEntropy);
    assert!(matches!(filled, Err(Error::Refused(_))), "{filled:?}");
    // Unmounted: an empty directory of the same name.
    fs::rename(&path, dir.path().join("elsewhere")).expect("moved");
    for other in [false, true] {
        if other {
            fs::create_dir(&path).expect("an empty directory");
        }
        let listed = store.list().expect_err("not the store");
        assert!(matches!(&listed, Error::NotTheStore { .. }), "{listed}");
        let absent = store.confirm_absent(ID, &SystemClock).expect_err("not the store");
        assert!(matches!(absent, Error::NotTheStore { .. }), "{absent}");
        assert!(matches!(store.lease(), Err(Error::NotTheStore { .. })));
        assert!(matches!(store.delete_any(), Err(Error::NotTheStore { .. })));
    }
    // Another store in its place.
    fs::remove_dir(&path).expect("removed");
    Store::create(Arc::new(RealDisk), &path, instance(1, 1), &OsEntropy).expect("another store");
    let other = store.list().expect_err("another store");
    assert!(other.to_string().contains("another store's mark"), "{other}");
}

impl Store {
    fn delete_any(&self) -> Result<Deleted, Error> {
        let lease = Store::open(Arc::clone(&self.disk), &self.dir, self.instance.clone())?.lease()?;
        self.delete(&lease, &Named { id: ID, started: Timestamp(11) })
    }
}

#[test]
fn what_is_not_ours_is_listed_and_never_touched() {
    for (what, name, bytes, reason) in [
        ("another's", format!("{ID}.snapshot"), header(&instance(2, 2)).bytes, "another instance wrote it"),
        ("forged", format!("{ID}.snapshot"), header(&instance(1, 2)).bytes, "its tag is wrong"),
        ("copied", format!("{}.snapshot", SnapshotId([6; 16])), header(&instance(1, 1)).bytes, "another snapshot"),
        ("no snapshot", format!("{ID}.snapshot"), b"PRTRSNP0\xff\xff\xff\xff".to_vec(), "no header"),
        ("empty", format!("{ID}.running"), Vec::new(), "no header"),
        ("a stranger", "nightly.dump".to_owned(), b"PGDMP".to_vec(), "its name is not a snapshot's"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store(&dir.path().join("store"));
        fs::write(store.dir().join(&name), bytes).expect("written");
        let found = store.list().expect("a list");
        let [Found::Foreign(foreign)] = found.as_slice() else { panic!("{what}: {found:?}") };
        assert!(foreign.reason.contains(reason), "{what}: {foreign:?}");
        assert!(foreign.modified.is_some() && foreign.name == name, "{what}: {foreign:?}");
        if let Some((id, _)) = id_of(&name) {
            let lease = store.lease().expect("the lead");
            let refused = store.delete(&lease, &Named { id, started: Timestamp(11) }).expect_err(what);
            assert!(matches!(refused, Error::NotOurs { .. }), "{what}: {refused}");
            assert!(store.confirm_absent(id, &SystemClock).is_err(), "{what} is still there");
        }
        assert!(store.dir().join(&name).exists(), "{what} was touched");
    }
}

#[test]
fn a_failed_one_is_listed_and_deleted_and_a_running_one_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir.path().join("store"));
    let path = store.running_path(ID);
    fs::write(&path, header(&instance(1, 1)).bytes).expect("written");
    let held = RealDisk.lock(&path).expect("locked");
    assert_eq!(store.find(ID).expect("found").state, State::Running);
    let lease = store.lease().expect("the lead");
    let named = Named { id: ID, started: Timestamp(11) };
    let running = store.delete(&lease, &named).expect_err("it is being taken");
    assert!(matches!(running, Error::Running(ID)), "{running}");
    drop(held);
    assert_eq!(store.find(ID).expect("found").state, State::Failed);
    assert_eq!(store.delete(&lease, &named).expect("deleted"), Deleted::Removed);
    store.confirm_absent(ID, &SystemClock).expect("gone");
}

#[test]
fn one_leads_and_an_overtaken_one_does_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir.path().join("store"));
    let first = store.lease().expect("the lead");
    let second = store.lease().expect_err("somebody leads");
    assert!(matches!(second, Error::Led(_)), "{second}");
    fs::write(store.running_path(ID), header(&instance(1, 1)).bytes).expect("written");
    // As if the lock had been lost and another had led since.
    fs::write(store.dir().join(FENCE), "2").expect("written");
    let named = Named { id: ID, started: Timestamp(11) };
    let fenced = store.delete(&first, &named).expect_err("overtaken");
    assert!(matches!(fenced, Error::Fenced { ours: 1, theirs: 2 }), "{fenced}");
    assert!(store.running_path(ID).exists());
    drop(first);
    assert_eq!(store.lease().expect("the lead").token(), 3);
}

#[test]
fn half_an_answer_is_no_answer() {
    for (call, kind) in [
        (Call::Names, ErrorKind::TimedOut),
        (Call::Read, ErrorKind::PermissionDenied),
        (Call::OpenToRead, ErrorKind::PermissionDenied),
        (Call::ReadAt, ErrorKind::Other),
        (Call::OpenToRead, ErrorKind::NotFound),
    ] {
        let disk = CrashingDisk::new(1);
        let dir = Path::new("/store");
        let store = Store::create(Arc::new(disk.clone()), dir, instance(1, 1), &OsEntropy).expect("a store");
        disk.replace(&store.running_path(ID), &header(&instance(1, 1)).bytes, 0o640).expect("written");
        assert_eq!(store.list().expect("a list").len(), 1);
        disk.fail(Fault { call, nth: disk.count(call) + 1, kind, how: How::Not });
        let listed = store.list();
        assert!(disk.all_failed() && listed.is_err(), "{call:?} {kind:?}: {listed:?}");
    }
}

#[test]
fn a_read_only_store_says_so() {
    let disk = CrashingDisk::new(1);
    let dir = Path::new("/store");
    let store = Store::create(Arc::new(disk.clone()), dir, instance(1, 1), &OsEntropy).expect("a store");
    disk.replace(&store.running_path(ID), &header(&instance(1, 1)).bytes, 0o640).expect("written");
    let lease = store.lease().expect("the lead");
    let (call, kind) = (Call::Unlink, ErrorKind::ReadOnlyFilesystem);
    disk.fail(Fault { call, nth: disk.count(call) + 1, kind, how: How::Not });
    let refused = store.delete(&lease, &Named { id: ID, started: Timestamp(11) }).expect_err("read-only");
    assert!(refused.to_string().contains("cannot remove"), "{refused}");
    assert_eq!(store.list().expect("a list").len(), 1, "it is still listed");
}
