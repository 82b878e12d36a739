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

use crate::clock::Timestamp;
use crate::grant::{Any, Authorized, Decision, State};
use crate::log::{Claim, Enqueued};
use crate::proxy::Gate;
use crate::proxy::live::{Order, Place};
use crate::proxy::notifications::Notifications;
use crate::proxy::reason::Reason;
use crate::proxy::release::{Burst, Ledger, Present, Slip, ToClient, ToServer, Unrecorded};
use crate::proxy::who::Who;
use crate::session::{Event, Session, Statement, Step};
use crate::wire::frame::{self, Frame};

mod cancelling;
mod patience;

use cancelling::Cancels;
use patience::Told;

/// How much is read from a socket at a time: one TLS record.
const READ_BYTES: usize = 16 * 1024;
/// Above this nothing more is read from the peer until some has gone on: back-pressure in both directions.
const BUFFERED_BYTES_MAX: usize = 256 * 1024;
/// So many frames wait for their records at most (strict).
const WAITING_FRAMES_MAX: usize = 1024;

/// So many frames, and about so many bytes, share a record at most.
const BURST_FRAMES_MAX: usize = 64;
const BURST_BYTES_MAX: usize = 64 * 1024;

/// Client frames that wait for their record, in order with the unrecorded frames behind them.
#[derive(Debug)]
enum Waiting {
    Gated(Burst, Enqueued),
    Unrecorded(Unrecorded),
}

/// Client frames of one read that will share a record.
#[derive(Debug, Default)]
struct Gathered {
    burst: Burst,
    statements: Vec<Statement>,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.statements.len() >= BURST_FRAMES_MAX || self.burst.len() >= BURST_BYTES_MAX
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        match self {
            Waiting::Gated(burst, _) => burst.len(),
            Waiting::Unrecorded(frame) => frame.len(),
        }
    }
}

