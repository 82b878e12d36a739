//! Calling the verifier, and the vectors.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portreeve::audit::checkpoint::{SigningKey, verifier_key};
use portreeve::audit::consistency::{Roots, ranges_without};
use portreeve::audit::cosignature::Cosigner;
use portreeve::audit::descriptor::Descriptor;
use portreeve::audit::note::Note;
use portreeve::audit::proof::{Key, Proof, check_witnessed};
use portreeve::clock::Timestamp;
use portreeve::keyring::init::read_public_key;
use portreeve::log::reader::Reader;
use portreeve::secret::Secret;
use serde_json::Value;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the verifier says, a JSON value a line; or what it says is wrong.
pub(crate) fn verifier(verb: &str, arguments: &[&Path]) -> Result<Vec<Value>, String> {
    let program = root().join("target/venv/bin/python");
    assert!(program.exists(), "{} is missing: run make setup", program.display());
    let mut python = Command::new(program);
    python.arg("-B").arg(root().join("tests/verifier/verifier.py")).arg(verb).args(arguments).stdin(Stdio::null());
    let output = python.output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    if output.status.success() {
        let lines = String::from_utf8(output.stdout).expect("text");
        return Ok(lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect());
    }
    match said.strip_prefix("wrong: ") {
        Some(wrong) => Err(wrong.trim_end().to_owned()),
        None => panic!("the verifier failed: {said}"),
    }
}

/// Every leaf of the log in that directory.
pub(crate) fn leaves(dir: &Path) -> Vec<Descriptor> {
    Reader::open(dir).expect("readable").leaves().collect::<Result<_, _>>().expect("whole")
}

/// The position of a leaf that a proof lists.
pub(crate) fn position(listed: &Value) -> u64 {
    let leaf = STANDARD.decode(listed["leaf"].as_str().expect("base64")).expect("base64");
    Descriptor::parse(leaf.as_slice().try_into().expect("a leaf")).expect("a leaf").place.position
}

/// Leaves the first record that is shown out of a log's part of a proof, whose hashes are made again from the log itself, so
/// that all else is right; and says where it stands.
pub(crate) fn hide_first_record(log: &mut Value, leaves: &[Descriptor]) -> u64 {
    let listed = log["leaves"].as_array_mut().expect("leaves");
    let at = listed.iter().position(|leaf| leaf.get("values").is_some()).expect("a record");
    let hidden = position(&listed.remove(at));
    let kept: Vec<u64> = listed.iter().map(position).collect();
    let mut roots = Roots::of(&ranges_without(leaves.len() as u64, &kept));
    leaves.iter().for_each(|leaf| roots.push(leaf.leaf_hash()));
    log["hashes"] = roots.finish().expect("all").iter().map(|root| Value::from(STANDARD.encode(root))).collect();
    hidden
}

#[test]
fn the_vectors_agree() {
    let told = verifier("vectors", &[&root().join("src/audit/vectors.json")]).expect("all as it must be");
    assert_eq!(told[0]["groups"], 17);
}

/// It can fail: each vector that is changed is noticed.
#[test]
fn a_changed_vector_is_noticed() {
    let vectors = std::fs::read_to_string(root().join("src/audit/vectors.json")).expect("readable");
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("vectors.json");
    let changes = [
        ("/tree/roots/3", "the root of 3 leaves"),
        ("/tags/tags/1/tag", "the tag in 5"),
        ("/tags/links/1/link", "a link"),
        ("/sealed_parts/1/sealed", "a sealed part"),
        ("/leaf/hash", "the leaf's hash"),
        ("/index/digest", "the index is not that of its segment"),
        ("/index/public", "the index's signature"),
        ("/recipient_keys/0/signature", "the keyring's signature"),
        ("/checkpoint/root", "the checkpoint"),
        ("/cosignature/seed", "the witness's verifier key"),
        ("/headers/batch/previous", "the batch's header"),
        ("/data_key/data_key", "the data key"),
        ("/public/event", "the notice's id"),
        ("/public/continued", "the key of the log that goes on"),
        ("/keyring/credential", "the keyring file does not open"),
        ("/keyring/secrets", "no generation secrets"),
        ("/keyring/tags/1/key", "the keyring's tag keys"),
        ("/keyring/destroyed/0/event", "what the keyring destroyed"),
        ("/rotated/erased/0/log", "what the notices say is erased"),
        ("/log/records/1/values", "the records of the log"),
        ("/proof/tag_key", "portreeve/proxy-gate-1: a record can be left out: position 0 is not shown"),
    ];
    for (pointer, expected) in changes {
        let mut changed: Value = serde_json::from_str(&vectors).expect("JSON");
        let value = changed.pointer_mut(pointer).expect(pointer);
        let text = value.as_str().expect("hexadecimal digits");
        let flipped = if text.starts_with('0') { "1" } else { "0" };
        *value = format!("{flipped}{}", &text[1..]).into();
        std::fs::write(&path, changed.to_string()).expect("written");
        assert_eq!(verifier("vectors", &[&path]).expect_err(pointer), expected, "{pointer}");
    }
}

