//! The gate itself: accepts clients, lets them in or turns them away, relays what is allowed and recorded.
//! Not here: what is allowed (`grant/`), what is recorded (`audit/`, `log/`), what the database enforces (`fence/`).
//! The one rule is in `release.rs`; everything else in this folder only calls it.

mod attempts;
mod cancel;
mod control;
mod desk;
mod ending;
mod examining;
mod live;
mod locks;
mod notifications;
mod proving;
mod reason;
mod refused;
mod relay;
pub mod release;
mod roles;
mod server;
mod setup;
mod sign_in;
mod sweeping;
mod who;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::audit::keys::{Recipient, Recipients};
use crate::audit::record::{Kind, Record};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::fence::Fence;
use crate::grant::{Ask, Decision, Limits, Locks, Observing, SignIn, State, decide_observing};
use crate::ids::CustomerId;
use crate::keyring;
use crate::log::Log;
use crate::net::entry::{self, Entry};
use crate::net::upstream::Target;
use crate::proxy::attempts::Attempts;
use crate::proxy::desk::Desk;
use crate::proxy::live::{Live, Order};
use crate::proxy::locks::LockBook;
use crate::proxy::refused::Refused;
use crate::proxy::roles::{Need, Roles};
use crate::proxy::who::Who;
use crate::register::Follower;
use crate::wire::response::error_response;
use crate::wire::startup::Startup;

pub use setup::{Error, run, run_on};

/// How much of what was shown may wait in the kernel for a client to take it.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Quantities of one proxy.
#[derive(Clone, Debug)]
struct Settings {
    strict: bool,
    frame_bytes_max: usize,
    idle_after: Duration,
    stuck_after: Duration,
    sign_in_within: Duration,
    sign_in: SignIn,
    credential_lives: Duration,
    connections_per_address: usize,
    examine_every: Duration,
}

/// What all sessions of one proxy share.
struct Gate {
    settings: Settings,
    limits: Limits,
    /// A roll-out under way.
    observing: Option<Observing>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    follower: Follower,
    log: Log,
    recipients: Recipients,
    keyring: keyring::Client,
    clusters: HashMap<String, Upstream>,
    roles: Roles,
    live: Arc<Live>,
    locks: LockBook,
    attempts: Attempts,
    desk: Desk,
    tls: TlsAcceptor,
    /// No session begins any more. Set before the open ones are told, and looked at after a session has entered.
    is_stopping: AtomicBool,
    /// Connections that are open, signed in or not.
    connections: Arc<Semaphore>,
    per_address: Mutex<HashMap<std::net::IpAddr, usize>>,
}

/// One cluster: the sessions' roads to it, and the provisioner's.
struct Upstream {
    target: Target,
    /// To its replicas, by name.
    replicas: BTreeMap<String, Target>,
    fence: Fence,
}

impl Gate {
    fn fence(&self, cluster: &str) -> Option<&Fence> {
        self.clusters.get(cluster).map(|upstream| &upstream.fence)
    }

    /// The server where that is needed: the cluster's primary, or one of its replicas.
    fn target(&self, need: &Need) -> Option<&Target> {
        let upstream = self.clusters.get(&need.cluster)?;
        match &need.replica {
            Some(replica) => upstream.replicas.get(replica),
            None => Some(&upstream.target),
        }
    }

    /// The names of the replicas of that cluster.
    fn replicas(&self, cluster: &str) -> Vec<&str> {
        let upstream = self.clusters.get(cluster);
        upstream.into_iter().flat_map(|upstream| upstream.replicas.keys()).map(String::as_str).collect()
    }

    /// Asks the decision about a session that is open, for this moment and this state.
    fn decide(&self, state: &State, who: &Who, locks: &Locks) -> Decision {
        let ask = Ask {
            staff: who.staff,
            customer: who.customer,
            address: who.address.ip(),
            grant: Some(who.grant),
            // The session is among those counted when it was opened; it is not counted against itself again.
            connections: 0,
            register_read: self.follower.last_read(),
            credential: who.credential,
            locks,
        };
        decide_observing(state, &ask, &self.limits, self.observing, self.clock.now()).0
    }

    fn has_room(&self) -> Result<(), Refused> {
        if self.log.has_room() { Ok(()) } else { Err(Refused::NoRoom) }
    }

    fn has_keys(&self, customer: CustomerId) -> bool {
        let recipient = Recipient::Customer(customer);
        self.recipients.seal_to(recipient, recipient.period(self.clock.now())).is_some()
    }

    /// A customer without keys to seal its records to is not served; they are asked for once more.
    async fn ensure_keys(&self, customer: CustomerId) -> Result<(), Refused> {
        if self.has_keys(customer) {
            return Ok(());
        }
        let asked = self.keyring.ensure(&self.recipients, &[Recipient::Customer(customer)]).await;
        asked.map_err(|error| Refused::NoKeys(error.to_string()))
    }

