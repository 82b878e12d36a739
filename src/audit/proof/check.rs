//! What must hold of a proof, so that nothing was left out, put in, or taken from elsewhere.
//! Not here: who the tag key belongs to, for which people compare its fingerprint.
//! FORMAT.md, "A proof", whose rules are numbered as here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::{Base64, Earlier, LogProof, Period, Proof};
use crate::audit::checkpoint::{Checkpoint, verifier_key};
use crate::audit::consistency::{proves_consistency, root_with};
use crate::audit::cosignature::cosigned;
use crate::audit::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::audit::keys::{Part, TagKey};
use crate::audit::note::VerifierKey;
use crate::audit::record::{Kind, Record, Skeleton, Values, read};
use crate::audit::seal::{Binding, DataKey, open};
use crate::audit::tag::Tagger;
use crate::audit::tree::{Hash, sha256};
use crate::clock::Timestamp;
use crate::ids::CustomerId;
use crate::secret::Secret;

/// A log's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The log's origin, where the key's file names it; else it may be any log's.
    pub origin: Option<String>,
    /// The Ed25519 public key.
    pub public: [u8; 32],
}

/// Why a proof does not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The log, as its checkpoint claims it; or the file.
    pub place: String,
    /// What is wrong, with the position where there is one.
    pub what: String,
}

/// `portreeve/proxy-gate-1: position 17: …`
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What a proof shows.
#[derive(Debug)]
pub struct Checked {
    /// The fingerprint of the tag key: whose records these are.
    pub fingerprint: String,
    /// The logs that hold.
    pub logs: Vec<CheckedLog>,
    /// What does not hold; then nothing of that log is shown.
    pub faults: Vec<Fault>,
    /// The logs whose key is there, and which the proof leaves out altogether.
    pub absent: Vec<String>,
    /// The logs that go on as another one before the period is over, which is none of those that hold.
    pub broken_off: Vec<BrokenOff>,
}

/// A log that goes on as another one, which is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenOff {
    /// Its origin.
    pub origin: String,
    /// The SHA-256 of the other one's verifier key.
    pub next: Hash,
}

/// One log's part of a proof that holds.
#[derive(Debug)]
pub struct CheckedLog {
    /// The log as it was signed.
    pub signed: Checkpoint,
    /// The key that it was signed with.
    pub public: [u8; 32],
    /// The older log that it begins with.
    pub earlier: Option<u64>,
    /// What each witness that was asked for vouches for.
    pub cosigned: Vec<Cosigned>,
    /// From this position.
    pub from: u64,
    /// To before this one.
    pub to: u64,
    /// What ends there.
    pub end: End,
    /// Every record of the customer there.
    pub records: Vec<Shown>,
}

/// How much of a log a witness vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The witness's name.
    pub by: String,
    /// It has seen so many leaves, and the log begins with them.
    pub size: u64,
    /// When it said so; then it had seen no more.
    pub at: Timestamp,
}

/// What a log's part of a proof ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The period: a later leaf shows it.
    Period,
    /// The checkpoint, whose last leaf is of that time (none: it has no leaf). What was written later is not in it,
    /// however far the period asked for goes.
    Checkpoint(Option<Timestamp>),
    /// The log: since `at` it goes on as the one whose verifier key has the SHA-256 `next`, and nothing is written to it.
    Log {
        /// When it ended.
        at: Timestamp,
        /// The SHA-256 of that verifier key.
        next: Hash,
    },
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its position.
    pub position: u64,
    /// The record; a part that stays sealed is empty in it.
    pub record: Record,
    /// Parts for which there is no data key.
    pub still_sealed: Vec<Part>,
}

/// Checks a proof against the logs' public keys.
pub fn check(proof: &Proof, keys: &[Key]) -> Checked {
    check_witnessed(proof, keys, &[])
}