/// The proof of the vectors, cosigned: both readers ask for the witness, and both miss it.
#[test]
fn a_witness_that_is_asked_for_must_have_cosigned() {
    let vectors = std::fs::read_to_string(root().join("src/audit/vectors.json")).expect("readable");
    let mut proof = serde_json::from_str::<Value>(&vectors).expect("JSON")["proof"].take();
    let plain = proof.clone();
    let note = plain["logs"][0]["checkpoint"].as_str().expect("a note");
    let witness = Cosigner::new("witness.example/w1", &Secret::new([2; 32]));
    let line = witness.cosign(Note::read(note).expect("a note").text, Timestamp(1_795_262_460_000_000));
    proof["logs"][0]["checkpoint"] = format!("{note}{line}").into();
    let mut beside = plain.clone();
    beside["logs"][0]["witnessed"] = serde_json::json!({"checkpoint": format!("{note}{line}"), "consistency": []});
    let mut changed = proof.clone();
    changed["logs"][0]["checkpoint"] = format!("{note}{}", witness.cosign("another\n", Timestamp(0))).into();

    let folder = tempfile::tempdir().expect("a folder");
    let [path, log, by] = ["proof.json", "log.vkey", "witness.vkey"].map(|name| folder.path().join(name));
    let (origin, public) = ("portreeve/proxy-gate-1", SigningKey::from_seed(&Secret::new([1; 32])).public());
    std::fs::write(&log, verifier_key(origin, &public)).expect("written");
    std::fs::write(&by, witness.verifier_key().text()).expect("written");
    let key = Key { origin: Some(origin.to_owned()), public };
    for (proof, holds) in [(proof, true), (beside, true), (plain, false), (changed, false)] {
        std::fs::write(&path, proof.to_string()).expect("written");
        assert!(verifier("proof", &[&path, &log]).is_ok(), "without a witness it holds");
        assert_eq!(verifier("proof", &[&path, &log, &by]).is_ok(), holds, "{proof}");
        let ours = Proof::from_text(&proof.to_string()).expect("a proof");
        let checked = check_witnessed(&ours, std::slice::from_ref(&key), &[witness.verifier_key()]);
        assert_eq!(checked.faults.is_empty(), holds, "{:?}", checked.faults);
    }
}

/// A log of the vectors, as files.
fn lay_out(log: &Value, dir: &Path) {
    std::fs::create_dir(dir).expect("a folder");
    for (name, bytes) in log["files"].as_object().expect("files") {
        let bytes = STANDARD.decode(bytes.as_str().expect("base64")).expect("base64");
        std::fs::write(dir.join(name), bytes).expect("written");
    }
}

