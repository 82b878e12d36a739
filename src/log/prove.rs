//! Makes a proof from a log: which records of it are sealed to one customer in a period, all of them and nobody else's.
//! Not here: what must hold of it (`audit/proof/check.rs`), and who asks the keyring for the data keys (`cli/`).
//! Reads the log twice, leaf by leaf. HOLE: where the customer has no record after the period, every leaf between its
//! last one and the period's end is listed, 230 bytes each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Error;
use super::reader::{Content, Entry, Reader};
use super::stream::Watch;
use super::verify::Verdict;
use crate::audit::checkpoint::{self, Checkpoint};
use crate::audit::consistency::{Roots, consistency_ranges, ranges_without};
use crate::audit::descriptor::Descriptor;
use crate::audit::keys::{Recipient, Recipients, SealedDataKey};
use crate::audit::proof::{Base64, Earlier, Listed, LogProof, OpenedKey, Period};
use crate::audit::record::Kind;
use crate::audit::tag::Tagger;
use crate::audit::tree::Hash;
use crate::secret::Secret;

/// More leaves than this are listed in no proof.
const LISTED_MAX: u64 = 1 << 20;

/// What is to be proved.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Whose records.
    pub recipient: Recipient,
    /// In which period.
    pub period: Period,
    /// Tag keys (the recipient's must be among them), and what was erased.
    pub recipients: &'a Recipients,
    /// Signed notes of earlier days; of those of this log the newest is used, and none may be newer than the log.
    pub earlier: &'a [String],
    /// Notes that came back cosigned from witnesses; of those of this log the newest goes into the proof.
    pub witnessed: &'a [String],
    /// How far it is.
    pub watch: &'a Watch,
}

/// A log's part of a proof, but for the data keys.
#[derive(Debug)]
pub struct Draft {
    log: LogProof,
    sealed: Vec<SealedDataKey>,
}

impl Draft {
    /// The data keys that the records need, for the keyring to open; in order.
    pub fn sealed(&self) -> &[SealedDataKey] {
        &self.sealed
    }

    /// Whether it shows that the log begins with an earlier note.
    pub fn has_earlier(&self) -> bool {
        self.log.earlier.is_some()
    }

    /// The whole, with the data keys opened, in that order.
    pub fn keyed(mut self, opened: impl Iterator<Item = Secret<[u8; 32]>>) -> LogProof {
        let keys = self.sealed.iter().zip(opened);
        self.log.keys = keys
            .map(|(sealed, key)| OpenedKey { position: sealed.position, key: Base64(key.expose().to_vec()) })
            .collect();
        self.log
    }
}

/// Drafts the proof of the log in that directory, of which `public` is the pinned key.
///
/// # Errors
/// [`Error::Storage`]; [`Error::Unsound`] if it is not the log that was signed; [`Error::NoKey`] without the
/// recipient's tag key; [`Error::Unprovable`].
pub fn draft(dir: &Path, public: &[u8; 32], ask: &Ask<'_>) -> Result<Draft, Error> {
    let reader = Reader::open(dir)?;
    let signed = Checkpoint::open(reader.note(), reader.origin(), public).map_err(|error| {
        let verdict = match error {
            checkpoint::Error::WrongKey { .. } => Verdict::WrongKey,
            checkpoint::Error::Changed(_) => Verdict::Forked,
        };
        Error::unsound(dir, verdict, error)
    })?;
    let earlier = newest_of(ask.earlier, dir, public, &signed)?;
    let witnessed = newest_of(ask.witnessed, dir, public, &signed)?;
    let tag = ask.recipients.tag(ask.recipient).ok_or(Error::NoTag(ask.recipient))?;
    let survey = Survey::make(dir, &reader, &signed, &Tagger::new(&tag, reader.origin()), ask)?;
    survey.collect(dir, &reader, &signed, [earlier, witnessed], ask)
}

