//! Asking the keyring: one request at a time over one connection, opened again when it was closed.
//! Not here: what the answers are used for.
//! Public keys are believed only with the pinned keyring's signature, whoever answers at the socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Error;
use super::destroy::{Doom, Doomed};
use super::kept::Written;
use super::keys::Slot;
use super::protocol::{self, After, Answer, Erased, ITEMS_MAX, Request, Unread};
use crate::audit::keys::{Part, Recipient, Recipients, SealedDataKey, TagKey};
use crate::secret::{Secret, wipe_stack};

/// An answer takes no longer, or the keyring counts as unreachable.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What was destroyed: whose keys, of which part, in which period; none: in all of them.
pub type Gone = (Recipient, Part, Option<u32>);

/// A connection to the keyring; clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    keyring_key: [u8; 32],
    stream: Arc<Mutex<Option<UnixStream>>>,
}

impl Client {
    /// Connects to the keyring at that socket, whose Ed25519 public key is pinned.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn connect(path: &Path, keyring_public_key: [u8; 32]) -> Result<Client, Error> {
        let stream = connect(path).await?;
        let stream = Arc::new(Mutex::new(Some(stream)));
        Ok(Client { path: path.to_owned(), keyring_key: keyring_public_key, stream })
    }

    /// Has keys made where there are none, and puts public keys (now and 30 days ahead) and tag keys of all
    /// `wanted` into `recipients`. For writers; cancel-safe.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Untrusted`], [`Error::Unreachable`], [`Error::Failed`].
    pub async fn ensure(&self, recipients: &Recipients, wanted: &[Recipient]) -> Result<(), Error> {
        for wanted in wanted.chunks(ITEMS_MAX) {
            let keys = match self.call(Request::Create(wanted.to_vec())).await? {
                Answer::Keys(keys) => keys,
                other => return Err(failed("create", other)),
            };
            let tags = match self.call(Request::Tags(wanted.to_vec())).await? {
                Answer::Tags(tags) => tags,
                other => return Err(failed("tags", other)),
            };
            let untrusted = |recipient: Recipient| Error::Untrusted { recipient: recipient.to_string() };
            for key in &keys {
                key.verify(&self.keyring_key).map_err(|_| untrusted(key.recipient))?;
            }
            for recipient in wanted {
                let has = |part| keys.iter().any(|key| key.recipient == *recipient && key.part == part);
                let tagged = tags.iter().any(|tag| tag.recipient == *recipient);
                if !tagged || !Part::ALL.into_iter().all(has) {
                    let reason = format!("it sent no keys for {recipient}");
                    return Err(Error::Failed { verb: "create".to_owned(), reason });
                }
            }
            keys.into_iter().for_each(|key| recipients.set(key));
            tags.iter().for_each(|tag| recipients.set_tag(tag.recipient, TagKey(Secret::new(tag.key))));
        }
        Ok(())
    }

    /// Puts the tag keys of everybody whom the keyring knows into `recipients`, and what was destroyed: with them a
    /// reader recognises whose a leaf is, and what is erased. For openers; cancel-safe.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], [`Error::Failed`].
    pub async fn known(&self, recipients: &Recipients) -> Result<(), Error> {
        let mut after = None;
        loop {
            let tags = match self.call(Request::Known(after.map(After))).await? {
                Answer::Tags(tags) => tags,
                other => return Err(failed("known", other)),
            };
            tags.iter().for_each(|tag| recipients.set_tag(tag.recipient, TagKey(Secret::new(tag.key))));
            let last = tags.iter().map(|tag| tag.recipient).max();
            if tags.len() < ITEMS_MAX || last <= after {
                break;
            }
            after = last;
        }
        let mut seen: u64 = 0;
        loop {
            let erased = match self.call(Request::Destroyed(seen)).await? {
                Answer::Destroyed(erased) => erased,
                other => return Err(failed("destroyed", other)),
            };
            erased.iter().for_each(|Erased { recipient, part, period }| {
                recipients.set_erased(*recipient, *part, *period);
            });
            seen = seen.saturating_add(u64::try_from(erased.len()).unwrap_or(u64::MAX));
            if erased.len() < ITEMS_MAX {
                return Ok(());
            }
        }
    }

    /// Has keys destroyed. Asked again with the same event, it tries again what is pending. For destroyers; cancel-safe.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], [`Error::Failed`]: then it is not known whether they are gone.
    pub async fn destroy(&self, doom: &Doom) -> Result<Doomed, Error> {
        let Doom { event, recipient, parts, periods } = doom.clone();
        match self.call(Request::Destroy { event: event.0, recipient, parts, periods }).await? {
            Answer::Doomed { keys, pending } => Ok(Doomed { keys, pending }),
            other => Err(failed("destroy", other)),
        }
    }

    /// The keyring's generation, and for what there are keys. For openers; cancel-safe.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], [`Error::Failed`].
    pub async fn held(&self) -> Result<(u64, Vec<Slot>), Error> {
        let mut all: Vec<Slot> = Vec::new();
        loop {
            match self.call(Request::Held(all.last().copied())).await? {
                Answer::Held { generation, keys } => {
                    let is_last = keys.len() < ITEMS_MAX || keys.last() <= all.last();
                    all.extend(keys);
                    if is_last {
                        return Ok((generation, all));
                    }
                }
                other => return Err(failed("held", other)),
            }
        }
    }

    /// What was destroyed: whose keys, of which part, in which period or in all. For openers; cancel-safe.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], [`Error::Failed`].
    pub async fn destroyed(&self) -> Result<Vec<Gone>, Error> {
        self.destroyed_from(0).await
    }

    /// The same, from that entry on: nothing of it is ever taken off the list.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], [`Error::Failed`].
    pub async fn destroyed_from(&self, from: u64) -> Result<Vec<Gone>, Error> {
        let mut all = Vec::new();
        loop {
            let erased = match self.call(Request::Destroyed(from.saturating_add(all.len() as u64))).await? {
                Answer::Destroyed(erased) => erased,
                other => return Err(failed("destroyed", other)),
            };
            all.extend(erased.iter().map(|Erased { recipient, part, period }| (*recipient, *part, *period)));
            if erased.len() < ITEMS_MAX {
                return Ok(all);
            }
        }
    }

    /// Has the copies of the keyring's file written again. For openers; cancel-safe.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], [`Error::Failed`].
    pub async fn back_up(&self) -> Result<Written, Error> {
        self.write(Request::Backup).await
    }

    /// Has the keyring's file written under a new generation secret. For openers; cancel-safe.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], [`Error::Failed`].
    pub async fn rotate(&self) -> Result<Written, Error> {
        self.write(Request::Rotate).await
    }

    async fn write(&self, request: Request) -> Result<Written, Error> {
        let verb = request.verb();
        match self.call(request).await? {
            Answer::Written { generation, behind, copies } => Ok(Written { generation, behind, copies }),
            other => Err(failed(verb, other)),
        }
    }

    /// Opens data keys, all or none, in the order given. `who` and `why` are recorded. For openers; cancel-safe.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NotOpened`], [`Error::Unreachable`], [`Error::Failed`].
    pub async fn open(&self, sealed: Vec<SealedDataKey>, who: &str, why: &str) -> Result<Vec<Secret<[u8; 32]>>, Error> {
        let mut opened = Vec::with_capacity(sealed.len());
        for keys in sealed.chunks(ITEMS_MAX) {
            let request = Request::Open { keys: keys.to_vec(), who: who.to_owned(), why: why.to_owned() };
            match self.call(request).await? {
                Answer::Opened(answer) if answer.len() == keys.len() => {
                    opened.extend(answer.iter().map(|key| Secret::new(key.0)));
                }
                other => return Err(failed("open", other)),
            }
            wipe_stack();
        }
        Ok(opened)
    }

    /// One request and its answer. A connection that was closed while idle is opened again once. The stream is taken
    /// out while a request is under way, so that a caller that gives up never leaves a foreign answer behind.
    async fn call(&self, request: Request) -> Result<Answer, Error> {
        let message = protocol::encode(&request)?;
        let mut kept = self.stream.lock().await;
        if let Some(mut stream) = kept.take()
            && let Ok(answer) = exchange(&mut stream, &message).await
        {
            *kept = Some(stream);
            return Ok(answer);
        }
        let mut stream = connect(&self.path).await?;
        let answer = exchange(&mut stream, &message).await.map_err(|unread| match unread {
            Unread::Closed => self.unreachable(std::io::ErrorKind::UnexpectedEof.into()),
            Unread::Io(source) => self.unreachable(source),
            Unread::Message(error) => error,
        })?;
        *kept = Some(stream);
        Ok(answer)
    }

    fn unreachable(&self, source: std::io::Error) -> Error {
        Error::Unreachable { path: self.path.clone(), source }
    }
}

