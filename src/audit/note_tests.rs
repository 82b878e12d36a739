use super::*;
use crate::audit::checkpoint::{Checkpoint, SigningKey};
use crate::secret::Secret;

fn note(size: u64) -> String {
    let key = SigningKey::from_seed(&Secret::new([1; 32]));
    Checkpoint { origin: "portreeve/a".to_owned(), size, root: [7; 32] }.sign(&key)
}

#[test]
fn a_verifier_key_is_read_as_it_was_written() {
    for algorithm in [Algorithm::Ed25519, Algorithm::CosignatureV1] {
        let key = VerifierKey { name: "example.com/w1".to_owned(), algorithm, public: [9; 32] };
        assert_eq!(VerifierKey::parse(&format!("{}\n", key.text())), Some(key));
    }
    let text = VerifierKey { name: "w".to_owned(), algorithm: Algorithm::Ed25519, public: [9; 32] }.text();
    let (id, other) = (text.get(2..10).expect("an id"), "00000000");
    for wrong in [
        text.replace(id, other),
        text.replacen("w+", "v+", 1),
        text.replacen("w+", "+", 1),
        text.replacen("w+", "w w+", 1),
        text.get(..text.len() - 4).expect("a part of it").to_owned(),
        String::new(),
    ] {
        assert_eq!(VerifierKey::parse(&wrong), None, "{wrong}");
    }
}

#[test]
fn checkpoints_are_found_one_after_the_other_and_what_was_cut_is_passed_over() {
    let (first, second, third) = (note(1), note(2), note(3));
    assert_eq!(checkpoints_in(""), Vec::<String>::new());
    assert_eq!(checkpoints_in(&format!("{first}{second}")), [first.clone(), second.clone()]);
    let spoilt = first.replacen("\n1\n", "\n1\u{7}\n", 1);
    assert_eq!(
        checkpoints_in(&format!("{first}\n{spoilt}\n{second}")),
        [first.clone(), second.clone()],
        "no note at all"
    );
    let cosigned = format!("{second}— witness {}\n", "A".repeat(104));
    assert_eq!(checkpoints_in(&format!("{first}\n{cosigned}")), [first.clone(), cosigned]);
    for at in 0..second.len() {
        let Some(cut) = second.get(..at) else { continue };
        assert_eq!(checkpoints_in(&format!("{first}{cut}")), [first.as_str()], "cut at {at}");
        let found = checkpoints_in(&format!("{first}{cut}\n{third}"));
        assert!(found.contains(&first) && found.contains(&third), "cut at {at}: {found:?}");
        assert!(found.iter().all(|note| [&first, &second, &third].contains(&note)), "cut at {at}: {found:?}");
    }
}

#[test]
fn what_no_note_may_hold_is_refused() {
    let whole = note(1);
    assert_eq!(Note::read(&whole).map(|note| note.signatures.len()), Ok(1));
    for (from, to) in [
        ("\n1\n", "\r\n1\n"),
        ("\n1\n", "\n1\t\n"),
        ("\n1\n", "\n1\u{0}\n"),
        ("— portreeve/a ", "—  "),
        ("— portreeve/a ", "— portreeve+a "),
        ("— portreeve/a ", "— portreeve\u{2003}a "),
        ("— portreeve/a ", "- portreeve/a "),
        ("— portreeve/a ", "— "),
        ("— portreeve/a ", "— w AAAAAA==\n— portreeve/a "),
        ("\n\n—", "\n\n\n—"),
    ] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole);
        // A text may have empty lines: then it is another text.
        let read = Note::read(&changed);
        let is_another = read.as_ref().is_ok_and(|note| note.text.ends_with("\n\n"));
        assert!(read.is_err() || is_another, "{to:?}");
    }
    let strangers: String = (0..15).map(|number| format!("— stranger/{number} AAAAAAAA\n")).collect();
    let many = Note::read(&format!("{whole}{strangers}")).map(|note| note.signatures.len());
    assert_eq!(many, Ok(16), "every reader takes so many");
}

/// The example of the specification (C2SP signed-note v1.0.0, "Verifier keys").
#[test]
fn the_specifications_own_note_verifies() {
    let key = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let note = "This is an example message.\n\n— example.com/foo \
                Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let parsed = VerifierKey::parse(key).expect("a verifier key");
    assert_eq!((parsed.text().as_str(), parsed.algorithm), (key, Algorithm::Ed25519));
    let read = Note::read(note).expect("a note");
    assert_eq!(read.text, "This is an example message.\n");
    let [signature] = read.signatures.as_slice() else { panic!("{read:?}") };
    assert!(signature.is_by(&parsed) && parsed.verifies(read.text.as_bytes(), &signature.bytes));
    assert_eq!(format!("{}\n{}", read.text, parsed.line(&signature.bytes)), note);
}
