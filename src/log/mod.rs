//! The durable store of audit records: group commit, recovery, reading, verifying.
//! Not here: what a record is (`audit/`) and who may read it (`keyring/`).
//! Design: one queue; whoever queues a record helps to seal; one thread writes whole batches, one does the upkeep.

#[cfg(test)]
mod alarm_tests;
mod batch;
mod beside;
pub mod blocks;
mod choice;
pub mod count;
#[cfg(test)]
mod crash_tests;
mod entries;
mod error;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod fixture;
pub mod follow;
mod gather;
pub mod growth;
pub mod index;
mod indexes;
mod narrow;
pub mod open;
mod past;
mod plan;
#[cfg(test)]
pub(crate) mod proofs;
pub mod prove;
pub mod reader;
mod recovery;
#[cfg(test)]
mod rotation_tests;
mod sealing;
pub mod search;
pub mod segment;
mod shared;
mod signed;
pub mod start;
pub mod stream;
pub mod summary;
#[cfg(test)]
mod tamper_tests;
pub mod together;
mod upkeep;
#[cfg(test)]
mod vectors_tests;
mod verdict;
pub mod verify;
pub mod vouched;
mod writer;

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

pub use batch::Epoch;
pub use error::Error;

use crate::audit::checkpoint::{Checkpoint, SigningKey};
use crate::audit::keys::{Recipient, Recipients};
use crate::audit::public::{Notice, Public};
use crate::audit::record::{Kind, Preamble, Record};
use crate::audit::words::Words;
use crate::clock::{Clock, Timestamp};
use crate::ids::SessionId;
use batch::Item;
use shared::{Pace, Shared};

/// A part of a record may have at most this many bytes.
pub const PART_BYTES_MAX: usize = 512 << 20;

/// Which frames of which session a receipt will be for: one, or several that came together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The session.
    pub session: SessionId,
    /// The gated frame's number within it, from 1; the first one's.
    pub frame: u64,
    /// How many more behind it share its record.
    pub further: u64,
}

impl Claim {
    /// No frame: what [`Log::record`] gives receipts for. No gate opens for it, for frames count from 1.
    pub const NONE: Claim = Claim::of(SessionId([0; 8]), 0);

    /// One frame.
    pub const fn of(session: SessionId, frame: u64) -> Claim {
        Claim { session, frame, further: 0 }
    }

    /// That frame and so many behind it.
    #[must_use]
    pub const fn and(self, further: u64) -> Claim {
        Claim { further, ..self }
    }

    /// The last frame of them.
    pub fn last(&self) -> u64 {
        self.frame.saturating_add(self.further)
    }
}

/// Proof that a record survives power loss. Made only here, not `Clone`.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt {
    claim: Claim,
    position: u64,
}

impl Receipt {
    /// For which frame.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// For which session.
    pub fn session(&self) -> SessionId {
        self.claim.session
    }

    /// For which frame of that session.
    pub fn frame(&self) -> u64 {
        self.claim.frame
    }

    /// Which leaf of the log the record is, from 0.
    pub fn position(&self) -> u64 {
        self.position
    }
}

/// Proof that a record is queued, and the way to its receipt. A future itself, for `select!` by `&mut`.
#[derive(Debug)]
#[must_use = "only the receipt says that the record is durable"]
pub struct Enqueued {
    claim: Claim,
    /// Which batch it waits for.
    ticket: u64,
    /// Whether somebody has said to wait for it.
    hurried: bool,
    durable: oneshot::Receiver<Result<Receipt, Error>>,
}

impl Enqueued {
    /// For which frame.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// For which session.
    pub fn session(&self) -> SessionId {
        self.claim.session
    }

    /// For which frame of that session.
    pub fn frame(&self) -> u64 {
        self.claim.frame
    }

    /// Waits for the durable write. Cancel-safe: call it again. After it was answered, it says [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Full`].
    pub async fn durable(&mut self) -> Result<Receipt, Error> {
        if self.durable.is_terminated() {
            return Err(Error::Closed);
        }
        self.await
    }
}

