use super::*;

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([byte; 32]))
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: "portreeve/proxy-gate-1".to_owned(), size: 1234, root: [7; 32] }
}

#[test]
fn a_note_has_the_form_other_tools_read() {
    let note = checkpoint().sign(&key(1));
    let lines: Vec<&str> = note.split('\n').collect();
    assert_eq!(lines[..4], ["portreeve/proxy-gate-1", "1234", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", ""]);
    assert!(lines[4].starts_with("— portreeve/proxy-gate-1 "));
    assert_eq!(lines[5..], [""]);
    assert_eq!(Checkpoint::open(&note, "portreeve/proxy-gate-1", &key(1).public()), Ok(checkpoint()));
    let with_witness = format!("{note}— witness.example AAAAAAAA\n");
    assert_eq!(Checkpoint::open(&with_witness, "portreeve/proxy-gate-1", &key(1).public()), Ok(checkpoint()));
}

/// The verifier key of the example in the Go package golang.org/x/mod/sumdb/note.
#[test]
fn a_verifier_key_is_the_one_other_tools_make() {
    let public = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").expect("base64");
    let public: [u8; 32] = public[1..].try_into().expect("32 bytes after the type");
    assert_eq!(
        verifier_key("PeterNeumann", &public),
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    );
}

#[test]
fn another_key_is_told_from_a_changed_note() {
    let note = checkpoint().sign(&key(1));
    let by_another = Checkpoint::open(&note, "portreeve/proxy-gate-1", &key(2).public());
    assert!(matches!(by_another, Err(Error::WrongKey { .. })), "{by_another:?}");
    let of_another = Checkpoint::open(&note, "portreeve/proxy-gate-2", &key(1).public());
    assert!(matches!(of_another, Err(Error::WrongKey { .. })), "{of_another:?}");
    let longer = note.replace("1234", "1235");
    let changed = Checkpoint::open(&longer, "portreeve/proxy-gate-1", &key(1).public());
    assert_eq!(changed, Err(Error::Changed("its signature does not verify")));
}

#[test]
fn no_byte_of_a_note_can_be_changed() {
    let note = checkpoint().sign(&key(1));
    for at in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[at] ^= 1;
        let opened =
            String::from_utf8(bytes).ok().map(|n| Checkpoint::open(&n, &checkpoint().origin, &key(1).public()));
        assert!(!matches!(opened, Some(Ok(_))), "byte {at} was changed and it opened");
        assert!(Checkpoint::open(note.get(..at).unwrap_or(""), &checkpoint().origin, &key(1).public()).is_err());
    }
}

#[test]
fn extension_lines_are_passed_over_unless_one_is_empty() {
    let sign = |text: &str| {
        format!("{text}\n{}", log_key("portreeve/a", &key(1).public()).line(&key(1).sign(text.as_bytes())))
    };
    let root = STANDARD.encode([7; 32]);
    let opened = |text: &str| Checkpoint::open(&sign(text), "portreeve/a", &key(1).public());
    let expected = Checkpoint { origin: "portreeve/a".to_owned(), size: 3, root: [7; 32] };
    assert_eq!(opened(&format!("portreeve/a\n3\n{root}\n")).as_ref(), Ok(&expected));
    assert_eq!(opened(&format!("portreeve/a\n3\n{root}\nmore\nand more\n")).as_ref(), Ok(&expected));
    for text in ["portreeve/a\n3\n", "\n3\nroot\n", "portreeve/a\n03\nroot\n"] {
        let text = text.replace("root", &root);
        assert!(matches!(opened(&text), Err(Error::Changed(_) | Error::WrongKey { .. })), "{text:?}");
    }
    let with_gap = opened(&format!("portreeve/a\n3\n{root}\n\nmore\n"));
    assert!(with_gap.is_err(), "{with_gap:?}");
}

/// By the key of the log, each of them must verify; by others, none need.
#[test]
fn a_signature_of_the_logs_own_that_does_not_verify_spoils_the_note() {
    let origin = "portreeve/proxy-gate-1";
    let (public, note) = (key(1).public(), checkpoint().sign(&key(1)));
    let opened = |note: &str| Checkpoint::open(note, origin, &public);
    let right = log_key(origin, &public).line(&key(1).sign(Note::read(&note).expect("a note").text.as_bytes()));
    assert_eq!(opened(&format!("{note}{right}")), Ok(checkpoint()));
    let nothing = format!("{note}{}", log_key(origin, &public).line(&[]));
    assert_eq!(opened(&nothing), Err(Error::Changed("a signature is too short")), "no note at all");
    for wrong in [log_key(origin, &public).line(&[9; 64]), log_key(origin, &public).line(&[9])] {
        for spoilt in [format!("{note}{wrong}"), note.replacen("\n\n", &format!("\n\n{wrong}"), 1)] {
            assert_eq!(opened(&spoilt), Err(Error::Changed("its signature does not verify")), "{spoilt}");
        }
    }
    let strange = log_key("portreeve/b", &public).line(&[9; 64]);
    assert_eq!(opened(&format!("{note}{strange}")), Ok(checkpoint()));
}
