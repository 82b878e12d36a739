//! What becomes of a closed account, and when: stages, holds, and what is asked for in between.
//! Not here: who may ask (`grant/`), and doing it. Dates are fixed at closure, from the promise as it was then; a day
//! is 86,400 seconds of UTC, so that neither 29 February nor summer time moves one.

mod cap;
mod steps;
mod transitions;

use std::fmt;
use std::time::Duration;

pub use cap::{CAP_WITHIN, Over, above};
pub use steps::{Act, Approval, Facts, Step, Wait, Why, next};
pub use transitions::{Need, TRANSITIONS, Transition};

use super::promise::Promise;
use super::solve::Solution;
use crate::clock::Timestamp;
use crate::ids::CustomerId;

/// How long before its day something begins to be destroyed, so that it is gone by then.
pub const LEAD: Duration = Duration::from_secs(3_600);

/// How far the end of an account has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It is not closed, or was opened again.
    Active,
    /// It is closed; nobody but its owners gets in, and they only to the archive and the certificates.
    Closed,
    /// Its rows are in an archive that was read back.
    Archived,
    /// Its owners may choose return or deletion.
    Choice,
    /// What will be purged is fixed.
    Planned,
    /// Rows are being deleted. No way back.
    Purging,
    /// No live row is left, on no replica.
    LiveClean,
    /// No snapshot that held one is left.
    BackupsClean,
    /// The archive and the values in the audit log are gone.
    ArchiveDestroyed,
    /// The skeleton of the audit log and the application's logs are gone, too. The end.
    LogsClean,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Active => "ACTIVE",
            Stage::Closed => "CLOSED",
            Stage::Archived => "ARCHIVED",
            Stage::Choice => "CHOICE",
            Stage::Planned => "PLANNED",
            Stage::Purging => "PURGING",
            Stage::LiveClean => "LIVE_CLEAN",
            Stage::BackupsClean => "BACKUPS_CLEAN",
            Stage::ArchiveDestroyed => "ARCHIVE_DESTROYED",
            Stage::LogsClean => "LOGS_CLEAN",
        })
    }
}

/// The dates of one closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    /// When the account was closed.
    pub closed: Timestamp,
    /// Until when its owners may choose.
    pub choice_until: Timestamp,
    /// From when its live rows are purged.
    pub purge_from: Timestamp,
    /// By when that must be through, or backups cannot be clean in time.
    pub purge_latest: Timestamp,
    /// By when rows, snapshots, archive and the values in the audit log are gone.
    pub gone_by: Timestamp,
    /// By when the skeleton of the audit log is gone.
    pub skeleton_by: Timestamp,
    /// By when the application's last line about it is gone.
    pub logs_by: Timestamp,
    /// How old a snapshot becomes.
    pub snapshot_max_age: Duration,
}

impl Dates {
    /// The dates of an account closed at `closed` under that promise, which `solution` is of.
    pub fn new(closed: Timestamp, promise: &Promise, solution: &Solution) -> Dates {
        Dates {
            closed,
            choice_until: closed.plus(promise.choice()),
            purge_from: closed.plus(promise.purge_live_after),
            purge_latest: closed.plus(solution.purge_latest),
            gone_by: closed.plus(promise.gone_everywhere_after),
            skeleton_by: closed.plus(promise.audit_skeleton_after),
            logs_by: closed.plus(promise.application_logs_max_age),
            snapshot_max_age: promise.snapshot_max_age,
        }
    }
}

/// What the owners chose. Either way the rows are purged on the same day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The archive is handed over.
    Return,
    /// It is not.
    Delete,
}

/// Somebody with authority wants evidence kept. It keeps the sealed archive and the audit log's keys and nothing else:
/// live rows and snapshots go on time. Reason and authority are words and stand in the register's side table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When it was placed.
    pub placed: Timestamp,
    /// When it must be looked at again.
    pub review: Timestamp,
    /// When it was released.
    pub released: Option<Timestamp>,
}

