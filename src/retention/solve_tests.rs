use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn backend(takes: Duration, expiry_lag: Duration, store_keeps: Duration) -> Backend {
    Backend { name: "main".to_owned(), takes, expiry_lag, store_keeps }
}

#[test]
fn the_shipped_promise_is_solved_as_the_research_did() {
    // Section 4.1: with T = 5 h, D = 1 h, E = 5 h the latest purge is C + 75 d 18 h, here less 7 days for the re-check.
    let solution = solve(&Promise::default(), &[backend(HOUR, 5 * HOUR, Duration::ZERO)]).expect("possible");
    let solved = solution.of("main").expect("solved");
    assert_eq!(solved.purge_latest, 68 * DAY + 18 * HOUR);
    assert_eq!(Told(solved.purge_latest).to_string(), "68d 18h");
    assert_eq!(solved.slack, 37 * DAY + 18 * HOUR);
    assert_eq!((solved.age_min, solved.age_max), (13 * DAY + 19 * HOUR, 14 * DAY));
    assert_eq!((solution.purge_latest, solution.slack), (solved.purge_latest, solved.slack));
}

#[test]
fn the_strictest_back_end_counts() {
    let mut slow = backend(4 * HOUR, 10 * HOUR, 2 * DAY);
    slow.name = "slow".to_owned();
    let solution = solve(&Promise::default(), &[backend(HOUR, HOUR, Duration::ZERO), slow]).expect("possible");
    assert_eq!(solution.purge_latest, 90 * DAY - 14 * DAY - 14 * HOUR - 7 * DAY);
    // What the store keeps after a deletion is deleted that much earlier: the ceiling is a ceiling.
    assert_eq!(solution.of("slow").expect("solved").age_min, 14 * DAY - 10 * HOUR - 2 * DAY);
    let none = solve(&Promise::default(), &[]).expect("possible");
    assert_eq!((none.purge_latest, none.slack), (83 * DAY, 52 * DAY));
}

/// Each row: a promise that cannot be kept, why, and what would do.
#[test]
fn impossible_promises_are_refused_with_the_nearest_possible() {
    let usual = backend(HOUR, HOUR, Duration::ZERO);
    let p = Promise::default;
    for (promise, backend, says, nearest) in [
        (
            Promise { gone_everywhere_after: 30 * DAY, ..p() },
            usual.clone(),
            "live rows go 31d after closure",
            "gone_everywhere_after = \"1250h\"",
        ),
        (
            Promise { snapshot_every: HOUR, ..p() },
            backend(2 * HOUR, HOUR, Duration::ZERO),
            "lasts up to 2h",
            "snapshot_every = \"2h\"",
        ),
        // A vault lock or a recycle bin that keeps what was deleted longer than the ceiling.
        (p(), backend(HOUR, HOUR, 30 * DAY), "30d in which the store keeps it", "snapshot_max_age = \"727h\""),
        (Promise { snapshot_max_age: 5 * HOUR, ..p() }, usual.clone(), "its successor", "snapshot_max_age = \"7h\""),
        (
            Promise { audit_skeleton_after: 60 * DAY, ..p() },
            usual.clone(),
            "before its values",
            "audit_skeleton_after = \"90d\"",
        ),
        (
            Promise { application_logs_max_age: 400 * DAY, ..p() },
            usual.clone(),
            "a line",
            "application_logs_max_age = \"365d\"",
        ),
        (
            Promise { breach_notice_within: 96 * HOUR, ..p() },
            usual.clone(),
            "told within 3d",
            "breach_notice_within = \"3d\"",
        ),
        (
            Promise { snapshot_every: Duration::from_millis(1500), ..p() },
            backend(Duration::ZERO, HOUR, Duration::ZERO),
            "whole number",
            "snapshot_every = \"1s\"",
        ),
    ] {
        let refused = solve(&promise, &[backend]).expect_err(says).to_string();
        assert!(refused.starts_with("the promise cannot be kept; "), "{refused}");
        assert!(refused.contains(says) && refused.contains(nearest), "{refused}");
    }
}

fn hours(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(|hours| Duration::from_secs(3600 * hours))
}

proptest! {
    /// Whatever the terms: what is solved keeps the promise in the worst case, and what is refused is mended by taking
    /// the nearest possible terms, one after the other.
    #[test]
    fn solved_means_kept_and_refused_means_mendable(
        every in hours(1..48), age in hours(1..600), purge in hours(1..1000), gone in hours(1..3000),
        takes in hours(0..60), lag in hours(0..48), keeps in hours(0..200),
    ) {
        let mut promise = Promise {
            snapshot_every: every, snapshot_max_age: age, purge_live_after: purge, gone_everywhere_after: gone,
            audit_skeleton_after: 4000 * HOUR, application_logs_max_age: 4000 * HOUR, ..Promise::default()
        };
        let backends = [backend(takes, lag, keeps)];
        for _ in 0..8 {
            let Err(Unkeepable(why)) = solve(&promise, &backends) else { break };
            let (term, nearest) = why.first().expect("a reason").nearest;
            match term {
                Term::SnapshotEvery => promise.snapshot_every = nearest,
                Term::SnapshotMaxAge => promise.snapshot_max_age = nearest,
                Term::GoneEverywhereAfter => promise.gone_everywhere_after = nearest,
                Term::AuditSkeletonAfter => promise.audit_skeleton_after = nearest,
                other => prop_assert!(false, "{other} was not wrong"),
            }
        }
        let solution = solve(&promise, &backends);
        prop_assert!(solution.is_ok(), "{solution:?}");
        let solution = solution.expect("solved");
        let solved = &solution.backends[0];
        // The last dirty snapshot begins when the purge is through, is deleted when due, and kept by the store.
        let gone = solved.purge_latest + solved.age_min + lag + keeps;
        prop_assert!(gone + RECHECK + takes <= promise.gone_everywhere_after);
        prop_assert!(solved.age_min + lag + keeps == solved.age_max);
        // There is always a successor before one goes.
        prop_assert!(solved.age_min >= promise.snapshot_every + takes);
        prop_assert!(solution.slack == solved.purge_latest - promise.purge_live_after);
    }
}
