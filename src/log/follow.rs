//! Follows several logs: what came since it was asked last, nothing twice and nothing left out.
//! Not here: how leaves are chosen and opened (`search.rs`), and when it is asked again (`portreeve audit tail`).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::plan::Plan;
use super::search::{self, Error, Found, Newest, Query, Waiting};
use super::stream::{self, Prepared};
use crate::audit::keys::{Recipients, SealedDataKey};
use crate::secret::{Secret, wipe_stack};

/// So many statements of a log wait for outcomes that decide whether they are shown; the oldest of more are shown without:
/// an outcome may never come.
const WAITING_MAX: usize = 4096;

/// What is looked for, and how far it was.
pub struct Following {
    /// What is looked for. `from` is where reading goes on; `limit` is not heeded.
    pub query: Query,
    waiting: HashMap<String, Waiting>,
}

/// How far it was in all logs.
type Reached = (BTreeMap<String, u64>, HashMap<String, Waiting>);

impl Following {
    /// Follows from where the query says.
    pub fn new(query: Query) -> Following {
        Following { query, waiting: HashMap::new() }
    }

    /// What came since, oldest first. A statement that is shown if its outcome has the SQLSTATE comes when that does.
    ///
    /// # Errors
    /// As for [`search::search`]; then following is over.
    pub async fn next<O, F, E>(
        &mut self,
        dirs: &[PathBuf],
        recipients: &Recipients,
        opener: O,
    ) -> Result<Vec<Found>, Error<E>>
    where
        O: FnMut(Vec<SealedDataKey>) -> F,
        F: Future<Output = Result<Vec<Secret<[u8; 32]>>, E>>,
    {
        // What waits here for its outcome is not left out for having none yet: so it goes by no blocks.
        let prepared = stream::prepare_whole(dirs, &self.query, recipients, &Arc::default(), opener).await?;
        let waiting = std::mem::take(&mut self.waiting);
        let came = tokio::task::spawn_blocking(move || {
            let came = came(&prepared, waiting);
            wipe_stack();
            came
        });
        let (found, (from, waiting)) = came.await.map_err(|_| Error::Stopped)??;
        self.query.from.extend(from);
        self.waiting = waiting;
        Ok(found)
    }
}

fn came(prepared: &Prepared, mut waiting: HashMap<String, Waiting>) -> Result<(Vec<Found>, Reached), super::Error> {
    let (mut all, mut from) = (Vec::new(), BTreeMap::new());
    for log in &prepared.logs {
        let plan: &Plan = &log.0;
        let mut newest = Newest::new(0, waiting.remove(plan.origin()).unwrap_or_default());
        for found in prepared.records(log) {
            newest.take(prepared.query(), found?);
            newest.lets_go(WAITING_MAX);
        }
        from.insert(plan.origin().to_owned(), plan.end);
        waiting.insert(plan.origin().to_owned(), newest.waiting);
        all.extend(newest.kept);
    }
    search::sort(&mut all);
    Ok((all, (from, waiting)))
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
