//! The road of a snapshot into its store: one thread reads, one checks, one seals, hashes and writes; all of it in
//! bounded memory.
//! Not here: where the bytes come from (`take.rs`, `adopt.rs`) and what a check is (`dump.rs`, `base_backup.rs`).
//! The last chunk is sealed only after the source ended well and the check passed; before, nothing opens as whole.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest;

use super::back_end::Checked;
use super::brake::Brake;
use super::error::Error;
use super::header::{Foot, Header, HeaderBytes};
use super::lease::Lease;
use super::seal::{Chunks, DataKey, Place, trace};
use super::store::Store;
use super::{Progress, Watch};
use crate::clock::{Clock, Timestamp};
use crate::disk::AppendFile;
use crate::ids::SnapshotId;

/// Plain bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// Chunks on their way to each thread.
const QUEUED_MAX: usize = 16;
/// How often the watcher is asked.
const TICK: Duration = Duration::from_millis(200);

type Chunk = Arc<Vec<u8>>;

/// Where chunks' memory goes when all have read them: back to the reader, for memory that is touched first costs more
/// than what is done with it.
#[derive(Clone)]
struct Spare(Sender<Vec<u8>>);

impl Spare {
    fn new() -> (Spare, Receiver<Vec<u8>>) {
        let (spare, spares) = channel();
        (Spare(spare), spares)
    }

    /// Whoever is the last to give it back gives its memory.
    fn give_back(&self, chunk: Chunk) {
        if let Some(mut memory) = Arc::into_inner(chunk).filter(|memory| memory.capacity() >= CHUNK_BYTES) {
            memory.clear();
            // A reader that is done needs none.
            drop(self.0.send(memory));
        }
    }
}

/// Where a snapshot's bytes come from.
pub(super) trait Source {
    /// The bytes; taken once.
    fn stream(&mut self) -> Result<Box<dyn Read + Send>, Error>;
    /// Makes the stream end soon, whatever it was to bring.
    fn stop(&mut self);
    /// Whether it ended because it was whole; asked after its last byte.
    fn end(&mut self) -> Result<(), Error>;
}

/// A snapshot on its way.
pub(super) struct Passage<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: &'a Lease,
    pub(super) clock: &'a dyn Clock,
    pub(super) header: Header,
    pub(super) key: DataKey,
    pub(super) estimate: Option<u64>,
    /// If it is to be held back: to so many bytes a second.
    pub(super) bytes_per_second_max: Option<u64>,
}

