//! The one rule: nothing takes effect, and nothing is disclosed, before its record is durable.
//! Not here: deciding (`grant::decide`), writing records (`log/`), sockets. Read this file to answer "can anything
//! slip past?".
//!
//! Two buffers stand between the sockets, and only the functions here put bytes into them:
//! [`ToServer`] takes a client frame with a proof of authorisation and a proof of its record; [`ToClient`] takes what
//! the server sent, and lets it out once the session's records up to the last frame forwarded before it was read are
//! durable.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};

use crate::clock::Timestamp;
use crate::grant::{Any, Authorized, ReadOnly};
use crate::ids::{Sequence, SessionId};
use crate::log::{self, Enqueued, Receipt};
use crate::session::Counted;
use crate::wire::boundary::Boundary;
use crate::wire::frame::Frame;

/// Why a proof was not taken. Each of these ends the session.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Slip {
    /// CopyDone makes data take effect: its record comes first, whatever the scope.
    #[error("CopyDone was to be forwarded before its record was durable")]
    CopyDoneEarly,
    /// The register moved on, or a deadline passed, between the decision and now: decide again.
    #[error("the decision is older than the register or past its deadline")]
    Stale,
    /// The record tells of another number of frames than are to go on.
    #[error("a record of {recorded} frames was shown for {forwarded}")]
    WrongCount {
        /// Frames the record tells of.
        recorded: u64,
        /// Gated frames that were to be forwarded.
        forwarded: u64,
    },
    /// The receipt is for another session or another frame.
    #[error("a receipt for frame {found} of another place was shown for frame {expected}")]
    WrongReceipt {
        /// The frame that stood next.
        expected: u64,
        /// The frame the receipt names.
        found: u64,
    },
}

/// The moment a proof is used at: compared with the one it was made at, after each wait.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// The register's sequence in force.
    pub sequence: Sequence,
    /// The time.
    pub now: Timestamp,
}

impl Present {
    fn holds<S>(&self, allowed: &Authorized<S>) -> Result<(), Slip> {
        if allowed.sequence() == self.sequence && self.now < allowed.deadline() { Ok(()) } else { Err(Slip::Stale) }
    }
}

/// A client frame that has no record of its own: Sync, Flush, Terminate or CopyFail, or CopyData that was counted. COPY
/// data takes effect only at CopyDone, whose record carries the digest of all that was counted. Made only from such a
/// frame.
#[derive(Debug)]
pub struct Unrecorded(Bytes);

impl Unrecorded {
    /// The frame, if its type is one that needs no record.
    pub fn of(frame: &Frame) -> Option<Unrecorded> {
        matches!(frame.tag(), b'S' | b'H' | b'X' | b'f').then(|| Unrecorded(frame.bytes().clone()))
    }

    /// COPY data whose bytes the next CopyDone's record tells of.
    pub fn counted(counted: Counted) -> Unrecorded {
        Unrecorded(counted.frame().bytes().clone())
    }

    /// Bytes of the frame.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No frame is without bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Client frames that came together and go on together, under one record: gated ones in their order, and between them
/// such as need none.
#[derive(Debug, Default)]
pub struct Burst {
    bytes: BytesMut,
    gated: u64,
    has_copy_done: bool,
}

impl Burst {
    /// Only that gated frame.
    pub fn of(frame: &Frame) -> Burst {
        let mut burst = Burst::default();
        burst.add(frame);
        burst
    }

    /// The next gated frame: the record will tell of it.
    pub fn add(&mut self, frame: &Frame) {
        self.gated += 1;
        self.has_copy_done |= frame.tag() == b'c';
        self.bytes.extend_from_slice(frame.bytes());
    }

    /// The next frame, which needs no record.
    pub fn add_unrecorded(&mut self, frame: &Unrecorded) {
        self.bytes.extend_from_slice(&frame.0);
    }

    /// Bytes of all frames.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no frame in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// What the session's records have reached, and what went on before its record was durable.
/// Receipts are consumed in the order of the frames, each once.
#[derive(Debug)]
pub struct Ledger {
    session: SessionId,
    /// The last frame put into the server's buffer.
    forwarded: u64,
    /// How many things with a record went on: bursts forwarded, and notifications the server sent by itself.
    steps: u64,
    /// So many of them, counted from the first, are known to have durable records.
    durable: u64,
    /// The steps after `durable`, in order.
    awaited: VecDeque<Awaited>,
}

/// The record of one step.
#[derive(Debug)]
enum Awaited {
    /// On its way to the disk.
    Record(Enqueued),
    /// Durable, but behind one that is on its way.
    Durable,
}

impl Ledger {
    /// A session begins with the receipt of its sign-in, which is frame 0.
    pub fn begin(signed_in: Receipt) -> Ledger {
        let claim = signed_in.claim();
        Ledger { session: claim.session, forwarded: claim.frame, steps: 0, durable: 0, awaited: VecDeque::new() }
    }

