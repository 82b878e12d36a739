//! One session between two sockets: client frames are decided, recorded and forwarded; what the server sends is
//! withheld until its cause is durable. One task, no channel, no waiting but for the sockets, the log and orders.
//! Not here: the rule itself (`proxy/release.rs`), what frames mean (`session/`), ending (`proxy/ending.rs`).

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::audit::record::Preamble;
use crate::clock::Timestamp;
use crate::grant::{Any, Authorized, Decision, State};
use crate::proxy::Gate;
use crate::proxy::live::{Order, Place};
use crate::proxy::notifications::Notifications;
use crate::proxy::reason::Reason;
use crate::proxy::release::{Ledger, Present, Slip, ToClient, ToServer};
use crate::proxy::server::IN_HOT_STANDBY;
use crate::proxy::who::Who;
use crate::session::{Event, Session};

mod cancelling;
mod forwarding;
mod outcomes;
mod patience;

use cancelling::Cancels;
use forwarding::{Gathered, Waiting};
use outcomes::Untold;
use patience::Told;

/// How much is read from a socket at a time: one TLS record.
const READ_BYTES: usize = 16 * 1024;
/// After so many turns the other sessions of the thread have theirs, however much there is to relay.
const TURNS_MAX: usize = 4;
/// Above this nothing more is read from the peer until some has gone on: back-pressure in both directions.
const BUFFERED_BYTES_MAX: usize = 256 * 1024;
/// So many frames wait for their records at most (strict).
const WAITING_FRAMES_MAX: usize = 1024;

/// The relay of one session.
pub struct Relay {
    gate: Arc<Gate>,
    /// Whose session it is, as each record says it.
    pub who: Who,
    /// What its records share.
    preamble: Preamble,
    /// The session's place among the live ones.
    pub place: Place,
    /// Towards the client.
    pub client: Box<tokio_rustls::server::TlsStream<TcpStream>>,
    /// Towards the server.
    pub server: tokio_rustls::client::TlsStream<TcpStream>,
    /// What the session's frames mean.
    pub session: Session,
    /// What the session's records have reached.
    pub ledger: Ledger,
    from_client: BytesMut,
    from_server: BytesMut,
    gathered: Gathered,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    to_server: ToServer,
    /// What the client has not been given yet.
    pub to_client: ToClient,
    cancels: Cancels,
    client_left: bool,
    server_gone: bool,
    /// The server has said that it ends the session.
    server_ends: bool,
    server_unflushed: bool,
    client_unflushed: bool,
    /// When bytes last went either way; a client that takes nothing is stuck.
    moved_at: Timestamp,
    /// When the client last asked, or was last answered. What the gate or others tell it does not count.
    active_at: Timestamp,
    told: Told,
    timer: Pin<Box<Sleep>>,
    dry: Dry,
    events: Vec<Event>,
    untold: Untold,
    channels: Notifications,
}

/// Who had nothing when they were last asked. They wake the task when they have something; until then, asking again would
/// only cost time.
#[derive(Debug, Default)]
struct Dry {
    orders: bool,
    timer: bool,
    client: bool,
    server: bool,
}

/// The two streams and what was read from them already.
pub struct Streams {
    /// Towards the client.
    pub client: Box<tokio_rustls::server::TlsStream<TcpStream>>,
    /// What the client sent after its last sign-in message.
    pub from_client: BytesMut,
    /// Towards the server.
    pub server: tokio_rustls::client::TlsStream<TcpStream>,
    /// What the server sent after its first ReadyForQuery.
    pub from_server: BytesMut,
}

type Turn = Result<bool, Reason>;

