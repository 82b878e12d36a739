//! A map from ids to entries that shares what two states have in common: a clone counts one reference.
//! Not here: maps by name. Ids are sequence numbers, given by us and close together, so that a tree of 64 children a
//! node is shallow, keeps their order, and needs no hashing.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// How many bits of an id each level takes.
const BITS: u32 = 6;
/// How many children a node has.
const WIDTH: usize = 1 << BITS;

/// Entries by id, oldest first. What changes is copied on its way from the root, if anybody else has it.
pub(super) struct ById<K, V> {
    /// None: it is empty.
    root: Option<Arc<Node<V>>>,
    /// Levels above the leaves.
    height: u32,
    ids: PhantomData<K>,
}

#[derive(Clone)]
enum Node<V> {
    Inner([Option<Arc<Node<V>>>; WIDTH]),
    Leaf([Option<Arc<V>>; WIDTH]),
}

impl<K: Into<u64> + From<u64>, V: Clone> ById<K, V> {
    pub(super) fn get(&self, id: K) -> Option<&V> {
        self.shared(id).map(Arc::as_ref)
    }

    /// The entry as it is shared.
    pub(super) fn shared(&self, id: K) -> Option<&Arc<V>> {
        let number = id.into();
        self.root.as_deref().filter(|_| self.holds(number))?.get(number, self.height)
    }

    pub(super) fn get_mut(&mut self, id: K) -> Option<&mut V> {
        let number = id.into();
        let is_there = self.holds(number);
        let root = self.root.as_mut().filter(|_| is_there)?;
        Arc::make_mut(root).slot_mut(number, self.height)?.as_mut().map(Arc::make_mut)
    }

    pub(super) fn insert(&mut self, id: K, entry: impl Into<Arc<V>>) {
        let number = id.into();
        while !self.holds(number) {
            // A taller tree: what was there is its first child.
            self.root = self.root.take().map(|root| Arc::new(Node::above(root)));
            self.height += 1;
        }
        let root = self.root.get_or_insert_with(|| Arc::new(Node::empty(self.height)));
        if let Some(slot) = Arc::make_mut(root).slot_mut(number, self.height) {
            *slot = Some(entry.into());
        }
    }

    /// The entry to change; a new one if there is none.
    pub(super) fn entry(&mut self, id: K) -> &mut V
    where
        K: Copy,
        V: Default,
    {
        if self.get(id).is_none() {
            self.insert(id, V::default());
        }
        self.get_mut(id).expect("it is there, or was just put there")
    }

    /// Changes those entries.
    pub(super) fn change(&mut self, which: impl Fn(&V) -> bool, change: impl Fn(&mut V)) {
        let those: Vec<u64> = self.iter().filter(|(_, entry)| which(entry)).map(|(id, _)| id.into()).collect();
        for number in those {
            if let Some(entry) = self.get_mut(K::from(number)) {
                change(entry);
            }
        }
    }

    pub(super) fn remove(&mut self, id: K) {
        let number = id.into();
        let is_there = self.holds(number);
        if let Some(root) = self.root.as_mut().filter(|_| is_there)
            && let Some(slot) = Arc::make_mut(root).slot_mut(number, self.height)
        {
            *slot = None;
        }
    }

    /// Every entry with its id, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let entries = self.root.iter().flat_map(|root| root.entries(0));
        entries.map(|(number, entry)| (K::from(number), entry.as_ref()))
    }

    /// Every entry, by id.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, entry)| entry)
    }

    /// Whether a tree of that height has a place for that number.
    fn holds(&self, number: u64) -> bool {
        number.checked_shr(BITS * (self.height + 1)).is_none_or(|beyond| beyond == 0)
    }
}

impl<V: Clone> Node<V> {
    fn empty(height: u32) -> Node<V> {
        if height == 0 { Node::Leaf([const { None }; WIDTH]) } else { Node::Inner([const { None }; WIDTH]) }
    }

    fn above(first: Arc<Node<V>>) -> Node<V> {
        let mut below = [const { None }; WIDTH];
        below[0] = Some(first);
        Node::Inner(below)
    }

    fn get(&self, number: u64, height: u32) -> Option<&Arc<V>> {
        let at = place(number, height);
        match self {
            Node::Inner(below) => below.get(at)?.as_deref()?.get(number, height - 1),
            Node::Leaf(entries) => entries.get(at)?.as_ref(),
        }
    }

    /// Where that number's entry is, or would be; makes the way there.
    fn slot_mut(&mut self, number: u64, height: u32) -> Option<&mut Option<Arc<V>>> {
        let at = place(number, height);
        match self {
            Node::Inner(below) => {
                let node = below.get_mut(at)?.get_or_insert_with(|| Arc::new(Node::empty(height - 1)));
                Arc::make_mut(node).slot_mut(number, height - 1)
            }
            Node::Leaf(entries) => entries.get_mut(at),
        }
    }

    /// Everything below, each with its number; `before` are the bits of the levels above.
    fn entries(&self, before: u64) -> Box<dyn Iterator<Item = (u64, &Arc<V>)> + '_> {
        let first = before << BITS;
        let numbers = first..=first | (WIDTH as u64 - 1);
        match self {
            Node::Inner(below) => {
                Box::new(numbers.zip(below).filter_map(|(number, node)| Some(node.as_ref()?.entries(number))).flatten())
            }
            Node::Leaf(entries) => {
                Box::new(numbers.zip(entries).filter_map(|(number, entry)| Some((number, entry.as_ref()?))))
            }
        }
    }
}

/// Which child of a node at that height a number is below.
fn place(number: u64, height: u32) -> usize {
    (number >> (BITS * height)) as usize % WIDTH
}

impl<K, V> Clone for ById<K, V> {
    fn clone(&self) -> Self {
        ById { root: self.root.clone(), height: self.height, ids: PhantomData }
    }
}

impl<K, V> Default for ById<K, V> {
    fn default() -> Self {
        ById { root: None, height: 0, ids: PhantomData }
    }
}

impl<K: Into<u64> + From<u64> + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for ById<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
#[path = "by_id_tests.rs"]
mod tests;