impl Future for Enqueued {
    type Output = Result<Receipt, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.durable).poll(cx).map(|answer| answer.unwrap_or(Err(Error::Closed)))
    }
}

/// How a log is kept.
#[derive(Debug)]
pub struct Settings {
    /// Whose log, such as `proxy-gate-1`: letters, digits, `.`, `_` and `-`. The origin is `portreeve/` and this.
    pub writer: String,
    /// The key that signs its checkpoints.
    pub signing: SigningKey,
    /// How large a segment file is, unless one batch needs more. Rounded up to whole blocks.
    pub segment_bytes: u64,
    /// Below this much free space new sessions are refused.
    pub reserve_bytes: u64,
    /// How long one data key is used.
    pub epoch: Epoch,
    /// A log in which nothing happens gets a sign of life after this long.
    pub heartbeat: Duration,
    /// How many records, and with which root, somebody outside of the log's directory remembers of it: the log opens
    /// only if it still begins with them.
    pub remembered: Option<(u64, [u8; 32])>,
    /// The last checkpoint of the log that this one goes on from: its first leaf, if it is begun now.
    pub continues: Option<String>,
}

impl Settings {
    /// The usual sizes: segments of 64 MiB, 256 MiB kept free, data keys for 15 minutes or 64 MiB.
    pub fn new(writer: &str, signing: SigningKey) -> Self {
        Settings {
            writer: writer.to_owned(),
            signing,
            segment_bytes: 64 << 20,
            reserve_bytes: 256 << 20,
            heartbeat: Duration::from_secs(60),
            epoch: Epoch { age: Duration::from_secs(15 * 60), bytes: 64 << 20 },
            remembered: None,
            continues: None,
        }
    }

    /// The sizes of a configuration's `[audit]` section: of a segment, of what is kept free, and how long and for how
    /// many bytes one data key is used.
    #[must_use]
    pub fn sized(self, segment_bytes: u64, reserve_bytes: u64, epoch_after: Duration, epoch_bytes: u64) -> Self {
        let epoch = Epoch { age: epoch_after, bytes: epoch_bytes };
        Settings { segment_bytes, reserve_bytes, epoch, ..self }
    }

    /// The log must begin with what is remembered of it; see [`Settings::remembered`].
    #[must_use]
    pub fn remembering(self, remembered: Option<(u64, [u8; 32])>) -> Self {
        Settings { remembered, ..self }
    }

    /// The log goes on where another was closed with that checkpoint; see [`Settings::continues`].
    #[must_use]
    pub fn continuing(self, note: String) -> Self {
        Settings { continues: Some(note), ..self }
    }

    /// The log's origin: its name in checkpoints and seals.
    pub fn origin(&self) -> String {
        origin(&self.writer)
    }
}

/// The origin of that writer's log.
pub fn origin(writer: &str) -> String {
    format!("portreeve/{writer}")
}

/// The name of the log of that origin: its writer's, or what came after it.
pub fn name_of(origin: &str) -> &str {
    origin.strip_prefix("portreeve/").unwrap_or(origin)
}

/// An open audit log. Clones are the same log; when the last is dropped without [`Log::close`], what is queued is
/// still written, by waiting for it.
#[derive(Clone)]
pub struct Log(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    recipients: Recipients,
    clock: Arc<dyn Clock>,
    threads: start::Threads,
}

impl Log {
    /// Queues a record and starts a write, because somebody waits. The order of calls is the order of positions.
    /// Missing `session` and `frame` in the record are filled from the claim.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::TooLarge`], [`Error::Misused`] (nothing was queued); [`Error::Full`] for a new
    /// session below the reserve; [`Error::Failed`], [`Error::Closed`].
    pub fn append(&self, record: Record, claim: Claim) -> Result<Enqueued, Error> {
        self.claimed(record, None, claim, Pace::AtOnce)
    }

    /// As [`Log::append`], of a record of which the session's preamble is left out.
    ///
    /// # Errors
    /// As for [`Log::append`].
    pub fn append_of(&self, preamble: &Preamble, record: Record, claim: Claim) -> Result<Enqueued, Error> {
        self.claimed(record, Some(preamble), claim, Pace::AtOnce)
    }

