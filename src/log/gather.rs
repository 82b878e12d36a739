//! Gathers the words of each recipient's records while their segment is written, for its blocks.
//! Not here: what becomes of them when it is finished (`blocks.rs`). Memory is bounded: of who has more words than that there
//! is no block.

use std::collections::BTreeSet;

use super::blocks::Block;
use crate::audit::words::{Word, Words};

/// So many words of one recipient in one segment are kept at most.
pub const WORDS_MAX: usize = 4096;
/// So many of all together, of some 40 bytes each.
pub const WORDS_MAX_OF_ALL: usize = 128 << 10;

/// The words of one recipient's records in one segment.
#[derive(Debug)]
pub struct Gathered {
    segment: u64,
    /// The period of the keys under which those records are sealed: words go with them.
    period: u32,
    /// From which position on.
    pub from: u64,
    /// None: there were too many.
    pub words: Option<BTreeSet<Word>>,
    /// Who acted last in which session: mostly the same again.
    last: Option<Word>,
    /// The same, sealed, if their data key is no longer here.
    pub sealed: Option<Block>,
}

/// Where a record stands, and the period of its skeleton's key.
#[derive(Clone, Copy, Debug)]
pub struct Stands {
    pub segment: u64,
    pub period: u32,
    pub position: u64,
}

impl Gathered {
    fn new(stands: Stands) -> Gathered {
        let Stands { segment, period, position: from } = stands;
        Gathered { segment, period, from, words: Some(BTreeSet::new()), last: None, sealed: None }
    }

    /// Takes the words of the recipient's next record; `room` says how many more words there may be of all.
    pub fn note(gathered: &mut Option<Gathered>, words: &Words, stands: Stands, room: &mut usize) {
        let goes_on = |had: &Gathered| had.segment == stands.segment && had.period == stands.period;
        let had = match gathered {
            Some(had) if goes_on(had) => had,
            Some(_) | None => gathered.insert(Gathered::new(stands)),
        };
        had.sealed = None;
        had.take(words, room);
    }

    fn take(&mut self, words: &Words, room: &mut usize) {
        let Some(kept) = &mut self.words else { return };
        let act = words.act().filter(|act| self.last != Some(*act));
        self.last = act.or(self.last);
        for word in act.into_iter().chain(words.more().iter().copied()) {
            if kept.contains(&word) {
                continue;
            }
            if kept.len() == WORDS_MAX || *room == 0 {
                self.words = None;
                return;
            }
            kept.insert(word);
            *room -= 1;
        }
    }

    /// Whether it is of that segment.
    pub fn is_of(&self, segment: u64) -> bool {
        self.segment == segment
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
