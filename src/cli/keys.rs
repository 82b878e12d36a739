//! `portreeve keys`: makes the keys that the configuration names.
//! Not here: certificates and passwords, which come from elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;

use super::keyring::WRITER;
use super::{Context, Exit, Failure, Table};
use crate::config::Config;
use crate::disk::{Disk, RealDisk};
use crate::entropy::OsEntropy;
use crate::keyring::init::{Done, Files, LogKey, init};
use crate::log::origin;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the keyring, its credential, and every signing key that is not there yet. May be run again.
    Init,
}

/// Does it, and says which files were made and which were there.
///
/// # Errors
/// If a file cannot be made, or one that is there belongs to another pair.
#[expect(clippy::unused_async, reason = "verbs have one shape")]
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    let Command::Init = command;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut table = Table::new(&["file", "done"]);
    for (path, done) in init(&files(context)?, &disk, &OsEntropy)? {
        let done = match done {
            Done::Made => "made",
            Done::Kept => "kept",
        };
        table.row([path.display().to_string().into(), done.into()]);
    }
    context.show(&table)?;
    Ok(Exit::Done)
}

fn files(context: &Context) -> Result<Files, Failure> {
    let config = &context.config;
    let log = |writer: &str, secret: &Path| LogKey {
        origin: origin(writer),
        secret: secret.to_owned(),
        public: log_public_key(config, writer),
    };
    Ok(Files {
        keyring: config.keyring.file.clone(),
        credential: config.keyring.credential.clone(),
        keyring_public: config.keyring.public_key.clone(),
        portal_signing: config.portal.signing_key.clone(),
        portal_public: config.portal.signing_public_key.clone(),
        instance: config.retention.instance_key.clone(),
        logs: vec![
            log(&format!("proxy-{}", config.proxy.id), &config.proxy.log_key),
            log("portal", &config.portal.log_key),
            log(WRITER, &config.keyring.log_key),
            log(&format!("retention-{}", config.retention.id), &config.retention.log_key),
            log(&context.writer()?, &config.cli.log_key),
        ],
    })
}

/// Where the public key of a writer's log is pinned: `log-keys/<writer>.vkey` beside the keyring's public key, so that
/// who can write the logs cannot exchange it. A log of another machine is added by copying its file there.
pub(super) fn log_public_key(config: &Config, writer: &str) -> PathBuf {
    config.keyring.log_keys().join(format!("{writer}.vkey"))
}
