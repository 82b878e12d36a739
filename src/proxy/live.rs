//! The sessions open in this proxy: who they are, how to reach them, which cancel secret is whose.
//! Not here: what they do (`proxy/relay.rs`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock::Timestamp;
use crate::grant::Scope;
use crate::ids::{CustomerId, GrantId, OwnerId, SessionId, StaffId};

/// What a session is told from outside.
#[derive(Debug)]
pub enum Order {
    /// The register, a lock or its freshness changed: decide again.
    Recheck,
    /// Somebody with the session's secret wants its statement cancelled, and waits until that is dealt with.
    Cancel(Asker),
    /// An owner ends this session.
    EndByOwner(OwnerId),
    /// The proxy stops.
    Stop,
    /// The audit log failed.
    LogFailed,
}

/// Who asked for a cancel: told when no later statement can be hit by it. A session that ends drops it, which says so too.
pub type Asker = oneshot::Sender<()>;

/// One open session, as others may see it.
#[derive(Debug)]
pub struct Entry {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub staff: StaffId,
    /// Whose data it reaches.
    pub customer: CustomerId,
    /// The grant it runs under.
    pub grant: GrantId,
    /// How far it reaches.
    pub scope: Scope,
    /// When it began.
    pub since: Timestamp,
    /// Where the client is.
    pub address: SocketAddr,
    /// What the client calls itself.
    pub application: String,
    /// Frames recorded so far.
    pub statements: AtomicU64,
    /// The login role in the database.
    pub role: String,
    /// The server's process id and the secret the client was given for cancelling.
    pub cancel: (i32, Vec<u8>),
    orders: mpsc::UnboundedSender<Order>,
}

impl Entry {
    /// Counts so many more recorded frames.
    pub fn count(&self, frames: u64) {
        self.statements.fetch_add(frames, Ordering::Relaxed);
    }

    fn tell(&self, order: Order) {
        // A session whose receiver is gone is ending already: there is nobody left to tell.
        if self.orders.send(order).is_err() {
            tracing::trace!(session = %self.session, "the session has ended already");
        }
    }
}

/// What describes a session that is about to be opened.
#[derive(Debug)]
pub struct Opening {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub staff: StaffId,
    /// Whose data it reaches.
    pub customer: CustomerId,
    /// The grant it runs under.
    pub grant: GrantId,
    /// How far it reaches.
    pub scope: Scope,
    /// When it began.
    pub since: Timestamp,
    /// Where the client is.
    pub address: SocketAddr,
    /// What the client calls itself.
    pub application: String,
    /// The login role in the database.
    pub role: String,
    /// The server's process id and our own cancel secret.
    pub cancel: (i32, Vec<u8>),
}

/// All open sessions of this process.
#[derive(Debug, Default)]
pub struct Live {
    sessions: Mutex<HashMap<SessionId, Arc<Entry>>>,
    /// Sessions at the desk, which reach no customer's data: how to reach them.
    desks: Mutex<HashMap<SessionId, mpsc::UnboundedSender<Order>>>,
    emptied: Notify,
}

/// The place of a session at the desk; gives it up when dropped.
#[derive(Debug)]
pub struct DeskPlace {
    live: Arc<Live>,
    session: SessionId,
    /// What the session is told.
    pub orders: mpsc::UnboundedReceiver<Order>,
}

impl Drop for DeskPlace {
    fn drop(&mut self) {
        self.live.desks().remove(&self.session);
        self.live.tell_if_empty();
    }
}

/// A session's place among the open ones; gives it up when dropped.
#[derive(Debug)]
pub struct Place {
    live: Arc<Live>,
    /// What others see of the session.
    pub entry: Arc<Entry>,
    /// What the session is told.
    pub orders: mpsc::UnboundedReceiver<Order>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.live.lock().remove(&self.entry.session);
        self.live.tell_if_empty();
    }
}

impl Live {
    /// Enters a session.
    pub fn enter(self: &Arc<Self>, opening: Opening) -> Place {
        let (sender, orders) = mpsc::unbounded_channel();
        let Opening { session, staff, customer, grant, scope, since, address, application, role, cancel } = opening;
        let statements = AtomicU64::new(0);
        let entry = Arc::new(Entry {
            session,
            staff,
            customer,
            grant,
            scope,
            since,
            address,
            application,
            statements,
            role,
            cancel,
            orders: sender,
        });
        self.lock().insert(session, Arc::clone(&entry));
        Place { live: Arc::clone(self), entry, orders }
    }

    /// Enters a session at the desk.
    pub fn enter_desk(self: &Arc<Self>, session: SessionId) -> DeskPlace {
        let (sender, orders) = mpsc::unbounded_channel();
        self.desks().insert(session, sender);
        DeskPlace { live: Arc::clone(self), session, orders }
    }

    /// How many sessions that staff member has open on that customer, one of them left out.
    pub fn connections(&self, staff: StaffId, customer: CustomerId, but: SessionId) -> usize {
        let of = |entry: &&Arc<Entry>| entry.staff == staff && entry.customer == customer && entry.session != but;
        self.lock().values().filter(of).count()
    }

    /// The open sessions, oldest first.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by_key(|entry| (entry.since, entry.session));
        all
    }

    /// Tells every session.
    pub fn tell_all(&self, order: fn() -> Order) {
        for entry in self.lock().values() {
            entry.tell(order());
        }
        for (session, desk) in self.desks().iter() {
            if desk.send(order()).is_err() {
                tracing::trace!(%session, "the session has ended already");
            }
        }
    }

    /// Tells one session; answers whether it is open.
    pub fn tell(&self, session: SessionId, order: Order) -> bool {
        let entry = self.lock().get(&session).cloned();
        entry.inspect(|entry| entry.tell(order)).is_some()
    }

    /// The session that was given this process id and secret. Takes the same time for every wrong secret of a length.
    pub fn holder_of(&self, backend: i32, secret: &[u8]) -> Option<Arc<Entry>> {
        let held =
            |entry: &&Arc<Entry>| entry.cancel.0 == backend && verify_slices_are_equal(&entry.cancel.1, secret).is_ok();
        self.lock().values().find(held).cloned()
    }

    /// Waits until no session is open.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty() && self.desks().is_empty()
    }

    fn tell_if_empty(&self) {
        if self.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn desks(&self) -> MutexGuard<'_, HashMap<SessionId, mpsc::UnboundedSender<Order>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Entry>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
