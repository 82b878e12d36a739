//! Tiles as Cloudflare's `tlog_tiles` reads them: logs of the sizes at which something begins, each file there must be and no
//! other; and its proofs and ours, from the same tiles.
//! Not here: what a real log's command writes (`gate.rs`).

use std::fs;
use std::path::Path;

use portreeve::audit::checkpoint::{Checkpoint, SigningKey, verifier_key};
use portreeve::audit::consistency::proves_consistency;
use portreeve::audit::descriptor::{Descriptor, Place, Sealed};
use portreeve::audit::record::Kind;
use portreeve::audit::tiles::{Tile, Tiles};
use portreeve::audit::tree::{Hash, inclusion_proof, proves_inclusion, root};
use portreeve::clock::Timestamp;
use portreeve::secret::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::asking::{Others, text, texts};
use super::tree::our_consistency;

const ORIGIN: &str = "portreeve/proxy-gate-1";

fn leaf(position: u64) -> Descriptor {
    let (tag, link) = ([1; 16], [2; 32]);
    let place = Place { kind: Kind::Statement, slot: 0, position, at: Timestamp(5), segment: 1, tag, link };
    Descriptor { place, values: Sealed::default(), skeleton: Sealed::default() }
}

/// A log's tiles in a folder, its leaf hashes, and how others are asked about it.
struct Folder {
    folder: TempDir,
    leaves: Vec<Hash>,
    note: String,
}

impl Folder {
    fn of(size: u64) -> Folder {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut tiles, mut leaves) = (Tiles::new(), Vec::new());
        let keep = |files: Vec<Tile>| {
            for Tile { path, bytes } in files {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                fs::write(path, bytes).expect("written");
            }
        };
        for position in 0..size {
            let leaf = leaf(position);
            leaves.push(leaf.leaf_hash());
            keep(tiles.push(&leaf));
        }
        keep(tiles.finish());
        let key = SigningKey::from_seed(&Secret::new([1; 32]));
        let note = Checkpoint { origin: ORIGIN.to_owned(), size, root: root(&leaves) }.sign(&key);
        Folder { folder, leaves, note }
    }

    fn question(&self, ask: &str) -> Value {
        let key = verifier_key(ORIGIN, &SigningKey::from_seed(&Secret::new([1; 32])).public());
        json!({ "ask": ask, "folder": self.folder.path(), "note": self.note, "key": key, "index": 0, "old": 1 })
    }
}

pub(crate) fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect());
    let entries: Vec<_> = entries.unwrap_or_default();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_file_is_there_and_every_hash_and_entry_is_in_the_tree() {
    let mut others = Others::start();
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 3000, 65_537] {
        let folder = Folder::of(size);
        let told = others.ask(&folder.question("tiles")).unwrap_or_else(|wrong| panic!("{size} leaves: {wrong}"));
        assert_eq!(told["entries"], size);
        assert_eq!(told["files"], files(folder.folder.path()).len());
    }
}

#[test]
fn what_is_changed_left_out_or_too_much_is_found() {
    let mut others = Others::start();
    let folder = Folder::of(600);
    let question = folder.question("tiles");
    let files = files(folder.folder.path());
    assert_eq!(files.len(), 7, "{files:?}");
    for file in files {
        let whole = fs::read(&file).expect("read");
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            for wrong in [&changed, &whole[..at], &[&whole[..], &[0]].concat()] {
                fs::write(&file, wrong).expect("written");
                others.ask(&question).expect_err(&format!("{}, {at}", file.display()));
            }
        }
        fs::remove_file(&file).expect("removed");
        others.ask(&question).expect_err("a file is missing");
        fs::write(&file, &whole).expect("written");
        let more = file.with_extension("p");
        if !more.exists() {
            fs::write(&more, &whole).expect("written");
            others.ask(&question).expect_err("a file too much");
            fs::remove_file(more).expect("removed");
        }
        others.ask(&question).expect("whole again");
    }
}

/// Each proof is made by both and verified by the other one.
#[test]
fn proofs_from_the_tiles_are_ours() {
    let mut others = Others::start();
    for size in [1, 2, 3, 255, 256, 257, 1000, 3000] {
        let folder = Folder::of(size);
        let whole = root(&folder.leaves);
        for index in [0, 1, size / 3, size / 2, size - 1].into_iter().filter(|index| *index < size) {
            let old = index + 1;
            let mut question = folder.question("prove");
            (question["index"], question["old"]) = (index.into(), old.into());
            let told = others.ask(&question).expect("proofs");
            let ours = inclusion_proof(&folder.leaves, index).expect("there is such a leaf");
            let leaf = folder.leaves[index as usize];
            assert_eq!(told["record"], json!(texts(&ours)), "leaf {index} of {size}");
            assert!(proves_inclusion(&leaf, index, size, &ours, &whole));
            let before = root(&folder.leaves[..old as usize]);
            let consistency = our_consistency(&folder.leaves, old as usize);
            assert_eq!(told["tree"], json!(texts(&consistency)), "{old} of {size}");
            assert!(proves_consistency(old, &before, size, &whole, &consistency));

            let (leaf, root) = (text(&leaf), text(&whole));
            let mut included = json!({ "ask": "included", "proof": texts(&ours), "size": size, "root": root,
                "index": index, "leaf": leaf });
            others.ask(&included).expect("it holds");
            let mut consistent = json!({ "ask": "consistent", "proof": texts(&consistency), "size": size, "root": root,
                "old": old, "old_root": text(&before) });
            others.ask(&consistent).expect("it holds");
            included["leaf"] = text(&[7; 32]).into();
            others.ask(&included).expect_err("another leaf");
            consistent["old_root"] = text(&[7; 32]).into();
            others.ask(&consistent).expect_err("another root");
        }
    }
}
