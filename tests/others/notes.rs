//! Keys, notes and checkpoints by Cloudflare's `signed_note` and `tlog_tiles`, which came from Go's `sumdb/note` and
//! `sumdb/tlog`: theirs open here, ours there, and both refuse the same.
//! Not here: the lines of witnesses (`witness.rs`).

use portreeve::audit::checkpoint::{Checkpoint, SigningKey, verifier_key};
use portreeve::audit::note::{Algorithm, VerifierKey};
use portreeve::secret::Secret;
use serde_json::json;

use super::asking::{Others, text};

const ORIGIN: &str = "portreeve/proxy-gate-1";

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32]))
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size, root: [size.to_le_bytes()[0]; 32] }
}

/// Their signer and verifier key.
fn their_keys(others: &mut Others, name: &str, seed: u8) -> (String, String) {
    let public = signing(seed).public();
    let question = json!({ "ask": "keys", "name": name, "seed": text(&[seed; 32]), "public": text(&public) });
    let told = others.ask(&question).expect("keys");
    let key = |member: &str| told[member].as_str().expect("a key").to_owned();
    (key("signer"), key("verifier"))
}

#[test]
fn keys_and_notes_are_the_same_to_the_byte() {
    let mut others = Others::start();
    for (seed, size) in (1..).zip([0, 1, 2, 255, 256, 257, 4321, u64::from(u32::MAX), i64::MAX as u64, u64::MAX]) {
        let (signer, verifier) = their_keys(&mut others, ORIGIN, seed);
        assert_eq!(verifier, verifier_key(ORIGIN, &signing(seed).public()));
        let parsed = VerifierKey::parse(&verifier).expect("a verifier key");
        assert_eq!((parsed.algorithm, parsed.public), (Algorithm::Ed25519, signing(seed).public()));

        let ours = checkpoint(size).sign(&signing(seed));
        let told = others.ask(&json!({ "ask": "open", "note": ours, "key": verifier })).expect("it opens");
        let root = text(&checkpoint(size).root);
        assert_eq!((&told["origin"], &told["size"], &told["root"]), (&json!(ORIGIN), &json!(size), &json!(root)));
        assert_eq!((&told["extension"], &told["signers"]), (&json!(""), &json!([ORIGIN])));

        let words = ours.split_once("\n\n").expect("a note").0;
        let theirs =
            others.ask(&json!({ "ask": "sign", "text": format!("{words}\n"), "signer": signer })).expect("signed");
        assert_eq!(theirs["note"], ours);
        assert_eq!(Checkpoint::open(&ours, ORIGIN, &signing(seed).public()), Ok(checkpoint(size)));
    }
}

/// Checkpoints by their signer: each reads here as it does there, or is refused in both places.
#[test]
fn what_they_sign_is_read_or_refused_as_they_read_or_refuse_it() {
    let mut others = Others::start();
    let (signer, verifier) = their_keys(&mut others, ORIGIN, 3);
    let root = text(&[7; 32]);
    let texts = [
        ("one", format!("{ORIGIN}\n5\n{root}\n"), true),
        ("none", format!("{ORIGIN}\n0\n{root}\n"), true),
        ("an extension", format!("{ORIGIN}\n5\n{root}\nmore\n"), true),
        ("extensions of any letters", format!("{ORIGIN}\n5\n{root}\n— more\n größer \u{7f}\n"), true),
        ("no root", format!("{ORIGIN}\n5\n"), false),
        ("no origin", format!("\n5\n{root}\n"), false),
        ("an empty extension", format!("{ORIGIN}\n5\n{root}\n\n"), false),
        ("an empty line between", format!("{ORIGIN}\n5\n{root}\n\nmore\n"), false),
        ("a zero before the size", format!("{ORIGIN}\n05\n{root}\n"), false),
        ("a sign before the size", format!("{ORIGIN}\n+5\n{root}\n"), false),
        ("a negative size", format!("{ORIGIN}\n-5\n{root}\n"), false),
        ("no size", format!("{ORIGIN}\n\n{root}\n"), false),
        ("a size with a space", format!("{ORIGIN}\n5 \n{root}\n"), false),
        ("too large a size", format!("{ORIGIN}\n18446744073709551616\n{root}\n"), false),
        ("a short root", format!("{ORIGIN}\n5\n{}\n", text(&[7; 31])), false),
        ("a long root", format!("{ORIGIN}\n5\n{}\n", text(&[7; 33])), false),
        ("a root without its end", format!("{ORIGIN}\n5\n{}\n", root.trim_end_matches('=')), false),
        ("a root with bits too many", format!("{ORIGIN}\n5\n{}\n", root.replace("c=", "d=")), false),
        ("a root of other letters", format!("{ORIGIN}\n5\n{}\n", text(&[255; 32]).replace('/', "_")), false),
    ];
    for (what, words, is_read) in texts {
        let signed = others.ask(&json!({ "ask": "sign", "text": words, "signer": signer })).expect("signed");
        let note = signed["note"].as_str().expect("a note");
        let theirs = others.ask(&json!({ "ask": "open", "note": note, "key": verifier }));
        let ours = Checkpoint::open(note, ORIGIN, &signing(3).public());
        assert_eq!((ours.is_ok(), theirs.is_ok()), (is_read, is_read), "{what}: {ours:?}, {theirs:?}");
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            assert_eq!(
                (json!(ours.size), json!(text(&ours.root))),
                (theirs["size"].clone(), theirs["root"].clone()),
                "{what}"
            );
        }
    }
}

