use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

use super::*;

fn stored() -> Verifier {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
    verifier_from_password("pencil", &salt, ITERATIONS)
}

/// RFC 7677, section 3.
#[test]
fn the_exchange_of_the_rfc() {
    let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let (challenged, challenge) =
        challenge_with(first, stored(), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").expect("well formed");
    let expected = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert_eq!(challenge, expected);
    let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let answer = challenged.prove(last, "user").expect("the right password");
    assert_eq!(answer, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/// The keys that belong to the password, salt and iterations of RFC 7677.
#[test]
fn a_verifier_reads_back_as_postgresql_stores_it() {
    let text = stored().to_stored();
    let expected = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    assert_eq!(text, expected);
    assert_eq!(text.parse::<Verifier>().map(|verifier| verifier.to_stored()), Ok(text));
    for wrong in ["", "pencil", "md5abc", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$4096:$AA==:AA=="] {
        let refused = wrong.parse::<Verifier>().expect_err(wrong);
        assert!(wrong.is_empty() || !refused.to_string().contains("pencil"));
    }
    assert_eq!(format!("{:?}", stored()), "Verifier(***)");
}

/// Runs the exchange against postgres-protocol's client, which is the one used towards the upstream.
fn sign_in(verifier: Verifier, password: &str) -> Result<(), Fault> {
    let mut client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let (challenged, challenge) = challenge(client.message(), verifier, [7; NONCE_BYTES])?;
    client.update(&challenge).expect("the client takes the challenge");
    let answer = challenged.prove(client.message(), "jane")?;
    client.finish(&answer).expect("the client knows us");
    Ok(())
}

#[test]
fn a_real_client_signs_in_with_the_right_password_only() {
    assert_eq!(sign_in(stored(), "pencil"), Ok(()));
    assert_eq!(sign_in(stored(), "pencils"), Err(wrong_password("jane")));
    // "é" composed and decomposed are one password (SASLprep).
    let composed = verifier_from_password("caf\u{e9}", b"0123456789abcdef", ITERATIONS);
    assert_eq!(sign_in(composed.clone(), "cafe\u{301}"), Ok(()));
    assert!(composed.fits("cafe\u{301}") && !composed.fits("cafe"));
}

#[test]
fn an_unknown_user_gets_the_same_answers() {
    let mock = || Verifier::mock(&[1; 32], "jane", ITERATIONS);
    assert_eq!(sign_in(mock(), "pencil"), Err(wrong_password("jane")));
    assert_eq!(mock().salt(), mock().salt());
    assert_eq!((mock().salt().len(), mock().iterations()), (16, ITERATIONS));
    assert_ne!(mock().salt(), Verifier::mock(&[1; 32], "joe", ITERATIONS).salt());
    assert_ne!(mock().salt(), Verifier::mock(&[2; 32], "jane", ITERATIONS).salt());
    // Whoever gets a password for a while is shown what was shown before.
    let real = verifier_from_password("pencil", &Verifier::mock_salt(&[1; 32], "jane"), ITERATIONS);
    assert_eq!((real.salt(), real.iterations()), (mock().salt(), mock().iterations()));
    assert!(sign_in(real, "pencil").is_ok());
}

#[test]
fn a_first_message_that_asks_for_more_is_refused() {
    let cases: [(&[u8], &str, &str); 11] = [
        (b"p=tls-server-end-point,,n=,r=abc", "0A000", "channel binding"),
        (b"n,a=root,n=,r=abc", "0A000", "authorization identity"),
        (b"n,,m=x,n=,r=abc", "0A000", "extension"),
        (b"x,,n=,r=abc", "08P01", "channel binding flag"),
        (b"n,,r=abc", "08P01", "\"n=\" expected"),
        (b"n,,n=", "08P01", "\"r=\" expected"),
        (b"n,,n=,r=", "08P01", "nonce"),
        (b"n,,n=,r=a\x07", "08P01", "nonce"),
        (b"", "08P01", "channel binding flag"),
        (b"n", "08P01", "channel binding flag"),
        (b"\xff", "08P01", "UTF-8"),
    ];
    for (first, sqlstate, part) in cases {
        let fault = challenge(first, stored(), [0; NONCE_BYTES]).expect_err(part);
        assert_eq!(fault.sqlstate(), sqlstate, "{fault}");
        assert!(fault.to_string().contains(part), "{fault}");
    }
}

#[test]
fn a_final_message_must_repeat_what_was_agreed() {
    let nonce = format!("abc{}", STANDARD.encode([0; NONCE_BYTES]));
    let proof = STANDARD.encode([0; 32]);
    let cases = [
        (format!("c=biws,r={nonce},p={proof}"), "28P01"),
        (format!("c=eSws,r={nonce},p={proof}"), "08P01"),
        (format!("c=biws,r=abc,p={proof}"), "08P01"),
        (format!("c=biws,r={nonce}"), "08P01"),
        (format!("c=biws,r={nonce},p=AAAA"), "08P01"),
        (format!("c=biws,r={nonce},p=?"), "08P01"),
        (String::new(), "08P01"),
    ];
    for (last, sqlstate) in cases {
        let (challenged, _) = challenge(b"n,,n=,r=abc", stored(), [0; NONCE_BYTES]).expect("well formed");
        let fault = challenged.prove(last.as_bytes(), "jane").expect_err("refused");
        assert_eq!(fault.sqlstate(), sqlstate, "{last}");
    }
    let (challenged, _) = challenge(b"y,,n=,r=abc", stored(), [0; NONCE_BYTES]).expect("y is taken");
    let last = format!("c=eSws,r={nonce},p={proof}");
    assert_eq!(challenged.prove(last.as_bytes(), "jane"), Err(wrong_password("jane")));
}

#[test]
fn the_frames_of_sign_in_are_read() {
    let frame = |body: &[u8]| {
        let length = u32::try_from(body.len() + 4).expect("a short body");
        Frame::new([b"p", &length.to_be_bytes()[..], body].concat().into()).expect("one frame")
    };
    let initial = frame(b"SCRAM-SHA-256\0\0\0\0\x03n,,");
    assert_eq!(initial_response(&initial), Ok(Bytes::from_static(b"n,,")));
    assert_eq!(response(&frame(b"c=biws")), Ok(Bytes::from_static(b"c=biws")));
    for wrong in [&b"SCRAM-SHA-256-PLUS\0\0\0\0\0"[..], b"SCRAM-SHA-256\0\0\0\0\x04n,,", b"SCRAM-SHA-256\0", b"x"] {
        assert_eq!(initial_response(&frame(wrong)).map_err(|fault| fault.sqlstate()), Err("08P01"));
    }
    let sync = Frame::new(Bytes::from_static(b"S\0\0\0\x04")).expect("one frame");
    assert!(response(&sync).is_err());
}
