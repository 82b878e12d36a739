//! The closing of a customer's account: what was decided about it, how far it has come, and which step may follow.
//! Not here: when each step is due (`retention/`) and doing it. Design, section 11.

use std::fmt;
use std::str::FromStr;

use super::consent::By;
use super::purging::{People, Purge};
use super::scope::{NotAWord, words};
use crate::clock::Timestamp;
use crate::ids::{EventId, ExportId, Sequence};

words! {
    /// What the owner wants done with the data.
    Choice {
        /// Hand it back, then delete it.
        Return = 1, "return";
        /// Delete it.
        Deletion = 2, "deletion";
    }
}

words! {
    /// How far the closing has come. Ordered; each is reached once, none is left out.
    Stage {
        /// Nobody has access any more.
        Closed = 1, "closed";
        /// The archive, the customer's own export, is made.
        Archived = 2, "archived";
        /// The owner has chosen, or the time to choose is over.
        Choice = 3, "choice";
        /// It is planned what is deleted.
        Planned = 4, "planned";
        /// Rows are being deleted: from here on nothing can be reopened.
        Purging = 5, "purging";
        /// No row is left in the live databases.
        LiveClean = 6, "live-clean";
        /// No snapshot is left that held any.
        BackupsClean = 7, "backups-clean";
        /// No export is left.
        ArchiveDestroyed = 8, "archive-destroyed";
        /// No key is left that opens the audit records.
        LogsClean = 9, "logs-clean";
    }
}

words! {
    /// One of the two parts of an audit record. Its keys are destroyed on their own.
    RecordPart {
        /// Texts, bind values, names, addresses.
        Values = 1, "values";
        /// Who, when, what kind, how many.
        Skeleton = 2, "skeleton";
    }
}

/// A step in a customer's account: its closing, or an export of its data.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum AccountStep {
    /// The account is closed: access is off for good.
    Closed,
    /// It was closed by mistake; access stays off until the owner switches it on.
    Reopened,
    /// The owner chose.
    Chosen { choice: Choice },
    /// The owner wants everything removed without waiting.
    Immediate,
    /// A stage is reached, with the digest and the number that show it.
    Reached { stage: Stage, digest: Option<[u8; 32]>, count: Option<u64> },
    /// What is deleted is planned; the plan's digest.
    PurgePlanned { digest: [u8; 32] },
    /// The plan of that digest waits for people: more is about to be deleted than goes without them.
    PurgeHeld { digest: [u8; 32], people: People },
    /// Somebody approved the plan of that digest.
    PurgeApproved { digest: [u8; 32] },
    /// The plan of that digest is about to be carried out.
    PurgeBegun { digest: [u8; 32] },
    /// The plan that was begun is another by now; the new one's digest.
    PurgeReplanned { digest: [u8; 32] },
    /// Nothing is left: rows deleted, level of residue that was looked at.
    PurgeVerified { rows: u64, level: u8 },
    /// Looked again: rows that had come back.
    PurgeRechecked { rows: u64 },
    /// An export of the customer's data is wanted.
    ExportRequested,
    /// That export is made: its size and digest.
    Exported { export: ExportId, bytes: u64, digest: [u8; 32] },
    /// That export and its key are destroyed.
    ExportDestroyed { export: ExportId },
    /// The keys of that part of the audit records are about to be destroyed.
    ErasureBegun { part: RecordPart },
    /// They are destroyed, so many of them.
    ErasureDone { part: RecordPart, keys: u64 },
    /// The register's own texts about the customer and its owners count no more, and their side rows go, so many.
    Forgotten { rows: u64 },
}

