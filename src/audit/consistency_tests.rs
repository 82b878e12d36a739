use super::*;
use crate::audit::tree::{leaf_hash, root};

fn leaves(count: u8) -> Vec<Hash> {
    (0..count).map(|leaf| leaf_hash(&[leaf])).collect()
}

fn roots_of(leaves: &[Hash], ranges: &[Range]) -> Vec<Hash> {
    let mut roots = Roots::of(ranges);
    leaves.iter().for_each(|leaf| roots.push(*leaf));
    roots.finish().expect("all leaves passed")
}

/// RFC 6962 section 2.1.2, word for word: what a proof is.
fn by_the_book(old: usize, leaves: &[Hash], is_known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if is_known { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut proof, other) = if old <= left.len() {
        (by_the_book(old, left, is_known), root(right))
    } else {
        (by_the_book(old - left.len(), right, false), root(left))
    };
    proof.push(other);
    proof
}

#[test]
fn a_consistency_proof_is_that_of_the_rfc_and_holds_for_its_own_trees_only() {
    let all = leaves(33);
    for size in 1..=all.len() {
        for old in 1..=size {
            let (before, now) = (root(&all[..old]), root(&all[..size]));
            let proof = roots_of(&all[..size], &consistency_ranges(old as u64, size as u64));
            assert_eq!(proof, by_the_book(old, &all[..size], true), "{old} of {size}");
            let holds = |old: usize, before: &Hash, now: &Hash, proof: &[Hash]| {
                proves_consistency(old as u64, before, size as u64, now, proof)
            };
            assert!(holds(old, &before, &now, &proof), "{old} of {size}");
            assert!(!holds(old, &[7; 32], &now, &proof));
            assert!(!holds(old, &before, &[7; 32], &proof));
            let longer: Vec<Hash> = proof.iter().copied().chain([[0; 32]]).collect();
            assert!(!holds(old, &before, &now, &longer));
            if old < size {
                assert!(!holds(old, &before, &now, &proof[1..]), "{old} of {size}");
                assert!(!holds(old + 1, &before, &now, &proof), "{old} of {size}");
            }
        }
        assert!(proves_consistency(0, &root(&[]), size as u64, &root(&all[..size]), &[]));
    }
    assert!(!proves_consistency(3, &root(&all[..3]), 2, &root(&all[..2]), &[]));
}

#[test]
fn any_leaves_and_the_ranges_without_them_give_the_root() {
    let all = leaves(21);
    for size in 0..=all.len() {
        let tree = &all[..size];
        for pattern in [0_u64, 1, 0b1010, 0b1000_0000_0001, 0x15_5555, 0x1f_ffff, 1 << 20, 0b111 << 6] {
            let wanted: Vec<u64> = (0..size as u64).filter(|position| pattern & 1 << position != 0).collect();
            let known: Vec<(u64, Hash)> = wanted.iter().map(|position| (*position, tree[*position as usize])).collect();
            let ranges = ranges_without(size as u64, &wanted);
            let roots = roots_of(tree, &ranges);
            assert_eq!(root_with(size as u64, &known, &roots), Some(root(tree)), "{wanted:?} of {size}");
            let longer: Vec<Hash> = roots.iter().copied().chain([[0; 32]]).collect();
            assert_eq!(root_with(size as u64, &known, &longer), None);
            if let [_, rest @ ..] = roots.as_slice() {
                assert_eq!(root_with(size as u64, &known, rest), None);
            }
            if let [(position, _), rest @ ..] = known.as_slice() {
                assert_ne!(root_with(size as u64, rest, &roots), Some(root(tree)), "{position} left out");
                let doubled: Vec<_> = known.iter().chain([&known[known.len() - 1]]).copied().collect();
                assert_eq!(root_with(size as u64, &doubled, &roots), None);
            }
        }
    }
    assert_eq!(root_with(3, &[(3, [0; 32])], &[]), None, "a leaf that is not in the tree");
}

#[test]
fn roots_of_a_tree_that_is_cut_are_none() {
    let mut roots = Roots::of(&[(0, 2)]);
    roots.push([1; 32]);
    assert_eq!(roots.finish(), None);
}
