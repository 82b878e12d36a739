//! What must not be purged: rows others point at, stale plans, two at once; each is refused and names the culprit.

use portreeve::datamap::plan::plan;

use super::ground::{Ground, maintenance, purge};

async fn refused(ground: &Ground) -> String {
    ground.purge("p1").await.expect_err("refused").to_string()
}

#[tokio::test]
async fn rows_of_others_that_point_here_are_named_and_nothing_goes() {
    let ground = Ground::with("update orders set contact_id = 4 where id in (2, 5)").await;
    let before = ground.column("select count(*)::text from contacts union all select count(*)::text from lines").await;
    let text = refused(&ground).await;
    assert!(
        text.contains(
            "2 rows of others in public.orders (customers 3) point to the customer's rows of public.contacts"
        ),
        "{text}"
    );
    let after = ground.column("select count(*)::text from contacts union all select count(*)::text from lines").await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_cascade_never_reaches_another_customer() {
    // the row that points here appears after the question was asked
    let ground = Ground::with(
        "alter table orders drop constraint orders_contact_id_fkey,
        add constraint orders_contact_id_fkey foreign key (contact_id) references contacts on delete cascade",
    )
    .await;
    let cluster = &ground.cluster;
    let trap = "create function trap() returns trigger language plpgsql as $$ begin
            update orders set contact_id = 4 where id = 2; return null; end $$;
        create trigger portreeve_test_trap after delete on lines for each statement execute function trap()";
    cluster.run_sql("shared", trap).await.expect("a trap");
    let text = refused(&ground).await;
    assert!(text.contains("1 rows of others in public.orders (customers 3)"), "{text}");
    assert_eq!(ground.column("select tenant_id::text from orders where id = 2").await, ["3"], "it is still there");
    assert_eq!(
        ground.column("select count(*)::text from contacts where tenant_id = 2").await,
        ["1"],
        "and what it needs"
    );
}

#[tokio::test]
async fn a_stale_plan_is_refused() {
    let ground = Ground::new().await;
    let digest = ground.plan().await.digest();
    ground.cluster.run_sql("shared", "set role app; create table new (id int, tenant_id int)").await.expect("a table");
    let road = maintenance(&ground.cluster);
    let error = purge(&road, "p1", &ground.map, &digest, &mut Vec::new()).await.expect_err("unclassified").to_string();
    assert!(error.contains("public.new: unclassified"), "{error}");
    ground.cluster.run_sql("shared", "drop table new").await.expect("dropped");
    ground.cluster.run_sql("shared", "alter table lines drop constraint lines_order_id_fkey").await.expect("altered");
    let error = purge(&road, "p1", &ground.map, &digest, &mut Vec::new()).await.expect_err("stale").to_string();
    assert!(error.contains("the plan is stale"), "{error}");
    assert_eq!(ground.column("select count(*)::text from contacts").await, ["1200"]);
}

#[tokio::test]
async fn what_a_catalog_can_say_is_refused_before_anything_runs() {
    let ground = Ground::with(
        "set role app; create table pinned (id int references contacts on delete set null);
         create rule keep as on delete to history do instead nothing;
         create function f() returns trigger language plpgsql as 'begin return null; end';
         create trigger strange after delete on orders for each row execute function f(); reset role",
    )
    .await;
    let pinned = "tables.\"public.pinned\" = { erase = \"keep\", reason = \"by law\", columns = { id = \"none\" } }\n\
                  [tables.\"public.contacts\"]";
    let map = super::ground::map(&super::ground::MAP.replace("[tables.\"public.contacts\"]", pinned));
    let mut refused = plan(&map, &ground.catalog().await, "2").expect_err("refused");
    refused.sort();
    assert_eq!(refused.len(), 3, "{refused:#?}");
    assert!(refused[0].contains("would change rows of public.pinned"), "{refused:?}");
    assert!(refused[1].contains("public.history: a rule rewrites DELETE"), "{refused:?}");
    assert!(refused[2].contains("public.orders: trigger strange fires on DELETE"), "{refused:?}");
}

#[tokio::test]
async fn two_at_once_are_one() {
    let ground = Ground::new().await;
    let holder = ground.connection().await;
    let (client, driver) = tokio_postgres::connect(
        &super::ground::maintenance_dsn(&ground.cluster).replace("dbname='postgres'", "dbname='shared'"),
        tokio_postgres::NoTls,
    )
    .await
    .expect("a connection");
    let driver = tokio::spawn(driver);
    let lock = "select pg_advisory_lock(hashtextextended('portreeve purge p1', 0))";
    client.query(lock, &[]).await.expect("the other daemon");
    let text = refused(&ground).await;
    assert!(text.contains("another process is at purge p1 already"), "{text}");
    assert_eq!(ground.column("select count(*)::text from contacts").await, ["1200"]);
    drop((client, holder));
    driver.await.expect("no panic").expect("a clean end");
    ground.purge("p1").await.expect("it is free now");
}
