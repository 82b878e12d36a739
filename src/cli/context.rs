//! What the verbs that change the register need: the register itself, the command line's own audit log, the keyring.
//! Not here: what the verbs do. Everything is opened when it is needed, so that a list needs no keyring.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::Ed25519KeyPair;
use serde_json::Value;

use super::{Context, Failure};
use crate::audit::checkpoint::{Checkpoint, SigningKey};
use crate::audit::keys::{Recipient, Recipients};
use crate::clock::{SystemClock, Timestamp};
use crate::config;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::grant::{By, Customer, Draft, ERASED, Grant, Lock, Owner, Staff, State, Trust, What};
use crate::ids::CustomerId;
use crate::keyring;
use crate::log::{self, Log};
use crate::register::{self, Acts, At, Done, Error, Hands, Register, Shut};
use crate::secret::Secret;

/// How long a command waits for another command to be done with the log.
const LOG_WITHIN: Duration = Duration::from_secs(20);
/// How long a change that only takes access away waits until it can be recorded.
const NARROW_WITHIN: Duration = Duration::from_secs(2);
/// How long the register may take to be read before the proxies are told to shut something without it.
const REGISTER_WITHIN: Duration = Duration::from_millis(500);
/// The longest line that is read as a password, in bytes.
const PASSWORD_BYTES_MAX: usize = 4096;
/// The shortest password that is taken, in characters.
const PASSWORD_CHARACTERS_MIN: usize = 8;

/// The command line, ready to change the register.
pub(super) struct Desk {
    acts: Acts,
    seen: PathBuf,
    /// Where it is noted up to which position of the log no intent is open, and whether none is.
    resolved: PathBuf,
    is_resolved: bool,
}

impl Context {
    /// The register, checked whole, and held against what the command line saw last.
    ///
    /// # Errors
    /// As [`Register::open_seen`] and [`Register::hold_against`].
    pub(super) fn register(&self) -> Result<Register, Failure> {
        let seen = self.seen();
        let register = Register::open_seen(&self.config.register, self.trust()?, &seen)?;
        register.hold_against(&seen)?;
        Ok(register)
    }

    /// The register and its state, for a verb that takes access away from what `shut` names. If it cannot be read, or
    /// not soon, the proxies are told to shut it by its id alone.
    ///
    /// # Errors
    /// As [`Context::register`], with what the proxies did.
    pub(super) async fn register_to_narrow(&self, shut: Option<Lock>) -> Result<(Register, Arc<State>), Failure> {
        let (at, trust, seen) = (At::from(&self.config.register), self.trust()?, self.seen());
        let place = at.place();
        let mut reading = tokio::task::spawn_blocking(move || {
            let register = Register::open_seen(at, trust, &seen)?;
            register.hold_against(&seen)?;
            let state = register.state()?;
            Ok((register, state))
        });
        let sockets = self.sockets();
        let read = match (tokio::time::timeout(REGISTER_WITHIN, &mut reading).await, shut) {
            (Ok(read), _) => read,
            (Err(_elapsed), None) => reading.await,
            (Err(_elapsed), Some(lock)) => {
                let told = register::lock(&sockets, &[lock], None).await;
                told.warnings.iter().for_each(|text| warn(text));
                reading.await
            }
        };
        let fault: Error = match read.map_err(|_| Error::Bug("the task that reads the register panicked")) {
            Ok(Ok(read)) => return Ok(read),
            Ok(Err(fault)) | Err(fault) => fault,
        };
        Err(match shut {
            Some(lock) => register::lock_unread(&sockets, lock, &place, fault).await.into(),
            None => Failure::failed(format!(
                "{fault}; nothing was shut: \"portreeve customer revoke\", \"staff remove\" and \"grant revoke\" have the \
                 proxies shut an id such as c7, s7 or g7 without the register"
            )),
        })
    }

    /// The state as it is now.
    ///
    /// # Errors
    /// As [`Context::register`].
    pub(super) fn state(&self) -> Result<Arc<State>, Failure> {
        Ok(self.register()?.state()?)
    }

