//! What a witness remembers: one cosigned checkpoint for each log, in a file that is durable before anybody is told.
//! Not here: HTTP (`site.rs`) and what may be cosigned (`audit/witnessing.rs`).
//! A file that is damaged is never taken for one that is not there: then the witness would cosign any history.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::audit::checkpoint::Checkpoint;
use crate::audit::cosignature::{Cosigner, cosigned};
use crate::audit::note::{Algorithm, Note, VerifierKey, is_name};
use crate::audit::tree::sha256;
use crate::audit::witnessing::{AddCheckpoint, Refusal};
use crate::clock::Timestamp;
use crate::disk::Disk;
use crate::entropy::{Entropy, random};
use crate::keyring;

/// The file with the witness's key, a seed of 32 bytes.
const KEY: &str = "witness.key";
/// The file with its verifier key.
const VERIFIER_KEY: &str = "witness.vkey";
/// The folder with the verifier keys of the logs it watches, a file for each.
const LOGS: &str = "logs";
/// The folder with what it remembers.
const CHECKPOINTS: &str = "checkpoints";

/// A file of the witness that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Storage {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its content is not what must be there.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The witness's key.
    #[error(transparent)]
    Key(#[from] keyring::Error),
    /// A name that no key can have.
    #[error(
        "\"{0}\" is no name for a witness: expected one such as witness.example.com/portreeve, without spaces and +"
    )]
    Name(String),
    /// It is there.
    #[error("{} is there already: a witness keeps its key", .0.display())]
    Exists(PathBuf),
}

/// Why nothing is cosigned.
#[derive(Debug)]
pub enum Fault {
    /// The request.
    Refused(Refusal),
    /// What is remembered.
    Memory(Error),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Refused(refusal)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Memory(error)
    }
}

/// A witness's folder, its key, and the logs it watches.
pub struct Memory {
    disk: Arc<dyn Disk>,
    state: PathBuf,
    cosigner: Cosigner,
    logs: RwLock<BTreeMap<String, VerifierKey>>,
    /// From reading what is remembered until something else is.
    one: Mutex<()>,
}

/// Makes a witness's folder with a key of that name; gives its verifier key. Nothing that is there is overwritten.
///
/// # Errors
/// Any [`Error`].
pub fn create(disk: &dyn Disk, state: &Path, name: &str, entropy: &dyn Entropy) -> Result<VerifierKey, Error> {
    if !is_name(name) {
        return Err(Error::Name(name.to_owned()));
    }
    let (key, public) = (state.join(KEY), state.join(VERIFIER_KEY));
    if let Some(there) = [&key, &public].into_iter().find(|path| path.exists()) {
        return Err(Error::Exists(there.clone()));
    }
    for folder in [LOGS, CHECKPOINTS].map(|folder| state.join(folder)) {
        disk.make_directory(&folder).map_err(storage("make", &folder))?;
    }
    disk.replace(&key, &random::<32>(entropy), 0o400).map_err(storage("write", &key))?;
    let verifier = Cosigner::new(name, &keyring::init::read_seed(&key)?).verifier_key();
    let line = format!("{}\n", verifier.text());
    disk.replace(&public, line.as_bytes(), 0o444).map_err(storage("write", &public))?;
    Ok(verifier)
}