/// The same, and that each of these witnesses cosigned a checkpoint of every log in it.
pub fn check_witnessed(proof: &Proof, keys: &[Key], witnesses: &[VerifierKey]) -> Checked {
    let (logs, faults, absent) = (Vec::new(), Vec::new(), absent(proof, keys));
    let mut checked = Checked { fingerprint: String::new(), logs, faults, absent, broken_off: Vec::new() };
    let of_file = |what: &str| Fault { place: "the proof".to_owned(), what: what.to_owned() };
    let Ok(tag_key) = <[u8; 32]>::try_from(proof.tag_key.0.as_slice()) else {
        checked.faults.push(of_file("its tag key has not 32 bytes"));
        return checked;
    };
    if proof.logs.is_empty() {
        checked.faults.push(of_file("there is no log in it, so that it proves nothing"));
    }
    let tag_key = TagKey(Secret::new(tag_key));
    checked.fingerprint = tag_key.fingerprint();
    let mut seen: Vec<&str> = Vec::new();
    for log in &proof.logs {
        let origin = Checkpoint::claimed_origin(&log.checkpoint).unwrap_or("a log without a checkpoint");
        let tagger = Tagger::new(&tag_key, origin);
        let checking = Checking { log, origin, witnesses, period: proof.period, tagger };
        let is_again = seen.contains(&origin);
        seen.push(origin);
        let result = if is_again { Err("the same log a second time".to_owned()) } else { checking.run(proof, keys) };
        match result {
            Ok(log) => checked.logs.push(log),
            Err(what) => checked.faults.push(Fault { place: origin.to_owned(), what }),
        }
    }
    checked.broken_off = broken_off(&checked.logs, proof.period);
    checked
}

/// The origins of keys that no log of the proof claims, each once.
fn absent(proof: &Proof, keys: &[Key]) -> Vec<String> {
    let claimed: BTreeSet<&str> =
        proof.logs.iter().filter_map(|log| Checkpoint::claimed_origin(&log.checkpoint)).collect();
    let of_keys: BTreeSet<&str> = keys.iter().filter_map(|key| key.origin.as_deref()).collect();
    of_keys.difference(&claimed).map(|origin| (*origin).to_owned()).collect()
}

/// The logs of these that go on within the period as one that is not among them.
fn broken_off(logs: &[CheckedLog], period: Period) -> Vec<BrokenOff> {
    let is_it =
        |log: &CheckedLog, next: &Hash| sha256(&[verifier_key(&log.signed.origin, &log.public).as_bytes()]) == *next;
    let broken = logs.iter().filter_map(|log| match log.end {
        End::Log { at, next } if period.until.is_none_or(|until| at.0 < until) => {
            let is_there = logs.iter().any(|log| is_it(log, &next));
            (!is_there).then(|| BrokenOff { origin: log.signed.origin.clone(), next })
        }
        End::Log { .. } | End::Checkpoint(_) | End::Period => None,
    });
    broken.collect()
}

struct Checking<'a> {
    log: &'a LogProof,
    origin: &'a str,
    witnesses: &'a [VerifierKey],
    period: Period,
    tagger: Tagger,
}

/// A listed leaf, and its sealed parts.
struct Leaf<'a> {
    descriptor: Descriptor,
    values: Option<&'a [u8]>,
    skeleton: Option<&'a [u8]>,
}

impl Leaf<'_> {
    fn position(&self) -> u64 {
        self.descriptor.place.position
    }
}

type Leaves<'a> = BTreeMap<u64, Leaf<'a>>;

