//! Follows the register: a thread that sees a change within some milliseconds and publishes the new state.
//! Not here: deciding. When it can no longer read or verify, `last_read` ages and every decision fails closed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Notify, watch};

use super::error::Error;
use super::seen::Seen;
use super::sqlite::{connect, fold_new, fold_seen};
use crate::clock::{Clock, Timestamp};
use crate::grant::{State, Trust};
use crate::ids::Sequence;

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How often, at most, the note of what was seen is rewritten.
const SEEN_EVERY: Duration = Duration::from_secs(10);

/// Keeps a role's copy of the state up to date. Clones share one thread, which ends with the last of them.
#[derive(Clone)]
pub struct Follower {
    shared: Arc<Shared>,
    _thread: Arc<Thread>,
}

struct Shared {
    state: RwLock<Arc<State>>,
    last_read: AtomicI64,
    /// Told after each successful look.
    looked: Notify,
    changed: watch::Sender<Sequence>,
    fault: RwLock<Option<String>>,
}

struct Thread {
    stop: Option<mpsc::Sender<()>>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        let handle = self.handle.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(_)) = handle.map(JoinHandle::join) {
            tracing::error!("bug: the thread that follows the register panicked");
        }
    }
}

impl Follower {
    /// Reads and checks the whole register (an empty one is made if there is none), compares it with what this role
    /// saw last, and follows it from then on. `seen` is a file of this role's own.
    ///
    /// # Errors
    /// If the register cannot be read, does not verify, or is behind or different from `seen`.
    pub fn start(path: &Path, trust: Trust, seen: &Path, clock: Arc<dyn Clock>) -> Result<Follower, Error> {
        let read_at = clock.now();
        let connection = connect(path)?;
        let version = data_version(&connection).map_err(Error::sqlite("read", path))?;
        let state = fold_seen(&connection, path, &trust, seen)?;
        Seen::of(&state).write(seen)?;
        let shared = Arc::new(Shared {
            changed: watch::Sender::new(state.sequence()),
            state: RwLock::new(Arc::clone(&state)),
            last_read: AtomicI64::new(read_at.0),
            looked: Notify::new(),
            fault: RwLock::new(None),
        });
        let (stop, stopped) = mpsc::channel();
        let watching = Watching {
            inode: inode(path)?,
            path: path.to_owned(),
            trust,
            seen_path: seen.to_owned(),
            written: Seen::of(&state),
            written_at: Instant::now(),
            connection,
            version,
            state,
            clock,
            shared: Arc::clone(&shared),
        };
        let named = std::thread::Builder::new().name("register".to_owned());
        let handle =
            named.spawn(move || watching.run(&stopped)).map_err(Error::file("start a thread to follow", path))?;
        let thread = Thread { stop: Some(stop), handle: Mutex::new(Some(handle)) };
        Ok(Follower { shared, _thread: Arc::new(thread) })
    }

    /// The newest state that verified.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.shared.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells each new sequence once its state is published.
    pub fn changed(&self) -> watch::Receiver<Sequence> {
        self.shared.changed.subscribe()
    }

    /// When the register was last read successfully, or found unchanged.
    pub fn last_read(&self) -> Timestamp {
        Timestamp(self.shared.last_read.load(Ordering::Acquire))
    }

    /// Waits until the register was read after `asked`, so that a change which was confirmed before then is known; not
    /// longer than `within`. Cancel-safe.
    pub async fn caught_up(&self, asked: Timestamp, within: Duration) {
        let looked = async {
            loop {
                let mut next = pin!(self.shared.looked.notified());
                next.as_mut().enable();
                if self.last_read() >= asked {
                    return;
                }
                next.await;
            }
        };
        // One that cannot be read shows in `last_read`, and decisions go by that.
        let _ = tokio::time::timeout(within, looked).await;
    }

    /// Why the register is not followed at the moment, or any more; none: it is.
    pub fn fault(&self) -> Option<String> {
        self.shared.fault.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Everything the thread owns.
struct Watching {
    path: PathBuf,
    trust: Trust,
    seen_path: PathBuf,
    /// What stands in the `seen` file, and since when.
    written: Seen,
    written_at: Instant,
    inode: (u64, u64),
    connection: Connection,
    version: i64,
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
}

impl Watching {
    fn run(mut self, stopped: &mpsc::Receiver<()>) {
        while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
            let at = self.clock.now();
            match self.look() {
                Ok(()) => {
                    self.shared.last_read.store(at.0, Ordering::Release);
                    self.shared.looked.notify_waiters();
                    self.tell(None);
                }
                Err(passing @ (Error::Sqlite { .. } | Error::File { .. })) => self.tell(Some(passing.to_string())),
                Err(broken) => {
                    self.tell(Some(broken.to_string()));
                    break;
                }
            }
            if self.written_at.elapsed() >= SEEN_EVERY {
                self.write_seen();
            }
        }
        self.write_seen();
    }

    /// Looks whether anything changed, and folds and publishes it.
    fn look(&mut self) -> Result<(), Error> {
        if inode(&self.path)? != self.inode {
            return Err(Error::Replaced(self.path.clone()));
        }
        let version = data_version(&self.connection).map_err(Error::sqlite("read", &self.path))?;
        if version == self.version {
            return Ok(());
        }
        let before = self.state.sequence();
        let folded = fold_new(&self.connection, &mut self.state, &self.path, &self.trust);
        if self.state.sequence() != before {
            *self.shared.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&self.state);
            self.shared.changed.send_replace(self.state.sequence());
        }
        folded?;
        self.version = version;
        Ok(())
    }

    /// Keeps the present fault, and logs each new one once.
    fn tell(&self, fault: Option<String>) {
        let mut known = self.shared.fault.write().unwrap_or_else(PoisonError::into_inner);
        if *known != fault {
            match &fault {
                Some(fault) => tracing::error!("the register is not followed: {fault}"),
                None => tracing::info!("the register is followed again"),
            }
            *known = fault;
        }
    }

    /// A `seen` file that cannot be written weakens the check at the next start; it does not stop this role.
    fn write_seen(&mut self) {
        let now = Seen::of(&self.state);
        self.written_at = Instant::now();
        if now != self.written {
            match now.write(&self.seen_path) {
                Ok(()) => self.written = now,
                Err(fault) => tracing::error!("{fault}"),
            }
        }
    }
}

/// Changes whenever another connection has committed.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn inode(path: &Path) -> Result<(u64, u64), Error> {
    let metadata = std::fs::metadata(path).map_err(Error::file("find", path))?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
