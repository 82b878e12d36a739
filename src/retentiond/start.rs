//! Putting the daemon together from its configuration, its turns, and taking it down in order.
//! Not here: what a turn does (`retentiond/mod.rs`). Where two run, the second waits for the first one's log.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::clocks::Machine;
use super::told::{self, Told};
use super::{Daemon, World, erased};
use crate::audit::checkpoint::{Checkpoint, SigningKey};
use crate::audit::keys::{Recipient, Recipients};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::disk::{Disk, RealDisk};
use crate::entropy::{Entropy, OsEntropy};
use crate::grant::Trust;
use crate::keeping::{self, Keeping, Stock};
use crate::log::{self, Log};
use crate::register::{self, Acts, Follower, Register};
use crate::{config, keyring};

/// How long the daemon rests between two turns; a change of the register wakes it.
const REST: Duration = Duration::from_secs(10);
/// How often a second daemon looks whether the first is gone.
const STANDBY: Duration = Duration::from_millis(500);

/// Why the daemon does not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Stores, recipients, the promise; the register or the log while it ran.
    #[error(transparent)]
    Keeping(#[from] keeping::Error),
    /// The configuration or a file it names.
    #[error(transparent)]
    Configuration(#[from] config::Error),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] keyring::Error),
    /// The audit log.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The register.
    #[error(transparent)]
    Register(#[from] register::Error),
    /// A signal.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The audit log failed while the daemon ran.
    #[error("the audit log of the retention daemon could not be written; mend the disk and start again")]
    LogFailed,
    /// Ours.
    #[error("bug: {0}")]
    Bug(&'static str),
}

impl StartError {
    /// Whether the configuration, or a file that it names, must be mended first.
    pub fn is_configuration(&self) -> bool {
        match self {
            StartError::Configuration(_) => true,
            StartError::Keeping(error) => error.is_configuration(),
            StartError::Keyring(error) => error.is_configuration(),
            StartError::Log(_)
            | StartError::Register(_)
            | StartError::System { .. }
            | StartError::LogFailed
            | StartError::Bug(_) => false,
        }
    }
}

/// Runs until SIGTERM or SIGINT; with `once`, one turn. Whether all went well in the last turn.
///
/// # Errors
/// Any [`StartError`].
pub async fn run(config: Config, once: bool) -> Result<bool, StartError> {
    let listen = |kind| signal(kind).map_err(|source| StartError::System { what: "listen for a signal", source });
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let (tell, mut stopped) = watch::channel(false);
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let signals = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.store(true, Ordering::Relaxed);
        tell.send_replace(true);
    });
    let done = match Assembled::from(&config, &mut stopped).await {
        Ok(Some(parts)) => Box::pin(serve(parts, once, stop, stopped)).await,
        Ok(None) => Ok(true),
        Err(error) => Err(error),
    };
    signals.abort();
    done
}

async fn serve(
    parts: Assembled,
    once: bool,
    stop: Arc<AtomicBool>,
    mut stopped: watch::Receiver<bool>,
) -> Result<bool, StartError> {
    let Assembled { world, recipients } = parts;
    let Acts { log, register, .. } = world.keeping.acts.clone();
    let mut tasks = JoinSet::new();
    let (follower, changed) = (world.follower.clone(), world.follower.changed());
    let all = move || keyring::Wanted { keys: follower.recipients(), forgotten: follower.forgotten() };
    tasks.spawn(keyring::keep_keys(world.keyring.clone(), recipients, all, changed, keyring::Pace::default()));
    tasks.spawn(register::keep_checkpoint(log.clone(), register.clone()));
    tasks.spawn(told::watch(world.keeping.clone()));
    let backends: Vec<&str> = world.keeping.stock.shelves.iter().map(|shelf| shelf.name.as_str()).collect();
    tracing::info!(id = world.keeping.stock.name, ?backends, "the retention daemon keeps watch");
    let mut changed = world.follower.changed();
    let (acts, keyring) = (world.keeping.acts.clone(), world.keyring.clone());
    let mut daemon = Daemon::new(world, Arc::new(Machine), stop);
    tasks.spawn(erased::watch(Arc::clone(&daemon.known), acts, keyring));
    let mut told = Told::default();
    let outcome = loop {
        let now = daemon.world.keeping.acts.clock.now();
        // To its end, even when told to stop: it looks for that itself.
        let turn = match daemon.turn(now).await {
            Ok(turn) => turn,
            Err(error) => break Err(StartError::from(error)),
        };
        told.tell(&turn.alarms, now);
        if once || *stopped.borrow() {
            // The purge beside looks itself for being told to stop; until it ended, the lead is not given up.
            break match daemon.purged().await {
                Ok(purged) => Ok(turn.is_well() && purged.is_none_or(|purged| purged.troubles.is_empty())),
                Err(error) => Err(StartError::from(error)),
            };
        }
        let is_well = turn.is_well();
        tokio::select! {
            () = tokio::time::sleep(REST) => {}
            _ = changed.changed() => {}
            _ = stopped.changed() => break daemon.purged().await.map(|_| is_well).map_err(StartError::from),
            () = log.failed() => break Err(StartError::LogFailed),
        }
    };
    tasks.shutdown().await;
    let outcome = outcome?;
    drop(daemon);
    log.clone().close()?;
    let Checkpoint { origin, size, root } = log.checkpoint();
    register.note_checkpoint(&origin, size, root)?;
    Ok(outcome)
}

struct Assembled {
    world: World,
    recipients: Recipients,
}

impl Assembled {
    /// None if it was told to stop while another daemon led.
    async fn from(config: &Config, stopped: &mut watch::Receiver<bool>) -> Result<Option<Assembled>, StartError> {
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let trust = Trust { portal_key: keyring::init::read_public_key(&config.portal.signing_public_key)? };
        let register = Register::open(&config.register, trust.clone())?;
        let keyring_key = keyring::init::read_public_key(&config.keyring.public_key)?;
        let instance = keyring::init::read_seed(&config.retention.instance_key)?;
        let signer = Arc::new(signer(config)?);
        let keyring = keyring::Client::connect(&config.keyring.socket, keyring_key).await?;
        let recipients = Recipients::new();
        keyring.ensure(&recipients, &[Recipient::Vendor]).await?;
        let opened = lead(stopped, || open_log(config, &recipients, &clock, &entropy, &register)).await?;
        let Some(log) = opened else { return Ok(None) };
        // What this role saw last is its own while it leads.
        let seen = config.retention.state.join("seen");
        let at = &config.register;
        let follower = Follower::start_behind(register.state()?, at, trust.clone(), &seen, Arc::clone(&clock))?;
        keyring.ensure(&recipients, &follower.recipients()).await?;
        let Checkpoint { origin, size, root } = log.checkpoint();
        register.note_checkpoint(&origin, size, root)?;
        let sockets = vec![config.proxy.socket.clone()];
        let acts = Acts { register, log, trust, sockets, clock, entropy };
        if let Err(why) = resolve(config, &acts, &keyring, &recipients).await {
            tracing::error!("what a daemon that died was about to change is not resolved: {why}");
        }
        match erased::destroy_again(&acts, &keyring).await {
            Ok(0) => {}
            Ok(asked) => tracing::info!(asked, "the keyring was asked again for erasures that were completed"),
            Err(why) => tracing::error!(alarm = "keys", "erasures that were completed are not confirmed again: {why}"),
        }
        let stock = Stock::new(config, &instance, acts.register.clone(), &disk)?;
        let keeping = Keeping { stock, acts };
        let (config, stopped) = (config.clone(), stopped.clone());
        let world = World { config, keeping, follower, keyring, recipients: recipients.clone(), signer, stopped };
        Ok(Some(Assembled { world, recipients }))
    }
}

/// The key of the daemon's log, which signs certificates too.
fn signer(config: &Config) -> Result<Ed25519KeyPair, StartError> {
    let seed = keyring::init::read_seed(&config.retention.log_key)?;
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| StartError::Bug("a seed of 32 bytes gives a key"))
}

