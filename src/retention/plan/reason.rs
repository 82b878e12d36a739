//! What a plan does with an object, and why, in words.
//! Not here: the decision. A reason names moments, never ages, so that it reads the same a minute later.

use std::fmt;

use crate::clock::Timestamp;
use crate::retention::closure::Why;

/// What to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Leave it: its time has not come.
    Keep,
    /// Delete it, and confirm that it is gone.
    Expire,
    /// Delete the customer's live rows.
    Purge,
    /// Leave it, though its time has come; somebody must know.
    Hold,
    /// Not ours, or not where it should be: tell, and touch nothing.
    Report,
}

impl Action {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Action::Keep => "keep",
            Action::Expire => "expire",
            Action::Purge => "purge",
            Action::Hold => "hold",
            Action::Report => "report",
        }
    }
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not due.
    Young {
        /// When it is.
        until: Timestamp,
    },
    /// It is being taken, and is not due.
    Running {
        /// When it is.
        until: Timestamp,
    },
    /// It is due.
    Due {
        /// Since when.
        due: Timestamp,
    },
    /// It is due, and was never finished.
    NeverEnded {
        /// Since when.
        due: Timestamp,
    },
    /// Its deletion was begun.
    Unfinished,
    /// It is due and the only good one, and is held.
    LastGoodHeld {
        /// Since when.
        due: Timestamp,
    },
    /// It is due and the only good one, and the configuration says delete.
    LastGoodDeleted {
        /// Since when.
        due: Timestamp,
    },
    /// It is due, the only good one, and holds rows of a closed customer whose last day is there.
    LastDay {
        /// Since when it is due.
        due: Timestamp,
    },
    /// The clocks disagree.
    Frozen,
    /// The store was not listed to its end.
    StoreSilent,
    /// The store refuses to delete it.
    Locked {
        /// Until when.
        until: Timestamp,
    },
    /// It was begun later than now.
    Future {
        /// When it says it was begun.
        started: Timestamp,
    },
    /// What was begun later in the catalog says it was begun long before.
    OrderDisagrees,
    /// Its back-end is not configured.
    UnknownBackend,
    /// It is not ours, and not past the ceiling.
    Foreign,
    /// It is not ours, and past the ceiling.
    ForeignTooOld {
        /// When it was too old.
        since: Timestamp,
    },
    /// The catalog has it and the store does not.
    Vanished,
    /// The archive's day has come.
    ArchiveDue {
        /// By when it must be gone.
        by: Timestamp,
    },
    /// A hold keeps it.
    Held {
        /// When that is reviewed.
        review: Option<Timestamp>,
    },
    /// Its live rows stay.
    LiveUntil {
        /// Until then.
        until: Timestamp,
    },
    /// Its rows are due.
    PurgeDue {
        /// Since when by the ordinary dates.
        from: Timestamp,
        /// Immediate removal was asked for.
        remove_now: bool,
    },
    /// Its rows are due, and held until people approve it.
    PurgeHeld {
        /// Since when by the ordinary dates.
        from: Timestamp,
        /// Immediate removal was asked for.
        remove_now: bool,
    },
    /// It is due to be purged and cannot be.
    Waits {
        /// Why.
        why: Why,
    },
    /// It is due to be purged, and something that comes before is not done.
    Unprepared,
    /// Something comes before the purge.
    NotReady,
    /// No live row is left.
    Purged,
    /// The account was opened again.
    Reopened,
}

impl Reason {
    /// Since when the object is due, if it is.
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Reason::Due { due }
            | Reason::NeverEnded { due }
            | Reason::LastGoodHeld { due }
            | Reason::LastGoodDeleted { due }
            | Reason::LastDay { due } => Some(*due),
            Reason::PurgeDue { from, .. } | Reason::PurgeHeld { from, .. } => Some(*from),
            _ => None,
        }
    }

    /// Whether it must be recorded and somebody told, beyond doing it.
    pub fn is_exception(&self) -> bool {
        !matches!(
            self,
            Reason::Young { .. }
                | Reason::Running { .. }
                | Reason::Due { .. }
                | Reason::Unfinished
                | Reason::Foreign
                | Reason::ArchiveDue { .. }
                | Reason::LiveUntil { .. }
                | Reason::PurgeDue { .. }
                | Reason::NotReady
                | Reason::Purged
                | Reason::Reopened
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Young { until } => write!(f, "it stays until {until}"),
            Reason::Running { until } => write!(f, "it is being taken; due at {until}, counted from its start"),
            Reason::Due { due } => write!(f, "due since {due}, counted from its start"),
            Reason::NeverEnded { due } => write!(f, "begun and never finished; due since {due}"),
            Reason::Unfinished => f.write_str("its deletion was begun and is not confirmed"),
            Reason::LastGoodHeld { due } => {
                write!(f, "due since {due}, but no newer snapshot is verified; on_ceiling = \"hold_last_good\" holds it")
            }
            Reason::LastGoodDeleted { due } => {
                write!(f, "due since {due}; no newer snapshot is verified, and on_ceiling = \"delete\"")
            }
            Reason::LastDay { due } => {
                write!(f, "due since {due}; no newer snapshot is verified, but a closed customer's last day is there")
            }
            Reason::Frozen => f.write_str("the clocks disagree; nothing is deleted until two of three agree"),
            Reason::StoreSilent => f.write_str("its store was not listed to its end"),
            Reason::Locked { until } => write!(f, "its store refuses to delete it until {until}"),
            Reason::Future { started } => write!(f, "it says it was begun at {started}, which is later than now"),
            Reason::OrderDisagrees => f.write_str(
                "the catalog's order and the times of start disagree; say when it was begun with \"portreeve retention adopt\"",
            ),
            Reason::UnknownBackend => f.write_str("its back-end has no section [snapshots.NAME]"),
            Reason::Foreign => f.write_str("not made or adopted by this instance"),
            Reason::ForeignTooOld { since } => {
                write!(f, "past the ceiling since {since}, and not ours; take it in with \"portreeve retention adopt\"")
            }
            Reason::Vanished => f.write_str("it is in the catalog and not in its store; somebody else deleted it"),
            Reason::ArchiveDue { by } => write!(f, "it must be gone by {by}"),
            Reason::Held { review: Some(review) } => write!(f, "held; to be reviewed at {review}"),
            Reason::Held { review: None } => f.write_str("held"),
            Reason::LiveUntil { until } => write!(f, "its live rows stay until {until}"),
            Reason::PurgeDue { from, remove_now: false } => write!(f, "its live rows are due since {from}"),
            Reason::PurgeDue { from, remove_now: true } => {
                write!(f, "immediate removal was asked for; its live rows would be due at {from}")
            }
            Reason::PurgeHeld { from, remove_now: false } => {
                write!(f, "its live rows are due since {from}, and held until two people approve it")
            }
            Reason::PurgeHeld { remove_now: true, .. } => {
                f.write_str("immediate removal was asked for, and is held until two people approve it")
            }
            Reason::Waits { why } => write!(f, "its live rows are due, but {why}"),
            Reason::Unprepared => {
                f.write_str("its live rows are due, but access, archive or plan are not done, which come before")
            }
            Reason::NotReady => f.write_str("its closing is under way; nothing is purged yet"),
            Reason::Purged => f.write_str("no live row is left"),
            Reason::Reopened => f.write_str("the account was opened again"),
        }
    }
}
