//! COPY FROM STDIN: what the client sends is counted and digested and never held; CopyDone is the frame that makes it
//! take effect. In copy mode the server ignores Flush and Sync; what comes after an error it ignores altogether.
//! Not here: everything else a frame can be (`state`, `answers`). Follows PostgreSQL's `copyfromparse.c`.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::clock::Timestamp;
use crate::session::state::{Act, Awaited, Skip, State};
use crate::session::{Ending, Event, Outcome, Step};
use crate::wire::Fault;
use crate::wire::frame::Frame;

/// A CopyData frame whose bytes are in the digest that the record of the CopyDone behind it will carry. Made only here,
/// by putting them there.
#[derive(Debug)]
pub struct Counted(Frame);

impl Counted {
    /// The frame that was counted.
    pub fn frame(&self) -> &Frame {
        &self.0
    }
}

/// What a client sent as COPY data, as far as the gate can tell without holding it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes, without the messages' headers.
    pub bytes: u64,
    /// Line feeds in it, where the server said that the format is text (or CSV). Rows come with the outcome.
    pub lines: Option<u64>,
    /// SHA-256 of all of it.
    pub digest: [u8; 32],
}

/// The count and digest of the data since the last frame that was none.
#[derive(Default)]
pub(super) struct Running {
    bytes: u64,
    lines: u64,
    /// None as long as nothing came.
    digest: Option<Context>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("bytes", &self.bytes).field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Running {
    pub(super) fn count(&mut self, frame: &Frame) -> Counted {
        let data = frame.body();
        self.bytes += data.len() as u64;
        self.lines += memchr::memchr_iter(b'\n', &data).count() as u64;
        self.digest.get_or_insert_with(|| Context::new(&SHA256)).update(&data);
        Counted(frame.clone())
    }

    fn so_far(&self, is_text: bool) -> Copied {
        let digest = self.digest.clone().unwrap_or_else(|| Context::new(&SHA256)).finish();
        // SHA-256 has 32 bytes.
        let digest = digest.as_ref().first_chunk().copied().unwrap_or_default();
        Copied { bytes: self.bytes, lines: is_text.then_some(self.lines), digest }
    }
}

/// The server awaits COPY data for the first awaited frame.
#[derive(Debug)]
pub(super) struct Copying {
    is_text: bool,
    /// Syncs that came before CopyDone or CopyFail: the server ignores them, unless it failed before it read them.
    syncs: u64,
    /// What they would have committed.
    executed: u64,
}

/// What a failed COPY leaves.
#[derive(Debug, Default)]
pub(super) struct Broken {
    /// What the client had sent, if no CopyDone's record tells.
    pub(super) copied: Option<Copied>,
    /// The client gave it up.
    pub(super) given_up: bool,
    /// The CopyDone that came in vain.
    pub(super) done: Option<Awaited>,
}

impl State {
    /// CopyDone: its record says what was copied, whether or not the server still wants it.
    pub(super) fn copy_done(&mut self, now: Timestamp) -> Result<Step, Fault> {
        let copied = self.copied.so_far(self.copying.as_ref().is_some_and(|copying| copying.is_text));
        let begun_by = self.queue.iter().rev().find(|awaited| awaited.act.runs()).map(|awaited| awaited.frame);
        let mut statement = self.statement("copy-done");
        statement.durable_first = true;
        statement.skeleton.copied_bytes = Some(copied.bytes);
        statement.skeleton.copied_lines = copied.lines;
        statement.skeleton.begun_by = begun_by;
        statement.values.digest = Some(copied.digest.to_vec());
        self.push(statement.frame, now, Act::CopyDone)?;
        self.sweep_late(now);
        Ok(Step::Gate(statement))
    }

    /// CopyFail: what was copied stands in the outcome of the COPY.
    pub(super) fn copy_fail(&mut self, now: Timestamp) -> Result<Step, Fault> {
        let copied = self.copied.so_far(self.copying.as_ref().is_some_and(|copying| copying.is_text));
        self.copied = Running::default();
        if !matches!(self.skip, Skip::SyncMissing(_)) {
            self.push(0, now, Act::CopyFail { copied })?;
            self.sweep_late(now);
        }
        Ok(Step::Pass)
    }

