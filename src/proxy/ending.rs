//! Ending a session: stop showing, stop the server's work, make sure it is gone, say so, record what became of it.
//! Not here: why (`proxy/reason.rs`). The order is the design's section 6: closing the socket alone would let a
//! running UPDATE commit.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{client, server};

use crate::audit::record::Kind;
use crate::fence::{self, Astray, Fate, Fence, Replica, Started};
use crate::grant::{Decision, Locks, Refusal, Scope};
use crate::log;
use crate::proxy::Gate;
use crate::proxy::reason::Reason;
use crate::proxy::relay::Relay;
use crate::proxy::release::Closing;
use crate::proxy::who::Who;
use crate::session::Session;
use crate::wire::backend::TransactionStatus;
use crate::wire::response::error_response;

/// How long the rest of a message that has begun is waited for.
const BOUNDARY_WITHIN: Duration = Duration::from_millis(50);
/// How long the client has to take its last bytes, after which the connection is reset.
const DRAINED_WITHIN: Duration = Duration::from_millis(150);
/// How long the client has to take the gate's own last word, which shows nothing of the customer's.
const TOLD_WITHIN: Duration = Duration::from_millis(500);
/// How long the server's work may take to be confirmed gone.
const GONE_WITHIN: Duration = Duration::from_secs(1);
/// How long the other servers of a cluster have: the primary to shut out a role whose backends are at a replica, and the
/// replicas, all at once, to end those of a role of the primary's. No session's end waits for them any longer.
const SHUT_OUT_WITHIN: Duration = Duration::from_millis(500);
/// How long the register's own reason is waited for, once the server's work is gone.
const CONFIRMED_WITHIN: Duration = Duration::from_millis(250);
/// How soon, and then how often, it is looked whether a backend is gone.
const POLL_FIRST: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(40);
/// How long an orderly end may take.
const ORDERLY_WITHIN: Duration = Duration::from_secs(5);

/// The client's connection and the server's.
type Streams = (Box<server::TlsStream<TcpStream>>, client::TlsStream<TcpStream>);

/// What is known about the server's work after the end.
#[derive(Debug)]
struct Stopped {
    /// Whether the backend is confirmed gone.
    is_gone: bool,
    /// What became of an open transaction.
    fate: &'static str,
}

/// Ends the session and records how. Answers when nothing of it is left.
pub async fn end(gate: &Gate, mut relay: Relay, reason: Reason) {
    if let Err(error) = relay.tell_outcomes() {
        tracing::error!(session = %relay.who.session, %error, "outcomes could not be recorded");
    }
    let Relay { who, place, client, server, session, ledger, to_client, .. } = relay;
    let mut reason = reason;
    tracing::info!(session = %who.session, staff = %who.staff, customer = %who.customer, reason = reason.code(), "session ends");
    let stopped = if reason.is_forced() {
        let closing = to_client.cut(&ledger);
        forced(gate, &who, &session, (client, server), closing, &mut reason).await
    } else {
        let left = matches!(reason, Reason::ClientLeft);
        let closed = orderly(&who, &session, left, (client, server)).await;
        looked_after(gate, &who, &session, left, closed).await
    };
    record(gate, &who, (&session, ledger.forwarded()), &reason, &stopped).await;
    drop(place);
    if let Some(fence) = gate.fence(&who.need.cluster) {
        gate.roles.release(fence, &who.need).await;
    }
}

/// Both sides know: close both connections. Who says goodbye, or whose server goes, with a statement still unanswered does not
/// learn what became of it, and neither does the gate.
async fn orderly(who: &Who, session: &Session, left: bool, (mut client, mut server): Streams) -> Stopped {
    // Each side may have closed first; a connection that cannot be shut down is closed by dropping it.
    let closing = async { tokio::join!(client.shutdown(), server.shutdown()) };
    if timeout(ORDERLY_WITHIN, closing).await.is_err() {
        tracing::debug!("a connection did not close in time and is dropped");
    }
    let is_answered = is_answered(session);
    let fate = match session.transaction() {
        _ if !is_answered && who.need.scope == Scope::Write => "in doubt",
        TransactionStatus::Idle if is_answered => "none",
        TransactionStatus::Idle | TransactionStatus::Block | TransactionStatus::Failed => "aborted",
    };
    // A client that leaves in the midst of a statement leaves a backend that works on.
    Stopped { is_gone: is_answered || !left, fate }
}

