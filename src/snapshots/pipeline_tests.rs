use std::io::{Cursor, ErrorKind};
use std::path::Path;

use super::*;
use crate::audit::keys::generate_key_pair;
use crate::clock::SystemClock;
use crate::disk::Disk;
use crate::disk::crashing::{Call, CrashingDisk, Ending, Fault, How};
use crate::entropy::OsEntropy;
use crate::secret::Secret;
use crate::snapshots::reading::Stored;
use crate::snapshots::store::{Deleted, Found, Named, State};
use crate::snapshots::take::Draft;
use crate::snapshots::{Instance, Kind, Origin};

const ID: SnapshotId = SnapshotId([9; 16]);
const DIR: &str = "/store";

struct Memory {
    bytes: Vec<u8>,
    ends_badly: bool,
}

impl Source for Memory {
    fn stream(&mut self) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(Cursor::new(self.bytes.clone())))
    }

    fn stop(&mut self) {}

    fn end(&mut self) -> Result<(), Error> {
        let said = "connection lost".to_owned();
        let failed = Error::Program { program: "pg_dump".to_owned(), status: "exit status: 1".to_owned(), said };
        if self.ends_badly { Err(failed) } else { Ok(()) }
    }
}

fn instance() -> Instance {
    Instance::new([1; 16], &Secret::new([2; 32]))
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap_or(0)).collect()
}

fn on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn store(disk: &CrashingDisk) -> Store {
    Store::create(Arc::new(disk.clone()), Path::new(DIR), instance(), &OsEntropy).expect("a store")
}

fn counted(stream: &mut dyn Read) -> Result<Checked, Error> {
    let parts = io::copy(stream, &mut io::sink()).map_err(|error| Error::NotVerified(error.to_string()))?;
    Ok(Checked { parts, content: [0; 32] })
}

fn take(store: &Store, recipient: [u8; 32], mut source: Memory, watch: &mut Watch<'_>) -> Result<Foot, Error> {
    let lease = store.lease()?;
    let draft = Draft {
        id: ID,
        kind: Kind::PgDump,
        origin: Origin::Taken,
        database: "acme",
        customers: &[],
        slot: Some(Timestamp(7)),
        started: Timestamp(5),
        source_started: None,
        server_version: "15.18".to_owned(),
        system_identifier: Some(4),
        checksums: None,
        recipient,
    };
    let (header, key) = draft.seal(store, &lease, &OsEntropy)?;
    let passage =
        Passage { store, lease: &lease, clock: &SystemClock, header, key, estimate: None, bytes_per_second_max: None };
    passage.run(&mut source, counted, watch)
}

fn memory(len: usize) -> Memory {
    Memory { bytes: bytes(len), ends_badly: false }
}

fn read_back(store: &Store, private: &Secret<[u8; 32]>) -> Result<Vec<u8>, Error> {
    let stored = Stored::open(store, ID)?;
    stored.check_stored(&mut on)?;
    opened(&stored, private)
}

fn opened(stored: &Stored, private: &Secret<[u8; 32]>) -> Result<Vec<u8>, Error> {
    let mut watch = on;
    let mut opened = stored.opened(private, &mut watch)?;
    let mut read = Vec::new();
    let outcome = opened.read_to_end(&mut read).map_err(|error| Error::NotVerified(error.to_string()));
    opened.outcome(outcome).map(|_| read)
}

fn states(store: &Store) -> Vec<State> {
    let found = store.list().expect("a list").into_iter();
    found
        .map(|found| match found {
            Found::Ours(ours) => ours.state,
            Found::Foreign(foreign) => panic!("{foreign:?}"),
        })
        .collect()
}

#[test]
fn what_goes_in_comes_out_at_every_length() {
    let (public, private) = generate_key_pair();
    for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
        let disk = CrashingDisk::new(1);
        let store = store(&disk);
        let foot = take(&store, public, memory(len), &mut on).expect("taken");
        assert_eq!((foot.plain_bytes, foot.parts), (len as u64, len as u64));
        assert_eq!(states(&store), [State::Complete(foot)]);
        assert!(read_back(&store, &private).expect("read") == bytes(len), "{len} bytes");
        let (_, other) = generate_key_pair();
        let wrong = read_back(&store, &other).expect_err("another key");
        assert!(matches!(&wrong, Error::Key(said) if said.contains("public key is")), "{wrong}");
    }
}

/// Changes the stored file and says what becomes of it.
fn after(change: impl Fn(&mut Vec<u8>, usize)) -> Error {
    let (public, private) = generate_key_pair();
    let disk = CrashingDisk::new(1);
    let store = store(&disk);
    take(&store, public, memory(3 * CHUNK_BYTES + 5), &mut on).expect("taken");
    let path = store.whole_path(ID);
    let mut file = disk.read(&path).expect("read");
    let sealed = 3 * (CHUNK_BYTES + 16) + 5 + 16;
    let first = file.len() - sealed - super::super::header::FOOT_BYTES;
    change(&mut file, first);
    disk.replace(&path, &file, 0o640).expect("replaced");
    if let Ok(stored) = Stored::open(&store, ID) {
        // Whoever can make a foot's digest fit still cannot make a chunk open.
        let by_digest = stored.check_stored(&mut on).expect_err("the digest tells");
        assert!(matches!(by_digest, Error::Damaged { .. }), "{by_digest}");
        return opened(&stored, &private).expect_err("a chunk does not open");
    }
    read_back(&store, &private).expect_err("it does not open")
}

