//! What can be wrong with a configuration, and what to do about it. The culprit is always the configuration.
//! Not here: what goes wrong later with the things it names.

use std::io;
use std::path::PathBuf;

/// A configuration that cannot be used. Texts name the file, the line, the key and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that is needed cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{}:{line}: {message}", file.display())]
    Syntax {
        /// The configuration file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// A key that nothing reads.
    #[error("{}:{line}: unknown key \"{key}\"{}", file.display(), hint.as_deref().unwrap_or_default())]
    UnknownKey {
        /// The configuration file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The key with its section, such as `proxy.lisen`.
        key: String,
        /// `; did you mean "…"?`, where a known key is near.
        hint: Option<String>,
    },
    /// A value of the wrong type or out of its range.
    #[error("{}:{line}: \"{key}\": {message}", file.display())]
    WrongValue {
        /// The configuration file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// What was found and what was expected.
        message: String,
    },
    /// A key without a default is not there.
    #[error("{}: section [{section}] needs the key \"{key}\", for example {key} = \"{example}\"", file.display())]
    MissingKey {
        /// The configuration file.
        file: PathBuf,
        /// The section, such as `clusters.main`.
        section: String,
        /// The key in that section.
        key: &'static str,
        /// What a value looks like.
        example: &'static str,
    },
    /// There is no upstream at all.
    #[error("{}: no cluster is named; add a section such as [clusters.main] with its host", file.display())]
    NoCluster {
        /// The configuration file.
        file: PathBuf,
    },
    /// A secret cannot be read by this user.
    #[error("cannot read the secret file {}: {source}; it must be there, mode 0400, owned by the user of its role \
             (\"portreeve keys init\" makes keys that nobody else issues)", file.display())]
    SecretUnreadable {
        /// The secret's file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A secret that others can read or change is no secret.
    #[error("the secret file {} has mode {mode:04o}: others can use it; replace the secret if they could, \
             then run: chmod 0400 {}", file.display(), file.display())]
    SecretExposed {
        /// The secret's file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret file with nothing in it, or something that no secret is.
    #[error("the secret file {} {problem}", file.display())]
    SecretUnusable {
        /// The secret's file.
        file: PathBuf,
        /// What is wrong with it, such as `is empty`.
        problem: String,
    },
    /// A user that this machine does not know.
    #[error("user \"{name}\" is not in /etc/passwd; create it (systemd-sysusers) or give its number")]
    UnknownUser {
        /// The name.
        name: String,
    },
    /// A role asked for a cluster that is not in the file.
    #[error("no cluster is called \"{name}\"; the configuration has: {known}")]
    UnknownCluster {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
}
