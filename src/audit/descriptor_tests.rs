use super::*;

fn descriptor() -> Descriptor {
    Descriptor {
        place: Place {
            kind: Kind::Statement,
            slot: 3,
            position: 258,
            at: Timestamp(-2),
            segment: 5,
            tag: [6; 16],
            link: [7; 32],
        },
        values: Sealed { hash: [8; 32], len: 9, key: 10 },
        skeleton: Sealed { hash: [11; 32], len: 12, key: 13 },
    }
}

#[test]
fn a_descriptor_has_this_layout() {
    let mut expected = vec![1, 12, 0, 0, 3, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0];
    expected.extend_from_slice(&[254, 255, 255, 255, 255, 255, 255, 255, 5, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend_from_slice(&[6; 16]);
    expected.extend_from_slice(&[7; 32]);
    assert_eq!(descriptor().place.to_bytes(), expected.as_slice());
    expected.extend_from_slice(&[8; 32]);
    expected.extend_from_slice(&[11; 32]);
    expected.extend_from_slice(&[9, 0, 0, 0, 12, 0, 0, 0]);
    expected.extend_from_slice(&[10, 0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(descriptor().to_bytes(), expected.as_slice());
    assert_eq!(Descriptor::parse(&descriptor().to_bytes()), Ok(descriptor()));
}

#[test]
fn what_this_version_does_not_know_is_refused_by_name() {
    for (at, field) in [(0, "version"), (1, "kind"), (2, "reserved byte"), (3, "reserved byte")] {
        let mut bytes = descriptor().to_bytes();
        bytes[at] = 200;
        let refused = Descriptor::parse(&bytes).expect_err(field);
        assert!(refused.to_string().starts_with(&format!("the descriptor at position 258 has an unknown {field} (")));
    }
}

#[test]
fn whatever_is_read_is_written_back_the_same() {
    proptest::proptest!(|(bytes in proptest::collection::vec(proptest::num::u8::ANY, DESCRIPTOR_BYTES))| {
        for number in 0..=u8::MAX {
            let mut leaf: [u8; DESCRIPTOR_BYTES] = bytes.as_slice().try_into().expect("as many");
            leaf[..4].copy_from_slice(&[VERSION, number, 0, 0]);
            let read = Descriptor::parse(&leaf).ok();
            proptest::prop_assert_eq!(read.map(|read| read.place.kind), Kind::from_number(number), "kind {}", number);
            proptest::prop_assert!(read.is_none_or(|read| read.to_bytes() == leaf), "{:?}", read);
        }
    });
}