    /// Opens what an act needs, with keys for the records of these customers.
    ///
    /// # Errors
    /// If the register, the keyring or the log cannot be used; each says what to do.
    pub(super) async fn desk(&self, register: Register, customers: &[CustomerId]) -> Result<Desk, Failure> {
        let keyring_key = keyring::init::read_public_key(&self.config.keyring.public_key)?;
        let keyring = keyring::Client::connect(&self.config.keyring.socket, keyring_key).await?;
        let recipients = Recipients::new();
        // Of a closed account nothing is sealed to its own keys any more, nor are any made.
        let state = register.state()?;
        let sealed_to = customers.iter().filter_map(|customer| state.sealed_for(*customer));
        let wanted: Vec<_> = std::iter::once(Recipient::Vendor).chain(sealed_to.map(Recipient::Customer)).collect();
        keyring.ensure(&recipients, &wanted).await?;
        let log = self.log(&register, &recipients).await?;
        let Checkpoint { origin, size, root } = log.checkpoint();
        register.note_checkpoint(&origin, size, root)?;
        let acts = Acts {
            register,
            log,
            trust: self.trust()?,
            sockets: self.sockets(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        };
        let desk =
            Desk { acts, seen: self.seen(), resolved: self.config.cli.state.join("resolved"), is_resolved: true };
        match self.resolve(&desk, &keyring, &recipients).await {
            Ok(()) => Ok(desk),
            Err(failure) => {
                let why = failure.message();
                warn(&format!("what a command that died was about to change is not resolved: {why}"));
                Ok(Desk { is_resolved: false, ..desk })
            }
        }
    }

    /// Finds out what became of what an earlier command was about to change when it died, and records it.
    async fn resolve(&self, desk: &Desk, keyring: &keyring::Client, recipients: &Recipients) -> Result<(), Failure> {
        let writer = self.writer()?;
        let Checkpoint { origin, size, .. } = desk.acts.log.checkpoint();
        let directory = self.config.audit.directory.join(log::name_of(&origin));
        let from = register::resolved_up_to(&desk.resolved);
        if register::has_intents(&directory, from)? {
            keyring.known(recipients).await?;
            let opener = |keys| keyring.open(keys, &writer, "what became of what was about to be changed");
            let open = register::open_intents(&directory, &origin, from, recipients, opener).await?;
            let state = desk.acts.register.state()?;
            let sealed_for = |customer| state.sealed_for(customer);
            let concerned: Vec<_> =
                open.iter().map(|intent| Recipient::of(intent.customer.and_then(sealed_for))).collect();
            keyring.ensure(recipients, &concerned).await?;
            for (intent, found) in desk.acts.resolve_open_intents(&open).await? {
                let became = found.map_or("was not made".to_owned(), |sequence| format!("is event {sequence}"));
                warn(&format!("a command died over change {}, which {became}; that is recorded", intent.event));
            }
        }
        Ok(register::note_resolved(&desk.resolved, size)?)
    }

    /// Makes a change that only takes access away: the proxies are told first; recorded if the keyring and the log can be
    /// opened soon, and done in any case.
    ///
    /// # Errors
    /// If the rules forbid it, or the register cannot be written.
    pub(super) async fn narrow(
        &self,
        register: Register,
        known: &State,
        customers: &[CustomerId],
        what: What,
    ) -> Result<Done, Failure> {
        let build = |_: &State| Ok(Draft { by: By::Operator, what, personal: None });
        let (trust, sockets) = (self.trust()?, self.sockets());
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let hands = Hands { register: register.clone(), trust, sockets, clock, entropy };
        let shut = hands.shut(known, None, build).await;
        let why = match tokio::time::timeout(NARROW_WITHIN, self.desk(register.clone(), customers)).await {
            Ok(Ok(desk)) => return desk.act_after(shut, build).await,
            Ok(Err(failure)) => failure.message().to_owned(),
            Err(_elapsed) => "the keyring or the audit log is busy".to_owned(),
        };
        warn(&format!("the audit log cannot be written: {why}"));
        let done = hands.narrow(shut, build).await?;
        done.warnings.iter().for_each(|text| warn(text));
        Ok(done)
    }

    /// The command line's own log, which must begin with all that the register remembers of it; waits while another
    /// command has it.
    async fn log(&self, register: &Register, recipients: &Recipients) -> Result<Log, Failure> {
        let (writer, audit) = (self.writer()?, &self.config.audit);
        let since = Instant::now();
        loop {
            let signing = SigningKey::from_seed(&keyring::init::read_seed(&self.config.cli.log_key)?);
            let writer = keyring::pinned::log_name(&self.config.keyring.public_key, &writer, &signing.public())?;
            let directory = audit.directory.join(&writer);
            let settings = log::Settings::new(&writer, signing)
                .sized(audit.segment_bytes, audit.reserve_bytes, audit.epoch_after, audit.epoch_bytes)
                .remembering(register.remembered(&writer)?);
            let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
            match Log::open(Arc::new(RealDisk), &directory, settings, recipients.clone(), clock, entropy) {
                Err(log::Error::Locked(_)) if since.elapsed() < LOG_WITHIN => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                opened => return Ok(opened?),
            }
        }
    }

    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        Ok(Trust { portal_key: keyring::init::read_public_key(&self.config.portal.signing_public_key)? })
    }