    /// As [`Log::append_of`], but nobody waits yet: while others are being written, it goes with them, within
    /// milliseconds, or when somebody begins to wait and says so by [`Log::hurry`].
    ///
    /// # Errors
    /// As for [`Log::append`].
    pub fn append_ahead(&self, preamble: &Preamble, record: Record, claim: Claim) -> Result<Enqueued, Error> {
        self.claimed(record, Some(preamble), claim, Pace::Ahead)
    }

    /// Somebody waits for this one now.
    pub fn hurry(&self, enqueued: &mut Enqueued) {
        if !mem::replace(&mut enqueued.hurried, true) {
            self.0.shared.hurry(enqueued.ticket);
        }
    }

    fn claimed(
        &self,
        mut record: Record,
        preamble: Option<&Preamble>,
        claim: Claim,
        pace: Pace,
    ) -> Result<Enqueued, Error> {
        record.skeleton.session.get_or_insert(claim.session);
        record.skeleton.frame.get_or_insert(claim.frame);
        if !is_of(&record, claim) {
            return Err(Error::Misused("the record is of other frames than its claim"));
        }
        self.enqueue(&record, preamble, claim, pace)
    }

    /// Queues a record that nobody waits for: it goes with the next batch, at the latest after one second.
    ///
    /// # Errors
    /// As for [`Log::append`].
    pub fn note(&self, record: Record) -> Result<(), Error> {
        let item = self.0.item(&record, None, Claim::NONE)?;
        self.0.shared.push_note(item)
    }

    /// Queues a record and waits until it is durable: for intents, sign-ins, refusals.
    /// Cancelled, the record is still written.
    ///
    /// # Errors
    /// As for [`Log::append`].
    pub async fn record(&self, record: Record) -> Result<Receipt, Error> {
        self.enqueue(&record, None, Claim::NONE, Pace::AtOnce)?.await
    }

    /// Queues records one behind the other and waits until they are durable: all of them are made ready for sealing before
    /// the first is queued. Cancelled, they are still written.
    ///
    /// # Errors
    /// As for [`Log::append`]: [`Error::NoKey`], [`Error::TooLarge`] and [`Error::Misused`] of any of them.
    pub async fn record_all(&self, records: &[Record]) -> Result<(), Error> {
        let items = records.iter().map(|record| self.0.item(record, None, Claim::NONE));
        let mut items = items.collect::<Result<Vec<_>, _>>()?;
        let Some(last) = items.pop() else { return Ok(()) };
        items.into_iter().try_for_each(|item| self.0.shared.push_note(item))?;
        // What was queued before the last is on the disk before it.
        self.push(last, Claim::NONE, Pace::AtOnce)?.await.map(drop)
    }

    /// Writes a notice of what is about to be erased, open to everybody, and waits until it is durable. Cancelled, it is
    /// still written.
    ///
    /// # Errors
    /// As for [`Log::append`].
    pub async fn notice(&self, notice: Notice) -> Result<Receipt, Error> {
        let item = public_item(&Public::Notice(notice), self.0.clock.now())?;
        self.push(item, Claim::NONE, Pace::AtOnce)?.await
    }

    /// Resolves when the log can no longer be written. Then the process must end: nothing is retried.
    pub async fn failed(&self) {
        self.0.shared.failed().await;
    }

    /// Whether new sessions may begin: more than the reserve is free, and the log works.
    pub fn has_room(&self) -> bool {
        self.0.shared.has_room()
    }

    /// How long the durable log is, and its root.
    pub fn checkpoint(&self) -> Checkpoint {
        self.0.shared.checkpoint()
    }

    /// Writes what is queued, a record of the end and a last checkpoint, and gives the lock back. Blocks for some
    /// milliseconds. Other clones are closed too.
    ///
    /// # Errors
    /// [`Error::Failed`] if it failed before or just now, [`Error::Closed`] if it was closed.
    pub fn close(self) -> Result<(), Error> {
        let now = self.0.clock.now();
        self.end(self.0.own_item(&Record::new(now, Kind::Closed, None), Claim::NONE))
    }

