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
    for Looked { role, what, state } in looked(config) {
        let state = state.map_or_else(
            |fault| {
                exit = Exit::Configuration;
                fault
            },
            |()| "ok".to_owned(),
        );
        table.row([json!(role), json!(what), json!(state)]);
    }
    super::show(&table, format)?;
    Ok(exit)
}

/// One thing that the configuration names.
pub(super) struct Looked {
    /// Whose it is.
    pub role: &'static str,
    /// What it is.
    pub what: String,
    /// What is wrong with it.
    pub state: Result<(), String>,
}

/// The promise, the secrets and the users that the configuration names.
pub(super) fn looked(config: &Config) -> Vec<Looked> {
    let promise = config.rules().map(drop).map_err(|fault| fault.to_string());
    let mut looked = vec![Looked { role: "retention", what: "promise".to_owned(), state: promise }];
    for (role, whose) in [
        ("proxy", Role::Proxy),
        ("portal", Role::Portal),
        ("keyring", Role::Keyring),
        ("retention", Role::Retention),
        ("cli", Role::Cli),
    ] {
        looked.extend(config.secrets(whose).into_iter().map(|file| {
            let state = read_secret(file).map(drop).map_err(|fault| fault.to_string());
            Looked { role, what: file.display().to_string(), state }
        }));
    }
    let keyring = &config.keyring;
    let users = [("writers", &keyring.writers), ("openers", &keyring.openers), ("destroyers", &keyring.destroyers)];
    looked.extend(users.into_iter().flat_map(|(key, users)| users.iter().map(move |user| (key, user))).map(
        |(key, user)| {
            let state = User::uid(user).map(drop).map_err(|fault| fault.to_string());
            Looked { role: "keyring", what: format!("{key}: {user}"), state }
        },
    ));
    looked
}
