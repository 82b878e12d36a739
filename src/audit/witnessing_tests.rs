use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::consistency::{Roots, consistency_ranges};
use crate::audit::note::Algorithm;
use crate::audit::tree::{leaf_hash, root};
use crate::secret::Secret;

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32]))
}

fn log() -> VerifierKey {
    VerifierKey { name: "portreeve/a".to_owned(), algorithm: Algorithm::Ed25519, public: signing(1).public() }
}

/// Leaves that are the same up to `same`, and others behind.
fn leaves(size: u64, same: u64) -> Vec<Hash> {
    (0..size).map(|leaf| leaf_hash(&[u8::from(leaf >= same), u8::try_from(leaf).expect("few")])).collect()
}

fn checkpoint(leaves: &[Hash]) -> Checkpoint {
    Checkpoint { origin: "portreeve/a".to_owned(), size: leaves.len() as u64, root: root(leaves) }
}

fn request(old: u64, leaves: &[Hash]) -> AddCheckpoint {
    let mut roots = Roots::of(&consistency_ranges(old, leaves.len() as u64));
    leaves.iter().for_each(|leaf| roots.push(*leaf));
    let proof = roots.finish().expect("all passed");
    AddCheckpoint { old, proof, note: checkpoint(leaves).sign(&signing(1)) }
}

#[test]
fn a_body_is_read_as_it_was_written() {
    let from_three = request(3, &leaves(7, 7));
    assert!(!from_three.proof.is_empty());
    let body = from_three.to_body();
    assert!(body.starts_with("old 3\n"), "{body}");
    assert_eq!(AddCheckpoint::read(&body), Ok(from_three));
    let none = request(0, &leaves(7, 7)).to_body();
    assert!(none.starts_with("old 0\n\nportreeve/a\n7\n"), "{none}");
    for (from, to) in
        [("old 3\n", "old 03\n"), ("old 3\n", "new 3\n"), ("old 3\n", "old 3 \n"), ("old 3\n", "old 3\nxx\n")]
    {
        let refused = AddCheckpoint::read(&body.replacen(from, to, 1)).expect_err(to);
        assert_eq!(refused.status(), 400, "{to:?}");
    }
    let long = format!(
        "old 3\n{}\n{}",
        format!("{}\n", STANDARD.encode([0; 32])).repeat(64),
        checkpoint(&[]).sign(&signing(1))
    );
    assert_eq!(AddCheckpoint::read(&long), Err(Refusal::Malformed("the proof has more than 63 lines")));
}

/// Each answer that the specification asks for, in its order.
#[test]
fn a_witness_cosigns_only_what_begins_with_what_it_remembers() {
    let whole = leaves(9, 9);
    let remembers = checkpoint(&leaves(5, 5));
    let known = Some(&remembers);
    let key = log();
    let judge = |request: &AddCheckpoint, known| request.judge(Some(&key), known).map_err(|refusal| refusal.status());

    assert_eq!(judge(&request(0, &whole), None), Ok(checkpoint(&whole)), "the first it sees");
    assert_eq!(judge(&request(5, &whole), known), Ok(checkpoint(&whole)), "a longer one");
    assert_eq!(judge(&request(5, &leaves(5, 5)), known), Ok(remembers.clone()), "the same again");
    assert_eq!(judge(&request(0, &[]), None), Ok(checkpoint(&[])), "an empty log");

    assert_eq!(request(5, &whole).judge(None, known), Err(Refusal::UnknownLog));
    let by_another = AddCheckpoint { note: checkpoint(&whole).sign(&signing(2)), ..request(5, &whole) };
    assert_eq!(judge(&by_another, known), Err(403));
    assert_eq!(judge(&AddCheckpoint { old: 10, ..request(5, &whole) }, known), Err(400), "older than it is long");
    assert_eq!(judge(&AddCheckpoint { note: "x".to_owned(), ..request(5, &whole) }, known), Err(400));
    let spoilt = format!("{}{}", request(5, &whole).note, key.line(&[7; 64]));
    assert_eq!(judge(&AddCheckpoint { note: spoilt, ..request(5, &whole) }, known), Err(403), "a second one is wrong");
    let root = STANDARD.encode([7; 32]);
    for text in [format!("portreeve/a\n09\n{root}\n"), "portreeve/a\n9\nroot\n".to_owned(), "portreeve/a\n".to_owned()]
    {
        let note = format!("{text}\n{}", key.line(&signing(1).sign(text.as_bytes())));
        assert_eq!(judge(&AddCheckpoint { note, ..request(5, &whole) }, known), Err(400), "signed, and none: {text:?}");
    }
    for old in [0, 4, 6] {
        let refused = request(old, &whole).judge(Some(&key), known);
        assert_eq!(refused, Err(Refusal::Conflict(5)), "it does not remember {old}");
    }
    // A log that was rolled back is shorter than what is remembered.
    assert_eq!(request(3, &leaves(4, 4)).judge(Some(&key), known), Err(Refusal::Conflict(5)));
    let same_size = request(5, &leaves(5, 4));
    assert_eq!(same_size.judge(Some(&key), known), Err(Refusal::Conflict(5)), "as long, and another");
    assert_eq!(judge(&request(5, &leaves(9, 4)), known), Err(422), "another history");
    assert_eq!(judge(&AddCheckpoint { proof: Vec::new(), ..request(5, &whole) }, known), Err(422), "no proof");
    let with_proof = AddCheckpoint { proof: vec![[0; 32]], ..request(0, &whole) };
    assert_eq!(judge(&with_proof, None), Err(422), "hashes that prove nothing");
    let of_nothing = Checkpoint { root: [7; 32], ..checkpoint(&[]) }.sign(&signing(1));
    let of_nothing = AddCheckpoint { old: 0, proof: Vec::new(), note: of_nothing };
    assert_eq!(of_nothing.judge(Some(&key), None), Err(Refusal::Conflict(0)), "an empty log has one root");
}

#[test]
fn a_witness_answers_in_the_numbers_of_the_specification() {
    let refusals = [
        (Refusal::Malformed("x"), 400),
        (Refusal::NotSigned, 403),
        (Refusal::UnknownLog, 404),
        (Refusal::Conflict(1), 409),
        (Refusal::Inconsistent, 422),
    ];
    for (refusal, status) in refusals {
        assert_eq!(refusal.status(), status, "{refusal}");
    }
}
