//! Which leaves of a log a query can be about: where an index tells, the batches to read and in each the leaves; in a segment
//! without one, the leaves whose parts are read. Of a log none of whose indexes can be believed everything is read.
//! Not here: whether a leaf that is read belongs to the answer (`search.rs`); every leaf that is left out could not.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::path::Path;

use super::index::{Index, Span};
use super::indexes::{self, Indexes};
use super::narrow::Narrowing;
use super::search::Query;
use crate::audit::descriptor::Descriptor;
use crate::audit::keys::{Recipient, Recipients};
use crate::audit::record::Kind;
use crate::audit::tag::Tagger;
use crate::clock::Timestamp;
use crate::disk::Disk;

/// Chooses for one query in one log.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    pub(super) indexes: &'a Indexes,
    query: &'a Query,
    whose: Whose,
    /// The only segments in which there is anything, if that is known.
    segments: Option<&'a BTreeSet<u64>>,
    /// What else cannot be of the answer, if that is known.
    narrowed: Option<&'a Narrowing>,
    /// Whether a statement may have been come to whose outcome is looked for, whatever its time.
    follows: bool,
}

#[derive(Debug)]
enum Whose {
    /// Anybody's.
    All,
    /// One recipient's.
    One(Box<Tagger>),
    /// Nobody's: there is no key by which they would be recognised.
    Nobody,
}

/// A segment that may be read.
pub(super) struct Segment<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) dir: &'a Path,
    pub(super) number: u64,
    /// Its first block.
    pub(super) block: &'a [u8],
}

/// What is to be read of a segment.
#[derive(Debug)]
pub(super) struct Visits {
    pub(super) batches: VecDeque<Visit>,
    /// The position behind the segment's last leaf, if another segment follows.
    pub(super) end: u64,
}

/// A batch to be read.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) offset: u64,
    /// The position of its first leaf.
    pub(super) first: u64,
    /// How many leaves it has.
    pub(super) leaves: u32,
    /// Which of them, in order; none: all.
    slots: Option<Vec<u32>>,
}

