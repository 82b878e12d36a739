//! `portreeve road`: who reaches the customers' databases, by the gate or by another road.
//! Not here: what a connection is taken for (`fence/road.rs`), and shutting another road: that is pg_hba.conf's.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::context::{moment, warn};
use super::{Context, Exit, Failure, Table};
use crate::audit::record::{Kind, Record};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::{self, Cluster};
use crate::fence::{self, Accepted, Connected, Expected, Fence, Login, Road, Traveller};
use crate::grant::{Scope, State};
use crate::net::tls_connect::{self, Identity};
use crate::register;
use crate::secret::Secret;

/// A session that is just being opened is one the gate does not know yet.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Between two looks of a watch.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What can be done about roads.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List who is connected now, and what each is taken for. Exit code 4: somebody nobody can explain.
    List,
    /// Record in the audit log whoever nobody can explain, every ten seconds, until it is stopped.
    Watch {
        /// Look once. Exit code 4: somebody nobody can explain.
        #[arg(long)]
        once: bool,
    },
}

/// Somebody at a server, and what they are taken for.
struct Seen {
    cluster: String,
    connected: Connected,
    road: Road,
}

/// Does what `command` says.
///
/// # Errors
/// If a server or a proxy cannot be asked, or nothing can be recorded. A watch goes on where it can.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    let roads = Roads::of(context)?;
    match command {
        Command::List => {
            let looked = roads.look(context).await?;
            let shown = show(context, &looked.seen)?;
            looked.whole().map(|()| shown)
        }
        Command::Watch { once: true } => {
            let looked = roads.unexplained(context).await?;
            record(context, &looked.seen).await?;
            let shown = show(context, &looked.seen)?;
            looked.whole().map(|()| shown)
        }
        Command::Watch { once: false } => watch(context, &roads).await,
    }
}

