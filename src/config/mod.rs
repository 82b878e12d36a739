//! The configuration: one TOML file, checked whole before anything starts; unknown keys are errors.
//! Not here: secrets themselves; the configuration only says in which files they are (`secrets.rs` reads those).

mod error;
mod keys;
mod raw;
mod secrets;
mod sections;
mod source;
pub mod units;
mod user;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::Error;
pub use raw::{Checksums, Format, Scrub, SnapshotKind};
pub use secrets::{read_secret, read_secret_line};
pub use sections::{
    Audit, Cli, Cluster, External, Fence, Keyring, Limits, Login, Maintenance, Observe, Oidc, Portal, Pressing, Proxy,
    Register, RegisterServer, Replica, Retention, Road, Role, Snapshots, Staff, Witness, WitnessAt,
};
pub use user::User;

use crate::grant;
use crate::retention::promise::Promise;

/// Where the configuration is unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/portreeve/portreeve.toml";

/// A whole, checked configuration. Paths are absolute or relative to the working directory as the file's own path is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gate itself.
    pub proxy: Proxy,
    /// The PostgreSQL servers behind it, by the name customers are assigned to. At least one.
    pub clusters: BTreeMap<String, Cluster>,
    /// What was decided.
    pub register: Register,
    /// What happened.
    pub audit: Audit,
    /// Who elsewhere remembers how long the logs are, by name. Those that are given no place are left out.
    pub witnesses: BTreeMap<String, Witness>,
    /// Who may open what happened.
    pub keyring: Keyring,
    /// The owner's pages.
    pub portal: Portal,
    /// What the database enforces.
    pub fence: Fence,
    /// How much of anything.
    pub limits: Limits,
    /// Who may be connected to the databases besides the gate.
    pub road: Road,
    /// What is asked of staff.
    pub staff: Staff,
    /// The terms told to customers.
    pub promise: Promise,
    /// Whether owners may let staff open access themselves; false where each instruction must be specific.
    pub standing: bool,
    /// The daemon that keeps them.
    pub retention: Retention,
    /// The back-ends that take snapshots, by name.
    pub snapshots: BTreeMap<String, Snapshots>,
    /// The command line as a writer of records.
    pub cli: Cli,
    /// Diagnostics.
    pub observe: Observe,
    /// SHA-256 of the file's text in hexadecimal: which configuration it was.
    pub digest: String,
}

impl Config {
    /// What the decision holds against: the same at every door.
    pub fn decision(&self) -> grant::Limits {
        grant::Limits {
            connections_per_grant: self.limits.connections_per_grant as usize,
            register_stale_after: self.limits.register_stale_after,
            standing: self.standing,
            attestations: grant::Attestations {
                confidentiality: self.staff.confidentiality_version,
                training: self.staff.training_version,
            },
            portal_url: self.portal.public_url.clone(),
        }
    }

    /// The cluster of that name.
    ///
    /// # Errors
    /// [`Error::UnknownCluster`] with the names there are.
    pub fn cluster(&self, name: &str) -> Result<&Cluster, Error> {
        self.clusters.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.clusters.keys().map(String::as_str).collect();
            Error::UnknownCluster { name: name.to_owned(), known: known.join(", ") }
        })
    }
}

/// Reads and checks the file at `path`. Relative paths in it are resolved against its folder; a secret that systemd
/// handed over under the same file name (`$CREDENTIALS_DIRECTORY`) takes the place of the file named.
///
/// # Errors
/// Any [`Error`]. Secret files are not opened here, since each role can read only its own: see
/// [`Config::check_secrets`].
pub fn load(path: &Path) -> Result<Config, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable { file: path.to_owned(), source })?;
    source::Source::new(path, &text, secrets::credentials_directory().as_deref()).config()
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
