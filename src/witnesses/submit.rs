//! Hands each new checkpoint to a witness, with the proof that the log only grew, and keeps what comes back.
//! Not here: where a witness is (`endpoint.rs`, `folder.rs`). A log is handed on only if its files are what its checkpoint
//! says, and begin with what the witness remembers: a log that was rolled back does not go on unnoticed.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use tokio::task::spawn_blocking;

use super::endpoint::{Answer, Connection, Endpoint};
use super::folder::Folder;
use super::kept::{keep, kept_of};
use super::{At, Logs, Signed, Trouble, Witness};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::cosignature::{cosigned, cosigned_by_lines};
use crate::audit::note::{Note, lines};
use crate::audit::record::{Kind, Record};
use crate::audit::tree::{Frontier, Hash};
use crate::audit::witnessing::{AddCheckpoint, decimal};
use crate::clock::Clock;
use crate::log::Log;
use crate::log::growth::{begins_with, grown};

/// What one witness remembers, and what was told about it.
pub struct Submitter {
    witness: Witness,
    logs: Logs,
    /// By writer: the tree that the witness was last seen to remember.
    known: BTreeMap<String, Frontier>,
    /// By writer, or nothing where it concerns all: the trouble there is.
    troubles: BTreeMap<String, Trouble>,
}

/// A change in what a witness vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The witness's name.
    pub witness: String,
    /// Whose log it is about; nothing: all of them.
    pub writer: String,
    /// What is the matter; none: it is over.
    pub trouble: Option<Trouble>,
}

