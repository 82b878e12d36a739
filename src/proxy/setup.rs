//! Putting a proxy together from its configuration, and taking it down in order.
//! Not here: what it does in between (`proxy/mod.rs` and the rest of the folder).

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::Recipients;
use crate::audit::record::{Kind, Record};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::{self, Config};
use crate::disk::RealDisk;
use crate::entropy::{Entropy, OsEntropy};
use crate::fence::{self, Accepted, Fence, Replica};
use crate::grant::{OBSERVING_MAX, Observing, Trust};
use crate::keyring;
use crate::log::{self, Log};
use crate::net::entry::ALPN;
use crate::net::tls::{self, Certificate};
use crate::net::tls_connect::{self, Identity};
use crate::net::upstream::Target;
use crate::proxy::attempts::Attempts;
use crate::proxy::desk::Desk;
use crate::proxy::live::{Live, Order};
use crate::proxy::locks::{self, LockBook};
use crate::proxy::roles::Roles;
use crate::proxy::{Gate, Settings, Upstream, accept, control, examining, sweeping};
use crate::register::{self, Acts, Follower, Noted, Register};

/// How long the upstream has for connecting and signing in.
const UPSTREAM_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may leave what it asked for untaken.
const STUCK_AFTER: Duration = Duration::from_secs(120);
/// How long the sessions have to end when the proxy is told to stop.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// The same when its log failed: nothing can be recorded any more.
const ENDED_WITHIN_WHEN_FAILED: Duration = Duration::from_secs(1);

/// Why the proxy does not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration or a file it names.
    #[error(transparent)]
    Configuration(#[from] config::Error),
    /// The certificate towards clients.
    #[error(transparent)]
    Certificate(#[from] tls::Error),
    /// TLS towards a cluster.
    #[error("cluster \"{cluster}\": {source}")]
    ClusterTls {
        /// Its name.
        cluster: String,
        /// What is wrong.
        source: tls_connect::Error,
    },
    /// A cluster's fence cannot be used as configured.
    #[error("cluster \"{cluster}\": {source}")]
    ClusterFence {
        /// Its name.
        cluster: String,
        /// What is wrong.
        source: fence::Error,
    },
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] keyring::Error),
    /// The audit log.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The register.
    #[error(transparent)]
    Register(#[from] register::Error),
    /// The lock file.
    #[error(transparent)]
    Locks(#[from] locks::Error),
    /// A socket or a folder.
    #[error("{what}: {source}")]
    System {
        /// What was tried, and where.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A roll-out that would not end soon.
    #[error(
        "limits.observe_until: a roll-out that ends at {0} is more than 30 days ahead; it is for a while only: choose an \
         earlier day"
    )]
    ObservingTooLong(Timestamp),
    /// The audit log failed while the proxy ran: it has ended all sessions and stops.
    #[error(
        "the audit log of this proxy could not be written and all sessions were ended; see the message before this one, \
         mend the disk and start again"
    )]
    LogFailed,
}

impl Error {
    /// Whether the configuration, or a file that it names, must be mended first.
    pub fn is_configuration(&self) -> bool {
        match self {
            Error::Configuration(_) | Error::Certificate(_) | Error::ClusterTls { .. } | Error::ObservingTooLong(_) => {
                true
            }
            Error::Keyring(error) => error.is_configuration(),
            Error::ClusterFence { .. }
            | Error::Log(_)
            | Error::Register(_)
            | Error::Locks(_)
            | Error::System { .. }
            | Error::LogFailed => false,
        }
    }

    fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::System { what, source }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Any [`Error`].
pub async fn run(config: Config) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::system("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::system("listen for SIGINT"))?;
    let listen = config.proxy.listen;
    let listener = TcpListener::bind(listen).await.map_err(Error::system(format!("listen on {listen}")))?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run_on(config, listener, stop).await
}

/// Runs on a socket that is bound already, until `stop` is over.
///
/// # Errors
/// Any [`Error`].
pub async fn run_on(config: Config, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let certificate = Certificate::load(&config.proxy.certificate, &config.proxy.key)?;
    let (gate, register) = assemble(&config, &certificate).await?;
    sweeping::at_start(&gate).await;
    gate.desk.resolve_left().await?;
    announce(&gate).await?;
    let socket = control::bind(&config.proxy.socket)
        .map_err(Error::system(format!("control socket {}", config.proxy.socket.display())))?;
    let address = listener.local_addr().map_err(Error::system("the listening socket"))?;
    let mut tasks = tokio::task::JoinSet::new();
    let accepting = tasks.spawn(accept(Arc::clone(&gate), listener));
    tasks.spawn(control::serve(Arc::clone(&gate), socket));
    tasks.spawn(follow(Arc::clone(&gate)));
    tasks.spawn(sweeping::keep_swept(Arc::clone(&gate)));
    tasks.spawn(examining::keep_examined(Arc::clone(&gate)));
    let (follower, changed) = (gate.follower.clone(), gate.follower.changed());
    let all = move || keyring::Wanted { keys: follower.recipients(), forgotten: follower.forgotten() };
    let pace = keyring::Pace::default();
    tasks.spawn(keyring::keep_keys(gate.keyring.clone(), gate.recipients.clone(), all, changed, pace));
    tasks.spawn(reload(certificate));
    tasks.spawn(register::keep_checkpoint(gate.log.clone(), register.clone()));
    tracing::info!(%address, id = config.proxy.id, "the gate is open");
    let failed = {
        let log = gate.log.clone();
        async move { log.failed().await }
    };
    let outcome = tokio::select! {
        () = stop => {
            tracing::info!("told to stop; ending all sessions");
            accepting.abort();
            gate.end_all(|| Order::Stop, ENDED_WITHIN).await;
            Ok(())
        }
        () = failed => {
            tracing::error!("the audit log failed; ending all sessions");
            accepting.abort();
            gate.end_all(|| Order::LogFailed, ENDED_WITHIN_WHEN_FAILED).await;
            Err(Error::LogFailed)
        }
    };
    tasks.shutdown().await;
    outcome?;
    let last = gate.log.checkpoint();
    gate.log.clone().close()?;
    register.note_checkpoint(&last.origin, last.size, last.root)?;
    Ok(())
}

/// Says, loudly and in the log, that a roll-out is under way.
async fn announce(gate: &Gate) -> Result<(), Error> {
    let Some(Observing { until }) = gate.observing else { return Ok(()) };
    let now = gate.clock.now();
    if now >= until {
        tracing::info!(%until, "the roll-out is over and nothing is observed any more; take observe_until out");
        return Ok(());
    }
    if until > now.plus(OBSERVING_MAX) {
        return Err(Error::ObservingTooLong(until));
    }
    tracing::warn!(
        %until,
        "OBSERVING: staff may read the data of customers whose owners have decided nothing yet; each time is recorded"
    );
    let mut record = Record::new(now, Kind::Observed, None);
    record.skeleton.verb = Some("observing".to_owned());
    record.values.message = Some(format!("a roll-out: nothing is refused for lack of a decision until {until}"));
    gate.log.record(record).await?;
    Ok(())
}

/// The name of that proxy's log.
fn writer(id: &str) -> String {
    format!("proxy-{id}")
}

async fn assemble(config: &Config, certificate: &Arc<Certificate>) -> Result<(Arc<Gate>, Register), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let trust = Trust { portal_key: keyring::init::read_public_key(&config.portal.signing_public_key)? };
    let (at, seen) = (&config.register, config.proxy.state.join("register.seen"));
    let register = Register::open_seen(at, trust.clone(), &seen)?;
    let follower = Follower::start_behind(register.state()?, at, trust.clone(), &seen, Arc::clone(&clock))?;
    let recipients = Recipients::new();
    let keyring_key = keyring::init::read_public_key(&config.keyring.public_key)?;
    let keyring = keyring::Client::connect(&config.keyring.socket, keyring_key).await?;
    keyring.ensure(&recipients, &follower.recipients()).await?;
    let log = open_log(config, &recipients, &clock, &entropy, &register)?;
    let acts = Acts {
        register: register.clone(),
        log: log.clone(),
        trust,
        sockets: vec![config.proxy.socket.clone()],
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
    };
    let noted = Noted::open(Arc::new(RealDisk), config.proxy.state.join("intents"))?;
    let gate = Gate {
        desk: Desk::new(acts, noted),
        settings: Settings {
            strict: config.proxy.strict,
            frame_bytes_max: config.proxy.frame_bytes_max,
            idle_after: config.proxy.idle_after,
            stuck_after: STUCK_AFTER,
            sign_in_within: config.limits.sign_in_within,
            sign_in: config.staff.sign_in,
            credential_lives: config.staff.credential_lives,
            connections_per_address: config.limits.connections_per_address as usize,
            examine_every: config.fence.examine_every,
        },
        limits: config.decision(),
        observing: config.limits.observing,
        clusters: clusters(config)?,
        roles: Roles::new(&config.proxy.id, config.limits.connections_per_grant, Arc::clone(&entropy)),
        live: Arc::new(Live::default()),
        locks: LockBook::open(Arc::new(RealDisk), &config.proxy.state)?,
        attempts: Attempts::new(
            config.limits.attempts_per_name,
            config.limits.attempts_per_address,
            config.limits.attempts_within,
        ),
        tls: TlsAcceptor::from(certificate.server_config(ALPN)?),
        connections: Arc::new(Semaphore::new(config.limits.connections as usize)),
        is_stopping: AtomicBool::new(false),
        per_address: std::sync::Mutex::default(),
        clock,
        entropy,
        follower,
        log,
        recipients,
        keyring,
    };
    Ok((Arc::new(gate), register))
}

