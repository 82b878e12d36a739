//! The keyring's socket: who asks is told by the kernel (`SO_PEERCRED`), what is asked is recorded, then answered.
//! Not here: the messages' bytes (`protocol.rs`) and the keys (`keys.rs`).
//! Nothing is answered whose record is not durable; a bad message ends its own connection and nothing else.

mod keeping;

use std::collections::HashMap;
use std::future::Future;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::Error;
use super::destroy::{Doom, Doomed};
use super::file::storage;
use super::kept::{Kept, Missing};
use super::keys::{Destroyed, Keyring, Slot};
use super::protocol::{self, After, Answer, DataKey, Erased, ITEMS_MAX, Request, TEXT_BYTES_MAX, Tag, Unread};
use crate::audit::keys::{Recipient, Recipients, SealedDataKey};
use crate::audit::record::{Kind, Record};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::ids::EventId;
use crate::log::Log;
use crate::secret::wipe_stack;

/// A connection that asks nothing for so long is closed; clients connect again by themselves.
const IDLE_AFTER: Duration = Duration::from_secs(300);
/// A message that has begun must have arrived, and an answer must have left, within this.
const MESSAGE_WITHIN: Duration = Duration::from_secs(10);
/// A refused peer waits this long before its next attempt is read, so that refusals cannot flood the log.
const REFUSAL_PAUSE: Duration = Duration::from_millis(250);
/// How often the keys that will be due in 30 days are looked after.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// Who may ask for what, by user id.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// May have public keys and tag keys made: those who write logs.
    pub writers: Vec<u32>,
    /// May have data keys opened: never the proxy's user.
    pub openers: Vec<u32>,
    /// May have keys destroyed: those who carry out what the register decided.
    pub destroyers: Vec<u32>,
}

impl Access {
    /// Whether that user may ask that; else the setting that lists who may.
    fn check(&self, uid: u32, request: &Request) -> Result<(), Error> {
        let users = match request {
            Request::Create(_) | Request::Tags(_) => &self.writers,
            Request::Known(_)
            | Request::Open { .. }
            | Request::Destroyed(_)
            | Request::Held(_)
            | Request::Backup
            | Request::Rotate => &self.openers,
            Request::Destroy { .. } => &self.destroyers,
        };
        if users.contains(&uid) {
            return Ok(());
        }
        Err(Error::refused(uid, request.verb()))
    }
}

/// How the socket is served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the socket is made, mode 0660.
    pub socket: PathBuf,
    /// Who may ask for what.
    pub access: Access,
    /// Connections at a time; more wait.
    pub connections_max: usize,
    /// Connections of one user at a time; more are closed at once.
    pub connections_per_user_max: usize,
}

impl Settings {
    /// The usual limits.
    pub fn new(socket: PathBuf, access: Access) -> Self {
        Settings { socket, access, connections_max: 128, connections_per_user_max: 32 }
    }
}

/// The keyring behind its socket.
pub struct Server {
    listener: UnixListener,
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    kept: tokio::sync::Mutex<Kept>,
    /// The vendor's keys, to which `log` seals.
    own: Recipients,
    log: Log,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Connections per user.
    present: Mutex<HashMap<u32, usize>>,
}

