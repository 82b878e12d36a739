//! One connection after sign-in, as a state machine: a client's frame in, what to do with it out; the server's bytes
//! in,
//! what became of which frame out. Nothing is held back or changed here; bytes pass beside this module, verbatim.
//! Not here: whether a frame may pass (`grant/`), its record (`log/`), sockets, time. Follows the protocol's message
//! flow <https://www.postgresql.org/docs/current/protocol-flow.html> and PostgreSQL's `postgres.c` where that is loose.

mod answers;
mod copying;
mod deallocate;
mod names;
mod state;
#[cfg(test)]
mod transcript;

use crate::audit::record::{Skeleton, Values};
use crate::clock::Timestamp;
use crate::wire::Fault;
use crate::wire::backend::{TransactionStatus, Walker};
use crate::wire::frame::Frame;
use crate::wire::frontend;

use state::State;

pub use copying::{Copied, Counted};

/// So many frames may await the server's answer before [`Session::is_full`].
pub const AWAITED_MAX: usize = 65_536;

/// What to do with a client's frame.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most frames are gated, and their parts move on into the record")]
pub enum Step {
    /// It takes effect or discloses something: record this, then forward it.
    Gate(Statement),
    /// It has no record of its own: forward it.
    Pass,
    /// COPY data: forward it. It takes effect only with its CopyDone, whose record will carry its digest.
    Copy(Counted),
    /// The client says goodbye: forward it and close.
    Terminate,
}

/// What a gated frame itself tells, for its record. Who sent it, and under which grant, the caller adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Which gated frame of the session this is, from 1.
    pub frame: u64,
    /// `query`, `parse`, `bind`, `describe`, `execute`, `close`, `function-call` or `copy-done`.
    pub verb: &'static str,
    /// Its record must be durable before it is forwarded, whatever the scope.
    pub durable_first: bool,
    /// `frame`, `verb`, `row_limit`, `relations`, `function`, what was copied; `result` is `unresolved`
    /// where the frame names a statement or portal whose text is not known (made by SQL, or never made).
    pub skeleton: Skeleton,
    /// `text`, `encoding`, `binds`, `statement`, `portal`, `digest`. The text of Bind, Describe and Execute is the one that was
    /// parsed under the name: a label, as SQL inside functions can give the name to something else.
    pub values: Values,
}

/// What the server's bytes told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What became of a frame. A frame whose transaction fails at Sync has a second one, which prevails.
    Outcome(Outcome),
    /// The server awaits COPY data.
    CopyInStarted,
    /// The server opened a replication stream.
    CopyBothStarted,
    /// Somebody notified a channel this session listens on.
    Notification {
        /// The channel's name.
        channel: Vec<u8>,
    },
    /// A parameter changed.
    ParameterStatus {
        /// Its name.
        name: String,
        /// Its value now.
        value: String,
    },
    /// The server awaits the next statement.
    ReadyForQuery(TransactionStatus),
    /// The server ends the session.
    Fatal {
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its primary message.
        message: String,
    },
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose outcome.
    pub frame: u64,
    /// The CommandComplete tag; of a Query with several statements all of them, as `INSERT 0 1; SELECT 3`.
    pub tag: Option<String>,
    /// The SQLSTATE of an error.
    pub sqlstate: Option<String>,
    /// The primary message of an error.
    pub message: Option<String>,
    /// DataRow and CopyData messages the server sent for it.
    pub rows: u64,
    /// Bytes of those, or of a function's result, headers included.
    pub bytes: u64,
    /// From the frame's arrival until this, in microseconds.
    pub duration_us: u64,
    /// How it ended.
    pub result: Ending,
    /// What the client had sent for a COPY that failed, if no CopyDone's record says so.
    pub copied: Option<Copied>,
}

impl Outcome {
    /// An outcome without rows or words.
    fn plain(frame: u64, since: Timestamp, now: Timestamp, result: Ending) -> Outcome {
        Outcome {
            frame,
            tag: None,
            sqlstate: None,
            message: None,
            rows: 0,
            bytes: 0,
            duration_us: u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX),
            result,
            copied: None,
        }
    }
}