    /// Whether a Sync that comes now is one the server ignores, if it still copies by then.
    pub(super) fn sync_while_copying(&mut self, executed: u64) -> bool {
        match &mut self.copying {
            Some(copying) if self.queue.len() == 1 => {
                copying.syncs += 1;
                copying.executed = copying.executed.max(executed);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The server awaits COPY data.
    pub(super) fn copy_in(&mut self, is_text: bool, out: &mut Vec<Event>) -> Result<(), Fault> {
        self.runs("CopyInResponse")?;
        let mut copying = Copying { is_text, syncs: 0, executed: 0 };
        while let Some(Awaited { act: Act::Sync { executed }, .. }) = self.queue.get(1) {
            copying.syncs += 1;
            copying.executed = copying.executed.max(*executed);
            self.queue.remove(1);
        }
        self.copying = Some(copying);
        out.push(Event::CopyInStarted);
        Ok(())
    }

    /// The server says that the first awaited frame's command is complete; if that was a COPY, so is its CopyDone.
    pub(super) fn copy_complete(&mut self, tag: &[u8], now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(copying) = self.copying.take() else { return Ok(()) };
        let Some(done) = self.queue.get(1).filter(|next| matches!(next.act, Act::CopyDone)) else {
            return Err(Fault::upstream("CommandComplete came for a COPY before its CopyDone"));
        };
        let mut outcome = Outcome::plain(done.frame, done.since, now, Ending::Done);
        outcome.tag = Some(String::from_utf8_lossy(tag).into_owned());
        out.push(Event::Outcome(outcome));
        self.queue.remove(1);
        self.carry(copying.executed);
        Ok(())
    }

    /// What a Sync that was ignored would have committed, the next one commits.
    fn carry(&mut self, committed: u64) {
        let next = self.queue.iter_mut().skip(1).find_map(|awaited| match &mut awaited.act {
            Act::Sync { executed } => Some(Some(executed)),
            Act::Query { .. } | Act::FunctionCall { .. } => Some(None),
            Act::Parse { .. }
            | Act::Bind { .. }
            | Act::Describe { .. }
            | Act::Execute { .. }
            | Act::Close { .. }
            | Act::CopyDone
            | Act::CopyFail { .. } => None,
        });
        let executed = match next {
            Some(Some(executed)) => executed,
            Some(None) => return,
            None => &mut self.executed,
        };
        *executed = (*executed).max(committed);
    }

    /// The server failed while it awaited data, or before it read all of it. From here on it ignores what is left.
    pub(super) fn copy_broke(&mut self) -> Broken {
        let Some(copying) = self.copying.take() else { return Broken::default() };
        self.surplus += copying.syncs;
        let ends = |awaited: &Awaited| matches!(awaited.act, Act::CopyDone | Act::CopyFail { .. });
        let end = if self.queue.get(1).is_some_and(ends) { self.queue.remove(1) } else { None };
        match end {
            Some(Awaited { act: Act::CopyFail { copied }, .. }) => {
                Broken { copied: Some(copied), given_up: true, done: None }
            }
            Some(done) => Broken { copied: None, given_up: false, done: Some(done) },
            None => Broken { copied: Some(self.copied.so_far(copying.is_text)), given_up: false, done: None },
        }
    }

    /// CopyDone and CopyFail that are first in the queue belong to no COPY any more: the server ignores them.
    pub(super) fn sweep(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        let ignored = |awaited: &mut Awaited| matches!(awaited.act, Act::CopyDone | Act::CopyFail { .. });
        while let Some(Awaited { frame, since, act }) = self.queue.pop_front_if(ignored) {
            if matches!(act, Act::CopyDone) {
                out.push(Event::Outcome(Outcome::plain(frame, since, now, Ending::Skipped)));
            }
        }
    }

    fn sweep_late(&mut self, now: Timestamp) {
        let mut late = std::mem::take(&mut self.late);
        self.sweep(now, &mut late);
        self.late = late;
    }

    /// Whether the server waits for COPY data that the client has not sent.
    pub(super) fn awaits_data(&self) -> bool {
        self.copying.is_some() && self.queue.len() == 1
    }

    /// The frame whose COPY is under way, and what was sent for it.
    pub(super) fn unfinished_copy(&self) -> Option<(u64, Copied)> {
        let copying = self.copying.as_ref().filter(|_| self.awaits_data())?;
        Some((self.queue.front()?.frame, self.copied.so_far(copying.is_text)))
    }
}