/// One account's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// Whose.
    pub customer: CustomerId,
    /// How far it has come.
    pub stage: Stage,
    /// When what happens.
    pub dates: Dates,
    /// What the owners chose.
    pub choice: Option<Choice>,
    /// When immediate removal was asked for.
    pub remove_now: Option<Timestamp>,
    /// Every hold there ever was.
    pub holds: Vec<Hold>,
}

/// What can be asked for on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make it an active account again.
    Reopen,
    /// Return or delete.
    Choose(Choice),
    /// Do not wait for the dates.
    RemoveNow,
    /// Keep evidence, until somebody releases it; look at it again at `review`.
    PlaceHold {
        /// Later than now.
        review: Timestamp,
    },
    /// End every hold.
    ReleaseHold,
}

/// Why something asked for is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The account is not closed.
    #[error("the account is not closed")]
    NotClosed,
    /// Rows are being deleted, or are.
    #[error("the account is {0}: its rows are being deleted or are gone, it cannot be opened again")]
    TooLate(Stage),
    /// The time to choose is over.
    #[error("the time to choose ended at {0}")]
    ChoiceOver(Timestamp),
    /// What a hold would keep is gone.
    #[error("the archive and the values in the audit log are gone: a hold would keep nothing")]
    NothingLeft,
    /// A hold without a later review would be for ever.
    #[error("a hold needs a day later than now on which it is reviewed")]
    NoReview,
    /// There is no hold.
    #[error("nothing is held")]
    NotHeld,
}

impl Closure {
    /// An account closed now.
    pub fn new(customer: CustomerId, dates: Dates) -> Closure {
        Closure { customer, stage: Stage::Closed, dates, choice: None, remove_now: None, holds: Vec::new() }
    }

    /// Whether a hold is in force. It overlays every stage.
    pub fn is_held(&self) -> bool {
        self.holds.iter().any(|hold| hold.released.is_none())
    }

    /// Whether the dates are not waited for. A hold outranks it: under one the ordinary dates are back.
    pub fn is_removed_now(&self) -> bool {
        self.remove_now.is_some() && !self.is_held()
    }

    /// The earliest day on which a hold in force must be looked at.
    pub fn review(&self) -> Option<Timestamp> {
        self.holds.iter().filter(|hold| hold.released.is_none()).map(|hold| hold.review).min()
    }

    /// This closure after `request` at `now`.
    ///
    /// # Errors
    /// [`Refused`], with the reason.
    pub fn after(&self, request: Request, now: Timestamp) -> Result<Closure, Refused> {
        let mut after = self.clone();
        match (self.stage, request) {
            (Stage::Active, _) => return Err(Refused::NotClosed),
            (Stage::Closed | Stage::Archived | Stage::Choice | Stage::Planned, Request::Reopen) => {
                after.stage = Stage::Active;
                after.remove_now = None;
            }
            (stage, Request::Reopen) => return Err(Refused::TooLate(stage)),
            (Stage::Closed | Stage::Archived | Stage::Choice, Request::Choose(choice))
                if now < self.dates.choice_until =>
            {
                after.choice = Some(choice);
            }
            (_, Request::Choose(_)) => return Err(Refused::ChoiceOver(self.dates.choice_until)),
            (_, Request::RemoveNow) => after.remove_now = self.remove_now.or(Some(now)),
            (Stage::LogsClean, Request::PlaceHold { .. }) => return Err(Refused::NothingLeft),
            (_, Request::PlaceHold { review }) if review <= now => return Err(Refused::NoReview),
            (_, Request::PlaceHold { review }) => after.holds.push(Hold { placed: now, review, released: None }),
            (_, Request::ReleaseHold) if !self.is_held() => return Err(Refused::NotHeld),
            (_, Request::ReleaseHold) => {
                after.holds.iter_mut().for_each(|hold| hold.released = hold.released.or(Some(now)));
            }
        }
        Ok(after)
    }
}

#[cfg(test)]
#[path = "closure_tests.rs"]
mod tests;
