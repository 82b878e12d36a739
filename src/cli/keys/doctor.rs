//! `keys doctor`: what is wrong with the keyring, its credential, its copies, the public keys and the logs' keys, and what
//! to do about it. Changes nothing.
//! Not here: mending. Nothing secret is shown.

use std::path::Path;
use std::time::Duration;

use super::list::term;
use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::Recipient;
use crate::cli::findings::Findings;
use crate::cli::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock};
use crate::keyring::file::{Seen, look, read_credential};
use crate::keyring::{Error, Keyring, Slot, init, pinned};
use crate::retention::by_age::{first_kept, month_of};

const DAY: Duration = Duration::from_secs(86_400);

/// A row per place, and exit code 4 if something is wrong.
pub(super) fn doctor(context: &Context) -> Result<(Table, Exit), Failure> {
    let mut report = Findings::new();
    look_at_keys(context, &mut report)?;
    Ok(report.told())
}

/// A row per place.
pub(in crate::cli) fn look_at_keys(context: &Context, report: &mut Findings) -> Result<(), Failure> {
    let config = &context.config.keyring;
    let credential = read_credential(&config.credential).map(|_| "readable by nobody else".to_owned());
    report.say("credential", config.credential.display(), credential.map_err(told));
    match look(&config.file, &config.credential) {
        Ok(seen) => {
            report.say("keyring", config.file.display(), Ok(format!("generation {}", seen.generation)));
            report.say(
                "keyring's public key",
                config.public_key.display(),
                public_key(&config.public_key, &seen.keyring),
            );
            report.say("keys of the next 30 days", config.file.display(), ahead(&seen.keyring));
            report.say("keys that go by age", config.file.display(), by_age(context, &seen.keyring));
            for copy in &config.copies {
                report.say("copy", copy.display(), compared(copy, &config.credential, &seen));
            }
            if config.copies.is_empty() {
                let detail = "there is none: if this file is lost, no record is ever read again; say in \"copies\" of \
                              [keyring] where copies belong";
                report.say("copy", config.file.display(), Err(detail.to_owned()));
            }
        }
        Err(error) => report.say("keyring", config.file.display(), Err(told(error))),
    }
    let next = config.credential.with_added_extension("next");
    if next.exists() {
        let detail = "a change of the credential was cut off: run \"portreeve keys rotate kek --new-credential\" again, \
                      with the keyring stopped";
        report.say("credential", next.display(), Err(detail.to_owned()));
    }
    let portal = &context.config.portal;
    report.say("portal's key", portal.signing_key.display(), pair(&portal.signing_key, &portal.signing_public_key));
    for (writer, secret) in super::writers(context)? {
        report.say("log's key", secret.display(), log_key(context, &writer, &secret));
    }
    Ok(())
}

/// The text of an error: it says what to do.
fn told(error: Error) -> String {
    error.to_string()
}

fn public_key(path: &Path, keyring: &Keyring) -> Result<String, String> {
    let (pinned, own) = (init::read_public_key(path).map_err(told)?, keyring.public_key().map_err(told)?);
    if pinned == own {
        return Ok("is the keyring's".to_owned());
    }
    Err("is not this keyring's, so that nobody believes its keys: bring back the pair from its copy".to_owned())
}

/// Whether everybody who has keys has those that the next 30 days need.
fn ahead(keyring: &Keyring) -> Result<String, String> {
    let mut recipients = keyring.recipients();
    recipients.retain(|recipient| !keyring.is_gone(*recipient));
    let due = Keyring::due(&recipients, SystemClock.now());
    let missing = due.iter().filter(|slot| !keyring.holds(slot) && !keyring.was_destroyed(slot)).count();
    match missing {
        0 => Ok(format!("there are all {} of them", due.len())),
        missing => Err(format!(
            "{missing} of {} are missing, and without them nothing can be recorded: start the keyring, which makes them \
             within the hour",
            due.len()
        )),
    }
}

/// Whether the keys of records of no customer are gone whose age has come; a day is left to who destroys them.
fn by_age(context: &Context, keyring: &Keyring) -> Result<String, String> {
    let now = SystemClock.now();
    let held_from = context.state().ok().and_then(|state| state.held_since()).map(month_of);
    let is_late = |slot: &Slot| {
        slot.recipient == Recipient::Vendor
            && slot.period < first_kept(term(context, slot.part).saturating_add(DAY), now)
            && held_from.is_none_or(|from| slot.period < from)
    };
    let late: Vec<Slot> = keyring.held(None).filter(is_late).collect();
    match late.first() {
        None => Ok("none is past its age".to_owned()),
        Some(Slot { part, period, .. }) => Err(format!(
            "{} keys of records of no customer are past their age, that of the {part} of {period} the first: the \
             retention daemon destroys them, see \"portreeve retention status\"",
            late.len()
        )),
    }
}

/// A copy against the keyring itself.
fn compared(copy: &Path, credential: &Path, own: &Seen) -> Result<String, String> {
    let mend = "run \"portreeve keys backup\"";
    let seen = match look(copy, credential) {
        Ok(seen) => seen,
        Err(Error::Missing { .. }) => return Err(format!("the copy is missing: {mend}")),
        Err(error @ (Error::Storage { .. } | Error::Newer { .. })) => {
            return Err(format!(
                "{}; until it can be read it is not written over, no erasure is complete, and it cannot show whether an old \
                 keyring was brought back; if you know that it is no newer, move it away and {mend}",
                told(error)
            ));
        }
        Err(error) => return Err(format!("{}; or {mend}", told(error))),
    };
    let (of, is) = (seen.generation, own.generation);
    if of > is {
        return Err(format!(
            "it is of generation {of} and the keyring of {is}: an old keyring was brought back; bring \
                            back this copy with its .generation file"
        ));
    }
    if of < is {
        return Err(format!(
            "it is of generation {of} and the keyring of {is}, so that it can hold keys that were \
                            destroyed: {mend}"
        ));
    }
    if seen.revision < own.revision {
        return Err(format!("keys that were made since are not in it: {mend}"));
    }
    Ok(format!("generation {of}, holds what the keyring holds"))
}

/// A signing key and its public half.
fn pair(secret: &Path, public: &Path) -> Result<String, String> {
    let own = SigningKey::from_seed(&init::read_seed(secret).map_err(told)?).public();
    if init::read_public_key(public).map_err(told)? == own {
        return Ok("is the one that is trusted".to_owned());
    }
    Err(format!("is not the secret half of {}: bring back the pair from its copy", public.display()))
}

/// A log's key: its mode, whether it is pinned, and whether its rotation was cut off.
fn log_key(context: &Context, writer: &str, secret: &Path) -> Result<String, String> {
    if secret.with_added_extension("next").exists() {
        return Err(format!("its rotation was cut off: run \"portreeve keys rotate log {writer}\" again"));
    }
    let public_key = &context.config.keyring.public_key;
    let own = SigningKey::from_seed(&init::read_seed(secret).map_err(told)?).public();
    let name = pinned::log_name(public_key, writer, &own).map_err(told)?;
    let path = pinned::log_key(public_key, &name);
    if init::read_public_key(&path).map_err(told)? == own {
        return Ok(format!("signs {name}"));
    }
    Err(format!("is not the one that is pinned in {}: bring back the pair from its copy", path.display()))
}
