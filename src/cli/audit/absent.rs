//! Logs that are not there, or not all: by what is left of them, by what the register remembers, and by what others need.
//! Not here: what is there (`verify.rs`), and what those elsewhere remember (`witnessed.rs`).
//! A log whose key is pinned and that was never begun is none of them.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::{Context, Failure, keyring};
use crate::keyring::pinned;
use crate::log::growth::first_leaves;
use crate::log::reader::Reader;
use crate::log::verify::{Finding, Verdict};
use crate::log::vouched::{self, CHECKPOINT};
use crate::register::Register;

/// What is left of logs without their checkpoint.
pub(super) fn remains(audit: &Path) -> Result<Vec<(String, Finding)>, Failure> {
    let found = vouched::remains(audit)?.into_iter().map(|dir| {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let detail = "there are segments and no checkpoint".to_owned();
        (name, Finding { verdict: Verdict::Missing, place: CHECKPOINT.to_owned(), detail })
    });
    Ok(found.collect())
}

/// What the register remembers of logs and is not there, and whether the keyring's is gone, which it does not remember.
/// By it nothing is found where it cannot be read.
pub(super) fn found(context: &Context) -> Vec<(String, Finding)> {
    let register = match context.register() {
        Ok(register) => Some(register),
        Err(failure) => {
            tracing::warn!("logs are not compared with the register, which cannot be read: {}", failure.message());
            None
        }
    };
    let names = names(context);
    let mut found = register.as_ref().map(|register| remembered(context, register, &names)).unwrap_or_default();
    found.extend(keyrings(context, register.as_ref(), &names));
    found
}

/// The names of all logs whose keys are pinned, and of those that this configuration's roles write.
fn names(context: &Context) -> BTreeSet<String> {
    let config = &context.config;
    let public_key = &config.keyring.public_key;
    let mut writers = vec![format!("proxy-{}", config.proxy.id), "portal".to_owned(), keyring::WRITER.to_owned()];
    writers.push(format!("retention-{}", config.retention.id));
    writers.extend(context.writer());
    let own = writers.into_iter().flat_map(|writer| {
        let names = pinned::log_names(public_key, &writer);
        names.unwrap_or_else(|_| vec![writer])
    });
    let pinned = pinned::names(public_key).unwrap_or_else(|error| {
        tracing::warn!("only this configuration's own logs are looked for: {error}");
        Vec::new()
    });
    own.chain(pinned).collect()
}

/// One that is shorter than what the register remembers, or gone, was rolled back or removed.
fn remembered(context: &Context, register: &Register, names: &BTreeSet<String>) -> Vec<(String, Finding)> {
    let findings = names.iter().filter_map(|name| {
        let dir = context.config.audit.directory.join(name);
        let place = dir.display().to_string();
        let (verdict, detail) = match register.remembered(name) {
            Ok(None) => return None,
            Ok(Some(remembered)) => compared(&dir, remembered)?,
            Err(error) => (Verdict::Unwitnessed, format!("what the register remembers cannot be read: {error}")),
        };
        Some((name.clone(), Finding { verdict, place, detail }))
    });
    findings.collect()
}

/// The keyring's log, if its key is pinned and nothing is left of it. Nobody could write another log without keys from the
/// keyring, which begins its own before it answers.
fn keyrings(context: &Context, register: Option<&Register>, names: &BTreeSet<String>) -> Option<(String, Finding)> {
    let (audit, public_key) = (&context.config.audit.directory, &context.config.keyring.public_key);
    let dir = audit.join(keyring::WRITER);
    let is_pinned = pinned::log_key(public_key, keyring::WRITER).exists();
    if !is_pinned || dir.join(CHECKPOINT).exists() || vouched::is_remains(&dir) {
        return None;
    }
    let logs = pinned::logs(audit, public_key).ok()?;
    let has_leaves = |dir: &&std::path::PathBuf| Reader::open(dir).is_ok_and(|reader| reader.claimed() > 0);
    let there = logs.dirs().iter().filter(has_leaves).count();
    let is_remembered = |name: &&String| {
        let remembered = register.and_then(|register| register.remembered(name).ok()?);
        remembered.is_some_and(|(leaves, _)| leaves > 0)
    };
    let known = names.iter().filter(is_remembered).count();
    let (verdict, detail) = match there.max(known) {
        0 => (
            Verdict::Unwitnessed,
            "its key is pinned and it is not there, as before the keyring's first start".to_owned(),
        ),
        others => {
            let why = "which nobody writes before the keyring, which records first, gave keys";
            (Verdict::Missing, format!("it is not there, and others are or were, {why}: {others} of them"))
        }
    };
    Some((keyring::WRITER.to_owned(), Finding { verdict, place: dir.display().to_string(), detail }))
}

/// What is wrong with a log of which `size` leaves with that root are remembered; none: it begins with them.
fn compared(dir: &Path, (size, root): (u64, [u8; 32])) -> Option<(Verdict, String)> {
    let remembered = format!("the register remembers {size} leaves");
    match first_leaves(dir, size) {
        Ok(tree) if tree.size() < size => {
            Some((Verdict::RolledBack, format!("{remembered}, {} are there", tree.size())))
        }
        Ok(tree) if tree.root() != root => {
            Some((Verdict::Forked, format!("{remembered}, and the first {size} that are there are others")))
        }
        Ok(_) => None,
        Err(error) => Some((Verdict::Missing, format!("{remembered}, and not all can be read: {error}"))),
    }
}
