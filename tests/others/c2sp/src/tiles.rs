//! A folder of tiles as `tlog_tiles` reads it: which files there must be, every hash against the root, every entry against
//! its hash, and proofs made from them.
//! Not here: who signed the checkpoint (`main.rs`). `tlog_tiles` writes paths as Go's checksum database does, with the
//! height of the tiles in them and `data` for entries: C2SP tlog-tiles leaves the height out and says `entries`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tlog_tiles::{
    HashReader, Tile, TileHashReader, TileReader, prove_record, prove_tree, record_hash, stored_hash_index,
};

use crate::{Answer, number, open, text};

const HEIGHT: u8 = 8;

struct Folder {
    path: PathBuf,
    read: RefCell<BTreeSet<String>>,
}

impl TileReader for Folder {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        tiles.iter().map(|tile| self.file(tile).map_err(|_| tlog_tiles::Error::InvalidTile)).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

impl Folder {
    fn file(&self, tile: &Tile) -> Result<Vec<u8>, std::io::Error> {
        let path = path(tile);
        let bytes = fs::read(self.path.join(&path))?;
        self.read.borrow_mut().insert(path);
        Ok(bytes)
    }
}

fn path(tile: &Tile) -> String {
    let path = tile.path();
    path.replacen(&format!("tile/{HEIGHT}/"), "tile/", 1).replacen("tile/data/", "tile/entries/", 1)
}

/// All of it: each file is one that a tree of that size has, and none is missing; each hash is in the tree; each entry is
/// the leaf of its hash.
pub fn check(question: &Value) -> Answer {
    let (checkpoint, _) = open(question)?;
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    let folder = Folder { path: text(question, "folder")?.into(), read: RefCell::default() };
    let tiles = Tile::new_tiles(HEIGHT, 0, size);
    let reader = TileHashReader::new(size, root, &folder);
    let mut entries = 0;
    for tile in &tiles {
        let mut indexes = Vec::new();
        for place in 0..u64::from(tile.width()) {
            let number = (tile.level_index() << HEIGHT) + place;
            indexes.push(stored_hash_index(HEIGHT * tile.level(), number));
        }
        let hashes = reader.read_hashes(&indexes)?;
        if folder.file(tile)? != hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>() {
            return Err(format!("{} holds other hashes", path(tile)).into());
        }
        if tile.level() == 0 {
            let mut bundle = *tile;
            bundle.set_is_data();
            let mut rest = folder.file(&bundle)?;
            for hash in hashes {
                let length = usize::from(u16::from_be_bytes(*rest.first_chunk().ok_or("an entry is cut")?));
                if rest.len() < 2 + length {
                    return Err("an entry is cut".into());
                }
                let entry: Vec<u8> = rest.drain(..2 + length).skip(2).collect();
                if record_hash(&entry) != hash {
                    return Err(format!("{} holds another entry", path(&bundle)).into());
                }
                entries += 1;
            }
            if !rest.is_empty() {
                return Err(format!("{} holds more", path(&bundle)).into());
            }
        }
    }
    let mut files = BTreeSet::new();
    list(&folder.path, &folder.path.join("tile"), &mut files)?;
    let read = folder.read.borrow().clone();
    if files != read {
        let odd: Vec<_> = files.symmetric_difference(&read).collect();
        return Err(format!("files that a log of {size} leaves has not: {odd:?}").into());
    }
    // Of an empty log there is nothing to read that would be compared with the root.
    let of_nothing = tlog_tiles::tree_hash(size, &reader)?;
    if of_nothing != root {
        return Err("another root".into());
    }
    Ok(json!({ "files": read.len(), "entries": entries }))
}

fn list(root: &Path, folder: &Path, files: &mut BTreeSet<String>) -> Result<(), Box<dyn Error>> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, files)?;
        } else {
            files.insert(path.strip_prefix(root)?.to_str().ok_or("a path is no text")?.to_owned());
        }
    }
    Ok(())
}

/// Their proofs, made from the folder: that the leaf at `index` is in the tree, that it begins with `old` leaves.
pub fn prove(question: &Value) -> Answer {
    let (checkpoint, _) = open(question)?;
    let folder = Folder { path: text(question, "folder")?.into(), read: RefCell::default() };
    let reader = TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &folder);
    let record = prove_record(checkpoint.size(), number(question, "index")?, &reader)?;
    let tree = prove_tree(checkpoint.size(), number(question, "old")?, &reader)?;
    let texts = |hashes: Vec<tlog_tiles::Hash>| hashes.iter().map(ToString::to_string).collect::<Vec<_>>();
    Ok(json!({ "record": texts(record), "tree": texts(tree) }))
}
