//! How fast a purge is beside a batched DELETE written by hand, in the same tables: twelve, ten customers in each.
//! Rows of one customer: `PORTREEVE_PURGE_ROWS`, else few. The figure that counts is a bench's; this one catches folly.

use std::time::Instant;

use portreeve::datamap::plan::plan;
use portreeve::datamap::{Category, Layout};
use portreeve::purge::{Control, Outcome, Pace, Purge, catalog};
use tokio::sync::watch;

use super::ground::{cluster, connect, maintenance, prepared};

const TABLES: u64 = 12;
const CUSTOMERS: u64 = 10;

fn tables(rows: u64) -> String {
    let mut sql = "set role app; set synchronous_commit = off;".to_owned();
    for table in 0..TABLES {
        let parent = if table == 0 { "int".to_owned() } else { format!("int references t{}", table / 2) };
        let up = if table == 0 { "null".to_owned() } else { "g".to_owned() };
        sql.push_str(&format!(
            "create table t{table} (id int primary key, tenant_id int not null, up {parent}, note text, at timestamptz);
             insert into t{table} select g, g % {CUSTOMERS}, {up}, md5(g::text) || md5('{table}' || g), now()
                 from generate_series(1, {}) g;
             create index on t{table} (tenant_id); create index on t{table} (up);",
            rows * CUSTOMERS / TABLES
        ));
    }
    sql.push_str("reset role; analyze; checkpoint");
    sql
}

/// What an engineer writes for the day: children first, five thousand at a time.
async fn by_hand(connection: &tokio_postgres::Client, customer: u64) -> u64 {
    let mut gone = 0;
    for table in (0..TABLES).rev() {
        let sql = format!(
            "delete from t{table} where ctid = any (array(select ctid from t{table} where tenant_id = {customer} limit 5000))"
        );
        loop {
            match connection.execute(&sql, &[]).await.expect("deleted") {
                0 => break,
                rows => gone += rows,
            }
        }
    }
    gone
}

#[tokio::test]
async fn a_purge_keeps_up_with_a_delete_written_by_hand() {
    let rows = std::env::var("PORTREEVE_PURGE_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(60_000);
    let cluster = cluster().await;
    cluster.run_sql("shared", &tables(rows)).await.expect("tables");
    prepared(&cluster, "shared").await;
    let road = maintenance(&cluster);
    let catalog = catalog(&connect(&cluster, "shared").await).await.expect("a catalog");
    let proposal = portreeve::datamap::propose::propose(&catalog, &Default::default(), Some(Layout::Shared), None);
    assert!(proposal.map.tables.values().all(|table| table.columns.get("note") == Some(&Category::FreeText)));
    let dsn = cluster.superuser_dsn("shared");
    let (client, driver) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.expect("a connection");
    let driver = tokio::spawn(driver);
    let (mut hand, mut ours) = (0.0, 0.0);
    for round in 0..3 {
        let customer = round * 2;
        let began = Instant::now();
        let gone = by_hand(&client, customer).await;
        hand += f64::from(u32::try_from(gone).expect("few")) / began.elapsed().as_secs_f64();
        let customer = (customer + 1).to_string();
        let digest = plan(&proposal.map, &catalog, &customer).expect("a plan").digest();
        let (_keep, stop) = watch::channel(false);
        let mut control = Control { may_run: &|| true, stop, tell: &mut |_| {} };
        let pace = Pace { rest_percent: 0, ..Pace::default() };
        let map = &proposal.map;
        let purge = Purge {
            road: &road,
            database: "shared",
            id: &customer,
            before: &[],
            map,
            customer: &customer,
            digest: &digest,
            pace,
        };
        let began = Instant::now();
        let Outcome::Done(gone) = purge.run(&mut control).await.expect("purged") else { panic!("nobody stopped it") };
        let gone: u64 = gone.iter().map(|gone| gone.rows).sum();
        ours += f64::from(u32::try_from(gone).expect("few")) / began.elapsed().as_secs_f64();
    }
    drop(client);
    driver.await.expect("no panic").expect("a clean end");
    println!("by hand {:.0}/s, portreeve {:.0}/s: {:.2}", hand / 3.0, ours / 3.0, ours / hand);
    assert!(ours > hand * 0.3, "by hand {hand:.0}/s, portreeve {ours:.0}/s");
}