impl Server {
    /// Makes the socket. `own` are the recipients that `log` seals to, from [`Kept::own_recipients`].
    ///
    /// # Errors
    /// [`Error::Busy`] if another keyring answers there, [`Error::Storage`] if the socket cannot be made.
    pub async fn bind(
        settings: Settings,
        kept: Kept,
        own: Recipients,
        log: Log,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Server, Error> {
        let path = &settings.socket;
        clear(path).await?;
        let listener = UnixListener::bind(path).map_err(|source| storage("listen on", path, source))?;
        // Until here the umask decided; peers are checked by user in any case.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
            .map_err(|source| storage("set the mode of", path, source))?;
        let (kept, present) = (tokio::sync::Mutex::new(kept), Mutex::default());
        let shared = Arc::new(Shared { settings, kept, own, log, clock, entropy, present });
        Ok(Server { listener, shared })
    }

    /// Answers until `shutdown` resolves or the log fails.
    ///
    /// # Errors
    /// [`Error::Unrecorded`] when the keyring's own log can no longer be written; [`Error::Storage`] if the vendor's
    /// next keys cannot be kept.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Server { listener, shared } = self;
        let seats = Arc::new(tokio::sync::Semaphore::new(shared.settings.connections_max));
        let mut connections = tokio::task::JoinSet::new();
        let mut renewal = tokio::time::interval(RENEW_EVERY);
        let accept = async || {
            let seat = Arc::clone(&seats).acquire_owned().await;
            (listener.accept().await, seat)
        };
        tokio::pin!(shutdown);
        let ended = loop {
            tokio::select! {
                () = &mut shutdown => break Ok(()),
                () = shared.log.failed() => {
                    break Err(crate::log::Error::Failed("a write failed".to_owned()).into());
                }
                _ = renewal.tick() => if let Err(error) = shared.renew().await { break Err(error) },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                (accepted, seat) = accept() => match accepted {
                    Ok((stream, _)) => {
                        let shared = Arc::clone(&shared);
                        connections.spawn(async move {
                            serve(&shared, stream).await;
                            drop(seat);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the keyring could not accept a connection");
                        sleep(REFUSAL_PAUSE).await;
                    }
                },
            }
        };
        connections.shutdown().await;
        if let Err(error) = std::fs::remove_file(&shared.settings.socket) {
            tracing::warn!(%error, "the keyring's socket could not be removed");
        }
        ended
    }
}

/// Removes a socket that nobody listens on.
async fn clear(path: &Path) -> Result<(), Error> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(storage("look at", path, source)),
        Ok(about) if !about.file_type().is_socket() => return Err(Error::Exists { path: path.to_owned() }),
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(Error::Busy { path: path.to_owned() }),
        Err(_) => std::fs::remove_file(path).map_err(|source| storage("remove", path, source)),
    }
}

/// A user's place among the connections; given back when dropped.
struct Place<'a> {
    shared: &'a Shared,
    uid: u32,
}

impl<'a> Place<'a> {
    fn take(shared: &'a Shared, uid: u32) -> Option<Place<'a>> {
        let mut present = shared.present.lock().unwrap_or_else(PoisonError::into_inner);
        let count = present.entry(uid).or_default();
        if *count >= shared.settings.connections_per_user_max {
            return None;
        }
        *count += 1;
        Some(Place { shared, uid })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut present = self.shared.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = present.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                present.remove(&self.uid);
            }
        }
    }
}

/// One connection, until its peer is silent, gone or not understood.
async fn serve(shared: &Shared, mut stream: UnixStream) {
    let uid = match stream.peer_cred() {
        Ok(peer) => peer.uid(),
        Err(error) => return tracing::warn!(%error, "a keyring peer without credentials was closed"),
    };
    let Some(_place) = Place::take(shared, uid) else {
        return tracing::warn!(uid, "a keyring peer with too many connections was closed");
    };
    while let Ok(Ok(())) = timeout(IDLE_AFTER, stream.readable()).await {
        let Ok(read) = timeout(MESSAGE_WITHIN, protocol::read::<Request>(&mut stream)).await else { return };
        let (answer, last) = match read {
            Ok(request) => (shared.answer(uid, request).await, false),
            Err(Unread::Message(error)) => (Answer::Failed(error.to_string()), true),
            Err(Unread::Closed | Unread::Io(_)) => return,
        };
        let refused = matches!(answer, Answer::Refused { .. });
        let message = protocol::encode(&answer).or_else(|error| protocol::encode(&Answer::Failed(error.to_string())));
        let Ok(message) = message else { return };
        match timeout(MESSAGE_WITHIN, protocol::write(&mut stream, &message)).await {
            Ok(Ok(())) if !last => {}
            _ => return,
        }
        if refused {
            sleep(REFUSAL_PAUSE).await;
        }
    }
}

impl Shared {
    async fn answer(&self, uid: u32, request: Request) -> Answer {
        match self.answered(uid, request).await {
            Ok(answer) => answer,
            Err(Error::Refused { uid, verb, .. }) => Answer::Refused { uid, verb },
            Err(Error::Destroyed { recipient }) => Answer::Gone(recipient),
            Err(Error::NotOpened { origin, position, reason }) => Answer::NotOpened { origin, position, reason },
            Err(error) => {
                tracing::error!(%error, uid, "the keyring could not answer");
                Answer::Failed(error.to_string())
            }
        }
    }

