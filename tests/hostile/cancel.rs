//! Cancelling: only with a session's own secret, only that session, over TLS or not.

use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::said;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::ground::{Ground, PATIENCE};
use crate::packets::{cancel_request, frame, query, start_up};
use crate::wire::{Message, Session, connect, encrypted, session, start};

/// How often a statement is cancelled at about its end.
const ROUNDS: u32 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_its_own_session_only() {
    let mut ground = Ground::with(&[], &[]).await;
    ground.open("acme", "read");
    wrong_secrets(&mut ground).await;
    ground.holds().await;
    right_ones(&mut ground).await;
    ground.holds().await;
    long_secrets(&mut ground).await;
    ground.holds().await;
    from_psql(&mut ground).await;
    ground.holds().await;
    nothing_later_is_hit(&ground).await;
    ground.holds().await;
}

/// A server that takes no connection any more holds up whoever cancels no longer than a sign-in may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_cannot_be_passed_on_is_let_go() {
    let mut ground = Ground::with(&[("limits", "sign_in_within = \"2s\"")], &[]).await;
    ground.open("acme", "read");
    let mut session = sleeping(&ground, 1).await.remove(0);
    let (backend, secret) = session.key();
    let stopped = Stopped::postmaster(&ground);
    let since = Instant::now();
    let end = cancel_over_tls(&ground, backend, &secret).await;
    // Without close_notify: libpq then says that the cancel failed, for it may still come.
    assert_eq!(end.expect_err("no orderly end").kind(), io::ErrorKind::UnexpectedEof);
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    drop(stopped);
    // What the client sends meanwhile waits behind the cancel.
    session.wire.send(&query("select 'next', pg_sleep(0.2)")).await;
    let answer = session.wire.until(b'Z').await;
    assert!(is_cancelled(&answer), "{answer:?}");
    let answer = session.wire.until(b'Z').await;
    assert!(!is_cancelled(&answer), "{answer:?}");
    leave(session).await;
    ground.holds().await;
}

/// A postmaster that was told to stop where it is, until dropped.
struct Stopped(Pid);

impl Stopped {
    fn postmaster(ground: &Ground) -> Stopped {
        let path = ground.stage.cluster.directory().join("data/postmaster.pid");
        let text = std::fs::read_to_string(path).expect("the server runs");
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
        let pid = pid.expect("a process id");
        kill_process(pid, Signal::STOP).expect("the server runs");
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).expect("the server is still there");
    }
}

/// Cancels over TLS and waits for the end: orderly, or what it was instead.
async fn cancel_over_tls(ground: &Ground, backend: i32, secret: &[u8]) -> io::Result<usize> {
    let mut client = encrypted(ground).await;
    client.send(&cancel_request(backend, secret)).await;
    timeout(PATIENCE, client.stream.read(&mut [0; 1])).await.expect("an end")
}

/// Cancels that come at about the end of their statement, three at once: whoever waited for their ends can send another
/// statement that none of them hits.
async fn nothing_later_is_hit(ground: &Ground) {
    let mut session = session(ground, "acme").await;
    let (backend, secret) = session.key();
    let mut hit = 0;
    for round in 0..ROUNDS {
        let seconds = f64::from(round % 10) / 250.0;
        session.wire.send(&query(&format!("select pg_sleep({seconds})"))).await;
        let (first, second, _) = tokio::join!(
            cancel_over_tls(ground, backend, &secret),
            cancel_over_tls(ground, backend, &secret),
            cancel(ground, false, backend, &secret),
        );
        for end in [first, second] {
            assert_eq!(end.expect("close_notify"), 0);
        }
        hit += usize::from(is_cancelled(&session.wire.until(b'Z').await));
        let next = session.query("select 'next', pg_sleep(0.01)").await;
        assert!(!is_cancelled(&next), "round {round}: {next:?}");
    }
    assert!(hit > 10, "{hit} of {ROUNDS} statements were cancelled");
    leave(session).await;
}

/// Sends a CancelRequest in the clear or over TLS; nobody is answered.
async fn cancel(ground: &Ground, over_tls: bool, backend: i32, secret: &[u8]) -> SocketAddr {
    let (address, answer) = if over_tls {
        let mut client = encrypted(ground).await;
        client.send(&cancel_request(backend, secret)).await;
        (client.address, client.bytes().await)
    } else {
        let mut client = connect(ground.stage.gate_port()).await;
        client.send(&cancel_request(backend, secret)).await;
        (client.address, client.bytes().await)
    };
    assert_eq!(answer, "");
    address
}

async fn sleeping(ground: &Ground, count: usize) -> Vec<Session> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        let mut session = session(ground, "acme").await;
        session.wire.send(&query("select pg_sleep(600)")).await;
        sessions.push(session);
    }
    ground.running("acme", "pg_sleep(600)", count).await;
    sessions
}