impl AccountStep {
    /// The verb, as records and people name it.
    pub fn verb(self) -> &'static str {
        match self {
            AccountStep::Closed => "customer.closed",
            AccountStep::Reopened => "customer.reopened",
            AccountStep::Chosen { .. } => "closure.choice",
            AccountStep::Immediate => "closure.immediate",
            AccountStep::Reached { .. } => "closure.stage",
            AccountStep::PurgePlanned { .. } => "purge.planned",
            AccountStep::PurgeHeld { .. } => "purge.held",
            AccountStep::PurgeApproved { .. } => "purge.approved",
            AccountStep::PurgeBegun { .. } => "purge.begun",
            AccountStep::PurgeReplanned { .. } => "purge.replanned",
            AccountStep::PurgeVerified { .. } => "purge.verified",
            AccountStep::PurgeRechecked { .. } => "purge.rechecked",
            AccountStep::ExportRequested => "export.requested",
            AccountStep::Exported { .. } => "export.exported",
            AccountStep::ExportDestroyed { .. } => "export.destroyed",
            AccountStep::ErasureBegun { part: RecordPart::Values } => "erasure.values.begun",
            AccountStep::ErasureBegun { part: RecordPart::Skeleton } => "erasure.skeleton.begun",
            AccountStep::ErasureDone { part: RecordPart::Values, .. } => "erasure.values.done",
            AccountStep::ErasureDone { part: RecordPart::Skeleton, .. } => "erasure.skeleton.done",
            AccountStep::Forgotten { .. } => "customer.forgotten",
        }
    }
}

/// Why a step of a closing does not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum ClosureRule {
    /// Nothing to do it to.
    #[error("the account is not closed: close it first")]
    NotClosed,
    /// Done already.
    #[error("the account was closed at {0} already")]
    Closed(Timestamp),
    /// Access to a closed account.
    #[error("the account was closed at {0}: its owner can reopen it in the portal, until its rows are deleted")]
    AccessClosed(Timestamp),
    /// Too late.
    #[error("it is too late for that: the deletion has begun at {0}")]
    PurgeBegun(Timestamp),
    /// Keys are gone.
    #[error("it is too late for that: what opens the audit records is being destroyed since {0}")]
    ErasureBegun(Timestamp),
    /// A hold forbids it.
    #[error("a hold forbids it: nothing more is removed before \"portreeve hold release\"")]
    Held,
    /// A stage that does not come next.
    #[error("{wanted} does not follow {stage}: next is {next}")]
    OutOfOrder { stage: Stage, wanted: Stage, next: &'static str },
    /// What must have come before.
    #[error("{0} must come first")]
    First(&'static str),
    /// Done already.
    #[error("that was done already, at {0}")]
    Again(Timestamp),
    /// The plan is another.
    #[error("that is not the plan that was recorded last: plan again")]
    OtherPlan,
    /// People must approve it first.
    #[error("the plan is held: two different people must approve it with \"portreeve retention apply\"")]
    Unapproved,
    /// They approved it before.
    #[error("they approved that plan already, at {0}: another person must")]
    SamePerson(Timestamp),
    /// No such export, or it is of somebody else, or destroyed.
    #[error("there is no such export {0}")]
    NoExport(ExportId),
    /// An export that is still there.
    #[error("export {0} is not destroyed yet")]
    ExportLeft(ExportId),
    /// Nothing is known of it any more.
    #[error("the customer was forgotten at {0}: nothing more is written about it")]
    Forgotten(Timestamp),
}

/// How far the keys of one part are destroyed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Erasure {
    /// They are there.
    #[default]
    Kept,
    /// They are being destroyed; the event that says so.
    Begun { at: Timestamp, event: EventId },
    /// They are gone.
    Done { at: Timestamp, event: EventId, keys: u64 },
}

impl Erasure {
    /// When it was begun.
    pub fn begun(self) -> Option<Timestamp> {
        match self {
            Erasure::Kept => None,
            Erasure::Begun { at, .. } | Erasure::Done { at, .. } => Some(at),
        }
    }

    /// Whether nothing is left to be destroyed.
    pub fn is_done(self) -> bool {
        match self {
            Erasure::Done { .. } => true,
            Erasure::Kept | Erasure::Begun { .. } => false,
        }
    }
}

/// The closing of one customer's account.
#[derive(Clone, Debug, PartialEq)]
pub struct Closure {
    /// When it was closed.
    pub at: Timestamp,
    /// By whom.
    pub by: By,
    /// The event that closed it.
    pub sequence: Sequence,
    /// Each stage that was reached, and when; never empty.
    pub reached: Vec<(Stage, Timestamp)>,
    /// What the owner chose, and when.
    pub choice: Option<(Choice, Timestamp)>,
    /// When the owner asked for immediate removal.
    pub immediate: Option<Timestamp>,
    /// The deletion of the rows.
    pub purge: Purge,
    /// The values of the audit records.
    pub values: Erasure,
    /// Their skeletons.
    pub skeleton: Erasure,
    /// Since when the register's own texts about it count no more.
    pub forgotten: Option<Timestamp>,
}

