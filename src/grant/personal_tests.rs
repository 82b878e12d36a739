use super::*;

type Check = fn(&str) -> Result<(), TextFault>;

/// Each row: a rule, texts that keep it, texts that do not.
#[test]
fn texts_are_held_to_their_form_exactly() {
    let long = |count| "a".repeat(count);
    let wide = |count| "é".repeat(count);
    let words = |count: usize| "wö ".repeat(count.div_ceil(3)).chars().take(count - 1).chain(['!']).collect::<String>();
    let place: Check = |text| check_place(text, "database");
    let table: [(&str, Check, Vec<String>, Vec<String>); 10] = [
        (
            "name",
            check_name,
            vec!["a".into(), "0-9_z".into(), long(63)],
            vec!["".into(), long(64), "Acme".into(), "a.b".into(), "a b".into(), "é".into(), "portreeve".into()],
        ),
        (
            "owner's name",
            check_owner_name,
            vec!["o".into(), "olga_9.x+y-z@acme.example".into(), long(254)],
            vec!["".into(), long(255), "Olga".into(), "a b".into(), "a/b".into(), "é".into(), "erased".into()],
        ),
        (
            "display name",
            check_display,
            vec!["A".into(), "Acme & Söhne".into(), wide(200)],
            vec!["".into(), wide(201), " Acme".into(), "Acme ".into(), "a\nb".into()],
        ),
        (
            "place",
            place,
            vec!["a".into(), "Main 1".into(), long(63)],
            vec!["".into(), long(64), wide(32), "a\tb".into()],
        ),
        (
            "tenant",
            check_tenant,
            vec!["7".into(), "a b".into(), wide(200)],
            vec!["".into(), wide(201), " 7".into(), "7 ".into(), "a\nb".into(), "erased".into()],
        ),
        (
            "schema",
            check_schema,
            vec!["acme".into(), "apg_x".into(), long(63)],
            ["", &long(64), "public", "information_schema", "portreeve", "erased", "pg_toast"]
                .map(str::to_owned)
                .into(),
        ),
        ("reason", check_reason, vec![words(10), words(2000)], vec!["".into(), words(9), words(2001)]),
        ("necessity", check_necessity, vec![words(10), words(2000)], vec!["".into(), words(9), words(2001)]),
        ("message", check_message, vec!["no".into(), words(2000)], vec!["".into(), " n ".into(), words(2001)]),
        (
            "ticket",
            check_ticket,
            vec!["1".into(), "SUP-1 of May".into(), wide(200)],
            vec!["".into(), " ".into(), wide(201), "a\nb".into()],
        ),
    ];
    for (what, check, kept, broken) in table {
        kept.iter().for_each(|text| assert_eq!(check(text), Ok(()), "{what} {text:?}"));
        broken.iter().for_each(|text| assert!(check(text).is_err(), "{what} {text:?}"));
    }
    let told = check_authority("").expect_err("nobody demands it").to_string();
    assert_eq!(told, "the authority must be 1 to 200 characters on one line, such as \"district court, case 12-345\"");
    assert_eq!(check_authority("district court, 12-345"), Ok(()));
}

#[test]
fn a_side_row_reads_back_in_one_spelling_and_is_never_printed() {
    let digest = vec![7; 32];
    let personal = Personal {
        name: Some("olga".to_owned()),
        token_digests: Some(vec![digest.clone().into(), vec![7; 31].into()]),
        subject: Some(digest.into()),
        ..Personal::default()
    };
    let bytes = personal.encode();
    assert_eq!(Personal::decode(&bytes).as_ref(), Some(&personal));
    assert_eq!(Personal::decode(&[&bytes, [0xf6].as_slice()].concat()), None, "something is left over");
    assert_eq!((personal.digests(), personal.subject()), (vec![[7; 32]], Ok(Some([7; 32]))), "31 bytes are no digest");
    assert_eq!(format!("{personal:?}"), "Personal(***)");
}
