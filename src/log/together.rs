//! What several logs say of each other: where one goes on as another, and how much the notices say was erased.
//! Not here: what each is by itself (`verify.rs`).
//! FORMAT.md, "What is open to everybody".

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::verdict::{Finding, Verdict};
use crate::audit::checkpoint::{Checkpoint, verifier_key};
use crate::audit::keys::Part;
use crate::audit::public::{Notice, Public};
use crate::audit::tree::Hash;
use crate::clock::Timestamp;

/// A notice comes before its keys go, which takes no longer than this.
const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(86_400);

/// What one log is by itself.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Its origin; empty without a checkpoint that its key signed.
    pub origin: String,
    /// The key it was checked against.
    pub public: [u8; 32],
    /// How many leaves are there.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Whether every leaf up to the last was there.
    pub is_whole: bool,
    /// How many of the leaves are records.
    pub records: u64,
    /// What nothing opens any more; none if nobody's keys were there to tell.
    pub lost: Option<Lost>,
    /// What is open to everybody: position, time, and what it says.
    pub open: Vec<(u64, Timestamp, Public)>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// How much of a log nothing opens any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Records that no living tag key recognises: both parts are gone.
    pub unclaimed: u64,
    /// Records of living recipients whose values are gone.
    pub values: u64,
    /// Records of living recipients whose skeleton is gone.
    pub skeletons: u64,
    /// Records of no customer a part of which is gone: they go by age, without a notice.
    pub vendor: u64,
}

impl Lost {
    fn of(&self, part: Part) -> u64 {
        self.unclaimed
            + match part {
                Part::Values => self.values,
                Part::Skeleton => self.skeletons,
            }
    }
}

impl Examined {
    /// What nothing opens any more, where the notices of other logs are not at hand.
    pub(super) fn remarks(&self, may_be_unclaimed: bool) -> Vec<Finding> {
        let Lost { unclaimed, values, skeletons, vendor } = self.lost.unwrap_or_default();
        let counts = [
            (if may_be_unclaimed { unclaimed } else { 0 }, "records are claimed by no living key"),
            (values, "records' values have no key any more"),
            (skeletons, "records' skeletons have no key any more"),
            (vendor, "records of no customer have no key any more"),
        ];
        let said = counts.into_iter().filter(|(count, _)| *count > 0);
        said.map(|(count, what)| self.find(Verdict::Erased, format!("{count} {what}: erased"))).collect()
    }

    fn find(&self, verdict: Verdict, detail: String) -> Finding {
        Finding { verdict, place: self.origin.clone(), detail }
    }

    fn continues(&self) -> Option<&str> {
        self.open.iter().find_map(|(.., public)| match public {
            Public::Continues(note) => Some(note.as_str()),
            Public::Continued(_) | Public::Notice(_) => None,
        })
    }

    fn continued(&self) -> Option<&str> {
        self.open.iter().find_map(|(.., public)| match public {
            Public::Continued(key) => Some(key.as_str()),
            Public::Continues(_) | Public::Notice(_) => None,
        })
    }
}

/// Compares all logs with each other: what is found, each with the origin of the log that it is about. `under_way` are the
/// ids of notices whose erasure was begun, as the register says, and whose keys the keyring did not destroy yet. One that it
/// did destroy must not be among them: what it made unreadable would hide as much that is readable again.
pub fn judge(logs: &[Examined], under_way: &BTreeSet<[u8; 16]>, now: Timestamp) -> Vec<(String, Finding)> {
    let mut found = Vec::new();
    for log in logs {
        found.extend(successions(log, logs).map(|finding| (log.origin.clone(), finding)));
    }
    found.extend(Notices::of(logs, under_way, now).judge(logs));
    found
}

/// Whether the log that this one goes on from, and the one it goes on as, are there and say the same.
fn successions(log: &Examined, logs: &[Examined]) -> impl Iterator<Item = Finding> {
    let find = |(verdict, detail)| log.find(verdict, detail);
    let before = log.continues().and_then(|note| predecessor(log, note, logs)).map(find);
    let after = log.continued().and_then(|key| successor(log, key, logs)).map(find);
    before.into_iter().chain(after)
}

fn predecessor(log: &Examined, note: &str, logs: &[Examined]) -> Option<(Verdict, String)> {
    let origin = Checkpoint::claimed_origin(note).unwrap_or_default();
    let Some(old) = logs.iter().find(|old| !old.origin.is_empty() && old.origin == origin) else {
        return Some((Verdict::Missing, format!("it goes on from {origin}, which is not there")));
    };
    let ended = match Checkpoint::open(note, origin, &old.public) {
        Ok(ended) => ended,
        Err(error) => return Some((Verdict::WrongKey, format!("what it goes on from: {error}"))),
    };
    let (there, said) = (old.size, ended.size);
    if there < said {
        return Some((Verdict::RolledBack, format!("{origin} ended with {said} leaves, and {there} are there")));
    }
    let is_same = there == said && (old.root == ended.root || !old.is_whole);
    if !is_same || old.continued() != Some(verifier_key(&log.origin, &log.public).as_str()) {
        return Some((Verdict::Forked, format!("{origin} did not end as this log, which goes on from it, says")));
    }
    None
}

