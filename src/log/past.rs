//! What a writer remembers of its log's segments, so that each recipient's records stay one chain: of a finished segment
//! where it ends and how its tags begin; its tags are read again when a recipient's first record since the start is written.
//! Not here: links (`batch.rs`). What is read is believed only if it ends where the writer knows that the segment ends.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::index::End;
use super::segment::{Depth, Found, batch_at, file_name};
use super::summary::{self, Tags};
use super::verify::Verdict;
use crate::audit::checkpoint::SigningKey;
use crate::audit::descriptor::Descriptor;
use crate::audit::record::Kind;
use crate::audit::tag::Tagger;
use crate::audit::tree::Hash;
use crate::disk::{BLOCK_BYTES, Disk, ReadAt};

/// How many tags' beginnings are kept, at most: 8 MiB of them, which is 2,000 segments of 1,000 recipients. Of what is older
/// a recipient that is not in any newer segment costs one reading of each segment's summary, once.
const BEGINNINGS_MAX: usize = 2 << 20;

/// How many tags are kept whole, at most, unless the segment that was finished last has more: those of the segments that were
/// finished or read last, where most recipients are found.
const RECENT_MAX: usize = 32 << 10;

/// How a tag begins.
type Beginning = u32;

/// Where a log's files are, and by whose signature a summary is believed.
pub struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    public: [u8; 32],
}

/// A log's segments: those that are finished, and the one that is being written.
#[derive(Debug)]
pub struct Past {
    /// By their numbers.
    finished: Vec<Finished>,
    /// Each tag of the one that is being written, with the hash of its last record's leaf; what was written since the start
    /// is only added when the segment is finished, or the recipient forgotten.
    begun: Tags,
    /// The tags of those that were finished or read last, that one last.
    recent: VecDeque<(u64, Tags)>,
    /// How many tags' beginnings are kept.
    kept: usize,
    kept_max: usize,
    /// Of the segments before this one no beginnings are kept.
    oldest_kept: usize,
}

#[derive(Debug)]
struct Finished {
    end: End,
    /// In order; none: any tag may be in it.
    beginnings: Option<Box<[Beginning]>>,
}

impl Default for Past {
    fn default() -> Past {
        Past {
            finished: Vec::new(),
            begun: Tags::new(),
            recent: VecDeque::new(),
            kept: 0,
            kept_max: BEGINNINGS_MAX,
            oldest_kept: 0,
        }
    }
}

impl Past {
    /// The number of the segment that is being written.
    pub fn begun(&self) -> u64 {
        self.finished.len() as u64
    }

    /// Its last leaf of that tag has that hash.
    pub fn add(&mut self, tag: [u8; 16], last: Hash) {
        self.begun.insert(tag, last);
    }

    /// The segment ends there, and the next one is begun. Gives its tags.
    pub fn finish(&mut self, end: End) -> &Tags {
        let tags = std::mem::take(&mut self.begun);
        let mut beginnings: Vec<Beginning> = tags.keys().map(beginning).collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        self.kept += beginnings.len();
        let segment = self.begun();
        self.finished.push(Finished { end, beginnings: Some(beginnings.into_boxed_slice()) });
        while self.kept > self.kept_max
            && let Some(oldest) = self.finished.get_mut(self.oldest_kept)
        {
            self.kept -= oldest.beginnings.take().map_or(0, |dropped| dropped.len());
            self.oldest_kept += 1;
        }
        self.keep(segment, tags)
    }

    /// A finished segment that holds these tags ends there.
    pub fn skip(&mut self, end: End, tags: Tags) {
        self.begun = tags;
        self.finish(end);
    }

    /// Nothing is left of the segment that was begun last: the log goes on in the one before, which was finished last.
    pub fn reopen(&mut self) {
        let Some(Finished { beginnings, .. }) = self.finished.pop() else { return };
        self.kept -= beginnings.map_or(0, |beginnings| beginnings.len());
        self.oldest_kept = self.oldest_kept.min(self.finished.len());
        self.begun = self.recent.pop_back().map(|(_, tags)| tags).unwrap_or_default();
    }

    /// The hash of a recipient's last leaf; none: it has no record in the log.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Unsound`]: nobody knows whether there is one, so that none may be written behind it.
    pub fn last_of(&mut self, tagger: &Tagger, files: &Files) -> Result<Option<Hash>, Error> {
        if let Some(last) = self.begun.get(&tagger.tag(self.begun())) {
            return Ok(Some(*last));
        }
        for segment in (0..self.begun()).rev() {
            let tag = tagger.tag(segment);
            if self.may_hold(segment, &tag)
                && let Some(last) = self.tags_of(segment, files)?.get(&tag)
            {
                return Ok(Some(*last));
            }
        }
        Ok(None)
    }

