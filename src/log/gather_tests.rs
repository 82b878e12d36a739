use super::*;
use crate::audit::record::Skeleton;

fn words(staff: u64) -> Words {
    Words::of(&Skeleton { staff: Some(staff), sqlstate: Some("42P01".to_owned()), ..Skeleton::default() }, None)
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
    let (mut gathered, mut room) = (None, 100);
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
    assert_eq!(room, 100 - 9, "each word takes its place, until the segment is finished");
}

#[test]
fn what_was_sealed_is_no_longer_right_when_more_comes() {
    let (mut gathered, mut room) = (None, 100);
    Gathered::note(&mut gathered, &words(1), stands(0, 2026, 5), &mut room);
    let block = Block { tag: [1; 16], key: 4, from: 5, sealed: Vec::new() };
    gathered.as_mut().expect("gathered").sealed = Some(block);
    Gathered::note(&mut gathered, &words(1), stands(0, 2026, 6), &mut room);
    assert_eq!(gathered.expect("gathered").sealed, None);
}

#[test]
fn of_too_many_words_there_is_no_block() {
    let (mut gathered, mut room) = (None, usize::MAX);
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
    let (mut other, mut room) = (None, 1);
    Gathered::note(&mut other, &words(1), stands(0, 2026, 5), &mut room);
    assert_eq!((kept(other.as_ref()), room), ((5, None), 0), "of all together there are too many");
}
