//! Leaves out what cannot be of the answer to a search by staff, session, relation, SQLSTATE or text, by the words of each
//! recipient's records in each segment: those of the sealed blocks, and where there is none those that a reader finds; and by
//! the bits of their texts, where a block has some.
//! Not here: the blocks (`blocks.rs`), and which leaves a query can be about by what they show (`choice.rs`).
//! An outcome may stand in a later segment than its statement, and have nothing but the session in common with it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::blocks::Block;
use super::search::Query;
use crate::audit::descriptor::Descriptor;
use crate::audit::pieces::{self, Pieces};
use crate::audit::record::Kind;
use crate::audit::words::{self, Word};

/// What of a log may be of the answer, in shares.
#[derive(Debug)]
pub(super) struct Narrowing {
    shares: BTreeMap<Of, Share>,
    /// What a text must have that is asked for.
    text: Option<pieces::Sought>,
}

/// Which records: a recipient's in a segment, as far as a block tells of them, or none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Of {
    pub(super) segment: u64,
    pub(super) tag: [u8; 16],
    is_told: bool,
}

/// Records that may be of the answer by what they show.
#[derive(Debug)]
struct Share {
    block: Option<Tells>,
    leaves: u64,
    uses: Vec<Use>,
    words: Known,
    /// Whether the text that is asked for may be in one of them.
    may_hold_text: bool,
    kept: Kept,
}

/// What a block tells.
#[derive(Clone, Copy, Debug)]
struct Tells {
    /// Where the data key of its words stands.
    key: u64,
    /// Where that of its bits stands, if it has some.
    texts: Option<u64>,
    /// From where on it tells.
    from: u64,
}

/// Under which data keys records are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Use {
    values: u64,
    skeleton: u64,
    outcomes: bool,
    others: bool,
}

#[derive(Debug)]
enum Known {
    /// These words and no others.
    Words(BTreeSet<Word>),
    /// It may hold anything: it could not be read.
    Anything,
}

/// What of a share is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    All,
    /// Its outcomes, which may be of statements before.
    Outcomes,
    Nothing,
}

impl Of {
    /// Of those of which no block tells, that leaf's.
    pub(super) fn untold(leaf: &Descriptor) -> Of {
        Of { segment: leaf.place.segment, tag: leaf.place.tag, is_told: false }
    }
}

impl Narrowing {
    pub(super) fn new(query: &Query) -> Narrowing {
        Narrowing { shares: BTreeMap::new(), text: query.text_sought() }
    }

    /// Adds a leaf that may be of the answer, of whose recipient there is this block in its segment.
    pub(super) fn add(&mut self, leaf: &Descriptor, block: Option<&Block>) {
        let place = &leaf.place;
        let told = |block: &Block| {
            let texts = block.texts.as_ref().filter(|_| self.text.is_some()).map(|texts| texts.key);
            Tells { key: block.key, texts, from: block.from }
        };
        let block = block.filter(|block| place.position >= block.from).map(told);
        let of = Of { segment: place.segment, tag: place.tag, is_told: block.is_some() };
        // Until more is known: what no block tells of is read, for its words.
        let kept = if block.is_some() { Kept::Nothing } else { Kept::All };
        let words = Known::Words(BTreeSet::new());
        let share = || Share { block, leaves: 0, uses: Vec::new(), words, may_hold_text: true, kept };
        let share = self.shares.entry(of).or_insert_with(share);
        let (values, skeleton, is_outcome) = (leaf.values.key, leaf.skeleton.key, place.kind == Kind::Outcome);
        share.leaves += 1;
        match share.uses.last_mut().filter(|last| (last.values, last.skeleton) == (values, skeleton)) {
            Some(last) => (last.outcomes, last.others) = (last.outcomes || is_outcome, last.others || !is_outcome),
            None => share.uses.push(Use { values, skeleton, outcomes: is_outcome, others: !is_outcome }),
        }
    }

    /// Whether it is worth while: what blocks tell nothing of is read twice.
    pub(super) fn is_worth_while(&self) -> bool {
        let leaves = |is_told: bool| -> u64 {
            self.shares.iter().filter(|(of, _)| of.is_told == is_told).map(|(_, share)| share.leaves).sum()
        };
        leaves(true) > 0 && leaves(true) >= leaves(false)
    }

