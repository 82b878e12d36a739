//! The login role of a grant in this process, and another for each replica it is used at: made for its first session, dropped
//! after its last; and what is known of all of them meanwhile.
//! Not here: what a role may do (`fence/`), the self-test again (`examining.rs`), and what was left (`sweeping.rs`).

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::entropy::{self, Entropy};
use crate::fence::{self, Fence, Replica, Report};
use crate::grant::{Layout, Scope};
use crate::ids::GrantId;
use crate::proxy::sweeping::{Haunted, Places};
use crate::secret::Secret;
use crate::wire::scram;

/// The secret has 256 random bits: guessing does not get cheaper by hashing it once only.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN;

/// How long backends at a replica have to end before a role's end is left to the sweep.
const ENDED_WITHIN: Duration = Duration::from_secs(2);

/// Why a role cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database, or the provisioner's connection to it.
    #[error("{0}")]
    Fence(#[from] fence::Error),
    /// The self-test found the fence unsound.
    #[error("the fence of database \"{database}\" is not sound: {findings}")]
    Unsound {
        /// The database.
        database: String,
        /// What the self-test found, joined.
        findings: String,
    },
}

impl Error {
    /// What it says against every role of its kind; none: it may pass by itself.
    pub fn condemns(&self) -> Option<String> {
        match self {
            Error::Unsound { findings, .. } => Some(findings.clone()),
            Error::Fence(error) => error.is_astray_for_good().then(|| error.to_string()),
        }
    }
}

/// What a role is made for.
#[derive(Clone, Debug)]
pub struct Need {
    /// The grant.
    pub grant: GrantId,
    /// Its cluster's name in the configuration.
    pub cluster: String,
    /// At which of the cluster's replicas, by its name there; none: at the primary.
    pub replica: Option<String>,
    /// Its database.
    pub database: String,
    /// How the customer's rows lie in it.
    pub layout: Layout,
    /// Whose rows of its shared tables, or in which of its schemas; none: the whole database is the customer's.
    pub tenant: Option<String>,
    /// Its scope.
    pub scope: Scope,
    /// When it ends: the role's `VALID UNTIL`.
    pub until: Timestamp,
}

/// What roles have in common that one self-test speaks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The cluster.
    pub cluster: String,
    /// Which of its servers.
    pub replica: Option<String>,
    /// The database.
    pub database: String,
    /// Whose part of it.
    pub tenant: Option<String>,
    /// The scope.
    pub scope: Scope,
}

/// Whose a role is: the grant's, at the primary or at the replica of that name.
type Key = (GrantId, Option<String>);

impl Need {
    /// What its self-test speaks for.
    pub fn kind(&self) -> Kind {
        Kind {
            cluster: self.cluster.clone(),
            replica: self.replica.clone(),
            database: self.database.clone(),
            tenant: self.tenant.clone(),
            scope: self.scope,
        }
    }

    fn key(&self) -> Key {
        (self.grant, self.replica.clone())
    }

    /// The replica that the role is for; none: the primary.
    ///
    /// # Errors
    /// If the fence knows no such replica.
    pub fn replica<'a>(&self, fence: &'a Fence) -> Result<Option<&'a Replica>, fence::Error> {
        let Some(name) = &self.replica else { return Ok(None) };
        let unknown = || fence::Error::Blocked(format!("cluster \"{}\" has no replica \"{name}\"", self.cluster));
        fence.replica(name).map(Some).ok_or_else(unknown)
    }

    fn place(&self) -> fence::Place<'_> {
        fence::Place { database: &self.database, tenant: self.tenant.as_deref() }
    }
}

/// A role that is open, and what the self-test said of it.
#[derive(Debug)]
pub struct Role {
    /// Its name in the database.
    pub name: String,
    /// Its password, known to this process only.
    pub password: Secret<String>,
    /// How far its end has come. Whoever looks, or tells backends to end, holds it: for all sessions of the role.
    pub ended: AsyncMutex<RoleEnd>,
    /// A reader could still change something: statements are recorded first. Each self-test says so anew.
    strict: AtomicBool,
    /// What a later self-test found. From then on nothing may be done as this role.
    unsound: OnceLock<Arc<str>>,
}