impl<'a> Choice<'a> {
    pub(super) fn new(indexes: &'a Indexes, query: &'a Query, recipients: &Recipients, origin: &str) -> Choice<'a> {
        let whose = match query.customer {
            None => Whose::All,
            Some(customer) => match recipients.tag(Recipient::Customer(customer)) {
                Some(key) => Whose::One(Box::new(Tagger::new(&key, origin))),
                None => Whose::Nobody,
            },
        };
        // Where reading goes on, it may have been come to before.
        let follows = query.follows() && query.start(origin) > 0;
        Choice { indexes, query, whose, segments: None, narrowed: None, follows }
    }

    /// The same, of which it is known by now that it is in these segments only.
    pub(super) fn within(self, segments: &'a BTreeSet<u64>) -> Choice<'a> {
        Choice { segments: Some(segments), follows: self.query.follows(), ..self }
    }

    /// The same, without what is left out there.
    pub(super) fn narrowed(self, narrowed: Option<&'a Narrowing>) -> Choice<'a> {
        Choice { narrowed, ..self }
    }

    /// What is to be read of that segment from a position on; none if no index tells. To be asked of each in order.
    pub(super) fn visits(&mut self, at: &Segment<'_>, from: u64) -> Option<Visits> {
        let visits = self.visits_by_index(at, from);
        self.follows |= visits.is_none() && self.query.follows();
        visits
    }

    fn visits_by_index(&mut self, at: &Segment<'_>, from: u64) -> Option<Visits> {
        let Segment { disk, dir, number: segment, block } = *at;
        if self.segments.is_some_and(|segments| !segments.contains(&segment)) {
            let end = indexes::header(disk, dir, segment + 1).map_or(from, |next| next.first_position);
            return Some(Visits { batches: VecDeque::new(), end });
        }
        let head = self.indexes.head(disk, dir, segment, block)?;
        let (first, end) = (head.first_position, head.end_position());
        let mut visits = Visits { batches: VecDeque::new(), end };
        let reaches = self.query.reaches(head.earliest, head.latest) || self.follows;
        if reaches && !self.query.is_outside(&(first..end)) && !matches!(self.whose, Whose::Nobody) {
            let index = self.indexes.whole(disk, dir, &head)?;
            let own = match (&self.whose, self.narrowed) {
                (Whose::One(tagger), _) => Some(Cow::Borrowed(index.leaves_of(&tagger.tag(segment)))),
                (_, Some(narrowed)) => Some(Cow::Owned(leaves_of(&index, narrowed))),
                (Whose::All | Whose::Nobody, None) => None,
            };
            visits.batches = self.batches(&index, own.as_deref(), from);
        }
        Some(visits)
    }

    /// Whether leaves of a batch, from one time to another, may belong to the answer; where their times say nothing, also
    /// those that follow do.
    fn reaches(&mut self, earliest: Timestamp, latest: Timestamp) -> bool {
        let reaches = self.query.reaches(earliest, latest);
        self.follows |= reaches && self.query.follows();
        reaches || self.follows
    }

    /// The batches in which one of `own` is, or all; without those that are too early or too late to be of the answer.
    fn batches(&mut self, index: &Index, own: Option<&[u32]>, from: u64) -> VecDeque<Visit> {
        let (first, mut own) = (index.head.first_position, own);
        let mut visit = |(span, within): (Span, Range<u32>)| {
            let slots = own.as_mut().map(|own| {
                let (here, rest) = own.split_at(own.partition_point(|leaf| *leaf < within.end));
                *own = rest;
                here.iter().map(|leaf| leaf - within.start).collect::<Vec<u32>>()
            });
            let positions = first + u64::from(within.start)..first + u64::from(within.end);
            let is_wanted = !slots.as_ref().is_some_and(Vec::is_empty)
                && positions.end > from
                && !self.query.is_outside(&positions)
                && self.reaches(span.earliest, span.latest);
            let leaves = within.end - within.start;
            is_wanted.then(|| Visit { offset: span.offset(), first: positions.start, leaves, slots })
        };
        index.batches().filter_map(&mut visit).collect()
    }

    /// Whether the parts of a leaf in a visited batch are read.
    pub(super) fn wants(&self, visit: &Visit, leaf: &Descriptor) -> bool {
        let is_own = visit.slots.as_ref().is_none_or(|slots| slots.binary_search(&leaf.place.slot).is_ok());
        is_own && self.may_show(leaf)
    }

    /// Whose leaves are chosen in a segment that has no index; none if no index of the log is believed.
    pub(super) fn by_leaves(&self, segment: u64) -> Option<ByLeaves> {
        self.indexes.are_believed().then(|| match &self.whose {
            Whose::All => ByLeaves::All,
            Whose::One(tagger) => ByLeaves::Tagged(tagger.tag(segment)),
            Whose::Nobody => ByLeaves::None,
        })
    }

    /// Whether the parts of a leaf in a segment without an index are read.
    pub(super) fn wants_by(&self, by: &ByLeaves, leaf: &Descriptor) -> bool {
        let is_own = match by {
            ByLeaves::All => true,
            ByLeaves::Tagged(tag) => *tag == leaf.place.tag,
            ByLeaves::None => false,
        };
        is_own && self.may_show(leaf)
    }

    fn may_show(&self, leaf: &Descriptor) -> bool {
        match (leaf.place.kind, self.narrowed) {
            (Kind::DataKey, narrowed) => narrowed.is_none(),
            (_, narrowed) => self.query.may_show(leaf) && narrowed.is_none_or(|narrowed| narrowed.keeps(leaf)),
        }
    }
}

/// The leaves in that segment of whom something is read.
fn leaves_of(index: &Index, narrowed: &Narrowing) -> Vec<u32> {
    let tags = narrowed.tags_in(index.head.segment);
    let mut leaves: Vec<u32> = tags.iter().flat_map(|tag| index.leaves_of(tag)).copied().collect();
    leaves.sort_unstable();
    leaves
}

/// Whose leaves are chosen in a segment without an index.
#[derive(Clone, Copy, Debug)]
pub(super) enum ByLeaves {
    /// Everybody's.
    All,
    /// Those with this tag.
    Tagged([u8; 16]),
    /// Nobody's.
    None,
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
