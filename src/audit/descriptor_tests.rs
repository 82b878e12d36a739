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
    proptest::proptest!(|(bytes: [u8; 24], kind in 0u8..40)| {
        let mut leaf = [0; DESCRIPTOR_BYTES];
        leaf.iter_mut().zip(bytes.iter().cycle()).skip(4).for_each(|(byte, random)| *byte = *random);
        leaf[1] = kind;
        if let Ok(read) = Descriptor::parse(&leaf) {
            proptest::prop_assert_eq!(read.to_bytes(), leaf);
        }
    });
}
