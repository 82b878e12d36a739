//! The Merkle tree by `ct-merkle`, which follows RFC 6962 in its own way: roots, and both sorts of proofs, both directions.
//! Not here: tiles (`tiles.rs`).

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use portreeve::audit::consistency::{Roots, consistency_ranges, proves_consistency};
use portreeve::audit::tree::{Hash, inclusion_proof, leaf_hash, proves_inclusion, root};
use sha2::Sha256;

type Tree = MemoryBackedTree<Sha256, Vec<u8>>;

/// A log's leaves: 168 bytes each.
fn leaf(number: usize) -> Vec<u8> {
    number.to_le_bytes().repeat(21)
}

/// Theirs and ours of the same leaves.
fn trees(size: usize) -> (Tree, Vec<Hash>) {
    let mut theirs = Tree::new();
    (0..size).for_each(|number| theirs.push(leaf(number)));
    (theirs, (0..size).map(|number| leaf_hash(&leaf(number))).collect())
}

fn their_root(root: &Hash, size: usize) -> RootHash<Sha256> {
    RootHash::new((*root).into(), size as u64)
}

pub(crate) fn our_consistency(leaves: &[Hash], old: usize) -> Vec<Hash> {
    let mut roots = Roots::of(&consistency_ranges(old as u64, leaves.len() as u64));
    leaves.iter().for_each(|leaf| roots.push(*leaf));
    roots.finish().expect("all leaves passed")
}

/// Some of the numbers below `count`: the first and last ones, and those around powers of two.
fn some(count: usize) -> Vec<usize> {
    let edges = (0..=13).map(|bit| 1_usize << bit).flat_map(|power| [power - 1, power, power + 1]);
    let mut some: Vec<usize> = edges.chain([count.saturating_sub(1), count / 2, count / 3]).collect();
    some.retain(|number| *number < count);
    some.sort_unstable();
    some.dedup();
    some
}

#[test]
fn roots_and_proofs_are_those_of_ct_merkle() {
    for size in (0..=34).chain([63, 64, 65, 255, 256, 257, 1000, 3000]) {
        let (theirs, leaves) = trees(size);
        let whole = root(&leaves);
        assert_eq!(theirs.root().as_bytes().as_slice(), whole, "of {size} leaves");
        let indices = if size <= 34 { (0..size).collect() } else { some(size) };
        for index in indices {
            let ours = inclusion_proof(&leaves, index as u64).expect("there is such a leaf");
            let proof = theirs.prove_inclusion(index);
            assert_eq!(proof.as_bytes(), ours.concat(), "leaf {index} of {size}");
            let read = InclusionProof::from_bytes(ours.concat());
            let holds = |index: usize, proof: &InclusionProof<Sha256>| {
                their_root(&whole, size).verify_inclusion(&leaf(index), index as u64, proof).is_ok()
            };
            assert!(holds(index, &read), "leaf {index} of {size}");
            // Refused by both: another leaf's place, a hash changed, one less.
            assert!(proves_inclusion(&leaves[index], index as u64, size as u64, &ours, &whole));
            let (mut changed, shorter) = (ours.clone(), ours.get(1..).unwrap_or_default());
            if let Some(first) = changed.first_mut() {
                first[7] ^= 1;
                for wrong in [&changed, shorter] {
                    assert!(!holds(index, &InclusionProof::from_bytes(wrong.concat())), "leaf {index} of {size}");
                    assert!(!proves_inclusion(&leaves[index], index as u64, size as u64, wrong, &whole));
                }
                assert!(!holds((index + 1) % size, &read) || size == 1, "leaf {index} of {size}");
            }
        }
    }
}

#[test]
fn consistency_proofs_are_those_of_ct_merkle() {
    for size in (1..=34).chain([255, 256, 257, 1000, 3000]) {
        let (theirs, leaves) = trees(size);
        let whole = root(&leaves);
        let olds = if size <= 34 { (1..=size).collect() } else { some(size) };
        for old in olds.into_iter().filter(|old| *old > 0) {
            let before = root(&leaves[..old]);
            let ours = our_consistency(&leaves, old);
            if old < size {
                assert_eq!(theirs.prove_consistency(size - old).as_bytes(), ours.concat(), "{old} of {size}");
            }
            let holds = |before: &Hash, proof: &[Hash]| {
                let proof = ConsistencyProof::try_from_bytes(proof.concat()).expect("whole hashes");
                their_root(&whole, size).verify_consistency(&their_root(before, old), &proof).is_ok()
            };
            let (now, then) = (size as u64, old as u64);
            assert!(holds(&before, &ours), "{old} of {size}");
            assert!(proves_consistency(then, &before, now, &whole, &ours), "{old} of {size}");
            let mut changed = ours.clone();
            let Some(first) = changed.first_mut() else { continue };
            first[7] ^= 1;
            for wrong in [&changed[..], &ours[1..]] {
                assert!(!holds(&before, wrong), "{old} of {size}");
                assert!(!proves_consistency(then, &before, now, &whole, wrong), "{old} of {size}");
            }
            assert!(!holds(&[7; 32], &ours), "{old} of {size}");
        }
    }
}