/// Waits until no other daemon of this name has the log; none if told to stop meanwhile.
async fn lead<F>(stopped: &mut watch::Receiver<bool>, open: F) -> Result<Option<Log>, StartError>
where
    F: Fn() -> Result<Log, StartError>,
{
    let mut waits = false;
    loop {
        match open() {
            Err(StartError::Log(log::Error::Locked(path))) => {
                if !waits {
                    tracing::warn!(log = %path.display(), "another retention daemon leads; this one waits");
                }
                waits = true;
            }
            opened => return opened.map(Some),
        }
        if or_stopped(stopped, tokio::time::sleep(STANDBY)).await.is_none() {
            return Ok(None);
        }
    }
}

/// What comes first; none: told to stop.
async fn or_stopped<T>(stopped: &mut watch::Receiver<bool>, what: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = what => Some(done),
        _ = stopped.wait_for(|stopped| *stopped) => None,
    }
}

fn writer(config: &Config) -> String {
    format!("retention-{}", config.retention.id)
}

/// Opens the daemon's log, which must begin with all that the register remembers of it.
fn open_log(
    config: &Config,
    recipients: &Recipients,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    register: &Register,
) -> Result<Log, StartError> {
    let seed = keyring::init::read_seed(&config.retention.log_key)?;
    let (audit, signing) = (&config.audit, SigningKey::from_seed(&seed));
    let writer = keyring::pinned::log_name(&config.keyring.public_key, &writer(config), &signing.public())?;
    let settings = log::Settings::new(&writer, signing)
        .sized(audit.segment_bytes, audit.reserve_bytes, audit.epoch_after, audit.epoch_bytes)
        .remembering(register.remembered(&writer)?);
    let directory = audit.directory.join(&writer);
    let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
    Ok(Log::open(Arc::new(RealDisk), &directory, settings, recipients.clone(), clock, entropy)?)
}

/// Finds out what became of what an earlier daemon was about to change when it died, and records it.
async fn resolve(
    config: &Config,
    acts: &Acts,
    keyring: &keyring::Client,
    recipients: &Recipients,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let writer = writer(config);
    let Checkpoint { origin, size, .. } = acts.log.checkpoint();
    let directory = config.audit.directory.join(log::name_of(&origin));
    let note = config.retention.state.join("resolved");
    let from = register::resolved_up_to(&note);
    let dir = directory.clone();
    if tokio::task::spawn_blocking(move || register::has_intents(&dir, from)).await?? {
        keyring.known(recipients).await?;
        let opener = |keys| keyring.open(keys, &writer, "what became of what was about to be changed");
        let open = register::open_intents(&directory, &origin, from, recipients, opener).await?;
        let state = acts.register.state()?;
        let sealed_for = |customer| state.sealed_for(customer);
        let concerned: Vec<_> = open.iter().map(|intent| Recipient::of(intent.customer.and_then(sealed_for))).collect();
        keyring.ensure(recipients, &concerned).await?;
        for (intent, found) in acts.resolve_open_intents(&open).await? {
            tracing::warn!(event = %intent.event, ?found, "a daemon died over a change; what became of it is recorded");
        }
    }
    Ok(register::note_resolved(&note, size)?)
}