    /// The proxies' control sockets.
    pub(super) fn sockets(&self) -> Vec<PathBuf> {
        vec![self.config.proxy.socket.clone()]
    }

    fn seen(&self) -> PathBuf {
        self.config.cli.state.join("seen")
    }
}

impl Desk {
    /// Everything acts need, for more than one of them.
    pub(super) fn acts(&self) -> &Acts {
        &self.acts
    }

    /// The log, to record what is refused before it becomes an act.
    pub(super) fn log(&self) -> &Log {
        &self.acts.log
    }

    /// Makes one change and closes the log; warnings go to standard error.
    ///
    /// # Errors
    /// As [`Acts::act`].
    pub(super) async fn act(self, build: impl FnMut(&State) -> Result<Draft, Error>) -> Result<Done, Failure> {
        self.finish(None, None, build).await
    }

    /// As [`Desk::act`], signed with that key: of a one-time code.
    ///
    /// # Errors
    /// As [`Acts::act`].
    pub(super) async fn act_signed(
        self,
        key: &Ed25519KeyPair,
        build: impl FnMut(&State) -> Result<Draft, Error>,
    ) -> Result<Done, Failure> {
        self.finish(None, Some(key), build).await
    }

    /// As [`Desk::act`], after what it narrows was shut.
    ///
    /// # Errors
    /// As [`Acts::act_after`].
    pub(super) async fn act_after(
        self,
        shut: Option<Shut>,
        build: impl FnMut(&State) -> Result<Draft, Error>,
    ) -> Result<Done, Failure> {
        self.finish(shut, None, build).await
    }

    async fn finish(
        self,
        shut: Option<Shut>,
        signer: Option<&Ed25519KeyPair>,
        build: impl FnMut(&State) -> Result<Draft, Error>,
    ) -> Result<Done, Failure> {
        let done = self.acts.act_after(shut, signer, build).await;
        self.leave(done.as_ref().is_ok_and(|done| done.concluded));
        let done = done?;
        done.warnings.iter().for_each(|text| warn(text));
        Ok(done)
    }

    /// Closes the log after acts; whether what became of all of them is recorded.
    pub(super) fn leave(self, concluded: bool) {
        let (log, note) = (self.acts.log.clone(), self.resolved.clone());
        let concluded = self.is_resolved && concluded;
        match self.close() {
            Ok(()) if concluded => {
                if let Err(fault) = register::note_resolved(&note, log.checkpoint().size) {
                    warn(&fault.to_string());
                }
            }
            Ok(()) => {}
            // What was done is done.
            Err(failure) => warn(failure.message()),
        }
    }

    /// Closes the log; the register remembers how far it came, and the command line how far the register came.
    ///
    /// # Errors
    /// If any of these cannot be written.
    pub(super) fn close(self) -> Result<(), Failure> {
        let Desk { acts: Acts { register, log, .. }, seen, .. } = self;
        log.clone().close()?;
        let Checkpoint { origin, size, root } = log.checkpoint();
        match register.note_checkpoint(&origin, size, root) {
            // Another command has opened the log since, gone on with it, and said so first.
            Err(Error::LogBehind { found, known, .. }) if found < known => {}
            noted => noted?,
        }
        Ok(register.hold_against(&seen)?)
    }
}

/// What was done and then ended. Of two errors the first is what went wrong; the other is told as a warning.
pub(super) fn and_then<T>(done: Result<T, Failure>, end: Result<(), Failure>) -> Result<T, Failure> {
    match (done, end) {
        (done, Ok(())) => done,
        (Ok(_), Err(end)) => Err(end),
        (Err(fault), Err(end)) => {
            warn(end.message());
            Err(fault)
        }
    }
}

/// A line on standard error; if that is gone there is nobody to tell.
pub(super) fn warn(text: &str) {
    let _nobody = writeln!(io::stderr(), "portreeve: warning: {text}");
}

/// The same of what is no warning.
pub(super) fn tell(text: &str) {
    let _nobody = writeln!(io::stderr(), "portreeve: {text}");
}

/// The customer of that name, or else of that id (`c7`). By a name that it no longer has nothing is done.
pub(super) fn customer<'s>(state: &'s State, name: &str) -> Result<&'s Customer, Failure> {
    let by_id = || name.parse().ok().and_then(|id| state.customer(id));
    let found = state.customer_named(name).or_else(by_id);
    found.ok_or_else(|| match state.customer_formerly(name) {
        Some(Customer { name: now, id, .. }) => {
            Failure::usage(format!("customer \"{name}\" is called \"{now}\" now: give that name, or {id}"))
        }
        None => absent("customer", name, "portreeve customer list"),
    })
}

