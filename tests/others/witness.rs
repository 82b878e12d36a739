//! Cosignatures by Mullvad's `sigsum`: Sigsum's logs have checkpoints and cosignatures of the same C2SP form, so that a log
//! of ours that is named as one of theirs, with a leaf as theirs are, is verified by it down to the witness; and lines that
//! real witnesses wrote below a real log verify here.
//! Not here: how a witness decides (`tests/witness.rs`).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portreeve::audit::checkpoint::{Checkpoint, SigningKey, verifier_key};
use portreeve::audit::cosignature::{Cosigner, cosigned};
use portreeve::audit::note::{Algorithm, Note, VerifierKey};
use portreeve::audit::tree::{inclusion_proof, leaf_hash, root};
use portreeve::clock::Timestamp;
use portreeve::secret::Secret;
use serde_json::{Value, json};

use super::asking::{Others, hex, text, texts, unhex};

const WITNESS: &str = "witness.example/w1";

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as many bytes")
}

/// As the logs of Sigsum are named: by the hash of their key.
fn origin(public: &[u8; 32]) -> String {
    format!("sigsum.org/v1/tree/{}", hex(&sha256(public)))
}

/// A question about a log of so many leaves, that one of a signed message among them, cosigned at that time.
fn question(size: usize, index: usize, at: Timestamp) -> Value {
    let key = SigningKey::from_seed(&Secret::new([1; 32]));
    let (origin, message) = (origin(&key.public()), [7; 32]);
    let checksum = sha256(&message);
    let signature = key.sign_bytes(b"sigsum.org/v1/tree-leaf\0", &checksum);
    let own = [checksum, signature.to_vec(), sha256(&key.public())].concat();
    let leaf = |number: usize| if number == index { leaf_hash(&own) } else { leaf_hash(&number.to_le_bytes()) };
    let leaves: Vec<_> = (0..size).map(leaf).collect();
    let proof = inclusion_proof(&leaves, index as u64).expect("there is such a leaf");
    let note = Checkpoint { origin: origin.clone(), size: size as u64, root: root(&leaves) }.sign(&key);
    let witness = Cosigner::new(WITNESS, &Secret::new([2; 32]));
    let line = witness.cosign(Note::read(&note).expect("a note").text, at);
    json!({
        "ask": "cosigned", "note": format!("{note}{line}"), "key": verifier_key(&origin, &key.public()),
        "witness": WITNESS, "witness_public": text(&witness.verifier_key().public), "log_public": text(&key.public()),
        "message": text(&message), "leaf_signature": text(&signature), "proof": texts(&proof), "index": index,
    })
}

#[test]
fn a_cosignature_of_ours_is_verified_with_the_log_and_the_leaf() {
    let mut others = Others::start();
    let at = Timestamp(1_795_262_460_999_999);
    for (size, index) in [(1, 0), (2, 0), (2, 1), (255, 254), (256, 3), (257, 256), (3000, 2047)] {
        let told = others.ask(&question(size, index, at)).unwrap_or_else(|wrong| panic!("{index} of {size}: {wrong}"));
        assert_eq!(told["time"], 1_795_262_460);
    }
    let right = question(257, 3, at);
    let note = right["note"].as_str().expect("a note");
    let of_another = question(256, 3, at)["note"].as_str().expect("a note").to_owned();
    let line = |note: &str| note.trim_end().rsplit_once('\n').expect("lines").1.to_owned();
    let changes: [(&str, &str, Value); 6] = [
        ("no line of the witness", "note", note.replace(&line(note), "— witness.example/w2 AAAAAAAA").into()),
        ("the line of another checkpoint", "note", note.replace(&line(note), &line(&of_another)).into()),
        ("another time", "note", note.replace(&line(note), &moved(&line(note))).into()),
        ("another name", "witness", "witness.example/w2".into()),
        ("another witness", "witness_public", text(&SigningKey::from_seed(&Secret::new([3; 32])).public()).into()),
        ("another leaf", "message", text(&[8; 32]).into()),
    ];
    for (what, member, value) in changes {
        let mut changed = right.clone();
        changed[member] = value;
        others.ask(&changed).expect_err(what);
    }
}