impl Role {
    /// Whether statements are recorded before they are forwarded, whatever the scope.
    pub fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Acquire)
    }

    /// Why nothing may be done as this role any more.
    pub fn unsound(&self) -> Option<&Arc<str>> {
        self.unsound.get()
    }
}

/// The end of a role's backends, told to all at once and looked at together.
#[derive(Debug, Default)]
pub struct RoleEnd {
    /// The transactions of the backends that were told to end, by process id.
    pub told: HashMap<i32, Option<String>>,
    /// The backends that were there when it was last looked.
    pub left: HashSet<i32>,
    /// When it was last looked.
    pub looked: Option<Instant>,
    /// Whether the replicas were told too.
    pub told_replicas: bool,
}

/// The roles of this process.
pub struct Roles {
    family: String,
    start: u32,
    connections: u32,
    entropy: Arc<dyn Entropy>,
    slots: Mutex<HashMap<Key, Arc<AsyncMutex<Slot>>>>,
    book: Mutex<Book>,
    /// Something was left behind.
    pub left: Notify,
    /// A role was found unsound.
    pub condemned: Notify,
    /// Where nobody gets in before what a dead process left is gone.
    pub haunted: Haunted,
}

#[derive(Default)]
struct Slot {
    role: Option<Arc<Role>>,
    sessions: usize,
}

/// What is known of all roles.
#[derive(Default)]
struct Book {
    /// The names of those that are being made, are open or are being dropped. Whatever else has a name of the family was left
    /// behind.
    known: HashSet<String>,
    /// Those that are open.
    open: HashMap<Key, Open>,
    /// Where roles were made, or left, lately.
    places: Places,
}

/// A role that is open, and when a self-test last found it sound.
#[derive(Clone, Debug)]
pub struct Open {
    /// What it was made for.
    pub need: Need,
    /// The role.
    pub role: Arc<Role>,
    /// When it was last found sound itself.
    pub examined: Instant,
}

impl Roles {
    /// No role yet. `connections` is each role's connection limit.
    pub fn new(proxy: &str, connections: u32, entropy: Arc<dyn Entropy>) -> Roles {
        let start = u32::from_be_bytes(entropy::random(&*entropy));
        Roles {
            family: fence::family(proxy),
            start,
            connections,
            entropy,
            slots: Mutex::default(),
            book: Mutex::default(),
            left: Notify::new(),
            condemned: Notify::new(),
            haunted: Haunted::default(),
        }
    }

    /// What all roles of the proxy with this id begin with, this process's and those of dead ones.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// The grant's role, made and tested if this is its first session. Each success is given back with
    /// [`Roles::release`].
    pub async fn acquire(&self, fence: &Fence, need: &Need) -> Result<Arc<Role>, Error> {
        let shared = self.slot(need.key());
        let mut slot = shared.lock().await;
        let (role, is_new) = match &slot.role {
            Some(role) => match role.unsound() {
                None => (Ok(Arc::clone(role)), false),
                Some(findings) => (Err(unsound(need, findings)), false),
            },
            None => (self.open(fence, need).await.map(Arc::new), true),
        };
        let role = match role {
            Ok(role) => {
                slot.role = Some(Arc::clone(&role));
                slot.sessions += 1;
                let open = Open { need: need.clone(), role: Arc::clone(&role), examined: Instant::now() };
                self.book().open.entry(need.key()).or_insert(open);
                role
            }
            Err(error) => {
                self.forget(&need.key(), &shared, &slot);
                return Err(error);
            }
        };
        drop(slot);
        drop(shared);
        // A replica may have fallen behind, or have been promoted, since the role was made.
        if !is_new && let Err(error) = self.caught_up(fence, need, &role.name).await {
            self.release(fence, need).await;
            return Err(self.heard(need, error));
        }
        Ok(role)
    }

    /// One session of the grant is over; after the last the role is dropped.
    pub async fn release(&self, fence: &Fence, need: &Need) {
        let shared = self.slot(need.key());
        let mut slot = shared.lock().await;
        slot.sessions = slot.sessions.saturating_sub(1);
        if slot.sessions == 0
            && let Some(role) = slot.role.take()
        {
            // Whoever comes next makes a new role, even if this one cannot be dropped.
            self.book().open.remove(&need.key());
            self.close(fence, need, &role.name).await;
        }
        self.forget(&need.key(), &shared, &slot);
    }

