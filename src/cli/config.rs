//! `portreeve config check`: the file, its promise, the users it names and the secrets it points to.
//! Not here: whether sockets and servers answer.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::{Exit, Failure, Format, Table};
use crate::config::{Config, Role, User, load, read_secret};

/// What can be asked about the configuration.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the file, whether its promise can be kept, the users it names and the secret files it points to.
    ///
    /// Run it as root to see the secrets of every role; another user sees only its own.
    Check,
}

pub(super) fn run(command: Command, path: &Path, format: Format) -> Result<Exit, Failure> {
    match command {
        Command::Check => check(&load(path)?, format),
    }
}

fn check(config: &Config, format: Format) -> Result<Exit, Failure> {
    let mut table = Table::new(&["role", "what", "state"]);
    let mut exit = Exit::Done;
    let mut tell = |role: &str, what: String, state: Result<(), String>| {
        let state = state.map_or_else(
            |fault| {
                exit = Exit::Configuration;
                fault
            },
            |()| "ok".to_owned(),
        );
        table.row([json!(role), json!(what), json!(state)]);
    };
    tell("retention", "promise".to_owned(), config.rules().map(drop).map_err(|fault| fault.to_string()));
    for (name, role) in [
        ("proxy", Role::Proxy),
        ("portal", Role::Portal),
        ("keyring", Role::Keyring),
        ("retention", Role::Retention),
        ("cli", Role::Cli),
    ] {
        for file in config.secrets(role) {
            tell(name, file.display().to_string(), read_secret(file).map(drop).map_err(|fault| fault.to_string()));
        }
    }
    let keyring = &config.keyring;
    let users = [("writers", &keyring.writers), ("openers", &keyring.openers), ("destroyers", &keyring.destroyers)];
    for (key, user) in users.into_iter().flat_map(|(key, users)| users.iter().map(move |user| (key, user))) {
        tell("keyring", format!("{key}: {user}"), User::uid(user).map(drop).map_err(|fault| fault.to_string()));
    }
    super::show(&table, format)?;
    Ok(exit)
}
