//! Answers, a line of JSON for a line of JSON, what other people's software says: Cloudflare's `signed_note` (C2SP
//! signed-note) and `tlog_tiles` (tlog-checkpoint, tlog-tiles, proofs of RFC 6962), Mullvad's `sigsum` (cosignatures).
//! Not here: Portreeve, which asks (`tests/others/asking.rs`). An answer has `refused` if they refuse.

mod tiles;

use std::error::Error;
use std::io::{BufRead, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList, key_id};
use sigsum::{PolicyBuilder, PublicKey, SigsumSignature};
use tlog_tiles::{Checkpoint, Hash};

type Answer = Result<Value, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let question: Value = serde_json::from_str(&line?)?;
        let answer = answer(&question).unwrap_or_else(|refused| json!({ "refused": refused.to_string() }));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(question: &Value) -> Answer {
    match text(question, "ask")? {
        "open" => {
            let (checkpoint, signers) = open(question)?;
            let root = STANDARD.encode(checkpoint.hash().0);
            let (origin, extension) = (checkpoint.origin(), checkpoint.extension());
            Ok(
                json!({ "origin": origin, "size": checkpoint.size(), "root": root, "extension": extension, "signers": signers }),
            )
        }
        "sign" => sign(question),
        "keys" => keys(question),
        "cosigned" => cosigned(question),
        "key" => known_key(question),
        "tiles" => tiles::check(question),
        "prove" => tiles::prove(question),
        "included" => {
            let proof = hashes(question, "proof")?;
            let (size, root) = (number(question, "size")?, hash(question, "root")?);
            tlog_tiles::check_record(&proof, size, root, number(question, "index")?, hash(question, "leaf")?)?;
            Ok(json!({}))
        }
        "consistent" => {
            let proof = hashes(question, "proof")?;
            let (size, root) = (number(question, "size")?, hash(question, "root")?);
            tlog_tiles::check_tree(&proof, size, root, number(question, "old")?, hash(question, "old_root")?)?;
            Ok(json!({}))
        }
        other => Err(format!("nobody knows what {other} asks").into()),
    }
}

/// The checkpoint of a note that the key signed, and the names of all whose lines stand below it.
fn open(question: &Value) -> Result<(Checkpoint, Vec<String>), Box<dyn Error>> {
    let note = Note::from_bytes(text(question, "note")?.as_bytes())?;
    let verifier = StandardVerifier::new(text(question, "key")?).map_err(|error| format!("{error}"))?;
    let (verified, others) = note.verify(&VerifierList::new(vec![Box::new(verifier)]))?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| format!("{error}"))?;
    let signers = verified.iter().chain(&others).map(|signature| signature.name().to_owned()).collect();
    Ok((checkpoint, signers))
}

/// A note of any text, signed by them.
fn sign(question: &Value) -> Answer {
    let mut note = Note::new(text(question, "text")?.as_bytes(), &[])?;
    note.add_sigs(&[&StandardSigner::new(text(question, "signer")?)?])?;
    Ok(json!({ "note": String::from_utf8(note.to_bytes())? }))
}

/// Their signer and verifier key of a name and a seed.
fn keys(question: &Value) -> Answer {
    let (name, seed) = (text(question, "name")?, bytes(question, "seed")?);
    let public = [vec![1], bytes(question, "public")?].concat();
    let key = STANDARD.encode([vec![1], seed].concat());
    let signer = format!("PRIVATE+KEY+{name}+{:08x}+{key}", key_id(name, &public));
    // It derives the public key itself and compares the id.
    StandardSigner::new(&signer)?;
    let verifier = format!("{name}+{:08x}+{}", key_id(name, &public), STANDARD.encode(&public));
    StandardVerifier::new(&verifier).map_err(|error| format!("{error}"))?;
    Ok(json!({ "signer": signer, "verifier": verifier }))
}

