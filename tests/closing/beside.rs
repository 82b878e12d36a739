//! A purge that lasts: a snapshot that falls due meanwhile is taken, and holds the rows that it may have seen.

use std::sync::atomic::Ordering;

use portreeve::cli::demo::stage::SHARED_DATABASE;
use portreeve::grant::{AccountStep, Stage};
use portreeve::retentiond::Daemon;

use super::ground::{DAY, Ground};

/// Snapshots that hold rows of a closed customer, as the daemon counts them.
async fn dirty(daemon: &Daemon, ground: &Ground, name: &str) -> Option<u64> {
    let inventory = daemon.world.keeping.stock.inventory(false, ground.now()).await.expect("an inventory");
    let customer = ground.customer(name).id;
    let of = inventory.closed.iter().find(|(closure, _)| closure.customer == customer);
    of.expect("it is closed").1.dirty_snapshots
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_falls_due_during_a_purge_is_taken_and_counts_as_holding_the_rows() {
    let ground = Ground::new().await;
    ground.stage.prepare_retention().await.expect("prepared");
    ground.close("initech").await;
    ground.well().await;
    ground.account("initech", AccountStep::Immediate).await.expect("asked for");
    // Somebody else's open transaction holds the rows, and with it the purge from going on.
    let (other, driving) = {
        let dsn = ground.stage.cluster.superuser_dsn(SHARED_DATABASE);
        let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.expect("a connection");
        (client, tokio::spawn(connection))
    };
    other.batch_execute("begin; select from orders where tenant_id = 7 for update").await.expect("held");

    let mut daemon = ground.daemon().await;
    let turn = daemon.turn(ground.now()).await.expect("a turn");
    let taken = turn.attempts.len();
    assert!(taken > 0 && turn.attempts.iter().all(|attempt| attempt.fault.is_none()), "{turn:?}");
    assert!(daemon.is_purging(), "{turn:?}");

    ground.clock.0.fetch_add(5 * 3_600_000_000, Ordering::SeqCst);
    let turn = daemon.turn(ground.now()).await.expect("a turn");
    assert_eq!(turn.attempts.len(), taken, "the next slot is taken on time: {turn:?}");
    assert!(turn.attempts.iter().all(|attempt| attempt.fault.is_none()), "{turn:?}");
    assert!(daemon.is_purging(), "and the purge still runs");
    let waits = &turn.accounts.as_ref().expect("accounts are led").waits;
    assert!(waits.iter().any(|(_, why, _)| why == "its rows are being purged"), "{waits:?}");
    assert_eq!((ground.stage_of("initech"), ground.rows(7).await.as_str()), (Stage::Purging, "1200"));

    other.batch_execute("rollback").await.expect("let go");
    let purged = daemon.purged().await.expect("noted").expect("a purge");
    assert_eq!(purged.troubles, []);
    assert_eq!((ground.stage_of("initech"), ground.rows(7).await.as_str()), (Stage::LiveClean, "0"));
    let both = u64::try_from(2 * taken).expect("few");
    assert_eq!(dirty(&daemon, &ground, "initech").await, Some(both), "both slots began before it was through");

    ground.clock.0.fetch_add(5 * 3_600_000_000, Ordering::SeqCst);
    let turn = daemon.turn(ground.now()).await.expect("a turn");
    assert_eq!((turn.attempts.len(), daemon.is_purging()), (taken, false), "{turn:?}");
    assert_eq!(dirty(&daemon, &ground, "initech").await, Some(both), "what began afterwards is clean");
    assert!(ground.now().since(ground.closure("initech").at) < DAY);
    driving.abort();
}