/// A connection that broke towards the server tells nothing about the backend, and where the role outlives the session nothing
/// else would end one that works on: these are looked for, and ended if they are there.
async fn looked_after(gate: &Gate, who: &Who, session: &Session, left: bool, closed: Stopped) -> Stopped {
    let outlives = gate.fence(&who.need.cluster).is_some_and(Fence::is_external);
    if left && (closed.is_gone || !outlives) {
        return closed;
    }
    let looked = stop(gate, who, session, false).await;
    let fate = match (closed.fate, looked.fate) {
        ("in doubt", known) => known,
        (told, _) => told,
    };
    Stopped { is_gone: looked.is_gone, fate }
}

/// Whether the server has said what became of all it was sent, the end of its transaction included.
fn is_answered(session: &Session) -> bool {
    session.is_idle() && session.unanswered().is_empty()
}

/// The gate ends it: the server's work is stopped while the client gets the rest of its message.
async fn forced(
    gate: &Gate,
    who: &Who,
    session: &Session,
    (mut client, mut server): Streams,
    mut closing: Closing,
    reason: &mut Reason,
) -> Stopped {
    let finish = async {
        let begun = Instant::now();
        complete(&mut closing, &mut server, begun + BOUNDARY_WITHIN).await;
        drain(&mut client, &mut closing, begun + DRAINED_WITHIN).await
    };
    let (drained, stopped) = tokio::join!(finish, stop(gate, who, session, reason.ends_grant()));
    drop(server);
    if let Reason::Refused(refusal) = reason {
        *refusal = confirmed(gate, who, refusal.clone()).await;
    }
    let report = reason.report(&who.names.customer, &gate.follower.state());
    if let (Ok(()), true, Some(report)) = (&drained, closing.is_whole(), report) {
        closing.say(error_response(&report));
        let told = drain(&mut client, &mut closing, Instant::now() + TOLD_WITHIN).await;
        if told.is_ok() && timeout(TOLD_WITHIN, client.shutdown()).await.is_ok() {
            return stopped;
        }
    }
    reset(&client);
    stopped
}

/// What the register itself says against the session by now. A narrowing act comes to the proxy before it is in the
/// register; it is worth a moment to tell the client and the record who did what, instead of "locked".
async fn confirmed(gate: &Gate, who: &Who, refusal: Refusal) -> Refusal {
    let mut changed = gate.follower.changed();
    let confirmed = async {
        loop {
            changed.mark_unchanged();
            if let Decision::Refuse(refusal) = gate.decide(&gate.follower.state(), who, &Locks::default()) {
                return Some(refusal);
            }
            changed.changed().await.ok()?;
        }
    };
    timeout(CONFIRMED_WITHIN, confirmed).await.ok().flatten().unwrap_or(refusal)
}

/// Reads from the server until the message whose beginning the client has is whole.
async fn complete(closing: &mut Closing, server: &mut client::TlsStream<TcpStream>, until: Instant) {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    while !closing.is_whole() {
        buffer.reserve(16 * 1024);
        match timeout_at(until, server.read_buf(&mut buffer)).await {
            Ok(Ok(1..)) => closing.complete(&buffer.split().freeze()),
            Ok(Ok(0) | Err(_)) | Err(_) => return,
        }
    }
}

async fn drain(
    client: &mut server::TlsStream<TcpStream>,
    closing: &mut Closing,
    until: Instant,
) -> Result<(), io::Error> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    while !closing.pending().is_empty() {
        let count = timeout_at(until, client.write(closing.pending())).await.map_err(late)??;
        closing.written(count);
    }
    timeout_at(until, client.flush()).await.map_err(late)?
}

/// What is still in the send buffer is thrown away with the connection.
fn reset(client: &server::TlsStream<TcpStream>) {
    if let Err(error) = sockopt::set_socket_linger(client.get_ref().0, Some(Duration::ZERO)) {
        tracing::warn!(%error, "a client's connection could not be set to reset; it is closed");
    }
}