    /// Where the data keys stand that open the words of all shares, and the bits if they are asked for.
    pub(super) fn keys_of_words(&self) -> BTreeSet<u64> {
        let of = |share: &Share| match share.block {
            Some(told) => [Some(told.key), told.texts].into_iter().flatten().collect::<Vec<_>>(),
            None => share.uses.iter().map(|used| used.skeleton).collect(),
        };
        self.shares.values().flat_map(of).collect()
    }

    /// The shares that blocks tell of, with where the data key of each block stands, and that of its bits if they are asked for.
    pub(super) fn told(&self) -> Vec<(Of, u64, Option<u64>)> {
        let told = |(of, share): (&Of, &Share)| share.block.map(|told| (*of, told.key, told.texts));
        self.shares.iter().filter_map(told).collect()
    }

    /// Puts in its bits; none: there is no text in its records any more.
    pub(super) fn tell_texts(&mut self, of: Of, bits: Option<&Pieces>) {
        if let (Some(share), Some(sought)) = (self.shares.get_mut(&of), &self.text) {
            share.may_hold_text = bits.is_some_and(|bits| bits.may_hold(sought));
        }
    }

    /// Puts in its words; none: they could not be read.
    pub(super) fn tell(&mut self, of: Of, words: Option<BTreeSet<Word>>) {
        if let Some(share) = self.shares.get_mut(&of) {
            share.words = words.map_or(Known::Anything, Known::Words);
        }
    }

    /// Whether the leaf is read.
    pub(super) fn keeps(&self, leaf: &Descriptor) -> bool {
        let place = &leaf.place;
        let share = |is_told| self.shares.get(&Of { segment: place.segment, tag: place.tag, is_told });
        let tells = |share: &&Share| share.block.is_some_and(|told| place.position >= told.from);
        match share(true).filter(tells).or_else(|| share(false)).map_or(Kept::Nothing, |share| share.kept) {
            Kept::All => true,
            Kept::Outcomes => place.kind == Kind::Outcome,
            Kept::Nothing => false,
        }
    }

    /// The segments of which something is read.
    pub(super) fn segments(&self) -> BTreeSet<u64> {
        self.kept().map(|(of, _)| of.segment).collect()
    }

    /// The tags of whom something is read in that segment.
    pub(super) fn tags_in(&self, segment: u64) -> BTreeSet<[u8; 16]> {
        let all = |tag, is_told| Of { segment, tag: [tag; 16], is_told };
        let shares = self.shares.range(all(0, false)..=all(u8::MAX, true));
        shares.filter(|(_, share)| share.kept != Kept::Nothing).map(|(of, _)| of.tag).collect()
    }