#[test]
fn every_change_is_found() {
    let size = CHUNK_BYTES + 16;
    let damaged = |what: &str, error: Error| assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}");
    damaged("a bit", after(|file, first| file[first + size + 7] ^= 1));
    damaged("the last chunk", after(|file, first| file[first + 3 * size] ^= 1));
    damaged(
        "two chunks swapped",
        after(|file, first| {
            let (left, right) = file[first..].split_at_mut(size);
            left.swap_with_slice(&mut right[..size]);
        }),
    );
    damaged("a chunk twice", after(|file, first| file.copy_within(first..first + size, first + size)));
    damaged("a chunk missing", after(|file, first| drop(file.drain(first..first + size))));
    damaged("cut off", after(|file, _| file.truncate(file.len() - 1)));
    damaged("longer", after(|file, _| file.push(0)));
    damaged(
        "the foot",
        after(|file, _| {
            let at = file.len() - 100;
            file[at] ^= 1;
        }),
    );
    let header = after(|file, _| file[40] ^= 1);
    assert!(matches!(header, Error::NotOurs { .. }), "{header}");
}

#[test]
fn a_source_that_fails_or_a_watcher_that_stops_leaves_nothing() {
    let (public, _) = generate_key_pair();
    let disk = CrashingDisk::new(1);
    let store = store(&disk);
    let source = Memory { bytes: bytes(2 * CHUNK_BYTES), ends_badly: true };
    let failed = take(&store, public, source, &mut on).expect_err("it ended badly");
    assert!(matches!(&failed, Error::Program { said, .. } if said == "connection lost"), "{failed}");
    let stopped = take(&store, public, memory(9 * CHUNK_BYTES), &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    assert_eq!(states(&store), []);
}

#[test]
fn a_full_disk_is_said_and_freed() {
    let (public, _) = generate_key_pair();
    for (call, nth, how) in [(Call::Write, 4, How::Partly), (Call::Sync, 3, How::Not)] {
        let disk = CrashingDisk::new(1);
        let store = store(&disk);
        let (before, call_before) = (disk.count(call), nth);
        disk.fail(Fault { call, nth: before + call_before, kind: ErrorKind::StorageFull, how });
        let full = take(&store, public, memory(6 * CHUNK_BYTES), &mut on).expect_err("no space");
        assert!(disk.all_failed(), "the fault was met");
        assert!(matches!(&full, Error::Full { .. }), "{full}");
        assert_eq!(states(&store), []);
    }
}

#[test]
fn a_slot_is_served_once() {
    let (public, _) = generate_key_pair();
    let disk = CrashingDisk::new(1);
    let store = store(&disk);
    take(&store, public, memory(5), &mut on).expect("taken");
    disk.rename(&store.whole_path(ID), &store.dir().join(format!("{}.snapshot", SnapshotId([8; 16])))).expect("moved");
    // Under another name it is not ours any more: a copy of a snapshot is no snapshot.
    assert!(matches!(store.list().expect("a list").as_slice(), [Found::Foreign(_)]));
    disk.rename(&store.dir().join(format!("{}.snapshot", SnapshotId([8; 16]))), &store.whole_path(ID)).expect("back");
    let again = take(&store, public, memory(5), &mut on).expect_err("the slot has its snapshot");
    assert!(matches!(again, Error::SlotTaken { id: ID, slot: Timestamp(7) }), "{again}");
    assert_eq!(states(&store).len(), 1, "the first one stays");
}

/// Power goes, or the process, in every call: what is listed as whole is whole, all else can be deleted.
#[test]
fn a_crash_at_any_moment_leaves_nothing_that_looks_whole() {
    let (public, private) = generate_key_pair();
    let (mut whole, mut failed, mut none) = (0, 0, 0);
    for ending in [Ending::Killed, Ending::PowerLost] {
        for n in 1..200 {
            let disk = CrashingDisk::new(n);
            let before = store(&disk);
            disk.crash_in(n);
            let taken = take(&before, public, memory(2 * CHUNK_BYTES + 9), &mut on);
            let crashed = disk.is_down();
            let disk = disk.restart(ending);
            let store = Store::open(Arc::new(disk.clone()), Path::new(DIR), instance()).expect("still a store");
            let found = store.list().expect("a list");
            match found.as_slice() {
                [] => none += 1,
                [Found::Ours(ours)] => {
                    match ours.state {
                        State::Complete(_) => {
                            whole += 1;
                            assert!(read_back(&store, &private).expect("whole") == bytes(2 * CHUNK_BYTES + 9));
                        }
                        State::Failed => failed += 1,
                        State::Running | State::Damaged(_) => panic!("{:?} after call {n}", ours.state),
                    }
                    let named = Named { id: ID, started: ours.header.started() };
                    let lease = store.lease().expect("the lead");
                    assert_eq!(store.delete(&lease, &named).expect("deleted"), Deleted::Removed);
                    store.confirm_absent(ID, &SystemClock).expect("gone");
                }
                // The header itself was torn: there is no data behind it.
                [Found::Foreign(foreign)] => {
                    assert!(foreign.name.ends_with(".new"), "{foreign:?}");
                    none += 1;
                }
                several => panic!("{several:?}"),
            }
            if !crashed {
                taken.expect("nothing happened to it");
                break;
            }
        }
    }
    assert!(whole >= 2 && failed > 5 && none > 5, "{whole} {failed} {none}");
}