/// The same for what is only looked at, by a name it had as well, which is said.
pub(super) fn customer_looked_up<'s>(state: &'s State, name: &str) -> Result<&'s Customer, Failure> {
    let by_id = || name.parse().ok().and_then(|id| state.customer(id));
    match state.customer_named(name).or_else(by_id) {
        Some(found) => Ok(found),
        None => {
            let found =
                state.customer_formerly(name).ok_or_else(|| absent("customer", name, "portreeve customer list"))?;
            warn(&format!("customer \"{name}\" is called \"{}\" now ({})", found.name, found.id));
            Ok(found)
        }
    }
}

/// The staff member of that name, or else of that id (`s7`).
pub(super) fn staff<'s>(state: &'s State, name: &str) -> Result<&'s Staff, Failure> {
    let by_id = || name.parse().ok().and_then(|id| state.staff(id));
    let found = state.staff_named(name).or_else(by_id);
    found.ok_or_else(|| absent("staff member", name, "portreeve staff list"))
}

/// The owner of that name, or else of that id (`o7`), removed ones included.
pub(super) fn owner<'s>(state: &'s State, name: &str) -> Result<&'s Owner, Failure> {
    let by_name = state.owners().find(|owner| owner.name == name && owner.name != ERASED);
    let found = by_name.or_else(|| name.parse().ok().and_then(|id| state.owner(id)));
    found.ok_or_else(|| absent("owner", name, "portreeve owner list"))
}

/// The grant of that id (`g7`).
pub(super) fn grant<'s>(state: &'s State, id: &str) -> Result<&'s Grant, Failure> {
    let found = id.parse().ok().and_then(|id| state.grant(id));
    found.ok_or_else(|| absent("grant", id, "portreeve grant list"))
}

pub(super) fn absent(what: &str, name: &str, list: &str) -> Failure {
    Failure::usage(format!("there is no {what} \"{name}\"; see \"{list}\""))
}

/// A moment as a cell: RFC 3339 to the second.
pub(super) fn moment(at: Timestamp) -> Value {
    let full = at.to_string();
    full.split_once('.').map_or(Value::Null, |(seconds, _)| format!("{seconds}Z").into())
}

/// The name of whoever acted, as far as the state knows it.
pub(super) fn actor(state: &State, by: By) -> Value {
    let named = match by {
        By::Owner(id) => state.owner(id).map(|owner| owner.name.as_str()),
        By::Staff(id) => state.staff(id).map(|staff| staff.name.as_str()),
        By::VendorApp | By::Operator | By::System => None,
    };
    named.map_or(by.to_string(), |name| format!("{} {name}", by.word())).into()
}

/// A password: from a file that only its owner may read, from standard input (`-`), or asked for at the terminal.
///
/// # Errors
/// If there is none, or the file is open to others.
pub(super) fn password(file: Option<&Path>, whose: &str) -> Result<Secret<String>, Failure> {
    match file {
        Some(path) if path != Path::new("-") => Ok(config::read_secret_line(path)?),
        Some(_) => line_of(io::stdin().lock()),
        None if io::stdin().is_terminal() => {
            let _nobody = write!(io::stderr(), "password of {whose}: ");
            let silent = Silent::begin();
            let line = line_of(io::stdin().lock());
            drop(silent);
            let _nobody = writeln!(io::stderr());
            line
        }
        None => line_of(io::stdin().lock()),
    }
}

/// A password somebody will have from now on.
///
/// # Errors
/// As [`password`], and if it is too short.
pub(super) fn new_password(file: Option<&Path>, whose: &str) -> Result<Secret<String>, Failure> {
    let password = password(file, whose)?;
    if password.expose().chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(Failure::usage(format!(
            "the password of {whose} needs {PASSWORD_CHARACTERS_MIN} characters or more"
        )));
    }
    Ok(password)
}

fn line_of(input: impl BufRead) -> Result<Secret<String>, Failure> {
    // As large as it can get: a buffer that grows leaves copies behind.
    let mut line = Vec::with_capacity(PASSWORD_BYTES_MAX);
    input.take(PASSWORD_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    let line = Secret::new(line);
    let text = std::str::from_utf8(line.expose()).map_err(|_| Failure::usage("the password is not UTF-8 text"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => {
            Err(Failure::usage("there is no password on standard input: type it, pipe it, or name a --password-file"))
        }
        text => Ok(Secret::new(text.to_owned())),
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent;

impl Silent {
    fn begin() -> Silent {
        stty("-echo");
        Silent
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        stty("echo");
    }
}

/// Without `stty` the password is shown as it is typed; it works all the same.
fn stty(word: &str) {
    let _shown = Command::new("stty").arg(word).stderr(Stdio::null()).status();
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
