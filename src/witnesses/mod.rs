//! Those elsewhere who remember how long our logs are: hands each new checkpoint to them, and asks what they remember.
//! Not here: a witness itself (`witness/`), and how a log is held against what they remember (`log/growth.rs`).
//! Whether they can be reached never stops anything: it is told and recorded.

mod endpoint;
mod folder;
mod kept;
mod submit;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use endpoint::Endpoint;
pub use folder::{FILE_ENDING, Folder};
pub use kept::{kept, notes_in};
pub use submit::{Submitter, Told, keep_witnessed};

use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::{Algorithm, VerifierKey};
use crate::config::{Config, WitnessAt};
use crate::log::verify::Verdict;

/// A witness of the configuration.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Its name in the configuration.
    pub name: String,
    /// How often it is told.
    pub every: Duration,
    /// Where it is.
    pub at: At,
}

/// Where a witness is.
#[derive(Clone, Debug)]
pub enum At {
    /// A folder elsewhere.
    Folder(Folder),
    /// A service that speaks C2SP tlog-witness.
    Endpoint(Endpoint),
}

/// A file of a witness's configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("witness \"{name}\": {problem}")]
pub struct Unusable {
    /// The witness.
    pub name: String,
    /// What is wrong, and what is expected.
    pub problem: String,
}

/// Why a witness does not vouch for a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It cannot be reached, or does not answer as a witness does.
    #[error("{0}")]
    Unreachable(String),
    /// It does not cosign for a reason of its own: it does not watch the log.
    #[error("{0}")]
    Refused(String),
    /// Our own log cannot be read or is not pinned.
    #[error("{0}")]
    Unreadable(String),
    /// It remembers more of the log than there is.
    #[error("{0}")]
    RolledBack(String),
    /// It remembers another log.
    #[error("{0}")]
    Forked(String),
}

impl Trouble {
    /// In one word, for records and people.
    pub fn word(&self) -> &'static str {
        match self {
            Trouble::Unreachable(_) => "unreachable",
            Trouble::Refused(_) => "refused",
            Trouble::Unreadable(_) => "unreadable",
            Trouble::RolledBack(_) => "rolled-back",
            Trouble::Forked(_) => "forked",
        }
    }

    /// What `audit verify` says of it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Trouble::Unreachable(_) | Trouble::Refused(_) | Trouble::Unreadable(_) => Verdict::Unwitnessed,
            Trouble::RolledBack(_) => Verdict::RolledBack,
            Trouble::Forked(_) => Verdict::Forked,
        }
    }
}

impl From<crate::log::Error> for Trouble {
    fn from(error: crate::log::Error) -> Trouble {
        match &error {
            crate::log::Error::Unsound { verdict: Verdict::RolledBack, .. } => Trouble::RolledBack(error.to_string()),
            crate::log::Error::Unsound { verdict: Verdict::Forked, .. } => Trouble::Forked(error.to_string()),
            _ => Trouble::Unreadable(error.to_string()),
        }
    }
}

/// The witnesses of the configuration.
///
/// # Errors
/// [`Unusable`], for the first whose files cannot be used.
pub fn witnesses(config: &Config) -> Result<Vec<Witness>, Unusable> {
    let made = config.witnesses.iter().map(|(name, witness)| {
        let at = match &witness.at {
            WitnessAt::Folder(folder) => At::Folder(Folder(folder.clone())),
            WitnessAt::Endpoint { url, key, ca } => {
                let unusable = |problem| Unusable { name: name.clone(), problem };
                At::Endpoint(Endpoint::new(url, verifier_key(key).map_err(unusable)?, ca).map_err(unusable)?)
            }
        };
        Ok(Witness { name: name.clone(), every: witness.every, at })
    });
    made.collect()
}

fn verifier_key(path: &Path) -> Result<VerifierKey, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let key = VerifierKey::parse(&text).filter(|key| key.algorithm == Algorithm::CosignatureV1);
    key.ok_or_else(|| {
        let expected = "expected one line with the verifier key of a witness, as \"portreeve witness init\" prints it";
        format!("{}: {expected}", path.display())
    })
}

/// Our logs: where they are, and their pinned keys.
#[derive(Clone, Debug)]
pub struct Logs {
    /// The audit directory.
    pub audit: PathBuf,
    /// The folder with their verifier keys.
    pub keys: PathBuf,
}

/// A log as it is signed now.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Whose log.
    pub writer: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Its pinned key.
    pub key: VerifierKey,
    /// The signed note.
    pub note: String,
    /// What it says.
    pub checkpoint: Checkpoint,
}

impl Logs {
    /// The logs that this configuration is about.
    pub fn of(config: &Config) -> Logs {
        Logs { audit: config.audit.directory.clone(), keys: config.keyring.log_keys() }
    }

    /// The writers whose logs are there.
    ///
    /// # Errors
    /// [`Trouble::Unreadable`].
    pub fn writers(&self) -> Result<Vec<String>, Trouble> {
        let dirs = crate::log::search::logs(&self.audit)?;
        Ok(dirs.iter().filter_map(|dir| Some(dir.file_name()?.to_str()?.to_owned())).collect())
    }

    /// The pinned key of that writer's log.
    ///
    /// # Errors
    /// [`Trouble::Unreadable`].
    pub fn key(&self, writer: &str) -> Result<VerifierKey, Trouble> {
        let path = self.keys.join(format!("{writer}.vkey"));
        let unreadable = |why: String| Trouble::Unreadable(format!("the log's pinned key {}: {why}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
        let key = VerifierKey::parse(&text).filter(|key| key.algorithm == Algorithm::Ed25519);
        let key = key.filter(|key| key.name == crate::log::origin(writer));
        key.ok_or_else(|| unreadable("it is not the verifier key of this log".to_owned()))
    }

    /// That writer's log as it is signed now.
    ///
    /// # Errors
    /// [`Trouble::Unreadable`]; [`Trouble::Forked`] if it is not signed by its pinned key.
    pub fn signed(&self, writer: &str) -> Result<Signed, Trouble> {
        let (key, dir) = (self.key(writer)?, self.audit.join(writer));
        let note = crate::log::reader::Reader::open(&dir)?.note().to_owned();
        let checkpoint = Checkpoint::open(&note, &key.name, &key.public)
            .map_err(|error| Trouble::Forked(format!("{}: {error}", dir.display())))?;
        Ok(Signed { writer: writer.to_owned(), dir, key, note, checkpoint })
    }
}

/// What a witness remembers of a log: its signed notes, none if it does not know the log.
///
/// # Errors
/// [`Trouble`].
pub async fn remembered(witness: &Witness, key: &VerifierKey, writer: &str) -> Result<Vec<String>, Trouble> {
    match &witness.at {
        At::Folder(folder) => folder.notes(writer),
        At::Endpoint(endpoint) => endpoint.last(&key.name).await.map(Vec::from_iter),
    }
}
