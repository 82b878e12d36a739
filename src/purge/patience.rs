//! When to wait: outside the window, while replicas lag, while others wait for locks, when a lock is not to be had.
//! Not here: batches themselves (`rows.rs`).

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Connection, Error, Event, Pause};

/// How hard a purge may press.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How many rows the first batch has.
    pub rows_first: u64,
    /// The most rows of a batch.
    pub rows_max: u64,
    /// How long a batch should take.
    pub batch: Duration,
    /// No batch while a replica is further behind.
    pub replica_lag_max: Duration,
    /// How long to hold back for others that wait for locks; then the smallest batch goes.
    pub waiters: Duration,
    /// How long to wait for the window once it is closed; then the purge stops, to go on when it is open again.
    pub window: Duration,
    /// How long to rest after a batch, in hundredths of what it took.
    pub rest_percent: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            rows_first: 1000,
            rows_max: 20_000,
            batch: Duration::from_millis(350),
            replica_lag_max: Duration::from_secs(10),
            waiters: Duration::from_secs(10),
            window: Duration::from_secs(10),
            rest_percent: 10,
        }
    }
}

/// The smallest batch.
pub(super) const ROWS_MIN: u64 = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const TRIES: u32 = 40;

/// Replay lag of the slowest replica in seconds; how many sessions of this database wait for a lock.
const LOAD: &str = "select coalesce((select max(extract(epoch from replay_lag)) from pg_stat_replication), 0)::float8,
    (select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";

/// What a purge is told from outside while it runs.
pub struct Control<'a> {
    /// Whether it may run now: its window.
    pub may_run: &'a (dyn Fn() -> bool + Sync),
    /// Turns true when it shall stop after the batch at hand.
    pub stop: watch::Receiver<bool>,
    /// Is told of everything.
    pub tell: &'a mut (dyn FnMut(&Event) + Send),
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    /// On, with the smallest batch.
    Gently,
    Stop,
}

impl Control<'_> {
    /// Waits until a batch may run. Cancel-safe.
    pub(super) async fn clear(&mut self, connection: &Connection, pace: &Pace) -> Result<Go, Error> {
        let began = Instant::now();
        let mut said = None;
        loop {
            if *self.stop.borrow() {
                return Ok(Go::Stop);
            }
            let why = if (self.may_run)() { pressed(connection, pace).await? } else { Some(Pause::Window) };
            match why {
                None => return Ok(Go::On),
                Some(Pause::Window) if began.elapsed() >= pace.window => return Ok(Go::Stop),
                Some(Pause::LockWaiters) if began.elapsed() >= pace.waiters => return Ok(Go::Gently),
                Some(why) if said != Some(why) => {
                    (self.tell)(&Event::Paused(why));
                    said = Some(why);
                }
                Some(_) => {}
            }
            self.rest(LOOK_AGAIN).await;
        }
    }

    /// Rests, or ends the rest when told to stop.
    pub(super) async fn rest(&mut self, span: Duration) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(span) => {}
            // whoever held the other end is gone: nobody will stop us; sleep on
            is_gone = async { stop.wait_for(|stop| *stop).await.is_err() } => {
                if is_gone {
                    tokio::time::sleep(span).await;
                }
            }
        }
    }
}

async fn pressed(connection: &Connection, pace: &Pace) -> Result<Option<Pause>, Error> {
    let rows = connection.rows(LOAD).await?;
    let failed = |error| connection.failed(error);
    let Some(row) = rows.first() else { return Ok(None) };
    let (lag, waiters): (f64, i64) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    Ok(if lag > pace.replica_lag_max.as_secs_f64() {
        Some(Pause::ReplicaLag)
    } else if waiters > 0 {
        Some(Pause::LockWaiters)
    } else {
        None
    })
}

/// The next batch's size after one of `rows` took `took`.
pub(super) fn adapted(rows: u64, took: Duration, pace: &Pace) -> u64 {
    let ratio = pace.batch.as_secs_f64() / took.as_secs_f64().max(0.001);
    let hundredths = if ratio >= 2.0 {
        200
    } else if ratio >= 1.2 {
        130
    } else if ratio >= 0.7 {
        100
    } else {
        50
    };
    (rows.saturating_mul(hundredths) / 100).clamp(ROWS_MIN.min(pace.rows_max), pace.rows_max)
}

/// Runs what needs a strong lock again and again while the lock is not to be had; a transaction left open is ended.
pub(super) async fn insist(
    connection: &Connection,
    sql: &str,
    tell: &mut (dyn FnMut(&Event) + Send),
) -> Result<(), Error> {
    for _ in 1..TRIES {
        match connection.run(sql).await {
            Err(error) if error.is_passing() => {
                tell(&Event::Paused(Pause::Locked));
                connection.run("rollback").await?;
                // that there was nothing to roll back, above all
                connection.warnings();
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            done => return done,
        }
    }
    connection.run(sql).await
}
