//! Closed accounts led with what the daemon has: roads of the maintenance role, stores, data maps. All of it is read anew
//! each turn, so that a password that was changed or a store that came back is used at once.
//! Not here: what is done with an account (`closing/`). What cannot be read is told as a trouble of whom it concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::World;
use super::closing::{self, Clocks, Recorded, Snapshots, Turned, Upstream};
use crate::clock::Timestamp;
use crate::config::{self, Cluster, Maintenance, Pressing, read_secret_line};
use crate::datamap::{DataMap, MAP_BYTES_MAX};
use crate::ids::CustomerId;
use crate::keeping::{Accounts, Error, Stock};
use crate::net::tls_connect::{Identity, VerifiedTls, client_config};
use crate::purge::{Pace, Road, Scrub};
use crate::retention::clock_guard::{Guard, Reading};
use crate::secret::Secret;

/// A database that is no customer's, from which another is dropped.
const MAINTENANCE_DATABASE: &str = "postgres";

/// One turn over all accounts but the purges, and a note of how they stand. `before`: what a purge beside met that is
/// over by now.
///
/// # Errors
/// If the note cannot be written. What the accounts met is in the answer.
pub(super) async fn lead(
    (world, recorded): (&World, &Arc<Recorded>),
    guard: &Guard,
    (busy, before): (&BTreeSet<CustomerId>, Turned),
    now: Timestamp,
) -> Result<Result<Turned, closing::Error>, Error> {
    let of_closing = closing_world((world, recorded), guard).await;
    let turned = closing::beside(&of_closing, busy, now).await.map(|turned| {
        let mut all = before;
        // of those, how they stand was looked at anew
        all.waits.clear();
        all.add(turned);
        let running = busy.iter().map(|customer| (*customer, "its rows are being purged".to_owned(), None));
        all.waits.extend(running);
        all
    });
    let stands = match &turned {
        Ok(turned) => stands(turned),
        Err(error) => {
            tracing::error!(alarm = "accounts", %error, "closed accounts are not led");
            Accounts { troubles: vec![("all accounts".to_owned(), error.to_string())], waits: Vec::new() }
        }
    };
    world.keeping.stock.notes.keep_accounts(&stands)?;
    Ok(turned)
}

/// Adds to the note what became of the purges of those who were `busy`.
///
/// # Errors
/// If it cannot be written.
pub(super) fn note_purged(world: &World, busy: &BTreeSet<CustomerId>, turned: &Turned) -> Result<(), Error> {
    let notes = &world.keeping.stock.notes;
    let mut accounts = notes.accounts().unwrap_or_default();
    let was_busy = |customer: &str| busy.iter().any(|busy| busy.to_string() == customer);
    accounts.waits.retain(|(customer, ..)| !was_busy(customer));
    let Accounts { troubles, waits } = stands(turned);
    accounts.troubles.extend(troubles);
    accounts.waits.extend(waits);
    notes.keep_accounts(&accounts)
}

fn stands(turned: &Turned) -> Accounts {
    let troubles = turned.troubles.iter().map(|(customer, why)| (customer.to_string(), why.clone()));
    let waits = turned.waits.iter();
    let waits = waits.map(|(customer, why, until)| (customer.to_string(), why.clone(), until.map(|at| at.0)));
    Accounts { troubles: troubles.collect(), waits: waits.collect() }
}

/// What a purge, or several one after the other, needs.
pub(super) async fn closing_world((world, recorded): (&World, &Arc<Recorded>), guard: &Guard) -> closing::World {
    let config = &world.config;
    closing::World {
        acts: world.keeping.acts.clone(),
        recipients: world.recipients.clone(),
        keyring: world.keyring.clone(),
        config: Arc::new(config.clone()),
        configuration: config.digest.clone(),
        signer: Arc::clone(&world.signer),
        maps: config.retention.datamap.iter().map(|(place, path)| (place.clone(), map(path))).collect(),
        upstreams: upstreams(&config.clusters),
        snapshots: stores(&world.keeping.stock).await,
        pace: pace(&config.retention.pressing),
        scrub: match config.retention.pressing.scrub {
            config::Scrub::None => Scrub::None,
            config::Scrub::VacuumFull => Scrub::VacuumFull,
        },
        clocks: clocks(guard),
        recorded: Arc::clone(recorded),
        stop: world.stopped.clone(),
    }
}

