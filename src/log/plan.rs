//! What one log has for a query: first which data keys that needs, then its records in order, opened one by one.
//! Not here: what a query asks (`search.rs`), and which outcome belongs to which statement (`search.rs`, `stream.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::Path;

use super::Error;
use super::blocks::{Block, InTurn};
use super::choice::Choice;
use super::entries::Entries;
use super::indexes::Indexes;
use super::narrow::{Narrowing, Of};
use super::open::{DataKeys, Opened, open};
use super::reader::{Content, Entry, Reader};
use super::search::{Found, Query};
use super::stream::Watch;
use crate::audit::keys::{Part, Recipient, Recipients, SealedDataKey};
use crate::audit::record::{Kind, Record};
use crate::audit::tag::Tags;
use crate::audit::words::{Word, Words};
use crate::secret::Secret;

/// Which data keys one log needs, and how far it was read to know that.
pub(super) struct Plan {
    reader: Reader,
    indexes: Indexes,
    /// Data keys that are still to be opened.
    keys: BTreeMap<u64, SealedDataKey>,
    /// Others that may be asked for when it is known what blocks tell.
    met: HashMap<u64, SealedDataKey>,
    /// Where data keys stand that nothing opens any more.
    erased: BTreeSet<u64>,
    /// The segments in which there is a record that may be of the answer.
    segments: BTreeSet<u64>,
    /// What else cannot be of it; none if nothing tells.
    narrowing: Option<Narrowing>,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// What reading a log once gives.
struct Surveyed {
    /// The data keys that were met.
    sealed: HashMap<u64, SealedDataKey>,
    /// Where those stand that are wanted.
    wanted: BTreeSet<u64>,
    narrowing: Option<Narrowing>,
}

impl Plan {
    /// Reads once what may be of the answer, opening nothing. Kept are only data keys that may be those of the answer. If
    /// there are blocks and it may go by them, only those that open their words: then [`Plan::narrow`] tells the others.
    pub(super) fn make(
        dir: &Path,
        query: &Query,
        recipients: &Recipients,
        watch: &Watch,
        by_blocks: bool,
    ) -> Result<Plan, Error> {
        let reader = Reader::pinned(dir, &query.pinned)?;
        let indexes = Indexes::of(query.pinned.get(reader.origin()).copied());
        let start = query.start(reader.origin());
        let (keys, met, erased, segments) = (BTreeMap::new(), HashMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut plan = Plan { reader, indexes, keys, met, erased, segments, narrowing: None, start, end: start };
        let Surveyed { mut sealed, wanted, narrowing } = plan.survey(query, recipients, watch, by_blocks)?;
        plan.narrowing = narrowing.filter(Narrowing::is_worth_while);
        let Some(narrowing) = &plan.narrowing else {
            plan.take_keys(&mut sealed, wanted, query, recipients)?;
            return Ok(plan);
        };
        let of_words = narrowing.keys_of_words();
        plan.take_keys(&mut sealed, of_words, query, recipients)?;
        sealed.retain(|position, _| wanted.contains(position));
        plan.met = sealed;
        Ok(plan)
    }

    fn survey(
        &mut self,
        query: &Query,
        recipients: &Recipients,
        watch: &Watch,
        by_blocks: bool,
    ) -> Result<Surveyed, Error> {
        let reader = &self.reader;
        let mut tags = Tags::of(recipients, reader.origin(), query.recipient());
        let choice = Choice::new(&self.indexes, query, recipients, reader.origin());
        let public = self.indexes.public().filter(|_| by_blocks && query.narrows());
        let mut told = public.map(|public| (Narrowing::new(query), InTurn::of(reader, public)));
        let (mut sealed, mut wanted) = (HashMap::new(), BTreeSet::new());
        // What an outcome is of stands before it: one before all that is asked for is of nothing that is.
        let mut is_begun = self.start > 0;
        let mut entries = reader.chosen_from(self.start, choice).watched(watch, true);
        while let Some(entry) = entries.next().transpose()? {
            self.end = entry.position() + 1;
            if query.at.is_some_and(|at| entry.position() > at) {
                return Ok(Surveyed { sealed, wanted, narrowing: None });
            }
            let Some(recipient) = entry.recipient(&mut tags) else { continue };
            if let Some(key) = entry.data_key(reader.origin(), recipient) {
                if query.concerns(recipient) {
                    sealed.insert(entry.position(), key);
                }
            } else if query.may_match(&entry, recipient) && (is_begun || !query.is_early(entry.descriptor.place.at)) {
                is_begun = true;
                wanted.extend([entry.descriptor.values.key, entry.descriptor.skeleton.key]);
                let place = &entry.descriptor.place;
                self.segments.insert(place.segment);
                if let Some((narrowing, kept)) = &mut told {
                    let blocks = kept.of_segment(place.segment);
                    narrowing.add(&entry.descriptor, blocks.and_then(|blocks| blocks.of(&place.tag)));
                }
            }
        }
        self.end = entries.position();
        entries.check_end(self.end)?;
        Ok(Surveyed { sealed, wanted, narrowing: told.map(|(narrowing, _)| narrowing) })
    }

    /// Whether blocks may tell what cannot be of the answer.
    pub(super) fn is_narrowed(&self) -> bool {
        self.narrowing.is_some()
    }

    /// Leaves out what cannot be of the answer, now that the data keys asked for are opened, and asks for the others.
    pub(super) fn narrow(
        &mut self,
        query: &Query,
        recipients: &Recipients,
        keys: &DataKeys,
        watch: &Watch,
    ) -> Result<(), Error> {
        let Some(mut narrowing) = self.narrowing.take() else { return Ok(()) };
        self.tell(&mut narrowing, keys);
        self.read_words(&mut narrowing, query, recipients, keys, watch)?;
        narrowing.decide(query);
        self.segments = narrowing.segments();
        let wanted = narrowing.keys().into_iter().filter(|key| !keys.holds(*key) && !self.erased.contains(key));
        let (wanted, mut met) = (wanted.collect(), std::mem::take(&mut self.met));
        self.take_keys(&mut met, wanted, query, recipients)?;
        self.narrowing = Some(narrowing);
        Ok(())
    }

    /// What the blocks tell.
    fn tell(&self, narrowing: &mut Narrowing, keys: &DataKeys) {
        let Some(public) = self.indexes.public() else { return };
        let (origin, mut kept) = (self.reader.origin(), InTurn::of(&self.reader, public));
        for (of, key, texts) in narrowing.told() {
            let segment = of.segment;
            let is_its = |block: &&Block| block.key == key;
            let block = kept.of_segment(segment).and_then(|blocks| blocks.of(&of.tag)).filter(is_its);
            let does_not_open = |key: u64| {
                tracing::warn!(log = origin, segment, key, "a block does not open; the segment's records are read");
            };
            // Whatever is erased says nothing, and neither do the records of which the block told.
            let words = if self.erased.contains(&key) {
                Some(BTreeSet::new())
            } else {
                block.zip(keys.get(key)).and_then(|(block, key)| block.open(origin, segment, key))
            };
            if words.is_none() {
                does_not_open(key);
            }
            narrowing.tell(of, words);
            let Some(texts) = texts else { continue };
            if self.erased.contains(&texts) {
                narrowing.tell_texts(of, None);
                continue;
            }
            match block.zip(keys.get(texts)).and_then(|(block, key)| block.open_texts(origin, segment, key)) {
                Some(bits) => narrowing.tell_texts(of, Some(&bits)),
                None => does_not_open(texts),
            }
        }
    }

    /// The words of what no block tells of.
    fn read_words(
        &self,
        narrowing: &mut Narrowing,
        query: &Query,
        recipients: &Recipients,
        keys: &DataKeys,
        watch: &Watch,
    ) -> Result<(), Error> {
        let (origin, segments) = (self.reader.origin(), narrowing.segments());
        if segments.is_empty() {
            return Ok(());
        }
        let mut tags = Tags::of(recipients, origin, query.recipient());
        let mut read: BTreeMap<Of, Option<BTreeSet<Word>>> = BTreeMap::new();
        let choice = Choice::new(&self.indexes, query, recipients, origin).within(&segments).narrowed(Some(narrowing));
        for entry in self.reader.chosen_from(self.start, choice).watched(watch, false) {
            let entry = entry?;
            if entry.position() >= self.end {
                break;
            }
            let Some(recipient) = entry.recipient(&mut tags) else { continue };
            if matches!(entry.content, Content::DataKey { .. }) || !narrowing.keeps(&entry.descriptor) {
                continue;
            }
            let words = read.entry(Of::untold(&entry.descriptor)).or_insert_with(|| Some(BTreeSet::new()));
            match open(origin, &entry, recipient, keys) {
                Ok(opened) => {
                    let own = Words::of(&opened.record.skeleton, None);
                    words.iter_mut().for_each(|words| words.extend(own.all()));
                }
                Err(_) => *words = None,
            }
        }
        read.into_iter().for_each(|(of, words)| narrowing.tell(of, words));
        Ok(())
    }

    fn take_keys(
        &mut self,
        sealed: &mut HashMap<u64, SealedDataKey>,
        wanted: BTreeSet<u64>,
        query: &Query,
        recipients: &Recipients,
    ) -> Result<(), Error> {
        let mut tags = Tags::of(recipients, self.reader.origin(), query.recipient());
        for position in wanted {
            let key = match sealed.remove(&position) {
                // It stands before where reading began, or in a batch that was left out.
                None => self.data_key_at(&mut tags, position, query, recipients)?,
                key => key,
            };
            match key {
                Some(key) if recipients.is_erased(key.recipient, key.part, key.period) => {
                    self.erased.insert(position);
                }
                key => self.keys.extend(key.map(|key| (position, key))),
            }
        }
        Ok(())
    }

    fn data_key_at(
        &self,
        tags: &mut Tags,
        position: u64,
        query: &Query,
        recipients: &Recipients,
    ) -> Result<Option<SealedDataKey>, Error> {
        let only = Query { customer: query.customer, at: Some(position), ..Query::default() };
        let choice = Choice::new(&self.indexes, &only, recipients, self.reader.origin());
        let Some(entry) = self.reader.chosen_from(position, choice).next().transpose()? else { return Ok(None) };
        let recipient = entry.recipient(tags).filter(|_| entry.position() == position);
        Ok(recipient.and_then(|recipient| entry.data_key(self.reader.origin(), recipient)))
    }

    /// The data keys to open, in order.
    pub(super) fn sealed(&self) -> impl Iterator<Item = &SealedDataKey> {
        self.keys.values()
    }

    /// Puts them in, once `opened` gives them in that order.
    pub(super) fn take_opened(&mut self, opened: &mut impl Iterator<Item = Secret<[u8; 32]>>, keys: &mut DataKeys) {
        let asked = std::mem::take(&mut self.keys);
        for (position, key) in asked.keys().zip(opened) {
            keys.insert(*position, &key);
        }
    }

    /// The records that may match from that position on, opened; and outcomes of statements that may.
    pub(super) fn records<'a>(
        &'a self,
        query: &'a Query,
        recipients: &'a Recipients,
        keys: &'a DataKeys,
        watch: &'a Watch,
        from: u64,
    ) -> Records<'a> {
        let tags = Tags::of(recipients, self.reader.origin(), query.recipient());
        let choice = Choice::new(&self.indexes, query, recipients, self.reader.origin());
        let choice = choice.within(&self.segments).narrowed(self.narrowing.as_ref());
        let entries = self.reader.chosen_from(from, choice).watched(watch, false);
        let (only, unfolded) = (None, VecDeque::new());
        Records { plan: self, query, keys, watch, only, tags, entries, unfolded, position: from, passed: from }
    }

