//! `keys rotate log`: closes a writer's log and lets it go on as another, under another key.
//! Not here: the keys' files (`keyring/succession.rs`) and what the two logs say of each other (`log/together.rs`).
//! Cut off anywhere, it is done again; until then the writer does not start, or starts with the old log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::owner::Owner;
use crate::audit::checkpoint::{Checkpoint, SigningKey, verifier_key};
use crate::audit::keys::{Recipient, Recipients};
use crate::audit::record::{Kind, Record};
use crate::cli::context::{and_then, warn};
use crate::cli::keyring::WRITER;
use crate::cli::{Context, Failure, Table};
use crate::clock::{Clock, SystemClock};
use crate::disk::{Disk, RealDisk};
use crate::entropy::OsEntropy;
use crate::keyring::succession::{Next, adopt, own_next, prepare};
use crate::keyring::{Client, Kept, init, pinned};
use crate::log::reader::Reader;
use crate::log::{self, Log, origin, start};
use crate::register;

/// Rotates the log of that writer, and says as which one it goes on.
pub(super) async fn log(context: &Context, writer: &str) -> Result<Table, Failure> {
    let secret = secret(context, writer)?;
    let (public_key, audit) = (&context.config.keyring.public_key, &context.config.audit.directory);
    let signing = SigningKey::from_seed(&init::read_seed(&secret)?);
    let old = pinned::log_name(public_key, writer, &signing.public())?;
    check_pinned(public_key, &old, &signing)?;
    // Before a next key is made: whose log it is stays to be seen, and a link has no log behind it.
    let owner = Owner::of(&audit.join(&old))?;
    let lock = audit.join(&old).join(start::LOCK);
    if RealDisk
        .is_locked(&lock)
        .map_err(|fault| Failure::failed(format!("cannot look at {}: {fault}", lock.display())))?
    {
        return Err(Failure::failed(format!("the log {old} is being written: stop what writes it first")));
    }
    let keys = Keys::begin(context, writer).await?;
    let Some(next) = prepare(&RealDisk, public_key, writer, &secret, &OsEntropy)? else {
        warn("an earlier rotation was cut off at its very end; it is done now");
        return Ok(told(context, &old, &old));
    };
    own_next(&secret)?;
    let (old_name, next_name) = (old.clone(), next.name.clone());
    let rotation = Rotation { context, secret: secret.clone(), old, owner, public: signing.public(), next };
    rotation.close(&keys).await?;
    rotation.begin(&keys)?;
    adopt(&RealDisk, &secret)?;
    Ok(told(context, &old_name, &next_name))
}

/// Where the signing key of that writer's log is.
fn secret(context: &Context, writer: &str) -> Result<PathBuf, Failure> {
    let writers = super::writers(context)?;
    let found = writers.iter().find(|(name, _)| name == writer);
    found.map(|(_, secret)| secret.clone()).ok_or_else(|| {
        let known: Vec<&str> = writers.iter().map(|(name, _)| name.as_str()).collect();
        Failure::usage(format!("no writer \"{writer}\" has its key here; those that do: {}", known.join(", ")))
    })
}

fn check_pinned(public_key: &Path, name: &str, signing: &SigningKey) -> Result<(), Failure> {
    let path = pinned::log_key(public_key, name);
    if init::read_public_key(&path)? == signing.public() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} is not the key that signs the log {name}: run \"portreeve keys doctor\"",
        path.display()
    )))
}

/// Keys to seal the logs' own records to.
struct Keys {
    recipients: Recipients,
    /// None for the keyring's own log: the keyring does not run.
    client: Option<Client>,
}

impl Keys {
    async fn begin(context: &Context, writer: &str) -> Result<Keys, Failure> {
        let config = &context.config.keyring;
        if writer == WRITER {
            let mut kept = Kept::open(Arc::new(RealDisk), &config.file, &config.credential)?;
            kept = kept.with_copies(config.copies.clone())?;
            return Ok(Keys { recipients: kept.own_recipients(&SystemClock, &OsEntropy)?, client: None });
        }
        let client = Client::connect(&config.socket, init::read_public_key(&config.public_key)?).await?;
        let recipients = Recipients::new();
        client.ensure(&recipients, &[Recipient::Vendor]).await?;
        Ok(Keys { recipients, client: Some(client) })
    }
}

struct Rotation<'a> {
    context: &'a Context,
    secret: PathBuf,
    old: String,
    /// Whose log it is, who is the only one to touch its files, whoever rotates it.
    owner: Owner,
    /// The old log's key.
    public: [u8; 32],
    next: Next,
}

