//! Destroying keys: which ones a request dooms, that they are gone from file, copies and memory, and that nothing brings
//! them back. Not here: who may ask for it (`server.rs`) and why (`register/`).

use super::Error;
use super::file::Store;
use super::keys::{Destroyed, Keyring, Slot};
use crate::audit::keys::{Part, Recipient};
use crate::audit::tree::sha256;
use crate::clock::Timestamp;
use crate::entropy::Entropy;
use crate::ids::EventId;
use crate::secret::Secret;

/// Which keys are to be destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doom {
    /// The register's event that wants it, or what stands for one; asked again with it, nothing is done twice.
    pub event: EventId,
    /// Whose keys.
    pub recipient: Recipient,
    /// Of which parts.
    pub parts: Vec<Part>,
    /// Of which periods; none is every one, those to come included. The vendor's go by period only.
    pub periods: Vec<u32>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// So many keys were there and are gone.
    pub keys: u64,
    /// Copies of the keyring that still hold them, because they could not be rewritten; none: it is done.
    pub pending: Vec<String>,
}

impl Doom {
    /// The vendor's key of that part and month, for its age: no event wants that, so that it is named by what it destroys.
    pub fn by_age(part: Part, month: u32) -> Doom {
        let named = sha256(&[b"portreeve/vendor-key-by-age/v1\n", &[part.number()], &month.to_le_bytes()]);
        let mut event = [0; 16];
        event.iter_mut().zip(named).for_each(|(byte, named)| *byte = named);
        Doom { event: EventId(event), recipient: Recipient::Vendor, parts: vec![part], periods: vec![month] }
    }

    /// Whether it is a request that can be carried out at that moment.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), Error> {
        if self.parts.is_empty() {
            return Err(Error::Message("destroy takes the parts whose keys are to be destroyed".to_owned()));
        }
        let present = self.recipient.period(now);
        let is_past = !self.periods.is_empty() && self.periods.iter().all(|period| *period < present);
        match self.recipient {
            Recipient::Customer(_) => Ok(()),
            Recipient::Vendor if is_past => Ok(()),
            Recipient::Vendor => {
                Err(Error::Message(format!("the vendor's keys are destroyed by period, each before {present}")))
            }
        }
    }

    fn entries(&self, at: Timestamp) -> impl Iterator<Item = Destroyed> + '_ {
        let periods = self.periods.iter().copied().map(Some);
        let periods: Vec<Option<u32>> = if self.periods.is_empty() { vec![None] } else { periods.collect() };
        let Doom { event, recipient, .. } = *self;
        let entry = move |part, period| Destroyed { event, recipient, part, period, at, was_there: false };
        self.parts.iter().flat_map(move |part| periods.clone().into_iter().map(move |period| entry(*part, period)))
    }
}

impl Destroyed {
    fn covers(&self, slot: &Slot) -> bool {
        self.recipient == slot.recipient && self.part == slot.part && self.period.is_none_or(|one| one == slot.period)
    }
}

/// Keys taken out of a keyring, until it is certain that no file holds them.
#[derive(Default)]
struct Taken {
    private: Vec<(Slot, Box<Secret<[u8; 32]>>)>,
    tags: Vec<(Recipient, Box<Secret<[u8; 32]>>)>,
}

impl Keyring {
    /// What was destroyed, oldest first.
    pub fn destroyed(&self) -> &[Destroyed] {
        &self.destroyed
    }

    /// Whether keys of that recipient were destroyed for all time: it gets none any more.
    pub fn is_gone(&self, recipient: Recipient) -> bool {
        self.destroyed.iter().any(|gone| gone.recipient == recipient && gone.period.is_none())
    }

    /// Whether that key was destroyed.
    pub fn was_destroyed(&self, slot: &Slot) -> bool {
        self.destroyed.iter().any(|gone| gone.covers(slot))
    }

    /// Why there is no key for that slot.
    pub(super) fn absent(&self, slot: &Slot) -> String {
        let Slot { recipient, part, period } = slot;
        match self.destroyed.iter().find(|gone| gone.covers(slot)) {
            Some(gone) => format!("the {part} key of {recipient} for {period} was destroyed at {}", gone.at),
            None => format!("there is no key for {recipient} in period {period}"),
        }
    }

    /// Removes every key that was destroyed, should one be there; whether there was any.
    pub(super) fn replay(&mut self) -> bool {
        let taken = self.take();
        !taken.private.is_empty() || !taken.tags.is_empty()
    }

    /// Takes out every key that is listed as destroyed, the tag key once both parts are gone for all time.
    fn take(&mut self) -> Taken {
        let doomed: Vec<Slot> = self.private.keys().filter(|slot| self.was_destroyed(slot)).copied().collect();
        let private = doomed.into_iter().filter_map(|slot| Some((slot, self.private.remove(&slot)?))).collect();
        let gone = |recipient: Recipient, part: Part| {
            self.destroyed.iter().any(|gone| gone.recipient == recipient && gone.part == part && gone.period.is_none())
        };
        let all_gone = |whose: &Recipient| Part::ALL.into_iter().all(|part| gone(*whose, part));
        let untagged: Vec<Recipient> = self.tags.keys().copied().filter(all_gone).collect();
        let tags = untagged.into_iter().filter_map(|whose| Some((whose, self.tags.remove(&whose)?))).collect();
        Taken { private, tags }
    }

    fn put_back(&mut self, taken: Taken, destroyed: usize) {
        self.destroyed.truncate(destroyed);
        self.private.extend(taken.private);
        self.tags.extend(taken.tags);
    }
}

/// Destroys the keys: in memory, in the file, in every copy. What is answered as pending is tried again when it is asked
/// again, and at each start.
pub(super) fn destroy(
    store: &mut Store,
    keyring: &mut Keyring,
    doom: &Doom,
    at: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Doomed, Error> {
    let listed = |keyring: &Keyring| {
        let own = keyring.destroyed.iter().filter(|gone| gone.event == doom.event);
        u64::try_from(own.filter(|gone| gone.was_there).count()).unwrap_or(u64::MAX)
    };
    if keyring.destroyed.iter().any(|gone| gone.event == doom.event) {
        store.settle(keyring, entropy)?;
        return Ok(Doomed { keys: listed(keyring), pending: pending(store) });
    }
    let before = keyring.destroyed.len();
    keyring.destroyed.extend(doom.entries(at));
    let taken = keyring.take();
    let Doom { event, recipient, .. } = *doom;
    keyring.destroyed.extend(taken.private.iter().map(|(slot, _)| Destroyed {
        event,
        recipient,
        part: slot.part,
        period: Some(slot.period),
        at,
        was_there: true,
    }));
    let generation = store.generation();
    match store.renew(keyring, entropy) {
        Ok(()) => {}
        // No file is known to be without them: they are there until it is asked again.
        Err(error) if store.generation() == generation => {
            keyring.put_back(taken, before);
            return Err(error);
        }
        Err(error) => return Err(error),
    }
    let keys = u64::try_from(taken.private.len()).unwrap_or(u64::MAX);
    drop(taken);
    Ok(Doomed { keys, pending: pending(store) })
}

fn pending(store: &Store) -> Vec<String> {
    store.behind().map(|copy| copy.display().to_string()).collect()
}

#[cfg(test)]
#[path = "destroy_tests.rs"]
mod tests;
