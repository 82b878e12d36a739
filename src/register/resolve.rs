//! Intents that a dead writer left open in its log, what became of them, and up to where a writer knows that there are none.
//! Not here: keys (whoever calls has them).

use std::collections::HashMap;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;

use super::act::{Acts, OpenIntent, blocking};
use super::error::Error;
use super::opened::Register;
use crate::audit::keys::{Recipients, SealedDataKey};
use crate::audit::record::{Kind, Record};
use crate::ids::{EventId, Sequence};
use crate::log;
use crate::log::reader::Reader;
use crate::log::search::{self, Query};
use crate::secret::Secret;

/// Whether that log holds any intent at or after a position: what its leaves show without being opened.
///
/// # Errors
/// If it cannot be read.
pub fn has_intents(dir: &Path, from: u64) -> Result<bool, log::Error> {
    let reader = Reader::open(dir)?;
    for entry in reader.entries_from(from) {
        if entry?.kind() == Kind::Intent {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The intents of that log at or after a position of which it does not say what became, oldest first. `recipients`
/// holds everybody's tag keys; `opener` opens data keys.
///
/// # Errors
/// If the log cannot be read, or `opener` fails.
pub async fn open_intents<O, F, E>(
    dir: &Path,
    origin: &str,
    from: u64,
    recipients: &Recipients,
    opener: O,
) -> Result<Vec<OpenIntent>, search::Error<E>>
where
    O: FnMut(Vec<SealedDataKey>) -> F,
    F: Future<Output = Result<Vec<Secret<[u8; 32]>>, E>>,
{
    let from = [(origin.to_owned(), from)].into();
    let query = Query { kinds: vec![Kind::Intent, Kind::Decided], from, ..Query::default() };
    let mut found = search::search(&[dir.to_owned()], &query, recipients, opener).await?;
    // By position: the clock may have been set back in between.
    found.sort_unstable_by_key(|found| found.position);
    let mut open: HashMap<String, (u64, OpenIntent)> = HashMap::new();
    for found in found {
        let skeleton = found.record.skeleton;
        let Some(event) = skeleton.event else {
            tracing::warn!(log = origin, position = found.position, fault = found.fault, "an intent cannot be read");
            continue;
        };
        if found.record.kind == Kind::Decided {
            open.remove(&event);
        } else if let Some(id) = event_id(&event) {
            let expected = Sequence(skeleton.sequence.unwrap_or(0));
            open.insert(event, (found.position, OpenIntent { event: id, expected, customer: found.record.customer }));
        }
    }
    let mut open: Vec<_> = open.into_values().collect();
    open.sort_unstable_by_key(|(position, _)| *position);
    Ok(open.into_iter().map(|(_, intent)| intent).collect())
}

impl Acts {
    /// Says of each open intent of a dead writer where its event stands, or that it never came to be, and records it.
    /// The caller names the intents: it can open the dead writer's log.
    ///
    /// # Errors
    /// If the register cannot be read or the resolution not recorded.
    pub async fn resolve_open_intents(
        &self,
        open: &[OpenIntent],
    ) -> Result<Vec<(OpenIntent, Option<Sequence>)>, Error> {
        let mut resolved = Vec::new();
        let state = blocking(&self.register, Register::state).await?;
        for intent in open.iter().copied() {
            let found = blocking(&self.register, move |register| register.find(intent.event)).await?;
            let customer = intent.customer.and_then(|customer| state.sealed_for(customer));
            let mut record = Record::new(self.clock.now(), Kind::Decided, customer);
            record.skeleton.event = Some(intent.event.to_string());
            record.skeleton.sequence = Some(found.unwrap_or(intent.expected).0);
            record.skeleton.verb = Some("resolved".to_owned());
            record.skeleton.result = Some(if found.is_some() { "written" } else { "superseded" }.to_owned());
            self.log.record(record).await?;
            resolved.push((intent, found));
        }
        Ok(resolved)
    }
}

/// 32 hexadecimal digits.
pub(super) fn event_id(text: &str) -> Option<EventId> {
    u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(|id| EventId(id.to_be_bytes()))
}

/// Up to which position of its log a writer knows that no intent is open. No note, or none that reads: from its start.
pub fn resolved_up_to(note: &Path) -> u64 {
    std::fs::read_to_string(note).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Notes it, so that the next start opens only what came later.
///
/// # Errors
/// If the file cannot be written.
pub fn note_resolved(note: &Path, position: u64) -> Result<(), Error> {
    let renewed = note.with_extension("new");
    let write = || {
        std::fs::File::create(&renewed)?.write_all(format!("{position}\n").as_bytes())?;
        std::fs::rename(&renewed, note)
    };
    write().map_err(Error::file("write", note))
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