    /// Where the data keys stand of what is read.
    pub(super) fn keys(&self) -> BTreeSet<u64> {
        let needs = |share: &Share, used: &Use| used.outcomes || share.kept == Kept::All && used.others;
        let of = |share: &'_ Share| -> Vec<u64> {
            share.uses.iter().filter(|used| needs(share, used)).flat_map(|used| [used.values, used.skeleton]).collect()
        };
        self.kept().flat_map(|(_, share)| of(share)).collect()
    }

    fn kept(&self) -> impl Iterator<Item = (&Of, &Share)> {
        self.shares.iter().filter(|(_, share)| share.kept != Kept::Nothing)
    }

    /// Decides what is read, now that the words of all shares are known.
    pub(super) fn decide(&mut self, query: &Query) {
        let sought = Sought::of(query);
        if query.follows() {
            self.keep_by_their_states(&sought);
        } else {
            for share in self.shares.values_mut() {
                let is_it = sought.may_be_in(share) && sought.has_state(&share.words);
                share.kept = if is_it { Kept::All } else { Kept::Nothing };
            }
        }
        if query.joins() {
            self.keep_outcomes(&sought);
        }
    }

    /// Keeps what may be asked for and has the SQLSTATE, or a session in which there it is then or later.
    fn keep_by_their_states(&mut self, sought: &Sought) {
        let mut after = Sessions::default();
        for of in self.in_segments().into_iter().rev() {
            let states = of.iter().filter_map(|of| self.shares.get(of)).filter(|share| sought.has_state(&share.words));
            states.for_each(|share| after.add(&share.words, |_| true));
            for of in of {
                let Some(share) = self.shares.get_mut(&of) else { continue };
                let has = sought.has_state(&share.words) || after.meet(&share.words, |word| sought.is_act(word));
                share.kept = if sought.may_be_in(share) && has { Kept::All } else { Kept::Nothing };
            }
        }
    }

    /// Keeps the outcomes of what is kept, there and later: they are of the same session.
    fn keep_outcomes(&mut self, sought: &Sought) {
        let mut before = Sessions::default();
        for of in self.in_segments() {
            let kept = of.iter().filter_map(|of| self.shares.get(of)).filter(|share| share.kept == Kept::All);
            kept.for_each(|share| before.add(&share.words, |word| sought.is_act(word)));
            for of in of {
                let Some(share) = self.shares.get_mut(&of) else { continue };
                if share.kept == Kept::Nothing && before.meet(&share.words, |_| true) {
                    share.kept = Kept::Outcomes;
                }
            }
        }
    }

    /// All shares by their segments, in order.
    fn in_segments(&self) -> Vec<Vec<Of>> {
        let all: Vec<Of> = self.shares.keys().copied().collect();
        all.chunk_by(|a, b| a.segment == b.segment).map(<[Of]>::to_vec).collect()
    }
}

/// Sessions that were met.
#[derive(Default)]
struct Sessions {
    known: HashSet<u64>,
    /// Of some nobody knows which they are.
    any: bool,
}

impl Sessions {
    fn add(&mut self, words: &Known, is_it: impl Fn(Word) -> bool) {
        match words {
            Known::Anything => self.any = true,
            Known::Words(words) => {
                self.known.extend(words.iter().filter(|word| is_it(**word)).filter_map(|word| word.session()));
            }
        }
    }

    fn meet(&self, words: &Known, is_it: impl Fn(Word) -> bool) -> bool {
        match words {
            Known::Anything => self.any || !self.known.is_empty(),
            Known::Words(words) => words
                .iter()
                .filter(|word| is_it(**word))
                .any(|word| word.session().is_some_and(|session| self.any || self.known.contains(&session))),
        }
    }
}

/// What is asked for, in words.
struct Sought {
    session: Option<u64>,
    staff: Option<u64>,
    relation: Option<u64>,
    state: Option<u64>,
}

impl Sought {
    fn of(query: &Query) -> Sought {
        Sought {
            session: query.session.map(words::session),
            staff: query.staff.map(|staff| staff.0),
            relation: query.table.as_deref().map(words::relation),
            state: query.sqlstate.as_deref().map(words::state),
        }
    }

    /// Whether it is an act by whom, and in which session, is asked for.
    fn is_act(&self, word: Word) -> bool {
        let (session, staff) = match word {
            Word::Act { session, staff } => (Some(session), Some(staff)),
            Word::Session(session) => (Some(session), None),
            Word::Staff(staff) => (None, Some(staff)),
            Word::Relation(_) | Word::State(_) => return false,
        };
        (self.session.is_none() || self.session == session) && (self.staff.is_none() || self.staff == staff)
    }

    /// Whether a record of that share may be asked for, but for its SQLSTATE.
    fn may_be_in(&self, share: &Share) -> bool {
        let Known::Words(words) = &share.words else { return share.may_hold_text };
        let any_act = self.session.is_none() && self.staff.is_none();
        share.may_hold_text
            && (any_act || words.iter().any(|word| self.is_act(*word)))
            && self.relation.is_none_or(|name| words.contains(&Word::Relation(name)))
    }

    fn has_state(&self, words: &Known) -> bool {
        let Known::Words(words) = words else { return true };
        self.state.is_none_or(|code| words.contains(&Word::State(code)))
    }
}

#[cfg(test)]
#[path = "narrow_tests.rs"]
mod tests;