    /// Closes the log for good: its last leaf says as which one it goes on, and by which key that is signed.
    ///
    /// # Errors
    /// As for [`Log::close`].
    pub fn close_to_continue(self, writer: &str, public: &[u8; 32]) -> Result<(), Error> {
        self.end(public_item(&Public::continued(&origin(writer), public), self.0.clock.now()))
    }

    fn end(&self, item: Result<Item, Error>) -> Result<(), Error> {
        let queued = item.and_then(|item| self.0.shared.push_last(item));
        self.0.threads.stop(&self.0.shared);
        queued?;
        self.0.shared.result()
    }

    fn enqueue(
        &self,
        record: &Record,
        preamble: Option<&Preamble>,
        claim: Claim,
        pace: Pace,
    ) -> Result<Enqueued, Error> {
        self.push(self.0.item(record, preamble, claim)?, claim, pace)
    }

    fn push(&self, mut item: Item, claim: Claim, pace: Pace) -> Result<Enqueued, Error> {
        let (answer, durable) = oneshot::channel();
        item.waiter = Some(answer);
        let ticket = self.0.shared.push(item, pace)?;
        Ok(Enqueued { claim, ticket, hurried: false, durable })
    }
}

/// Whether the record tells of the claim's frames, all of them and no others.
fn is_of(record: &Record, claim: Claim) -> bool {
    let skeleton = &record.skeleton;
    let further = skeleton.further.as_deref().unwrap_or_default();
    let frames = further.iter().map(|further| further.frame);
    skeleton.session == Some(claim.session)
        && skeleton.frame == Some(claim.frame)
        && further.len() as u64 == claim.further
        && frames.zip(claim.frame + 1..).all(|(found, due)| found == Some(due))
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Log").field(&self.0.shared.origin).finish()
    }
}

impl Handle {
    fn item(&self, record: &Record, preamble: Option<&Preamble>, claim: Claim) -> Result<Item, Error> {
        match record.kind {
            Kind::Opened | Kind::Recovered | Kind::Closed | Kind::Heartbeat | Kind::DataKey => {
                Err(Error::Misused("records of the log itself are written by the log only"))
            }
            kind if kind.is_public() => Err(Error::Misused("what is open to everybody is no record of somebody")),
            Kind::SignedIn if !self.shared.has_room() => Err(self.shared.result().err().unwrap_or(self.shared.full())),
            _ => item(record, preamble, claim, &self.recipients, self.clock.as_ref()),
        }
    }

    fn own_item(&self, record: &Record, claim: Claim) -> Result<Item, Error> {
        item(record, None, claim, &self.recipients, self.clock.as_ref())
    }
}

/// A record made ready for sealing, with the keys of now.
fn item(
    record: &Record,
    preamble: Option<&Preamble>,
    claim: Claim,
    recipients: &Recipients,
    clock: &dyn Clock,
) -> Result<Item, Error> {
    let recipient = Recipient::of(record.customer);
    let period = recipient.period(clock.now());
    let to = recipients.seal_to(recipient, period).ok_or(Error::NoKey { recipient, period })?;
    let (skeleton, values) = record.encode(preamble).ok_or(Error::TooLarge)?;
    if skeleton.len().max(values.len()) > PART_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let (words, shown) = (Words::of(&record.skeleton, preamble), gather::shown(&record.values));
    let (kind, at, to, waiter) = (record.kind, record.at, Some(to), None);
    Ok(Item { kind, at, to, values, skeleton, words, shown, claim, waiter })
}

/// What is open to everybody, made ready.
fn public_item(public: &Public, at: Timestamp) -> Result<Item, Error> {
    let values = public.to_bytes();
    if values.len() > PART_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let (kind, to, claim, waiter) = (public.kind(), None, Claim::NONE, None);
    let (skeleton, words, shown) = (Vec::new(), Words::default(), Vec::new());
    Ok(Item { kind, at, to, values, skeleton, words, shown, claim, waiter })
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.threads.stop(&self.shared);
    }
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