/// Each byte changed in four ways, left out, and doubled, of a note with a stranger's line: both read it, or neither.
#[test]
fn mangled_notes_are_refused_by_both_or_by_neither() {
    let mut others = Others::start();
    let public = signing(1).public();
    let key = verifier_key(ORIGIN, &public);
    let stranger = VerifierKey { name: "w".to_owned(), algorithm: Algorithm::CosignatureV1, public };
    let note = format!("{}{}", checkpoint(1234).sign(&signing(1)), stranger.line(&[9; 72]));
    let (mut read, mut refused) = (0, 0);
    let mut compare = |bytes: Vec<u8>, what: &str| {
        // A reader of text never sees what is none.
        let Ok(mangled) = String::from_utf8(bytes) else { return };
        let theirs = others.ask(&json!({ "ask": "open", "note": mangled, "key": key }));
        let ours = Checkpoint::open(&mangled, ORIGIN, &public);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{what}: {ours:?}, {theirs:?}: {mangled:?}");
        if ours.is_ok() { read += 1 } else { refused += 1 }
    };
    let bytes = note.as_bytes();
    compare(bytes.to_vec(), "whole");
    for at in 0..bytes.len() {
        for flipped in [1, 2, 0x20, 0x40] {
            let mut changed = bytes.to_vec();
            changed[at] ^= flipped;
            compare(changed, &format!("byte {at} ^ {flipped}"));
        }
        let (before, rest) = bytes.split_at(at);
        compare([before, &rest[1..]].concat(), &format!("without byte {at}"));
        compare([before, &rest[..1], rest].concat(), &format!("byte {at} twice"));
        compare(before.to_vec(), &format!("cut at {at}"));
        compare([before, b"\n", rest].concat(), &format!("a line ends at {at}"));
    }
    for (what, more) in [
        ("a line feed behind it", "\n"),
        ("no signature line", "more\n"),
        ("a line without a name", "—  AAAAAAAA\n"),
        ("a name with a plus", "— a+b AAAAAAAA\n"),
        ("a name with another space", "— a\u{2003}b AAAAAAAA\n"),
        ("a signature of nothing", "— w AAAAAA==\n"),
        ("a signature of one byte", "— w AAAAAAA=\n"),
        ("less than a key id", "— w AAAA\n"),
        ("no signature", "— w \n"),
        ("no end", "— w AAAAAAAA"),
        ("a stranger", "— w AAAAAAAA\n"),
        ("a carriage return", "— w AAAAAAAA\r\n"),
    ] {
        compare(format!("{note}{more}").into_bytes(), what);
    }
    assert!(read > 100 && refused > 1000, "{read} {refused}");
}

/// Where we are stricter: the origin is the key's name, and each line by the log's own key must verify.
#[test]
fn what_only_we_refuse() {
    let mut others = Others::start();
    let (signer, verifier) = their_keys(&mut others, ORIGIN, 3);
    let words = format!("portreeve/another\n5\n{}\n", text(&[7; 32]));
    let signed = others.ask(&json!({ "ask": "sign", "text": words, "signer": signer })).expect("signed");
    let another = signed["note"].as_str().expect("a note").to_owned();
    let note = checkpoint(5).sign(&signing(3));
    let wrong = VerifierKey::parse(&verifier).expect("a key").line(&[9; 64]);
    for note in [another, format!("{note}{wrong}")] {
        others.ask(&json!({ "ask": "open", "note": note, "key": verifier })).expect("they read it");
        Checkpoint::open(&note, ORIGIN, &signing(3).public()).expect_err("we do not");
    }
}

#[test]
fn verifier_keys_are_refused_by_both() {
    let mut others = Others::start();
    let (_, key) = their_keys(&mut others, ORIGIN, 3);
    let note = checkpoint(5).sign(&signing(3));
    let mut compare = |key: &str| {
        let theirs = others.ask(&json!({ "ask": "open", "note": note, "key": key }));
        let ours = VerifierKey::parse(key).is_some_and(|key| Checkpoint::open(&note, &key.name, &key.public).is_ok());
        assert_eq!(ours, theirs.is_ok(), "{key:?}: {theirs:?}");
        ours
    };
    assert!(compare(&key));
    for at in 0..key.len() {
        let (before, rest) = key.split_at(at);
        let flipped = char::from(rest.as_bytes()[0] ^ 1);
        for wrong in [format!("{before}{}", &rest[1..]), format!("{before}{flipped}{}", &rest[1..]), before.to_owned()]
        {
            assert!(!compare(&wrong), "{wrong}");
        }
    }
    assert!(!compare("") && !compare("++"));
}
