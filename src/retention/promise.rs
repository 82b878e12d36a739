//! The seven terms told to customers, and durations as they are told.
//! Not here: whether the terms can be kept together; `solve.rs` says that.

use std::fmt;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// How long after closure the customer may choose return or deletion, unless the live rows go sooner.
pub const CHOICE: Duration = Duration::from_secs(30 * 86_400);

/// The terms. Each is a duration in whole seconds; the defaults are those of the shipped configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// How often a snapshot begins, on a fixed UTC grid.
    pub snapshot_every: Duration,
    /// A ceiling: at this age, from its start, a snapshot is gone.
    pub snapshot_max_age: Duration,
    /// From closure until the live rows are purged.
    pub purge_live_after: Duration,
    /// From closure until nothing is left: rows, snapshots, write-ahead log, archive, values in the audit log.
    pub gone_everywhere_after: Duration,
    /// From closure until the skeleton of the audit log is erased, too.
    pub audit_skeleton_after: Duration,
    /// A ceiling: at this age a line of the application's own logs is gone.
    pub application_logs_max_age: Duration,
    /// From knowing of a breach until it is told.
    pub breach_notice_within: Duration,
}

impl Default for Promise {
    fn default() -> Self {
        Promise {
            snapshot_every: 5 * HOUR,
            snapshot_max_age: 14 * DAY,
            purge_live_after: 31 * DAY,
            gone_everywhere_after: 90 * DAY,
            audit_skeleton_after: 365 * DAY,
            application_logs_max_age: 365 * DAY,
            breach_notice_within: 72 * HOUR,
        }
    }
}

impl Promise {
    /// How long the customer may choose.
    pub fn choice(&self) -> Duration {
        self.purge_live_after.min(CHOICE)
    }

    /// Every term with its value, in the order of the configuration.
    pub fn terms(&self) -> [(Term, Duration); 7] {
        [
            (Term::SnapshotEvery, self.snapshot_every),
            (Term::SnapshotMaxAge, self.snapshot_max_age),
            (Term::PurgeLiveAfter, self.purge_live_after),
            (Term::GoneEverywhereAfter, self.gone_everywhere_after),
            (Term::AuditSkeletonAfter, self.audit_skeleton_after),
            (Term::ApplicationLogsMaxAge, self.application_logs_max_age),
            (Term::BreachNoticeWithin, self.breach_notice_within),
        ]
    }
}

/// One term, by its key in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Term {
    /// `snapshot_every`.
    SnapshotEvery,
    /// `snapshot_max_age`.
    SnapshotMaxAge,
    /// `purge_live_after`.
    PurgeLiveAfter,
    /// `gone_everywhere_after`.
    GoneEverywhereAfter,
    /// `audit_skeleton_after`.
    AuditSkeletonAfter,
    /// `application_logs_max_age`.
    ApplicationLogsMaxAge,
    /// `breach_notice_within`.
    BreachNoticeWithin,
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Term::SnapshotEvery => "snapshot_every",
            Term::SnapshotMaxAge => "snapshot_max_age",
            Term::PurgeLiveAfter => "purge_live_after",
            Term::GoneEverywhereAfter => "gone_everywhere_after",
            Term::AuditSkeletonAfter => "audit_skeleton_after",
            Term::ApplicationLogsMaxAge => "application_logs_max_age",
            Term::BreachNoticeWithin => "breach_notice_within",
        })
    }
}

/// A duration in days, hours, minutes and seconds: `74d 18h`. Less than a second is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told(pub Duration);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let parts =
            [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
        let told: Vec<String> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
        f.write_str(if told.is_empty() { "0s".to_owned() } else { told.join(" ") }.as_str())
    }
}

/// A duration as the configuration writes it, one whole number and one unit: `1818h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
        let whole = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
        let (unit, letter) = whole.unwrap_or((1, "s"));
        write!(f, "{}{letter}", seconds / unit)
    }
}