async fn connect(path: &Path) -> Result<UnixStream, Error> {
    UnixStream::connect(path).await.map_err(|source| Error::Unreachable { path: path.to_owned(), source })
}

async fn exchange(stream: &mut UnixStream, message: &[u8]) -> Result<Answer, Unread> {
    let both = async {
        protocol::write(stream, message).await.map_err(Unread::Io)?;
        protocol::read(stream).await
    };
    timeout(ANSWER_WITHIN, both).await.unwrap_or_else(|_| Err(Unread::Io(std::io::ErrorKind::TimedOut.into())))
}

/// The error in an answer that is not the one asked for.
fn failed(verb: &str, answer: Answer) -> Error {
    match answer {
        Answer::Refused { uid, verb } => Error::refused(uid, &verb),
        Answer::NotOpened { origin, position, reason } => Error::NotOpened { origin, position, reason },
        Answer::Failed(reason) => Error::Failed { verb: verb.to_owned(), reason },
        Answer::Gone(recipient) => Error::Destroyed { recipient },
        Answer::Keys(_)
        | Answer::Tags(_)
        | Answer::Opened(_)
        | Answer::Doomed { .. }
        | Answer::Destroyed(_)
        | Answer::Held { .. }
        | Answer::Written { .. } => {
            Error::Failed { verb: verb.to_owned(), reason: "its answer was to another question".to_owned() }
        }
    }
}
