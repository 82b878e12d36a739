//! Login roles that nobody knows: a dead process's at start; later those whose making was never answered, and those that could
//! not be dropped. Each is ended and dropped, and tried again until it is.
//! Not here: roles that are in use (`proxy/roles.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::fence::{self, Fence, LeftBehind};
use crate::proxy::Gate;

/// How long a role's backends have to end.
const SWEPT_WITHIN: Duration = Duration::from_secs(5);
/// How long dropping roles may hold up the start, once all of them are shut out and ended at their primaries.
const DROPPED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked for what nobody missed, and how long it is waited at most before something is tried again.
const EVERY: Duration = Duration::from_secs(60);
/// How soon something is tried again for the first time.
const AGAIN_FIRST: Duration = Duration::from_millis(500);
/// A statement whose answer was lost may yet take effect: a commit waits for a standby, for instance. So long it is looked.
const LOOKED_AFTER: Duration = Duration::from_secs(600);

/// Databases in which roles were made, or left, and when that was: clusters' names and databases'.
#[derive(Debug, Default)]
pub struct Places(HashMap<(String, String), Instant>);

impl Places {
    /// Something was done there.
    pub fn touch(&mut self, cluster: &str, database: &str, now: Instant) {
        self.0.insert((cluster.to_owned(), database.to_owned()), now);
    }

    /// Nothing is left there; it is not looked there any more once nothing can come to light.
    pub fn let_go(&mut self, cluster: &str, database: &str, now: Instant) {
        let place = (cluster.to_owned(), database.to_owned());
        if self.0.get(&place).is_some_and(|last| now.duration_since(*last) >= LOOKED_AFTER) {
            self.0.remove(&place);
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<(String, String)> {
        self.0.keys().cloned().collect()
    }
}

/// The clusters with roles that somebody else manages, at which a dead process may have left sessions: nobody gets in there
/// before these are gone. Whoever sees to that takes turns with others who would.
#[derive(Debug, Default)]
pub struct Haunted(Mutex<BTreeMap<String, Arc<AsyncMutex<()>>>>);

impl Haunted {
    fn clusters(&self) -> MutexGuard<'_, BTreeMap<String, Arc<AsyncMutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, cluster: &str) -> Option<Arc<AsyncMutex<()>>> {
        self.clusters().get(cluster).cloned()
    }
}

/// Ends and drops the roles that nobody knows, each minute and soon after something was left, for as long as the proxy lives.
pub async fn keep_swept(gate: Arc<Gate>) {
    let mut pause = EVERY;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = gate.roles.left.notified(), if pause == EVERY => sleep(AGAIN_FIRST).await,
        }
        pause = match (sweep_unknown(&gate).await, pause) {
            (true, _) => EVERY,
            (false, EVERY) => AGAIN_FIRST,
            (false, waited) => (waited * 2).min(EVERY / 2),
        };
    }
}

/// Answers whether nothing is left.
async fn sweep_unknown(gate: &Gate) -> bool {
    let mut all_swept = true;
    let haunted: Vec<String> = gate.roles.haunted.clusters().keys().cloned().collect();
    for cluster in haunted {
        let Some(fence) = gate.fence(&cluster) else { continue };
        if let Err(error) = nobody_left(gate, fence, &cluster).await {
            tracing::warn!(cluster, %error, "sessions of a dead process may be left there; it is tried again");
            all_swept = false;
        }
    }
    for (cluster, database) in gate.roles.places() {
        let Some(fence) = gate.fence(&cluster) else { continue };
        let known = |role: &str| gate.roles.is_known(role);
        match fence.sweep(&database, gate.roles.family(), known, SWEPT_WITHIN).await {
            Ok(swept) => {
                if !swept.is_empty() {
                    tracing::warn!(cluster, database, ?swept, "ended login roles that had been left");
                }
                gate.roles.swept(&cluster, &database);
            }
            Err(error) => {
                tracing::warn!(cluster, database, %error, "login roles may be left there; it is tried again");
                all_swept = false;
            }
        }
    }
    all_swept
}

