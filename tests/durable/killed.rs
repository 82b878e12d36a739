//! The proxy is killed again and again while clients work: whatever a client saw is in the log.
//! Not here: a crash of the machine (`src/log` has a disk that forgets).

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::audit::record::{Kind, Record};
use portreeve::cli::demo::stage::{STAFF, Stage, said};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::auditor::Auditor;
use crate::client::{Session, sign_in, words};
use crate::ground::{BINARY, OTHER, SOON, psql, stage};

const ROUNDS: u64 = 100;
const CLIENTS: usize = 2;
/// So many answers, and there is load.
const ANSWERS: u32 = CLIENTS as u32 + 1;
/// The load before each kill, from when there is some; other moments each round.
const LOAD: Duration = Duration::from_millis(60);
/// A round with psql too costs more.
const PSQL_EVERY: u64 = 5;

/// Where the time goes.
#[derive(Debug, Default)]
struct Spent {
    sign_in: Duration,
    load: Duration,
    restart: Duration,
    check: Duration,
    verify: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_the_proxy_under_load_and_nothing_seen_is_lost() {
    let mut stage = stage(Path::new(BINARY), None).await;
    let mut auditor = Auditor::new(&stage, &stage.audit()).await;
    let (mut seen_in_all, mut recorded_in_all, mut spent) = (0, 0, Spent::default());
    for round in 0..ROUNDS {
        let seen = cut_off(&mut stage, round, &mut spent).await;
        let began = Instant::now();
        stage.start_proxy().expect("it starts again");
        let restarted = Instant::now();
        let found = auditor.news(&[Kind::Statement]).await;
        let recorded: HashSet<String> = found.iter().flat_map(|found| marks(&found.record)).collect();
        let lost: Vec<_> = seen.iter().filter(|mark| !recorded.contains(*mark)).collect();
        assert!(lost.is_empty(), "round {round}: clients saw what is not recorded: {lost:?}");
        assert!(seen.len() > CLIENTS, "round {round}: hardly any load: {seen:?}");
        let checked = Instant::now();
        let verified = stage.command(&["audit", "verify"]).output().expect("a command");
        assert!(verified.status.success(), "round {round}: a false alarm: {}", said(&verified));
        (seen_in_all, recorded_in_all) = (seen_in_all + seen.len(), recorded_in_all + recorded.len());
        spent.restart += restarted - began;
        spent.check += checked - restarted;
        spent.verify += checked.elapsed();
    }
    let Session { client, .. } = sign_in(&stage, STAFF, "acme", "after").await.expect("the proxy serves again");
    assert!(client.simple_query("select 1").await.is_ok());
    let roles = stage.cluster.run_sql("postgres", "select rolname from pg_roles where rolname like 'pr\\_g\\_%'").await;
    assert_eq!(roles.expect("roles").len(), 1, "roles of dead processes were left");
    println!(
        "{ROUNDS} rounds: clients saw {seen_in_all} results, {recorded_in_all} statements are in the log; {spent:.1?}"
    );
    assert!(seen_in_all as u64 > 20 * ROUNDS, "hardly any load: {seen_in_all} results");
}

/// Lets clients work, kills the proxy, and gives what they saw.
async fn cut_off(stage: &mut Stage, round: u64, spent: &mut Spent) -> Vec<String> {
    let began = Instant::now();
    let names =
        (0..CLIENTS).flat_map(|client| [STAFF, OTHER].map(|staff| (staff, format!("r{round}-{staff}{client}"))));
    let answers = Arc::new(Semaphore::new(0));
    let clients = names.map(|(staff, name)| load(stage, staff, name, Arc::clone(&answers)));
    let clients = futures_util::future::join_all(clients).await;
    let script = round.is_multiple_of(PSQL_EVERY).then(|| scripted(stage, &format!("r{round}-psql")));
    let ready = Instant::now();
    let loaded = tokio::time::timeout(SOON, answers.acquire_many(ANSWERS)).await;
    assert!(loaded.is_ok_and(|answered| answered.is_ok()), "round {round}: hardly anything is answered");
    let longer = if script.is_some() { 2 * LOAD } else { LOAD };
    tokio::time::sleep(longer + Duration::from_micros(round * 7919 % 60_000)).await;
    stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    let mut seen = Vec::new();
    for client in clients {
        seen.extend(client.await.expect("no panic"));
    }
    if let Some(script) = script {
        seen.extend(script.await.expect("no panic"));
    }
    spent.sign_in += ready - began;
    spent.load += ready.elapsed();
    seen
}

/// A client that asks numbered statements, alternately plain and with parameters, until it is cut off; what it saw.
async fn load(stage: &Stage, staff: &'static str, name: String, answers: Arc<Semaphore>) -> JoinHandle<Vec<String>> {
    let session = sign_in(stage, staff, "acme", &name).await;
    let Session { client, port, connection, .. } = session.unwrap_or_else(|error| unreachable!("{}", words(&error)));
    tokio::spawn(async move {
        let mut seen = Vec::new();
        for number in 0.. {
            let mark = format!("{name}-{number}.");
            let answered = if number % 2 == 0 {
                client.simple_query(&format!("select '{mark}'")).await.map(drop)
            } else if staff == STAFF {
                client
                    .execute("update contacts set note = $1 where id = 1 + $2", &[&mark, &i64::from(number % 97)])
                    .await
                    .map(drop)
            } else {
                client.query("select $1::text, id from contacts limit 5", &[&mark]).await.map(drop)
            };
            if answered.is_err() {
                break;
            }
            seen.push(mark);
            answers.add_permits(1);
        }
        drop(client);
        let (_, error) = tokio::time::timeout(SOON, connection).await.expect("cut off").expect("no panic");
        assert!(error.is_none_or(|error| error.as_db_error().is_none()), "a killed proxy says nothing to port {port}");
        seen
    })
}

/// The same with psql and a script; what it printed.
fn scripted(stage: &Stage, name: &str) -> JoinHandle<Vec<String>> {
    let mut child = psql(stage, STAFF).spawn().expect("psql");
    let mut stdin = child.stdin.take().expect("piped");
    let text: String = (0..20_000).map(|number| format!("select '{name}-{number}.';\n")).collect();
    let writer = std::thread::spawn(move || {
        // psql ends before it has read everything: that is what is tried.
        stdin.write_all(text.as_bytes()).is_ok()
    });
    tokio::task::spawn_blocking(move || {
        let mut printed = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut printed).expect("UTF-8");
        let until = Instant::now() + SOON;
        while child.try_wait().expect("our child").is_none() {
            assert!(Instant::now() < until, "psql does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!writer.join().expect("no panic"), "psql came to the end of its script");
        printed.lines().filter(|line| line.ends_with('.')).map(str::to_owned).collect()
    })
}

/// The numbered names in a record: in its text, or among its bind values.
fn marks(record: &Record) -> Vec<String> {
    let binds = record.values.binds.iter().flatten().filter_map(|bind| bind.value.as_deref());
    let texts = record.values.text.as_deref().into_iter().chain(binds).map(String::from_utf8_lossy);
    texts
        .flat_map(|text| {
            let words: Vec<String> = text.split(['\'', ' ', ';']).map(str::to_owned).collect();
            words
        })
        .filter(|word| word.starts_with('r') && word.ends_with('.'))
        .collect()
}
