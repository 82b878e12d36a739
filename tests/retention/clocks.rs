//! A wall clock that jumps beyond a slot, ahead or back: snapshots go on by the time that the other two agree on, so that
//! none is kept for as much too long, and nothing is deleted until the clocks agree.

use crate::ground::{DAY, Ground, HOUR};

const EVERY: i64 = 5 * DAY;

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_beyond_a_slot_moves_no_snapshot_and_deletes_none() {
    for by in [12 * DAY, -12 * DAY, 400 * DAY] {
        let mut ground = Ground::new("snapshot_every = \"5d\"").await;
        for _ in 0..3 {
            let turn = ground.turn().await;
            assert!(turn.is_well(), "{turn:?}");
            let next = ground.next(EVERY);
            ground.go_to(next);
        }
        ground.turn().await;
        let before = ground.listed();
        assert!((3..=4).contains(&before.len()), "{before:?}");
        ground.jump(by);
        let turn = ground.turn().await;
        assert!(turn.is_frozen && turn.expired.gone.is_empty() && !turn.is_well(), "{turn:?}");
        assert!(turn.attempts.is_empty(), "by the others' time no slot has come: {:?}", turn.attempts);

        // The next slot comes while the wall clock is wrong: its snapshot is begun when it really is.
        let real = ground.now().0 - by;
        let slot = (real.div_euclid(EVERY) + 1) * EVERY;
        ground.go_to(slot + HOUR + by);
        let turn = ground.turn().await;
        assert!(matches!(&turn.attempts[..], [attempt] if attempt.fault.is_none()), "{:?}", turn.attempts);
        assert!(turn.is_frozen && turn.expired.gone.is_empty(), "{turn:?}");
        let newest = *ground.listed().values().max().expect("some");
        assert!((slot + HOUR..slot + 2 * HOUR).contains(&newest.0), "{newest} is not the time it was begun");
        assert!(before.keys().all(|id| ground.listed().contains_key(id)), "nothing went");

        ground.jump(-by);
        for _ in 0..5 {
            let now = ground.now().0;
            ground.go_to(now + HOUR / 4);
            ground.turn().await;
        }
        let turn = ground.turn().await;
        assert!(!turn.is_frozen, "two of three agree again");
        ground.nothing_is_too_old(14);
        // Every one goes on its day, the one begun under the wrong clock as well.
        for _ in 0..6 {
            let next = ground.next(EVERY);
            ground.go_to(next);
            let turn = ground.turn().await;
            assert!(turn.expired.left.is_empty(), "{turn:?}");
            ground.nothing_is_too_old(14);
        }
        assert!(ground.listed().values().all(|started| *started > newest), "{:?}", ground.listed());
        ground.register_and_store_agree().await;
    }
}
