use super::*;

fn of(text: &str) -> Vec<Token> {
    tokens(text).expect("it ends").into_iter().map(|(token, _)| token).collect()
}

#[test]
fn words_texts_and_parameters() {
    let (word, text) = (|text: &str| Token::Word(text.to_owned()), |text: &str| Token::Text(text.to_owned()));
    assert_eq!(
        of("request acme-2 FOR '2 hours' -- soon\n REASON 'it''s; \"so\"' /* ' */ CODE $12;"),
        [
            word("request"),
            word("acme-2"),
            word("FOR"),
            text("2 hours"),
            word("REASON"),
            text("it's; \"so\""),
            word("CODE"),
            Token::Parameter(11),
            Token::End
        ]
    );
    assert_eq!(
        of("\"a\"\"b\" = é$ $0"),
        [text("a\"b"), Token::Sign('='), word("é"), Token::Sign('$'), Token::Parameter(usize::MAX)]
    );
    assert_eq!(of(" -- nothing"), []);
    assert_eq!(tokens("REASON 'it"), Err(Unended::Text));
    assert_eq!(tokens("SHOW /* grants"), Err(Unended::Comment));
}

#[test]
fn codes_are_not_kept() {
    for (typed, kept) in [
        ("REQUEST acme CODE 493201 TICKET '123456'", "REQUEST acme CODE ****** TICKET '123456'"),
        ("request acme code '493201'", "request acme code ******"),
        ("REQUEST acme CODE\n4932", "REQUEST acme CODE\n******"),
        ("REQUEST acme CODE $1", "REQUEST acme CODE $1"),
        ("REQUEST acme CODDE 493201", "REQUEST acme CODDE ******"),
        ("REQUEST acme CODE is '493201'", "REQUEST acme CODE ****** ******"),
        ("493201", "******"),
        ("REQUEST acme REASON 'it CODE 493201", "REQUEST acme REASON 'it CODE ******"),
        ("REQUEST acme TICKET '12345' REASON 'since 1234567'", "REQUEST acme TICKET '12345' REASON 'since 1234567'"),
        ("", ""),
    ] {
        assert_eq!(without_codes(typed), kept);
    }
}