impl Passage<'_> {
    /// Brings it all the way, or leaves nothing that looks whole; the foot it has in the end.
    pub(super) fn run(
        self,
        source: &mut dyn Source,
        check: impl FnOnce(&mut dyn Read) -> Result<Checked, Error> + Send,
        watch: &mut Watch<'_>,
    ) -> Result<Foot, Error> {
        let id = self.header.id();
        let header = HeaderBytes::new(self.header.clone(), self.store.instance());
        self.lease.check()?;
        let running = self.store.running_path(id);
        let disk = self.store.disk();
        disk.replace(&running, &header.bytes, 0o640).map_err(Error::storage("write", &running))?;
        let held = disk.lock(&running).map_err(Error::storage("lock", &running))?;
        let written = self.write(id, header, source, check, watch).and_then(|foot| self.commit(id).map(|()| foot));
        if let Err(error) = &written {
            tracing::debug!(snapshot = %id, %error, "a snapshot is given up");
            if let Err(error) = disk.remove(&running) {
                tracing::warn!(snapshot = %id, %error, "a failed snapshot stays in the store, listed as failed");
            }
        }
        drop(held);
        written
    }

    /// The name of a whole one, if we still lead and nobody else has served the slot.
    fn commit(&self, id: SnapshotId) -> Result<(), Error> {
        self.store.check_mark()?;
        refuse_served_slot(self.store, &self.header)?;
        self.lease.check()?;
        let (from, to) = (self.store.running_path(id), self.store.whole_path(id));
        self.store.disk().rename(&from, &to).map_err(Error::storage("rename", &from))
    }

    fn write(
        &self,
        id: SnapshotId,
        header: HeaderBytes,
        source: &mut dyn Source,
        check: impl FnOnce(&mut dyn Read) -> Result<Checked, Error> + Send,
        watch: &mut Watch<'_>,
    ) -> Result<Foot, Error> {
        let path = self.store.running_path(id);
        let disk = self.store.disk();
        let file = disk.open_to_append(&path).map_err(Error::storage("open", &path))?;
        let header_digest = header.digest();
        let (spare, spares) = Spare::new();
        let sealing = Sealing {
            file,
            chunks: self.key.chunks(header_digest),
            hash: digest::Context::new(&digest::SHA256),
            number: 0,
            plain_bytes: 0,
            sealed: Vec::new(),
            spare: spare.clone(),
        };
        let stream = source.stream()?;
        let (passed, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
        let (to_check, checking) = sync_channel::<Chunk>(QUEUED_MAX);
        let (to_seal, for_sealing) = sync_channel::<ToSeal>(QUEUED_MAX);
        let (done, is_done) = channel::<()>();
        let instance = self.store.instance();
        let brake = self.bytes_per_second_max.map(Brake::new);

        thread::scope(|scope| {
            let seal_from_reader = to_seal.clone();
            let (passed, stopped) = (&passed, &stopped);
            let reader = scope.spawn(move || {
                let read = read_all(stream, &spares, &to_check, &seal_from_reader, brake, (passed, stopped));
                drop((to_check, seal_from_reader));
                // Nobody waits any more if the watcher panicked.
                drop(done);
                read
            });
            let checker = scope.spawn(move || check(&mut ChunkReader::new(checking, spare)));
            let sealer = scope.spawn(move || sealing.run(&for_sealing, &header_digest, instance));

            let interrupted = self.watch_over(&is_done, passed, stopped, source, watch);
            let read = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
            if !matches!(read, Ok(Ended::AtItsEnd)) {
                source.stop();
            }
            let ended = source.end();
            let checked = checker.join().map_err(|_| Error::Panicked("checking")).flatten();
            let finish = match (&read, &ended, &checked, interrupted) {
                (Ok(Ended::AtItsEnd), Ok(()), Ok(checked), false) => Some(checked.clone()),
                _ => None,
            };
            if let Some(checked) = finish {
                // If it cannot be sent, the sealer has failed and says why.
                drop(to_seal.send(ToSeal::Finish(checked, self.clock.now())));
            }
            drop(to_seal);
            let sealed = sealer.join();
            if interrupted {
                return Err(Error::Interrupted);
            }
            match sealed {
                Err(_) => Err(Error::Panicked("sealing")),
                Ok(Ok(Some(foot))) => Ok(foot),
                Ok(Err(SealFault { verb, error })) => Err(Error::storage(verb, &path)(error)),
                Ok(Ok(None)) => Err(first_fault(read, ended, checked, &path)),
            }
        })
    }

    /// Tells the watcher how far it is until the reader is done; whether it was told to stop.
    fn watch_over(
        &self,
        is_done: &Receiver<()>,
        passed: &AtomicU64,
        stopped: &AtomicBool,
        source: &mut dyn Source,
        watch: &mut Watch<'_>,
    ) -> bool {
        loop {
            let is_over = !matches!(is_done.recv_timeout(TICK), Err(RecvTimeoutError::Timeout));
            let progress = Progress { bytes: passed.load(Ordering::Relaxed), estimate: self.estimate };
            if watch(progress) == ControlFlow::Break(()) {
                stopped.store(true, Ordering::Relaxed);
                source.stop();
                // The reader ends with the stream; what it still sends is thrown away.
                return true;
            }
            if is_over {
                return false;
            }
        }
    }
}

/// Refuses a slot that has its snapshot.
pub(super) fn refuse_served_slot(store: &Store, header: &Header) -> Result<(), Error> {
    let Some(slot) = header.slot() else {
        return Ok(());
    };
    match store.of_slot(&header.series, slot)? {
        Some(id) => Err(Error::SlotTaken { slot, id }),
        None => Ok(()),
    }
}

/// Of several faults the one that caused the others: a source that failed makes its check fail too.
fn first_fault(
    read: io::Result<Ended>,
    ended: Result<(), Error>,
    checked: Result<Checked, Error>,
    path: &std::path::Path,
) -> Error {
    match (read, ended, checked) {
        (Err(error), ..) => Error::storage("read the source of", path)(error),
        (Ok(Ended::AtItsEnd), Err(error), _) | (_, _, Err(error)) | (_, Err(error), _) => error,
        (Ok(_), Ok(()), Ok(_)) => Error::Panicked("sealing"),
    }
}