/// Whether a witness cosigned the checkpoint of a Sigsum log: the line is found by `signed_note`, key id and all, and what it
/// signs is put together and verified by `sigsum`, with the log's own signature and the proof that a leaf is in it.
fn cosigned(question: &Value) -> Answer {
    let (checkpoint, _) = open(question)?;
    let note = Note::from_bytes(text(question, "note")?.as_bytes())?;
    let (witness, log): (PublicKey, PublicKey) = (key(question, "witness_public")?, key(question, "log_public")?);
    let name = text(question, "witness")?;
    let id = key_id(name, &[&[4], witness.as_ref()].concat());
    let verifier = StandardVerifier::new(text(question, "key")?).map_err(|error| format!("{error}"))?;
    let (own, others) = note.verify(&VerifierList::new(vec![Box::new(verifier)]))?;
    let own = own.first().ok_or("the log did not sign")?;
    let line = others.iter().find(|line| line.name() == name && line.id() == id).ok_or("no line of the witness")?;
    let (time, signature) = line.signature().split_first_chunk::<8>().ok_or("no time in the line")?;
    let time = u64::from_be_bytes(*time);
    let proof: String = hashes(question, "proof")?.iter().map(|hash| format!("node_hash={}\n", hex(&hash.0))).collect();
    let keyhash = |key: &PublicKey| format!("{:x}", sigsum::Hash::new(key));
    let ascii = format!(
        "version=2\nlog={}\nleaf={} {}\n\nsize={}\nroot_hash={}\nsignature={}\n\
         cosignature={} {time} {}\n\nleaf_index={}\n{proof}",
        keyhash(&log),
        keyhash(&log),
        hex(&bytes(question, "leaf_signature")?),
        checkpoint.size(),
        hex(&checkpoint.hash().0),
        hex(own.signature()),
        keyhash(&witness),
        hex(signature),
        number(question, "index")?,
    );
    let proof = SigsumSignature::from_ascii(&ascii).map_err(|error| format!("{error:?}"))?;
    let mut policy = PolicyBuilder::new();
    policy.add_log(log.clone(), None).map_err(|error| format!("{error:?}"))?;
    policy.add_witness("w".to_owned(), witness, None).map_err(|error| format!("{error:?}"))?;
    policy.set_quorum("w".to_owned()).map_err(|error| format!("{error:?}"))?;
    let message = sigsum::Hash::from(array(bytes(question, "message")?)?);
    sigsum::verify(&message, &proof, &[log], &policy.build())?;
    Ok(json!({ "time": time }))
}

/// The public key of a log or witness of Sigsum's own test policy, by its hash.
fn known_key(question: &Value) -> Answer {
    let wanted = sigsum::Hash::from(array(bytes(question, "hash")?)?);
    let policy = &sigsum::policy::SIGSUM_TEST_2025_3;
    let log = policy.logs().map(|log| log.pubkey).find(|key| sigsum::Hash::new(key) == wanted);
    let key =
        log.or_else(|| policy.get_witness_by_keyhash(&wanted).map(|witness| witness.pubkey)).ok_or("no such key")?;
    Ok(json!({ "key": STANDARD.encode(key.as_ref()) }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text<'a>(question: &'a Value, member: &str) -> Result<&'a str, Box<dyn Error>> {
    question[member].as_str().ok_or_else(|| format!("the question has no {member}").into())
}

fn number(question: &Value, member: &str) -> Result<u64, Box<dyn Error>> {
    question[member].as_u64().ok_or_else(|| format!("the question has no {member}").into())
}

fn bytes(question: &Value, member: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(STANDARD.decode(text(question, member)?)?)
}

fn array(bytes: Vec<u8>) -> Result<[u8; 32], Box<dyn Error>> {
    bytes.try_into().map_err(|_| "it has not 32 bytes".into())
}

fn key(question: &Value, member: &str) -> Result<PublicKey, Box<dyn Error>> {
    Ok(PublicKey::from(array(bytes(question, member)?)?))
}

fn hash(question: &Value, member: &str) -> Result<Hash, Box<dyn Error>> {
    Ok(Hash::parse_hash(text(question, member)?)?)
}

fn hashes(question: &Value, member: &str) -> Result<Vec<Hash>, Box<dyn Error>> {
    let hashes = question[member].as_array().ok_or_else(|| format!("the question has no {member}"))?;
    hashes.iter().map(|hash| Ok(Hash::parse_hash(hash.as_str().ok_or("a hash is no text")?)?)).collect()
}
