//! Which text stands behind the name of a prepared statement or portal: settled once the server confirmed it, pending
//! while it has not, so that a Bind in the same pipeline as its Parse finds the text.
//! Not here: what SQL itself names (PREPARE, DECLARE); such names are unresolved.

use std::collections::HashMap;
use std::sync::Arc;

/// PostgreSQL's `NAMEDATALEN` less one: names that agree so far are the same name.
const NAME_BYTES_MAX: usize = 63;

/// So many names are remembered; further ones are unresolved.
const NAMES_MAX: usize = 4096;

/// So many bytes of text are remembered behind all names of a kind.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 20;

/// A statement as it was parsed.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// Its bytes.
    pub(super) text: Arc<[u8]>,
    /// The client's encoding at that time.
    pub(super) encoding: Arc<str>,
    /// Its parameters' types: declared, or learnt from ParameterDescription.
    pub(super) types: Vec<u32>,
    /// The relations it seems to name.
    pub(super) relations: Vec<String>,
    /// The one name it deallocates, if that is what it does.
    pub(super) deallocates: Option<Name>,
}

/// A name as PostgreSQL compares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(Box<[u8]>);

impl Name {
    pub(super) fn new(name: &[u8]) -> Self {
        Name(name.get(..NAME_BYTES_MAX).unwrap_or(name).into())
    }

    pub(super) fn is_unnamed(&self) -> bool {
        self.0.is_empty()
    }
}

/// The last that was asked for a name and is not answered yet; no text: the name goes, or is unresolved.
#[derive(Debug)]
struct Pending {
    frame: u64,
    /// How many Syncs came before.
    syncs: u64,
    prepared: Option<Arc<Prepared>>,
    /// Whether the name may stand for something else if this fails.
    otherwise: bool,
}

/// The names of one kind.
#[derive(Debug, Default)]
pub(super) struct Names {
    settled: HashMap<Name, Arc<Prepared>>,
    settled_bytes: usize,
    pending: HashMap<Name, Pending>,
}

impl Names {
    /// What stands behind the name for a frame that comes now, after so many Syncs, and is not skipped; none also if
    /// that depends on what the server has not answered. A frame behind the same Sync runs only if what is pending
    /// worked; one behind a later Sync runs in any case.
    pub(super) fn get(&self, name: &Name, syncs: u64) -> Option<&Arc<Prepared>> {
        match self.pending.get(name) {
            Some(pending) if pending.syncs == syncs || !pending.otherwise => pending.prepared.as_ref(),
            Some(_) => None,
            None => self.settled.get(name),
        }
    }

    /// Bytes of text behind the settled names.
    pub(super) fn bytes(&self) -> usize {
        self.settled_bytes
    }

    /// A frame that comes after so many Syncs asks that the name stand for this, or for nothing.
    pub(super) fn stage(&mut self, name: &Name, frame: u64, syncs: u64, prepared: Option<Arc<Prepared>>) {
        let otherwise = self.settled.contains_key(name) || self.pending.contains_key(name);
        self.pending.insert(name.clone(), Pending { frame, syncs, prepared, otherwise });
    }

    /// The server did what that frame asked. Frames are answered in order, so nothing older is pending.
    pub(super) fn settle(&mut self, name: Name, frame: u64, prepared: Option<Arc<Prepared>>) {
        self.give_up(&name, frame);
        self.remove(&name);
        let Some(prepared) = prepared else { return };
        let bytes = self.settled_bytes + prepared.text.len();
        if self.settled.len() < NAMES_MAX && bytes <= TEXT_BYTES_MAX {
            self.settled_bytes = bytes;
            self.settled.insert(name, prepared);
        }
    }

    /// The server did not do what that frame asked.
    pub(super) fn give_up(&mut self, name: &Name, frame: u64) {
        if self.pending.get(name).is_some_and(|pending| pending.frame == frame) {
            self.pending.remove(name);
        }
    }

    /// The server told the parameter types of a settled statement.
    pub(super) fn learn_types(&mut self, name: &Name, types: impl Iterator<Item = u32>) {
        if let Some(prepared) = self.settled.get_mut(name) {
            Arc::make_mut(prepared).types = types.collect();
        }
    }

    /// A settled name is gone.
    pub(super) fn remove(&mut self, name: &Name) {
        if let Some(prepared) = self.settled.remove(name) {
            self.settled_bytes -= prepared.text.len();
        }
    }

    /// All settled names are gone.
    pub(super) fn clear(&mut self) {
        self.settled.clear();
        self.settled_bytes = 0;
    }
}
