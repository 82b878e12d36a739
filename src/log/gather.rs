//! Gathers the words of each recipient's records, and the bits of their texts, while their segment is written, for its blocks.
//! Not here: what becomes of them when it is finished (`blocks.rs`). Memory is bounded: of who has more words than that there
//! is no block, and of who comes after so many others no bits.

use std::collections::BTreeSet;

use super::batch::Item;
use super::blocks::{Block, SealedTexts};
use crate::audit::pieces::Texts;
use crate::audit::record::{Bind, Values};
use crate::audit::words::{Word, Words};
use crate::statement::value;

/// So many words of one recipient in one segment are kept at most.
pub const WORDS_MAX: usize = 4096;
/// So many of all together, of some 40 bytes each.
const WORDS_MAX_OF_ALL: usize = 128 << 10;
/// Of so many recipients bits are kept, some 9 KiB each.
const TEXTS_MAX_OF_ALL: usize = 1024;

/// How much more may be gathered in this segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Words.
    pub words: usize,
    /// Recipients whose texts are looked through.
    pub texts: usize,
}

impl Default for Room {
    fn default() -> Self {
        Room { words: WORDS_MAX_OF_ALL, texts: TEXTS_MAX_OF_ALL }
    }
}

/// The words and bits of one recipient's records in one segment.
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
    /// The bits of the texts; none: of too many there are some.
    pub texts: Option<Texts>,
    /// The words, sealed, if their data key is no longer here.
    pub sealed: Option<Block>,
    /// The bits, sealed, likewise.
    pub sealed_texts: Option<SealedTexts>,
}

/// Where a record stands, and the period of its skeleton's key.
#[derive(Clone, Copy, Debug)]
pub struct Stands {
    pub segment: u64,
    pub period: u32,
    pub position: u64,
}

impl Gathered {
    fn new(stands: Stands, room: &mut Room) -> Gathered {
        let Stands { segment, period, position: from } = stands;
        let texts = room.texts.checked_sub(1).map(|left| {
            room.texts = left;
            Texts::new()
        });
        let words = Some(BTreeSet::new());
        Gathered { segment, period, from, words, last: None, texts, sealed: None, sealed_texts: None }
    }

    /// Takes in the recipient's next record; `room` says how much more there may be of all.
    pub fn note(gathered: &mut Option<Gathered>, item: &Item, stands: Stands, room: &mut Room) {
        let goes_on = |had: &Gathered| had.segment == stands.segment && had.period == stands.period;
        let had = match gathered {
            Some(had) if goes_on(had) => had,
            Some(_) | None => gathered.insert(Gathered::new(stands, room)),
        };
        (had.sealed, had.sealed_texts) = (None, None);
        had.take(&item.words, room);
        if let Some(texts) = &mut had.texts {
            texts.take(&item.values, &item.shown);
        }
    }

    fn take(&mut self, words: &Words, room: &mut Room) {
        let Some(kept) = &mut self.words else { return };
        let act = words.act().filter(|act| self.last != Some(*act));
        self.last = act.or(self.last);
        for word in act.into_iter().chain(words.more().iter().copied()) {
            if kept.contains(&word) {
                continue;
            }
            if kept.len() == WORDS_MAX || room.words == 0 {
                (self.words, self.texts) = (None, None);
                return;
            }
            kept.insert(word);
            room.words -= 1;
        }
    }

    /// Whether it is of that segment.
    pub fn is_of(&self, segment: u64) -> bool {
        self.segment == segment
    }
}

/// How those bind values read that do not stand in the record as they read: binary ones, and what is no UTF-8.
pub fn shown(values: &Values) -> Vec<u8> {
    let mut shown = Vec::new();
    let further = values.further.iter().flatten();
    for bind in std::iter::once(values).chain(further).flat_map(|values| values.binds.iter().flatten()) {
        let Bind { type_oid, format, value: Some(bytes) } = bind else { continue };
        if *format != 0 || std::str::from_utf8(bytes).is_err() {
            shown.extend_from_slice(value::display(*type_oid, *format, bytes).as_bytes());
            // Nothing stands across two of them.
            shown.push(0xff);
        }
    }
    shown
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
