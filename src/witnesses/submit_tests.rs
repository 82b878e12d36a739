use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::note::{Algorithm, VerifierKey};
use crate::secret::Secret;

fn endpoint() -> Endpoint {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let ca = folder.path().join("ca");
    std::fs::write(&ca, made.cert.pem()).expect("written");
    let key = VerifierKey { name: "w".to_owned(), algorithm: Algorithm::CosignatureV1, public: [7; 32] };
    Endpoint::new("https://localhost:1", key, &ca).expect("an address")
}

/// A log of nine leaves.
fn signed() -> Signed {
    let signing = SigningKey::from_seed(&Secret::new([1; 32]));
    let key = VerifierKey { name: "portreeve/a".to_owned(), algorithm: Algorithm::Ed25519, public: signing.public() };
    let checkpoint = Checkpoint { origin: key.name.clone(), size: 9, root: [9; 32] };
    Signed { writer: "a".to_owned(), dir: "a".into(), key, note: checkpoint.sign(&signing), checkpoint }
}

/// What follows from each answer, when the witness was taken to remember five leaves. Of a log as long and another a witness
/// by v1.0.0 says 409, one by what follows it 422.
#[test]
fn what_a_witness_answers_is_told_in_one_word() {
    let (endpoint, signed) = (endpoint(), signed());
    for (status, said, word) in [
        (409, "3\n", "remembers 3"),
        (409, "5\n", "forked"),
        (409, "10\n", "rolled-back"),
        (409, "05\n", "unreachable"),
        (409, "3", "unreachable"),
        (409, "", "unreachable"),
        (422, "", "forked"),
        (400, "no", "refused"),
        (403, "no", "refused"),
        (404, "no", "refused"),
        (500, "no", "unreachable"),
        (301, "no", "unreachable"),
        (200, "", "unreachable"),
        (200, "— w AAAAAAAA\n", "unreachable"),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let found = match answered(&endpoint, &signed, 5, (status, said.to_owned())) {
            Ok(Answered::Cosigned(note)) => panic!("{status} {said}: {note}"),
            Ok(Answered::Remembers(size)) => format!("remembers {size}"),
            Err(trouble) => trouble.word().to_owned(),
        };
        assert_eq!(found, word, "{status} {said:?}");
    }
}
