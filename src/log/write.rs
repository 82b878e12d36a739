//! The durable write of a sealed batch, and the answers to those who wait for it: by the writer itself, or by a thread
//! beside it while the writer seals the next batch. One write at a time: whoever has the segment's file writes.
//! Not here: what is in a batch (`batch.rs`), and which goes beside (`writer.rs`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::batch::{Item, Waiter};
use super::shared::Shared;
use super::writer::FailsOnPanic;
use super::{Claim, Error, Receipt};
use crate::audit::tree::Frontier;
use crate::disk::{BlockFile, Blocks};

/// A batch that is to be written.
pub struct Write {
    pub file: Box<dyn BlockFile>,
    pub path: PathBuf,
    pub offset: u64,
    pub blocks: Blocks,
    /// All leaves up to its end.
    pub tree: Frontier,
    pub answers: Vec<Answer>,
}

/// Who waits for a record, and what is to be told once it is durable.
pub struct Answer {
    waiter: Waiter,
    claim: Claim,
    position: Result<u64, Error>,
}

/// What is free again after a write.
pub struct Written {
    pub file: Box<dyn BlockFile>,
    pub blocks: Blocks,
}

impl Answer {
    /// The answers about these records. Of one that could not be sealed and that nobody waits for, the process's own log
    /// tells.
    pub fn all(items: Vec<Item>, positions: Vec<Result<u64, Error>>, origin: &str) -> Vec<Answer> {
        let answer = |(item, position): (Item, Result<u64, Error>)| match (item.waiter, position) {
            (Some(waiter), position) => Some(Answer { waiter, claim: item.claim, position }),
            (None, Ok(_)) => None,
            (None, Err(error)) => {
                tracing::error!(log = origin, kind = item.kind.word(), %error, "not recorded");
                None
            }
        };
        items.into_iter().zip(positions).filter_map(answer).collect()
    }

    /// Gives it. A waiter that is gone no longer wants to know.
    pub fn give(self) {
        let Answer { waiter, claim, position } = self;
        let _ = waiter.send(position.map(|position| Receipt { claim, position }));
    }
}

impl Write {
    /// Writes it, says how far the log is durable, and then answers. An error has ended the log, and they are told that.
    pub fn carry_out(self, shared: &Shared) -> Result<Written, String> {
        let Write { file, path, offset, blocks, tree, answers } = self;
        if let Err(error) = file.write_durably(offset, &blocks) {
            let why = format!("cannot write {}: {error}", path.display());
            shared.fail(&why);
            let failed = |answer| Answer { position: Err(Error::Failed(why.clone())), ..answer };
            answers.into_iter().map(failed).for_each(Answer::give);
            return Err(why);
        }
        shared.advance(tree);
        answers.into_iter().for_each(Answer::give);
        Ok(Written { file, blocks })
    }
}

/// A thread that carries out writes.
pub struct Beside {
    /// None: it is to end.
    give: Option<SyncSender<Write>>,
    done: Receiver<Result<Written, String>>,
    thread: Option<JoinHandle<()>>,
    is_under_way: bool,
}

impl Beside {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn start(shared: Arc<Shared>) -> std::io::Result<Beside> {
        let (give, given) = sync_channel::<Write>(1);
        let (tell, done) = sync_channel(1);
        let work = move || {
            let _told = FailsOnPanic(&shared, "a thread that writes");
            for write in given {
                let written = write.carry_out(&shared);
                shared.written_beside();
                if tell.send(written).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("audit-write".to_owned()).spawn(work)?;
        Ok(Beside { give: Some(give), done, thread: Some(thread), is_under_way: false })
    }

    /// Carries it out beside whoever asks. There must be none under way.
    pub fn carry_out(&mut self, write: Write, shared: &Shared) -> Result<(), String> {
        shared.writes_beside();
        self.is_under_way = true;
        self.give.as_ref().and_then(|give| give.send(write).ok()).ok_or_else(ended)
    }

    /// Waits for the write under way; none: there is none.
    pub fn wait(&mut self) -> Result<Option<Written>, String> {
        if !std::mem::take(&mut self.is_under_way) {
            return Ok(None);
        }
        self.done.recv().map_err(|_| ended())?.map(Some)
    }
}

/// It panicked, and has told `Shared`.
fn ended() -> String {
    "the thread that writes the audit log ended: this is a bug".to_owned()
}

/// Whatever was begun is carried out.
impl Drop for Beside {
    fn drop(&mut self) {
        // Ends its loop; what it would tell has room.
        drop(self.give.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has told `Shared`.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