    async fn answered(&self, uid: u32, request: Request) -> Result<Answer, Error> {
        if let Err(refused) = self.settings.access.check(uid, &request) {
            let mut record = self.record(uid, &request, "refused");
            record.values.message = Some(refused.to_string());
            self.log.record(record).await?;
            return Err(refused);
        }
        if request.items() > ITEMS_MAX {
            return Err(Error::Message(format!("{} items, at most {ITEMS_MAX} are taken", request.items())));
        }
        match &request {
            Request::Create(recipients) => self.create(uid, &request, recipients).await,
            Request::Tags(recipients) => self.tags(uid, &request, recipients).await,
            Request::Known(after) => self.known(uid, &request, after.map(|After(last)| last)).await,
            Request::Open { keys, who, why } => self.open(uid, &request, keys, who, why).await,
            Request::Destroyed(from) => Ok(self.destroyed(*from).await),
            Request::Held(after) => Ok(self.held(*after).await),
            Request::Backup | Request::Rotate => self.rewrite(uid, &request).await,
            Request::Destroy { event, recipient, parts, periods } => {
                let (event, parts, periods) = (EventId(*event), parts.clone(), periods.clone());
                self.destroy(uid, &request, Doom { event, recipient: *recipient, parts, periods }).await
            }
        }
    }

    async fn create(&self, uid: u32, request: &Request, recipients: &[Recipient]) -> Result<Answer, Error> {
        let due = Keyring::due(recipients, self.clock.now());
        let mut kept = self.kept.lock().await;
        let missing = kept.missing(&due, &[]);
        self.make(uid, request, &mut kept, &missing, recipients).await?;
        let keys: Result<Vec<_>, _> = due.iter().filter_map(|slot| kept.keyring().public(slot).transpose()).collect();
        Ok(Answer::Keys(keys?))
    }

    async fn tags(&self, uid: u32, request: &Request, recipients: &[Recipient]) -> Result<Answer, Error> {
        let mut kept = self.kept.lock().await;
        let missing = kept.missing(&[], recipients);
        self.make(uid, request, &mut kept, &missing, recipients).await?;
        Ok(Answer::Tags(tags(kept.keyring(), recipients.iter().copied())))
    }

    /// Records who had how many keys made for whom, then makes them.
    async fn make(
        &self,
        uid: u32,
        request: &Request,
        kept: &mut Kept,
        missing: &Missing,
        recipients: &[Recipient],
    ) -> Result<(), Error> {
        if let Some(gone) = recipients.iter().find(|recipient| kept.keyring().is_gone(**recipient)) {
            let mut record = self.record(uid, request, "refused");
            record.values.customer = Some(gone.to_string());
            self.log.record(record).await?;
            return Err(Error::Destroyed { recipient: gone.to_string() });
        }
        let mut record = self.record(uid, request, "allowed");
        record.skeleton.count = Some(saturated(missing.count()));
        record.values.customer = Some(names(recipients.iter().copied()));
        self.log.record(record).await?;
        let made = kept.make(missing, &*self.entropy);
        if let Err(error) = &made {
            let mut record = self.record(uid, request, "error");
            record.values.message = Some(error.to_string());
            self.log.record(record).await?;
        }
        made
    }

    async fn known(&self, uid: u32, request: &Request, after: Option<Recipient>) -> Result<Answer, Error> {
        let found = {
            let kept = self.kept.lock().await;
            tags(kept.keyring(), kept.keyring().known(after).take(ITEMS_MAX))
        };
        let mut record = self.record(uid, request, "allowed");
        record.skeleton.count = Some(saturated(found.len()));
        self.log.record(record).await?;
        Ok(Answer::Tags(found))
    }

    /// Opens all in memory, records it, and only then discloses.
    async fn open(
        &self,
        uid: u32,
        request: &Request,
        keys: &[SealedDataKey],
        who: &str,
        why: &str,
    ) -> Result<Answer, Error> {
        if who.trim().is_empty() || why.trim().is_empty() || who.len() > TEXT_BYTES_MAX || why.len() > TEXT_BYTES_MAX {
            return Err(Error::Message(format!("open takes who and why, 1 to {TEXT_BYTES_MAX} bytes each")));
        }
        let opened = {
            let kept = self.kept.lock().await;
            keys.iter().map(|key| kept.keyring().open(key)).collect::<Result<Vec<_>, _>>()
        };
        wipe_stack();
        let mut record = self.record(uid, request, if opened.is_ok() { "allowed" } else { "error" });
        record.skeleton.count = Some(saturated(keys.len()));
        record.values.from = Some(who.to_owned());
        record.values.customer = Some(names(keys.iter().map(|key| key.recipient)));
        record.values.message = Some(match &opened {
            Ok(_) => why.to_owned(),
            Err(error) => format!("{why}: {error}"),
        });
        self.log.record(record).await?;
        Ok(Answer::Opened(opened?.iter().map(|key| DataKey(*key.expose())).collect()))
    }

