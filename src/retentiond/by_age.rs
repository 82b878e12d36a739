//! Records of no customer go by age: the keys of a month that is over for as long as the configuration says are destroyed,
//! those of the values first.
//! Not here: when (`retention/by_age.rs`) and how (`keyring/`). Nothing is kept: killed anywhere, the next turn asks the
//! keyring what it still holds. There are no notices of it (FORMAT.md): the months stand open in the log.

use crate::audit::keys::{Part, Recipient};
use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::grant::State;
use crate::keyring::{Client, Doom, Slot};
use crate::register::Acts;
use crate::retention::by_age::{ByAge, first_kept, month_of};

/// Whose account it is said to be, where troubles of accounts are told.
pub(super) const NOBODY: &str = "records of no customer";

/// The keys that go by age, between two turns.
#[derive(Debug, Default)]
pub(super) struct Months {
    /// What was due when all of it was gone: until something else is, the keyring is not asked again.
    gone: Option<Due>,
}

/// What it takes to destroy them.
pub(super) struct Means<'a> {
    pub(super) acts: &'a Acts,
    pub(super) keyring: &'a Client,
    pub(super) terms: ByAge,
}

/// What a turn came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aged {
    /// Months whose keys were destroyed, and of which part.
    pub gone: Vec<(u32, Part)>,
    /// Why not all that is due is gone everywhere: told, and tried again in the next turn.
    pub trouble: Option<String>,
}

/// What is due at one moment, by the months that are the first that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    values_before: u32,
    skeleton_before: u32,
    /// A hold keeps this month and those behind it.
    held_from: Option<u32>,
}

impl Due {
    fn at(state: &State, terms: &ByAge, now: Timestamp) -> Due {
        Due {
            values_before: first_kept(terms.values_after, now),
            skeleton_before: first_kept(terms.skeleton_after, now),
            held_from: state.held_since().map(month_of),
        }
    }

    fn is(&self, slot: &Slot) -> bool {
        let before = match slot.part {
            Part::Values => self.values_before,
            Part::Skeleton => self.skeleton_before,
        };
        let is_held = self.held_from.is_some_and(|from| slot.period >= from);
        slot.recipient == Recipient::Vendor && slot.period < before && !is_held
    }
}

impl Months {
    /// Destroys what is due at that moment, unless the clocks disagree.
    pub(super) async fn turn(&mut self, means: &Means<'_>, is_frozen: bool, now: Timestamp) -> Aged {
        let mut aged = Aged::default();
        if is_frozen {
            return aged;
        }
        if let Err(error) = self.expire(means, now, &mut aged).await {
            aged.trouble = Some(error.to_string());
        }
        if let Some(why) = &aged.trouble {
            tracing::error!(alarm = "keys", "keys of records of no customer are not gone that are due: {why}");
        }
        aged
    }

    async fn expire(
        &mut self,
        means: &Means<'_>,
        now: Timestamp,
        aged: &mut Aged,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let register = means.acts.register.clone();
        let state = tokio::task::spawn_blocking(move || register.state()).await??;
        let due = Due::at(&state, &means.terms, now);
        if self.gone == Some(due) {
            return Ok(());
        }
        let (_, held) = means.keyring.held().await?;
        let mut pending = Vec::new();
        for Slot { part, period, .. } in held.iter().filter(|slot| due.is(slot)) {
            pending = means.destroy(*part, *period).await?;
            aged.gone.push((*period, *part));
        }
        if aged.gone.is_empty() {
            pending = means.confirm().await?;
        }
        if pending.is_empty() {
            self.gone = Some(due);
        } else {
            aged.trouble = Some(format!("copies of the keyring still hold them: {}", pending.join(", ")));
        }
        Ok(())
    }
}

impl Means<'_> {
    /// Records that the key is about to go, has it destroyed, and records that; the copies that still hold it.
    async fn destroy(&self, part: Part, month: u32) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
        self.record("keys.expiring", part, month, None).await?;
        let done = self.keyring.destroy(&Doom::by_age(part, month)).await?;
        self.record("keys.expired", part, month, Some(&done.pending)).await?;
        tracing::info!(month, %part, keys = done.keys, "keys of records of no customer are destroyed for their age");
        Ok(done.pending)
    }

    /// The copies that still hold what was destroyed for its age before: asked once for all of it, for a copy that holds any
    /// of it was not rewritten since.
    async fn confirm(&self) -> Result<Vec<String>, crate::keyring::Error> {
        let destroyed = self.keyring.destroyed().await?;
        let last = destroyed.into_iter().rev().find(|(recipient, ..)| *recipient == Recipient::Vendor);
        match last {
            Some((_, part, Some(month))) => Ok(self.keyring.destroy(&Doom::by_age(part, month)).await?.pending),
            Some((.., None)) | None => Ok(Vec::new()),
        }
    }

    async fn record(
        &self,
        verb: &str,
        part: Part,
        month: u32,
        pending: Option<&[String]>,
    ) -> Result<(), crate::log::Error> {
        let mut record = Record::new(self.acts.clock.now(), Kind::Decided, None);
        record.skeleton.verb = Some(verb.to_owned());
        record.skeleton.result = Some("told".to_owned());
        let pending = pending.filter(|pending| !pending.is_empty());
        let still = pending.map_or_else(String::new, |copies| format!("; still in {}", copies.join(", ")));
        record.values.message = Some(format!("the {part} of records of no customer of {month}{still}"));
        self.acts.log.record(record).await.map(drop)
    }
}

#[cfg(test)]
#[path = "by_age_tests.rs"]
mod tests;
