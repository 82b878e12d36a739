//! Purges beside the turns: a task of its own, so that a snapshot that falls due meanwhile is taken on time. One at a time;
//! within the same process, which leads by the lock on its log, and ended before that lock is given up.
//! Not here: the purge (`closing/`). The task may be dropped anywhere, as a killed process is.

use std::collections::BTreeSet;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::closing::{self, Turned};
use crate::ids::CustomerId;

/// What runs beside, if anything does.
#[derive(Debug, Default)]
pub(super) struct Beside {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    of: BTreeSet<CustomerId>,
    task: JoinHandle<Result<Turned, closing::Error>>,
    /// Dropped, the purge is given up where it is.
    _goes_on: oneshot::Sender<()>,
}

impl Beside {
    /// Whose rows are being purged.
    pub(super) fn busy(&self) -> BTreeSet<CustomerId> {
        self.running.as_ref().map(|running| running.of.clone()).unwrap_or_default()
    }

    /// What it came to, if it is over; waits for nothing.
    pub(super) async fn over(&mut self) -> Option<Turned> {
        let is_over = self.running.as_ref().is_some_and(|running| running.task.is_finished());
        if is_over { self.ended().await } else { None }
    }

    /// Waits for its end. Cancel-safe: what was not waited for still runs.
    pub(super) async fn ended(&mut self) -> Option<Turned> {
        let running = self.running.as_mut()?;
        let done = (&mut running.task).await;
        self.running = None;
        Some(match done {
            Ok(Ok(turned)) => turned,
            Ok(Err(error)) => trouble(&error.to_string()),
            Err(_) => trouble("bug: the task that purges panicked"),
        })
    }

    /// Begins, unless one runs.
    pub(super) fn begin(&mut self, world: closing::World, due: Vec<CustomerId>) {
        if self.running.is_some() || due.is_empty() {
            return;
        }
        let of = due.iter().copied().collect();
        let (goes_on, given_up) = oneshot::channel();
        let runtime = Handle::current();
        // a thread of its own, too: what a purge counts and compares holds no snapshot up
        let purging = move || {
            runtime.block_on(async move {
                tokio::select! {
                    done = closing::purge(&world, &due) => done,
                    _ = given_up => Err(closing::Error::Stopped),
                }
            })
        };
        self.running = Some(Running { of, task: tokio::task::spawn_blocking(purging), _goes_on: goes_on });
    }
}

fn trouble(why: &str) -> Turned {
    tracing::error!(alarm = "accounts", "purges do not go on: {why}");
    Turned { troubles: vec![(CustomerId(0), why.to_owned())], ..Turned::default() }
}
