//! `portreeve keyring`: the keyring's server, from the configuration. The keyring itself knows no configuration.
//! Not here: who may ask what (`keyring/server.rs`).

use std::sync::Arc;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::audit::checkpoint::SigningKey;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::disk::{Disk, RealDisk};
use crate::entropy::{Entropy, OsEntropy};
use crate::keyring::{Access, Kept, Server, Settings, init, pinned};
use crate::log::{self, Log};

/// The name of the keyring's own log.
pub(super) const WRITER: &str = "keyring";

/// Serves until told to stop (SIGTERM, SIGINT).
///
/// # Errors
/// If the keyring, its log or its socket cannot be opened, or its use can no longer be recorded.
pub async fn serve(config: Config) -> Result<(), Failure> {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a crash of the keyring could write its keys into a core file");
    }
    let (disk, clock, entropy): (Arc<dyn Disk>, Arc<dyn Clock>, Arc<dyn Entropy>) =
        (Arc::new(RealDisk), Arc::new(SystemClock), Arc::new(OsEntropy));
    let (keyring, audit) = (&config.keyring, &config.audit);
    let (writers, openers) = (keyring.writer_uids()?, keyring.opener_uids()?);
    let access = Access { writers, openers, destroyers: keyring.destroyer_uids()? };
    let kept = Kept::open(Arc::clone(&disk), &keyring.file, &keyring.credential)?;
    let mut kept = kept.with_copies(keyring.copies.clone())?;
    let own = kept.own_recipients(&*clock, &*entropy)?;
    let signing = SigningKey::from_seed(&init::read_seed(&keyring.log_key)?);
    let writer = pinned::log_name(&keyring.public_key, WRITER, &signing.public())?;
    let settings = log::Settings::new(&writer, signing).sized(
        audit.segment_bytes,
        audit.reserve_bytes,
        audit.epoch_after,
        audit.epoch_bytes,
    );
    let directory = audit.directory.join(&writer);
    let log = Log::open(disk, &directory, settings, own.clone(), Arc::clone(&clock), Arc::clone(&entropy))?;
    let settings = Settings::new(keyring.socket.clone(), access);
    let server = Server::bind(settings, kept, own, log.clone(), clock, entropy).await?;
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tracing::info!(socket = %keyring.socket.display(), "the keyring answers");
    let served = server
        .run(async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
        })
        .await;
    // A log that failed cannot be closed; why it failed says more.
    served?;
    Ok(log.close()?)
}
