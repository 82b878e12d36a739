//! The way of a closed account as a table: from which stage to which, and what must be true before.
//! Not here: how each need is judged (`steps.rs`).

use super::Stage;
use crate::retention::certificate::Part;

/// Something that must be true before an account goes on to the next stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Staff and the application's roles are out, sessions ended.
    AccessOff,
    /// The rows are in an archive of the customer's own that was read back.
    ArchiveVerified,
    /// The owners were told what they may choose, and until when.
    OwnersTold,
    /// The time to choose is over, or immediate removal was asked for.
    ChoiceOver,
    /// What will be purged is fixed, with its digest.
    PlanMade,
    /// The day of the purge has come, or immediate removal was asked for.
    PurgeDue,
    /// The clocks agree.
    ClocksAgree,
    /// There is a good recent snapshot to go back to. Not waited for once the latest moment is there.
    GoodSnapshot,
    /// Purges may run now. Not waited for at immediate removal, nor once the latest moment is there.
    WindowOpen,
    /// Where more is due than the cap allows, people approved it. Waited for whatever the date.
    Approved,
    /// The purge is committed, verified, and replayed on each replica.
    LiveClean,
    /// A day later no row had come back.
    CheckedAfterDay,
    /// A week later no row had come back.
    CheckedAfterWeek,
    /// Each snapshot that began before the purge was through is confirmed absent.
    SnapshotsGone,
    /// The archive and its key are gone. Waits while held.
    ArchiveGone,
    /// The keys that open values in the audit log are gone. Waits while held.
    ValuesGone,
    /// The keys that open the skeleton are gone. Waits while held.
    SkeletonGone,
    /// The application's logs are past their age.
    ApplicationLogsGone,
    /// That part of the certificate is signed and handed over.
    Certified(Part),
}

impl Need {
    /// In words.
    pub fn told(self) -> &'static str {
        match self {
            Need::AccessOff => "access is off and sessions are ended",
            Need::ArchiveVerified => "the archive was written and read back",
            Need::OwnersTold => "the owners were told what they may choose",
            Need::ChoiceOver => "the 30 days to choose are over",
            Need::PlanMade => "what will be purged is fixed",
            Need::PurgeDue => "the day of the purge has come",
            Need::ClocksAgree => "the clocks agree",
            Need::GoodSnapshot => "there is a good recent snapshot",
            Need::WindowOpen => "purges may run at this hour",
            Need::Approved => "the purge is below its cap or approved by people",
            Need::LiveClean => "the purge is committed, verified and replayed on each replica",
            Need::CheckedAfterDay => "no row had come back a day later",
            Need::CheckedAfterWeek => "no row had come back a week later",
            Need::SnapshotsGone => "each snapshot that held the rows is confirmed absent",
            Need::ArchiveGone => "the archive and its key are gone (waits while held)",
            Need::ValuesGone => "the values in the audit log cannot be opened any more (waits while held)",
            Need::SkeletonGone => "the skeleton of the audit log cannot be opened any more (waits while held)",
            Need::ApplicationLogsGone => "the application's logs are past their age",
            Need::Certified(Part::Live) => "certificate part 1 (live) is signed",
            Need::Certified(Part::Backups) => "certificate part 2 (backups) is signed",
            Need::Certified(Part::Archive) => "certificate part 3 (archive) is signed",
            Need::Certified(Part::Logs) => "certificate part 4 (logs) is signed",
        }
    }
}

/// One step of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// From here ...
    pub from: Stage,
    /// ... to here ...
    pub to: Stage,
    /// ... once all of these are true, looked at in this order.
    pub needs: &'static [Need],
}

/// The whole way. Closing and opening again are asked for (`Closure::after`); all else follows from here.
pub const TRANSITIONS: [Transition; 8] = [
    Transition { from: Stage::Closed, to: Stage::Archived, needs: &[Need::AccessOff, Need::ArchiveVerified] },
    Transition { from: Stage::Archived, to: Stage::Choice, needs: &[Need::OwnersTold] },
    Transition { from: Stage::Choice, to: Stage::Planned, needs: &[Need::ChoiceOver, Need::PlanMade] },
    Transition {
        from: Stage::Planned,
        to: Stage::Purging,
        needs: &[Need::PurgeDue, Need::ClocksAgree, Need::GoodSnapshot, Need::WindowOpen, Need::Approved],
    },
    Transition {
        from: Stage::Purging,
        to: Stage::LiveClean,
        needs: &[Need::Approved, Need::LiveClean, Need::Certified(Part::Live)],
    },
    Transition {
        from: Stage::LiveClean,
        to: Stage::BackupsClean,
        needs: &[
            Need::Approved,
            Need::CheckedAfterDay,
            Need::CheckedAfterWeek,
            Need::SnapshotsGone,
            Need::Certified(Part::Backups),
        ],
    },
    Transition {
        from: Stage::BackupsClean,
        to: Stage::ArchiveDestroyed,
        needs: &[Need::ArchiveGone, Need::ValuesGone, Need::Certified(Part::Archive)],
    },
    Transition {
        from: Stage::ArchiveDestroyed,
        to: Stage::LogsClean,
        needs: &[Need::SkeletonGone, Need::ApplicationLogsGone, Need::Certified(Part::Logs)],
    },
];
