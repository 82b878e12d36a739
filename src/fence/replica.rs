//! A replica of a cluster's server. Roles come from the primary: here it is waited for until they are there, looked whether the
//! replica follows, and backends are told to end.
//! HOLE: nobody can be shut out of a replica. That a role is NOLOGIN arrives with the replay, late where that lags; until then
//! only the gate keeps it out, which alone knows the password and does not use it again, and against whoever gave the role
//! another one the replica's own pg_hba.conf. Backends are ended on each replica itself, however far behind it is.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::Type;

use super::connection::Lane;
use super::end::{POLL_FIRST, POLL_MAX, Started, field, only};
use super::{Accepted, Error, Fence, Finding, Place, Report, Upstream};
use crate::grant::Scope;

/// The role of nobody, where only the server itself is asked about.
const NOBODY: &str = "";

/// A replica that kept us waiting so long for nothing is not asked again, for so long, to end what may be there: hundreds of
/// roles would wait for it one after the other.
const LONG: Duration = Duration::from_secs(2);
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// Why a replica is none to read from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Astray {
    /// It takes changes.
    #[error("it was promoted: it takes changes, and the primary's do not reach it")]
    Promoted,
    /// It is the copy of another server.
    #[error(
        "it is no replica of this cluster's primary: its system identifier is {its}, and the primary's is {primary}"
    )]
    Stranger {
        /// Its system identifier.
        its: u64,
        /// The primary's.
        primary: u64,
    },
    /// One of the two was promoted, and the other did not go along.
    #[error("it follows timeline {its}, and the primary is on timeline {primary}")]
    OtherTimeline {
        /// What it follows.
        its: i64,
        /// Where the primary is.
        primary: i64,
    },
    /// It has not replayed what its primary had written.
    #[error(
        "it is behind: {bytes} bytes of what the primary had written were not replayed within {waited:?}; the last transaction \
         it replayed was committed {} ago", seconds.map_or_else(|| "an unknown time".to_owned(), |seconds| format!("{seconds} s"))
    )]
    Behind {
        /// How far.
        bytes: i64,
        /// How old its data is.
        seconds: Option<i64>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It has no stream from its primary just now.
    #[error("it receives nothing from its primary at the moment, so that nobody can tell which timeline it follows")]
    Unconnected,
    /// Its name leads to several servers.
    #[error(
        "its host leads to several servers, and the session's connection and the proxy's own are not at the same one: what is \
         ended there could not be seen; give each a name of its own"
    )]
    Elsewhere,
}

/// A replica of a fence's server.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its name in the configuration.
    pub name: String,
    /// How long it is waited for until it has replayed something.
    pub within: Duration,
    /// The control connections to it. Nothing is opened or closed by them.
    server: Fence,
    /// When it last kept us waiting for nothing.
    silent: Arc<Mutex<Option<Instant>>>,
    /// What it has to replay.
    awaited: Arc<Mutex<Awaited>>,
}

/// What a primary had written when it was last looked whether its replica replays that, and when that was. It is looked at
/// again only once it has.
#[derive(Debug, Default)]
struct Awaited(Option<(i64, Instant)>);

impl Awaited {
    /// How much is missing, and since when, of what was waited for longer than `within`; none: it goes on.
    fn late(&mut self, primary: i64, its: i64, within: Duration, now: Instant) -> Option<(i64, Duration)> {
        // After a failover the new primary may not have got that far.
        let awaited = self.0.map(|(position, since)| (position.min(primary), now.duration_since(since)));
        match awaited {
            Some((position, waited)) if its < position => {
                (waited >= within).then(|| (position.saturating_sub(its), waited))
            }
            Some(_) | None => {
                self.0 = Some((primary, now));
                None
            }
        }
    }
}

/// Where a server stands, as `portreeve.standing()` tells it.
#[derive(Debug)]
struct Standing {
    system: u64,
    /// Unknown of a replica without a stream.
    timeline: Option<i64>,
    is_replica: bool,
    /// A position in the log.
    reached: i64,
    /// Since what it replayed last was committed.
    seconds: Option<i64>,
    /// Whether the role that was asked for is there.
    knows_role: bool,
}

impl Replica {
    /// The replica at `upstream`, whose self-test puts up with what the operator accepted in writing. Nothing is connected yet.
    ///
    /// # Errors
    /// If the name its certificate must have is none.
    pub fn new(name: &str, upstream: Upstream, accepted: Vec<Accepted>, within: Duration) -> Result<Replica, Error> {
        let server = Fence::accepting(upstream, accepted)?;
        Ok(Replica { name: name.to_owned(), within, server, silent: Arc::default(), awaited: Arc::default() })
    }

