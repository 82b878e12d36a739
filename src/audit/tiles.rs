//! A log's tree as static files that tools made for transparency logs read: tiles of hashes, bundles of leaves.
//! Not here: reading a log and writing the files (`cli/audit/tiles.rs`), and the checkpoint that belongs beside them.
//! C2SP tlog-tiles (<https://c2sp.org/tlog-tiles>). No file holds more than a tile at a time in memory.

use super::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use super::tree::{Hash, node_hash};

/// How many hashes, or leaves, a full tile holds.
const WIDTH: usize = 256;

/// One file, by its path in the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Such as `tile/0/x001/067` or `tile/entries/000.p/17`.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Cuts a log into tiles, leaf by leaf.
#[derive(Debug, Default)]
pub struct Tiles {
    /// Per level: how many of its tiles are full, and the hashes of the one that is not.
    levels: Vec<(u64, Vec<Hash>)>,
    bundle: Vec<u8>,
}

impl Tiles {
    /// Of an empty log.
    pub fn new() -> Tiles {
        Tiles::default()
    }

    /// Takes the next leaf; gives the files that became full.
    pub fn push(&mut self, leaf: &Descriptor) -> Vec<Tile> {
        let bytes = leaf.to_bytes();
        let length = u16::try_from(DESCRIPTOR_BYTES).expect("a leaf is far shorter than 64 KiB");
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(&bytes);
        let mut full = Vec::new();
        let mut hash = leaf.leaf_hash();
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push((0, Vec::new()));
            }
            let Some((number, hashes)) = self.levels.get_mut(level) else { break };
            hashes.push(hash);
            if hashes.len() < WIDTH {
                break;
            }
            let tile = std::mem::take(hashes);
            full.push(Tile { path: path(&level.to_string(), *number, WIDTH), bytes: tile.as_flattened().to_vec() });
            if level == 0 {
                full.push(Tile { path: path("entries", *number, WIDTH), bytes: std::mem::take(&mut self.bundle) });
            }
            *number += 1;
            hash = root_of(&tile);
        }
        full
    }

    /// The partial files at the end of the log.
    pub fn finish(self) -> Vec<Tile> {
        let mut partial = Vec::new();
        for (level, (number, hashes)) in self.levels.iter().enumerate() {
            if hashes.is_empty() {
                continue;
            }
            partial.push(Tile {
                path: path(&level.to_string(), *number, hashes.len()),
                bytes: hashes.as_flattened().to_vec(),
            });
            if level == 0 {
                partial.push(Tile { path: path("entries", *number, hashes.len()), bytes: self.bundle.clone() });
            }
        }
        partial
    }
}

/// The root over a full tile: the hash that stands for it one level above.
fn root_of(tile: &[Hash]) -> Hash {
    let mut hashes = tile.to_vec();
    while hashes.len() > 1 {
        let (pairs, _) = hashes.as_chunks::<2>();
        hashes = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    hashes.first().copied().unwrap_or_default()
}

/// `tile/<level>/<number>`, the number in groups of three digits, all but the last behind an `x`; a partial tile ends
/// in `.p/<width>`.
fn path(level: &str, number: u64, width: usize) -> String {
    let (mut rest, mut path) = (number / 1000, format!("{:03}", number % 1000));
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width == WIDTH { String::new() } else { format!(".p/{width}") };
    format!("tile/{level}/{path}{partial}")
}

#[cfg(test)]
#[path = "tiles_tests.rs"]
mod tests;
