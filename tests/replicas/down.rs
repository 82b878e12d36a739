//! A replica that is down: nothing is made for its sake, and nothing else waits for it.

use crate::ground::{Ground, Version, one, words};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_dead_replica_turns_away_leaves_no_role() {
    let mut ground = Ground::new(Version::Fifteen, "10s").await;
    ground.stage.grant("acme", "read").expect("a grant");
    drop(ground.sign_in_soon("acme").await);
    ground.wait_for_roles(0).await;
    ground.standby.stop();
    for _ in 0..10 {
        let told = words(&ground.sign_in("acme@reader").await.err().expect("nobody gets in"));
        assert!(told.starts_with("08006 the customer's database cannot be reached"), "{told}");
    }
    ground.wait_for_roles(0).await;
    ground.standby.start().await;
    let session = ground.sign_in_soon("acme@reader").await;
    assert_eq!(one(&session.client, "select pg_is_in_recovery()").await, "t");
    drop(session);
    ground.wait_for_roles(0).await;
}