/// The newest of this log's notes; notes of other logs are theirs. One that the log did not sign, or that is of a longer
/// log than is here, is what earlier notes are given for to find.
fn newest_of(
    notes: &[String],
    dir: &Path,
    public: &[u8; 32],
    signed: &Checkpoint,
) -> Result<Option<(String, u64)>, Error> {
    let mut newest = None;
    for note in notes.iter().filter(|note| Checkpoint::claimed_origin(note) == Some(&signed.origin)) {
        let earlier = Checkpoint::open(note, &signed.origin, public)
            .map_err(|error| Error::unsound(dir, Verdict::WrongKey, format!("an earlier checkpoint: {error}")))?;
        if earlier.size > signed.size {
            let (then, now) = (earlier.size, signed.size);
            let detail =
                format!("a checkpoint given as earlier was signed for {then} records, and that of now for {now}");
            return Err(Error::not_remembered(dir, Verdict::RolledBack, detail));
        }
        if newest.as_ref().is_none_or(|(_, size)| *size < earlier.size) {
            newest = Some((note.clone(), earlier.size));
        }
    }
    Ok(newest)
}

/// What is known after the first reading.
struct Survey {
    from: u64,
    to: u64,
    /// Every leaf to list.
    listed: BTreeSet<u64>,
    /// The records among them whose content belongs into the proof.
    records: BTreeSet<u64>,
    /// Where their data keys stand.
    keys: BTreeSet<u64>,
}

impl Survey {
    fn make(dir: &Path, reader: &Reader, signed: &Checkpoint, tagger: &Tagger, ask: &Ask<'_>) -> Result<Survey, Error> {
        let Period { since, until } = ask.period;
        let (mut from, mut to) = (None, 0);
        // The customer's last record before the period, and those from its beginning on with their data keys.
        let (mut before, mut own) = (None, Vec::new());
        let (mut segment, mut tag, mut read) = (None, [0; 16], 0);
        for leaf in reader.leaves() {
            let Descriptor { place, values, skeleton } = leaf?;
            if place.position >= signed.size {
                break;
            }
            read = place.position + 1;
            ask.watch.count()?;
            if from.is_none() && since.is_none_or(|since| place.at.0 >= since) {
                from = Some(place.position);
            }
            if until.is_none_or(|until| place.at.0 < until) {
                to = place.position + 1;
            }
            if segment != Some(place.segment) {
                (segment, tag) = (Some(place.segment), tagger.tag(place.segment));
            }
            if place.kind == Kind::DataKey || place.kind.is_public() || place.tag != tag {
                continue;
            }
            match from {
                None => before = Some(place.position),
                Some(_) => own.push((place.position, values.key, skeleton.key)),
            }
        }
        if read < signed.size {
            let detail = format!("its checkpoint was signed for {} records and {read} are there", signed.size);
            return Err(Error::unsound(dir, Verdict::RolledBack, detail));
        }
        let from = from.unwrap_or(signed.size);
        let mut survey = Survey {
            from,
            to: to.max(from),
            listed: before.into_iter().collect(),
            records: BTreeSet::new(),
            keys: BTreeSet::new(),
        };
        match survey.take(&own, before, signed.size, ask.period) {
            ..=LISTED_MAX => Ok(survey),
            listed => Err(Error::Unprovable { origin: reader.origin().to_owned(), listed }),
        }
    }

