//! A backend at a replica that does not end, whatever it is told: the replica answers, and whoever else is there is ended.

use std::time::Duration;

use portreeve::clock::{Clock as _, SystemClock};
use portreeve::fence::{Fence, Replica, family, grant_role};
use portreeve::grant::Scope;
use rustix::process::{Pid, Signal, kill_process};

use crate::astray::upstream;
use crate::beside::beside;
use crate::ground::{Ground, SOON, Version, words};

/// Longer than a replica is waited for that does not answer.
const WITHIN: Duration = Duration::from_secs(3);

/// A process that was told to stop where it is, until dropped.
struct Stopped(Pid);

impl Stopped {
    fn at(pid: i32) -> Stopped {
        let pid = Pid::from_raw(pid).expect("a process id");
        kill_process(pid, Signal::STOP).expect("it runs");
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).expect("it is still there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_does_not_go_shields_no_other_role_at_its_replica() {
    let ground = Ground::new(Version::Fifteen, "10s").await;
    ground.standby.admit("hostssl acme all 127.0.0.1/32 scram-sha-256").await;
    let cluster = &ground.stage.cluster;
    let replica = Replica::new("reader", upstream(cluster, ground.standby.port), Vec::new(), SOON).expect("a replica");
    let primary = upstream(cluster, cluster.port());
    let fence = Fence::with_replicas(primary, Vec::new(), vec![replica]).expect("a fence");
    let family = family("dead");
    let roles = [1, 2].map(|number| grant_role(&family, 1, 1, number));
    let until = SystemClock.now().plus(Duration::from_secs(3600));
    for role in &roles {
        let verifier = postgres_protocol::password::scram_sha_256(role.as_bytes());
        fence.open_grant("acme", role, Scope::Read, &verifier, until, 8).await.expect("a grant");
    }
    let [first, second] = &roles;
    let (stuck, other) = (beside(&ground, first, first).await, beside(&ground, second, second).await);
    let stopped = Stopped::at(stuck.pid);

    let fault = fence.sweep("acme", &family, |_| false, WITHIN).await.expect_err("one does not go");
    assert!(fault.to_string().contains("replica \"reader\""), "{fault}");
    assert_eq!(ground.roles().await, [first.as_str()], "the other is dropped");
    assert_eq!(ground.backends().await, [stuck.pid.to_string()]);
    let told = tokio::time::timeout(SOON, other.connection).await.expect("it is ended").expect("no panic").1;
    assert!(told.as_ref().map(words).unwrap_or_default().starts_with("57P01"), "{told:?}");

    drop(stopped);
    assert_eq!(fence.sweep("acme", &family, |_| false, SOON).await.expect("it goes"), [first.as_str()]);
    assert_eq!(ground.backends().await, Vec::<String>::new());
    drop(stuck);
}
