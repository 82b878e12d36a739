//! An archive that lacks what the database holds passes for none: nothing of the account is dropped until one is whole.

use portreeve::grant::{AccountStep, SnapshotStep, Stage};

use super::ground::{DAY, Ground};

const THERE: &str = "select datname from pg_database where datname = 'acme'";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_stays_until_its_archive_holds_every_table() {
    let mut ground = Ground::new().await;
    // where nobody's table should be, so that the copy takes it for the server's
    let hidden = "set allow_system_table_mods = on; create table pg_catalog.ledger as select 'the only copy' as entry";
    ground.stage.cluster.run_sql("acme", hidden).await.expect("a table");
    for name in ["acme", "globex"] {
        ground.close(name).await;
        ground.account(name, AccountStep::Immediate).await.expect("asked for");
    }
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    for _ in 0..2 {
        let turned = ground.turn().await;
        let [(whose, why)] = turned.troubles.as_slice() else { panic!("one account is in trouble: {turned:?}") };
        assert_eq!(*whose, ground.customer("acme").id);
        let says = "the archive does not hold what the database holds (table pg_catalog.ledger: left out): it \
                    is given up and nothing is dropped";
        assert!(why.contains(says), "{why}");
        assert_eq!(ground.files("acme"), [""; 0], "nothing that could be taken for an archive");
        assert_eq!(ground.column("postgres", THERE).await, ["acme"]);
        assert!(ground.closure("acme").purge.begun.is_none());
        assert_eq!(ground.stage_of("globex"), Stage::LiveClean, "the next account is not held up");
        ground.later(DAY).await;
    }
    let mended = "set allow_system_table_mods = on; alter table pg_catalog.ledger set schema public; \
                  alter table ledger owner to app";
    ground.stage.cluster.run_sql("acme", mended).await.expect("where it belongs");
    let fresh = ground.now();
    ground.snapshot(2, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(2, SnapshotStep::Verified { bytes: 9 }).await;
    ground.well().await;
    assert_eq!(ground.stage_of("acme"), Stage::LiveClean);
    assert!(ground.files("acme").iter().any(|file| file.ends_with(".tar.sealed")), "{:?}", ground.files("acme"));
    assert!(ground.column("postgres", THERE).await.is_empty());
}
