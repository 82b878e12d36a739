//! What can be wrong around a snapshot: nothing looks whole afterwards, and the error says whose matter it is.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use portreeve::clock::{SystemClock, Timestamp};
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::secret::Secret;
use portreeve::snapshots::{About, Error, Found, Instance, Programs, State, Store, Target};
use tokio::task::block_in_place;

use crate::ground::{Ground, INSTANCE, cluster_back_end, dump_of, instance, now, on};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_wrong_or_unknown_is_said() {
    let mut ground = Ground::new().await;
    let about = About::ask(&ground.upstream(), None).await.expect("it answers");
    assert!(about.cluster_bytes > about.database_bytes, "{about:?}");

    let gate_ca = ground.cluster.certificates().gate_ca.clone();
    let (store, programs) = (&ground.store, ground.programs());
    let try_with = |upstream, database| {
        let lease = store.lease().expect("the lead");
        let order = ground.order(None);
        let (dump, cluster) = (dump_of(database), cluster_back_end());
        for back_end in [&dump as &dyn portreeve::snapshots::BackEnd, &cluster] {
            if database == "nowhere" && back_end.database().is_none() {
                continue;
            }
            let taken = block_in_place(|| {
                let (clock, entropy) = (&SystemClock, &OsEntropy);
                store.take(&lease, back_end, &programs, &upstream, &about, &order, clock, entropy, &mut on)
            });
            let Err(Error::Program { program, said, .. }) = taken else { panic!("{taken:?}") };
            assert!(program.starts_with("pg_") && !said.contains("a:b"), "{program}: {said}");
            for expected in match database {
                "nowhere" => ["does not exist", "nowhere"],
                "wrong CA" => ["certificate verify failed", "SSL error"],
                _ => ["password", "failed"],
            } {
                assert!(said.contains(expected), "{database}: {said}");
            }
        }
    };
    try_with(ground.upstream(), "nowhere");
    let mut wrong = ground.upstream();
    wrong.ca = gate_ca;
    let asked = About::ask(&wrong, None).await.expect_err("another CA");
    assert!(asked.to_string().contains("certificate"), "{asked}");
    try_with(wrong, "wrong CA");
    let mut wrong = ground.upstream();
    wrong.password = Secret::new("another".to_owned());
    try_with(wrong, "acme");
    assert_eq!(ground.names(), [] as [&str; 0]);

    ground.cluster.stop();
    let upstream = ground.upstream();
    let down = About::ask(&upstream, None).await.expect_err("down");
    assert!(down.to_string().contains(&upstream.place()), "{down}");
    let missing = Programs::in_directory(Path::new("/nowhere"));
    let lease = ground.store.lease().expect("the lead");
    for (programs, expected) in [(ground.programs(), "refused"), (missing, "set the directory of PostgreSQL")] {
        let taken = block_in_place(|| {
            let (dump, order) = (dump_of("acme"), ground.order(None));
            ground.store.take(&lease, &dump, &programs, &upstream, &about, &order, &SystemClock, &OsEntropy, &mut on)
        });
        let said = taken.expect_err("down").to_string();
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(ground.names(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_take_one_snapshot_of_a_slot() {
    let ground = Ground::new().await;
    let slot = Some(Timestamp(1_764_000_000_000_000));
    let upstream = ground.upstream();
    let about = About::ask(&upstream, Some("acme")).await.expect("it answers");
    let daemon = || {
        let store = Store::open(Arc::new(RealDisk), ground.store.dir(), instance()).expect("a store");
        loop {
            let lease = match store.lease() {
                Err(Error::Led(_)) => {
                    std::thread::yield_now();
                    continue;
                }
                lease => lease.expect("the lead"),
            };
            let (dump, order, programs) = (dump_of("acme"), ground.order(slot), ground.programs());
            let (clock, entropy) = (&SystemClock, &OsEntropy);
            return store.take(&lease, &dump, &programs, &upstream, &about, &order, clock, entropy, &mut on);
        }
    };
    let both = block_in_place(|| {
        std::thread::scope(|scope| {
            let other = scope.spawn(daemon);
            [daemon(), other.join().expect("no panic")]
        })
    });
    let taken: Vec<_> = both.iter().flatten().map(|taken| taken.header.id()).collect();
    let refused: Vec<_> = both.iter().filter_map(|taken| taken.as_ref().err()).collect();
    assert!(matches!(refused.as_slice(), [Error::SlotTaken { id, .. }] if taken == [*id]), "{both:?}");
    assert_eq!(ground.ours().len(), 1);
    // Another database's slot is another series.
    ground.take(&dump_of("globex"), &ground.order(slot)).await.expect("taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instances_snapshot_and_another_key_open_nothing() {
    let ground = Ground::new().await;
    let order = ground.order(None);
    ground.take(&dump_of("acme"), &order).await.expect("taken");
    let (_, key) = portreeve::audit::keys::generate_key_pair();
    let wrong = ground.store.verify(order.id, &key, &ground.programs(), &mut on).expect_err("another key");
    assert!(matches!(wrong, Error::Key(_)), "{wrong}");
    let directory = ground.dir.path().join("restored");
    let target = Target::Directory(&directory);
    let refused = ground.store.restore(order.id, &ground.private, &ground.programs(), &target, &mut on);
    assert!(refused.as_ref().is_err_and(|error| error.to_string().contains("into a database")), "{refused:?}");

    let stranger = Instance::new(*b"the-instance-two", &Secret::new([8; 32]));
    let forger = Instance::new(INSTANCE, &Secret::new([8; 32]));
    for other in [stranger, forger] {
        let store = Store::open(Arc::new(RealDisk), ground.store.dir(), other).expect("a store");
        let found = store.list().expect("a list");
        let [Found::Foreign(foreign)] = found.as_slice() else { panic!("{found:?}") };
        assert!(foreign.claims_started.is_some_and(|started| started <= now()), "{foreign:?}");
        let refused = store.verify(order.id, &ground.private, &ground.programs(), &mut on).expect_err("not ours");
        assert!(matches!(refused, Error::NotOurs { .. }), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_leaves_nothing_and_runs_as_running() {
    let ground = Ground::new().await;
    let order = ground.order(None);
    let upstream = ground.upstream();
    let about = About::ask(&upstream, None).await.expect("it answers");
    let lease = ground.store.lease().expect("the lead");
    let mut seen = Vec::new();
    let mut watch = |progress: portreeve::snapshots::Progress| {
        assert_eq!(progress.estimate, about.cluster_bytes);
        let ours = ground.ours();
        seen.extend(ours.into_iter().map(|ours| ours.state));
        ControlFlow::Break(())
    };
    let (clock, entropy, programs) = (&SystemClock, &OsEntropy, ground.programs());
    let taken = block_in_place(|| {
        let cluster = cluster_back_end();
        ground.store.take(&lease, &cluster, &programs, &upstream, &about, &order, clock, entropy, &mut watch)
    });
    assert!(matches!(taken, Err(Error::Interrupted)), "{taken:?}");
    assert_eq!(seen, [State::Running]);
    assert_eq!(ground.names(), [] as [&str; 0]);
    let left = "select count(*) from pg_stat_activity where usename = 'portreeve_snapshot'";
    let began = std::time::Instant::now();
    while ground.cluster.run_sql("postgres", left).await.expect("counted") != [[Some("0".to_owned())]] {
        assert!(began.elapsed().as_secs() < 10, "its backend is still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_vanishes_midway_has_no_whole_one_when_it_is_back() {
    let ground = Ground::new().await;
    let (upstream, order) = (ground.upstream(), ground.order(None));
    let about = About::ask(&upstream, None).await.expect("it answers");
    let lease = ground.store.lease().expect("the lead");
    let (dir, elsewhere) = (ground.store.dir(), ground.dir.path().join("elsewhere"));
    let mut watch = |_| {
        if dir.exists() {
            std::fs::rename(dir, &elsewhere).expect("moved");
        }
        ControlFlow::Continue(())
    };
    let (back_end, programs) = (cluster_back_end(), ground.programs());
    let (clock, entropy) = (&SystemClock, &OsEntropy);
    let taken = block_in_place(|| {
        ground.store.take(&lease, &back_end, &programs, &upstream, &about, &order, clock, entropy, &mut watch)
    });
    assert!(matches!(taken, Err(Error::NotTheStore { .. })), "{taken:?}");
    std::fs::rename(&elsewhere, dir).expect("back");
    assert_eq!(ground.ours().iter().map(|ours| ours.state.clone()).collect::<Vec<_>>(), [State::Failed]);
}
