use super::super::fixture::signing;
use super::super::segment::{BatchHeader, Leaf};
use super::*;
use crate::audit::descriptor::{Descriptor, Place, Sealed};
use crate::audit::record::Kind;

/// A batch of leaves with these tags and times.
fn batch(number: u64, first: u64, leaves: &[(u8, i64)]) -> Batch {
    let header = BatchHeader {
        batch: number,
        first_position: first,
        leaves: leaves.len() as u32,
        length: 4096,
        written: Timestamp(0),
        // The digest of the one before, as it is made up here.
        previous: [if number == 40 { 1 } else { number as u8 - 1 }; 32],
    };
    let leaf = |(slot, (tag, at)): (u32, &(u8, i64))| {
        let place = Place {
            kind: Kind::Statement,
            slot,
            position: first + u64::from(slot),
            at: Timestamp(*at),
            segment: 3,
            tag: [*tag; 16],
            link: [0; 32],
        };
        let descriptor = Descriptor { place, values: Sealed::default(), skeleton: Sealed::default() };
        Leaf { descriptor, values: bytes::Bytes::new(), skeleton: bytes::Bytes::new(), offset: 0 }
    };
    Batch { header, digest: [number as u8; 32], leaves: (0..).zip(leaves).map(leaf).collect() }
}

pub(in crate::log) fn header() -> SegmentHeader {
    SegmentHeader {
        segment: 3,
        first_position: 100,
        first_batch: 40,
        created: Timestamp(7),
        length: 1 << 20,
        previous: [1; 32],
        root: [2; 32],
        origin: "portreeve/a".to_owned(),
    }
}

/// Seven leaves in three batches, of the tags 1, 5 and 9.
pub(in crate::log) fn batches() -> [(u64, Batch); 3] {
    [
        (4096, batch(40, 100, &[(9, 50), (1, -20)])),
        (8192, batch(41, 102, &[(9, 60)])),
        (16384, batch(42, 103, &[(5, 70), (1, 65), (9, 40), (9, 90)])),
    ]
}

pub(in crate::log) fn index() -> Index {
    let mut builder = Builder::new(&header());
    batches().iter().for_each(|(offset, batch)| builder.add(*offset, batch).expect("it fits"));
    builder.finish(&header().to_bytes(), &header()).expect("there are batches")
}

/// The same, in which what has the first tag has the second, and the other way round.
pub(in crate::log) fn with_tags_swapped(index: &Index) -> Index {
    let mut lists: Vec<Vec<u32>> = index.tags.iter().map(|(tag, _)| index.leaves_of(tag).to_vec()).collect();
    lists.swap(0, 1);
    let mut swapped = Index { leaves: lists.concat(), ..index.clone() };
    let mut end = 0;
    for ((_, last), list) in swapped.tags.iter_mut().zip(&lists) {
        end += list.len() as u32;
        *last = end;
    }
    swapped.head.body = sha256(&[&swapped.body()]);
    swapped
}

fn read(bytes: &[u8]) -> Option<Index> {
    let head = Head::parse(bytes, &signing(1).public())?;
    Index::parse(head, bytes.get(HEAD_BYTES..)?)
}

#[test]
fn an_index_says_where_a_tags_leaves_are_and_when_each_batch_is() {
    let index = index();
    let cases: [(u8, &[u32]); 5] = [(1, &[1, 4]), (5, &[3]), (9, &[0, 2, 5, 6]), (0, &[]), (255, &[])];
    for (tag, leaves) in cases {
        assert_eq!(index.leaves_of(&[tag; 16]), leaves, "{tag}");
    }
    let batches: Vec<_> =
        index.batches().map(|(span, of)| (span.offset(), of, span.earliest.0, span.latest.0)).collect();
    assert_eq!(batches, [(4096, 0..2, -20, 50), (8192, 2..3, 60, 60), (16384, 3..7, 40, 90)]);
    assert_eq!((index.head.earliest, index.head.latest), (Timestamp(-20), Timestamp(90)));
    assert_eq!((index.head.end_position(), index.head.batch, index.head.previous), (107, 43, [42; 32]));
    assert_eq!(read(&index.to_bytes(&signing(1))), Some(index));
}

#[test]
fn one_that_was_changed_anywhere_or_signed_by_another_is_none() {
    let bytes = index().to_bytes(&signing(1));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        assert_eq!(read(&changed), None, "byte {at}");
        assert_eq!(read(&bytes[..at]), None, "cut at byte {at}");
    }
    assert_eq!(read(&[bytes.as_slice(), &[0]].concat()), None, "longer");
    assert_eq!(read(&index().to_bytes(&signing(2))), None, "another key");
}

#[test]
fn a_batch_that_does_not_continue_the_one_before_is_in_no_index() {
    let changes: [(&str, fn(&mut BatchHeader)); 3] = [
        ("another number", |header| header.batch += 1),
        ("another position", |header| header.first_position += 1),
        ("behind other leaves", |header| header.previous[31] ^= 1),
    ];
    for ((what, change), which) in changes.iter().flat_map(|change| [0, 1, 2].map(|which| (change, which))) {
        let mut builder = Builder::new(&header());
        for (number, (offset, mut batch)) in batches().into_iter().enumerate() {
            if number == which {
                change(&mut batch.header);
                assert_eq!(builder.add(offset, &batch), None, "{what}, batch {which}");
                break;
            }
            builder.add(offset, &batch).expect("it continues");
        }
    }
}

#[test]
fn one_that_names_a_leaf_twice_or_out_of_order_is_none_however_it_is_signed() {
    let sound = index();
    let changes: [(&str, fn(&mut Index)); 8] = [
        ("a leaf twice", |index| index.leaves[0] = 4),
        ("a leaf that is not there", |index| index.leaves[0] = 7),
        ("leaves of a tag out of order", |index| index.leaves.swap(0, 1)),
        ("tags out of order", |index| index.tags[0].0 = [6; 16]),
        ("a tag without leaves", |index| index.tags[0].1 = 3),
        ("an empty batch", |index| index.spans[0].end = 3),
        ("batches out of order", |index| index.spans.swap(0, 1)),
        ("another time", |index| index.spans[0].earliest = Timestamp(-21)),
    ];
    for (what, change) in changes {
        let mut index = sound.clone();
        change(&mut index);
        index.head.body = sha256(&[&index.body()]);
        assert_eq!(read(&index.to_bytes(&signing(1))), None, "{what}");
    }
    assert_eq!(read(&sound.to_bytes(&signing(1))).as_ref(), Some(&sound));
}

#[test]
fn it_is_of_a_segment_that_the_next_one_goes_on_from() {
    let (index, block) = (index(), header().to_bytes());
    let next = SegmentHeader { segment: 4, first_position: 107, first_batch: 43, previous: [42; 32], ..header() };
    assert!(index.head.is_of(3, &block, &next));
    let others = [
        SegmentHeader { segment: 5, ..next.clone() },
        SegmentHeader { first_position: 106, ..next.clone() },
        SegmentHeader { first_batch: 42, ..next.clone() },
        SegmentHeader { previous: [41; 32], ..next.clone() },
    ];
    assert!(others.iter().all(|other| !index.head.is_of(3, &block, other)));
    assert!(!index.head.is_of(2, &block, &next));
    let other = SegmentHeader { created: Timestamp(8), ..header() };
    assert!(!index.head.is_of(3, &other.to_bytes(), &next));
}