/// Why reading ended.
enum Ended {
    AtItsEnd,
    NobodyListens,
    Stopped,
}

fn read_all(
    mut stream: Box<dyn Read + Send>,
    spares: &Receiver<Vec<u8>>,
    to_check: &SyncSender<Chunk>,
    to_seal: &SyncSender<ToSeal>,
    mut brake: Option<Brake>,
    (passed, stopped): (&AtomicU64, &AtomicBool),
) -> io::Result<Ended> {
    loop {
        let mut chunk = spares.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK_BYTES));
        let read = (&mut stream).take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        if read == 0 {
            return Ok(Ended::AtItsEnd);
        }
        if let Some(brake) = &mut brake {
            brake.hold(read as u64, stopped);
        }
        if stopped.load(Ordering::Relaxed) {
            return Ok(Ended::Stopped);
        }
        let chunk = Arc::new(chunk);
        if to_check.send(Arc::clone(&chunk)).is_err() || to_seal.send(ToSeal::Chunk(chunk)).is_err() {
            return Ok(Ended::NobodyListens);
        }
        passed.fetch_add(read as u64, Ordering::Relaxed);
    }
}

enum ToSeal {
    Chunk(Chunk),
    Finish(Checked, Timestamp),
}

/// The thread that seals.
struct Sealing {
    file: Box<dyn AppendFile>,
    chunks: Chunks,
    hash: digest::Context,
    number: u64,
    plain_bytes: u64,
    sealed: Vec<u8>,
    spare: Spare,
}

struct SealFault {
    verb: &'static str,
    error: io::Error,
}

impl Sealing {
    /// Seals what comes; the foot, once it was told to finish and all of it is durable.
    fn run(
        mut self,
        chunks: &Receiver<ToSeal>,
        header_digest: &[u8; 32],
        instance: &super::instance::Instance,
    ) -> Result<Option<Foot>, SealFault> {
        let mut held: Option<Chunk> = None;
        while let Ok(next) = chunks.recv() {
            match next {
                ToSeal::Chunk(chunk) => {
                    if let Some(before) = held.replace(chunk) {
                        self.seal(&before, Place::Within)?;
                        self.spare.give_back(before);
                    }
                }
                ToSeal::Finish(checked, finished) => {
                    self.seal(&held.unwrap_or_default(), Place::Last)?;
                    let foot = self.foot(&checked, finished);
                    self.append(&foot.to_bytes(header_digest, instance))?;
                    self.file.sync().map_err(|error| SealFault { verb: "sync", error })?;
                    return Ok(Some(foot));
                }
            }
        }
        Ok(None)
    }

    fn seal(&mut self, chunk: &[u8], place: Place) -> Result<(), SealFault> {
        self.chunks.seal(self.number, place, chunk, &mut self.sealed);
        self.hash.update(&trace(&self.sealed));
        self.file.append(&self.sealed).map_err(|error| SealFault { verb: "write", error })?;
        self.number += 1;
        self.plain_bytes += chunk.len() as u64;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), SealFault> {
        self.file.append(bytes).map_err(|error| SealFault { verb: "write", error })
    }

    fn foot(&self, checked: &Checked, finished: Timestamp) -> Foot {
        let stored = self.hash.clone().finish();
        Foot {
            finished,
            plain_bytes: self.plain_bytes,
            chunks: self.number,
            parts: checked.parts,
            content: checked.content,
            stored: stored.as_ref().try_into().expect("SHA-256 has 32 bytes"),
        }
    }
}

/// Chunks as a stream, for a check; the end of the chunks is its end.
struct ChunkReader {
    chunks: Receiver<Chunk>,
    chunk: Chunk,
    at: usize,
    spare: Spare,
}

impl ChunkReader {
    fn new(chunks: Receiver<Chunk>, spare: Spare) -> ChunkReader {
        ChunkReader { chunks, chunk: Chunk::default(), at: 0, spare }
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.chunks.recv() {
                Ok(chunk) => {
                    self.spare.give_back(std::mem::replace(&mut self.chunk, chunk));
                    self.at = 0;
                }
                Err(_) => return Ok(0),
            }
        }
        let mut rest = self.chunk.get(self.at..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
