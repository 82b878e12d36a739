//! How a log has grown since somebody outside last looked, and whether it still begins with what they remember.
//! Not here: who remembers it (`witnesses/`, the register).
//! What is remembered is a tree's frontier, so that only the leaves behind it are read again.

use std::path::Path;

use super::Error;
use super::reader::Reader;
use super::verify::{Finding, Verdict};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::consistency::{Roots, consistency_ranges};
use crate::audit::tree::{Frontier, Hash};

/// The tree of the first leaves of the log in that directory, at most so many. What they are leaves of is not read.
///
/// # Errors
/// [`Error::Storage`], [`Error::Unsound`] if it cannot be read.
pub fn first_leaves(dir: &Path, size: u64) -> Result<Frontier, Error> {
    let mut tree = Frontier::new();
    let reader = Reader::open(dir)?;
    for leaf in reader.leaves().take(usize::try_from(size).unwrap_or(usize::MAX)) {
        tree.push(leaf?.leaf_hash());
    }
    Ok(tree)
}

/// The tree of the first `size` leaves of the log in that directory. If `root` is given, they must have it.
///
/// # Errors
/// [`Error::Unsound`]: rolled back if there are fewer, forked if they are others. [`Error::Storage`].
pub fn begins_with(dir: &Path, size: u64, root: Option<&Hash>) -> Result<Frontier, Error> {
    let tree = first_leaves(dir, size)?;
    if tree.size() < size {
        return Err(rolled_back(dir, size, tree.size()));
    }
    if root.is_some_and(|root| *root != tree.root()) {
        return Err(Error::not_remembered(
            dir,
            Verdict::Forked,
            format!("its first {size} leaves are not those that are remembered"),
        ));
    }
    Ok(tree)
}

/// The proof that the log as it is signed begins with `known`, and its tree. Reads only what is behind `known`.
///
/// # Errors
/// As for [`begins_with`]; also if the files are not those that were signed.
pub fn grown(dir: &Path, known: &Frontier, signed: &Checkpoint) -> Result<(Frontier, Vec<Hash>), Error> {
    if signed.size < known.size() {
        return Err(rolled_back(dir, known.size(), signed.size));
    }
    let ranges = consistency_ranges(known.size(), signed.size);
    let behind: Vec<(u64, u64)> = ranges.iter().copied().filter(|(low, _)| *low >= known.size()).collect();
    let (mut tree, mut roots) = (known.clone(), Roots::from_position(known.size(), &behind));
    let reader = Reader::open(dir)?;
    let mut leaves = reader.leaves_from(known.size());
    while tree.size() < signed.size {
        let Some(leaf) = leaves.next().transpose()? else { return Err(rolled_back(dir, signed.size, tree.size())) };
        let hash = leaf.leaf_hash();
        tree.push(hash);
        roots.push(hash);
    }
    if tree.root() != signed.root {
        let detail = format!("it does not begin with the {} leaves that are remembered of it", known.size());
        return Err(Error::not_remembered(dir, Verdict::Forked, detail));
    }
    let mut behind = roots.finish().unwrap_or_default().into_iter();
    let proof: Option<Vec<Hash>> =
        ranges.iter().map(|range| if range.0 >= known.size() { behind.next() } else { known.peak(*range) }).collect();
    let proof = proof.ok_or(Error::Misused("a proof of consistency is made of peaks and of new leaves"))?;
    Ok((tree, proof))
}

/// A checkpoint that somebody outside remembers of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Who, or which file.
    pub by: String,
    /// What.
    pub checkpoint: Checkpoint,
}

/// Holds a log against what others remember of it, in one reading: a finding for each that it does not begin with, and a
/// remark for each of them who does not know its newest leaves.
///
/// # Errors
/// [`Error::Storage`], [`Error::Unsound`] if it cannot be read.
pub fn compare(dir: &Path, mut remembered: Vec<Remembered>) -> Result<Vec<Finding>, Error> {
    remembered.sort_by_key(|remembered| remembered.checkpoint.size);
    let (mut tree, reader, mut findings) = (Frontier::new(), Reader::open(dir)?, Vec::new());
    let signed = Checkpoint::claimed_size(reader.note()).unwrap_or_default();
    let mut leaves = reader.leaves();
    for (number, Remembered { by, checkpoint }) in remembered.iter().enumerate() {
        while tree.size() < checkpoint.size
            && let Some(leaf) = leaves.next().transpose()?
        {
            tree.push(leaf.leaf_hash());
        }
        let size = checkpoint.size;
        let is_newest = !remembered.iter().skip(number + 1).any(|later| later.by == *by);
        let found = if tree.size() < size {
            Some((Verdict::RolledBack, format!("{by} remembers {size} leaves, {} are there", tree.size())))
        } else if tree.root() != checkpoint.root {
            Some((
                Verdict::Forked,
                format!("{by} remembers {size} leaves, and the first {size} that are there are others"),
            ))
        } else if is_newest && size < signed {
            Some((
                Verdict::Unwitnessed,
                format!("{by} remembers the first {size} leaves, and not the {} behind them", signed - size),
            ))
        } else {
            None
        };
        let place = checkpoint.origin.clone();
        findings.extend(found.map(|(verdict, detail)| Finding { verdict, place, detail }));
    }
    Ok(findings)
}

fn rolled_back(dir: &Path, remembered: u64, found: u64) -> Error {
    Error::not_remembered(
        dir,
        Verdict::RolledBack,
        format!("{remembered} leaves of it are remembered, and {found} are there"),
    )
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;