    fn erased_of(&self, entry: &Entry, sealed: &[Part]) -> Vec<Part> {
        let is_erased = |part: &Part| self.erased.contains(&entry.descriptor.part(*part).key);
        sealed.iter().copied().filter(is_erased).collect()
    }

    pub(super) fn origin(&self) -> &str {
        self.reader.origin()
    }
}

/// The opened records of one log; one that does not open is given with its fault.
pub(super) struct Records<'a> {
    plan: &'a Plan,
    query: &'a Query,
    keys: &'a DataKeys,
    watch: &'a Watch,
    /// Records of no other kind are opened, and leaves are not counted.
    only: Option<Kind>,
    tags: Tags,
    entries: Entries<'a>,
    /// What the record at `position` tells of besides, if it tells of several frames.
    unfolded: VecDeque<Found>,
    /// The next position; while there is more of a record, its own.
    pub(super) position: u64,
    /// Up to where who watches was told.
    passed: u64,
}

impl Iterator for Records<'_> {
    type Item = Result<Found, Error>;

    fn next(&mut self) -> Option<Result<Found, Error>> {
        if let Some(found) = self.unfolded.pop_front() {
            self.position = found.position + u64::from(self.unfolded.is_empty());
            return Some(Ok(found));
        }
        loop {
            let entry = match self.entries.next().transpose() {
                Ok(entry) => entry.filter(|entry| entry.position() < self.plan.end),
                Err(error) => return Some(Err(error)),
            };
            if let Err(error) = self.pass(entry.as_ref().map_or(self.plan.end, |entry| entry.position() + 1)) {
                return Some(Err(error));
            }
            let entry = entry?;
            self.position = entry.position() + 1;
            if self.only.is_some_and(|only| only != entry.kind()) {
                continue;
            }
            let Some(recipient) = entry.recipient(&mut self.tags) else { continue };
            let is_left_out = |narrowing: &Narrowing| !narrowing.keeps(&entry.descriptor);
            if matches!(entry.content, Content::DataKey { .. })
                || !self.query.may_match(&entry, recipient)
                || self.plan.narrowing.as_ref().is_some_and(is_left_out)
            {
                continue;
            }
            self.unfolded = self.found(&entry, recipient);
            return self.next();
        }
    }
}