/// The relay of one session.
pub struct Relay {
    gate: Arc<Gate>,
    /// Whose session it is, as each record says it.
    pub who: Who,
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
    server_unflushed: bool,
    client_unflushed: bool,
    /// When bytes last went either way; a client that takes nothing is stuck.
    moved_at: Timestamp,
    /// When the client last asked, or was last answered. What the gate or others tell it does not count.
    active_at: Timestamp,
    told: Told,
    timer: Pin<Box<Sleep>>,
    events: Vec<Event>,
    channels: Notifications,
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
        who: Who,
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
            server_unflushed: false,
            client_unflushed: false,
            moved_at: now,
            active_at: now,
            told: Told::default(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            events: Vec::new(),
        }
    }

    /// Relays until there is a reason to end. Cancel-safe: all that is under way is kept in `self`.
    pub async fn run(&mut self) -> Reason {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        loop {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
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
            return Err(if self.client_left { Reason::ClientLeft } else { Reason::UpstreamGone });
        }
        Ok(moved)
    }

    fn orders(&mut self, cx: &mut Context<'_>) -> Turn {
        let Poll::Ready(order) = self.place.orders.poll_recv(cx) else { return Ok(false) };
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

    /// Asks the decision again, for this moment.
    fn allowed(&self, state: &State) -> Result<Authorized<Any>, Reason> {
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
        let mut moved = self.take_frames()?;
        if self.client_left || self.is_client_held_back() {
            return Ok(moved);
        }
        self.from_client.reserve(READ_BYTES);
        match pin!(self.client.read_buf(&mut self.from_client)).poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(0) | Err(_)) => return Err(Reason::ClientGone),
            Poll::Ready(Ok(_)) => {
                self.moved_at = self.gate.clock.now();
                self.active_at = self.moved_at;
                self.take_frames()?;
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

    /// Takes the whole frames that were read, through the decision and the log.
    fn take_frames(&mut self) -> Turn {
        let mut moved = false;
        let taken = loop {
            if self.client_left || self.is_client_held_back() {
                break Ok(());
            }
            match frame::cut(&mut self.from_client, self.gate.settings.frame_bytes_max) {
                Ok(None) => break Ok(()),
                Ok(Some(frame)) => match self.take(frame) {
                    Ok(()) => moved = true,
                    Err(reason) => break Err(reason),
                },
                Err(fault) => break Err(Reason::Invalid(fault)),
            }
        };
        // What came whole ahead of a frame that ends the session is recorded all the same.
        self.send_gathered()?;
        taken.map(|()| moved)
    }

    fn take(&mut self, frame: Frame) -> Result<(), Reason> {
        match self.session.client(&frame, self.gate.clock.now()).map_err(Reason::Invalid)? {
            Step::Gate(statement) => {
                // CopyDone goes by itself: its record is durable before it is forwarded.
                let is_alone = statement.durable_first;
                if is_alone || self.gathered.is_full() {
                    self.send_gathered()?;
                }
                self.gathered.burst.add(&frame);
                self.gathered.statements.push(statement);
                if is_alone { self.send_gathered() } else { Ok(()) }
            }
            Step::Copy(counted) => {
                self.send_gathered()?;
                self.told.idle = false;
                self.pass(Unrecorded::counted(counted));
                Ok(())
            }
            Step::Pass | Step::Terminate => {
                self.client_left = frame.tag() == b'X';
                let Some(unrecorded) = Unrecorded::of(&frame) else {
                    return Err(Reason::Unsupported("this message is not let through".to_owned()));
                };
                if self.gathered.burst.is_empty() {
                    self.pass(unrecorded);
                } else {
                    self.gathered.burst.add_unrecorded(&unrecorded);
                }
                Ok(())
            }
        }
    }

    /// One decision and one record for the frames that came together; then they go on, or wait for it.
    fn send_gathered(&mut self) -> Result<(), Reason> {
        let Gathered { burst, statements } = std::mem::take(&mut self.gathered);
        let Some(first) = statements.first() else { return Ok(()) };
        let now = self.gate.clock.now();
        let state = self.gate.follower.state();
        let allowed = self.allowed(&state)?;
        let count = statements.len() as u64;
        let claim = Claim::of(self.who.session, first.frame).and(count - 1);
        let is_strict = self.who.strict || first.durable_first || !self.waiting.is_empty();
        let road = if is_strict { Err(allowed) } else { allowed.read_only() };
        let gate = if road.is_ok() { "overlap" } else { "strict" };
        let Some(record) = self.who.record(statements, now, gate) else { return Ok(()) };
        self.place.entry.count(count);
        self.told.idle = false;
        match road {
            Ok(allowed) => {
                let enqueued = self.gate.log.append_ahead(record, claim).map_err(|_| Reason::LogFailed)?;
                let present = Present { sequence: state.sequence(), now };
                self.to_server
                    .forward_overlapped(burst, allowed, enqueued, &mut self.ledger, present)
                    .map_err(Reason::Slipped)?;
            }
            // Decided again when the record is durable.
            Err(_) => {
                let enqueued = self.gate.log.append(record, claim).map_err(|_| Reason::LogFailed)?;
                self.wait(Waiting::Gated(burst, enqueued));
            }
        }
        self.settle()
    }

    /// What has no record of its own goes on behind what waits for its record.
    fn pass(&mut self, unrecorded: Unrecorded) {
        if self.waiting.is_empty() {
            self.to_server.pass(unrecorded);
        } else {
            self.wait(Waiting::Unrecorded(unrecorded));
        }
    }

    fn wait(&mut self, waiting: Waiting) {
        self.waiting_bytes += waiting.bytes();
        self.waiting.push_back(waiting);
    }

    /// Records what the client's frame decided by itself: a CopyDone that nobody waits for has its outcome already.
    fn settle(&mut self) -> Result<(), Reason> {
        let mut events = std::mem::take(&mut self.events);
        self.session.told(&mut events);
        let heard = self.hear(&mut events);
        self.events = events;
        heard
    }

    /// Forwards the frames whose records have become durable, each decided again at that moment.
    fn forward_waiting(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut moved = false;
        loop {
            let receipt = match self.waiting.front_mut() {
                None => break,
                Some(Waiting::Unrecorded(_)) => None,
                Some(Waiting::Gated(_, enqueued)) => match Pin::new(enqueued).poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(receipt)) => Some(receipt),
                    Poll::Ready(Err(_)) => return Err(Reason::LogFailed),
                },
            };
            let next = self.waiting.pop_front();
            self.waiting_bytes -= next.as_ref().map_or(0, Waiting::bytes);
            match (next, receipt) {
                (Some(Waiting::Gated(burst, _)), Some(receipt)) => {
                    let state = self.gate.follower.state();
                    let allowed = self.allowed(&state)?;
                    let present = Present { sequence: state.sequence(), now: self.gate.clock.now() };
                    self.to_server
                        .forward(burst, allowed, receipt, &mut self.ledger, present)
                        .map_err(Reason::Slipped)?;
                }
                (Some(Waiting::Unrecorded(frame)), None) => self.to_server.pass(frame),
                (Some(Waiting::Gated(..) | Waiting::Unrecorded(_)) | None, _) => break,
            }
            moved = true;
        }
        Ok(moved)
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
            self.from_server.reserve(READ_BYTES);
            match pin!(self.server.read_buf(&mut self.from_server)).poll(cx) {
                Poll::Pending => return Ok(false),
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
        let now = self.gate.clock.now();
        let mut outcomes = Vec::new();
        for event in events.drain(..) {
            match event {
                Event::Outcome(outcome) => outcomes.push(outcome),
                Event::CopyBothStarted => return Err(Reason::Unsupported("replication is not let through".to_owned())),
                Event::Notification { channel } => {
                    self.channels.came(channel, &self.gate, &self.who, &mut self.ledger)?
                }
                Event::Fatal { sqlstate, message } => {
                    tracing::info!(session = %self.who.session, sqlstate, message, "the server ends the session");
                }
                Event::CopyInStarted | Event::ParameterStatus { .. } | Event::ReadyForQuery(_) => {}
            }
        }
        if let Some(record) = self.who.outcome(outcomes.into_iter(), now) {
            self.active_at = now;
            self.gate.log.note(record).map_err(|_| Reason::LogFailed)?;
        }
        Ok(())
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

    /// After Terminate a client may close at once.
    fn client_broke(&self) -> Reason {
        if self.client_left { Reason::ClientLeft } else { Reason::ClientGone }
    }
}