impl Relay {
    /// A relay that has forwarded nothing yet. `ledger` begins with the receipt of the sign-in.
    pub fn new(
        gate: Arc<Gate>,
        (preamble, who): (Preamble, Who),
        place: Place,
        streams: Streams,
        (session, ledger): (Session, Ledger),
    ) -> Relay {
        let now = gate.clock.now();
        let to_client = ToClient::new(&ledger);
        let Streams { client, from_client, server, from_server } = streams;
        Relay {
            gate,
            channels: Notifications::of(&who),
            who,
            preamble,
            place,
            client,
            server,
            session,
            ledger,
            from_client,
            from_server,
            gathered: Gathered::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            to_server: ToServer::default(),
            to_client,
            cancels: Cancels::default(),
            client_left: false,
            server_gone: false,
            server_ends: false,
            server_unflushed: false,
            client_unflushed: false,
            moved_at: now,
            active_at: now,
            told: Told::default(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            dry: Dry::default(),
            events: Vec::new(),
            untold: Untold::default(),
        }
    }

    /// Relays until there is a reason to end. Cancel-safe: all that is under way is kept in `self`.
    pub async fn run(&mut self) -> Reason {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.dry = Dry::default();
        for _ in 0..TURNS_MAX {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves whatever can be moved once; answers whether anything did.
    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut moved = self.orders(cx)?;
        moved |= self.deadlines(cx)?;
        moved |= self.receipts(cx)?;
        moved |= self.read_client(cx)?;
        moved |= self.forward_waiting(cx)?;
        moved |= self.write_server(cx)?;
        moved |= self.read_server(cx)?;
        // Last of what moves frames: it is known by now what the client had sent, and what has ended.
        moved |= self.cancel(cx);
        moved |= self.disclose()?;
        moved |= self.write_client(cx)?;
        if self.server_gone && self.to_client.is_empty() && !self.client_unflushed {
            // Another session of the grant may have been told to end a moment earlier, and have ended this one's backend:
            // then the order is here by now, and says why.
            self.dry.orders = false;
            self.orders(cx)?;
            return Err(if self.client_left { Reason::ClientLeft } else { Reason::UpstreamGone });
        }
        Ok(moved)
    }

    fn orders(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.dry.orders {
            return Ok(false);
        }
        let Poll::Ready(order) = self.place.orders.poll_recv(cx) else {
            self.dry.orders = true;
            return Ok(false);
        };
        match order {
            Some(Order::Recheck) => self.allowed(&self.gate.follower.state()).map(|_| true),
            Some(Order::Cancel(asker)) => {
                self.cancels.ask(asker);
                Ok(true)
            }
            Some(Order::EndByOwner(owner)) => Err(Reason::EndedByOwner(owner)),
            Some(Order::Stop) | None => Err(Reason::Stopping),
            Some(Order::LogFailed) => Err(Reason::LogFailed),
        }
    }

    /// Asks the decision again, for this moment; and whether the database still holds what the scope promises.
    fn allowed(&self, state: &State) -> Result<Authorized<Any>, Reason> {
        if let Some(findings) = self.who.role.unsound() {
            return Err(Reason::Unsound(Arc::clone(findings)));
        }
        match self.gate.decide(state, &self.who, &self.gate.locks.current()) {
            Decision::Allow(allowed) => Ok(allowed),
            Decision::Refuse(refusal) => Err(Reason::Refused(refusal)),
        }
    }

    fn receipts(&mut self, cx: &mut Context<'_>) -> Turn {
        match self.ledger.poll_durable(cx) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(_)) => Err(Reason::LogFailed),
            Poll::Pending => Ok(false),
        }
    }

    fn read_client(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut moved = !self.from_client.is_empty() && self.take_frames(self.gate.clock.now())?;
        if self.dry.client || self.client_left || self.is_client_held_back() {
            return Ok(moved);
        }
        self.from_client.reserve(READ_BYTES);
        match pin!(self.client.read_buf(&mut self.from_client)).poll(cx) {
            Poll::Pending => self.dry.client = true,
            Poll::Ready(Ok(0) | Err(_)) => return Err(self.client_broke()),
            Poll::Ready(Ok(_)) => {
                self.moved_at = self.gate.clock.now();
                self.active_at = self.moved_at;
                self.take_frames(self.moved_at)?;
                moved = true;
            }
        }
        Ok(moved)
    }

    fn is_client_held_back(&self) -> bool {
        self.to_server.pending().len() > BUFFERED_BYTES_MAX
            || self.waiting.len() >= WAITING_FRAMES_MAX
            || self.waiting_bytes > BUFFERED_BYTES_MAX
            || self.session.is_full()
            || self.cancels.is_under_way()
    }

