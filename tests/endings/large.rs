//! Ended in the midst of what is large: a COPY that the client sends, and one row of a gigabyte.
//! Not here: what is many instead (`cast.rs`).

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::SinkExt;
use portreeve::audit::record::Kind;
use portreeve::cli::demo::stage::STAFF;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_postgres::Client;

use crate::cast::{SOON, superuser, watch_backends};
use crate::client::{config, words};
use crate::ground::{Ground, sign_in_soon};
use crate::measured::{GONE_WITHIN, LAST_ROW_WITHIN, wait_for_records, wait_for_roles};

/// As large as a row can nearly be: PostgreSQL builds it in one buffer of at most a gigabyte.
const ROW_BYTES: u64 = 1_000_000_000;
/// So much has gone through when it is ended.
const BEGUN_BYTES: u64 = 50_000_000;
/// The gate's own memory grows by no more, whatever goes through it.
const MEMORY_KIB: u64 = 64 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_revoked_in_the_midst_of_a_row_of_a_gigabyte() {
    let mut ground = Ground::new(&[]).await;
    ground.grant(STAFF, "acme", "read", "2h");
    drop(sign_in_soon(&ground.stage, STAFF, "acme", "heard").await);
    let taken = Taken::default();
    let (client, pid) = counted(&ground, &taken).await;
    let before = memory(&ground);
    let asked =
        tokio::spawn(async move { client.simple_query(&format!("select repeat('x', {ROW_BYTES})")).await.err() });
    let until = Instant::now() + 4 * SOON;
    while taken.bytes() < BEGUN_BYTES {
        assert!(Instant::now() < until && !asked.is_finished(), "the row does not come: {} bytes", taken.bytes());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gone = watch_backends(&ground.stage, vec![pid]).await;
    let closed = ground.close("acme");
    let told = asked.await.expect("no panic").expect("the row does not end well");
    let (_, gone) = *gone.await.expect("no panic").first().expect("it was watched");
    let gone = closed.until(gone, "the backend was gone");
    let (bytes, last) = (taken.bytes(), taken.last().saturating_duration_since(closed.done));
    let grown = memory(&ground).saturating_sub(before);
    println!(
        "a row of 1 GB: {bytes} bytes came, the last after {last:.1?}, backend gone {gone:.1?}, gate +{grown} KiB"
    );
    assert!(bytes < ROW_BYTES, "it was whole before it was ended");
    assert!(last <= LAST_ROW_WITHIN, "bytes came for {last:?}");
    assert!(gone <= GONE_WITHIN, "the backend was there for {gone:?}");
    assert!(grown <= MEMORY_KIB, "the gate's memory grew by {grown} KiB");
    assert!(!words(&told).starts_with("57P01"), "a word of the gate's would stand in the midst of the row");
    wait_for_records(&mut ground, &[pid]).await;
    let end = ground.ends.iter().find(|end| end.backend == Some(pid)).expect("it was waited for");
    assert!(end.verb.as_deref().is_some_and(|verb| verb.contains("consent-off")), "{end:?}");
    assert_eq!(end.result.as_deref(), Some("gone"));
    assert_eq!(end.fate.as_deref(), Some("aborted"));
    wait_for_roles(&ground, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_revoked_in_the_midst_of_a_copy_from_the_client() {
    let mut ground = Ground::new(&[]).await;
    let table =
        "set role app; create table loaded (id bigint, name text); grant insert on loaded to portreeve_acme_write";
    ground.stage.cluster.run_sql("acme", table).await.expect("a table");
    ground.grant(STAFF, "acme", "write", "2h");
    let streaming = sign_in_soon(&ground.stage, STAFF, "acme", "streaming").await;
    let waiting = sign_in_soon(&ground.stage, STAFF, "acme", "waiting").await;
    let before = memory(&ground);
    let (sent, mut count) = watch::channel(0_u64);
    let loading = tokio::spawn(load(streaming.client, u64::MAX, sent));
    let held = tokio::spawn(load(waiting.client, 40, watch::channel(0).0));
    tokio::time::timeout(4 * SOON, count.wait_for(|sent| *sent >= BEGUN_BYTES))
        .await
        .expect("soon")
        .expect("it is sent");
    let pids = [streaming.pid, waiting.pid];
    let superuser = superuser(&ground.stage).await;
    let writing = "select count(*) from pg_stat_activity where pid = any($1) and backend_xid is not null";
    let until = Instant::now() + SOON;
    while superuser.query_one(writing, &[&pids.as_slice()]).await.expect("activity").get::<_, i64>(0) < 2 {
        assert!(Instant::now() < until, "nothing is written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gone = watch_backends(&ground.stage, pids.to_vec()).await;
    let closed = ground.close("acme");
    for (pid, at) in gone.await.expect("no panic") {
        let gone = closed.until(at, "a backend was gone");
        println!("COPY from the client: backend gone {gone:.1?}");
        assert!(gone <= GONE_WITHIN, "backend {pid} was there for {gone:?}");
    }
    for (work, connection) in [(loading, streaming.connection), (held, waiting.connection)] {
        let told = tokio::time::timeout(SOON, work).await.expect("it ends").expect("no panic");
        let (_, broken) = connection.await.expect("no panic");
        let told = format!("{told}; {}", broken.as_ref().map(words).unwrap_or_default());
        let is_reset = ["ConnectionReset", "BrokenPipe", "Closed"].iter().any(|word| told.contains(word));
        assert!(told.contains("57P01 access to customer \"acme\" has ended") || is_reset, "{told}");
    }
    let grown = memory(&ground).saturating_sub(before);
    assert!(grown <= MEMORY_KIB, "the gate's memory grew by {grown} KiB");
    wait_for_records(&mut ground, &pids).await;
    for pid in pids {
        let end = ground.ends.iter().find(|end| end.backend == Some(pid)).expect("it was waited for");
        assert!(end.verb.as_deref().is_some_and(|verb| verb.contains("consent-off")), "{end:?}");
        assert_eq!(end.result.as_deref(), Some("gone"));
        assert_eq!(end.fate.as_deref(), Some("aborted"), "{pid}");
    }
    let mut auditor = crate::auditor::Auditor::new(&ground.stage, &ground.stage.audit()).await;
    let outcomes = auditor.news(&[Kind::Outcome]).await;
    let copied: Vec<u64> = outcomes.iter().filter_map(|found| found.record.skeleton.copied_bytes).collect();
    assert!(
        copied.len() == 2 && copied.iter().any(|bytes| *bytes >= BEGUN_BYTES / 2),
        "what was sent is told: {copied:?}"
    );
    let rows = ground.stage.cluster.run_sql("acme", "select count(*) from loaded").await.expect("rows");
    assert_eq!(rows.concat(), [Some("0".to_owned())], "nothing is kept");
    wait_for_roles(&ground, 0).await;
}

/// Sends so many parts of a COPY, as fast as they are taken, and waits; the error it ends with.
async fn load(client: Client, parts: u64, sent: watch::Sender<u64>) -> String {
    let line = format!("1\t{}\n", "x".repeat(1021));
    let part = Bytes::from(line.repeat(64));
    let sink = match client.copy_in::<_, Bytes>("copy loaded from stdin").await {
        Ok(sink) => sink,
        Err(error) => return words(&error),
    };
    let mut sink = pin!(sink);
    let (mut count, mut bytes) = (0, 0);
    loop {
        if count < parts {
            if let Err(error) = sink.send(part.clone()).await {
                return words(&error);
            }
            count += 1;
            bytes += part.len() as u64;
            sent.send_replace(bytes);
        } else if client.is_closed() {
            return String::new();
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The gate's largest memory by now, in KiB (proc(5), `VmHWM`).
fn memory(ground: &Ground) -> u64 {
    let pid = ground.stage.proxy.as_ref().expect("a proxy").pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// How many bytes a client took from its socket, and when the last.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<(u64, Option<Instant>)>>);

impl Taken {
    fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn last(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.expect("some came")
    }
}

/// A session whose socket is counted, and its process id.
async fn counted(ground: &Ground, taken: &Taken) -> (Client, i32) {
    let (config, tls) = config(&ground.stage, STAFF, "acme", "large");
    let gate = SocketAddr::from(([127, 0, 0, 1], ground.stage.gate_port()));
    let socket = Counted { tcp: TcpStream::connect(gate).await.expect("the gate listens"), taken: taken.clone() };
    let (client, connection) = config.connect_raw(socket, tls).await.expect("signed in");
    tokio::spawn(connection);
    let pid = client.query_typed("select pg_backend_pid()", &[]).await.expect("a row");
    let pid = pid.first().expect("one row").get(0);
    (client, pid)
}

struct Counted {
    tcp: TcpStream,
    taken: Taken,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        if count > 0 {
            let mut taken = self.taken.0.lock().unwrap_or_else(PoisonError::into_inner);
            *taken = (taken.0 + count as u64, Some(Instant::now()));
        }
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