fn is_cancelled(messages: &[Message]) -> bool {
    messages.iter().any(|message| message.tag == b'E' && message.sqlstate() == "57014")
}

async fn leave(mut session: Session) {
    session.wire.send(&frame(b'X', b"")).await;
    session.wire.rest().await;
}

/// Nothing happens, and it is recorded.
async fn wrong_secrets(ground: &mut Ground) {
    let sessions: [Session; 2] = sleeping(ground, 2).await.try_into().expect("two sessions");
    let [(first, first_secret), (second, second_secret)] = sessions.each_ref().map(Session::key);
    let flipped: Vec<u8> = first_secret.iter().map(|byte| byte ^ 1).collect();
    let longer = [&first_secret[..], &[0]].concat();
    for over_tls in [true, false] {
        for (backend, secret) in [
            (first, &second_secret[..]),
            (second, &first_secret[..]),
            (first, &flipped[..]),
            (first, &longer[..]),
            (first, &[0; 4][..]),
            (first, &[0; 256][..]),
            (0, &first_secret[..]),
            (-1, &first_secret[..]),
            (i32::MIN, &[0; 4][..]),
        ] {
            let address = cancel(ground, over_tls, backend, secret).await;
            ground.expect(address.to_string(), "cancelled", "", "unknown");
        }
    }
    // Recorded, all of them: by now they would have had their effect.
    ground.holds().await;
    ground.running("acme", "pg_sleep(600)", 2).await;
    ground.expect_more(2, "pg_sleep(600)", "statement", "query", "57014");
    for session in sessions {
        let (backend, secret) = session.key();
        cancel(ground, true, backend, &secret).await;
        end_cancelled(session).await;
    }
}

async fn end_cancelled(mut session: Session) {
    let answer = session.wire.until(b'Z').await;
    assert!(is_cancelled(&answer), "{answer:?}");
    leave(session).await;
}

/// Each secret stops its own session's statement, over TLS and in the clear, and the session lives on.
async fn right_ones(ground: &mut Ground) {
    for over_tls in [true, false] {
        ground.holds().await;
        ground.expect_more(2, "pg_sleep(600)", "statement", "query", "57014");
        let mut sessions = sleeping(ground, 2).await;
        let (mut cancelled, mut other) = (sessions.remove(0), sessions.remove(0));
        let (backend, secret) = cancelled.key();
        let address = cancel(ground, over_tls, backend, &secret).await;
        ground.expect(address.to_string(), "cancelled", "", "passed on");
        let answer = cancelled.wire.until(b'Z').await;
        assert!(is_cancelled(&answer), "{answer:?}");
        ground.running("acme", "pg_sleep(600)", 1).await;
        assert!(!is_cancelled(&cancelled.query("select 1").await), "it lives on");
        // Cancelling an idle session changes nothing for its next statement.
        cancel(ground, over_tls, backend, &secret).await;
        let (backend, secret) = other.key();
        cancel(ground, !over_tls, backend, &secret).await;
        let answer = other.wire.until(b'Z').await;
        assert!(is_cancelled(&answer), "{answer:?}");
        leave(cancelled).await;
        leave(other).await;
    }
}

/// Protocol 3.2: the whole secret counts.
async fn long_secrets(ground: &mut Ground) {
    let packet = start_up(3, 2, &[("user", "jane"), ("database", "acme")]);
    let (wire, greeting) = start(ground, &packet, &ground.password()).await;
    let mut session = Session { wire, greeting };
    let (backend, secret) = session.key();
    assert_eq!(secret.len(), 32);
    session.wire.send(&query("select pg_sleep(600)")).await;
    ground.running("acme", "pg_sleep(600)", 1).await;
    for part in [secret.slice(..4), secret.slice(..31), [&secret[..], &[0; 224]].concat().into()] {
        let address = cancel(ground, false, backend, &part).await;
        ground.expect(address.to_string(), "cancelled", "", "unknown");
    }
    ground.holds().await;
    ground.running("acme", "pg_sleep(600)", 1).await;
    ground.expect_more(1, "pg_sleep(600)", "statement", "query", "57014");
    let address = cancel(ground, false, backend, &secret).await;
    ground.expect(address.to_string(), "cancelled", "", "passed on");
    end_cancelled(session).await;
}

/// Ctrl-C in the real psql.
async fn from_psql(ground: &mut Ground) {
    let passfile = ground.stage.passfile().expect("a file");
    let conninfo = format!("{} passfile={}", ground.stage.conninfo("acme"), passfile.display());
    let mut psql = ground.psql_command(&conninfo, "select pg_sleep(601)");
    let child = psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql runs");
    ground.running("acme", "pg_sleep(601)", 1).await;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::INT).expect("psql lives");
    let output = child.wait_with_output().expect("psql ends");
    let text = said(&output);
    assert!(!output.status.success() && text.contains("canceling statement due to user request"), "{text}");
    ground.expect("pg_sleep(601)", "statement", "query", "57014");
}