impl Closure {
    pub(super) fn new(at: Timestamp, by: By, sequence: Sequence) -> Closure {
        let (choice, immediate, purge) = (None, None, Purge::default());
        let (values, skeleton, forgotten) = (Erasure::Kept, Erasure::Kept, None);
        let reached = vec![(Stage::Closed, at)];
        Closure { at, by, sequence, reached, choice, immediate, purge, values, skeleton, forgotten }
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.reached.last().map_or(Stage::Closed, |(stage, _)| *stage)
    }

    /// When that stage was reached.
    pub fn reached_at(&self, stage: Stage) -> Option<Timestamp> {
        self.reached.iter().find(|(reached, _)| *reached == stage).map(|(_, at)| *at)
    }

    /// How far that part is erased.
    pub fn erasure(&self, part: RecordPart) -> Erasure {
        match part {
            RecordPart::Values => self.values,
            RecordPart::Skeleton => self.skeleton,
        }
    }

    /// Whether keys of either part are being destroyed, or gone.
    pub fn is_erasing(&self) -> bool {
        self.values.begun().or(self.skeleton.begun()).is_some()
    }

    /// An error once rows or keys may be gone: what was closed then stays closed.
    fn check_whole(&self) -> Result<(), ClosureRule> {
        if let Some(at) = self.purge.begun.or(self.reached_at(Stage::Purging)) {
            return Err(ClosureRule::PurgeBegun(at));
        }
        self.values.begun().or(self.skeleton.begun()).map_or(Ok(()), |at| Err(ClosureRule::ErasureBegun(at)))
    }

    /// Whether that step may follow. `held`: there is a hold; `left`: an export that is not destroyed.
    pub(super) fn check(
        &self,
        step: AccountStep,
        by: By,
        held: bool,
        left: Option<ExportId>,
    ) -> Result<(), ClosureRule> {
        match step {
            AccountStep::Closed => Err(ClosureRule::Closed(self.at)),
            AccountStep::Reopened => self.check_whole(),
            AccountStep::Chosen { .. } => self.purge.begun.map_or(Ok(()), |at| Err(ClosureRule::PurgeBegun(at))),
            AccountStep::Immediate if held => Err(ClosureRule::Held),
            AccountStep::Immediate => self.immediate.map_or(Ok(()), |at| Err(ClosureRule::Again(at))),
            AccountStep::Reached { stage, .. } => self.check_stage(stage, held, left),
            AccountStep::PurgePlanned { .. } => {
                self.check_at_least(Stage::Choice)?;
                self.purge.begun.map_or(Ok(()), |at| Err(ClosureRule::PurgeBegun(at)))
            }
            AccountStep::PurgeHeld { digest, .. } => self.purge.check_held(digest),
            AccountStep::PurgeApproved { digest } => self.purge.check_approved(digest, by),
            AccountStep::PurgeBegun { digest } => {
                self.check_at_least(Stage::Planned)?;
                self.purge.check_begun(digest)
            }
            AccountStep::PurgeReplanned { digest } => self.purge.check_replanned(digest),
            AccountStep::PurgeVerified { .. } => self.purge.check_verified(),
            AccountStep::PurgeRechecked { .. } => had("purge.verified", self.purge.verified),
            AccountStep::ExportRequested | AccountStep::Exported { .. } | AccountStep::ExportDestroyed { .. } => Ok(()),
            AccountStep::ErasureBegun { .. } if held => Err(ClosureRule::Held),
            AccountStep::ErasureBegun { part } => {
                if let Some(at) = self.erasure(part).begun() {
                    return Err(ClosureRule::Again(at));
                }
                match part {
                    RecordPart::Skeleton if !self.values.is_done() => Err(ClosureRule::First("erasure.values.done")),
                    RecordPart::Values | RecordPart::Skeleton => Ok(()),
                }
            }
            AccountStep::ErasureDone { part, .. } => match self.erasure(part) {
                Erasure::Begun { .. } => Ok(()),
                Erasure::Kept => Err(ClosureRule::First("that its keys are about to be destroyed")),
                Erasure::Done { at, .. } => Err(ClosureRule::Again(at)),
            },
            AccountStep::Forgotten { .. } if held => Err(ClosureRule::Held),
            AccountStep::Forgotten { .. } => {
                self.check_at_least(Stage::LogsClean)?;
                self.forgotten.map_or(Ok(()), |at| Err(ClosureRule::Again(at)))
            }
        }
    }