fn pace(pressing: &Pressing) -> Pace {
    Pace {
        rows_first: pressing.rows_first.into(),
        rows_max: pressing.rows_max.into(),
        batch: pressing.batch,
        replica_lag_max: pressing.replica_lag_max,
        waiters: pressing.waiters,
        rest_percent: pressing.rest_percent,
        ..Pace::default()
    }
}

fn map(path: &Path) -> Result<DataMap, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    if text.len() > MAP_BYTES_MAX {
        return Err(format!("{name} is larger than {MAP_BYTES_MAX} bytes: that is no data map"));
    }
    DataMap::parse(&name, &text).map_err(|error| error.to_string())
}

/// Clusters that retention has a credential for.
fn upstreams(clusters: &BTreeMap<String, Cluster>) -> BTreeMap<String, Result<Upstream, String>> {
    let with = clusters.iter().filter_map(|(name, cluster)| Some((name, cluster, cluster.maintenance.as_ref()?)));
    with.map(|(name, cluster, maintenance)| (name.clone(), upstream(cluster, maintenance))).collect()
}

fn upstream(cluster: &Cluster, maintenance: &Maintenance) -> Result<Upstream, String> {
    let to = |host: &str, port| road((cluster, maintenance), host, port);
    let replicas = cluster.replicas.iter();
    let replicas = replicas.map(|(name, at)| Ok((name.clone(), to(&at.host, at.port)?)));
    Ok(Upstream {
        road: to(&cluster.host, cluster.port)?,
        maintenance_database: MAINTENANCE_DATABASE.to_owned(),
        replicas: replicas.collect::<Result<_, String>>()?,
    })
}

fn road((cluster, maintenance): (&Cluster, &Maintenance), host: &str, port: u16) -> Result<Road, String> {
    let password = read_secret_line(&maintenance.password_file).map_err(|error| error.to_string())?;
    let identity = maintenance.certificate.as_ref().map(|(chain, key)| Identity { chain, key });
    let config = client_config(&cluster.ca, identity).map_err(|error| error.to_string())?;
    let tls = VerifiedTls::new(config, host).map_err(|error| error.to_string())?;
    let dsn = format!(
        "host={} port={} user={} password={}",
        quoted(host),
        port,
        quoted(&maintenance.role),
        quoted(password.expose())
    );
    Road::new(&Secret::new(dsn), Some(tls)).map_err(|error| error.to_string())
}

/// As libpq's connection strings quote.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Every back-end's store; none if one does not open: then it is not known what it holds.
async fn stores(stock: &Stock) -> Option<Vec<Snapshots>> {
    let shelves = stock.shelves.clone();
    let open = move || {
        let opened = shelves.iter().map(|shelf| {
            let store = shelf.open();
            let store = store.inspect_err(|error| {
                tracing::error!(backend = shelf.name, %error, "it is not known which snapshots are there");
            });
            let (number, name, cluster) = (shelf.number, shelf.name.clone(), shelf.snapshots.cluster.clone());
            Some(Snapshots { number, name, cluster, store: store.ok()? })
        });
        opened.collect()
    };
    tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| {
        tracing::error!(%error, "the task that opens the snapshot stores panicked");
        None
    })
}

/// How many clocks agree and how far they are apart, for certificates.
fn clocks(guard: &Guard) -> Clocks {
    let Reading { wall, since_boot, boot, database } = guard.last;
    let passed = since_boot.checked_sub(guard.anchor.since_boot).filter(|_| boot == guard.anchor.boot);
    let by_boot = passed.map(|passed| guard.anchor.wall.plus(passed));
    let apart = |other: Timestamp| wall.since(other).max(other.since(wall));
    let skew = by_boot.into_iter().chain(database).map(apart).max().unwrap_or_default();
    let agree = match (guard.is_frozen(), guard.without_database, by_boot, database) {
        (true, ..) => 1,
        (false, false, Some(_), Some(_)) => 3,
        (false, ..) => 2,
    };
    Clocks { is_frozen: guard.is_frozen(), agree, skew_ms: u64::try_from(skew.as_millis()).unwrap_or(u64::MAX) }
}

#[cfg(test)]
#[path = "lead_tests.rs"]
mod tests;