    /// The roles that are open.
    pub fn open_ones(&self) -> Vec<Open> {
        self.book().open.values().cloned().collect()
    }

    /// What a self-test of that role said, which speaks for all roles of its kind.
    pub fn examined(&self, one: &Open, is_strict: bool) {
        let (mut book, kind) = (self.book(), one.need.kind());
        for open in book.open.values().filter(|open| open.need.kind() == kind) {
            open.role.strict.store(is_strict, Ordering::Release);
        }
        if let Some(open) = book.open.get_mut(&one.need.key()) {
            open.examined = Instant::now();
        }
    }

    /// From now on nothing may be done as any role of that kind.
    pub fn condemn(&self, kind: &Kind, findings: &str) {
        let findings: Arc<str> = findings.into();
        for open in self.book().open.values().filter(|open| open.need.kind() == *kind) {
            open.role.unsound.get_or_init(|| Arc::clone(&findings));
        }
        self.condemned.notify_one();
    }

    /// Whether that role is still open.
    pub fn is_open(&self, one: &Open) -> bool {
        self.book().open.get(&one.need.key()).is_some_and(|open| Arc::ptr_eq(&open.role, &one.role))
    }

    /// Whether a role of that name is being made, is open or is being dropped.
    pub fn is_known(&self, name: &str) -> bool {
        self.book().known.contains(name)
    }

    /// Where roles were made, or left, lately.
    pub fn places(&self) -> Vec<(String, String)> {
        self.book().places.all()
    }

    /// Something may be left behind in that database: it is swept soon.
    pub fn left_at(&self, cluster: &str, database: &str) {
        self.book().places.touch(cluster, database, Instant::now());
        self.left.notify_one();
    }

    /// That database did not answer: it is asked after the others.
    pub fn silent_at(&self, cluster: &str, database: &str) {
        self.book().places.silent(cluster, database, Instant::now());
    }

    /// Nothing is left behind in that database by now.
    pub fn swept(&self, cluster: &str, database: &str) {
        let mut book = self.book();
        let is_there = |open: &Open| open.need.cluster == cluster && open.need.database == database;
        if !book.open.values().any(is_there) {
            book.places.let_go(cluster, database, Instant::now());
        }
    }

    /// A role that somebody else manages, or one of our own for this grant; examined either way.
    async fn open(&self, fence: &Fence, need: &Need) -> Result<Role, Error> {
        if let Some(replica) = need.replica(fence)? {
            let answers = replica.answers(fence, &need.database).await;
            answers.map_err(|error| self.heard(need, error.into()))?;
        }
        let (name, password) = match fence.login(need.place(), need.scope)? {
            Some((role, password)) => (role, Secret::new(password.expose().clone())),
            None => self.make(fence, need).await?,
        };
        let examined = match self.caught_up(fence, need, &name).await {
            Ok(()) => self.test(fence, need, &name).await,
            Err(error) => Err(error),
        };
        let report = match examined {
            Ok(report) => report,
            Err(error) => {
                let error = self.heard(need, error);
                self.take_back(fence, need, &name).await;
                return Err(error);
            }
        };
        let strict = AtomicBool::new(!report.strict.is_empty());
        Ok(Role { name, password, ended: AsyncMutex::default(), strict, unsound: OnceLock::new() })
    }

    /// What is found of a new role is true of those that are open as well.
    fn heard(&self, need: &Need, error: Error) -> Error {
        if let Some(findings) = error.condemns() {
            self.condemn(&need.kind(), &findings);
        }
        error
    }

