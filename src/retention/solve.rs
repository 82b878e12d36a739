//! What the promise means: how old each back-end's snapshots become, and by when a purge must be through.
//! Not here: any moment; everything is an offset. A promise that cannot be kept is refused with the nearest one that can.
//! Section 4.1 of the research: `P <= C + 90d - S - D - E`, less 7 days for the re-check.

use std::fmt;
use std::time::Duration;

use super::promise::{Promise, Term, Told, Written};

/// How long after a purge it is checked again that no row came back.
pub const RECHECK: Duration = Duration::from_secs(7 * 86_400);

/// What the law allows for the notice of a breach (Art. 33(1) GDPR).
const BREACH_NOTICE: Duration = Duration::from_secs(72 * 3_600);

/// A back-end, as far as time is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// How long taking a snapshot lasts, at the most.
    pub takes: Duration,
    /// From the moment one is due until it is confirmed gone, at the most.
    pub expiry_lag: Duration,
    /// How long the store keeps what was deleted: a recycle bin, a lock, its own snapshots, a chain's full interval.
    pub store_keeps: Duration,
}

/// What follows for one back-end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solved {
    /// Its name.
    pub backend: String,
    /// A snapshot is deleted from this age on, counted from its start; never younger.
    pub age_min: Duration,
    /// At this age, counted from its start, it is gone from the store.
    pub age_max: Duration,
    /// From closure until a purge must be committed, verified and replayed on replicas, at the latest.
    pub purge_latest: Duration,
    /// How much later than promised a purge may be.
    pub slack: Duration,
}

/// What follows for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// For each back-end, in their order.
    pub backends: Vec<Solved>,
    /// The earliest of all `purge_latest`; without a back-end, what the re-check leaves.
    pub purge_latest: Duration,
    /// The smallest of all `slack`.
    pub slack: Duration,
}

impl Solution {
    /// What follows for the back-end of that name.
    pub fn of(&self, backend: &str) -> Option<&Solved> {
        self.backends.iter().find(|solved| solved.backend == backend)
    }
}

/// Why a promise cannot be kept, and the nearest that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// Because of which back-end, if of one.
    pub backend: Option<String>,
    /// Why.
    pub reason: String,
    /// A term, and the nearest value with which this reason is gone; others may be left.
    pub nearest: (Term, Duration),
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(backend) = &self.backend {
            write!(f, "[snapshots.{backend}]: ")?;
        }
        let (term, nearest) = self.nearest;
        write!(f, "{}; the nearest that can be kept: {term} = \"{}\"", self.reason, Written(nearest))
    }
}

/// A promise that cannot be kept: every reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unkeepable(pub Vec<Impossible>);

impl fmt::Display for Unkeepable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the promise cannot be kept")?;
        self.0.iter().try_for_each(|impossible| write!(f, "; {impossible}"))
    }
}

impl std::error::Error for Unkeepable {}

/// Computes what the promise means for these back-ends.
///
/// # Errors
/// [`Unkeepable`] with every reason.
pub fn solve(promise: &Promise, backends: &[Backend]) -> Result<Solution, Unkeepable> {
    let mut impossible = terms_alone(promise);
    impossible.extend(backends.iter().flat_map(|backend| with_backend(promise, backend)));
    if !impossible.is_empty() {
        return Err(Unkeepable(impossible));
    }
    let solved: Vec<Solved> = backends.iter().map(|backend| solved(promise, backend)).collect();
    let without = promise.gone_everywhere_after.saturating_sub(RECHECK);
    let purge_latest = solved.iter().map(|solved| solved.purge_latest).min().unwrap_or(without);
    let slack = purge_latest.saturating_sub(promise.purge_live_after);
    Ok(Solution { backends: solved, purge_latest, slack })
}