    fn write_server(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut moved = false;
        while !self.to_server.pending().is_empty() {
            match Pin::new(&mut self.server).poll_write(cx, self.to_server.pending()) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => {
                    self.to_server.written(count);
                    self.server_unflushed = true;
                    moved = true;
                }
                Poll::Ready(Err(_)) => return self.server_closed(),
            }
        }
        if self.server_unflushed {
            match Pin::new(&mut self.server).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.server_unflushed = false,
                Poll::Ready(Err(_)) => return self.server_closed(),
            }
        }
        Ok(moved)
    }

    /// The server takes nothing more; what it said before is still shown.
    fn server_closed(&mut self) -> Turn {
        self.server_gone = true;
        self.server_unflushed = false;
        self.to_server = ToServer::default();
        Ok(true)
    }

    fn read_server(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.server_gone || self.to_client.len() > BUFFERED_BYTES_MAX {
            return Ok(false);
        }
        if self.from_server.is_empty() {
            if self.dry.server {
                return Ok(false);
            }
            self.from_server.reserve(READ_BYTES);
            match pin!(self.server.read_buf(&mut self.from_server)).poll(cx) {
                Poll::Pending => {
                    self.dry.server = true;
                    return Ok(false);
                }
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.server_gone = true;
                    return Ok(true);
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
        let bytes = self.from_server.split().freeze();
        self.take_server_bytes(bytes)?;
        Ok(true)
    }

    fn take_server_bytes(&mut self, bytes: Bytes) -> Result<(), Reason> {
        let now = self.gate.clock.now();
        self.moved_at = now;
        let mut events = std::mem::take(&mut self.events);
        let walked = self.session.server(&bytes, now, &mut events);
        let heard = self.hear(&mut events);
        self.events = events;
        heard?;
        walked.map_err(Reason::UpstreamBroke)?;
        let bytes = self.channels.pass(bytes, &self.gate, &self.who, now)?;
        self.to_client.withhold(bytes, &self.ledger);
        Ok(())
    }

    fn hear(&mut self, events: &mut Vec<Event>) -> Result<(), Reason> {
        for event in events.drain(..) {
            match event {
                Event::Outcome(outcome) => {
                    self.active_at = self.moved_at;
                    self.keep(outcome).map_err(|_| Reason::LogFailed)?;
                }
                Event::CopyBothStarted => return Err(Reason::Unsupported("replication is not let through".to_owned())),
                Event::Notification { channel } => {
                    self.channels.came(channel, &self.gate, &self.who, &mut self.ledger)?
                }
                Event::Fatal { sqlstate, message } => {
                    self.server_ends = true;
                    tracing::info!(session = %self.who.session, sqlstate, message, "the server ends the session");
                }
                Event::ParameterStatus { name, value }
                    if self.who.need.replica.is_some() && name == IN_HOT_STANDBY && value != "on" =>
                {
                    return Err(self.promoted());
                }
                Event::CopyInStarted | Event::ParameterStatus { .. } | Event::ReadyForQuery(_) => {}
            }
        }
        Ok(())
    }

    /// The server has said, before it could be asked anything more, that it is no replica: so for all who read there.
    fn promoted(&self) -> Reason {
        let findings = "the replica was promoted while the session was open";
        self.gate.roles.condemn(&self.who.need.kind(), findings);
        self.gate.live.tell_all(|| Order::Recheck);
        Reason::Unsound(findings.into())
    }

    fn disclose(&mut self) -> Turn {
        if self.to_client.waits(&self.ledger)
            && let Some(enqueued) = self.ledger.awaited()
        {
            self.gate.log.hurry(enqueued);
        }
        if !self.to_client.has_releasable(&self.ledger) {
            return Ok(false);
        }
        let state = self.gate.follower.state();
        let allowed = self.allowed(&state)?;
        let present = Present { sequence: state.sequence(), now: self.gate.clock.now() };
        match self.ledger.released(allowed, present) {
            Ok(released) => self.to_client.disclose(&released),
            // A deadline passed between the two readings of the clock: the next turn decides again and refuses.
            Err(Slip::Stale) => {}
            Err(slip @ (Slip::WrongReceipt { .. } | Slip::WrongCount { .. } | Slip::CopyDoneEarly)) => {
                return Err(Reason::Slipped(slip));
            }
        }
        Ok(true)
    }

    fn write_client(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut moved = false;
        while !self.to_client.pending().is_empty() {
            match Pin::new(&mut self.client).poll_write(cx, self.to_client.pending()) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => {
                    self.to_client.written(count);
                    self.client_unflushed = true;
                    self.moved_at = self.gate.clock.now();
                    moved = true;
                }
                Poll::Ready(Err(_)) => return Err(self.client_broke()),
            }
        }
        if self.client_unflushed {
            match Pin::new(&mut self.client).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.client_unflushed = false,
                Poll::Ready(Err(_)) => return Err(self.client_broke()),
            }
        }
        Ok(moved)
    }

    /// After Terminate a client may close at once, and after the server's last word: it is the server that has left then.
    fn client_broke(&self) -> Reason {
        match (self.client_left, self.server_ends) {
            (true, _) => Reason::ClientLeft,
            (false, true) => Reason::UpstreamGone,
            (false, false) => Reason::ClientGone,
        }
    }
}
