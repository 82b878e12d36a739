use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::consistency::{Roots, consistency_ranges};
use crate::audit::tree::{Hash, leaf_hash, root};
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::secret::Secret;

const NOON: Timestamp = Timestamp(1_795_262_400_000_000);

fn signing() -> SigningKey {
    SigningKey::from_seed(&Secret::new([1; 32]))
}

/// A witness's folder that watches `portreeve/a`.
fn folder() -> (tempfile::TempDir, VerifierKey) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("witness");
    let key = create(&RealDisk, &state, "witness.example/w1", &OsEntropy).expect("made");
    let log = VerifierKey { name: "portreeve/a".to_owned(), algorithm: Algorithm::Ed25519, public: signing().public() };
    std::fs::write(state.join("logs/a.vkey"), format!("{}\n", log.text())).expect("written");
    (folder, key)
}

fn memory(folder: &tempfile::TempDir) -> Result<Memory, Error> {
    Memory::open(Arc::new(RealDisk), &folder.path().join("witness"))
}

fn body(old: u64, size: u64, other_from: u64) -> String {
    let hash = |leaf: u64| leaf_hash(&[u8::from(leaf >= other_from), u8::try_from(leaf).expect("few")]);
    let leaves: Vec<Hash> = (0..size).map(hash).collect();
    let mut roots = Roots::of(&consistency_ranges(old, size));
    leaves.iter().for_each(|leaf| roots.push(*leaf));
    let checkpoint = Checkpoint { origin: "portreeve/a".to_owned(), size, root: root(&leaves) };
    let proof = roots.finish().expect("all passed");
    AddCheckpoint { old, proof, note: checkpoint.sign(&signing()) }.to_body()
}

