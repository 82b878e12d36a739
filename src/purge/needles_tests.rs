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

/// COPY doubles a backslash, `jsonb` escapes a quote, and only ASCII is folded: such a value would be missed.
#[test]
fn a_value_that_a_stream_may_spell_otherwise_is_none_and_is_counted() {
    let mut needles = Needles::new(&OsEntropy);
    let otherwise = [
        r"DOMAIN\anna.berg",
        "anna berg\tStationsweg 4",
        "anna berg\nStationsweg 4",
        "Anna \"Berg\" Stationsweg",
        "Anna O'Berg Stationsweg",
        "Anna <anna@example.com>",
        "Berg & Zonen Stationsweg",
        "\u{c5}sa Berg Stationsweg 4",
        "anna berg\u{7f}Stationsweg",
    ];
    for value in otherwise {
        assert!(!needles.add(value), "{value}");
    }
    assert!(!needles.add("\u{c5}sa"), "too short, whatever its letters");
    assert!(needles.add("Anna Berg, Stationsweg 4"));
    let kept = Needles::from_bytes(needles.to_bytes().expose()).expect("the same needles");
    for needles in [&needles, &kept] {
        assert_eq!((needles.len(), needles.left_out()), (1, otherwise.len()));
    }
}