impl Rotation<'_> {
    /// Ends the old log, unless that was done.
    async fn close(&self, keys: &Keys) -> Result<(), Failure> {
        let remembered = match self.context.register() {
            Ok(register) => register.remembered(&self.old)?,
            Err(failure) => {
                warn(&format!(
                    "the log is not compared with the register, which cannot be read: {}",
                    failure.message()
                ));
                None
            }
        };
        let signing = SigningKey::from_seed(&init::read_seed(&self.secret)?);
        let settings = log::Settings::new(&self.old, signing).remembering(remembered);
        let log = match open(self.context, self.owner, &self.dir(&self.old), settings, keys)? {
            Err(log::Error::Continued { next, .. }) if next == self.key() => return Ok(()),
            opened => opened?,
        };
        if let Err(failure) = self.check_intents(&log, keys).await {
            return and_then(Err(failure), log.close().map_err(Failure::from));
        }
        let mut record = Record::new(SystemClock.now(), Kind::KeysMade, None);
        record.skeleton.verb = Some("rotate-log".to_owned());
        record.skeleton.result = Some("allowed".to_owned());
        record.skeleton.uid = Some(rustix::process::getuid().as_raw());
        record.values.message = Some(format!("{} goes on as {}", self.old, self.next.name));
        log.record(record).await?;
        Ok(log.close_to_continue(&self.next.name, &self.next.signing.public())?)
    }

    /// Changes that a writer which died was about to make are resolved in the log that says so.
    async fn check_intents(&self, log: &Log, keys: &Keys) -> Result<(), Failure> {
        let (dir, origin) = (self.dir(&self.old), log.checkpoint().origin);
        let Some(client) = keys.client.as_ref().filter(|_| register::has_intents(&dir, 0).unwrap_or(true)) else {
            return Ok(());
        };
        let known = Recipients::new();
        client.known(&known).await?;
        let opener = |sealed| client.open(sealed, &self.old, "whether its log may be rotated");
        match register::open_intents(&dir, &origin, 0, &known, opener).await?.len() {
            0 => Ok(()),
            open => Err(Failure::failed(format!(
                "{open} changes that {} was about to make when it died are not resolved: start it once, stop it, and \
                 rotate its log then",
                self.old
            ))),
        }
    }

    /// The signed note with which the old log ended.
    fn ended(&self) -> Result<String, Failure> {
        let reader = self.owner.act(|| Reader::open(&self.dir(&self.old)))??;
        let note = reader.note().to_owned();
        let ended = Checkpoint::open(&note, &origin(&self.old), &self.public)
            .map_err(|error| Failure::failed(format!("{error}: run \"portreeve audit verify\"")))?;
        remember(self.context, &ended);
        Ok(note)
    }

    /// Begins the new log, unless that was done.
    fn begin(self, keys: &Keys) -> Result<(), Failure> {
        let (note, dir) = (self.ended()?, self.dir(&self.next.name));
        let settings = log::Settings::new(&self.next.name, self.next.signing).continuing(note);
        let log = open(self.context, self.owner, &dir, settings, keys)??;
        log.clone().close()?;
        remember(self.context, &log.checkpoint());
        Ok(())
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.context.config.audit.directory.join(name)
    }

    fn key(&self) -> String {
        verifier_key(&origin(&self.next.name), &self.next.signing.public())
    }
}

/// The register remembers how long that log is: the old one as it ended, the new one before its writer ever ran.
fn remember(context: &Context, Checkpoint { origin, size, root }: &Checkpoint) {
    let noted = context.register().and_then(|register| Ok(register.note_checkpoint(origin, *size, *root)?));
    if let Err(error) = noted {
        warn(&format!("the register does not remember how long the log {origin} is: {}", error.message()));
    }
}

/// Opens a log as its owner; so do its threads work.
fn open(
    context: &Context,
    owner: Owner,
    dir: &Path,
    settings: log::Settings,
    keys: &Keys,
) -> Result<Result<Log, log::Error>, Failure> {
    let audit = &context.config.audit;
    let settings = settings.sized(audit.segment_bytes, audit.reserve_bytes, audit.epoch_after, audit.epoch_bytes);
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    owner.act(|| Log::open(Arc::new(RealDisk), dir, settings, keys.recipients.clone(), clock, entropy))
}

fn told(context: &Context, old: &str, new: &str) -> Table {
    let mut table = Table::new(&["log", "goes_on_as", "key"]);
    let key = pinned::log_key(&context.config.keyring.public_key, new);
    table.row([old.into(), new.into(), key.display().to_string().into()]);
    table
}
