use super::*;
use crate::audit::checkpoint::Checkpoint;

fn note() -> String {
    let key = SigningKey::from_seed(&Secret::new([1; 32]));
    Checkpoint { origin: "portreeve/a".to_owned(), size: 1234, root: [7; 32] }.sign(&key)
}

fn text() -> String {
    Note::read(&note()).expect("a note").text.to_owned()
}

fn cosigner(seed: u8) -> Cosigner {
    Cosigner::new("witness.example/w1", &Secret::new([seed; 32]))
}

/// The message of the specification's example.
#[test]
fn what_is_signed_is_what_the_specification_says() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    assert_eq!(message(1_679_315_147, text), format!("cosignature/v1\ntime 1679315147\n{text}"));
}

#[test]
fn a_cosignature_tells_by_whom_and_when() {
    let line = cosigner(2).cosign(&text(), Timestamp(1_679_315_147_999_999));
    let both = format!("{}{line}", note());
    let key = cosigner(2).verifier_key();
    assert_eq!(cosigned(&both, &key), Ok(Some(Timestamp(1_679_315_147_000_000))));
    assert_eq!(cosigned_by_lines(&text(), &line, &key), Ok(Some(Timestamp(1_679_315_147_000_000))));
    assert_eq!(cosigned(&note(), &key), Ok(None));
    assert_eq!(cosigned(&both, &cosigner(3).verifier_key()), Ok(None), "another key is nobody's");
    assert_eq!(key.text().split('+').next(), Some("witness.example/w1"));
    let later = format!("{both}{}", cosigner(2).cosign(&text(), Timestamp(1_700_000_000_000_000)));
    assert_eq!(cosigned(&later, &key), Ok(Some(Timestamp(1_700_000_000_000_000))), "the newest counts");
    let timeless = [&[0; 8][..], &cosigner(2).key.sign(message(0, &text()).as_bytes())].concat();
    let timeless = cosigned(&format!("{}{}", note(), key.line(&timeless)), &key);
    assert_eq!(timeless, Err(Error::Changed("a cosignature is of no time that there is")));
    let ancient = format!("{}{}", note(), cosigner(2).cosign(&text(), Timestamp(-5)));
    assert_eq!(cosigned(&ancient, &key), Ok(Some(Timestamp(1_000_000))));
}

#[test]
fn nothing_of_it_can_be_changed() {
    let both = format!("{}{}", note(), cosigner(2).cosign(&text(), Timestamp(1_679_315_147_000_000)));
    let key = cosigner(2).verifier_key();
    for at in 0..both.len() {
        let mut bytes = both.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let of_log = Checkpoint::open(&changed, "portreeve/a", &SigningKey::from_seed(&Secret::new([1; 32])).public());
        let found = cosigned(&changed, &key);
        assert!(of_log.is_err() || !matches!(found, Ok(Some(_))), "byte {at} was changed and it held");
    }
}
