//! A year in steps of five days, with what goes wrong in a year.

use std::fs;

use portreeve::audit::keys::Part;
use portreeve::grant::SnapshotStatus;
use portreeve::retention::overdue::What;
use portreeve::retention::plan::{Action, Reason};

use crate::ground::{DAY, Ground, HOUR, START};

const EVERY: i64 = 5 * DAY;

/// Turns until that day, all of them well, nothing too old at any moment.
async fn until(ground: &mut Ground, day: i64) {
    while ground.now().0 < START + day * DAY {
        let turn = ground.turn().await;
        assert!(turn.attempts.iter().all(|attempt| attempt.fault.is_none()), "{:?}", turn.attempts);
        assert!(turn.expired.left.is_empty(), "{:?}", turn.expired);
        ground.nothing_is_too_old(14);
        let next = ground.next(EVERY).min(START + day * DAY + 1_000_000);
        ground.go_to(next - 10);
        ground.nothing_is_too_old(14);
        ground.go_to(next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_with_what_goes_wrong_in_a_year() {
    let mut ground = Ground::new("snapshot_every = \"5d\"").await;
    // Somebody else's file, old enough to be reported: never touched.
    fs::write(ground.store().join("nightly.dump"), b"PGDMP").expect("written");
    until(&mut ground, 40).await;

    the_store_goes_away(&mut ground).await;
    until(&mut ground, 90).await;
    the_database_is_down(&mut ground).await;
    until(&mut ground, 140).await;
    the_clock_jumps(&mut ground, 2 * DAY).await;
    until(&mut ground, 190).await;
    the_clock_jumps(&mut ground, -DAY).await;
    until(&mut ground, 240).await;
    another_daemon_leads(&mut ground).await;
    until(&mut ground, 365).await;

    ground.register_and_store_agree().await;
    assert!(ground.store().join("nightly.dump").exists(), "what is not ours is not touched");
    let (_, held) = ground.daemon.world.keyring.held().await.expect("told");
    let held: Vec<_> = held.iter().map(|slot| (slot.period, slot.part)).collect();
    assert_eq!(held, [(202_701, Part::Skeleton)], "a year of who and when, not of texts");
    let state = ground.state().await;
    let gone = state.snapshots().filter(|snapshot| matches!(snapshot.status, SnapshotStatus::Deleted { .. })).count();
    let there = ground.listed().len();
    assert!(gone >= 68 && (2..=3).contains(&there), "{gone} gone, {there} there");
    let turn = ground.turn().await;
    let reported = turn.plan.with(Action::Report).collect::<Vec<_>>();
    assert!(matches!(reported[..], [row] if matches!(row.reason, Reason::ForeignTooOld { .. })), "{reported:?}");
}

/// Its file system is not mounted for six days: nothing is concluded from what is not listed, and it is told.
async fn the_store_goes_away(ground: &mut Ground) {
    let (store, away) = (ground.store(), ground.dir.path().join("away"));
    let before = ground.listed();
    fs::rename(&store, &away).expect("away");
    fs::create_dir(&store).expect("an empty mount point");
    for _ in 0..6 {
        let now = ground.now().0;
        ground.go_to(now + DAY);
        let turn = ground.turn().await;
        assert!(turn.attempts.is_empty() && turn.expired.gone.is_empty(), "{turn:?}");
        assert!(turn.alarms.iter().any(|alarm| matches!(alarm.what, What::StoreSilent(_))), "{:?}", turn.alarms);
        assert_eq!(fs::read_dir(&store).expect("a directory").count(), 0, "no second store is begun");
    }
    let state = ground.state().await;
    let alive = state.snapshots().filter(|snapshot| snapshot.may_exist()).count();
    assert_eq!(alive, before.len(), "nothing was claimed to be gone");
    fs::remove_dir(&store).expect("gone");
    fs::rename(&away, &store).expect("back");
    let turn = ground.turn().await;
    assert_eq!(turn.attempts.len(), 1, "the newest slot stands for those missed");
    assert!(!turn.expired.gone.is_empty(), "what became due meanwhile is deleted: {turn:?}");
    ground.nothing_is_too_old(14);
}

async fn the_database_is_down(ground: &mut Ground) {
    let slot = (ground.now().0.div_euclid(EVERY) + 1) * EVERY;
    until(ground, (slot - START) / DAY - 1).await;
    ground.cluster.stop();
    ground.go_to(slot + HOUR);
    let turn = ground.turn().await;
    let faults: Vec<_> = turn.attempts.iter().filter_map(|attempt| attempt.fault.as_deref()).collect();
    assert!(matches!(faults[..], [fault] if fault.contains("cannot ask the database")), "{faults:?}");
    let now = ground.now().0;
    ground.go_to(now + 1_000_000);
    let turn = ground.turn().await;
    assert!(turn.attempts.is_empty(), "it waits before it tries again: {:?}", turn.attempts);
    ground.cluster.start_again().await.expect("up again");
    ground.go_to(now + HOUR);
    let turn = ground.turn().await;
    assert!(matches!(&turn.attempts[..], [attempt] if attempt.fault.is_none()), "{:?}", turn.attempts);
    ground.register_and_store_agree().await;
}

/// The wall clock alone says another time: nothing is deleted, whatever it says is due, until it has been right for a
/// while.
async fn the_clock_jumps(ground: &mut Ground, by: i64) {
    // Two days into a slot, so that no other slot is reached.
    let slot = (ground.now().0.div_euclid(EVERY) + 1) * EVERY;
    until(ground, (slot - START) / DAY + 2).await;
    let before = ground.listed();
    ground.jump(by);
    for _ in 0..3 {
        let turn = ground.turn().await;
        assert!(turn.is_frozen && turn.expired.gone.is_empty(), "{turn:?}");
        assert!(turn.attempts.is_empty(), "{:?}", turn.attempts);
        assert_eq!(ground.listed(), before);
    }
    ground.jump(-by);
    let turn = ground.turn().await;
    assert!(turn.is_frozen, "it must have been right for a while");
    for _ in 0..3 {
        let now = ground.now().0;
        ground.go_to(now + HOUR / 4);
        ground.turn().await;
    }
    let turn = ground.turn().await;
    assert!(!turn.is_frozen, "two of three agree again");
    ground.nothing_is_too_old(14);
}

async fn another_daemon_leads(ground: &mut Ground) {
    let store = ground.shelf().open().expect("the store");
    let before = ground.listed();
    let next = ground.next(EVERY);
    let lease = store.lease().expect("the lead");
    ground.go_to(next);
    let turn = ground.turn().await;
    assert!(turn.expired.gone.is_empty() && turn.attempts.is_empty(), "one leads, the other waits: {turn:?}");
    assert_eq!(ground.listed(), before);
    drop(lease);
    let turn = ground.turn().await;
    assert!(!turn.expired.gone.is_empty() || !turn.attempts.is_empty(), "{turn:?}");
    ground.nothing_is_too_old(14);
}
