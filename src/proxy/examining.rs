//! The self-test, repeated while sessions are open: a fence that no longer holds ends those it was to hold.
//! Not here: what is examined (`fence/self_test.rs`), and the test before a role's first session (`proxy/roles.rs`).
//! Design section 9: each minute, for a database and a scope. One role speaks for all of its kind, in turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fence;
use crate::proxy::Gate;
use crate::proxy::live::Order;
use crate::proxy::roles::{Error, Kind, Open};

/// If nobody could tell for so many times the usual, that is taken for unsound.
const MISSED_MAX: u32 = 3;

/// Repeats the self-test for as long as the proxy lives, and tells sessions what it found.
pub async fn keep_examined(gate: Arc<Gate>) {
    let repeat = async {
        let every = gate.settings.examine_every;
        loop {
            sleep(every / 4).await;
            examine(&gate, every).await;
        }
    };
    // Each session looks for itself with each statement; this is for those that ask for nothing.
    let tell = async {
        loop {
            gate.roles.condemned.notified().await;
            gate.live.tell_all(|| Order::Recheck);
        }
    };
    let ((), ()) = tokio::join!(repeat, tell);
}

/// Examines what was not for three quarters of the time, so that nothing is older than the whole. Clusters do not wait for
/// each other.
async fn examine(gate: &Arc<Gate>, every: Duration) {
    let mut kinds: BTreeMap<Kind, Vec<Open>> = BTreeMap::new();
    for open in gate.roles.open_ones() {
        kinds.entry(open.need.kind()).or_default().push(open);
    }
    let mut clusters: BTreeMap<String, Vec<(Kind, Vec<Open>)>> = BTreeMap::new();
    for (kind, all) in kinds {
        clusters.entry(kind.cluster.clone()).or_default().push((kind, all));
    }
    let mut work = JoinSet::new();
    for kinds in clusters.into_values() {
        let gate = Arc::clone(gate);
        work.spawn(async move {
            for (kind, all) in kinds {
                examine_one(&gate, &kind, all, every).await;
            }
        });
    }
    while let Some(done) = work.join_next().await {
        if let Err(error) = done {
            tracing::error!(%error, "a self-test broke off");
        }
    }
}

/// By the role that was not examined itself for the longest.
async fn examine_one(gate: &Gate, kind: &Kind, mut all: Vec<Open>, every: Duration) {
    all.sort_by_key(|open| open.examined);
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return };
    let age = last.examined.elapsed();
    let Some(fence) = gate.fence(&kind.cluster).filter(|_| age >= every / 4 * 3 && first.role.unsound().is_none())
    else {
        return;
    };
    match gate.roles.test(fence, &first.need, &first.role.name).await {
        Ok(report) => gate.roles.examined(first, !report.strict.is_empty()),
        // It is being dropped meanwhile: what is missing then is no finding.
        Err(_) if !gate.roles.is_open(first) => {}
        Err(Error::Unsound { database, findings }) => {
            tracing::error!(database, findings, "the fence is not sound any more; its sessions end");
            gate.roles.condemn(kind, &findings);
        }
        Err(Error::Fence(error)) if error.is_astray_for_good() => {
            tracing::error!(database = kind.database, %error, "the sessions at that replica end");
            gate.roles.condemn(kind, &error.to_string());
        }
        Err(Error::Fence(error @ fence::Error::NotInstalled { .. })) => gate.roles.condemn(kind, &error.to_string()),
        Err(Error::Fence(error)) if age >= every * MISSED_MAX => {
            tracing::error!(database = kind.database, %error, "the fence could not be examined for too long; its sessions end");
            gate.roles.condemn(kind, &format!("not examined for {} s: {error}", age.as_secs()));
        }
        Err(Error::Fence(error)) => tracing::warn!(database = kind.database, %error, "the fence could not be examined"),
    }
}