impl Records<'_> {
    /// Those of that kind only, looked at beside the others.
    pub(super) fn only(self, kind: Kind) -> Self {
        Records { only: Some(kind), ..self }
    }

    /// Tells who watches that all up to that position is read or passed over.
    fn pass(&mut self, position: u64) -> Result<(), Error> {
        let passed = position.saturating_sub(std::mem::replace(&mut self.passed, position));
        self.watch.pass(if self.only.is_none() { passed } else { 0 })
    }

    /// A row for each frame or outcome that the record tells of.
    fn found(&self, entry: &Entry, recipient: Recipient) -> VecDeque<Found> {
        let (opened, fault) = match open(self.plan.origin(), entry, recipient, self.keys) {
            Ok(opened) => (opened, None),
            Err(error) => {
                let record = Record::new(entry.descriptor.place.at, entry.kind(), recipient.customer());
                (Opened { record, still_sealed: Part::ALL.to_vec() }, Some(error.to_string()))
            }
        };
        let erased = self.plan.erased_of(entry, &opened.still_sealed);
        let found = |record| Found {
            log: self.plan.origin().to_owned(),
            position: entry.position(),
            record,
            still_sealed: opened.still_sealed.clone(),
            erased: erased.clone(),
            outcome: None,
            fault: fault.clone(),
        };
        opened.record.unfold().into_iter().map(found).collect()
    }
}