/// Opens this proxy's log, which must begin with all that the register remembers of it.
fn open_log(
    config: &Config,
    recipients: &Recipients,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    register: &Register,
) -> Result<Log, Error> {
    let writer = writer(&config.proxy.id);
    let seed = keyring::init::read_seed(&config.proxy.log_key)?;
    let (audit, signing) = (&config.audit, SigningKey::from_seed(&seed));
    let writer = keyring::pinned::log_name(&config.keyring.public_key, &writer, &signing.public())?;
    let settings = log::Settings::new(&writer, signing)
        .sized(audit.segment_bytes, audit.reserve_bytes, audit.epoch_after, audit.epoch_bytes)
        .remembering(register.remembered(&writer)?);
    let directory = config.audit.directory.join(&writer);
    let log = Log::open(
        Arc::new(RealDisk),
        &directory,
        settings,
        recipients.clone(),
        Arc::clone(clock),
        Arc::clone(entropy),
    )?;
    Ok(log)
}

fn clusters(config: &Config) -> Result<HashMap<String, Upstream>, Error> {
    let mut clusters = HashMap::new();
    for (name, cluster) in &config.clusters {
        let identity = Identity { chain: &cluster.certificate, key: &cluster.key };
        let tls = tls_connect::client_config(&cluster.ca, Some(identity))
            .map_err(|source| Error::ClusterTls { cluster: name.clone(), source })?;
        let accepted: Vec<Accepted> = config.fence.accept.iter().map(|entry| Accepted::from_entry(entry)).collect();
        let wrong = |source| Error::ClusterFence { cluster: name.clone(), source };
        let (mut replicas, mut roads) = (Vec::new(), BTreeMap::new());
        for (replica, place) in &cluster.replicas {
            let upstream = upstream(cluster, (&place.host, place.port), &tls)?;
            roads.insert(replica.clone(), target(&upstream));
            let replica = Replica::new(replica, upstream, accepted.clone(), place.replay_within);
            replicas.push(replica.map_err(wrong)?);
        }
        let upstream = upstream(cluster, (&cluster.host, cluster.port), &tls)?;
        let target = target(&upstream);
        let fence = match &cluster.external {
            None => Fence::with_replicas(upstream, accepted, replicas),
            Some(external) => Fence::external(upstream, accepted, logins(external)?),
        };
        let fence = fence.map_err(wrong)?;
        clusters.insert(name.clone(), Upstream { target, replicas: roads, fence });
    }
    Ok(clusters)
}

/// The provisioner's road to a server of the cluster.
fn upstream(
    cluster: &config::Cluster,
    (host, port): (&str, u16),
    tls: &Arc<ClientConfig>,
) -> Result<fence::Upstream, config::Error> {
    Ok(fence::Upstream {
        host: host.to_owned(),
        port,
        server_name: host.to_owned(),
        tls: Arc::clone(tls),
        provisioner: cluster.provisioner.clone(),
        password: config::read_secret_line(&cluster.password_file)?,
    })
}

/// The sessions' road to the same server.
fn target(upstream: &fence::Upstream) -> Target {
    let (host, tls) = (upstream.host.clone(), Arc::clone(&upstream.tls));
    Target { host, port: upstream.port, tls, within: UPSTREAM_WITHIN }
}

fn logins(external: &config::External) -> Result<Vec<fence::Login>, config::Error> {
    external
        .logins()
        .map(|(scope, login)| {
            let password = config::read_secret_line(&login.password_file)?;
            Ok(fence::Login { scope, role: login.role.clone(), password })
        })
        .collect()
}

/// Passes every change of the register on to the sessions, and lifts locks it confirms.
async fn follow(gate: Arc<Gate>) {
    let mut changed = gate.follower.changed();
    while changed.changed().await.is_ok() {
        gate.live.tell_all(|| Order::Recheck);
        let state = gate.follower.state();
        match gate.locks.lift_confirmed(&state) {
            Ok(lifted) => lifted.iter().for_each(|lock| tracing::info!(%lock, "confirmed by the register")),
            Err(error) => tracing::error!(%error, "the lock file"),
        }
    }
}

/// Reads the certificate again on SIGHUP; open sessions keep theirs.
async fn reload(certificate: Arc<Certificate>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::error!(%error, "SIGHUP is not heard; a renewed certificate needs a restart"),
    };
    while hangup.recv().await.is_some() {
        match certificate.reload() {
            Ok(()) => tracing::info!("certificate read again"),
            Err(error) => tracing::error!(%error, "the certificate in use stays"),
        }
    }
}
