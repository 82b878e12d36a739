use super::*;
use crate::audit::descriptor::Place;
use crate::audit::public::Public;
use crate::clock::Timestamp;
use crate::log::segment::hash_of;

/// A leaf of a kind that is no record, with what it says.
fn leaf(kind: Kind) -> Leaf {
    let (tag, says) = match kind {
        Kind::DataKey => ([7; 16], [&[1, 0, 0, 0, 0xea, 7, 0, 0][..], &[9; 80]].concat()),
        _ => ([0; 16], Public::continued("portreeve/a", &[1; 32]).to_bytes()),
    };
    let place = Place { kind, slot: 0, position: 9, at: Timestamp(5), segment: 1, tag, link: [0; 32] };
    let len = u32::try_from(says.len()).expect("short");
    let values = Sealed { hash: hash_of(&says), len, key: 0 };
    let descriptor = Descriptor { place, values, skeleton: Sealed::default() };
    Leaf { descriptor, values: says.into(), skeleton: Bytes::new(), offset: 0 }
}

#[test]
fn what_is_no_record_has_nothing_that_only_records_have() {
    for kind in [Kind::DataKey, Kind::Continued] {
        assert!(Entry::of(leaf(kind)).is_some(), "{kind:?} as it is written");
        let changes: [(&str, fn(&mut Leaf)); 5] = [
            ("a link", |leaf| leaf.descriptor.place.link[31] = 1),
            ("a data key", |leaf| leaf.descriptor.values.key = 1),
            ("a data key of its skeleton", |leaf| leaf.descriptor.skeleton.key = 1),
            ("a skeleton", |leaf| leaf.descriptor.skeleton.len = 1),
            ("a skeleton's hash", |leaf| leaf.descriptor.skeleton.hash[0] = 1),
        ];
        for (what, change) in changes {
            let mut changed = leaf(kind);
            change(&mut changed);
            assert!(Entry::of(changed).is_none(), "{kind:?} with {what}");
        }
    }
    let mut somebodys = leaf(Kind::Continued);
    somebodys.descriptor.place.tag[0] = 1;
    assert!(Entry::of(somebodys).is_none());
    for (at, byte) in [(0, 3), (1, 1)] {
        let mut of_no_part = leaf(Kind::DataKey);
        let mut says = of_no_part.values.to_vec();
        says[at] = byte;
        of_no_part.values = says.into();
        assert!(Entry::of(of_no_part).is_none(), "of part {byte}");
    }
    let mut longer = leaf(Kind::DataKey);
    longer.values = [longer.values.as_ref(), &[0]].concat().into();
    assert!(Entry::of(longer).is_none());
}
