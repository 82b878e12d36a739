//! One month on the real grid of five hours.

use std::time::{Duration, Instant};

use crate::ground::{DAY, Ground, HOUR, START};

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_snapshots_every_five_hours_and_none_older_than_fourteen_days() {
    let mut ground = Ground::new("").await;
    let began = Instant::now();
    let mut most = 0;
    while ground.now().0 < START + 31 * DAY {
        let turn = ground.turn().await;
        assert!(turn.attempts.iter().all(|attempt| attempt.fault.is_none()), "{:?}", turn.attempts);
        assert!(turn.expired.left.is_empty() && turn.plan.caps.is_empty(), "{turn:?}");
        ground.nothing_is_too_old(14);
        most = most.max(ground.listed().len());
        let next = ground.next(5 * HOUR);
        ground.go_to(next - 10);
        // As old as anything becomes: just before the turn that deletes it.
        ground.nothing_is_too_old(14);
        ground.go_to(next);
    }
    ground.register_and_store_agree().await;
    let state = ground.state().await;
    let mut begun: Vec<i64> = state.snapshots().map(|snapshot| snapshot.started.0.div_euclid(5 * HOUR)).collect();
    begun.sort_unstable();
    assert!(begun.windows(2).all(|pair| pair[1] == pair[0] + 1), "each slot has one, and no slot is left out");
    assert_eq!(begun.len(), 149, "31 days");
    assert!((60..=69).contains(&most), "{most} in the store");
    println!("{} turns in {:?}", ground.turns, began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(180), "affordable");
}
