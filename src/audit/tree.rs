//! The Merkle tree over a log's leaves: its root as leaves are added, and proofs that one leaf is in it.
//! Not here: who signs a root (`checkpoint.rs`) and what a leaf is (`descriptor.rs`).
//! RFC 6962 section 2.1 with SHA-256.

use aws_lc_rs::digest;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// As much as is put together before it is hashed: a context costs more than hashing a node or a leaf.
const SHORT_BYTES: usize = 192;

/// SHA-256 of the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    match parts {
        [whole] => whole_sha256(whole),
        _ => if_short(parts, whole_sha256).unwrap_or_else(|| long_sha256(parts)),
    }
}

/// What `act` makes of the parts, one after the other in one place; none if they are too long together.
pub(super) fn if_short<T>(parts: &[&[u8]], act: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let (mut short, mut used) = ([0; SHORT_BYTES], 0);
    for part in parts {
        short.get_mut(used..used + part.len())?.copy_from_slice(part);
        used += part.len();
    }
    short.get(..used).map(act)
}

fn whole_sha256(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn long_sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The hash of a leaf: SHA-256(0x00 ‖ leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256(&[&[0], leaf])
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The roots of the full subtrees a tree of that size consists of, largest first: all it takes to add leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Frontier::default()
    }

    /// The tree of that size with these subtrees; none if a tree of that size has another number of them.
    pub fn of(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (u32::try_from(peaks.len()) == Ok(size.count_ones())).then_some(Frontier { size, peaks })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over that range of leaves (from the first, to before the second), if it is one of the full subtrees.
    pub fn peak(&self, (low, high): (u64, u64)) -> Option<Hash> {
        let subtrees = (0..u64::BITS).rev().map(|bit| 1 << bit).filter(|width| self.size & width != 0);
        let mut begins = 0;
        for (peak, width) in self.peaks.iter().zip(subtrees) {
            if (begins, begins + width) == (low, high) {
                return Some(*peak);
            }
            begins += width;
        }
        None
    }

    /// The roots of its full subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut peak = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                peak = node_hash(&left, &peak);
            }
        }
        self.peaks.push(peak);
        self.size += 1;
    }

    /// The root: of no leaves, SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return sha256(&[]) };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root over these leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// The audit path of the leaf at `index` among these leaf hashes, from the leaf upwards; none if there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
    let mut rest = leaves;
    let mut index = usize::try_from(index).ok().filter(|index| *index < leaves.len())?;
    let mut path = Vec::new();
    while rest.len() > 1 {
        let (left, right) = rest.split_at_checked(rest.len().next_power_of_two() / 2)?;
        if index < left.len() {
            path.push(root(right));
            rest = left;
        } else {
            index -= left.len();
            path.push(root(left));
            rest = right;
        }
    }
    path.reverse();
    Some(path)
}

/// Whether `proof` shows that the leaf with this hash stands at `index` in the tree of that size and root
/// (RFC 9162 section 2.1.3.2).
pub fn proves_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], expected_root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *expected_root
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