fn solved(promise: &Promise, backend: &Backend) -> Solved {
    let purge_latest = promise.gone_everywhere_after.saturating_sub(after_purge(promise, backend));
    Solved {
        backend: backend.name.clone(),
        age_min: promise.snapshot_max_age.saturating_sub(backend.expiry_lag + backend.store_keeps),
        age_max: promise.snapshot_max_age,
        purge_latest,
        slack: purge_latest.saturating_sub(promise.purge_live_after),
    }
}

/// From a purge that is through until the last snapshot that began before it is gone and the re-check is over.
fn after_purge(promise: &Promise, backend: &Backend) -> Duration {
    promise.snapshot_max_age + backend.takes + backend.expiry_lag + RECHECK
}

/// What the terms rule out among themselves.
fn terms_alone(promise: &Promise) -> Vec<Impossible> {
    let mut found = Vec::new();
    let mut refuse = |is_wrong: bool, reason: String, nearest: (Term, Duration)| {
        if is_wrong {
            found.push(Impossible { backend: None, reason, nearest });
        }
    };
    for (term, value) in promise.terms() {
        let second = Duration::from_secs(value.as_secs().max(1));
        refuse(value != second, format!("{term} is not a whole number of seconds"), (term, second));
    }
    refuse(
        promise.breach_notice_within > BREACH_NOTICE,
        format!("a breach must be told within {}", Told(BREACH_NOTICE)),
        (Term::BreachNoticeWithin, BREACH_NOTICE),
    );
    refuse(
        promise.audit_skeleton_after < promise.gone_everywhere_after,
        "the skeleton of the audit log cannot go before its values".to_owned(),
        (Term::AuditSkeletonAfter, promise.gone_everywhere_after),
    );
    refuse(
        promise.application_logs_max_age > promise.audit_skeleton_after,
        format!(
            "a line that the application logs until closure would be there {} after it, when the last certificate is due",
            Told(promise.audit_skeleton_after)
        ),
        (Term::ApplicationLogsMaxAge, promise.audit_skeleton_after),
    );
    let least = promise.purge_live_after + RECHECK;
    refuse(
        promise.gone_everywhere_after < least,
        format!("live rows purged after {} are checked again {} later", Told(promise.purge_live_after), Told(RECHECK)),
        (Term::GoneEverywhereAfter, least),
    );
    found
}

/// What a back-end rules out.
fn with_backend(promise: &Promise, backend: &Backend) -> Vec<Impossible> {
    let mut found = Vec::new();
    let mut refuse = |is_wrong: bool, reason: String, nearest: (Term, Duration)| {
        if is_wrong {
            found.push(Impossible { backend: Some(backend.name.clone()), reason, nearest });
        }
    };
    refuse(
        backend.takes > promise.snapshot_every,
        format!("taking a snapshot lasts up to {}, longer than until the next", Told(backend.takes)),
        (Term::SnapshotEvery, backend.takes),
    );
    let least = promise.snapshot_every + backend.takes + backend.expiry_lag + backend.store_keeps;
    refuse(
        promise.snapshot_max_age < least,
        format!(
            "a snapshot must stay until its successor is complete ({} until it begins, {} to take it) and then be gone in \
             time ({} to delete it, {} in which the store keeps it)",
            Told(promise.snapshot_every),
            Told(backend.takes),
            Told(backend.expiry_lag),
            Told(backend.store_keeps)
        ),
        (Term::SnapshotMaxAge, least),
    );
    let least = promise.purge_live_after + after_purge(promise, backend);
    refuse(
        promise.gone_everywhere_after < least,
        format!(
            "live rows go {} after closure, the last snapshot that holds them up to {} after that ({} of age, {} to take, \
             {} to expire), and {} are for the re-check",
            Told(promise.purge_live_after),
            Told(after_purge(promise, backend).saturating_sub(RECHECK)),
            Told(promise.snapshot_max_age),
            Told(backend.takes),
            Told(backend.expiry_lag),
            Told(RECHECK)
        ),
        (Term::GoneEverywhereAfter, least),
    );
    found
}

#[cfg(test)]
#[path = "solve_tests.rs"]
mod tests;
