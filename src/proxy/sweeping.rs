//! Login roles that nobody knows: a dead process's at start; later those whose making was never answered, and those that could
//! not be dropped. Each is ended and dropped, and tried again until it is.
//! Not here: roles that are in use (`proxy/roles.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::fence::{self, Fence, LeftBehind, ShutOut};
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
/// Of a cluster this many databases are asked at once in which others roles were left; and once so many in succession do not
/// answer, the server does not: each of thousands would be waited for.
const SILENT: usize = 2;

/// Databases in which roles were made, or left: clusters' names and databases'.
#[derive(Debug, Default)]
pub struct Places(HashMap<(String, String), At>);

/// When something was done at a place, and when it last did not answer.
#[derive(Clone, Copy, Debug)]
struct At {
    touched: Instant,
    silent: Option<Instant>,
}

impl Places {
    /// Something was done there.
    pub fn touch(&mut self, cluster: &str, database: &str, now: Instant) {
        let place = (cluster.to_owned(), database.to_owned());
        self.0.entry(place).or_insert(At { touched: now, silent: None }).touched = now;
    }

    /// It did not answer: the others come first the next time, so that it shields none of them.
    pub fn silent(&mut self, cluster: &str, database: &str, now: Instant) {
        if let Some(at) = self.0.get_mut(&(cluster.to_owned(), database.to_owned())) {
            at.silent = Some(now);
        }
    }

    /// Nothing is left there; it is not looked there any more once nothing can come to light.
    pub fn let_go(&mut self, cluster: &str, database: &str, now: Instant) {
        let place = (cluster.to_owned(), database.to_owned());
        match self.0.get_mut(&place) {
            Some(at) if now.duration_since(at.touched) < LOOKED_AFTER => at.silent = None,
            Some(_) | None => drop(self.0.remove(&place)),
        }
    }

    /// All of them, those last that did not answer lately.
    pub fn all(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, at)| at.silent);
        all.into_iter().map(|(place, _)| place.clone()).collect()
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

/// Answers whether nothing is left. No cluster waits for another.
async fn sweep_unknown(gate: &Arc<Gate>) -> bool {
    let haunted: Vec<String> = gate.roles.haunted.clusters().keys().cloned().collect();
    let mut places: BTreeMap<String, Vec<String>> = haunted.into_iter().map(|cluster| (cluster, Vec::new())).collect();
    for (cluster, database) in gate.roles.places() {
        places.entry(cluster).or_default().push(database);
    }
    let mut sweeping = JoinSet::new();
    for (cluster, databases) in places {
        let gate = Arc::clone(gate);
        sweeping.spawn(async move { sweep_cluster(&gate, &cluster, databases).await });
    }
    sweeping.join_all().await.into_iter().all(|is_swept| is_swept)
}

/// The same of one cluster, as long as its databases answer.
async fn sweep_cluster(gate: &Gate, cluster: &str, databases: Vec<String>) -> bool {
    let Some(fence) = gate.fence(cluster) else { return true };
    let mut all_swept = true;
    if let Err(error) = nobody_left(gate, fence, cluster).await {
        tracing::warn!(cluster, %error, "sessions of a dead process may be left there; it is tried again");
        all_swept = false;
    }
    for database in databases {
        let known = |role: &str| gate.roles.is_known(role);
        match fence.sweep(&database, gate.roles.family(), known, SWEPT_WITHIN).await {
            Ok(swept) => {
                if !swept.is_empty() {
                    tracing::warn!(cluster, database, ?swept, "ended login roles that had been left");
                }
                gate.roles.swept(cluster, &database);
            }
            Err(error) => {
                tracing::warn!(cluster, database, %error, "login roles may be left there; it is tried again");
                if is_silence(&error) {
                    gate.roles.silent_at(cluster, &database);
                    return false;
                }
                all_swept = false;
            }
        }
    }
    all_swept
}

/// Whether nothing was heard of the server.
fn is_silence(error: &fence::Error) -> bool {
    matches!(error, fence::Error::Unreachable { .. } | fence::Error::Slow { .. })
}