    /// Chooses the leaves to list, and says how many; of more than [`LISTED_MAX`] in a row none is put in.
    fn take(&mut self, own: &[(u64, u64, u64)], before: Option<u64>, size: u64, period: Period) -> u64 {
        let (from, to) = (self.from, self.to);
        if period.since.is_some() && from > 0 {
            self.listed.insert(from - 1);
        }
        // The first leaf after the period; or the last of all, whose time tells how far the checkpoint reaches.
        self.listed.extend(size.checked_sub(1).map(|last| to.min(last)));
        let within = own.partition_point(|(position, ..)| *position < to);
        let (within, after) = own.split_at(within);
        for (position, values, skeleton) in within {
            self.listed.insert(*position);
            self.records.insert(*position);
            self.keys.extend([*values, *skeleton]);
        }
        let last = within.last().map(|(position, ..)| *position).or(before);
        let row = match after.first() {
            Some((next, ..)) => *next..next + 1,
            // Nothing later links back to the last one: that there is none is shown leaf by leaf.
            None => last.map_or(from, |last| from.max(last + 1))..to,
        };
        let long = row.end.saturating_sub(row.start);
        if long > LISTED_MAX {
            return self.listed.len() as u64 + long;
        }
        self.listed.extend(row);
        self.listed.len() as u64
    }

    /// The second reading.
    fn collect(
        &self,
        dir: &Path,
        reader: &Reader,
        signed: &Checkpoint,
        older: [Option<(String, u64)>; 2],
        ask: &Ask<'_>,
    ) -> Result<Draft, Error> {
        let positions: Vec<u64> = self.listed.iter().copied().collect();
        let mut hashes = Roots::of(&ranges_without(signed.size, &positions));
        let mut consistency = older.each_ref().map(|older| {
            let ranges = older.as_ref().map(|(_, old)| consistency_ranges(*old, signed.size));
            Roots::of(&ranges.unwrap_or_default())
        });
        let (mut leaves, mut sealed) = (Vec::with_capacity(positions.len()), BTreeMap::new());
        for entry in reader.entries() {
            let entry = entry?;
            let position = entry.position();
            if position >= signed.size {
                break;
            }
            ask.watch.count()?;
            let hash = entry.descriptor.leaf_hash();
            hashes.push(hash);
            consistency.iter_mut().for_each(|roots| roots.push(hash));
            if self.keys.contains(&position) {
                let key = entry.data_key(reader.origin(), ask.recipient);
                let living = key.filter(|key| !ask.recipients.is_erased(key.recipient, key.part, key.period));
                sealed.extend(living.map(|key| (position, key)));
            }
            if self.listed.contains(&position) {
                leaves.push(self.listed(&entry));
            }
        }
        let whole = |roots: Roots| -> Result<Vec<Base64>, Error> {
            let roots = roots.finish().ok_or_else(|| Error::unsound(dir, Verdict::Missing, "leaves are not there"))?;
            Ok(roots.into_iter().map(|root: Hash| Base64(root.to_vec())).collect())
        };
        let [earlier, witnessed] = consistency;
        let shown = |older: Option<(String, u64)>, roots| match older {
            None => Ok(None),
            Some((checkpoint, _)) => whole(roots).map(|consistency| Some(Earlier { checkpoint, consistency })),
        };
        let [of_earlier, of_witnessed] = older;
        let (earlier, witnessed) = (shown(of_earlier, earlier)?, shown(of_witnessed, witnessed)?);
        let (from, to, checkpoint) = (self.from, self.to, reader.note().to_owned());
        let (hashes, keys) = (whole(hashes)?, Vec::new());
        let log = LogProof { checkpoint, earlier, witnessed, from, to, leaves, hashes, keys };
        Ok(Draft { log, sealed: sealed.into_values().collect() })
    }

    fn listed(&self, entry: &Entry) -> Listed {
        let leaf = Base64(entry.descriptor.to_bytes().to_vec());
        match &entry.content {
            Content::Record { values, skeleton } if self.records.contains(&entry.position()) => {
                Listed { leaf, values: Some(Base64(values.to_vec())), skeleton: Some(Base64(skeleton.to_vec())) }
            }
            Content::Record { .. } | Content::DataKey { .. } | Content::Public(_) => {
                Listed { leaf, values: None, skeleton: None }
            }
        }
    }
}

#[cfg(test)]
#[path = "prove_tests.rs"]
pub(super) mod tests;
