use super::super::Claim;
use super::*;
use crate::audit::pieces::Sought;
use crate::audit::record::{Bind, Kind, Skeleton, Values};
use crate::clock::Timestamp;

fn words(staff: u64) -> Item {
    let skeleton = Skeleton { staff: Some(staff), sqlstate: Some("42P01".to_owned()), ..Skeleton::default() };
    let (kind, at, claim, words) = (Kind::Statement, Timestamp(0), Claim::NONE, Words::of(&skeleton, None));
    let values = format!("SELECT {staff}").into_bytes();
    Item { kind, at, to: None, values, skeleton: Vec::new(), words, shown: Vec::new(), claim, waiter: None }
}

fn room_for(words: usize) -> Room {
    Room { words, texts: 2 }
}

fn stands(segment: u64, period: u32, position: u64) -> Stands {
    Stands { segment, period, position }
}

fn kept(gathered: Option<&Gathered>) -> (u64, Option<usize>) {
    let gathered = gathered.expect("gathered");
    (gathered.from, gathered.words.as_ref().map(BTreeSet::len))
}

#[test]
fn words_are_those_of_one_segment_and_period() {
    let (mut gathered, mut room) = (None, room_for(100));
    for (segment, period, position, staff, expected) in [
        (0, 2026, 5, 1, (5, 2)),
        (0, 2026, 6, 1, (5, 2)),
        (0, 2026, 9, 2, (5, 3)),
        // Their keys go at another time.
        (0, 2027, 11, 1, (11, 2)),
        (0, 2026, 12, 1, (12, 2)),
        (1, 2026, 20, 3, (20, 2)),
    ] {
        Gathered::note(&mut gathered, &words(staff), stands(segment, period, position), &mut room);
        let (from, count) = expected;
        assert_eq!(kept(gathered.as_ref()), (from, Some(count)), "position {position}");
        assert!(gathered.as_ref().is_some_and(|gathered| gathered.is_of(segment)));
    }
    assert_eq!(room.words, 100 - 9, "each word takes its place, until the segment is finished");
}

#[test]
fn what_was_sealed_is_no_longer_right_when_more_comes() {
    let (mut gathered, mut room) = (None, room_for(100));
    Gathered::note(&mut gathered, &words(1), stands(0, 2026, 5), &mut room);
    let had = gathered.as_mut().expect("gathered");
    had.sealed = Some(Block { tag: [1; 16], key: 4, from: 5, sealed: Vec::new(), texts: None });
    had.sealed_texts = Some(SealedTexts { key: 3, sealed: Vec::new() });
    Gathered::note(&mut gathered, &words(1), stands(0, 2026, 6), &mut room);
    let had = gathered.expect("gathered");
    assert_eq!((had.sealed, had.sealed_texts), (None, None));
}

#[test]
fn of_too_many_words_there_is_no_block() {
    let (mut gathered, mut room) = (None, room_for(usize::MAX));
    for staff in 0..WORDS_MAX as u64 - 1 {
        Gathered::note(&mut gathered, &words(staff), stands(0, 2026, staff), &mut room);
    }
    assert_eq!(kept(gathered.as_ref()), (0, Some(WORDS_MAX)));
    Gathered::note(&mut gathered, &words(3), stands(0, 2026, 9000), &mut room);
    assert_eq!(kept(gathered.as_ref()), (0, Some(WORDS_MAX)), "no new one");
    Gathered::note(&mut gathered, &words(WORDS_MAX as u64), stands(0, 2026, 9001), &mut room);
    assert_eq!(kept(gathered.as_ref()), (0, None));
    Gathered::note(&mut gathered, &words(1), stands(0, 2026, 9002), &mut room);
    assert_eq!(kept(gathered.as_ref()), (0, None), "it stays so");
    let (mut other, mut room) = (None, room_for(1));
    Gathered::note(&mut other, &words(1), stands(0, 2026, 5), &mut room);
    assert_eq!((kept(other.as_ref()), room.words), ((5, None), 0), "of all together there are too many");
}

#[test]
fn texts_are_those_of_one_segment_and_period_and_of_so_many_recipients() {
    let (mut gathered, mut room) = (None, room_for(100));
    let sought = |text: &str| Sought::of(text).expect("long enough");
    let may_hold = |gathered: &Option<Gathered>, text: &str| {
        let texts = gathered.as_ref().and_then(|gathered| gathered.texts.as_ref());
        texts.map(|texts| texts.pieces().may_hold(&sought(text)))
    };
    Gathered::note(&mut gathered, &words(1), stands(0, 2026, 5), &mut room);
    Gathered::note(&mut gathered, &words(2), stands(0, 2026, 6), &mut room);
    for (text, holds) in [("select 1", true), ("select 2", true), ("select 3", false)] {
        assert_eq!(may_hold(&gathered, text), Some(holds), "{text}");
    }
    Gathered::note(&mut gathered, &words(3), stands(0, 2027, 7), &mut room);
    assert_eq!(may_hold(&gathered, "select 1"), Some(false), "their keys go at another time");
    assert_eq!(room.texts, 0);
    Gathered::note(&mut gathered, &words(4), stands(1, 2027, 8), &mut room);
    assert_eq!(may_hold(&gathered, "select 4"), None, "of too many recipients there are none");
    assert_eq!(kept(gathered.as_ref()), (8, Some(2)), "but words");
}

#[test]
fn binary_values_and_what_is_no_text_are_taken_as_they_read() {
    let bind = |type_oid, format, value: &[u8]| Bind { type_oid, format, value: Some(value.to_vec()) };
    let number = bind(23, 1, &4_711_i32.to_be_bytes());
    let further = Values { binds: Some(vec![bind(25, 0, b"plain"), bind(17, 0, &[0xfe, 0xff])]), ..Values::default() };
    let values = Values { binds: Some(vec![number]), further: Some(vec![further]), ..Values::default() };
    let shown = shown(&values);
    let mut texts = Texts::new();
    texts.take(&[], &shown);
    let may_hold = |text| texts.pieces().may_hold(&Sought::of(text).expect("long enough"));
    assert!(may_hold("4711"));
    assert!(may_hold(r"\xfeff (type 17)"));
    assert!(!may_hold("plain"), "that stands in the record as it is");
    assert!(!may_hold(r"711\x"), "one behind the other they are no text");
}
