//! `portreeve keys`: makes the keys that the configuration names, lists, looks after, backs up, rotates and destroys them.
//! Not here: certificates and passwords, which come from elsewhere; what each verb does has a file of its name.

mod destroy;
mod doctor;
mod kept;
mod list;
mod owner;
mod rotate;
mod standing;

pub(super) use doctor::look_at_keys;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;

use super::context::and_then;
use super::keyring::WRITER;
use super::{Context, Exit, Failure, Table};
use crate::audit::checkpoint::SigningKey;
use crate::disk::{Disk, RealDisk};
use crate::entropy::OsEntropy;
use crate::keyring::init::{self, Done, Files, LogKey};
use crate::keyring::{Error, pinned};
use crate::log::origin;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the keyring, its credential, and every signing key that is not there yet. May be run again.
    Init,
    /// List which keys there are; nothing secret.
    List,
    /// Say what is wrong with the keyring, its credential and copies, the public keys and the logs' keys, and what to do.
    /// Exit code 4 if something is.
    Doctor,
    /// Write the keyring to every place that `[keyring] copies` lists, and read it back. Exit code 4 if one could not be
    /// written.
    Backup,
    /// Replace keys by new ones.
    #[command(subcommand)]
    Rotate(Rotate),
    /// Destroy what opens a closed customer's audit records, in the keyring and every copy of it, once the promise allows
    /// it and no hold forbids it. Nothing brings it back. Cut off, it may be run again. Exit code 4 if a copy still holds
    /// a key: run it again then, too.
    Destroy(destroy::Destroy),
}

/// What can be replaced.
#[derive(Debug, Subcommand)]
pub enum Rotate {
    /// What the keyring's file is sealed under: a new generation, after which no older copy opens. Exit code 4 if a copy
    /// could not be written.
    Kek {
        /// Make a new credential as well. The keyring must be stopped; hand the new credential to its unit.
        #[arg(long)]
        new_credential: bool,
    },
    /// The key that signs a writer's log: the log ends, and goes on as another that begins with its last checkpoint.
    /// What writes it must be stopped. Cut off, it may be run again.
    Log {
        /// Whose log, such as `proxy-gate-1`, `portal`, `keyring`, `retention-keeper-1`.
        writer: String,
    },
}

/// Does it, and says which files were made and which were there.
///
/// # Errors
/// If a file cannot be made, or one that is there belongs to another pair.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    let (table, exit) = match command {
        Command::Init => (made(context)?, Exit::Done),
        Command::List => (list::list(context).await?, Exit::Done),
        Command::Doctor => doctor::doctor(context)?,
        Command::Backup => kept::back_up(context).await?,
        Command::Rotate(Rotate::Kek { new_credential }) => kept::rotate(context, new_credential).await?,
        Command::Destroy(wanted) => {
            let (table, ended) = destroy::destroy(context, wanted).await?;
            return and_then(ended, context.show(&table));
        }
        Command::Rotate(Rotate::Log { writer }) => (rotate::log(context, &writer).await?, Exit::Done),
    };
    context.show(&table)?;
    Ok(exit)
}

fn made(context: &Context) -> Result<Table, Failure> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut table = Table::new(&["file", "done"]);
    for (path, done) in init::init(&files(context)?, &disk, &OsEntropy)? {
        let done = match done {
            Done::Made => "made",
            Done::Kept => "kept",
        };
        table.row([path.display().to_string().into(), done.into()]);
    }
    Ok(table)
}

/// Everybody whose log's key is here, and where it is.
fn writers(context: &Context) -> Result<Vec<(String, PathBuf)>, Failure> {
    let config = &context.config;
    Ok(vec![
        (format!("proxy-{}", config.proxy.id), config.proxy.log_key.clone()),
        ("portal".to_owned(), config.portal.log_key.clone()),
        (WRITER.to_owned(), config.keyring.log_key.clone()),
        (format!("retention-{}", config.retention.id), config.retention.log_key.clone()),
        (context.writer()?, config.cli.log_key.clone()),
    ])
}

fn files(context: &Context) -> Result<Files, Failure> {
    let config = &context.config;
    let public_key = &config.keyring.public_key;
    let log = |(writer, secret): (String, PathBuf)| {
        let name = match init::read_seed(&secret) {
            Ok(seed) => pinned::log_name(public_key, &writer, &SigningKey::from_seed(&seed).public())?,
            Err(Error::Missing { .. }) => writer,
            Err(error) => return Err(error),
        };
        Ok(LogKey { origin: origin(&name), secret, public: pinned::log_key(public_key, &name) })
    };
    Ok(Files {
        keyring: config.keyring.file.clone(),
        credential: config.keyring.credential.clone(),
        keyring_public: config.keyring.public_key.clone(),
        portal_signing: config.portal.signing_key.clone(),
        portal_public: config.portal.signing_public_key.clone(),
        instance: config.retention.instance_key.clone(),
        logs: writers(context)?.into_iter().map(log).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