/// The same line a second later.
fn moved(line: &str) -> String {
    let (name, signature) = line.rsplit_once(' ').expect("a line");
    let mut bytes = STANDARD.decode(signature).expect("base64");
    bytes[11] ^= 1;
    format!("{name} {}", text(&bytes))
}

/// From the documentation of `sigsum` 0.3.0: a log of Sigsum's, and three of its eight witnesses.
const LOG: &str = "1643169b32bef33a3f54f8a353b87c475d19b6223cbb106390d10a29978e1cba";
const SIZE: u64 = 381_382;
const ROOT: &str = "901fefc6f1d978d2c2bedb82d448755bcdc7e8626e67ac7ee80873771be9b667";
const SIGNED: &str = "8a8bf1fca60d1344fb6e2106e8f8906af833d3d75a21fe8d3af72be459f7a11f\
                      2ae6606ec6344a13b851cd454b3d281a2b1ae47732f7a8d6afbcc0134d1a2d00";
const TIME: u64 = 1_770_193_051;
const COSIGNED: [(&str, &str); 3] = [
    (
        "1c997261f16e6e81d13f420900a2542a4b6a049c2d996324ee5d82a90ca3360c",
        "a1ee1182b265204499cbef3ae59f3ea228b928b3cbda8817a4ed5a12776823e9\
         ad8ef1ce986b9b98d9954f1798ec4315c1820704600a231c69038ccc9726d202",
    ),
    (
        "70b861a010f25030de6ff6a5267e0b951e70c04b20ba4a3ce41e7fba7b9b7dfc",
        "f5953f406f5fd97d9c9d1328b00b07bf434a5eb76d8da359aeda98c414de29ca\
         1ced1872971ea0f137508a7bb05c7d322548409425677af96433706319bc0801",
    ),
    (
        "d960fcff859a34d677343e4789c6843e897c9ff195ea7140a6ef382566df3b65",
        "b44c41f75566850003f7f655a6dc7bb38bb980e8e2c383871e29883805d3adec\
         7782a08388b9386d9718380a4bb6900043e2b46080cff0fa75a500c36ef9df0a",
    ),
];

#[test]
fn lines_of_real_witnesses_verify_here() {
    let mut others = Others::start();
    let mut key = |hash: &str| {
        let told =
            others.ask(&json!({ "ask": "key", "hash": text(&unhex(hash)) })).expect("a key of Sigsum's test policy");
        array::<32>(&STANDARD.decode(told["key"].as_str().expect("a key")).expect("base64"))
    };
    let public = key(LOG);
    let origin = origin(&public);
    assert!(origin.ends_with(LOG));
    let log = VerifierKey { name: origin.clone(), algorithm: Algorithm::Ed25519, public };
    let words = format!("{origin}\n{SIZE}\n{}\n", text(&unhex(ROOT)));
    let mut note = format!("{words}\n{}", log.line(&unhex(SIGNED)));
    for (hash, signature) in COSIGNED {
        let name = format!("sigsum.org/v1/witness/{hash}");
        let witness = VerifierKey { name, algorithm: Algorithm::CosignatureV1, public: key(hash) };
        assert_eq!(cosigned(&note, &witness), Ok(None));
        note.push_str(&witness.line(&[&TIME.to_be_bytes()[..], &unhex(signature)].concat()));
        assert_eq!(cosigned(&note, &witness), Ok(Some(Timestamp(TIME as i64 * 1_000_000))), "{hash}");
    }
    let opened = Checkpoint::open(&note, &origin, &public).expect("signed by the log");
    assert_eq!((opened.size, opened.root), (SIZE, array(&unhex(ROOT))));
}