impl Memory {
    /// Opens a witness's folder, and reads all that is remembered in it.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn open(disk: Arc<dyn Disk>, state: &Path) -> Result<Memory, Error> {
        let path = state.join(VERIFIER_KEY);
        let key = verifier_key(disk.as_ref(), &path, Algorithm::CosignatureV1)?;
        let cosigner = Cosigner::new(&key.name, &keyring::init::read_seed(&state.join(KEY))?);
        if cosigner.verifier_key() != key {
            return Err(damaged(&path, "it is not the public half of witness.key beside it"));
        }
        let memory = Memory { disk, state: state.to_owned(), cosigner, logs: RwLock::default(), one: Mutex::new(()) };
        memory.read_logs()?;
        for log in memory.logs().values() {
            memory.remembered(log)?;
        }
        Ok(memory)
    }

    /// Reads the keys of the logs again; those in use stay if one cannot be read.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn read_logs(&self) -> Result<(), Error> {
        let dir = self.state.join(LOGS);
        let mut logs = BTreeMap::new();
        for name in self.disk.names(&dir).map_err(storage("list", &dir))? {
            if name.ends_with(".vkey") {
                let path = dir.join(name);
                let key = verifier_key(self.disk.as_ref(), &path, Algorithm::Ed25519)?;
                if logs.insert(key.name.clone(), key).is_some() {
                    return Err(damaged(&path, "another file has a key of the same log: keep the right one"));
                }
            }
        }
        *self.logs.write().unwrap_or_else(PoisonError::into_inner) = logs;
        Ok(())
    }

    /// By what others check its cosignatures.
    pub fn verifier_key(&self) -> VerifierKey {
        self.cosigner.verifier_key()
    }

    /// Which logs it watches.
    pub fn origins(&self) -> Vec<String> {
        self.logs().into_keys().collect()
    }

    /// Answers the body of an `add-checkpoint` request with the line of a cosignature, once what it is about is remembered.
    ///
    /// # Errors
    /// `Fault`; then nothing changed.
    pub fn add(&self, body: &str, now: Timestamp) -> Result<String, Fault> {
        let request = AddCheckpoint::read(body)?;
        let origin = Checkpoint::claimed_origin(&request.note).unwrap_or_default();
        let log = self.logs().remove(origin);
        let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        let last = log.as_ref().map(|log| self.remembered(log)).transpose()?.flatten().map(|(_, last)| last);
        request.judge(log.as_ref(), last.as_ref())?;
        // Judged, it is a note, and of a log with a key.
        let (Ok(note), Some(log)) = (Note::read(&request.note), log) else {
            return Err(Refusal::UnknownLog.into());
        };
        let line = self.cosigner.cosign(note.text, now);
        // What strangers put below it is not kept.
        let by_log: String = note.signatures.iter().filter(|by| by.is_by(&log)).map(|by| log.line(&by.bytes)).collect();
        let path = self.path(origin);
        let kept = format!("{}\n{by_log}{line}", note.text);
        self.disk.replace(&path, kept.as_bytes(), 0o640).map_err(storage("write", &path))?;
        Ok(line)
    }

    /// The last checkpoint cosigned of the log whose origin has that SHA-256, in hexadecimal.
    ///
    /// # Errors
    /// `Fault::Memory`.
    pub fn last_of(&self, hash: &str) -> Result<Option<String>, Fault> {
        let log = self.logs().into_values().find(|log| file_name(&log.name) == hash);
        Ok(log.as_ref().map(|log| self.remembered(log)).transpose()?.flatten().map(|(note, _)| note))
    }

    fn logs(&self) -> BTreeMap<String, VerifierKey> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn path(&self, origin: &str) -> PathBuf {
        self.state.join(CHECKPOINTS).join(file_name(origin))
    }

    /// What is remembered of that log: both signatures must hold.
    fn remembered(&self, log: &VerifierKey) -> Result<Option<(String, Checkpoint)>, Error> {
        let path = self.path(&log.name);
        let bytes = match self.disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(storage("read", &path)(error)),
        };
        let wrong = |what: String| damaged(&path, &format!("what is remembered of {}: {what}", log.name));
        let note = String::from_utf8(bytes).map_err(|_| wrong("it is no text".to_owned()))?;
        let last = Checkpoint::open(&note, &log.name, &log.public).map_err(|error| wrong(error.to_string()))?;
        let own = cosigned(&note, &self.cosigner.verifier_key()).map_err(|error| wrong(error.to_string()))?;
        if own.is_none() {
            return Err(wrong("it is not cosigned by this witness".to_owned()));
        }
        Ok(Some((note, last)))
    }
}

/// Under which name a log's checkpoint is remembered: the SHA-256 of its origin, in hexadecimal.
pub fn file_name(origin: &str) -> String {
    sha256(&[origin.as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn verifier_key(disk: &dyn Disk, path: &Path, algorithm: Algorithm) -> Result<VerifierKey, Error> {
    let bytes = disk.read(path).map_err(storage("read", path))?;
    let key = std::str::from_utf8(&bytes).ok().and_then(VerifierKey::parse);
    key.filter(|key| key.algorithm == algorithm).ok_or_else(|| {
        let of = match algorithm {
            Algorithm::Ed25519 => "a log, such as the vendor's log-keys/portal.vkey",
            Algorithm::CosignatureV1 => "a witness; \"portreeve witness init\" makes one",
        };
        damaged(path, &format!("expected one line with the verifier key of {of}"))
    })
}

fn storage(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Storage { what, path, source }
}

fn damaged(path: &Path, problem: &str) -> Error {
    Error::Damaged { path: path.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
