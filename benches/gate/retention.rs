//! Retention: planning for many, coverage of many tables, and a purge beside a batched DELETE written by hand, with what a
//! concurrent load of pgbench loses by it.
//! Not here: snapshots (`snapshots.rs`). It has a PostgreSQL of its own, so that nothing else is behind it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use portreeve::cli::demo::cluster::{Cluster, Settings};
use portreeve::datamap::DataMap;
use portreeve::datamap::Layout;
use portreeve::datamap::coverage::coverage;
use portreeve::datamap::plan::plan;
use portreeve::datamap::propose::{Samples, propose};
use portreeve::purge::{Control, Outcome, Pace, Purge, Road, catalog, prepare};
use portreeve::retention;
use portreeve::secret::Secret;
use tokio::sync::watch;

use super::Failed;
use super::samples::Measured;

const TABLES: u64 = 12;
const CUSTOMERS: u64 = 10;
const DATABASE: &str = "shared";
const LOAD: &str = "load";
/// Seconds of pgbench by itself.
const ALONE: u32 = 5;

/// One round; `rows` is how many rows a customer has.
pub async fn run(rows: u64) -> Result<[(&'static str, Measured); 2], Failed> {
    let planned = planned()?;
    let parameters = [("max_locks_per_transaction", "512"), ("max_wal_size", "8GB"), ("shared_buffers", "512MB")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::start(Settings { parameters, ..Settings::default() }).await?;
    let covered = covered(&cluster).await?;
    cluster.create_database(DATABASE).await?;
    cluster.run_sql(DATABASE, &tables(rows)).await?;
    allow(&cluster).await?;
    let by_hand = by_hand(&cluster, 0).await?;
    let (map, _) = propose_map(&cluster).await?;
    let ours = purge(&cluster, &map, "1", Pace { rest_percent: 0, ..Pace::default() }).await?;
    let (alone, beside) = loss(&cluster, &map).await?;
    let ours = vec![
        ("plan_ms", planned),
        ("coverage_ms", covered),
        ("purge_rows_per_s", ours),
        ("load_tps_beside_purge", beside),
    ];
    Ok([("portreeve", ours), ("floor", vec![("purge_rows_per_s", by_hand), ("load_tps_beside_purge", alone)])])
}

/// Milliseconds of a plan for 100,000 snapshots and 10,000 closed customers, its digest included.
fn planned() -> Result<f64, Failed> {
    let (inventory, now) = retention::plan::large::large(100_000, 10_000);
    let rules = retention::plan::large::rules();
    let began = Instant::now();
    let plan = retention::plan::plan(&inventory, &rules, now);
    let token = plan.token().to_string();
    let took = began.elapsed();
    if token.is_empty() || plan.rows.len() < 110_000 {
        return Err(format!("a plan of {} rows only", plan.rows.len()).into());
    }
    Ok(took.as_secs_f64() * 1e3)
}

/// Milliseconds of coverage of 5,000 tables, reading the catalog included.
async fn covered(cluster: &Cluster) -> Result<f64, Failed> {
    cluster.create_database("many").await?;
    let sql = "do $$ begin for n in 1..5000 loop
        execute format('create table t%s (id int, tenant_id int, a text, b jsonb, c timestamptz, d text, e numeric, f uuid)', n);
        if n % 100 = 0 then commit; end if;
    end loop; end $$";
    cluster.run_sql("many", sql).await?;
    let connection = road(cluster)?.connect("many").await?;
    let map = propose(&catalog(&connection).await?, &Samples::new(), None, None).map;
    let began = Instant::now();
    let found = coverage(Some(&map), &catalog(&connection).await?);
    let took = began.elapsed();
    if found.rows.len() < 5000 {
        return Err(format!("{} tables were looked at", found.rows.len()).into());
    }
    Ok(took.as_secs_f64() * 1e3)
}

fn tables(rows: u64) -> String {
    let mut sql = "set role app; set synchronous_commit = off;".to_owned();
    for table in 0..TABLES {
        let parent = if table == 0 { "int".to_owned() } else { format!("int references t{}", table / 2) };
        let up = if table == 0 { "null" } else { "g" };
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

fn road(cluster: &Cluster) -> Result<Road, Failed> {
    Ok(Road::new(&Secret::new(cluster.superuser_dsn("postgres")), None)?)
}

fn maintenance(cluster: &Cluster) -> Result<Road, Failed> {
    let dsn = cluster.superuser_dsn("postgres").replace("user=postgres", "user=portreeve_maintenance");
    Ok(Road::new(&Secret::new(dsn), None)?)
}

/// The maintenance role, let in by the socket.
async fn allow(cluster: &Cluster) -> Result<(), Failed> {
    prepare(&road(cluster)?.connect(DATABASE).await?).await?;
    let hba = cluster.directory().join("data/pg_hba.conf");
    let lines = std::fs::read_to_string(&hba)?;
    std::fs::write(&hba, format!("local all portreeve_maintenance trust\n{lines}"))?;
    cluster.run_sql("postgres", "select pg_reload_conf()").await?;
    let began = Instant::now();
    while let Err(error) = maintenance(cluster)?.connect(DATABASE).await {
        if began.elapsed().as_secs() >= 10 {
            return Err(error.into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Rows a second of what an engineer writes for the day: children first, five thousand at a time.
async fn by_hand(cluster: &Cluster, customer: u64) -> Result<f64, Failed> {
    let dsn = cluster.superuser_dsn(DATABASE);
    let (client, driver) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await?;
    let driver = tokio::spawn(driver);
    let (began, mut gone) = (Instant::now(), 0);
    for table in (0..TABLES).rev() {
        let sql = format!(
            "delete from t{table} where ctid = any (array(select ctid from t{table} where tenant_id = {customer} limit 5000))"
        );
        loop {
            match client.execute(&sql, &[]).await? {
                0 => break,
                rows => gone += rows,
            }
        }
    }
    let rate = gone as f64 / began.elapsed().as_secs_f64();
    drop(client);
    driver.await??;
    Ok(rate)
}

async fn propose_map(cluster: &Cluster) -> Result<(DataMap, usize), Failed> {
    let catalog = catalog(&road(cluster)?.connect(DATABASE).await?).await?;
    let map = propose(&catalog, &BTreeMap::default(), Some(Layout::Shared), None).map;
    let tables = map.tables.len();
    Ok((map, tables))
}

/// Rows a second of our purge of one customer.
async fn purge(cluster: &Cluster, map: &DataMap, customer: &str, pace: Pace) -> Result<f64, Failed> {
    let road = maintenance(cluster)?;
    let catalog = catalog(&road.connect(DATABASE).await?).await?;
    let digest = plan(map, &catalog, customer).map_err(|refused| format!("no plan: {refused:?}"))?.digest();
    let (_keep, stop) = watch::channel(false);
    let mut control = Control { may_run: &|| true, stop, tell: &mut |_| {} };
    let purge =
        Purge { road: &road, database: DATABASE, id: customer, before: &[], map, customer, digest: &digest, pace };
    let began = Instant::now();
    match purge.run(&mut control).await? {
        Outcome::Done(gone) => {
            let rows: u64 = gone.iter().map(|gone| gone.rows).sum();
            Ok(rows as f64 / began.elapsed().as_secs_f64())
        }
        other => Err(format!("the purge did not end: {other:?}").into()),
    }
}

/// Transactions a second of a TPC-B-like load by itself, and while a customer is purged at the usual pace.
async fn loss(cluster: &Cluster, map: &DataMap) -> Result<(f64, f64), Failed> {
    cluster.create_database(LOAD).await?;
    let dsn = cluster.superuser_dsn(LOAD);
    let made = Command::new("pgbench").args(["-i", "-q", "-s", "10", &dsn]).output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
    }
    let alone = tps(&pgbench(&dsn, ALONE)?.wait_with_output()?)?;
    // As long as the purge takes: it is told to end by then.
    let mut load = pgbench(&dsn, 600)?;
    let began = Instant::now();
    let purged = purge(cluster, map, "2", Pace::default()).await;
    let took = began.elapsed();
    rustix::process::kill_process(rustix::process::Pid::from_child(&load), rustix::process::Signal::INT)?;
    let said = read(&mut load)?;
    purged?;
    let beside = progress(&said);
    if beside.is_empty() || took.as_secs() < 2 {
        return Err(format!("the purge was over in {took:?}: nothing can be said about the load").into());
    }
    Ok((alone, beside.iter().sum::<f64>() / beside.len() as f64))
}

fn pgbench(dsn: &str, seconds: u32) -> Result<std::process::Child, Failed> {
    let mut command = Command::new("pgbench");
    command.args(["-n", "-c", "4", "-j", "1", "-P", "1", "-T", &seconds.to_string(), dsn]);
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

fn read(load: &mut std::process::Child) -> Result<String, Failed> {
    let mut said = String::new();
    if let Some(stderr) = &mut load.stderr {
        std::io::Read::read_to_string(stderr, &mut said)?;
    }
    load.wait()?;
    Ok(said)
}

/// The rates in pgbench's progress lines, the first and last of which are not whole.
fn progress(said: &str) -> Vec<f64> {
    let rate = |line: &str| line.split(", ").find_map(|part| part.strip_suffix(" tps"))?.parse().ok();
    let lines = said.lines().filter(|line| line.starts_with("progress: "));
    let mut rates: Vec<f64> = lines.filter_map(rate).collect();
    rates.pop();
    rates
}

fn tps(output: &std::process::Output) -> Result<f64, Failed> {
    let rates = progress(&String::from_utf8_lossy(&output.stderr));
    if rates.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(rates.iter().sum::<f64>() / rates.len() as f64)
}