    async fn make(&self, fence: &Fence, need: &Need) -> Result<(String, Secret<String>), Error> {
        let number = u32::from_be_bytes(entropy::random(&*self.entropy));
        let name = fence::grant_role(&self.family, self.start, need.grant.0, number);
        let password = Secret::new(URL_SAFE_NO_PAD.encode(entropy::random::<32>(&*self.entropy)));
        let salt: [u8; 16] = entropy::random(&*self.entropy);
        let verifier = scram::verifier_from_password(password.expose(), &salt, ITERATIONS).to_stored();
        self.touch(need, |known| known.insert(name.clone()));
        let opened = fence.open_grant(need.place(), &name, need.scope, &verifier, need.until, self.connections).await;
        if let Err(error) = opened {
            self.touch(need, |known| known.remove(&name));
            if error.is_uncertain() {
                tracing::warn!(role = name, %error, "a login role may have been made that nobody knows; it is looked for");
                self.left.notify_one();
            }
            return Err(error.into());
        }
        // One of the primary's is looked for at all of them before it is dropped.
        for replica in fence.replicas() {
            replica.opened(&need.database).await;
        }
        Ok((name, password))
    }

    /// At a replica, waits until what the primary has written is there, the role above all.
    async fn caught_up(&self, fence: &Fence, need: &Need, name: &str) -> Result<(), Error> {
        match need.replica(fence)? {
            Some(replica) => Ok(replica.caught_up(fence, &need.database, name).await?),
            None => Ok(()),
        }
    }

    /// Examines the role of that name, where it is used; a sound one's report.
    pub async fn test(&self, fence: &Fence, need: &Need, name: &str) -> Result<Report, Error> {
        let report = match need.replica(fence)? {
            Some(replica) => {
                replica.still_follows(fence, &need.database, name).await?;
                replica.self_test(need.place(), name, need.scope).await?
            }
            None if fence.is_external() => fence.external_test(need.place(), need.layout, name, need.scope).await?,
            None => fence.self_test(need.place(), name, need.scope).await?,
        };
        if report.is_sound() {
            for remark in &report.remarks {
                tracing::debug!(database = need.database, remark.word, remark.found, "fence self-test");
            }
            return Ok(report);
        }
        let findings = report.refusals.iter().map(|finding| format!("{}: {}", finding.word, finding.found));
        let findings = findings.collect::<Vec<_>>().join("; ");
        Err(unsound(need, &findings))
    }

    /// Drops a role, now or, if it cannot be dropped, by the next sweep.
    async fn close(&self, fence: &Fence, need: &Need, name: &str) {
        if fence.is_external() {
            return;
        }
        let closed = Roles::end_and_close(fence, need, name).await;
        self.closed(fence, need, name, closed).await;
    }

    /// Drops a role whose password nobody was told and as which nobody signed in: no replica is asked who works as it.
    async fn take_back(&self, fence: &Fence, need: &Need, name: &str) {
        if fence.is_external() {
            return;
        }
        let closed = fence.close_grant(&need.database, name).await.map(drop);
        self.closed(fence, need, name, closed).await;
    }

    /// A role is dropped only when nobody works as it at any replica any more: there it could not be found again. One of the
    /// primary's is there as well, and whoever gave it another password may have found a road to it.
    async fn end_and_close(fence: &Fence, need: &Need, name: &str) -> Result<(), fence::Error> {
        if !fence.replicas().is_empty() {
            fence.end_backends(&need.database, name).await?;
            fence.end_at_replicas(&need.database, name, ENDED_WITHIN).await?;
        }
        fence.close_grant(&need.database, name).await.map(drop)
    }

    async fn closed(&self, fence: &Fence, need: &Need, name: &str, closed: Result<(), fence::Error>) {
        self.touch(need, |known| known.remove(name));
        for replica in fence.replicas() {
            replica.closed(&need.database).await;
        }
        if let Err(error) = closed {
            tracing::warn!(role = name, %error, "a login role could not be dropped; it is tried again");
            self.left.notify_one();
        }
    }

    fn touch(&self, need: &Need, change: impl FnOnce(&mut HashSet<String>) -> bool) {
        let mut book = self.book();
        change(&mut book.known);
        book.places.touch(&need.cluster, &need.database, Instant::now());
    }

    fn slot(&self, key: Key) -> Arc<AsyncMutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key).or_default())
    }

    /// A grant without a role, which nobody else is about to ask for, takes no place.
    fn forget(&self, key: &Key, shared: &Arc<AsyncMutex<Slot>>, slot: &Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.role.is_none() && Arc::strong_count(shared) == 2 {
            slots.remove(key);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unsound(need: &Need, findings: &str) -> Error {
    Error::Unsound { database: need.database.clone(), findings: findings.to_owned() }
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