    /// Each tag of that finished segment, with the hash of its last record's leaf.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Unsound`].
    pub fn tags_of(&mut self, segment: u64, files: &Files) -> Result<&Tags, Error> {
        let known = self.recent.iter().position(|(of, _)| *of == segment);
        let tags = match known.and_then(|known| self.recent.remove(known)) {
            Some((_, tags)) => tags,
            None => files.tags(segment, self.start_of(segment), self.start_of(segment + 1))?,
        };
        Ok(self.keep(segment, tags))
    }

    /// Keeps the tags of that segment, and of those before it no more than there is room for.
    fn keep(&mut self, segment: u64, tags: Tags) -> &Tags {
        let mut room = RECENT_MAX.saturating_sub(tags.len());
        let fits = |(_, tags): &&(u64, Tags)| match room.checked_sub(tags.len()) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        let fit = self.recent.iter().rev().take_while(fits).count();
        self.recent.drain(..self.recent.len() - fit);
        self.recent.push_back((segment, tags));
        &self.recent.back().expect("it was just put there").1
    }

    fn may_hold(&self, segment: u64, tag: &[u8; 16]) -> bool {
        let beginnings = self.finished(segment).and_then(|finished| finished.beginnings.as_ref());
        beginnings.is_none_or(|beginnings| beginnings.binary_search(&beginning(tag)).is_ok())
    }

    /// Where that segment starts: where the one before it ends.
    fn start_of(&self, segment: u64) -> End {
        let before = segment.checked_sub(1).and_then(|before| self.finished(before));
        before.map_or(End { position: 0, batch: 0, previous: [0; 32] }, |finished| finished.end)
    }

    fn finished(&self, segment: u64) -> Option<&Finished> {
        self.finished.get(usize::try_from(segment).ok()?)
    }
}

impl Files {
    /// Of the log in that directory, which is signed by that key.
    pub fn of(disk: &Arc<dyn Disk>, dir: &Path, signing: &SigningKey) -> Files {
        Files { disk: Arc::clone(disk), dir: dir.to_owned(), public: signing.public() }
    }

    /// The tags of the segment that goes from there to there: from its summary, or else from its leaves.
    fn tags(&self, segment: u64, from: End, end: End) -> Result<Tags, Error> {
        let path = self.dir.join(file_name(segment));
        let storage = |error| Error::storage("read", &path, &error);
        let file = self.disk.open_to_read(&path).map_err(storage)?;
        let mut block = vec![0; BLOCK_BYTES];
        file.read_at(0, &mut block).map_err(storage)?;
        let summary = summary::read(self.disk.as_ref(), &self.dir, segment, &block, &self.public);
        match summary.filter(|summary| summary.ends() == end) {
            Some(summary) => Ok(summary.tags),
            None => self.tags_in(file.as_ref(), &path, from, end),
        }
    }

    /// From its leaves, which are the log's only if each batch continues the one before, from there to there.
    fn tags_in(&self, file: &dyn ReadAt, path: &Path, from: End, end: End) -> Result<Tags, Error> {
        let storage = |error| Error::storage("read", path, &error);
        let length = file.len().map_err(storage)?;
        let (mut at, mut offset, mut tags) = (from, BLOCK_BYTES as u64, Tags::new());
        while at != end {
            let batch = match batch_at(file, offset, length, Depth::Leaves).map_err(storage)? {
                Found::Batch(batch) if End::before(&batch.header) == at && at.batch < end.batch => batch,
                Found::Batch(_) | Found::Bad(_) | Found::Nothing => {
                    let name = path.file_name().unwrap_or_default().display();
                    let detail = format!("the batch in {name} at byte {offset} is not the one that was written");
                    return Err(Error::unsound(&self.dir, Verdict::Forked, detail));
                }
            };
            let chained = batch.leaves.iter().map(|leaf| &leaf.descriptor).filter(|leaf| is_chained(leaf));
            tags.extend(chained.map(|leaf| (leaf.place.tag, leaf.leaf_hash())));
            at = End { position: batch.header.end_position(), batch: at.batch + 1, previous: batch.digest };
            offset += batch.header.length;
        }
        Ok(tags)
    }
}

/// Whether the leaf is a record of somebody's chain.
pub fn is_chained(leaf: &Descriptor) -> bool {
    leaf.place.kind != Kind::DataKey && !leaf.place.kind.is_public()
}

fn beginning(tag: &[u8; 16]) -> Beginning {
    let [a, b, c, d, ..] = *tag;
    Beginning::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
#[path = "past_tests.rs"]
mod tests;