    /// One connection from its first byte to its end.
    async fn connection(self: Arc<Self>, tcp: TcpStream, address: SocketAddr) {
        let until = Instant::now() + self.settings.sign_in_within;
        let entering = Box::pin(entry::enter(tcp, &self.tls));
        let entered = tokio::time::timeout_at(until, entering).await;
        match entered {
            Ok(Ok(Entry::Session(stream, startup))) => {
                Box::pin(sign_in::serve(self, stream, startup, address, until)).await;
            }
            Ok(Ok(Entry::Cancel(asking, key))) => self.cancel(asking, &key, address, until).await,
            Ok(Ok(Entry::Plaintext(tcp, startup))) => self.plaintext(tcp, &startup, address).await,
            Ok(Ok(Entry::Unspoken(stream, fault))) => self.unspoken(stream, Refused::Protocol(fault), address).await,
            Ok(Err(error)) => self.never_entered(&error.to_string(), address).await,
            Err(_) => self.never_entered("no sign-in in time", address).await,
        }
    }

    async fn plaintext(&self, tcp: TcpStream, startup: &Startup, address: SocketAddr) {
        let parameter = |name: &[u8]| {
            let found = startup.parameters.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let mut record = self.refusal(address, &Refused::Plaintext);
        record.values.staff = parameter(b"user");
        record.values.customer = parameter(b"database");
        self.turn_away(tcp, record, Refused::Plaintext, address).await;
    }

    async fn unspoken(&self, stream: Box<TlsStream<TcpStream>>, refused: Refused, address: SocketAddr) {
        let record = self.refusal(address, &refused);
        self.turn_away(stream, record, refused, address).await;
    }

    /// Records the refusal, then tells a client that never got to signing in.
    async fn turn_away(
        &self,
        mut stream: impl AsyncWrite + Unpin,
        record: Record,
        refused: Refused,
        address: SocketAddr,
    ) {
        let refused = match self.log.record(record).await {
            Ok(_) => refused,
            Err(error) => Refused::Log(error),
        };
        let Some(report) = refused.report() else { return };
        let told = async {
            stream.write_all(&error_response(&report)).await?;
            stream.shutdown().await
        };
        if tokio::time::timeout(self.settings.sign_in_within, told).await.is_err() {
            tracing::debug!(%address, "a client that was turned away did not take its message");
        }
    }

    async fn never_entered(&self, why: &str, address: SocketAddr) {
        tracing::info!(%address, why, "turned away before sign-in");
        let mut record = self.refusal(address, &Refused::Broken(std::io::ErrorKind::InvalidData.into()));
        record.skeleton.verb = Some("not-a-client".to_owned());
        record.values.message = Some(why.to_owned());
        if let Err(error) = self.log.record(record).await {
            tracing::error!(%error, "a refusal could not be recorded");
        }
    }

    fn refusal(&self, address: SocketAddr, refused: &Refused) -> Record {
        let mut record = Record::new(self.clock.now(), Kind::Refused, None);
        record.skeleton.verb = Some(refused.code());
        record.skeleton.sqlstate = refused.report().map(|report| report.sqlstate.to_owned());
        record.skeleton.result = Some("refused".to_owned());
        record.values.address = Some(address.to_string());
        record.values.message = Some(refused.for_the_record());
        record
    }

    /// Counts a connection from that address; none if it has too many.
    fn enter_address(self: &Arc<Self>, address: std::net::IpAddr) -> Option<AtAddress> {
        let mut counts = self.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.settings.connections_per_address {
            return None;
        }
        *count += 1;
        Some(AtAddress { gate: Arc::clone(self), address })
    }

    /// Ends every session, and waits until they are gone or the time is over.
    async fn end_all(&self, order: fn() -> Order, within: Duration) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.live.tell_all(order);
        if tokio::time::timeout(within, self.live.empty()).await.is_err() {
            tracing::error!("some sessions were not confirmed ended; the next start sweeps their roles");
        }
    }
}

/// One connection's count at its address, given up when dropped.
struct AtAddress {
    gate: Arc<Gate>,
    address: std::net::IpAddr,
}

impl Drop for AtAddress {
    fn drop(&mut self) {
        let mut counts = self.gate.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Small messages go at once, and what a client has not taken yet stays little: it could not be called back.
fn prepare(tcp: &TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    // The kernel doubles it, and fills the packet that goes over it, of up to 64 KiB, to its end.
    Ok(rustix::net::sockopt::set_socket_send_buffer_size(tcp, (SEND_BUFFER_BYTES - 64 * 1024) / 2)?)
}

/// Accepts clients until dropped.
async fn accept(gate: Arc<Gate>, listener: TcpListener) {
    loop {
        let Ok(permit) = Arc::clone(&gate.connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, address)) => {
                let Some(at_address) = gate.enter_address(address.ip()) else {
                    tracing::warn!(%address, "too many connections from this address; one more is closed");
                    continue;
                };
                if let Err(error) = prepare(&tcp) {
                    tracing::debug!(%address, %error, "a client left before it was served");
                    continue;
                }
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    gate.connection(tcp, address).await;
                    drop((permit, at_address));
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
