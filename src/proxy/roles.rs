//! The login role of a grant in this process: made for its first session, dropped after its last.
//! Not here: what the role may do (`fence/`).

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::entropy::{self, Entropy};
use crate::fence::{self, Fence};
use crate::grant::Scope;
use crate::ids::GrantId;
use crate::secret::Secret;
use crate::wire::scram;

/// The secret has 256 random bits: guessing does not get cheaper by hashing it once only.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN;

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

/// What a role is made for.
#[derive(Clone, Debug)]
pub struct Need {
    /// The grant.
    pub grant: GrantId,
    /// Its database.
    pub database: String,
    /// Whose rows of its shared tables, or in which of its schemas; none: the whole database is the customer's.
    pub tenant: Option<String>,
    /// Its scope.
    pub scope: Scope,
    /// When it ends: the role's `VALID UNTIL`.
    pub until: Timestamp,
}

impl Need {
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
    /// What a reader could still change: while this is not empty, statements are recorded first.
    pub strict: Vec<String>,
    /// How far its end has come. Whoever looks, or tells backends to end, holds it: for all sessions of the role.
    pub ended: AsyncMutex<RoleEnd>,
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
}

/// The roles of this process.
pub struct Roles {
    family: String,
    start: u32,
    connections: u32,
    entropy: Arc<dyn Entropy>,
    slots: Mutex<HashMap<GrantId, Arc<AsyncMutex<Slot>>>>,
}

#[derive(Default)]
struct Slot {
    role: Option<Arc<Role>>,
    sessions: usize,
}

impl Roles {
    /// No role yet. `connections` is each role's connection limit.
    pub fn new(proxy: &str, connections: u32, entropy: Arc<dyn Entropy>) -> Roles {
        let start = u32::from_be_bytes(entropy::random(&*entropy));
        Roles { family: fence::family(proxy), start, connections, entropy, slots: Mutex::default() }
    }

    /// What all roles of the proxy with this id begin with, this process's and those of dead ones.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// The grant's role, made and tested if this is its first session. Each success is given back with
    /// [`Roles::release`].
    pub async fn acquire(&self, fence: &Fence, need: &Need) -> Result<Arc<Role>, Error> {
        let slot = self.slot(need.grant);
        let mut slot = slot.lock().await;
        let role = match &slot.role {
            Some(role) => Arc::clone(role),
            None => Arc::new(self.open(fence, need).await?),
        };
        slot.role = Some(Arc::clone(&role));
        slot.sessions += 1;
        Ok(role)
    }

    /// One session of the grant is over; after the last the role is dropped.
    pub async fn release(&self, fence: &Fence, need: &Need) -> Result<(), fence::Error> {
        let slot = self.slot(need.grant);
        let mut slot = slot.lock().await;
        slot.sessions = slot.sessions.saturating_sub(1);
        if slot.sessions > 0 {
            return Ok(());
        }
        // Whoever comes next makes a new role, even if this one could not be dropped: the next start sweeps it.
        match slot.role.take() {
            Some(role) => fence.close_grant(&need.database, &role.name).await.map(drop),
            None => Ok(()),
        }
    }

    async fn open(&self, fence: &Fence, need: &Need) -> Result<Role, Error> {
        let number = u32::from_be_bytes(entropy::random(&*self.entropy));
        let name = fence::grant_role(&self.family, self.start, need.grant.0, number);
        let password = Secret::new(URL_SAFE_NO_PAD.encode(entropy::random::<32>(&*self.entropy)));
        let salt: [u8; 16] = entropy::random(&*self.entropy);
        let verifier = scram::verifier_from_password(password.expose(), &salt, ITERATIONS).to_stored();
        fence.open_grant(need.place(), &name, need.scope, &verifier, need.until, self.connections).await?;
        match self.test(fence, need, &name).await {
            Ok(strict) => Ok(Role { name, password, strict, ended: AsyncMutex::default() }),
            Err(error) => {
                if let Err(left) = fence.close_grant(&need.database, &name).await {
                    tracing::warn!(role = name, error = %left, "a role could not be dropped; the next start sweeps it");
                }
                Err(error)
            }
        }
    }

    async fn test(&self, fence: &Fence, need: &Need, name: &str) -> Result<Vec<String>, Error> {
        let report = fence.self_test(need.place(), name, need.scope).await?;
        for remark in &report.remarks {
            tracing::warn!(database = need.database, remark.word, remark.found, "fence self-test");
        }
        if report.refusals.is_empty() {
            return Ok(report.strict.into_iter().map(|finding| finding.word).collect());
        }
        let findings: Vec<_> =
            report.refusals.into_iter().map(|finding| format!("{}: {}", finding.word, finding.found)).collect();
        Err(Error::Unsound { database: need.database.clone(), findings: findings.join("; ") })
    }

    fn slot(&self, grant: GrantId) -> Arc<AsyncMutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(grant).or_default())
    }
}