/// Hands checkpoints to all of them, each at its own pace, and records in `log` what is the matter. Never ends while
/// there is one.
pub async fn keep_witnessed(witnesses: Vec<Witness>, logs: Logs, log: Log, clock: Arc<dyn Clock>) {
    let mut tasks = tokio::task::JoinSet::new();
    for witness in witnesses {
        let (every, log, clock) = (witness.every, log.clone(), Arc::clone(&clock));
        let mut submitter = Submitter::new(witness, logs.clone());
        tasks.spawn(async move {
            loop {
                for told in submitter.turn().await {
                    tell(&told);
                    if let Err(error) = log.note(told.record(clock.as_ref())) {
                        tracing::error!(%error, "what a witness says could not be recorded");
                    }
                }
                tokio::time::sleep(every).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

fn tell(Told { witness, writer, trouble }: &Told) {
    match trouble {
        None => tracing::info!(witness, log = writer, "the witness vouches for the log again"),
        Some(trouble @ (Trouble::RolledBack(_) | Trouble::Forked(_))) => tracing::error!(
            alarm = "witness",
            witness,
            log = writer,
            verdict = trouble.word(),
            "the log is not the one that the witness remembers: {trouble}"
        ),
        Some(trouble) => tracing::warn!(
            alarm = "witness",
            witness,
            log = writer,
            why = trouble.word(),
            "nobody elsewhere vouches for what is written from now on: {trouble}"
        ),
    }
}

impl Told {
    /// The record of it.
    pub fn record(&self, clock: &dyn Clock) -> Record {
        let kind = if self.trouble.is_some() { Kind::Unwitnessed } else { Kind::Witnessed };
        let mut record = Record::new(clock.now(), kind, None);
        record.skeleton.verb = Some(self.witness.clone());
        record.skeleton.result = self.trouble.as_ref().map(|trouble| trouble.word().to_owned());
        record.skeleton.relations = Some(vec![self.writer.clone()]).filter(|_| !self.writer.is_empty());
        record.values.message = self.trouble.as_ref().map(Trouble::to_string);
        record
    }
}

impl Submitter {
    /// Has told the witness nothing yet.
    pub fn new(witness: Witness, logs: Logs) -> Submitter {
        Submitter { witness, logs, known: BTreeMap::new(), troubles: BTreeMap::new() }
    }

    /// Hands on what is new of every log; gives what changed about what is the matter.
    pub async fn turn(&mut self) -> Vec<Told> {
        let mut now = BTreeMap::new();
        let at = self.witness.at.clone();
        let reached = match &at {
            At::Folder(folder) => Ok(Reached::Folder(folder.clone())),
            At::Endpoint(endpoint) => {
                endpoint.connect().await.map(|open| Reached::Endpoint(endpoint.clone(), Box::new(open)))
            }
        };
        match (reached, self.logs.writers()) {
            (Ok(mut reached), Ok(writers)) => {
                for writer in writers {
                    match self.hand_on(&mut reached, &writer).await {
                        Ok(()) => {}
                        // The others cannot be handed on either.
                        Err(trouble @ Trouble::Unreachable(_)) => {
                            now.insert(String::new(), trouble);
                            break;
                        }
                        Err(trouble) => drop(now.insert(writer, trouble)),
                    }
                }
            }
            (Err(trouble), _) | (_, Err(trouble)) => drop(now.insert(String::new(), trouble)),
        }
        self.told(now)
    }

    /// What changed, by the words of it: that a server is unreachable is told once, however it says so.
    fn told(&mut self, now: BTreeMap<String, Trouble>) -> Vec<Told> {
        let witness = &self.witness.name;
        let before = std::mem::replace(&mut self.troubles, now);
        let told = |writer: &String, trouble| Told { witness: witness.clone(), writer: writer.clone(), trouble };
        let word = |troubles: &BTreeMap<String, Trouble>, writer| troubles.get(writer).map(Trouble::word);
        let new = self.troubles.iter().filter(|(writer, trouble)| word(&before, *writer) != Some(trouble.word()));
        let new = new.map(|(writer, trouble)| told(writer, Some(trouble.clone())));
        let over = before.keys().filter(|writer| !self.troubles.contains_key(*writer)).map(|writer| told(writer, None));
        new.chain(over).collect()
    }

    async fn hand_on(&mut self, reached: &mut Reached, writer: &str) -> Result<(), Trouble> {
        let (logs, name) = (self.logs.clone(), writer.to_owned());
        let signed = blocking(move || logs.signed(&name)).await?;
        if self.known.get(writer).is_some_and(|known| is_known(known, &signed.checkpoint)) {
            return Ok(());
        }
        let known = match self.known.get(writer) {
            Some(known) => known.clone(),
            None => self.first(reached, &signed).await?,
        };
        let tree = match reached {
            Reached::Folder(folder) => {
                let (folder, known) = (folder.clone(), known);
                blocking(move || append(&folder, &signed, &known)).await?
            }
            Reached::Endpoint(endpoint, connection) => {
                let (tree, note) = submit(endpoint, connection, &signed, known).await?;
                let (audit, witness, writer) = (self.logs.audit.clone(), self.witness.name.clone(), writer.to_owned());
                let kept = move || keep(&audit, &witness, &writer, &note).map_err(|error| error.to_string());
                let kept = blocking(move || Ok(kept())).await?;
                if let Err(why) = kept {
                    tracing::warn!(log = signed.writer, why, "a cosigned checkpoint could not be kept for proofs");
                }
                tree
            }
        };
        self.known.insert(writer.to_owned(), tree);
        Ok(())
    }

    /// What the witness remembers of the log, as far as that is known without asking it.
    async fn first(&self, reached: &Reached, signed: &Signed) -> Result<Frontier, Trouble> {
        let last = match reached {
            Reached::Folder(folder) => {
                let (folder, writer) = (folder.clone(), signed.writer.clone());
                blocking(move || folder.last(&writer)).await?
            }
            Reached::Endpoint(endpoint, _) => kept_of(&self.logs.audit, &self.witness.name, &signed.writer)
                .filter(|note| matches!(cosigned(note, &endpoint.key), Ok(Some(_)))),
        };
        let last = last.and_then(|note| Checkpoint::open(&note, &signed.key.name, &signed.key.public).ok());
        let Some(Checkpoint { size, root, .. }) = last else { return Ok(Frontier::new()) };
        let dir = signed.dir.clone();
        blocking(move || Ok(begins_with(&dir, size, Some(&root))?)).await
    }
}

/// A witness that is there.
enum Reached {
    Folder(Folder),
    Endpoint(Endpoint, Box<Connection>),
}

fn is_known(known: &Frontier, signed: &Checkpoint) -> bool {
    known.size() == signed.size && known.root() == signed.root
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Trouble> + Send + 'static) -> Result<T, Trouble> {
    let panicked = |_| Err(Trouble::Unreadable("bug: reading a log for a witness panicked".to_owned()));
    spawn_blocking(work).await.unwrap_or_else(panicked)
}

fn append(folder: &Folder, signed: &Signed, known: &Frontier) -> Result<Frontier, Trouble> {
    let (tree, _) = grown(&signed.dir, known, &signed.checkpoint)?;
    if !is_known(known, &signed.checkpoint) || folder.last(&signed.writer)?.is_none() {
        folder.append(&signed.writer, &signed.note)?;
    }
    Ok(tree)
}

/// Asks for a cosignature; once more if the witness remembers another size than was thought. Gives the tree that it
/// remembers now, and the note with its cosignatures.
async fn submit(
    endpoint: &Endpoint,
    connection: &mut Connection,
    signed: &Signed,
    mut known: Frontier,
) -> Result<(Frontier, String), Trouble> {
    let mut is_again = false;
    loop {
        let old = known.size();
        let (dir, checkpoint) = (signed.dir.clone(), signed.checkpoint.clone());
        let (tree, proof) = blocking(move || Ok(grown(&dir, &known, &checkpoint)?)).await?;
        match answered(endpoint, signed, old, ask(endpoint, connection, old, proof, &signed.note).await?)? {
            Answered::Cosigned(note) => return Ok((tree, note)),
            Answered::Remembers(size) if is_again => {
                return Err(Trouble::Unreachable(format!("{endpoint:?} remembers {size} leaves, and now others")));
            }
            Answered::Remembers(size) => {
                let dir = signed.dir.clone();
                known = blocking(move || Ok(begins_with(&dir, size, None)?)).await?;
                is_again = true;
            }
        }
    }
}

/// Once more over a new connection: while a long log was read the witness may have closed the first, on which nothing came.
async fn ask(
    endpoint: &Endpoint,
    connection: &mut Connection,
    old: u64,
    proof: Vec<Hash>,
    note: &str,
) -> Result<Answer, Trouble> {
    let body = AddCheckpoint { old, proof, note: note.to_owned() }.to_body();
    match connection.send(Method::POST, "/add-checkpoint", body.clone()).await {
        Err(Trouble::Unreachable(_)) => {
            *connection = endpoint.connect().await?;
            connection.send(Method::POST, "/add-checkpoint", body).await
        }
        answered => answered,
    }
}

/// What a witness that is no stranger answers.
enum Answered {
    /// The note with its cosignatures.
    Cosigned(String),
    /// It remembers another size, no larger than the log is.
    Remembers(u64),
}

fn answered(endpoint: &Endpoint, signed: &Signed, old: u64, (status, said): Answer) -> Result<Answered, Trouble> {
    let (origin, size) = (&signed.checkpoint.origin, signed.checkpoint.size);
    let says = || format!("{endpoint:?} answers {status} about {origin}: {}", said.trim_end());
    match status {
        StatusCode::OK => with_cosignatures(endpoint, signed, &said).map(Answered::Cosigned).ok_or_else(|| {
            Trouble::Unreachable(format!(
                "{endpoint:?} answers about {origin} without a cosignature by {}",
                endpoint.key.name
            ))
        }),
        StatusCode::CONFLICT => match said.strip_suffix('\n').and_then(decimal) {
            None => Err(Trouble::Unreachable(says())),
            Some(remembers) if remembers > size => Err(Trouble::RolledBack(format!(
                "{endpoint:?} remembers {remembers} leaves of {origin}, and it is signed for {size}"
            ))),
            Some(remembers) if remembers == old => {
                Err(Trouble::Forked(format!("{endpoint:?} remembers {remembers} other leaves of {origin}")))
            }
            Some(remembers) => Ok(Answered::Remembers(remembers)),
        },
        StatusCode::UNPROCESSABLE_ENTITY => Err(Trouble::Forked(format!(
            "{endpoint:?} remembers {old} leaves of {origin} with which it does not begin"
        ))),
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Err(Trouble::Refused(says())),
        _ => Err(Trouble::Unreachable(says())),
    }
}

/// The log's note with the cosignatures of that witness below it; what else was answered is left out.
fn with_cosignatures(endpoint: &Endpoint, signed: &Signed, said: &str) -> Option<String> {
    let text = Note::read(&signed.note).ok()?.text;
    cosigned_by_lines(text, said, &endpoint.key).ok()??;
    let own = lines(said).ok()?;
    let own = own.iter().filter(|line| line.is_by(&endpoint.key)).map(|line| endpoint.key.line(&line.bytes));
    Some(format!("{}{}", signed.note, own.collect::<String>()))
}

#[cfg(test)]
#[path = "submit_tests.rs"]
mod tests;
