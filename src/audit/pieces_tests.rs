use std::cell::Cell;

use proptest::prelude::*;

use super::*;

fn sought(text: &str) -> Sought {
    Sought::of(&text.to_lowercase()).expect("long enough")
}

fn taken(values: &[&str]) -> Texts {
    let mut texts = Texts::new();
    values.iter().for_each(|values| texts.take(values.as_bytes(), &[]));
    texts
}

#[test]
fn a_text_is_found_in_what_holds_it_whatever_its_case() {
    let texts = taken(&["SELECT * FROM Contacts WHERE id = 7", "SELECT * FROM contacts WHERE id = 8123"]);
    for held in ["select * from contacts", "CONTACTS WHERE", "id = 7", "id = 8123", "812", "Where"] {
        assert!(texts.pieces().may_hold(&sought(held)), "{held}");
    }
    for other in ["insert", "orders", "id = 9", "8124", "81234"] {
        assert!(!texts.pieces().may_hold(&sought(other)), "{other}");
    }
}

#[test]
fn of_a_text_without_three_characters_of_ascii_nothing_is_told() {
    for short in ["", "a", "ab", "äöü", "aä", "naïve"] {
        assert_eq!(Sought::of(short), None, "{short}");
    }
    assert_eq!(Sought::of("日本語"), None);
    assert!(Sought::of("日本語abc").is_some());
}

/// All that becomes a character of ASCII in lower case is one, but for two, which are taken care of.
#[test]
fn no_other_characters_become_such_of_ascii() {
    let becomes = |character: &char| !character.is_ascii() && character.to_lowercase().any(|lower| lower.is_ascii());
    let all: Vec<char> = (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(becomes).collect();
    assert_eq!(all, ['\u{130}', '\u{212a}']);
    for text in ["ber\u{212a}shire", "\u{130}stanbul", "5 \u{212a}"] {
        assert!(taken(&[text]).pieces().may_hold(&sought("anything at all")), "{text}");
    }
    assert!(!taken(&["Ä, ß, é, \u{131}, ſ, Ω"]).pieces().may_hold(&sought("anything")));
}

#[test]
fn what_is_very_long_may_hold_anything() {
    assert!(taken(&[&"x".repeat(LOOKED_THROUGH_MAX + 1)]).pieces().may_hold(&sought("something else")));
    assert!(!taken(&[&"x".repeat(LOOKED_THROUGH_MAX)]).pieces().may_hold(&sought("something else")));
    let (short, long) = ("x".repeat(1000), "x".repeat(LOOKED_THROUGH_MAX + 1));
    assert!(taken(&[&short, &long]).pieces().may_hold(&sought("something else")), "whatever was before");
}

#[test]
fn few_have_one_length_and_none_is_longer_than_the_map() {
    let content = |length: usize| {
        let mut texts = Texts::new();
        for number in 0..length {
            texts.take(format!("{number:05}").as_bytes(), &[]);
        }
        texts.into_pieces().to_content()
    };
    assert_eq!(content(0).len(), 255);
    assert_eq!(content(5).len(), 255);
    assert_eq!(content(9_000).len(), 2047);
    let mut all = Pieces::default();
    all.0.fill(u8::MAX);
    assert_eq!(all.to_content().len(), 8191);
}

#[test]
fn a_content_that_is_written_otherwise_is_refused() {
    for pieces in [taken(&[]), taken(&["SELECT 1"])].map(Texts::into_pieces) {
        let content = pieces.to_content();
        assert_eq!(Pieces::from_content(&content), Some(pieces));
        for at in 0..content.len() {
            let mut changed = content.to_vec();
            changed[at] ^= 1;
            let read = Pieces::from_content(&changed);
            assert!(read.is_none_or(|read| *read.to_content() == changed), "byte {at}");
        }
        assert_eq!(Pieces::from_content(&content[1..]), None);
        assert_eq!(Pieces::from_content(&[content.as_slice(), &[0]].concat()), None);
    }
}

/// Most texts, and now and then one with a character after which anything may be held.
fn record() -> impl Strategy<Value = String> {
    prop_oneof![19 => "[abAB \u{e9}]{0,12}", 1 => "[abAB ]{0,5}[\u{212a}\u{130}][abAB ]{0,5}"]
}

/// Whatever the records before were, each text that is in one is found, and so is what is in several.
#[test]
fn nothing_that_is_in_a_record_is_left_out() {
    let (cases, full, found) = (Cell::new(0), Cell::new(0), Cell::new(0));
    proptest!(|(
        records in proptest::collection::vec(record(), 1..9),
        from in 0_usize..8,
        length in 3_usize..6,
    )| {
        let mut texts = Texts::new();
        for record in &records {
            texts.take(record.as_bytes(), &[]);
        }
        let is_full = texts.pieces().0.iter().all(|byte| *byte == u8::MAX);
        cases.set(cases.get() + 1);
        full.set(full.get() + usize::from(is_full));
        for record in &records {
            let lower = record.to_lowercase();
            let part: String = lower.chars().skip(from).take(length).collect();
            if let Some(sought) = Sought::of(&part) {
                prop_assert!(texts.pieces().may_hold(&sought), "{part:?} of {record:?}");
                found.set(found.get() + usize::from(!is_full));
            }
        }
        let alone = |record: &String| { let mut one = Pieces::default(); one.add(record.as_bytes()); one };
        let together = records.iter().map(alone).fold(Pieces::default(), |mut all, one| {
            all.0.iter_mut().zip(one.0.iter()).for_each(|(all, one)| *all |= one);
            all
        });
        prop_assert!(together == *texts.pieces(), "what is looked at again is what changed, no less");
        prop_assert_eq!(Pieces::from_content(&together.to_content()), Some(together));
    });
    let (cases, full, found) = (cases.get(), full.get(), found.get());
    println!("{cases} cases, {full} of them full, {found} texts found in the others");
    // Where all bits are set, all comparisons hold.
    assert!(full > 0 && full < cases / 2 && found > cases / 4, "{cases} cases, {full} full, {found} texts found");
}
