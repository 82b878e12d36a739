//! Ended because nobody does anything in it; and how fast changes are heard of.
//! Not here: ends that somebody orders.

use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::STAFF;

use crate::cast::{Doing, SOON, cast};
use crate::ground::{Act, Ground};
use crate::heard;
use crate::measured::{Expected, Measured, Watched, wait_for_roles};

const IDLE_AFTER: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_left_alone() {
    let mut ground = Ground::new(&[("proxy", "idle_after = \"6s\"")]).await;
    let before = ground.rows().await;
    let mut measured = Measured::default();
    heard::a_change_is_heard_of(&ground).await;

    ground.grant(STAFF, "acme", "write", "2h");
    let (quiet, busy): (Vec<_>, Vec<_>) = Doing::ALL.into_iter().partition(|doing| doing.is_quiet());
    let busy = Watched::new(&ground, cast(&ground.stage, STAFF, &busy).await).await;
    let mut watched = Vec::new();
    for doing in quiet {
        let since = Instant::now();
        let member = cast(&ground.stage, STAFF, &[doing]).await;
        watched.push((Act::at(since + IDLE_AFTER), Watched::new(&ground, member).await));
    }
    assert!(watched.iter().all(|(_, one)| one.are_there()), "ended before its time");
    for (due, one) in watched {
        let says = "session ended after 6 s without a statement";
        let expected = Expected { way: "idle", reason: "idle", sqlstate: "57P05", says };
        tokio::time::timeout(SOON, one.ended(&mut ground, due, &expected, &mut measured)).await.expect("bounded");
    }
    assert!(busy.are_there(), "a session that is at work was ended as idle");
    let closed = ground.close("acme");
    let expected =
        Expected { way: "busy", reason: "consent-off", sqlstate: "57P01", says: "switched support access off" };
    busy.ended(&mut ground, closed, &expected, &mut measured).await;
    wait_for_roles(&ground, 0).await;
    assert_eq!(ground.rows().await, before, "rows were changed");
    measured.print();
}