fn successor(log: &Examined, key: &str, logs: &[Examined]) -> Option<(Verdict, String)> {
    let is_it = |next: &&Examined| verifier_key(&next.origin, &next.public) == key;
    match logs.iter().find(is_it) {
        None => {
            let detail = "which is not there or has another key pinned; should its rotation have been cut off, run \
                          \"portreeve keys rotate log\" again";
            Some((Verdict::Missing, format!("it goes on as {key}, {detail}")))
        }
        // A log that never says where it comes from could be any log.
        Some(next) if next.continues().and_then(Checkpoint::claimed_origin) != Some(&log.origin) => {
            Some((Verdict::Forked, format!("it goes on as {}, which does not say so", next.origin)))
        }
        Some(_) => None,
    }
}

/// All notices, each once.
struct Notices<'a> {
    /// By what they are of: the log it stands in, its position and time.
    all: BTreeMap<([u8; 16], Part), (&'a Examined, u64, Timestamp, &'a Notice)>,
    under_way: &'a BTreeSet<[u8; 16]>,
    now: Timestamp,
}

impl<'a> Notices<'a> {
    fn of(logs: &'a [Examined], under_way: &'a BTreeSet<[u8; 16]>, now: Timestamp) -> Notices<'a> {
        let mut all = BTreeMap::new();
        for log in logs {
            for (position, at, public) in &log.open {
                if let Public::Notice(notice) = public {
                    all.entry((notice.id, notice.part)).or_insert((log, *position, *at, notice));
                }
            }
        }
        Notices { all, under_way, now }
    }

    fn judge(&self, logs: &[Examined]) -> Vec<(String, Finding)> {
        let mut found: Vec<(String, Finding)> = self.all.values().filter_map(early).collect();
        for log in logs.iter().filter(|log| !log.origin.is_empty()) {
            for part in Part::ALL {
                let finding = self.compared(log, part);
                found.extend(finding.map(|(verdict, detail)| (log.origin.clone(), log.find(verdict, detail))));
            }
            let aged = log.lost.map_or(0, |lost| lost.vendor);
            if aged > 0 {
                let detail = format!("{aged} records of no customer have no key any more, for their age");
                found.push((log.origin.clone(), log.find(Verdict::Erased, detail)));
            }
        }
        found.extend(self.absent(logs));
        found
    }

    /// What the notices say of one log, against what is there.
    fn compared(&self, log: &Examined, part: Part) -> Option<(Verdict, String)> {
        let said = |carried_out: bool| {
            let all = self.all.values().filter(|(.., notice)| notice.part == part);
            let counted = all.filter(|(_, _, at, notice)| !carried_out || self.is_carried_out(*at, notice));
            counted.fold(0_u64, |sum, (.., notice)| sum.saturating_add(notice.records_of(&log.origin)))
        };
        let noticed = said(false);
        if noticed > log.records && log.is_whole {
            let there = log.records;
            return Some((
                Verdict::Missing,
                format!("notices tell of {noticed} erased {part}, and {there} records are there"),
            ));
        }
        match log.lost.map(|lost| lost.of(part)) {
            None | Some(0) if noticed == 0 => None,
            None => Some((Verdict::Erased, format!("the {part} of {noticed} records are erased, as notices say"))),
            Some(lost) if lost > noticed => Some((
                Verdict::Missing,
                format!("no key opens the {part} of {lost} records, and notices tell of {noticed}"),
            )),
            Some(lost) if lost < said(true) => Some((
                Verdict::RolledBack,
                format!("notices tell of {noticed} erased {part}, and {lost} are: an old keyring was brought back"),
            )),
            Some(lost) if lost < noticed => Some((
                Verdict::Erased,
                format!("the {part} of {lost} records are erased; notices say {noticed}, and that is under way"),
            )),
            Some(lost) => Some((Verdict::Erased, format!("the {part} of {lost} records are erased, as notices say"))),
        }
    }

    /// Whether what a notice told of must have happened by now. One that is known to be under way may wait for a keyring
    /// that does not run, or for a hold: however long that lasts, it is no keyring that was brought back.
    fn is_carried_out(&self, at: Timestamp, notice: &Notice) -> bool {
        at.plus(CARRIED_OUT_WITHIN) < self.now && !self.under_way.contains(&notice.id)
    }

    /// Logs that notices name and that are not there.
    fn absent(&self, logs: &[Examined]) -> Vec<(String, Finding)> {
        let mut absent = BTreeMap::new();
        for lost in self.all.values().flat_map(|(.., notice)| &notice.logs) {
            if lost.records > 0 && !logs.iter().any(|log| log.origin == lost.log) {
                *absent.entry(lost.log.as_str()).or_insert(0_u64) += 1;
            }
        }
        let found = absent.into_iter().map(|(origin, count)| {
            let detail = format!("{count} notices tell of records of it, and there is no such log");
            (origin.to_owned(), Finding { verdict: Verdict::Missing, place: origin.to_owned(), detail })
        });
        found.collect()
    }
}

/// A notice of an erasure that came before it might.
fn early(notice: &(&Examined, u64, Timestamp, &Notice)) -> Option<(String, Finding)> {
    let (log, position, at, notice) = notice;
    let lawful = notice.lawful();
    if *at >= lawful {
        return None;
    }
    let place = format!("{}, position {position}", log.origin);
    let detail = format!("{} were erased at {at}, and might be from {lawful} on", notice.part);
    Some((log.origin.clone(), Finding { verdict: Verdict::ErasedEarly, place, detail }))
}

#[cfg(test)]
#[path = "together_tests.rs"]
mod tests;