/// How a frame ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server did it.
    Done,
    /// The server answered with an error.
    Error,
    /// The server skipped it, as an earlier frame failed.
    Skipped,
    /// The row limit was reached; the portal can go on.
    Suspended,
    /// The client gave its COPY up (CopyFail), and the server answered with an error.
    GivenUp,
}

impl Ending {
    /// The word in a record's `result`.
    pub fn word(self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::Error => "error",
            Ending::Skipped => "skipped",
            Ending::Suspended => "suspended",
            Ending::GivenUp => "given-up",
        }
    }
}

/// One connection's state after sign-in.
#[derive(Debug)]
pub struct Session {
    opened: Timestamp,
    walker: Walker,
    state: State,
}

impl Session {
    /// A session that began at `opened`, outside a transaction. Its encoding is not known before [`Session::learn`].
    pub fn new(opened: Timestamp) -> Self {
        Session { opened, walker: Walker::new(), state: State::new() }
    }

    /// When the session began.
    pub fn opened(&self) -> Timestamp {
        self.opened
    }

    /// Takes note of a ParameterStatus that came during sign-in, `client_encoding` above all.
    pub fn learn(&mut self, name: &str, value: &str) {
        self.state.learn(name, value);
    }

    /// Takes the client's next frame, in the order in which frames will be forwarded.
    ///
    /// # Errors
    /// The client's fault (08P01), or a bug; the session must end, and the frame must not be forwarded.
    pub fn client(&mut self, frame: &Frame, now: Timestamp) -> Result<Step, Fault> {
        self.state.client(frame, frontend::decode(frame)?, now)
    }

    /// Adds to `out` what the client's frames alone decided: what the server will ignore has its outcome at once. To be
    /// asked after each [`Session::client`] whose frame was recorded.
    pub fn told(&mut self, out: &mut Vec<Event>) {
        out.append(&mut self.state.late);
    }

    /// Takes the server's next bytes, in whatever chunks, and adds what they told to `out`. Reads headers and short
    /// messages only; rows are counted, and never held.
    ///
    /// # Errors
    /// The upstream's fault: its bytes are no protocol, or answer what nobody asked. The session must end; what was
    /// told
    /// until then stands in `out`.
    pub fn server(&mut self, chunk: &[u8], now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Session { walker, state, .. } = self;
        let mut fault = None;
        walker.walk(chunk, |message| {
            if fault.is_none() {
                fault = state.server(message, now, out).err();
            }
        })?;
        fault.map_or(Ok(()), Err)
    }

    /// Whether the last byte of the server's was the last of a message, so that a message of ours may be put in.
    pub fn at_boundary(&self) -> bool {
        self.walker.at_boundary()
    }

    /// Bytes seen of the server's unfinished message: so many bytes back lies the last boundary.
    pub fn unfinished_bytes(&self) -> usize {
        self.walker.unfinished_bytes()
    }

    /// Where the transaction stood at the last ReadyForQuery.
    pub fn transaction(&self) -> TransactionStatus {
        self.state.transaction()
    }

    /// The client's encoding as PostgreSQL names it; `SQL_ASCII` (bytes) as long as it is not known.
    pub fn encoding(&self) -> &str {
        self.state.encoding()
    }

    /// The number of the last gated frame; 0 is none yet.
    pub fn frame(&self) -> u64 {
        self.state.frame()
    }

    /// Whether so many frames await an answer that no more should be read from the client until some came.
    pub fn is_full(&self) -> bool {
        self.state.awaited() >= AWAITED_MAX
    }

    /// Whether every frame has its outcome and the server awaits the next statement.
    pub fn is_idle(&self) -> bool {
        self.state.awaited() == 0
    }

    /// Whether the server waits for COPY data that the client does not send: the next move is the client's.
    pub fn awaits_data(&self) -> bool {
        self.state.awaits_data()
    }

    /// The frame whose COPY is under way without a CopyDone yet, and what the client sent for it.
    pub fn unfinished_copy(&self) -> Option<(u64, Copied)> {
        self.state.unfinished_copy()
    }

    /// The gated frames that have no outcome, in order: at the end of the session theirs is `unknown`.
    pub fn unanswered(&self) -> Vec<u64> {
        self.state.unanswered()
    }
}

#[cfg(test)]
mod copying_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
