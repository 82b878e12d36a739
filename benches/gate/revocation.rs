//! An owner switches off while a hundred sessions are busy: when has each client had its last byte, and when is its
//! backend gone? Both counted from before the owner's request is sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::Failed;
use super::bulk::{configuration, tls};
use super::ground::{Contender, Ground, READ, READING, allow};
use super::samples::{Measured, percentile};

/// How many sessions are live.
pub const SESSIONS: usize = 100;
/// How many sign in at once.
const AT_ONCE: usize = 16;
/// What a session rests between two statements.
const REST: Duration = Duration::from_millis(20);
const GONE_WITHIN: Duration = Duration::from_secs(20);
/// How often it is looked which backends are there.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// One session: its backend, and when its connection ended.
struct Session {
    backend: String,
    ended: JoinHandle<Instant>,
    busy: JoinHandle<()>,
}

/// One round; access is switched on again at its end.
pub async fn run(ground: &Ground) -> Result<Vec<(&'static str, Measured)>, Failed> {
    let contender = ground.portreeve();
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let opening: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let (contender, at_once) = (contender.clone(), Arc::clone(&at_once));
            tokio::spawn(async move {
                let _permit = at_once.acquire().await.map_err(|error| error.to_string())?;
                open(&contender).await.map_err(|error| error.to_string())
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
    tokio::time::sleep(Duration::from_millis(300)).await;

    let off = Instant::now();
    let watching = tokio::spawn(async move { watch(&superuser, off).await.map_err(|error| error.to_string()) });
    let stage = &ground.stage;
    let (status, said) = tokio::task::block_in_place(|| stage.set_consent(READ, r#"{"mode":"off"}"#))?;
    let answered = off.elapsed();
    if !(200..300).contains(&status) {
        return Err(format!("the owner could not switch off: {status} {said}").into());
    }
    let mut gone = watching.await??;
    let (mut last_bytes, mut backends) = (Vec::new(), Vec::new());
    for session in sessions {
        let ended = tokio::time::timeout(GONE_WITHIN, session.ended).await??;
        last_bytes.push(ended.saturating_duration_since(off).as_secs_f64() * 1e3);
        session.busy.abort();
        // A backend that was never seen after the request was gone by the first look.
        backends.push(gone.remove(&session.backend).unwrap_or_default().as_secs_f64() * 1e3);
    }
    allow(stage, READ, READING, "read")?;
    let mut measured = vec![("answered_ms", answered.as_secs_f64() * 1e3)];
    for (times, [p50, p99]) in [
        (&mut last_bytes, ["last_byte_p50_ms", "last_byte_p99_ms"]),
        (&mut backends, ["backend_gone_p50_ms", "backend_gone_p99_ms"]),
    ] {
        times.sort_unstable_by(f64::total_cmp);
        measured.extend(percentile(times, 0.5).map(|time| (p50, time)));
        measured.extend(percentile(times, 0.99).map(|time| (p99, time)));
    }
    Ok(vec![("portreeve", measured)])
}

/// Signs in, says which backend it has, and from then on asks for a row again and again.
async fn open(contender: &Contender) -> Result<Session, Failed> {
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
    let busy = tokio::spawn(async move {
        while client.simple_query("select abalance from pgbench_accounts where aid = 1").await.is_ok() {
            tokio::time::sleep(REST).await;
        }
        // Kept until the connection has ended by itself.
        std::future::pending::<()>().await;
    });
    Ok(Session { backend, ended, busy })
}

/// How long after `off` each backend of a grant's role was last seen.
async fn watch(
    superuser: &tokio_postgres::Client,
    off: Instant,
) -> Result<HashMap<String, Duration>, tokio_postgres::Error> {
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
