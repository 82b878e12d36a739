//! More is due at once than one plan may delete: nothing goes until a second person applies it.

use portreeve::retention::plan::Cap;

use crate::ground::{DAY, Ground};

#[tokio::test(flavor = "multi_thread")]
async fn above_its_cap_the_daemon_deletes_nothing_by_itself() {
    let mut ground = Ground::new("snapshot_every = \"1d\"").await;
    for _ in 0..12 {
        ground.turn().await;
        let next = ground.next(DAY);
        ground.go_to(next);
    }
    // Another daemon leads and does nothing, until six snapshots are due; none of them fell due in the last day alone.
    let lease = ground.shelf().open().expect("the store").lease().expect("the lead");
    for _ in 0..8 {
        let now = ground.now().0;
        ground.go_to(now + DAY);
        ground.turn().await;
    }
    drop(lease);
    let before = ground.listed();
    let turn = ground.turn().await;
    assert!(matches!(turn.plan.caps[..], [Cap::Expires { count, cap: 3 }] if count > 3), "{:?}", turn.plan.caps);
    assert!(turn.expired.gone.is_empty() && !turn.is_well(), "{turn:?}");
    assert!(before.keys().all(|id| ground.listed().contains_key(id)), "nothing is deleted");
    let applied = ground.keeping().expire_all(&turn.plan).await.expect("applied by two people");
    assert!(applied.gone.len() > 3 && applied.left.is_empty(), "{applied:?}");
    ground.nothing_is_too_old(14);
    ground.register_and_store_agree().await;
}
