//! A keyring in memory and its file, changed together: what no file holds is not handed out.
//! Not here: who may ask for it (`server.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::destroy::{Doom, Doomed, destroy};
use super::file::Store;
use super::keys::{Keyring, Slot};
use crate::audit::keys::{Recipient, Recipients};
use crate::clock::{Clock, Timestamp};
use crate::disk::Disk;
use crate::entropy::Entropy;

/// A keyring in memory and its file, changed together.
pub struct Kept {
    store: Store,
    keyring: Keyring,
}

impl Kept {
    /// Opens the keyring file with its credential.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(disk: Arc<dyn Disk>, path: &Path, credential: &Path) -> Result<Kept, Error> {
        let (store, keyring) = Store::open(disk, path, credential)?;
        Ok(Kept { store, keyring })
    }

    /// Keeps copies of the file at these places as well, rewritten with it.
    ///
    /// # Errors
    /// [`Error::OldKeyring`] if one of them shows that an old keyring was brought back.
    pub fn with_copies(mut self, copies: Vec<PathBuf>) -> Result<Kept, Error> {
        self.store.keep_copies(copies)?;
        Ok(self)
    }

    /// The keyring.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Settles what a crash left half done, then: the vendor's keys, as the keyring's own log seals to them; made if they
    /// are due. This is the one making of
    /// keys that is recorded after it: the log cannot be opened before there are keys to seal it to.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn own_recipients(&mut self, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Recipients, Error> {
        self.store.settle(&mut self.keyring, entropy)?;
        let due = Keyring::due(&[Recipient::Vendor], clock.now());
        let missing = self.missing(&due, &[Recipient::Vendor]);
        self.make(&missing, entropy)?;
        let recipients = Recipients::new();
        self.publish(&due, &recipients)?;
        Ok(recipients)
    }

    /// Destroys keys, in memory, in the file and in every copy.
    pub(super) fn destroy(&mut self, doom: &Doom, at: Timestamp, entropy: &dyn Entropy) -> Result<Doomed, Error> {
        destroy(&mut self.store, &mut self.keyring, doom, at, entropy)
    }

    /// The file's generation.
    pub fn generation(&self) -> u64 {
        self.store.generation()
    }

    /// Writes the copies again.
    ///
    /// # Errors
    /// [`Error::Storage`]; a copy that cannot be written is behind, which is no error.
    pub fn back_up(&mut self, entropy: &dyn Entropy) -> Result<Written, Error> {
        self.store.settle(&mut self.keyring, entropy)?;
        Ok(self.written())
    }

    /// Writes the file under a new generation secret: from then on no older copy opens any more.
    ///
    /// # Errors
    /// [`Error::Storage`]: what is there opens.
    pub fn rotate(&mut self, entropy: &dyn Entropy) -> Result<Written, Error> {
        self.store.renew(&mut self.keyring, entropy)?;
        Ok(self.written())
    }

    /// The same, and from then on another credential opens it: the next one, which stands beside the one in use and takes
    /// its place.
    ///
    /// # Errors
    /// [`Error::Storage`]: what is there opens with one of the two.
    pub fn rotate_credential(&mut self, credential: &Path, entropy: &dyn Entropy) -> Result<Written, Error> {
        self.store.change_credential(&mut self.keyring, credential, entropy)?;
        Ok(self.written())
    }

    fn written(&self) -> Written {
        let named = |copy: &Path| copy.display().to_string();
        let (behind, copies) = (self.store.behind().map(named).collect(), self.store.written().map(named).collect());
        Written { generation: self.store.generation(), behind, copies }
    }

    pub(super) fn missing(&self, slots: &[Slot], tags: &[Recipient]) -> Missing {
        let is_missing = |slot: &&Slot| !self.keyring.holds(slot) && !self.keyring.was_destroyed(slot);
        let slots = slots.iter().filter(is_missing).copied().collect();
        let tags = tags.iter().filter(|recipient| !self.keyring.holds_tag(**recipient)).copied().collect();
        Missing { slots, tags }
    }

    /// Makes what is missing, durably or not at all.
    pub(super) fn make(&mut self, missing: &Missing, entropy: &dyn Entropy) -> Result<(), Error> {
        if missing.count() == 0 {
            return Ok(());
        }
        missing.slots.iter().for_each(|slot| self.keyring.make(*slot, entropy));
        missing.tags.iter().for_each(|recipient| self.keyring.make_tag(*recipient, entropy));
        let saved = self.store.save(&mut self.keyring, entropy);
        if saved.is_err() {
            missing.slots.iter().for_each(|slot| self.keyring.unmake(slot));
            missing.tags.iter().for_each(|recipient| self.keyring.unmake_tag(*recipient));
        }
        saved
    }

    pub(super) fn publish(&self, slots: &[Slot], to: &Recipients) -> Result<(), Error> {
        for slot in slots {
            if let Some(key) = self.keyring.public(slot)? {
                to.set(key);
            }
            if let Some(tag) = self.keyring.tag(slot.recipient) {
                to.set_tag(slot.recipient, tag);
            }
        }
        Ok(())
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file's generation.
    pub generation: u64,
    /// Copies that could not be written, and do not hold what it holds.
    pub behind: Vec<String>,
    /// Copies that were. Whoever wrote knows no others, whatever is listed by now.
    pub copies: Vec<String>,
}

/// Keys to be made.
#[derive(Debug, Default)]
pub(super) struct Missing {
    slots: Vec<Slot>,
    tags: Vec<Recipient>,
}

impl Missing {
    pub(super) fn count(&self) -> usize {
        self.slots.len() + self.tags.len()
    }
}