/// NOLOGIN where the grant has ended, cancel, terminate, confirm, and ask what became of the transaction.
async fn stop(gate: &Gate, who: &Who, session: &Session, shut_out: bool) -> Stopped {
    let is_idle = is_answered(session) && session.transaction() == TransactionStatus::Idle;
    let work = async {
        let fence = gate.fence(&who.need.cluster).ok_or("the cluster is not configured".to_owned())?;
        let fate = gone(fence, who, shut_out).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(match fate {
            Some(Fate::Aborted) => "aborted",
            Some(Fate::Committed) => "committed",
            Some(Fate::InDoubt) => "in doubt",
            None if is_idle => "none",
            // It had changed nothing when it was told to end; a writer's last statement might have begun and
            // committed since.
            None if who.need.scope == Scope::Write => "in doubt",
            None => "aborted",
        })
    };
    match timeout(GONE_WITHIN, work).await {
        Ok(Ok(fate)) => Stopped { is_gone: true, fate },
        Ok(Err(error)) => {
            tracing::error!(session = %who.session, error, "the control connection failed; the statement is cancelled instead");
            cancel_instead(gate, who).await
        }
        Err(_) => {
            tracing::error!(session = %who.session, "the backend was not confirmed gone in time");
            cancel_instead(gate, who).await
        }
    }
}

/// Tells the backend to end until there is no such backend; answers what became of its transaction, if it had changed
/// something.
async fn gone(fence: &Fence, who: &Who, shut_out: bool) -> Result<Option<Fate>, fence::Error> {
    if let Some(replica) = who.need.replica(fence)? {
        return gone_from_replica(fence, replica, who, shut_out).await.map(|()| None);
    }
    // Nobody of ours shuts out a role that somebody else manages; the decision does.
    let xid = if shut_out && !fence.is_external() {
        let (xid, ()) = tokio::join!(gone_with_role(fence, who), told_replicas(fence, who));
        xid?
    } else {
        gone_alone(fence, who).await?
    };
    match xid {
        Some(xid) => fence.fate(&who.need.database, &xid).await.map(Some),
        None => Ok(None),
    }
}

