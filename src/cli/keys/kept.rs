//! The keyring, as the command line reaches it: at its socket, or where it does not run, by its file.
//! Not here: what is asked of it. `keys backup` and `keys rotate kek` are.

use std::sync::Arc;

use crate::cli::{Context, Exit, Failure, Table};
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::keyring::{Client, Error, Kept, Written, init};

/// How the keyring is reached.
pub(super) enum Hand {
    /// It runs.
    Client(Client),
    /// It does not: its file is open here, and locked.
    File(Box<Kept>),
}

/// Reaches it.
pub(super) async fn hand(context: &Context) -> Result<Hand, Failure> {
    let config = &context.config.keyring;
    match Client::connect(&config.socket, init::read_public_key(&config.public_key)?).await {
        Ok(client) => Ok(Hand::Client(client)),
        Err(Error::Unreachable { .. }) => Ok(Hand::File(Box::new(file(context)?))),
        Err(error) => Err(error.into()),
    }
}

fn file(context: &Context) -> Result<Kept, Failure> {
    let config = &context.config.keyring;
    let kept = Kept::open(Arc::new(RealDisk), &config.file, &config.credential)?;
    Ok(kept.with_copies(config.copies.clone())?)
}

/// Writes the listed copies, each read back; what could not be written.
pub(super) async fn back_up(context: &Context) -> Result<(Table, Exit), Failure> {
    let copies = &context.config.keyring.copies;
    if copies.is_empty() {
        return Err(Failure::usage(
            "no copy is listed: say in \"copies\" of [keyring] where copies of the keyring belong, and start it again",
        ));
    }
    let written = match hand(context).await? {
        Hand::Client(client) => client.back_up().await?,
        Hand::File(mut kept) => kept.back_up(&OsEntropy)?,
    };
    Ok(told(context, &written))
}

/// Writes the keyring under a new generation secret, and under a new credential if `with_credential`.
pub(super) async fn rotate(context: &Context, with_credential: bool) -> Result<(Table, Exit), Failure> {
    let written = match (hand(context).await?, with_credential) {
        (Hand::Client(client), false) => client.rotate().await?,
        (Hand::Client(_), true) => {
            return Err(Failure::failed("a running keyring keeps its credential in memory: stop it first"));
        }
        (Hand::File(mut kept), false) => kept.rotate(&OsEntropy)?,
        (Hand::File(mut kept), true) => kept.rotate_credential(&context.config.keyring.credential, &OsEntropy)?,
    };
    Ok(told(context, &written))
}

/// A row per place, and whether each holds what the keyring holds.
fn told(context: &Context, written: &Written) -> (Table, Exit) {
    let config = &context.config.keyring;
    let mut table = Table::new(&["place", "generation", "state"]);
    let mut row = |place: String, state: &str| table.row([place.into(), written.generation.into(), state.into()]);
    row(config.file.display().to_string(), "written");
    let mut are_all_written = written.behind.is_empty();
    for copy in config.copies.iter().map(|copy| copy.display().to_string()) {
        let is_written = written.copies.contains(&copy);
        are_all_written &= is_written;
        let state = match is_written {
            true => "written",
            false if written.behind.contains(&copy) => "could not be written",
            false => "not written: the keyring that runs was started without it; start it again",
        };
        row(copy, state);
    }
    (table, if are_all_written { Exit::Done } else { Exit::Findings })
}
