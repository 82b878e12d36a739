//! An owner switches off while five hundred sessions are open, twice: when has each client had its last row of customer
//! data, when is it told, and when is its backend gone? All counted from before the owner's request is sent.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::Failed;
use super::bulk::{configuration, tls};
use super::ground::{Contender, Ground, READ, READING, allow};
use super::samples::{Measured, percentile};

/// How many sessions are live.
pub const SESSIONS: usize = 500;
/// Every so many of them receives rows without end; the others ask for one now and then.
const STREAMING_EVERY: usize = 25;
/// How often it is done: a thousand sessions end.
const TIMES: usize = 2;
/// How many sign in at once.
const AT_ONCE: usize = 16;
/// What a session rests between two statements: a thousand statements a second altogether.
const REST: Duration = Duration::from_millis(500);
/// Eight kilobytes, fifty times a second.
const STREAM: &str = "select repeat('x', 8000), pg_sleep(0.02) from generate_series(1, 1000000)";
const GONE_WITHIN: Duration = Duration::from_secs(20);
/// How often it is looked which backends are there.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One session: its backend, its last row, and when its connection ended.
struct Session {
    backend: String,
    last_row: watch::Receiver<Instant>,
    ended: JoinHandle<Instant>,
    busy: JoinHandle<()>,
}

/// What was measured, each time in milliseconds.
#[derive(Default)]
struct Times {
    answered: Vec<f64>,
    last_rows: Vec<f64>,
    told: Vec<f64>,
    gone: Vec<f64>,
}

/// All of it; access is switched on again at the end.
pub async fn run(ground: &Ground) -> Result<Vec<(&'static str, Measured)>, Failed> {
    let mut times = Times::default();
    for _ in 0..TIMES {
        once(ground, &mut times).await?;
    }
    let mut measured = Measured::new();
    for (times, [p50, p99]) in [
        (&mut times.answered, ["answered_ms", "answered_p99_ms"]),
        (&mut times.last_rows, ["last_byte_p50_ms", "last_byte_p99_ms"]),
        (&mut times.told, ["told_p50_ms", "told_p99_ms"]),
        (&mut times.gone, ["backend_gone_p50_ms", "backend_gone_p99_ms"]),
    ] {
        times.sort_unstable_by(f64::total_cmp);
        measured.extend(percentile(times, 0.5).map(|time| (p50, time)));
        measured.extend(percentile(times, 0.99).map(|time| (p99, time)));
    }
    Ok(vec![("portreeve", measured)])
}

async fn once(ground: &Ground, times: &mut Times) -> Result<(), Failed> {
    let contender = ground.portreeve();
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let opening: Vec<_> = (0..SESSIONS)
        .map(|number| {
            let (contender, at_once) = (contender.clone(), Arc::clone(&at_once));
            tokio::spawn(async move {
                let _permit = at_once.acquire().await.map_err(|error| error.to_string())?;
                open(&contender, number).await.map_err(|error| error.to_string())
            })
        })
        .collect();
    let mut sessions = Vec::new();
    for session in opening {
        sessions.push(session.await??);
    }
    let dsn = ground.stage.cluster.superuser_dsn("postgres");
    let (superuser, connection) = tokio_postgres::connect(&dsn, NoTls).await?;
    tokio::spawn(connection);
    tokio::time::sleep(Duration::from_secs(1)).await;

    let off = Instant::now();
    let watching =
        tokio::spawn(async move { watch_backends(&superuser, off).await.map_err(|error| error.to_string()) });
    let stage = &ground.stage;
    let (status, said) = tokio::task::block_in_place(|| stage.set_consent(READ, r#"{"mode":"off"}"#))?;
    times.answered.push(off.elapsed().as_secs_f64() * 1e3);
    if !(200..300).contains(&status) {
        return Err(format!("the owner could not switch off: {status} {said}").into());
    }
    let mut gone = watching.await??;
    for session in sessions {
        let ended = tokio::time::timeout(GONE_WITHIN, session.ended).await??;
        times.told.push(ended.saturating_duration_since(off).as_secs_f64() * 1e3);
        let last_row = *session.last_row.borrow();
        times.last_rows.push(last_row.saturating_duration_since(off).as_secs_f64() * 1e3);
        session.busy.abort();
        // A backend that was never seen after the request was gone by the first look.
        times.gone.push(gone.remove(&session.backend).unwrap_or_default().as_secs_f64() * 1e3);
    }
    allow(stage, READ, READING, "read")?;
    Ok(())
}

/// Signs in, says which backend it has, and from then on receives rows.
async fn open(contender: &Contender, number: usize) -> Result<Session, Failed> {
    let (client, connection) = configuration(contender, READ).connect(tls(contender)?).await?;
    let ended = tokio::spawn(async move {
        // How it ends is told by the gate; when, is what is measured.
        drop(connection.await);
        Instant::now()
    });
    let answer = client.simple_query("select pg_backend_pid()").await?;
    let backend = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    let backend = backend.ok_or("a session did not say which backend it has")?;
    let (rows, last_row) = watch::channel(Instant::now());
    let busy = tokio::spawn(async move {
        if number.is_multiple_of(STREAMING_EVERY) {
            receive(&client, STREAM, &rows).await;
        } else {
            while receive(&client, "select abalance from pgbench_accounts where aid = 1", &rows).await {
                tokio::time::sleep(REST).await;
            }
        }
        // Kept until the connection has ended by itself.
        std::future::pending::<()>().await;
    });
    Ok(Session { backend, last_row, ended, busy })
}

/// Whether the statement came to its end; each row is noted.
async fn receive(client: &Client, sql: &str, rows: &watch::Sender<Instant>) -> bool {
    let Ok(stream) = client.simple_query_raw(sql).await else { return false };
    let mut stream = pin!(stream);
    while let Some(message) = stream.next().await {
        match message {
            Ok(SimpleQueryMessage::Row(_)) => drop(rows.send_replace(Instant::now())),
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    true
}

/// How long after `off` each backend of a grant's role was last seen.
async fn watch_backends(superuser: &Client, off: Instant) -> Result<HashMap<String, Duration>, tokio_postgres::Error> {
    let mut seen: HashMap<String, Duration> = HashMap::new();
    while off.elapsed() < GONE_WITHIN {
        let sql = "select pid from pg_stat_activity where datname = 'acme' and backend_type = 'client backend'";
        let rows = superuser.simple_query(sql).await?;
        let now = off.elapsed();
        let mut is_empty = true;
        for message in rows {
            if let SimpleQueryMessage::Row(row) = message {
                is_empty = false;
                seen.insert(row.get(0).unwrap_or_default().to_owned(), now);
            }
        }
        if is_empty {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(seen)
}