    /// What was destroyed. No key is disclosed and none is used, so there is nothing to record.
    async fn destroyed(&self, from: u64) -> Answer {
        let kept = self.kept.lock().await;
        let behind = kept.keyring().destroyed().iter().skip(usize::try_from(from).unwrap_or(usize::MAX));
        let erased = |gone: &Destroyed| Erased { recipient: gone.recipient, part: gone.part, period: gone.period };
        Answer::Destroyed(behind.take(ITEMS_MAX).map(erased).collect())
    }

    /// Records what is about to be destroyed and for which event, destroys it, and records what became of it.
    async fn destroy(&self, uid: u32, request: &Request, doom: Doom) -> Result<Answer, Error> {
        let at = self.clock.now();
        let record = |result: &str| {
            let mut record = self.record(uid, request, result);
            record.skeleton.event = Some(doom.event.to_string());
            record.values.customer = Some(doom.recipient.to_string());
            record
        };
        if let Err(error) = doom.check(at) {
            let mut record = record("refused");
            record.values.message = Some(error.to_string());
            self.log.record(record).await?;
            return Err(error);
        }
        self.log.record(record("allowed")).await?;
        let done = self.kept.lock().await.destroy(&doom, at, &*self.entropy);
        let mut became = record(match &done {
            Ok(done) if done.pending.is_empty() => "destroyed",
            Ok(_) => "pending",
            Err(_) => "error",
        });
        match &done {
            Ok(done) => {
                became.skeleton.count = Some(done.keys);
                became.values.message = (!done.pending.is_empty()).then(|| done.pending.join(", "));
            }
            Err(error) => became.values.message = Some(error.to_string()),
        }
        self.log.record(became).await?;
        let Doomed { keys, pending } = done?;
        Ok(Answer::Doomed { keys, pending })
    }

    fn record(&self, uid: u32, request: &Request, result: &str) -> Record {
        let kind = match request {
            Request::Create(_) | Request::Tags(_) | Request::Backup | Request::Rotate => Kind::KeysMade,
            Request::Known(_) | Request::Open { .. } | Request::Destroyed(_) | Request::Held(_) => Kind::KeysOpened,
            Request::Destroy { .. } => Kind::KeysDestroyed,
        };
        let mut record = Record::new(self.clock.now(), kind, None);
        record.skeleton.uid = Some(uid);
        record.skeleton.verb = Some(request.verb().to_owned());
        record.skeleton.result = Some(result.to_owned());
        record
    }

    /// Makes the keys that everybody will need in 30 days, so that no writer ever waits for them.
    async fn renew(&self) -> Result<(), Error> {
        let mut kept = self.kept.lock().await;
        let mut recipients = kept.keyring().recipients();
        recipients.retain(|recipient| !kept.keyring().is_gone(*recipient));
        let due = Keyring::due(&recipients, self.clock.now());
        let missing = kept.missing(&due, &[]);
        if missing.count() > 0 {
            let mut record = Record::new(self.clock.now(), Kind::KeysMade, None);
            record.skeleton.verb = Some("renew".to_owned());
            record.skeleton.result = Some("allowed".to_owned());
            record.skeleton.count = Some(saturated(missing.count()));
            self.log.record(record).await?;
            kept.make(&missing, &*self.entropy)?;
        }
        let own: Vec<Slot> = due.into_iter().filter(|slot| slot.recipient == Recipient::Vendor).collect();
        kept.publish(&own, &self.own)
    }
}

fn tags(keyring: &Keyring, recipients: impl Iterator<Item = Recipient>) -> Vec<Tag> {
    let tag = |recipient| keyring.tag(recipient).map(|tag| Tag { recipient, key: *tag.0.expose() });
    recipients.filter_map(tag).collect()
}

/// `c7, c9, vendor`, each once; the first hundred by name.
fn names(recipients: impl Iterator<Item = Recipient>) -> String {
    let mut recipients: Vec<Recipient> = recipients.collect();
    recipients.sort_unstable();
    recipients.dedup();
    let mut names: Vec<String> = recipients.iter().take(100).map(Recipient::to_string).collect();
    if recipients.len() > names.len() {
        names.push(format!("and {} more", recipients.len() - names.len()));
    }
    names.join(", ")
}

fn saturated(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