/// The same for every session of the role, by whoever comes first: all backends are told by one statement, and one look
/// in a while serves all who wait. One by one, hundreds of sessions would wait for each other.
async fn gone_with_role(fence: &Fence, who: &Who) -> Result<Option<String>, fence::Error> {
    let (database, role, pid) = (&who.need.database, &who.role.name, who.backend.0);
    let mut pause = POLL_FIRST;
    loop {
        let mut ended = who.role.ended.lock().await;
        if !ended.told.contains_key(&pid) {
            let (server, backends) = fence.end_backends(database, role).await?;
            is_there(fence, who, &server)?;
            for backend in backends {
                let known = ended.told.entry(backend.pid).or_default();
                *known = backend.xid.or(known.take());
                ended.left.insert(backend.pid);
            }
            // It was gone before anybody was told.
            ended.told.entry(pid).or_default();
        } else if ended.left.contains(&pid) && ended.looked.is_none_or(|at| at.elapsed() >= pause) {
            let (server, left) = fence.pids(database, role).await?;
            is_there(fence, who, &server)?;
            ended.left = left;
            ended.looked = Some(Instant::now());
        }
        if !ended.left.contains(&pid) {
            return Ok(ended.told.get(&pid).cloned().flatten());
        }
        drop(ended);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

/// Whoever works as the role at a replica came by another road than the gate's: they are told at once, by the first session
/// of the role that ends. That they are gone is seen to before the role is dropped; here nobody waits for it.
async fn told_replicas(fence: &Fence, who: &Who) {
    if fence.replicas().is_empty() || std::mem::replace(&mut who.role.ended.lock().await.told_replicas, true) {
        return;
    }
    if let Err(error) = fence.end_at_replicas(&who.need.database, &who.role.name, SHUT_OUT_WITHIN).await {
        tracing::warn!(session = %who.session, %error, "the role may be in use at a replica");
    }
}

/// At a replica, where nothing was changed and nobody can be shut out: backends are told to end there, and at the primary the
/// role is shut out, which arrives with the replay. How far that lags, or whether the primary answers, keeps nobody there. Of
/// another server than the session's nothing is believed.
async fn gone_from_replica(fence: &Fence, replica: &Replica, who: &Who, shut_out: bool) -> Result<(), fence::Error> {
    let (database, role, pid) = (&who.need.database, &who.role.name, who.backend.0);
    let there = async {
        let mut pause = POLL_FIRST;
        let whom = if shut_out { None } else { Some(pid) };
        loop {
            let (server, told) = replica.terminate(database, role, whom).await?;
            if who.server != server {
                return Err(replica.astray(Astray::Elsewhere));
            }
            if !told.contains(&pid) {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    };
    let here = async {
        if !shut_out {
            return;
        }
        match timeout(SHUT_OUT_WITHIN, fence.end_backends(database, role)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::error!(session = %who.session, %error, "the role was not shut out at the primary")
            }
            Err(_) => tracing::error!(session = %who.session, "the role was not shut out at the primary in time"),
        }
    };
    let (gone, ()) = tokio::join!(there, here);
    gone
}

/// For one backend; its role stays open.
async fn gone_alone(fence: &Fence, who: &Who) -> Result<Option<String>, fence::Error> {
    let (mut xid, mut pause) = (None, POLL_FIRST);
    loop {
        let (server, told) = fence.end_backend(&who.need.database, &who.role.name, who.backend.0).await?;
        is_there(fence, who, &server)?;
        let Some(ended) = told else { return Ok(xid) };
        xid = ended.xid.or(xid);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

/// Whether the session is at that server: since a failover the host may lead to another, where nothing of it ever was.
fn is_there(fence: &Fence, who: &Who, server: &Started) -> Result<(), fence::Error> {
    if who.server == *server { Ok(()) } else { Err(fence.elsewhere()) }
}

/// Without a control connection all that is left is the cancel request, and nobody knows the transaction's fate.
async fn cancel_instead(gate: &Gate, who: &Who) -> Stopped {
    if let Some(target) = gate.target(&who.need) {
        let (backend, secret) = &who.backend;
        match timeout(GONE_WITHIN, target.cancel(*backend, secret)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(session = %who.session, %error, "the statement could not be cancelled"),
            Err(_) => tracing::error!(session = %who.session, "the cancel request was not taken in time"),
        }
    }
    Stopped { is_gone: false, fate: "in doubt" }
}

/// Outcomes nobody saw are `unknown`, and frames that still waited for their records were never forwarded; then the end
/// itself, durable before the session's place is given up.
async fn record(gate: &Gate, who: &Who, (session, forwarded): (&Session, u64), reason: &Reason, stopped: &Stopped) {
    let now = gate.clock.now();
    let unfinished = session.unfinished_copy();
    for frame in session.unanswered() {
        let result = if frame > forwarded { "not forwarded" } else { "unknown" };
        let copied = unfinished.as_ref().filter(|(of, _)| *of == frame).map(|(_, copied)| copied);
        let outcome = who.unseen(frame, result, copied, now);
        if let Err(error) = gate.log.note(outcome) {
            tracing::error!(session = %who.session, frame, %error, "an outcome could not be recorded");
        }
    }
    let mut ended = who.blank(Kind::SessionEnded, now);
    ended.skeleton.verb = Some(reason.code());
    ended.skeleton.sqlstate = reason.sqlstate().map(str::to_owned);
    ended.skeleton.fate = Some(stopped.fate.to_owned());
    ended.skeleton.result = Some(if stopped.is_gone { "gone" } else { "not confirmed" }.to_owned());
    ended.skeleton.role = Some(who.role.name.clone());
    ended.skeleton.backend = Some(who.backend.0);
    ended.skeleton.sequence = Some(gate.follower.state().sequence().0);
    if let Reason::EndedByOwner(owner) = reason {
        ended.skeleton.owner = Some(owner.0);
    }
    if let Reason::Unsound(findings) = reason {
        ended.values.message = Some(findings.to_string());
    }
    let recorded = match gate.log.record(ended.clone()).await {
        // The end has happened all the same: it is written as soon as there is space.
        Err(log::Error::Full(_)) => gate.log.note(ended),
        recorded => recorded.map(drop),
    };
    if let Err(error) = recorded {
        tracing::error!(session = %who.session, %error, "the session's end could not be recorded");
    }
}
