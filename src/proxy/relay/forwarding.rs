//! What a client's frames go through: the decision, one record for those that came together, then on to the server, or
//! into the queue of those that wait for their records.
//! Not here: the rule itself (`proxy/release.rs`), what a frame means (`session/`).

use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Relay, Turn};
use crate::clock::Timestamp;
use crate::log::{Claim, Enqueued};
use crate::proxy::reason::Reason;
use crate::proxy::release::{Burst, Present, Unrecorded};
use crate::session::{Statement, Step};
use crate::wire::frame::{self, Frame};

/// So many frames, and about so many bytes, share a record at most.
const BURST_FRAMES_MAX: usize = 64;
const BURST_BYTES_MAX: usize = 64 * 1024;

/// Client frames that wait for their record, in order with the unrecorded frames behind them.
#[derive(Debug)]
pub(super) enum Waiting {
    Gated(Burst, Enqueued),
    Unrecorded(Unrecorded),
}

/// Client frames of one read that will share a record.
#[derive(Debug, Default)]
pub(super) struct Gathered {
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

impl Relay {
    /// Takes the whole frames that were read by now, through the decision and the log.
    pub(super) fn take_frames(&mut self, now: Timestamp) -> Turn {
        let mut moved = false;
        let taken = loop {
            if self.client_left || self.is_client_held_back() {
                break Ok(());
            }
            match frame::cut(&mut self.from_client, self.gate.settings.frame_bytes_max) {
                Ok(None) => break Ok(()),
                Ok(Some(frame)) => match self.take(frame, now) {
                    Ok(()) => moved = true,
                    Err(reason) => break Err(reason),
                },
                Err(fault) => break Err(Reason::Invalid(fault)),
            }
        };
        // What came whole ahead of a frame that ends the session is recorded all the same.
        self.send_gathered(now)?;
        taken.map(|()| moved)
    }

    fn take(&mut self, frame: Frame, now: Timestamp) -> Result<(), Reason> {
        match self.session.client(&frame, now).map_err(Reason::Invalid)? {
            Step::Gate(statement) => {
                // CopyDone goes by itself: its record is durable before it is forwarded.
                let is_alone = statement.durable_first;
                if is_alone || self.gathered.is_full() {
                    self.send_gathered(now)?;
                }
                self.gathered.burst.add(&frame);
                self.gathered.statements.push(statement);
                if is_alone { self.send_gathered(now) } else { Ok(()) }
            }
            Step::Copy(counted) => {
                self.send_gathered(now)?;
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
    fn send_gathered(&mut self, now: Timestamp) -> Result<(), Reason> {
        let Gathered { burst, statements } = std::mem::take(&mut self.gathered);
        let Some(first) = statements.first() else { return Ok(()) };
        let state = self.gate.follower.state();
        let allowed = self.allowed(&state)?;
        let count = statements.len() as u64;
        let claim = Claim::of(self.who.session, first.frame).and(count - 1);
        let is_strict = self.who.is_strict() || first.durable_first || !self.waiting.is_empty();
        let road = if is_strict { Err(allowed) } else { allowed.read_only() };
        let gate = if road.is_ok() { "overlap" } else { "strict" };
        let Some(record) = self.who.record(statements, now, gate) else { return Ok(()) };
        self.place.entry.count(count);
        self.told.idle = false;
        match road {
            Ok(allowed) => {
                let enqueued =
                    self.gate.log.append_ahead(&self.preamble, record, claim).map_err(|_| Reason::LogFailed)?;
                let present = Present { sequence: state.sequence(), now };
                self.to_server
                    .forward_overlapped(burst, allowed, enqueued, &mut self.ledger, present)
                    .map_err(Reason::Slipped)?;
            }
            // Decided again when the record is durable.
            Err(_) => {
                let enqueued = self.gate.log.append_of(&self.preamble, record, claim).map_err(|_| Reason::LogFailed)?;
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
    pub(super) fn forward_waiting(&mut self, cx: &mut Context<'_>) -> Turn {
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
}
