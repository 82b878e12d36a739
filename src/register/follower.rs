//! Follows the register: a thread that sees a change within some milliseconds and publishes the new state.
//! Not here: deciding. When it can no longer read or verify, `last_read` ages and every decision fails closed.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::at::{At, Place};
use super::engine::{self, Engine, Wake};
use super::error::Error;
use super::fold::{fold_new, fold_seen};
use super::seen::{Seen, check_seen};
use crate::clock::{Clock, Timestamp};
use crate::grant::{State, Trust};
use crate::ids::Sequence;

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
    /// Has it looked at once.
    wake: Wake,
    is_stopping: AtomicBool,
}

struct Thread {
    shared: Arc<Shared>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.shared.wake.wake();
        let handle = self.handle.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(_)) = handle.map(JoinHandle::join) {
            tracing::error!("bug: the thread that follows the register panicked");
        }
    }
}

impl Follower {
    /// Reads and checks the whole register (an empty file is made if there is none), compares it with what this role
    /// saw last, and follows it from then on. `seen` is a file of this role's own.
    ///
    /// # Errors
    /// If the register cannot be read, does not verify, or is behind or different from `seen`.
    pub fn start(at: impl Into<At>, trust: Trust, seen: &Path, clock: Arc<dyn Clock>) -> Result<Follower, Error> {
        Follower::start_behind(Arc::default(), at, trust, seen, clock)
    }

    /// The same behind a state of that register that this role has verified already, such as its [`super::Register`]'s:
    /// it is not folded again.
    ///
    /// # Errors
    /// As [`Follower::start`].
    pub fn start_behind(
        mut state: Arc<State>,
        at: impl Into<At>,
        trust: Trust,
        seen: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Follower, Error> {
        let (at, read_at) = (at.into(), clock.now());
        let (mut engine, place) = (engine::open(&at)?, at.place());
        let (wake, woken) = Wake::new();
        // From here on nothing is missed, and what comes before it is read below.
        let every = engine.watch(wake.clone())?;
        let version = engine.version()?;
        let known = Seen::read(seen)?;
        fold_seen(engine.as_mut(), &mut state, &place, &trust, seen)?;
        check_seen(engine.as_mut(), &state, &place, (known, seen))?;
        Seen::of(&state).write(seen)?;
        let shared = Arc::new(Shared {
            changed: watch::Sender::new(state.sequence()),
            state: RwLock::new(Arc::clone(&state)),
            last_read: AtomicI64::new(read_at.0),
            looked: Notify::new(),
            fault: RwLock::new(None),
            wake,
            is_stopping: AtomicBool::new(false),
        });
        let watching = Watching {
            place,
            trust,
            seen_path: seen.to_owned(),
            written: Seen::of(&state),
            written_at: Instant::now(),
            engine,
            every,
            version,
            state,
            clock,
            shared: Arc::clone(&shared),
        };
        let named = std::thread::Builder::new().name("register".to_owned());
        let handle = named.spawn(move || watching.run(&woken)).map_err(Error::thread("follow changes"))?;
        let thread = Thread { shared: Arc::clone(&shared), handle: Mutex::new(Some(handle)) };
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
                self.shared.wake.wake();
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
    place: Place,
    trust: Trust,
    seen_path: PathBuf,
    /// What stands in the `seen` file, and since when.
    written: Seen,
    written_at: Instant,
    engine: Box<dyn Engine>,
    /// How often it is looked at, besides being woken.
    every: Duration,
    version: Option<i64>,
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
}

impl Watching {
    fn run(mut self, woken: &Receiver<()>) {
        loop {
            // Woken or not: it is time to look.
            woken.recv_timeout(self.every).unwrap_or_default();
            if self.shared.is_stopping.load(Ordering::Acquire) {
                break;
            }
            let at = self.clock.now();
            match self.look() {
                Ok(()) => {
                    self.shared.last_read.store(at.0, Ordering::Release);
                    self.shared.looked.notify_waiters();
                    self.tell(None);
                }
                Err(passing) if passing.is_passing() => self.tell(Some(passing.to_string())),
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
        let version = self.engine.version()?;
        if version.is_some() && version == self.version {
            return Ok(());
        }
        let before = self.state.sequence();
        let folded = fold_new(self.engine.as_mut(), &mut self.state, &self.place, &self.trust);
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
