use super::*;
use crate::entropy::OsEntropy;

#[test]
fn a_needle_is_found_wherever_it_stands_and_nothing_else_is() {
    let mut needles = Needles::new(&OsEntropy);
    assert!(needles.add("anna.berg42@example.com"));
    assert!(needles.add("6F9619FF-8B86-D011-B42D-00CF4FC964FF"));
    for dull in ["short", "aaaaaaaaaaaaaaaa", "", "           x"] {
        assert!(!needles.add(dull), "{dull}");
    }
    assert_eq!(needles.len(), 2);
    let kept = Needles::from_bytes(needles.to_bytes().expose()).expect("the same needles");
    for (text, expected) in [
        ("anna.berg42@example.com", 1),
        ("7\tmail: <Anna.Berg42@EXAMPLE.com>, again anna.berg42@example.com\t\\N", 2),
        ("{\"id\": \"6f9619ff-8b86-d011-b42d-00cf4fc964ff\"}", 1),
        ("6f9619ff8b86d011b42d00cf4fc964ff", 1),
        ("\\\\x616e6e612e6265726734324065786d", 0),
        ("\\\\x616e6e612e62657267343240657861 6d706c652e636f6d", 0),
        ("\\\\x616e6e612e626572673432406578616d706c652e636f6d00", 1),
        ("anna.berg43@example.com anna.berg42@example.co", 0),
        ("", 0),
    ] {
        assert_eq!(needles.count_in(text.as_bytes()), expected, "{text}");
        assert_eq!(kept.count_in(text.as_bytes()), expected, "kept: {text}");
    }
}

#[test]
fn what_is_kept_holds_no_value() {
    let mut needles = Needles::new(&OsEntropy);
    assert!(needles.add("anna.berg42@example.com"));
    let kept = needles.to_bytes();
    let text = String::from_utf8_lossy(kept.expose());
    assert!(!text.contains("anna") && !text.contains("example"));
    assert!(Needles::from_bytes(&kept.expose()[..kept.expose().len() - 1]).is_none(), "cut short");
    assert!(Needles::from_bytes(b"").is_none());
}

/// Each row: a value, and texts that spell it.
#[test]
fn a_value_is_found_in_the_ways_in_which_text_spells_it() {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    for (value, texts) in [
        (
            r"DOMAIN\anna.berg",
            vec![r"x\tDOMAIN\\anna.berg", r#"{"a": "domain\\anna.berg"}"#, r#"{"a": "domain\\\\anna.berg"}"#],
        ),
        ("anna berg\tStationsweg 4", vec!["anna berg\\tstationsweg 4", "anna%20berg%09Stationsweg%204"]),
        ("Anna \"Berg\" Stationsweg", vec![r#"{"Anna \"Berg\" Stationsweg"}"#, "Anna &quot;Berg&quot; Stationsweg"]),
        ("Anna O'Berg Stationsweg", vec!["where name = 'Anna O''Berg Stationsweg'", "anna O&#39;Berg stationsweg"]),
        ("Anna <anna@example.com>", vec!["Anna &lt;anna@example.com&gt;", "Anna+%3Canna%40example.com%3E"]),
        (
            "\u{c5}sa Berg Stationsweg 4",
            vec![
                "\u{e5}sa berg stationsweg 4",
                "\u{c5}SA BERG STATIONSWEG 4",
                r"\u00c5sa Berg Stationsweg 4",
                r"\\u00e5sa berg stationsweg 4",
                "%C3%85sa%20Berg%20Stationsweg%204",
            ],
        ),
        ("Anna.Berg42@example.com", vec!["416e6e612e4265726734324065786d616d", "anna.berg42%40EXAMPLE.com"]),
    ] {
        let mut needles = Needles::new(&OsEntropy);
        assert!(needles.add(value), "{value}");
        let kept = Needles::from_bytes(needles.to_bytes().expose()).expect("the same needles");
        for needles in [&needles, &kept] {
            let is_other = |text: &str| text == "416e6e612e4265726734324065786d616d";
            for text in &texts {
                assert_eq!(needles.count_in(text.as_bytes()) > 0, !is_other(text), "{value}: {text}");
            }
            for before in ["", "x", "xy", "xyz"] {
                let whole = format!("{before}{value} and more");
                for text in [STANDARD.encode(&whole), URL_SAFE.encode(&whole)] {
                    assert!(needles.count_in(text.as_bytes()) > 0, "{value} after {before:?}: {text}");
                }
            }
            let hexadecimal: String = value.bytes().map(|byte| format!("{byte:02X}")).collect();
            assert!(needles.count_in(hexadecimal.as_bytes()) > 0, "{value}: {hexadecimal}");
            assert_eq!(needles.count_in(b"somebody else's, of whom nothing is known"), 0);
        }
    }
}

#[test]
fn what_text_may_spell_in_still_other_ways_is_counted_and_spellings_are_few() {
    let mut needles = Needles::new(&OsEntropy);
    for value in
        [r"DOMAIN\anna.berg", "anna berg\nStationsweg 4", "\u{c5}sa Berg Stationsweg 4", "Anna Berg, Stationsweg 4"]
    {
        assert!(needles.add(value), "{value}");
        assert!(spellings(value).len() <= 48, "{value}: {}", spellings(value).len());
    }
    assert!(!needles.add("\u{c5}sa"), "too short, whatever its letters");
    let kept = Needles::from_bytes(needles.to_bytes().expose()).expect("the same needles");
    for needles in [&needles, &kept] {
        assert_eq!((needles.len(), needles.special()), (4, 3));
    }
}
