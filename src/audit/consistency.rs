//! Proofs about a tree's past and about many of its leaves at once, and what they are made of: roots of ranges of
//! leaves, computed in one pass however long the log is.
//! Not here: the tree itself and the proof for one leaf (`tree.rs`), and what a leaf says (`proof.rs`).
//! Consistency: RFC 6962 section 2.1.2, checked as in RFC 9162 section 2.1.4.2. Many leaves: FORMAT.md, "A proof".

use super::tree::{Frontier, Hash, node_hash};

/// A range of positions: from the first, to before the second.
pub type Range = (u64, u64);

/// How many leaves the left half of a tree of that size has: the largest power of two below it.
fn left_of(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The ranges whose roots prove that a tree of `size` leaves begins with that of `old` leaves, in the proof's order.
/// None are needed from an empty tree, or to the same one.
pub fn consistency_ranges(old: u64, size: u64) -> Vec<Range> {
    let (mut ranges, mut low, mut high, mut old, mut is_known) = (Vec::new(), 0, size, old, true);
    if old == 0 || old >= size {
        return ranges;
    }
    while old < high - low {
        let left = left_of(high - low);
        if old <= left {
            ranges.push((low + left, high));
            high = low + left;
        } else {
            ranges.push((low, low + left));
            (low, old, is_known) = (low + left, old - left, false);
        }
    }
    if !is_known {
        ranges.push((low, high));
    }
    ranges.reverse();
    ranges
}

/// Whether `proof` shows that the tree of `size` leaves and `root` begins with that of `old` leaves and `old_root`.
pub fn proves_consistency(old: u64, old_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if old == size || old == 0 {
        let is_same = if old == size { old_root == root } else { *old_root == Frontier::new().root() };
        return proof.is_empty() && is_same;
    }
    if old > size {
        return false;
    }
    let (mut node, mut last) = (old - 1, size - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let mut path = proof.iter();
    // A whole subtree is its own beginning, and its root is not repeated.
    let first = if node == 0 { Some(old_root) } else { path.next() };
    let Some(first) = first else { return false };
    let (mut of_old, mut of_new) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            of_old = node_hash(sibling, &of_old);
            of_new = node_hash(sibling, &of_new);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            of_new = node_hash(&of_new, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && of_old == *old_root && of_new == *root
}

/// The ranges whose roots, with the leaves at the `wanted` positions, give the root of a tree of `size` leaves: from left
/// to right, the largest subtrees without a wanted leaf. `wanted` is in order, each once.
pub fn ranges_without(size: u64, wanted: &[u64]) -> Vec<Range> {
    let mut ranges = Vec::new();
    if size > 0 {
        without((0, size), wanted, &mut ranges);
    }
    ranges
}

fn without((low, high): Range, wanted: &[u64], ranges: &mut Vec<Range>) {
    match wanted {
        [] => ranges.push((low, high)),
        [_, ..] if high - low == 1 => {}
        [_, ..] => {
            let middle = low + left_of(high - low);
            let (left, right) = wanted.split_at(wanted.partition_point(|position| *position < middle));
            without((low, middle), left, ranges);
            without((middle, high), right, ranges);
        }
    }
}

/// The root of a tree of `size` leaves, from the `leaves` that are known (position and leaf hash, in order, each once)
/// and the roots of [`ranges_without`] them; none if there are too few or too many.
pub fn root_with(size: u64, leaves: &[(u64, Hash)], roots: &[Hash]) -> Option<Hash> {
    let is_ordered = leaves.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
    if !is_ordered || leaves.last().is_some_and(|(position, _)| *position >= size) {
        return None;
    }
    if size == 0 {
        return roots.is_empty().then(|| Frontier::new().root());
    }
    let mut roots = roots.iter();
    let root = with((0, size), leaves, &mut roots)?;
    roots.next().is_none().then_some(root)
}

fn with((low, high): Range, leaves: &[(u64, Hash)], roots: &mut std::slice::Iter<'_, Hash>) -> Option<Hash> {
    match leaves {
        [] => roots.next().copied(),
        [(_, leaf)] if high - low == 1 => Some(*leaf),
        [_, ..] => {
            let middle = low + left_of(high - low);
            let (left, right) = leaves.split_at_checked(leaves.partition_point(|(position, _)| *position < middle))?;
            let left = with((low, middle), left, roots)?;
            Some(node_hash(&left, &with((middle, high), right, roots)?))
        }
    }
}

/// Computes the roots of ranges while leaves pass in their order. Each range must be a subtree of the log's tree, and
/// no two may overlap.
#[derive(Debug)]
pub struct Roots {
    /// The ranges in the order of their positions, and which of those asked for each is.
    ranges: Vec<(Range, usize)>,
    next: usize,
    position: u64,
    frontier: Frontier,
    roots: Vec<Option<Hash>>,
}

impl Roots {
    /// Of these ranges, whose order the answer keeps.
    pub fn of(ranges: &[Range]) -> Roots {
        Roots::from_position(0, ranges)
    }

    /// The same where only the leaves from that position on pass; no range begins before.
    pub fn from_position(position: u64, ranges: &[Range]) -> Roots {
        let mut ordered: Vec<(Range, usize)> = ranges.iter().copied().zip(0..).collect();
        ordered.sort_unstable();
        let roots = vec![None; ranges.len()];
        Roots { ranges: ordered, next: 0, position, frontier: Frontier::new(), roots }
    }

    /// Takes the next leaf's hash.
    pub fn push(&mut self, leaf: Hash) {
        let position = self.position;
        self.position += 1;
        let Some(((low, high), which)) = self.ranges.get(self.next) else { return };
        if position < *low {
            return;
        }
        self.frontier.push(leaf);
        if position + 1 == *high {
            if let Some(root) = self.roots.get_mut(*which) {
                *root = Some(self.frontier.root());
            }
            (self.frontier, self.next) = (Frontier::new(), self.next + 1);
        }
    }

    /// The roots; none if not all leaves passed.
    pub fn finish(self) -> Option<Vec<Hash>> {
        self.roots.into_iter().collect()
    }
}

#[cfg(test)]
#[path = "consistency_tests.rs"]
mod tests;