/// Ends and drops the roles that dead processes of this proxy left. This process holds the log's lock, so none is
/// alive. All are shut out before any replica is asked; what cannot be dropped soon is left to the sweep. No cluster waits for
/// another, and nobody long for one that does not answer.
pub async fn at_start(gate: &Arc<Gate>) {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for customer in gate.follower.state().customers() {
        places.entry(customer.cluster.clone()).or_default().insert(customer.database.clone());
    }
    let mut ending = JoinSet::new();
    for (cluster, databases) in places {
        let gate = Arc::clone(gate);
        ending.spawn(async move {
            let left = end_at_cluster(&gate, &cluster, databases).await;
            (cluster, left)
        });
    }
    let left = ending.join_all().await;
    let until = Instant::now() + DROPPED_WITHIN;
    for (cluster, left) in left {
        let Some(fence) = gate.fence(&cluster) else { continue };
        for (database, roles) in left {
            match timeout_at(until, fence.drop_left(&database, roles, SWEPT_WITHIN)).await {
                Ok(Ok(swept)) if swept.is_empty() => {}
                Ok(Ok(swept)) => tracing::warn!(database, ?swept, "ended roles of a dead process"),
                Ok(Err(error)) => {
                    tracing::error!(database, %error, "cannot drop roles of dead processes there; it is tried again");
                    gate.roles.left_at(&cluster, &database);
                }
                Err(_elapsed) => {
                    tracing::warn!(
                        database,
                        "roles of dead processes there were not dropped in time; it is tried again"
                    );
                    gate.roles.left_at(&cluster, &database);
                }
            }
            fence.let_go(&database).await;
        }
    }
}

/// Ends what dead processes left at one cluster; which roles of which databases are to be dropped. One database tells in which
/// others they are: of thousands, most have none.
async fn end_at_cluster(gate: &Gate, cluster: &str, databases: BTreeSet<String>) -> Vec<(String, ShutOut)> {
    let Some(fence) = gate.fence(cluster) else {
        tracing::error!(cluster, "no such cluster in the configuration");
        return Vec::new();
    };
    if fence.is_external() {
        gate.roles.haunted.clusters().insert(cluster.to_owned(), Arc::default());
        if let Err(error) = nobody_left(gate, fence, cluster).await {
            tracing::error!(cluster, %error, "cannot end sessions of dead processes there; nobody gets in before");
            gate.roles.left.notify_one();
        }
        return Vec::new();
    }
    match narrowed(fence, &databases, gate.roles.family()).await {
        Ok(databases) => shut_out(gate, (fence, cluster), databases).await,
        Err(error) => {
            tracing::error!(cluster, %error, "cannot end roles of dead processes there; it is tried again");
            databases.iter().for_each(|database| gate.roles.left_at(cluster, database));
            Vec::new()
        }
    }
}

/// Shuts out the roles that were left in these databases. Once the server does not answer, the rest is left to the sweep.
async fn shut_out(
    gate: &Gate,
    (fence, cluster): (&Fence, &str),
    databases: BTreeSet<String>,
) -> Vec<(String, ShutOut)> {
    let (mut left, mut silent) = (Vec::new(), 0);
    for database in databases {
        if silent == SILENT {
            gate.roles.left_at(cluster, &database);
            continue;
        }
        let ended = fence.shut_out_left(&database, gate.roles.family(), |_| false, SWEPT_WITHIN).await;
        // Of thousands of databases each would hold a connection to a server that takes a hundred.
        fence.let_go(&database).await;
        match ended {
            Ok(roles) => {
                silent = 0;
                left.push((database, roles));
            }
            Err(error) => {
                silent = if is_silence(&error) { silent + 1 } else { 0 };
                tracing::error!(database, %error, "cannot end roles of dead processes there; it is tried again");
                gate.roles.left_at(cluster, &database);
            }
        }
    }
    left
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
            Err(error) if is_silence(&error) => return Err(error),
            Err(error) => fault = Some(error),
        }
    }
    fault.map_or(Ok(0), Err)
}

/// The databases that may hold roles of that family, by the word of the first that answers; all, if none knows.
///
/// # Errors
/// If the server does not answer.
async fn narrowed(fence: &Fence, databases: &BTreeSet<String>, family: &str) -> Result<BTreeSet<String>, fence::Error> {
    for some in databases.iter().collect::<Vec<_>>().chunks(SILENT) {
        let mut asking = JoinSet::new();
        for database in some.iter().copied().cloned() {
            let (fence, family) = (fence.clone(), family.to_owned());
            asking.spawn(async move {
                let told = fence.left_behind(&database, &family).await;
                fence.let_go(&database).await;
                (database, told)
            });
        }
        let mut faults = Vec::new();
        for (database, told) in asking.join_all().await {
            match told {
                Ok(LeftBehind::In(found)) => {
                    return Ok(databases.intersection(&found.into_iter().collect()).cloned().collect());
                }
                Ok(LeftBehind::Somewhere) => return Ok(databases.clone()),
                Err(error) => {
                    tracing::debug!(database, %error, "another database is asked");
                    faults.push(error);
                }
            }
        }
        if faults.iter().all(is_silence)
            && let Some(silence) = faults.pop()
        {
            return Err(silence);
        }
    }
    Ok(databases.clone())
}

#[cfg(test)]
#[path = "sweeping_tests.rs"]
mod tests;
