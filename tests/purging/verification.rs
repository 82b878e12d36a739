//! What is verified after a purge, and that it is found where it is left.

use portreeve::entropy::OsEntropy;
use portreeve::purge::{Level, Needles, Scrub, Verified, needles, recheck, verify};

use super::ground::Ground;

async fn taken(ground: &Ground) -> Needles {
    let needles =
        needles(&ground.connection().await, &ground.map, &ground.catalog().await, &ground.plan().await, 16, &OsEntropy)
            .await
            .expect("needles");
    assert_eq!(needles.len(), 16);
    needles
}

async fn verified(ground: &Ground, needles: &Needles, scrub: Scrub) -> Verified {
    verify(&mut ground.connection().await, &ground.plan().await, "p1", needles, scrub).await.expect("verified")
}

#[tokio::test]
async fn a_clean_purge_reaches_level_1_and_scrubbed_level_2() {
    let ground = Ground::with("create extension pg_stat_statements").await;
    let statement = "comment on table contacts is 'person-' ";
    let email = ground.column("select email from contacts where tenant_id = 2 limit 1").await.remove(0);
    let needles = {
        let mut needles = taken(&ground).await;
        needles.add(&email);
        needles
    };
    let early = verify(&mut ground.connection().await, &ground.plan().await, "p1", &needles, Scrub::None).await;
    assert!(early.expect_err("not finished").to_string().contains("is not finished"));
    let said = statement.replace("person-", &email);
    ground.cluster.run_sql("shared", &said).await.expect("a statement that is remembered");
    assert!(
        !ground.column("select 1 from pg_stats where tablename = 'contacts' and attname = 'email'").await.is_empty()
    );
    ground.purge("p1").await.expect("purged");
    let found = verified(&ground, &needles, Scrub::None).await;
    assert_eq!(found.level(), Some(Level::L1), "{found:#?}");
    assert!(found.statements >= 1, "the comment was remembered: {found:#?}");
    assert!(found.probed.tables >= 6 && found.probed.bytes > 100_000, "{found:#?}");
    let scrubbed = verified(&ground, &needles, Scrub::VacuumFull).await;
    assert_eq!(scrubbed.level(), Some(Level::L2), "{scrubbed:#?}");
    let again = recheck(&ground.connection().await, &ground.plan().await).await.expect("rechecked");
    assert!(again.rows_back.is_empty() && again.unfenced.is_empty(), "{again:?}");
}

#[tokio::test]
async fn what_is_left_is_found() {
    let ground = Ground::with(
        "create table copies (id int primary key, tenant_id int not null, text bytea);
         alter table copies owner to app;
         insert into copies select id, 1, convert_to('x' || email, 'UTF8') from contacts where tenant_id = 2",
    )
    .await;
    let copies = "tables.\"public.copies\".columns = { id = \"none\", tenant_id = \"pseudonym\", text = \"free-text\" }\n\
                  [tables.\"public.contacts\"]";
    let map = super::ground::map(&super::ground::MAP.replace("[tables.\"public.contacts\"]", copies));
    let ground = Ground { map, ..ground };
    let needles = taken(&ground).await;
    let slot = "select pg_create_logical_replication_slot('slow', 'test_decoding')";
    ground.cluster.run_sql("shared", slot).await.expect("a slot");
    ground.purge("p1").await.expect("purged");
    let found = verified(&ground, &needles, Scrub::None).await;
    assert_eq!(found.level(), Some(Level::L0), "{found:#?}");
    let tables: Vec<&str> = found.probed.found.iter().map(|(table, _)| table.name.as_str()).collect();
    assert_eq!(tables, ["copies"], "as bytes under another customer's key");

    ground
        .cluster
        .run_sql(
            "shared",
            "alter table orders disable trigger portreeve_tombstone;
        insert into contacts values (9001, 1, 'x'); insert into orders values (9001, 2, 9001)",
        )
        .await
        .expect("somebody did");
    let again = recheck(&ground.connection().await, &ground.plan().await).await.expect("rechecked");
    assert_eq!(
        again.rows_back.iter().map(|(table, rows)| (table.name.as_str(), *rows)).collect::<Vec<_>>(),
        [("orders", 1)]
    );
    assert_eq!(again.unfenced, ["\"public\".\"orders\""]);
    assert_eq!(verified(&ground, &needles, Scrub::None).await.level(), None);
}

