use super::*;
use crate::audit::descriptor::Place;
use crate::audit::record::Kind;
use crate::clock::Timestamp;

fn place() -> Place {
    let (tag, link) = ([1; 16], [2; 32]);
    Place { kind: Kind::Statement, slot: 0, position: 9, at: Timestamp(5), segment: 1, tag, link }
}

fn binding() -> Binding {
    Binding::new("portreeve/a", &place().to_bytes(), Part::Values)
}

fn key(byte: u8) -> DataKey {
    DataKey::new(&Secret::new([byte; 32]))
}

fn sealed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    seal(&key(1), &binding(), &[4; 16], content, &mut out);
    out
}

#[test]
fn content_of_every_length_opens_as_it_was_sealed() {
    for len in [0, 1, 62, 63, 64, 65, 127, 128, 1022, 1023, 1024, 5000, 100_000] {
        let content: Vec<u8> = (0..len).map(|byte| (byte % 251) as u8).collect();
        let sealed = sealed(&content);
        assert_eq!(sealed.len(), sealed_len(len));
        assert_eq!(open(&key(1), &binding(), &sealed).expect("opens").as_slice(), content);
    }
    assert_eq!(sealed_len(0), sealed_len(63), "lengths tell less than they could");
    let padded =
        [(0, 64), (63, 64), (64, 128), (1023, 1024), (1024, 1152), (4095, 4096), (4096, 4608), (100_000, 106_496)];
    for (len, padded) in padded {
        assert_eq!(padded_len(len), padded, "{len}");
    }
    assert_eq!(open(&key(1), &binding(), &sealed(&[0; 3])).expect("opens").as_slice(), [0; 3]);
}

#[test]
fn a_sealed_part_does_not_open_elsewhere() {
    let sealed = sealed(b"SELECT 1");
    assert_eq!(open(&key(2), &binding(), &sealed), Err(NotOpened), "another data key");
    let moves: [(&str, fn(&mut Place)); 7] = [
        ("kind", |place| place.kind = Kind::Outcome),
        ("slot", |place| place.slot += 1),
        ("position", |place| place.position += 1),
        ("time", |place| place.at.0 += 1),
        ("segment", |place| place.segment += 1),
        ("tag", |place| place.tag = [0; 16]),
        ("link", |place| place.link = [0; 32]),
    ];
    for (what, change) in moves {
        let mut moved = place();
        change(&mut moved);
        let binding = Binding::new("portreeve/a", &moved.to_bytes(), Part::Values);
        assert_eq!(open(&key(1), &binding, &sealed), Err(NotOpened), "another {what}");
    }
    let elsewhere = Binding::new("portreeve/b", &place().to_bytes(), Part::Values);
    assert_eq!(open(&key(1), &elsewhere, &sealed), Err(NotOpened), "another log");
    let other_part = Binding::new("portreeve/a", &place().to_bytes(), Part::Skeleton);
    assert_eq!(open(&key(1), &other_part, &sealed), Err(NotOpened), "another part");
}

#[test]
fn no_bit_of_a_sealed_part_can_be_changed() {
    let sealed = sealed(b"SELECT 1");
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(open(&key(1), &binding(), &changed), Err(NotOpened), "byte {at}");
        assert_eq!(open(&key(1), &binding(), &sealed[..at]), Err(NotOpened), "cut to {at}");
    }
}

#[test]
fn equal_content_looks_different_under_another_salt() {
    let mut other = Vec::new();
    seal(&key(1), &binding(), &[5; 16], b"SELECT 1", &mut other);
    let one = sealed(b"SELECT 1");
    assert!(one.iter().zip(&other).filter(|(a, b)| a == b).count() < 10);
}

/// Sealed as it must be, whatever it is padded to.
fn sealed_as(padded: &[u8]) -> Vec<u8> {
    let (expanded, mut bytes) = (key(1).expand(&[4; 16], &binding()), padded.to_vec());
    let aad = Aad::from(binding().bytes);
    let tag = expanded.cipher().seal_in_place_separate_tag(Expanded::nonce(), aad, &mut bytes).expect("sealed");
    [[4; 16].as_slice(), &expanded.commitment, &bytes, tag.as_ref()].concat()
}

#[test]
fn what_is_padded_to_another_length_or_has_no_end_does_not_open() {
    let padded = |len: usize| [b"SELECT 1\x80".as_slice(), &vec![0; len - 9]].concat();
    assert_eq!(open(&key(1), &binding(), &sealed_as(&padded(64))).expect("opens").as_slice(), b"SELECT 1");
    for len in [9, 63, 65, 128, 4096] {
        assert_eq!(open(&key(1), &binding(), &sealed_as(&padded(len))), Err(NotOpened), "{len} bytes");
    }
    let other_mark = [b"SELECT 1\x01".as_slice(), &[0; 55]].concat();
    for without_end in [&[0; 64][..], &[], &other_mark] {
        assert_eq!(open(&key(1), &binding(), &sealed_as(without_end)), Err(NotOpened), "{without_end:?}");
    }
}