    /// The last frame forwarded: what bytes read from the server now may have been caused by.
    pub fn forwarded(&self) -> u64 {
        self.forwarded
    }

    /// The last record that is on its way, if any is: whoever waits for it may hurry it.
    pub fn awaited(&mut self) -> Option<&mut Enqueued> {
        self.awaited.iter_mut().rev().find_map(|awaited| match awaited {
            Awaited::Record(enqueued) => Some(enqueued),
            Awaited::Durable => None,
        })
    }

    /// Withholds all that follows until this record, which stands for something the server sent by itself after the
    /// last frame forwarded, is durable. The record claims that frame.
    pub fn withhold(&mut self, enqueued: Enqueued) -> Result<(), Slip> {
        self.expect(enqueued.claim(), self.forwarded)?;
        if enqueued.claim().further != 0 {
            return Err(Slip::WrongCount { recorded: enqueued.claim().further + 1, forwarded: 1 });
        }
        self.step(Awaited::Record(enqueued));
        Ok(())
    }

    /// Takes receipts as they arrive. Ready when one more record has become durable; pending while the next has not.
    pub fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), log::Error>> {
        let Some(Awaited::Record(next)) = self.awaited.front_mut() else { return Poll::Pending };
        ready!(Pin::new(next).poll(cx))?;
        self.awaited.pop_front();
        self.durable += 1;
        while self.awaited.pop_front_if(|next| matches!(next, Awaited::Durable)).is_some() {
            self.durable += 1;
        }
        Poll::Ready(Ok(()))
    }

    /// Proof, for this moment, of how far the server's bytes may be shown.
    pub fn released(&self, allowed: Authorized<Any>, present: Present) -> Result<Released, Slip> {
        present.holds(&allowed)?;
        Ok(Released { session: self.session, up_to: self.durable })
    }

    /// The next frames go on, and this is their record.
    fn forwards(&mut self, burst: &Burst, claim: log::Claim, record: Awaited) -> Result<(), Slip> {
        self.expect(claim, self.forwarded.saturating_add(1))?;
        let recorded = claim.further.saturating_add(1);
        if recorded != burst.gated {
            return Err(Slip::WrongCount { recorded, forwarded: burst.gated });
        }
        self.forwarded = claim.last();
        self.step(record);
        Ok(())
    }

    fn step(&mut self, record: Awaited) {
        self.steps += 1;
        match record {
            Awaited::Durable if self.awaited.is_empty() => self.durable = self.steps,
            Awaited::Durable | Awaited::Record(_) => self.awaited.push_back(record),
        }
    }

    fn expect(&self, claim: log::Claim, frame: u64) -> Result<(), Slip> {
        if claim.session == self.session && claim.frame == frame {
            Ok(())
        } else {
            Err(Slip::WrongReceipt { expected: frame, found: claim.frame })
        }
    }
}

/// Proof that the session is still allowed and that its records up to a frame are durable. Lives for one use.
#[derive(Debug)]
pub struct Released {
    session: SessionId,
    up_to: u64,
}

/// Bytes on their way to the server.
#[derive(Debug, Default)]
pub struct ToServer {
    buffer: BytesMut,
}

impl ToServer {
    /// Durable first, then forward: write scope, or strict.
    pub fn forward(
        &mut self,
        burst: Burst,
        allowed: Authorized<Any>,
        receipt: Receipt,
        ledger: &mut Ledger,
        present: Present,
    ) -> Result<(), Slip> {
        present.holds(&allowed)?;
        ledger.forwards(&burst, receipt.claim(), Awaited::Durable)?;
        self.put(burst);
        Ok(())
    }

    /// Forward while the record is being written: only for what cannot change rows. What it causes waits in
    /// [`ToClient`]. Never CopyDone.
    pub fn forward_overlapped(
        &mut self,
        burst: Burst,
        allowed: Authorized<ReadOnly>,
        enqueued: Enqueued,
        ledger: &mut Ledger,
        present: Present,
    ) -> Result<(), Slip> {
        present.holds(&allowed)?;
        if burst.has_copy_done {
            return Err(Slip::CopyDoneEarly);
        }
        ledger.forwards(&burst, enqueued.claim(), Awaited::Record(enqueued))?;
        self.put(burst);
        Ok(())
    }

    /// What has no record of its own.
    pub fn pass(&mut self, frame: Unrecorded) {
        self.buffer.extend_from_slice(&frame.0);
    }

    fn put(&mut self, burst: Burst) {
        if self.buffer.is_empty() {
            self.buffer = burst.bytes;
        } else {
            self.buffer.extend_from_slice(&burst.bytes);
        }
    }

    /// What is to be written next.
    pub fn pending(&self) -> &[u8] {
        &self.buffer
    }

