//! A replica that is down: nothing is made for its sake, and nothing else waits for it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use portreeve::clock::{Clock as _, SystemClock};
use portreeve::fence::{Fence, grant_role};
use portreeve::grant::Scope;

use crate::astray::upstream;
use crate::ground::{Ground, Version, one, words};

/// Roles that a dead proxy left.
const LEFT: u32 = 20;

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

/// One after the other they would hold up the start for longer than it is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_never_answers_holds_up_no_start() {
    let mut ground = Ground::new(Version::Fifteen, "10s").await;
    ground.stage.grant("acme", "read").expect("a grant");
    let session = ground.sign_in_soon("acme").await;
    let role = ground.wait_for_roles(1).await.concat();
    ground.stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    drop(session);
    leave_roles(&ground, &role).await;
    ground.wait_for_roles(usize::try_from(LEFT).expect("a number")).await;

    // The system takes connections for it, and nobody ever reads from them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    ground.change(&format!("port = {}", ground.standby.port), &format!("port = {port}"));
    ground.stage.start_proxy().expect("it starts all the same");
    let open = "select count(*) from pg_roles where rolname like 'pr\\_g\\_%' and rolcanlogin";
    let open = ground.stage.cluster.run_sql("postgres", open).await.expect("an answer");
    assert_eq!(open, [[Some("0".to_owned())]], "all are shut out before anybody gets in");
    let session = ground.sign_in_soon("acme").await;
    assert_eq!(one(&session.client, "select 1").await, "1");
    drop(session);

    ground.change(&format!("port = {port}"), &format!("port = {}", ground.standby.port));
    assert!(ground.stage.proxy.as_mut().expect("a proxy").stop().expect("it stops"), "it did not end well");
    ground.stage.start_proxy().expect("it starts again");
    ground.wait_for_roles(0).await;
    drop(silent);
}

/// More roles like that one.
async fn leave_roles(ground: &Ground, role: &str) {
    let family = role.rsplitn(4, '_').last().map(|family| format!("{family}_")).expect("a family");
    let cluster = &ground.stage.cluster;
    let fence = Fence::new(upstream(cluster, cluster.port())).expect("a fence");
    let until = SystemClock.now().plus(Duration::from_secs(3600));
    for number in 1..LEFT {
        let role = grant_role(&family, 1, 1, number);
        let verifier = postgres_protocol::password::scram_sha_256(role.as_bytes());
        fence.open_grant("acme", &role, Scope::Read, &verifier, until, 8).await.expect("a grant");
    }
}