impl<'a> Checking<'a> {
    fn run(&self, proof: &Proof, keys: &[Key]) -> Result<CheckedLog, String> {
        let (signed, public) = self.signed(keys)?;
        let leaves = self.leaves(&signed)?;
        let earlier = self.older(&signed, &public, &self.log.earlier)?;
        let witnessed = self.older(&signed, &public, &self.log.witnessed)?;
        let note = |older: &'a Option<Earlier>| older.as_ref().map(|older| older.checkpoint.as_str());
        let cosigned = self.cosigned([
            (Some(signed.size), Some(&self.log.checkpoint)),
            (earlier, note(&self.log.earlier)),
            (witnessed, note(&self.log.witnessed)),
        ])?;
        let end = self.check_period(&signed, &leaves)?;
        let records = self.chain(&leaves)?;
        let within: Vec<&Leaf<'_>> =
            records.into_iter().filter(|leaf| (self.log.from..self.log.to).contains(&leaf.position())).collect();
        self.check_parts(&leaves, &within)?;
        let keys = self.keys()?;
        let customer = CustomerId(proof.customer.number);
        let records = within.into_iter().map(|leaf| self.shown(leaf, &keys, customer)).collect::<Result<_, _>>()?;
        Ok(CheckedLog { signed, public, earlier, cosigned, from: self.log.from, to: self.log.to, end, records })
    }

    /// 1: the checkpoint is signed by that log's key.
    fn signed(&self, keys: &[Key]) -> Result<(Checkpoint, [u8; 32]), String> {
        let of_it = keys.iter().filter(|key| key.origin.as_deref().is_none_or(|origin| origin == self.origin));
        let mut fault =
            format!("none of the keys given is of this log: give its verifier key ({}.vkey)", self.writer());
        for key in of_it {
            match Checkpoint::open(&self.log.checkpoint, self.origin, &key.public) {
                Ok(checkpoint) => return Ok((checkpoint, key.public)),
                Err(error) => fault = error.to_string(),
            }
        }
        Err(fault)
    }

    fn writer(&self) -> &str {
        self.origin.rsplit('/').next().unwrap_or_default()
    }