    fn check_at_least(&self, stage: Stage) -> Result<(), ClosureRule> {
        if self.stage() >= stage { Ok(()) } else { Err(ClosureRule::First(stage.word())) }
    }

    fn check_stage(&self, wanted: Stage, held: bool, left: Option<ExportId>) -> Result<(), ClosureRule> {
        let stage = self.stage();
        let next = Stage::ALL.iter().copied().find(|next| *next > stage);
        if next != Some(wanted) {
            let next = next.map_or("nothing", Stage::word);
            return Err(ClosureRule::OutOfOrder { stage, wanted, next });
        }
        match wanted {
            Stage::Closed | Stage::Archived | Stage::Choice => Ok(()),
            Stage::Planned => had("purge.planned", self.purge.planned),
            Stage::Purging => had("purge.begun", self.purge.begun),
            Stage::LiveClean => had("purge.verified", self.purge.verified),
            // Which snapshots held its rows, this register cannot know: whoever says so has looked at each.
            Stage::BackupsClean => Ok(()),
            Stage::ArchiveDestroyed | Stage::LogsClean if held => Err(ClosureRule::Held),
            Stage::ArchiveDestroyed => left.map_or(Ok(()), |left| Err(ClosureRule::ExportLeft(left))),
            Stage::LogsClean if self.values.is_done() && self.skeleton.is_done() => Ok(()),
            Stage::LogsClean => Err(ClosureRule::First("erasure.skeleton.done")),
        }
    }

    /// Takes a step that was checked. Closing and reopening are not among them: they make and end this.
    pub(super) fn take(&mut self, step: AccountStep, by: By, at: Timestamp, event: EventId) {
        match step {
            AccountStep::Closed | AccountStep::Reopened => {}
            AccountStep::Chosen { choice } => self.choice = Some((choice, at)),
            AccountStep::Immediate => self.immediate = Some(at),
            AccountStep::Reached { stage, .. } => self.reached.push((stage, at)),
            AccountStep::PurgePlanned { digest } => self.purge.plan(digest, at),
            AccountStep::PurgeHeld { people, .. } => self.purge.held = Some((at, people)),
            AccountStep::PurgeApproved { .. } => self.purge.approve(by, at),
            AccountStep::PurgeBegun { digest } => self.purge.begin(digest, at),
            AccountStep::PurgeReplanned { digest } => self.purge.replan(digest, at),
            AccountStep::PurgeVerified { rows, level } => {
                self.purge.verified = Some((at, rows, level));
                self.purge.rechecked_first = None;
            }
            AccountStep::PurgeRechecked { rows } => {
                self.purge.rechecked_first = self.purge.rechecked_first.or(Some((at, rows)));
                self.purge.rechecked = Some((at, rows));
            }
            AccountStep::ExportRequested | AccountStep::Exported { .. } | AccountStep::ExportDestroyed { .. } => {}
            AccountStep::Forgotten { .. } => self.forgotten = Some(at),
            AccountStep::ErasureBegun { part } => self.erase(part, |_| Erasure::Begun { at, event }),
            AccountStep::ErasureDone { part, keys } => self.erase(part, |erasure| match erasure {
                Erasure::Begun { event, .. } | Erasure::Done { event, .. } => Erasure::Done { at, event, keys },
                Erasure::Kept => Erasure::Done { at, event, keys },
            }),
        }
    }

    fn erase(&mut self, part: RecordPart, become_: impl FnOnce(Erasure) -> Erasure) {
        let erasure = match part {
            RecordPart::Values => &mut self.values,
            RecordPart::Skeleton => &mut self.skeleton,
        };
        *erasure = become_(*erasure);
    }
}

fn had<T>(what: &'static str, there: Option<T>) -> Result<(), ClosureRule> {
    there.map_or(Err(ClosureRule::First(what)), |_| Ok(()))
}

#[cfg(test)]
#[path = "closure_tests.rs"]
mod tests;