    /// Waits until it has replayed what `primary` had written before this was asked, and `role` with it.
    ///
    /// # Errors
    /// [`Error::Astray`] if it does not follow, or not in time; whatever else keeps it from being asked.
    pub async fn caught_up(&self, primary: &Fence, database: &str, role: &str) -> Result<(), Error> {
        let begun = Instant::now();
        let wanted = primary.standing(database, role).await?;
        let mut pause = POLL_FIRST;
        loop {
            let late = match self.server.standing(database, role).await {
                Ok(its) => match self.follows(&wanted, &its) {
                    Ok(()) => {
                        let missing = wanted.reached.saturating_sub(its.reached).max(0);
                        if missing == 0 && its.knows_role {
                            return Ok(());
                        }
                        self.astray(Astray::Behind { bytes: missing, seconds: its.seconds, waited: self.within })
                    }
                    Err(unconnected @ Error::Astray { why: Astray::Unconnected, .. }) => unconnected,
                    Err(error) => return Err(error),
                },
                // The primary has the database and its functions: these come yet.
                Err(error) if is_yet_to_come(&error) => self.at(error),
                Err(error) => return Err(self.at(error)),
            };
            if begun.elapsed() >= self.within {
                return Err(late);
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// Whether it answers and is a replica of `primary`, before anything was made there for its sake.
    ///
    /// # Errors
    /// As [`Replica::caught_up`].
    pub async fn answers(&self, primary: &Fence, database: &str) -> Result<(), Error> {
        let wanted = primary.standing(database, NOBODY).await?;
        match self.server.standing(database, NOBODY).await {
            Ok(its) => match self.follows(&wanted, &its) {
                // It may be connecting, and is waited for.
                Err(Error::Astray { why: Astray::Unconnected, .. }) => Ok(()),
                follows => follows,
            },
            Err(error) if is_yet_to_come(&error) => Ok(()),
            Err(error) => Err(self.at(error)),
        }
    }

    /// Whether it is still a replica of `primary`, and has gone on replaying since it was looked before: what was revoked at
    /// the primary is known there some time.
    ///
    /// # Errors
    /// As [`Replica::caught_up`].
    pub async fn still_follows(&self, primary: &Fence, database: &str, role: &str) -> Result<(), Error> {
        let wanted = primary.standing(database, role).await?;
        let its = self.server.standing(database, role).await.map_err(|error| self.at(error))?;
        self.follows(&wanted, &its)?;
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        match awaited.late(wanted.reached, its.reached, self.within, Instant::now()) {
            Some((bytes, waited)) => Err(self.astray(Astray::Behind { bytes, seconds: its.seconds, waited })),
            None => Ok(()),
        }
    }

    fn follows(&self, primary: &Standing, its: &Standing) -> Result<(), Error> {
        if primary.is_replica {
            return Err(Error::Blocked(
                "the server that the cluster's host leads to is a replica itself: point it at the primary".to_owned(),
            ));
        }
        let astray = if its.system != primary.system {
            Astray::Stranger { its: its.system, primary: primary.system }
        } else if !its.is_replica {
            Astray::Promoted
        } else {
            match (its.timeline, primary.timeline) {
                (Some(its), Some(primary)) if its == primary => return Ok(()),
                (Some(its), Some(primary)) => Astray::OtherTimeline { its, primary },
                (None, _) | (_, None) => Astray::Unconnected,
            }
        };
        Err(self.astray(astray))
    }

    /// Examines there what `role` could do, as [`Fence::self_test`] does.
    ///
    /// # Errors
    /// If that could not be found out, which is a refusal too.
    pub async fn self_test(&self, place: Place<'_>, role: &str, scope: Scope) -> Result<Report, Error> {
        self.server.examined_as_replica(place, role, scope).await.map_err(|error| self.at(error))
    }

    /// Which server that is at which a session as `role` has the backend `pid`.
    ///
    /// # Errors
    /// If that is another than the one that is asked here, or this cannot be asked.
    pub async fn server_of(&self, database: &str, role: &str, pid: i32) -> Result<Started, Error> {
        self.server.server_of(database, role, pid).await.map_err(|error| match error {
            Error::Elsewhere { .. } => self.astray(Astray::Elsewhere),
            other => self.at(other),
        })
    }

    /// Tells the backends of `role` to end, all or one; the process ids of those that were there, and at which server. The
    /// role stays as it is.
    ///
    /// # Errors
    /// If the replica cannot be asked.
    pub async fn terminate(
        &self,
        database: &str,
        role: &str,
        pid: Option<i32>,
    ) -> Result<(Started, HashSet<i32>), Error> {
        const SQL: &str = "select extract(epoch from pg_postmaster_start_time())::text,
            array(select p from portreeve.terminate($1, $2) as p)";
        let asked = self.server.again(Lane::Control, database, SQL, &[(&role, Type::TEXT), (&pid, Type::INT4)]).await;
        let rows = asked.map_err(|error| self.at(error))?;
        let row = only(database, &rows)?;
        let told: Vec<i32> = field(database, row, 1)?;
        Ok((Started(field(database, row, 0)?), told.into_iter().collect()))
    }

    /// Ends all backends of `role`, again and again until none is left.
    ///
    /// # Errors
    /// After `within`, or if the replica cannot be asked: then nothing is known to be gone. At once, for a while, after it
    /// kept us waiting for nothing.
    pub async fn end(&self, database: &str, role: &str, within: Duration) -> Result<(), Error> {
        let slow = || self.at(self.server.slow(database, within));
        let begun = Instant::now();
        if self.silent().is_some_and(|since| begun.duration_since(since) < LEFT_ALONE) {
            return Err(slow());
        }
        let mut heard = None;
        let ending = async {
            let mut pause = POLL_FIRST;
            while !self.terminate(database, role, None).await?.1.is_empty() {
                heard = Some(Instant::now());
                sleep(pause).await;
                pause = (pause * 2).min(POLL_MAX);
            }
            heard = Some(Instant::now());
            Ok(())
        };
        let ended = timeout(within, ending).await.unwrap_or_else(|_| Err(slow()));
        // A backend that does not go is no reason to leave the others there: the replica answers.
        if ended.is_err() && heard.unwrap_or(begun).elapsed() >= LONG {
            *self.silent() = Some(Instant::now());
        } else if heard.is_some() {
            *self.silent() = None;
        }
        ended
    }

    fn silent(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By which lines of its own pg_hba.conf, which no primary passes on, somebody may come past the gate.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn unprotected(&self, database: &str) -> Result<Vec<Finding>, Error> {
        self.server.unprotected(database).await.map_err(|error| self.at(error))
    }

    /// One role more is used at that database there.
    pub async fn opened(&self, database: &str) {
        self.server.0.open.lock().await.opened(database);
    }

    /// One role less; the control connections to what has been idle the longest may be closed.
    pub async fn closed(&self, database: &str) {
        let idle = self.server.0.open.lock().await.closed(database);
        if let Some(idle) = idle {
            self.server.let_go(&idle).await;
        }
    }

    /// By which it is asked.
    pub(super) fn fence(&self) -> &Fence {
        &self.server
    }

    /// The error that says it is not one to read from.
    pub fn astray(&self, why: Astray) -> Error {
        Error::Astray { replica: self.name.clone(), why }
    }

    fn at(&self, source: Error) -> Error {
        Error::AtReplica { replica: self.name.clone(), source: Box::new(source) }
    }
}

/// Whether that may be because what the primary made has not been replayed, or is being replayed (a conflict with recovery).
fn is_yet_to_come(error: &Error) -> bool {
    match error {
        Error::NotInstalled { .. } => true,
        // invalid catalog name, serialization failure
        Error::Refused { sqlstate, .. } => ["3D000", "40001"].contains(&sqlstate.as_str()),
        Error::Unreachable { .. }
        | Error::Slow { .. }
        | Error::Blocked(_)
        | Error::NoLogin { .. }
        | Error::Tls(_)
        | Error::Answer { .. }
        | Error::Astray { .. }
        | Error::Elsewhere { .. }
        | Error::AtReplica { .. } => false,
    }
}

impl Fence {
    /// The same fence, with these replicas of its server.
    ///
    /// # Errors
    /// If the name its certificate must have is none.
    pub fn with_replicas(upstream: Upstream, accepted: Vec<Accepted>, replicas: Vec<Replica>) -> Result<Fence, Error> {
        Fence::of(upstream, accepted, None, replicas)
    }

    /// The replica of that name.
    pub fn replica(&self, name: &str) -> Option<&Replica> {
        self.replicas().iter().find(|replica| replica.name == name)
    }

    /// The replicas of its server.
    pub fn replicas(&self) -> &[Replica] {
        &self.0.replicas
    }

    /// Ends all backends of `role` at all replicas at once. A role of the primary's is one there as well, and which roads lead
    /// there is written in the replica's own pg_hba.conf.
    ///
    /// # Errors
    /// If one of them cannot be asked, or the backends are there after `within`; the others were asked all the same.
    pub async fn end_at_replicas(&self, database: &str, role: &str, within: Duration) -> Result<(), Error> {
        let mut ending = JoinSet::new();
        for replica in self.replicas() {
            let (replica, database, role) = (replica.clone(), database.to_owned(), role.to_owned());
            ending.spawn(async move { replica.end(&database, &role, within).await });
        }
        ending.join_all().await.into_iter().collect()
    }

    async fn standing(&self, database: &str, role: &str) -> Result<Standing, Error> {
        const SQL: &str = "select system, timeline, is_replica, reached, seconds,
            exists (select from pg_roles where rolname = $1) from portreeve.standing()";
        let rows = self.again(Lane::Control, database, SQL, &[(&role, Type::TEXT)]).await?;
        let row = only(database, &rows)?;
        Ok(Standing {
            system: field::<i64>(database, row, 0)?.cast_unsigned(),
            timeline: field(database, row, 1)?,
            is_replica: field(database, row, 2)?,
            reached: field(database, row, 3)?,
            seconds: field(database, row, 4)?,
            knows_role: field(database, row, 5)?,
        })
    }
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