/// Whoever cannot be asked is told of once, and looked for again; what others say is recorded all the same.
async fn watch(context: &Context, roads: &Roads) -> Result<Exit, Failure> {
    let mut known = Known::default();
    loop {
        let looked = match roads.unexplained(context).await {
            Ok(looked) => looked,
            Err(failure) => Looked::nobody(failure.message()),
        };
        let (fresh, told) = known.news(looked);
        told.iter().for_each(|text| warn(text));
        record(context, &fresh).await?;
        if !fresh.is_empty() {
            show(context, &fresh)?;
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What one look gave.
#[derive(Default)]
struct Looked {
    seen: Vec<Seen>,
    /// The clusters that could not be asked, and why; the empty name stands for all.
    faults: BTreeMap<String, String>,
}

impl Looked {
    fn nobody(why: &str) -> Looked {
        Looked { seen: Vec::new(), faults: BTreeMap::from([(String::new(), why.to_owned())]) }
    }

    fn whole(&self) -> Result<(), Failure> {
        let faults: Vec<&str> = self.faults.values().map(String::as_str).collect();
        if faults.is_empty() { Ok(()) } else { Err(Failure::failed(faults.join("; "))) }
    }
}

/// What a watch has recorded of those that are there, and told of those that cannot be asked.
#[derive(Default)]
struct Known {
    seen: BTreeSet<(String, i32, Timestamp)>,
    faults: BTreeSet<String>,
}

impl Known {
    /// Whoever was not there at the last look, and what has changed in who can be asked. Whoever has gone is forgotten, where
    /// that could be seen.
    fn news(&mut self, looked: Looked) -> (Vec<Seen>, Vec<String>) {
        let Looked { seen, faults } = looked;
        let key = |seen: &Seen| (seen.cluster.clone(), seen.connected.pid, seen.connected.since);
        let there: BTreeSet<_> = seen.iter().map(key).collect();
        let is_hidden = |cluster: &str| faults.contains_key(cluster) || faults.contains_key("");
        self.seen.retain(|known| there.contains(known) || is_hidden(&known.0));
        let fresh = seen.into_iter().filter(|seen| self.seen.insert(key(seen))).collect();
        let name =
            |cluster: &str| if cluster.is_empty() { "anybody".to_owned() } else { format!("cluster \"{cluster}\"") };
        let began = faults.iter().filter(|(cluster, _)| !self.faults.contains(*cluster));
        let mut told: Vec<String> = began
            .map(|(cluster, why)| format!("{} cannot be asked, and is not watched: {why}", name(cluster)))
            .collect();
        let ended = self.faults.iter().filter(|cluster| !faults.contains_key(*cluster));
        told.extend(ended.map(|cluster| format!("{} can be asked again, and is watched", name(cluster))));
        self.faults = faults.into_keys().collect();
        (fresh, told)
    }
}

/// The servers, replicas too, each with a database whose fence can be asked, and whom one expects there.
struct Roads {
    servers: Vec<(String, Fence, String)>,
    expected: Expected,
    provisioners: Vec<String>,
}

impl Roads {
    fn of(context: &Context) -> Result<Roads, Failure> {
        let (config, state) = (&context.config, context.state()?);
        let travellers = |key: &str, all: &[String]| {
            let read = |text: &String| {
                text.parse::<Traveller>().map_err(|fault| Failure::usage(format!("[road] {key}: {fault}")))
            };
            all.iter().map(read).collect::<Result<Vec<_>, _>>()
        };
        let mut maintenance = travellers("maintenance", &config.road.maintenance)?;
        let snapshots = config.snapshots.values().map(|snapshots| snapshots.role.as_str());
        let purging = config.clusters.values().filter_map(|cluster| cluster.maintenance.as_ref());
        maintenance.extend(snapshots.chain(purging.map(|purging| purging.role.as_str())).map(Traveller::anywhere));
        let application = travellers("application", &config.road.application)?;
        let (mut servers, mut provisioners) = (Vec::new(), Vec::new());
        for (name, cluster) in &config.clusters {
            let Some(database) = database_of(&state, name) else { continue };
            let replicas = cluster.replicas.iter();
            let replicas = replicas.map(|(replica, at)| (format!("{name}@{replica}"), at.host.as_str(), at.port));
            for (name, host, port) in iter::once((name.clone(), cluster.host.as_str(), cluster.port)).chain(replicas) {
                servers.push((name, fence(cluster, (host, port), Vec::new())?, database.clone()));
                provisioners.push(cluster.provisioner.clone());
            }
        }
        let (provisioner, sessions) = (String::new(), BTreeSet::new());
        Ok(Roads { servers, expected: Expected { application, maintenance, provisioner, sessions }, provisioners })
    }

    /// Everybody at every server that can be asked. A proxy that cannot be asked leaves its sessions unexplained, so that is
    /// an error.
    async fn look(&self, context: &Context) -> Result<Looked, Failure> {
        let mut looked = Looked::default();
        for ((cluster, fence, database), provisioner) in self.servers.iter().zip(&self.provisioners) {
            let connected = match fence.connected(database).await {
                Ok(connected) => connected,
                Err(fault) => {
                    looked.faults.insert(cluster.clone(), fault.to_string());
                    continue;
                }
            };
            let sessions = sessions(context).await?;
            let expected = Expected { provisioner: provisioner.clone(), sessions, ..self.expected.clone() };
            looked.seen.extend(connected.into_iter().map(|connected| {
                let road = expected.road(&connected);
                Seen { cluster: cluster.clone(), connected, road }
            }));
        }
        Ok(looked)
    }

    /// Those that nobody could explain, twice.
    async fn unexplained(&self, context: &Context) -> Result<Looked, Failure> {
        let is_odd = |seen: &Seen| seen.road == Road::Unexplained;
        let mut first = self.look(context).await?;
        first.seen.retain(is_odd);
        if first.seen.is_empty() {
            return Ok(first);
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        let second = self.look(context).await?;
        let is_same = |one: &Seen, other: &Seen| {
            one.cluster == other.cluster
                && (one.connected.pid, one.connected.since) == (other.connected.pid, other.connected.since)
        };
        // Whoever has left meanwhile was there all the same; whoever is a session by now was being opened.
        first.seen.retain(|odd| !second.seen.iter().any(|seen| is_same(odd, seen) && !is_odd(seen)));
        first.faults.extend(second.faults);
        Ok(first)
    }
}

/// A database of that cluster with a fence.
fn database_of(state: &State, cluster: &str) -> Option<String> {
    let open = state.customers().filter(|customer| customer.closure.is_none());
    open.filter(|customer| customer.cluster == cluster).map(|customer| customer.database.clone()).next()
}

/// The way to that server of a cluster, the primary or a replica, as the proxy has it. Nobody signs in by it: the provisioner is
/// asked.
pub(super) fn fence(cluster: &Cluster, server: (&str, u16), accepted: Vec<Accepted>) -> Result<Fence, Failure> {
    let upstream = upstream(cluster, server)?;
    let fence = match &cluster.external {
        None => Fence::accepting(upstream, accepted),
        Some(external) => {
            let login = |(scope, login): (Scope, &config::Login)| Login {
                scope,
                role: login.role.clone(),
                password: Secret::new(String::new()),
            };
            Fence::external(upstream, accepted, external.logins().map(login).collect())
        }
    };
    fence.map_err(|fault| Failure::failed(fault.to_string()))
}

/// The provisioner's road to that server.
pub(super) fn upstream(cluster: &Cluster, (host, port): (&str, u16)) -> Result<fence::Upstream, Failure> {
    let identity = Identity { chain: &cluster.certificate, key: &cluster.key };
    let tls = tls_connect::client_config(&cluster.ca, Some(identity));
    Ok(fence::Upstream {
        host: host.to_owned(),
        port,
        server_name: host.to_owned(),
        tls: tls.map_err(|fault| Failure::failed(fault.to_string()))?,
        provisioner: cluster.provisioner.clone(),
        password: config::read_secret_line(&cluster.password_file)?,
    })
}

/// The sessions of all proxies, as the server sees them.
async fn sessions(context: &Context) -> Result<BTreeSet<(i32, String)>, Failure> {
    let (sessions, warnings) = register::sessions(&context.sockets()).await;
    if !warnings.is_empty() {
        return Err(Failure::failed(warnings.join("; ")));
    }
    let read = |session: &Value| {
        let pid = session.get("backend").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
        Some((pid?, session.get("role").and_then(Value::as_str)?.to_owned()))
    };
    Ok(sessions.iter().filter_map(read).collect())
}

/// Writes down each of them, durably, for the vendor.
async fn record(context: &Context, seen: &[Seen]) -> Result<(), Failure> {
    if seen.is_empty() {
        return Ok(());
    }
    let desk = context.desk(context.register()?, &[]).await?;
    for Seen { cluster, connected, road } in seen {
        let mut record = Record::new(SystemClock.now(), Kind::Road, None);
        record.skeleton.verb = Some(road.word().to_owned());
        record.skeleton.uid = Some(rustix::process::getuid().as_raw());
        record.skeleton.role = Some(connected.role.clone());
        record.skeleton.backend = Some(connected.pid);
        let values = &mut record.values;
        values.database = connected.database.clone();
        values.address = connected.address.map(|address| address.to_string());
        values.application = Some(connected.application.clone());
        let (pid, since) = (connected.pid, connected.since);
        values.message =
            Some(format!("{} at cluster \"{cluster}\", process {pid}, connected since {since}", connected.role));
        desk.log().record(record).await?;
    }
    desk.close()
}

fn show(context: &Context, seen: &[Seen]) -> Result<Exit, Failure> {
    let columns = ["road", "cluster", "role", "database", "address", "application", "process", "since"];
    let mut table = Table::new(&columns);
    let mut exit = Exit::Done;
    for Seen { cluster, connected, road } in seen {
        if *road == Road::Unexplained {
            exit = Exit::Findings;
        }
        table.row([
            road.word().into(),
            cluster.as_str().into(),
            connected.role.as_str().into(),
            connected.database.as_deref().into(),
            connected.address.map_or("its own socket".to_owned(), |address| address.to_string()).into(),
            connected.application.as_str().into(),
            connected.pid.into(),
            moment(connected.since),
        ]);
    }
    context.show(&table)?;
    Ok(exit)
}

#[cfg(test)]
#[path = "road_tests.rs"]
mod tests;
