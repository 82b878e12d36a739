use std::collections::BTreeMap;

use super::*;
use crate::audit::descriptor::{Place, Sealed};
use crate::audit::record::Kind;
use crate::audit::tree::{leaf_hash, root};
use crate::clock::Timestamp;

fn leaf(position: u64) -> Descriptor {
    let (tag, link) = ([1; 16], [2; 32]);
    let place = Place { kind: Kind::Statement, slot: 0, position, at: Timestamp(5), segment: 1, tag, link };
    Descriptor { place, values: Sealed::default(), skeleton: Sealed::default() }
}

fn cut(leaves: u64) -> BTreeMap<String, Vec<u8>> {
    let mut tiles = Tiles::new();
    let mut files: Vec<Tile> = (0..leaves).flat_map(|position| tiles.push(&leaf(position))).collect();
    files.extend(tiles.finish());
    let count = files.len();
    let files: BTreeMap<String, Vec<u8>> = files.into_iter().map(|tile| (tile.path, tile.bytes)).collect();
    assert_eq!(files.len(), count, "each file once");
    files
}

/// The example paths of the specification.
#[test]
fn paths_are_those_of_the_specification() {
    for (number, width, expected) in [
        (0, 256, "tile/0/000"),
        (1_234_067, 256, "tile/0/x001/x234/067"),
        (273, 112, "tile/0/273.p/112"),
        (1000, 256, "tile/0/x001/000"),
    ] {
        assert_eq!(path("0", number, width), expected);
    }
    assert_eq!(path("entries", 5, 1), "tile/entries/005.p/1");
}

#[test]
fn a_log_of_seventy_thousand_leaves_has_the_files_it_must_have() {
    // The sizes of the specification's own example: 70,000 leaves.
    let files = cut(70_000);
    assert_eq!(files.keys().filter(|path| path.starts_with("tile/0/")).count(), 274);
    assert_eq!(files["tile/0/273.p/112"].len(), 112 * 32);
    assert_eq!(files["tile/1/000"].len(), 256 * 32);
    assert_eq!(files["tile/1/001.p/17"].len(), 17 * 32);
    assert_eq!(files["tile/2/000.p/1"].len(), 32);
    assert_eq!(files["tile/entries/273.p/112"].len(), 112 * (2 + DESCRIPTOR_BYTES));
}

#[test]
fn tiles_hold_the_leaves_and_the_subtrees_roots() {
    let files = cut(600);
    let bundle = &files["tile/entries/001"];
    let (entry, hash) = (&bundle[..2 + DESCRIPTOR_BYTES], &files["tile/0/001"][..32]);
    assert_eq!(entry[..2], [0, 168]);
    assert_eq!(entry[2..], leaf(256).to_bytes());
    assert_eq!(leaf_hash(&entry[2..]), hash);
    let hashes: Vec<Hash> = (0..256).map(|position| leaf(position).leaf_hash()).collect();
    assert_eq!(files["tile/1/000.p/2"][..32], root(&hashes));
    assert_eq!(cut(0).len(), 0);
}

/// The sizes at which a level begins: the specification's 256, and one leaf to either side.
#[test]
fn a_full_tile_begins_the_next_level_and_no_tile_is_empty() {
    let names = |leaves| cut(leaves).into_keys().collect::<Vec<_>>();
    assert_eq!(names(255), ["tile/0/000.p/255", "tile/entries/000.p/255"]);
    assert_eq!(names(256), ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]);
    let beyond = ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/1"];
    assert_eq!(names(257), beyond);
    assert!(cut(65_536).keys().any(|path| path == "tile/2/000.p/1"));
    assert!(cut(65_536).iter().all(|(path, bytes)| !path.contains(".p/256") && !bytes.is_empty()));
}