fn refused(memory: &Memory, body: &str) -> Refusal {
    match memory.add(body, NOON) {
        Err(Fault::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_cosigned_is_remembered_over_a_restart_and_nothing_else_is_cosigned() {
    let (folder, key) = folder();
    let first = memory(&folder).expect("it opens");
    assert_eq!(first.verifier_key(), key);
    assert_eq!(first.last_of(&file_name("portreeve/a")).expect("readable"), None);
    first.add(&body(0, 5, 99), NOON).expect("the first it sees");
    let line = first.add(&body(5, 9, 99), NOON).expect("a longer one");
    drop(first);

    let again = memory(&folder).expect("it opens");
    let note = again.last_of(&file_name("portreeve/a")).expect("readable").expect("remembered");
    assert!(note.ends_with(&line), "{note}");
    assert_eq!(cosigned(&note, &key).expect("a note"), Some(NOON));
    assert_eq!(Checkpoint::open(&note, "portreeve/a", &signing().public()).expect("signed").size, 9);
    // Rolled back, and begun anew; and another history of the same length and longer.
    assert_eq!(refused(&again, &body(5, 7, 99)), Refusal::Conflict(9));
    assert_eq!(refused(&again, &body(0, 12, 99)), Refusal::Conflict(9));
    assert_eq!(refused(&again, &body(9, 9, 3)), Refusal::Conflict(9));
    assert_eq!(refused(&again, &body(9, 12, 3)), Refusal::Inconsistent);
    let after = again.last_of(&file_name("portreeve/a")).expect("readable").expect("remembered");
    assert_eq!(after, note, "a refusal changes nothing");
    again.add(&body(9, 12, 99), NOON).expect("its true continuation");
}

#[test]
fn lines_of_strangers_are_not_kept() {
    let (folder, _) = folder();
    let memory = memory(&folder).expect("it opens");
    let body = format!("{}— somebody.else AAAAAAAA\n", body(0, 5, 99));
    memory.add(&body, NOON).expect("cosigned");
    let note = memory.last_of(&file_name("portreeve/a")).expect("readable").expect("remembered");
    assert!(!note.contains("somebody.else"), "{note}");
}

/// Taken for nothing, a damaged memory would let any history pass.
#[test]
fn a_damaged_memory_is_refused_and_not_forgotten() {
    let (folder, _) = folder();
    let open = memory(&folder).expect("it opens");
    open.add(&body(0, 5, 99), NOON).expect("cosigned");
    let path = folder.path().join("witness/checkpoints").join(file_name("portreeve/a"));
    let whole = std::fs::read_to_string(&path).expect("readable");
    let by_log: String = whole.split_inclusive('\n').take(5).collect();
    for damaged in [String::new(), whole.replace("\n5\n", "\n4\n"), by_log] {
        std::fs::write(&path, &damaged).expect("written");
        let fault = open.add(&body(0, 7, 3), NOON).expect_err("nothing is cosigned");
        assert!(matches!(fault, Fault::Memory(Error::Damaged { .. })), "{damaged:?}: {fault:?}");
        let error = memory(&folder).err().expect("it does not open").to_string();
        assert!(error.contains("what is remembered of portreeve/a"), "{error}");
    }
}

#[test]
fn a_witness_keeps_its_key_and_says_which_file_is_wrong() {
    let (folder, _) = folder();
    let state = folder.path().join("witness");
    assert!(matches!(create(&RealDisk, &state, "w", &OsEntropy), Err(Error::Exists(_))));
    let other = folder.path().join("other");
    for name in ["", "a b", "a+b"] {
        assert!(matches!(create(&RealDisk, &other, name, &OsEntropy), Err(Error::Name(_))), "{name:?}");
    }
    std::fs::write(state.join("logs/b.vkey"), "portreeve/b\n").expect("written");
    let error = memory(&folder).err().expect("no key").to_string();
    assert!(error.contains("b.vkey") && error.contains("verifier key of a log"), "{error}");
    std::fs::copy(state.join("logs/a.vkey"), state.join("logs/b.vkey")).expect("copied");
    let error = memory(&folder).err().expect("twice").to_string();
    assert!(error.contains("same log"), "{error}");
}

/// The next request would show another history as consistent.
#[test]
fn what_cannot_be_remembered_is_not_cosigned() {
    let (folder, _) = folder();
    let open = memory(&folder).expect("it opens");
    open.add(&body(0, 5, 99), NOON).expect("cosigned");
    let name = file_name("portreeve/a");
    let before = open.last_of(&name).expect("readable");
    // Where the new one is written before it takes the old one's place.
    let in_the_way = folder.path().join("witness/checkpoints").join(format!("{name}.new"));
    std::fs::create_dir(&in_the_way).expect("made");
    let fault = open.add(&body(5, 9, 99), NOON).expect_err("it cannot be written");
    assert!(matches!(&fault, Fault::Memory(Error::Storage { what: "write", .. })), "{fault:?}");
    assert_eq!(open.last_of(&name).expect("readable"), before);
    assert_eq!(refused(&open, &body(9, 12, 99)), Refusal::Conflict(5));
    std::fs::remove_dir(&in_the_way).expect("removed");
    open.add(&body(5, 9, 99), NOON).expect("the same again");
}

/// Each of them consistent with what is remembered; one after the other they would roll the log back.
#[test]
fn of_many_at_once_one_is_cosigned() {
    let (folder, _) = folder();
    let open = memory(&folder).expect("it opens");
    open.add(&body(0, 5, 99), NOON).expect("cosigned");
    let bodies: Vec<(u64, String)> = (6..14).map(|size| (size, body(5, size, 99))).collect();
    let added = std::thread::scope(|scope| {
        let threads = bodies.iter().map(|(size, body)| (size, scope.spawn(|| open.add(body, NOON))));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|(size, thread)| (*size, thread.join().expect("it ends"))).collect::<Vec<_>>()
    });
    let cosigned: Vec<u64> = added.iter().filter(|(_, added)| added.is_ok()).map(|(size, _)| *size).collect();
    let [size] = cosigned[..] else { panic!("{added:?}") };
    for (_, other) in added.iter().filter(|(other, _)| *other != size) {
        assert!(matches!(other, Err(Fault::Refused(Refusal::Conflict(found))) if *found == size), "{other:?}");
    }
    let note = open.last_of(&file_name("portreeve/a")).expect("readable").expect("remembered");
    assert_eq!(Checkpoint::open(&note, "portreeve/a", &signing().public()).expect("signed").size, size);
}
