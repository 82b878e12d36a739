//! Putting the portal together from its configuration, and taking it down in order.
//! Not here: what it does in between (`portal/mod.rs` and the rest of the folder).

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::attempts::Bounds;
use super::book::{self, Records};
use super::door::Door;
use super::reminders;
use super::staff::{CALLBACK, Handing, Provider};
use super::{Settings, serve};
use crate::audit::checkpoint::{Checkpoint, SigningKey};
use crate::audit::keys::{Recipient, Recipients};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::disk::RealDisk;
use crate::entropy::{Entropy, OsEntropy};
use crate::grant::{Given, Grant, OBSERVING_MAX, Observing, SignIn, Trust};
use crate::ids::Sequence;
use crate::log::{self, Log};
use crate::net::https::ALPN;
use crate::net::tls::{self, Certificate};
use crate::register::{self, Acts, Follower, OwnerActs, Register};
use crate::witnesses::{self, Logs, keep_witnessed};
use crate::{config, keyring};

/// The name of the portal's log.
const WRITER: &str = "portal";

/// Why the portal does not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Configuration: not an HTTPS origin.
    #[error(
        "the portal's public_url \"{0}\" is not the address of a site: expected https://, a host and perhaps a port, \
         such as https://access.example.com:8443"
    )]
    PublicUrl(String),
    /// Configuration: the two halves are not of one key.
    #[error(
        "the portal's signing_public_key {public} is not the public half of its signing_key: no owner could switch \
         anything on; bring back the pair"
    )]
    SigningKey {
        /// The file of the public half.
        public: String,
    },
    /// Configuration: a roll-out that lasts too long.
    #[error(
        "limits.observe_until: a roll-out that ends at {0} is more than 30 days ahead; it is for a while only: choose an \
         earlier day"
    )]
    ObservingTooLong(Timestamp),
    /// The configuration or a file it names.
    #[error(transparent)]
    Configuration(#[from] config::Error),
    /// The certificate towards browsers.
    #[error(transparent)]
    Certificate(#[from] tls::Error),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] keyring::Error),
    /// The audit log.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The register.
    #[error(transparent)]
    Register(#[from] register::Error),
    /// Configuration: the identity provider of staff.
    #[error("section [staff.oidc]: {0}")]
    Provider(String),
    /// A witness of the configuration.
    #[error(transparent)]
    Witness(#[from] witnesses::Unusable),
    /// A socket or a signal.
    #[error("{what}: {source}")]
    System {
        /// What was tried, and where.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The audit log failed while the portal ran.
    #[error("the audit log of the portal could not be written; mend the disk and start again")]
    LogFailed,
    /// Our own mistake.
    #[error("bug: {0}")]
    Bug(String),
}

impl StartError {
    /// Whether the configuration, or a file that it names, must be mended first.
    pub fn is_configuration(&self) -> bool {
        match self {
            StartError::PublicUrl(_)
            | StartError::SigningKey { .. }
            | StartError::ObservingTooLong(_)
            | StartError::Configuration(_)
            | StartError::Certificate(_)
            | StartError::Provider(_)
            | StartError::Witness(_) => true,
            StartError::Keyring(error) => error.is_configuration(),
            StartError::Log(_)
            | StartError::Register(_)
            | StartError::System { .. }
            | StartError::LogFailed
            | StartError::Bug(_) => false,
        }
    }

    fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StartError {
        let what = what.into();
        move |source| StartError::System { what, source }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Any [`StartError`].
pub async fn run(config: Config) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::system("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::system("listen for SIGINT"))?;
    let listen = config.portal.listen;
    let listener = TcpListener::bind(listen).await.map_err(StartError::system(format!("listen on {listen}")))?;
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
/// Any [`StartError`].
pub async fn run_on(
    config: Config,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    if let Some(Observing { until }) =
        config.limits.observing.filter(|observing| observing.until > SystemClock.now().plus(OBSERVING_MAX))
    {
        return Err(StartError::ObservingTooLong(until));
    }
    let certificate = Certificate::load(&config.portal.certificate, &config.portal.key)?;
    let address = listener.local_addr().map_err(StartError::system("the portal's socket"))?;
    let settings = Settings {
        socket: listener,
        tls: certificate.server_config(ALPN)?,
        public_url: config.portal.public_url.clone(),
        attempts: Bounds {
            window: config.limits.attempts_within,
            per_name: config.limits.attempts_per_name,
            per_address: config.limits.attempts_per_address,
        },
        per_address: config.limits.connections_per_address as usize,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
        archives: config.portal.archives.clone(),
        standing: config.standing,
        door: Door { token: config.portal.vendor_token, limits: config.decision() },
        observing: config.limits.observing,
        staff: handing(&config)?,
    };
    let witnesses = witnesses::witnesses(&config)?;
    if witnesses.is_empty() {
        tracing::warn!(
            "no witness is configured: that logs were cut or rolled back would not be found; see [witnesses.NAME]"
        );
    }
    let parts = Assembled::from(&config).await?;
    let acts = Arc::new(OwnerActs::new(parts.acts.clone(), parts.follower.clone(), parts.key));
    let logs = book::Logs {
        directory: config.audit.directory.clone(),
        recipients: parts.recipients.clone(),
        keyring: parts.keyring.clone(),
        keyring_public: config.keyring.public_key.clone(),
    };
    let book = Records { logs, acts: Arc::clone(&acts) };
    let (log, register) = (parts.acts.log.clone(), parts.acts.register.clone());
    let mut tasks = JoinSet::new();
    let (follower, changed) = (parts.follower.clone(), parts.follower.changed());
    let all = move || keyring::Wanted { keys: follower.recipients(), forgotten: follower.forgotten() };
    tasks.spawn(keyring::keep_keys(parts.keyring, parts.recipients, all, changed, keyring::Pace::default()));
    tasks.spawn(alarm(parts.follower.clone()));
    tasks.spawn(register::keep_checkpoint(log.clone(), register.clone()));
    tasks.spawn(keep_witnessed(witnesses, Logs::of(&config), log.clone(), Arc::new(SystemClock)));
    tasks.spawn(reminders::remind(parts.follower.clone(), Arc::new(SystemClock)));
    tasks.spawn(reload(certificate));
    let tidying = Arc::clone(&acts);
    tasks.spawn(async move { tidying.keep_tidy().await });
    tracing::info!(%address, url = config.portal.public_url, "the portal is open");
    let outcome = tokio::select! {
        served = serve(settings, parts.follower, acts, Arc::new(book), stop) => served,
        () = log.failed() => Err(StartError::LogFailed),
    };
    tasks.shutdown().await;
    outcome?;
    log.clone().close()?;
    let Checkpoint { origin, size, root } = log.checkpoint();
    Ok(register.note_checkpoint(&origin, size, root)?)
}

/// How staff get short-lived passwords, if the gate asks for them.
fn handing(config: &Config) -> Result<Option<Handing>, StartError> {
    match config.staff.sign_in {
        SignIn::Password => return Ok(None),
        SignIn::Token => {}
    }
    let by_code = config.staff.oidc.as_ref().is_none_or(|oidc| oidc.password_too);
    let provider = config.staff.oidc.clone().map(|oidc| {
        let secret = oidc.client_secret_file.as_deref().map(config::read_secret_line).transpose()?;
        let back = format!("{}{CALLBACK}", config.portal.public_url);
        Provider::new(oidc, secret, back).map_err(StartError::Provider)
    });
    Ok(Some(Handing::new(config.staff.token_lives, provider.transpose()?, by_code, &OsEntropy)))
}

struct Assembled {
    acts: Acts,
    follower: Follower,
    recipients: Recipients,
    keyring: keyring::Client,
    key: Ed25519KeyPair,
}

impl Assembled {
    async fn from(config: &Config) -> Result<Assembled, StartError> {
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let trust = Trust { portal_key: keyring::init::read_public_key(&config.portal.signing_public_key)? };
        let key = signing_key(&config.portal.signing_key, &config.portal.signing_public_key, &trust)?;
        let (at, seen) = (&config.register, config.portal.state.join("seen"));
        let register = Register::open_seen(at, trust.clone(), &seen)?;
        let follower = Follower::start_behind(register.state()?, at, trust.clone(), &seen, Arc::clone(&clock))?;
        let keyring_key = keyring::init::read_public_key(&config.keyring.public_key)?;
        let keyring = keyring::Client::connect(&config.keyring.socket, keyring_key).await?;
        let recipients = Recipients::new();
        keyring.ensure(&recipients, &follower.recipients()).await?;
        let log = open_log(config, &recipients, &clock, &entropy, &register)?;
        let Checkpoint { origin, size, root } = log.checkpoint();
        register.note_checkpoint(&origin, size, root)?;
        let sockets = vec![config.proxy.socket.clone()];
        let acts = Acts { register, log, trust, sockets, clock, entropy };
        if let Err(why) = resolve(config, &acts, &keyring, &recipients).await {
            tracing::error!("what a portal that died was about to change is not resolved: {why}");
        }
        Ok(Assembled { acts, follower, recipients, keyring, key })
    }
}

/// The key that signs what owners allow; its public half must be the one that every role trusts.
fn signing_key(secret: &Path, public: &Path, trust: &Trust) -> Result<Ed25519KeyPair, StartError> {
    let seed = keyring::init::read_seed(secret)?;
    let key = Ed25519KeyPair::from_seed_unchecked(seed.expose())
        .map_err(|_| StartError::Bug("32 bytes are no Ed25519 seed".to_owned()))?;
    if key.public_key().as_ref() != trust.portal_key {
        return Err(StartError::SigningKey { public: public.display().to_string() });
    }
    Ok(key)
}

/// Opens the portal's log, which must begin with all that the register remembers of it.
fn open_log(
    config: &Config,
    recipients: &Recipients,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    register: &Register,
) -> Result<Log, StartError> {
    let seed = keyring::init::read_seed(&config.portal.log_key)?;
    let (audit, signing) = (&config.audit, SigningKey::from_seed(&seed));
    let writer = keyring::pinned::log_name(&config.keyring.public_key, WRITER, &signing.public())?;
    let settings = log::Settings::new(&writer, signing)
        .sized(audit.segment_bytes, audit.reserve_bytes, audit.epoch_after, audit.epoch_bytes)
        .remembering(register.remembered(&writer)?);
    let directory = config.audit.directory.join(&writer);
    let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
    Ok(Log::open(Arc::new(RealDisk), &directory, settings, recipients.clone(), clock, entropy)?)
}

/// Finds out what became of what an earlier portal was about to change when it died, and records it.
async fn resolve(
    config: &Config,
    acts: &Acts,
    keyring: &keyring::Client,
    recipients: &Recipients,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Checkpoint { origin, size, .. } = acts.log.checkpoint();
    let directory = config.audit.directory.join(log::name_of(&origin));
    let note = config.portal.state.join("resolved");
    let from = register::resolved_up_to(&note);
    let dir = directory.clone();
    if tokio::task::spawn_blocking(move || register::has_intents(&dir, from)).await?? {
        keyring.known(recipients).await?;
        let opener = |keys| keyring.open(keys, WRITER, "what became of what was about to be changed");
        let open = register::open_intents(&directory, &origin, from, recipients, opener).await?;
        let state = acts.register.state()?;
        let sealed_for = |customer| state.sealed_for(customer);
        let concerned: Vec<_> = open.iter().map(|intent| Recipient::of(intent.customer.and_then(sealed_for))).collect();
        keyring.ensure(recipients, &concerned).await?;
        for (intent, found) in acts.resolve_open_intents(&open).await? {
            tracing::warn!(event = %intent.event, ?found, "a portal died over a change; what became of it is recorded");
        }
    }
    Ok(register::note_resolved(&note, size)?)
}

/// Says so at once when access was opened in an emergency; the owner's page shows it as well.
async fn alarm(follower: Follower) {
    let mut changed = follower.changed();
    // What was opened while there was no portal is told as well, as long as it lasts.
    let (mut told, began) = (Sequence(0), SystemClock.now());
    loop {
        let state = follower.state();
        let still = |grant: &&Grant| grant.id.0 > told.0 && grant.is_live(began);
        for grant in state.grants().filter(still) {
            if let Given::BreakGlass(by) = grant.given {
                let (grant, staff, customer, until) = (grant.id, grant.staff, grant.customer, grant.ends);
                tracing::warn!(%grant, %staff, confirmed_by = %by, %customer, %until, "break-glass: opened in an emergency");
            }
        }
        told = state.sequence();
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Reads the certificate again on SIGHUP; open connections keep theirs.
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

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
