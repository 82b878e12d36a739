use super::*;
use crate::entropy::OsEntropy;

const ID: SnapshotId = SnapshotId([3; 16]);

fn key() -> (DataKey, Vec<u8>, Vec<u8>) {
    let (public, _) = keys::generate_key_pair();
    DataKey::fresh(ID, &public, &OsEntropy).expect("a key")
}

#[test]
fn a_chunk_opens_only_as_what_it_is() {
    let (key, ..) = key();
    let chunks = key.chunks([1; 32]);
    let other_header = key.chunks([2; 32]);
    let mut sealed = Vec::new();
    chunks.seal(5, Place::Within, b"rows", &mut sealed);
    for (what, by, number, place, opens) in [
        ("itself", &chunks, 5, Place::Within, true),
        ("moved", &chunks, 4, Place::Within, false),
        ("repeated", &chunks, 6, Place::Within, false),
        ("a cut made to look like the end", &chunks, 5, Place::Last, false),
        ("under another header", &other_header, 5, Place::Within, false),
    ] {
        let mut copy = sealed.clone();
        assert_eq!(by.open(number, place, &mut copy).is_some(), opens, "{what}");
    }
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        assert!(chunks.open(5, Place::Within, &mut flipped).is_none(), "byte {at}");
    }
}

#[test]
fn a_last_chunk_is_not_one_within() {
    let (key, ..) = key();
    let chunks = key.chunks([1; 32]);
    let mut sealed = Vec::new();
    chunks.seal(0, Place::Last, b"", &mut sealed);
    assert!(chunks.open(0, Place::Within, &mut sealed.clone()).is_none(), "bytes cannot be put behind the end");
    assert_eq!(chunks.open(0, Place::Last, &mut sealed), Some(&mut [][..]));
}

#[test]
fn a_public_key_that_is_none_is_refused() {
    let refused = DataKey::fresh(ID, &[0; 32], &OsEntropy).err().expect("all zeros is no point to seal to");
    assert!(matches!(refused, Error::Key(_)), "{refused}");
}