/// What is not listed could be a record: the first one of all, which nothing before it links on to, and those behind an end
/// that nothing shows.
#[test]
fn a_proof_that_leaves_out_the_first_record_or_ends_too_early_is_refused() {
    let vectors = std::fs::read_to_string(root().join("src/audit/vectors.json")).expect("readable");
    let vectors = serde_json::from_str::<Value>(&vectors).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let [path, key, dir] = ["proof.json", "log.vkey", "log"].map(|name| folder.path().join(name));
    lay_out(&vectors["log"], &dir);
    let public = SigningKey::from_seed(&Secret::new([1; 32])).public();
    std::fs::write(&key, verifier_key("portreeve/proxy-gate-1", &public)).expect("written");

    let mut without_first = vectors["proof"].clone();
    let hidden = hide_first_record(&mut without_first["logs"][0], &leaves(&dir));
    let mut too_early = vectors["proof"].clone();
    too_early["period"]["until"] = Value::Null;
    let log = &mut too_early["logs"][0];
    log["to"] = log["leaves"].as_array().expect("leaves").last().map(position).into();
    for (forged, theirs, ours) in [
        (
            without_first,
            "a record before 12 is left out: position 0 is not shown",
            "position 0: it is not shown, and could be a record that is left out",
        ),
        (too_early, "it does not go to the end of the log", "position 15: nothing shows that the period ends there"),
    ] {
        std::fs::write(&path, forged.to_string()).expect("written");
        let wrong = verifier("proof", &[&path, &key]).expect_err(theirs);
        assert!(hidden < 12 && wrong.ends_with(theirs), "{wrong}");
        let checked = check_witnessed(
            &Proof::from_text(&forged.to_string()).expect("a proof"),
            &[Key { origin: None, public }],
            &[],
        );
        assert_eq!(checked.faults.iter().map(|fault| fault.what.as_str()).collect::<Vec<_>>(), [ours]);
    }
}

/// A proof about somebody who is in no log, which lists every leaf.
fn about_nobody(dirs: &[&PathBuf], until: Option<i64>) -> Value {
    let part = |dir: &&PathBuf| {
        let leaves = leaves(dir);
        let listed: Vec<Value> =
            leaves.iter().map(|leaf| serde_json::json!({"leaf": STANDARD.encode(leaf.to_bytes())})).collect();
        let to = leaves.iter().take_while(|leaf| until.is_none_or(|until| leaf.place.at.0 < until)).count();
        serde_json::json!({
            "checkpoint": Reader::open(dir).expect("readable").note(), "earlier": null, "from": 0, "to": to,
            "leaves": listed, "hashes": [], "keys": [],
        })
    };
    serde_json::json!({
        "format": "portreeve-proof/1", "customer": {"number": 9, "name": "nobody"},
        "period": {"since": null, "until": until}, "tag_key": STANDARD.encode([9; 32]),
        "logs": dirs.iter().map(part).collect::<Vec<_>>(),
    })
}

/// The log that it goes on as must be there, unless the period ends before.
#[test]
fn a_proof_of_a_log_that_goes_on_as_one_that_is_not_there_is_refused() {
    let vectors = std::fs::read_to_string(root().join("src/audit/vectors.json")).expect("readable");
    let vectors = serde_json::from_str::<Value>(&vectors).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let dirs = ["old", "new"].map(|name| folder.path().join(name));
    let keys = ["old.vkey", "new.vkey"].map(|name| folder.path().join(name));
    for ((log, dir), key) in vectors["rotated"]["logs"].as_array().expect("logs").iter().zip(&dirs).zip(&keys) {
        lay_out(log, dir);
        std::fs::write(key, log["verifier_key"].as_str().expect("a key")).expect("written");
    }
    let [old, new] = &dirs;
    let ended = leaves(old).last().expect("a leaf").place.at.0;
    let path = folder.path().join("proof.json");
    for (dirs, until, holds) in [
        (&[old][..], None, false),
        (&[old], Some(ended + 1), false),
        (&[old], Some(ended), true),
        (&[old, new], None, true),
        (&[new, old], Some(ended + 1), true),
        (&[new], None, true),
    ] {
        let proof = about_nobody(dirs, until).to_string();
        std::fs::write(&path, &proof).expect("written");
        let of_them: Vec<&PathBuf> = dirs.iter().map(|dir| if *dir == old { &keys[0] } else { &keys[1] }).collect();
        let mut arguments: Vec<&Path> = vec![&path];
        arguments.extend(of_them.iter().map(|key| key.as_path()));
        let theirs = verifier("proof", &arguments).map(|told| told[0]["records"] == 0);
        let missed = "portreeve/proxy-gate-1: it goes on as another log, and the proof says nothing about that";
        assert_eq!(theirs, if holds { Ok(true) } else { Err(missed.to_owned()) }, "{dirs:?} {until:?}");
        let publics = of_them.iter().map(|key| read_public_key(key).expect("a key"));
        let publics: Vec<Key> = publics.map(|public| Key { origin: None, public }).collect();
        let checked = check_witnessed(&Proof::from_text(&proof).expect("a proof"), &publics, &[]);
        assert_eq!((checked.faults.len(), checked.broken_off.is_empty()), (0, holds), "{dirs:?} {until:?}");
    }
}
