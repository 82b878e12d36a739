//! `portreeve config check`: the file, the users it names and the secrets it points to.
//! Not here: whether sockets and servers answer.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::{Exit, Failure, Format, Table};
use crate::config::{Config, Role, User, load, read_secret};

/// What can be asked about the configuration.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the file, the users it names and the secret files it points to.
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
    let mut tell = |role: &str, what: String, state: Result<(), crate::config::Error>| {
        let state = state.map_or_else(
            |fault| {
                exit = Exit::Configuration;
                fault.to_string()
            },
            |()| "ok".to_owned(),
        );
        table.row([json!(role), json!(what), json!(state)]);
    };
    for (name, role) in
        [("proxy", Role::Proxy), ("portal", Role::Portal), ("keyring", Role::Keyring), ("cli", Role::Cli)]
    {
        for file in config.secrets(role) {
            tell(name, file.display().to_string(), read_secret(file).map(drop));
        }
    }
    let users = [("writers", &config.keyring.writers), ("openers", &config.keyring.openers)];
    for (key, user) in users.into_iter().flat_map(|(key, users)| users.iter().map(move |user| (key, user))) {
        tell("keyring", format!("{key}: {user}"), User::uid(user).map(drop));
    }
    super::show(&table, format)?;
    Ok(exit)
}