/// Ends and drops the roles that dead processes of this proxy left. This process holds the log's lock, so none is
/// alive. One database of a cluster tells in which others they are: of thousands, most have none. All are shut out before
/// any replica is asked; what cannot be dropped soon is left to the sweep.
pub async fn at_start(gate: &Gate) {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for customer in gate.follower.state().customers() {
        places.entry(customer.cluster.clone()).or_default().insert(customer.database.clone());
    }
    let mut left = Vec::new();
    for (cluster, databases) in places {
        let Some(fence) = gate.fence(&cluster) else {
            tracing::error!(cluster, "no such cluster in the configuration");
            continue;
        };
        if fence.is_external() {
            gate.roles.haunted.clusters().insert(cluster.clone(), Arc::default());
            if let Err(error) = nobody_left(gate, fence, &cluster).await {
                tracing::error!(cluster, %error, "cannot end sessions of dead processes there; nobody gets in before");
                gate.roles.left.notify_one();
            }
            continue;
        }
        for database in narrowed(fence, databases, gate.roles.family()).await {
            match fence.shut_out_left(&database, gate.roles.family(), |_| false, SWEPT_WITHIN).await {
                Ok(roles) => left.push((fence, cluster.clone(), database, roles)),
                Err(error) => {
                    tracing::error!(database, %error, "cannot end roles of dead processes there; it is tried again");
                    gate.roles.left_at(&cluster, &database);
                    fence.let_go(&database).await;
                }
            }
        }
    }
    let until = Instant::now() + DROPPED_WITHIN;
    for (fence, cluster, database, roles) in left {
        match timeout_at(until, fence.drop_left(&database, roles, SWEPT_WITHIN)).await {
            Ok(Ok(swept)) if swept.is_empty() => {}
            Ok(Ok(swept)) => tracing::warn!(database, ?swept, "ended roles of a dead process"),
            Ok(Err(error)) => {
                tracing::error!(database, %error, "cannot drop roles of dead processes there; it is tried again");
                gate.roles.left_at(&cluster, &database);
            }
            Err(_elapsed) => {
                tracing::warn!(database, "roles of dead processes there were not dropped in time; it is tried again");
                gate.roles.left_at(&cluster, &database);
            }
        }
        fence.let_go(&database).await;
    }
}

/// Sees to it that no session of a dead process is left at a cluster whose roles somebody else manages: those are this proxy's
/// alone, so whoever is there before anybody got in was left. Once that is known it is not asked again.
///
/// # Errors
/// If there may be some: then nobody gets in.
pub async fn nobody_left(gate: &Gate, fence: &Fence, cluster: &str) -> Result<(), fence::Error> {
    let haunted = &gate.roles.haunted;
    let Some(turn) = haunted.turn(cluster) else { return Ok(()) };
    let _mine = turn.lock().await;
    if haunted.turn(cluster).is_none() {
        return Ok(());
    }
    let ended = end_left(gate, fence, cluster).await?;
    if ended > 0 {
        tracing::warn!(cluster, ended, "ended sessions of a dead process");
    }
    haunted.clusters().remove(cluster);
    Ok(())
}

/// Any database of the server will do, unless it is gone; how many sessions there were.
async fn end_left(gate: &Gate, fence: &Fence, cluster: &str) -> Result<usize, fence::Error> {
    let state = gate.follower.state();
    let here = || state.customers().filter(|customer| customer.cluster == cluster);
    let tenants = here().map(|customer| customer.tenant.clone()).collect();
    let databases: BTreeSet<&str> = here().map(|customer| customer.database.as_str()).collect();
    let mut fault = None;
    for database in databases {
        match fence.end_left(database, &tenants, SWEPT_WITHIN).await {
            Ok(ended) => return Ok(ended),
            Err(error @ (fence::Error::Unreachable { .. } | fence::Error::Slow { .. })) => return Err(error),
            Err(error) => fault = Some(error),
        }
    }
    fault.map_or(Ok(0), Err)
}

/// The databases that may hold roles of that family, by the word of the first that answers; all, if none does.
async fn narrowed(fence: &Fence, databases: BTreeSet<String>, family: &str) -> BTreeSet<String> {
    for database in &databases {
        match fence.left_behind(database, family).await {
            Ok(LeftBehind::In(found)) => return databases.into_iter().filter(|one| found.contains(one)).collect(),
            Ok(LeftBehind::Somewhere) => return databases,
            Err(fence::Error::Unreachable { .. } | fence::Error::Slow { .. }) => break,
            Err(error) => tracing::debug!(database, %error, "another database is asked"),
        }
    }
    databases
}