    /// `count` bytes of [`ToServer::pending`] were written.
    pub fn written(&mut self, count: usize) {
        self.buffer.advance(count);
    }
}

/// Bytes of the server on their way to the client, withheld until released.
#[derive(Debug)]
pub struct ToClient {
    session: SessionId,
    /// What was read, each piece with the ledger's step when it was read.
    withheld: VecDeque<(u64, Bytes)>,
    withheld_bytes: usize,
    /// What may leave, in order.
    disclosed: VecDeque<Bytes>,
    disclosed_bytes: usize,
    /// Where the last disclosed byte leaves the stream of messages.
    end: Boundary,
    /// Where the last written byte leaves it.
    written: Boundary,
}

impl ToClient {
    /// An empty buffer for the session of that ledger.
    pub fn new(ledger: &Ledger) -> ToClient {
        ToClient {
            session: ledger.session,
            withheld: VecDeque::new(),
            withheld_bytes: 0,
            disclosed: VecDeque::new(),
            disclosed_bytes: 0,
            end: Boundary::default(),
            written: Boundary::default(),
        }
    }

    /// Keeps what the server sent while `ledger.forwarded()` was the last frame it had been given.
    pub fn withhold(&mut self, bytes: Bytes, ledger: &Ledger) {
        self.withheld_bytes += bytes.len();
        self.withheld.push_back((ledger.steps, bytes));
    }

    /// The only way of the server's bytes to the client.
    pub fn disclose(&mut self, released: &Released) {
        if released.session != self.session {
            return;
        }
        while let Some((_, bytes)) = self.withheld.pop_front_if(|(step, _)| *step <= released.up_to) {
            self.withheld_bytes -= bytes.len();
            self.put(bytes);
        }
    }

    /// Whether bytes stand that wait for a record which is not durable yet.
    pub fn waits(&self, ledger: &Ledger) -> bool {
        self.withheld.back().is_some_and(|(step, _)| *step > ledger.durable)
    }

    /// Whether withheld bytes stand that the ledger's records already cover.
    pub fn has_releasable(&self, ledger: &Ledger) -> bool {
        self.withheld.front().is_some_and(|(step, _)| *step <= ledger.durable)
    }

    /// Bytes in this buffer.
    pub fn len(&self) -> usize {
        self.withheld_bytes + self.disclosed_bytes
    }

    /// Whether nothing is left to write or to wait for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says something of the gate's own (a notice, a FATAL): possible only between two messages of the server.
    pub fn say(&mut self, message: Bytes) -> bool {
        let between = self.end.is_between();
        if between {
            self.put(message);
        }
        between
    }

    /// The session ends: forgets all that was not shown yet, but for the rest of the message whose beginning was.
    pub fn cut(self, ledger: &Ledger) -> Closing {
        let mut closing = Closing { kept: VecDeque::new(), end: self.written };
        let covered = self.withheld.into_iter().take_while(|(step, _)| *step <= ledger.durable);
        for bytes in self.disclosed.into_iter().chain(covered.map(|(_, bytes)| bytes)) {
            closing.complete(&bytes);
        }
        closing
    }

    /// What is to be written next; empty if nothing may leave.
    pub fn pending(&self) -> &[u8] {
        self.disclosed.front().map(Bytes::as_ref).unwrap_or_default()
    }

    /// `count` bytes of [`ToClient::pending`] were written.
    pub fn written(&mut self, count: usize) {
        let Some(front) = self.disclosed.front_mut() else { return };
        let gone = front.split_to(count.min(front.len()));
        self.disclosed_bytes -= gone.len();
        self.written.advance(&gone);
        self.disclosed.pop_front_if(|front| front.is_empty());
    }

    fn put(&mut self, bytes: Bytes) {
        self.end.advance(&bytes);
        self.disclosed_bytes += bytes.len();
        if !bytes.is_empty() {
            self.disclosed.push_back(bytes);
        }
    }
}

/// What may still go to the client of a session that has been ended: the rest of one message, then the gate's own word.
#[derive(Debug)]
pub struct Closing {
    kept: VecDeque<Bytes>,
    end: Boundary,
}

impl Closing {
    /// Takes from the server's next bytes what belongs to the message the client has the beginning of, and drops the
    /// rest.
    pub fn complete(&mut self, bytes: &Bytes) {
        let rest = bytes.slice(..self.end.rest_of_message(bytes));
        if !rest.is_empty() {
            self.end.advance(&rest);
            self.kept.push_back(rest);
        }
    }

    /// Whether the client will have whole messages only, so that something can be said to it.
    pub fn is_whole(&self) -> bool {
        self.end.is_between()
    }

    /// The gate's last word (FATAL), said only between two messages.
    pub fn say(&mut self, message: Bytes) {
        if self.is_whole() {
            self.kept.push_back(message);
        }
    }

    /// What is to be written next; empty if nothing is left.
    pub fn pending(&self) -> &[u8] {
        self.kept.front().map(Bytes::as_ref).unwrap_or_default()
    }

    /// `count` bytes of [`Closing::pending`] were written.
    pub fn written(&mut self, count: usize) {
        let Some(front) = self.kept.front_mut() else { return };
        front.advance(count.min(front.len()));
        self.kept.pop_front_if(|front| front.is_empty());
    }
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