#[tokio::test]
async fn a_way_without_a_foreign_key_leaves_no_orphan() {
    let ground = Ground::with("alter table lines drop constraint lines_order_id_fkey").await;
    let needles = taken(&ground).await;
    let outcome = ground.purge("p1").await.expect("purged");
    // the library remembers statements of every database; from this one they are not seen
    let unseen = verified(&ground, &needles, Scrub::None).await;
    assert_eq!(unseen.level(), Some(Level::L0), "{unseen:#?}");
    assert!(unseen.statements_unread.is_some_and(|why| why.contains("CREATE EXTENSION pg_stat_statements")));
    ground.cluster.run_sql("shared", "create extension pg_stat_statements").await.expect("an extension");
    assert_eq!(super::ground::counts(&outcome), super::ground::all_rows());
    assert_eq!(verified(&ground, &needles, Scrub::None).await.level(), Some(Level::L1));
    // a queue that nobody stopped, in a table that no fence covers
    ground.cluster.run_sql("shared", "insert into lines values (9001, 1, 'late')").await.expect("a late row");
    let late = verified(&ground, &needles, Scrub::None).await;
    assert_eq!(late.level(), None, "{late:#?}");
    assert_eq!(
        late.orphans.iter().map(|(table, more)| (table.name.as_str(), *more)).collect::<Vec<_>>(),
        [("lines", 1)]
    );
}

#[tokio::test]
async fn statistics_of_columns_together_and_hidden_ones_are_not_clean() {
    let ground = Ground::with(
        "create extension pg_stat_statements;
         create table copies (a text, b text);
         alter table copies owner to app;
         insert into copies select email, email from contacts, generate_series(1, 3) where tenant_id = 2;
         create statistics together (mcv) on a, b from copies;
         alter statistics together owner to app;
         analyze copies;
         delete from pg_statistic where starelid = 'copies'::regclass;
         delete from copies",
    )
    .await;
    let copies =
        "tables.\"public.copies\" = { erase = \"keep\", reason = \"a test\", columns = { a = \"none\", b = \"none\" } }
                  [tables.\"public.contacts\"]";
    let map = super::ground::map(&super::ground::MAP.replace("[tables.\"public.contacts\"]", copies));
    let ground = Ground { map, ..ground };
    let needles = taken(&ground).await;
    ground.purge("p1").await.expect("purged");
    let found = verified(&ground, &needles, Scrub::None).await;
    assert_eq!((found.statistics, found.level()), (1, Some(Level::L0)), "{found:#?}");
    ground.cluster.run_sql("shared", "drop statistics together").await.expect("no statistics");
    assert_eq!(verified(&ground, &needles, Scrub::None).await.level(), Some(Level::L1));

    // an expression's values are the index's, which nobody but its owner sees
    let hide = "create index on copies (lower(a)); alter table copies owner to postgres;
                grant select on copies to portreeve_maintenance";
    ground.cluster.run_sql("shared", hide).await.expect("hidden");
    let found = verified(&ground, &needles, Scrub::None).await;
    assert_eq!(
        (found.statistics_unread.as_slice(), found.level()),
        (&["public.copies".to_owned()][..], Some(Level::L0))
    );
}

/// VACUUM answers a role without the right with a warning: nothing is claimed of a table that was left out.
#[tokio::test]
async fn no_level_is_claimed_of_what_vacuum_left_out() {
    let ground = Ground::with("create extension pg_stat_statements").await;
    let needles = taken(&ground).await;
    ground.purge("p1").await.expect("purged");
    // the owner of a database may vacuum all of it, its catalogs included
    ground.cluster.run_sql("shared", "alter database shared owner to postgres").await.expect("another owner");
    let tables = verified(&ground, &needles, Scrub::VacuumFull).await;
    assert_eq!(tables.level(), Some(Level::L1), "{tables:#?}");
    assert_eq!(tables.unwritten, ["pg_catalog.pg_statistic", "pg_catalog.pg_largeobject"]);

    let own = "alter table history owner to postgres; grant select on history to portreeve_maintenance";
    ground.cluster.run_sql("shared", own).await.expect("another owner");
    for scrub in [Scrub::None, Scrub::VacuumFull] {
        let skipped = verified(&ground, &needles, scrub).await;
        assert_eq!(skipped.level(), Some(Level::L0), "{skipped:#?}");
        let [warning] = skipped.unvacuumed.as_slice() else { panic!("{skipped:#?}") };
        assert!(warning.contains("history"), "{warning}");
        let is_named = skipped.unwritten.contains(&"public.history".to_owned());
        assert_eq!(is_named, scrub == Scrub::VacuumFull, "{skipped:#?}");
    }
}