    /// 2: the leaves are those of the checkpoint, each in its place.
    fn leaves(&self, signed: &Checkpoint) -> Result<Leaves<'_>, String> {
        let mut leaves = Leaves::new();
        let mut next = 0;
        for (listed, number) in self.log.leaves.iter().zip(1..) {
            let bytes: &[u8; DESCRIPTOR_BYTES] = listed.leaf.0.as_slice().try_into().map_err(|_| {
                format!("leaf {number} of those listed has {} bytes instead of {DESCRIPTOR_BYTES}", listed.leaf.0.len())
            })?;
            let descriptor = Descriptor::parse(bytes).map_err(|error| error.to_string())?;
            let position = descriptor.place.position;
            if position < next {
                return Err(format!("position {position}: the leaf is listed out of order, or twice"));
            }
            next = position.saturating_add(1);
            let values = listed.values.as_ref().map(|part| part.0.as_slice());
            let skeleton = listed.skeleton.as_ref().map(|part| part.0.as_slice());
            leaves.insert(position, Leaf { descriptor, values, skeleton });
        }
        let listed: Vec<(u64, Hash)> =
            leaves.iter().map(|(position, leaf)| (*position, leaf.descriptor.leaf_hash())).collect();
        let root = root_with(signed.size, &listed, &hashes(&self.log.hashes)?)
            .ok_or("leaves and hashes are not as many as a tree of the checkpoint's size needs")?;
        if root != signed.root {
            return Err(
                "the leaves are not those of the checkpoint: one was changed, moved or is of another log".into()
            );
        }
        Ok(leaves)
    }

    /// 3: the log begins with an older one.
    fn older(&self, signed: &Checkpoint, public: &[u8; 32], older: &Option<Earlier>) -> Result<Option<u64>, String> {
        let Some(older) = older else { return Ok(None) };
        let old = Checkpoint::open(&older.checkpoint, self.origin, public)
            .map_err(|error| format!("the earlier checkpoint: {error}"))?;
        let proof = hashes(&older.consistency)?;
        if !proves_consistency(old.size, &old.root, signed.size, &signed.root, &proof) {
            return Err(format!("the log does not begin with the {} leaves that were signed earlier", old.size));
        }
        Ok(Some(old.size))
    }

    /// 3, with witnesses: each cosigned one of the checkpoints that were shown to be of this log; the longest counts.
    fn cosigned(&self, sizes: [(Option<u64>, Option<&str>); 3]) -> Result<Vec<Cosigned>, String> {
        let cosigned = self.witnesses.iter().map(|witness| {
            let mut longest: Option<Cosigned> = None;
            for (size, note) in sizes {
                let Some((size, note)) = size.zip(note) else { continue };
                let at = cosigned(note, witness).map_err(|error| format!("the witness {}: {error}", witness.name))?;
                let found = at.map(|at| Cosigned { by: witness.name.clone(), size, at });
                longest = longest.into_iter().chain(found).max_by_key(|cosigned| (cosigned.size, cosigned.at));
            }
            longest.ok_or_else(|| format!("the witness {} cosigned none of its checkpoints", witness.name))
        });
        cosigned.collect()
    }

    /// 4: these positions are the period, or as much of it as the checkpoint has.
    fn check_period(&self, signed: &Checkpoint, leaves: &Leaves<'_>) -> Result<End, String> {
        let (from, to, size) = (self.log.from, self.log.to, signed.size);
        if from > to || to > size {
            return Err(format!("positions {from} to {to} are not within a log of {size} leaves"));
        }
        let at = |position: u64| leaves.get(&position).map(|leaf| leaf.descriptor.place.at.0);
        let begins = match self.period.since {
            None => from == 0,
            Some(since) => from.checked_sub(1).is_none_or(|before| at(before).is_some_and(|at| at < since)),
        };
        if !begins {
            return Err(format!("position {from}: nothing shows that the period begins there"));
        }
        if to == size {
            let Some(last) = size.checked_sub(1) else { return Ok(End::Checkpoint(None)) };
            let leaf = leaves
                .get(&last)
                .ok_or(format!("position {last}: the log's last leaf is not shown, which tells its time"))?;
            let at = Timestamp(leaf.descriptor.place.at.0);
            return Ok(match leaf.descriptor.place.kind {
                Kind::Continued => End::Log { at, next: leaf.descriptor.part(Part::Values).hash },
                _ => End::Checkpoint(Some(at)),
            });
        }
        let is_end = self.period.until.is_some_and(|until| at(to).is_some_and(|at| at >= until));
        if is_end { Ok(End::Period) } else { Err(format!("position {to}: nothing shows that the period ends there")) }
    }

    /// 5: the customer's records among the leaves, and that none is missing within the period.
    fn chain<'b>(&self, leaves: &'b Leaves<'b>) -> Result<Vec<&'b Leaf<'b>>, String> {
        let (from, to) = (self.log.from, self.log.to);
        let mut tags: HashMap<u64, [u8; 16]> = HashMap::new();
        let mut is_theirs = |leaf: &Leaf<'_>| {
            let place = &leaf.descriptor.place;
            let tag = tags.entry(place.segment).or_insert_with(|| self.tagger.tag(place.segment));
            place.kind != Kind::DataKey && !place.kind.is_public() && place.tag == *tag
        };
        let records: Vec<&Leaf<'_>> = leaves.values().filter(|leaf| is_theirs(leaf)).collect();
        for pair in records.windows(2) {
            let [before, leaf] = pair else { continue };
            if leaf.descriptor.place.link != self.tagger.link(Some(&before.descriptor.leaf_hash())) {
                let (before, after) = (before.position(), leaf.position());
                return Err(format!("position {after}: a record between {before} and this one is left out"));
            }
        }
        let shown = |low: u64, high: u64| match (low..high).find(|position| !leaves.contains_key(position)) {
            Some(gap) => Err(format!("position {gap}: it is not shown, and could be a record that is left out")),
            None => Ok(()),
        };
        let (Some(head), Some(last)) = (records.first(), records.last()) else {
            shown(from, to)?;
            return Ok(records);
        };
        if head.position() >= from && head.descriptor.place.link != self.tagger.link(None) {
            shown(from, head.position())?;
        }
        if last.position() < to {
            shown(from.max(last.position() + 1), to)?;
        }
        Ok(records)
    }

    /// 6: the sealed parts are those of the records of the period, as their leaves say.
    fn check_parts(&self, leaves: &Leaves<'_>, within: &[&Leaf<'_>]) -> Result<(), String> {
        for leaf in within {
            for (part, bytes) in [(Part::Values, leaf.values), (Part::Skeleton, leaf.skeleton)] {
                let position = leaf.position();
                let bytes = bytes.ok_or(format!("position {position}: the record's {part} are not there"))?;
                let sealed = leaf.descriptor.part(part);
                let hash = if bytes.is_empty() { [0; 32] } else { sha256(&[bytes]) };
                if u64::from(sealed.len) != bytes.len() as u64 || sealed.hash != hash {
                    return Err(format!("position {position}: the record's {part} are others than its leaf says"));
                }
            }
        }
        let with_parts = leaves.values().filter(|leaf| leaf.values.is_some() || leaf.skeleton.is_some());
        let mut others =
            with_parts.filter(|leaf| within.binary_search_by_key(&leaf.position(), |own| own.position()).is_err());
        match others.next() {
            Some(other) => Err(format!("position {}: it is no record of this customer and period", other.position())),
            None => Ok(()),
        }
    }

    fn keys(&self) -> Result<HashMap<u64, DataKey>, String> {
        let key = |key: &super::OpenedKey| {
            let bytes: [u8; 32] = key.key.0.as_slice().try_into().map_err(|_| {
                format!("position {}: the data key has {} bytes instead of 32", key.position, key.key.0.len())
            })?;
            Ok((key.position, DataKey::new(&Secret::new(bytes))))
        };
        self.log.keys.iter().map(key).collect()
    }

    /// 7: each part opens, in its place, with the data key that is given.
    fn shown(&self, leaf: &Leaf<'_>, keys: &HashMap<u64, DataKey>, customer: CustomerId) -> Result<Shown, String> {
        let place = &leaf.descriptor.place;
        let values: Option<Values> = self.part(leaf, Part::Values, leaf.values, keys)?;
        let skeleton: Option<Skeleton> = self.part(leaf, Part::Skeleton, leaf.skeleton, keys)?;
        let still_sealed = [(Part::Values, values.is_none()), (Part::Skeleton, skeleton.is_none())]
            .into_iter()
            .filter_map(|(part, is_sealed)| is_sealed.then_some(part))
            .collect();
        let record = Record {
            at: Timestamp(place.at.0),
            kind: place.kind,
            customer: Some(customer),
            skeleton: skeleton.unwrap_or_default(),
            values: values.unwrap_or_default(),
        };
        Ok(Shown { position: place.position, record, still_sealed })
    }

    fn part<T: for<'b> minicbor::Decode<'b, ()>>(
        &self,
        leaf: &Leaf<'_>,
        part: Part,
        sealed: Option<&[u8]>,
        keys: &HashMap<u64, DataKey>,
    ) -> Result<Option<T>, String> {
        let Some(key) = keys.get(&leaf.descriptor.part(part).key) else { return Ok(None) };
        let position = leaf.position();
        let binding = Binding::new(self.origin, &leaf.descriptor.place.to_bytes(), part);
        let content = open(key, &binding, sealed.unwrap_or_default())
            .map_err(|_| format!("position {position}: the record's {part} do not open with the data key given"))?;
        let read = read(&content);
        read.map(Some).map_err(|error| format!("position {position}: the record's {part} cannot be read: {error}"))
    }
}

fn hashes(listed: &[Base64]) -> Result<Vec<Hash>, String> {
    let hash = |hash: &Base64| hash.0.as_slice().try_into().map_err(|_| "a hash has not 32 bytes".to_owned());
    listed.iter().map(hash).collect()
}
