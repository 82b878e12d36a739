use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;
use crate::keyring::{Kept, generation};

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

/// The same each time, which nothing but a vector may be.
struct Sevens;

impl Entropy for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A keyring's files and what is in them, for every implementation: while it moves from one generation to the next.
fn vector() -> Value {
    let (acme, gone) = (Recipient::Customer(CustomerId(7)), Recipient::Customer(CustomerId(9)));
    let slot = |recipient: Recipient, part, period| Slot { recipient, part, period };
    let secret = |byte: u8| Box::new(Secret::new([byte; 32]));
    let private = [(slot(Recipient::Vendor, Part::Skeleton, 202_611), 1), (SLOT, 2)];
    let destroyed = [(Some(2025), true), (None, false)].map(|(period, was_there)| Destroyed {
        event: EventId([4; 16]),
        recipient: gone,
        part: Part::Values,
        period,
        at: Timestamp(1_795_305_600_000_000),
        was_there,
    });
    let keyring = Keyring {
        seed: Secret::new([3; 32]),
        revision: 300,
        private: private.iter().map(|(slot, byte)| (*slot, secret(*byte))).collect(),
        tags: [(Recipient::Vendor, secret(5)), (acme, secret(6))].into(),
        destroyed: destroyed.to_vec(),
    };
    let [before, now] = [(11, 8), (12, 9)].map(|(number, byte)| Generation { number, secret: Secret::new([byte; 32]) });
    let credential = Secret::new([10; 32]);
    let file = seal(&keyring, &credential, &now, &Sevens).expect("sealed");
    let customer = |recipient: Recipient| recipient.customer().map(|customer| customer.0);
    json!({
        "credential": hex(credential.expose()), "secrets": hex(&generation::encode(&[&before, &now])), "file": hex(&file),
        "generation": 12, "revision": 300, "seed": hex(&[3; 32]),
        "private": private.map(|(slot, byte)| json!({
            "customer": customer(slot.recipient), "part": slot.part.number(), "period": slot.period, "key": hex(&[byte; 32]),
        })),
        "tags": [{"customer": null, "key": hex(&[5; 32])}, {"customer": 7, "key": hex(&[6; 32])}],
        "destroyed": destroyed.map(|gone| json!({
            "event": hex(&gone.event.0), "customer": 9, "part": 1, "period": gone.period, "at": gone.at.0,
            "was_there": gone.was_there,
        })),
    })
}

/// Beside those of the log (`log/vectors_tests.rs`), which leave it as it is. `VECTORS=write` writes it.
#[test]
fn the_vector_of_the_keyring_comes_out_as_it_was() {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/audit/vectors.json");
    let mut all: Value = serde_json::from_str(&fs::read_to_string(PATH).expect("readable")).expect("JSON");
    if std::env::var_os("VECTORS").is_some() {
        all["keyring"] = vector();
        fs::write(PATH, serde_json::to_string_pretty(&all).expect("JSON") + "\n").expect("written");
    }
    assert_eq!(all["keyring"], vector());
}
