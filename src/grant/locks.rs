//! Narrowing locks: who is shut out at once, before the register has said so.
//! Not here: the file a proxy keeps them in, and the socket they come by (`proxy/`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::decide::Ask;
use super::state::State;
use crate::ids::{CustomerId, GrantId, NotAnId, Sequence, StaffId};

/// What is shut. Written as the id it names: `c7`, `s3`, `g12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lock {
    /// Everybody's access to one customer.
    Customer(CustomerId),
    /// One staff member's access to everything.
    Staff(StaffId),
    /// One grant.
    Grant(GrantId),
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lock::Customer(id) => id.fmt(f),
            Lock::Staff(id) => id.fmt(f),
            Lock::Grant(id) => id.fmt(f),
        }
    }
}

impl FromStr for Lock {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let customer = text.parse().map(Lock::Customer);
        customer.or_else(|_| text.parse().map(Lock::Staff)).or_else(|_| text.parse().map(Lock::Grant))
    }
}

/// The locks in force, each with the register's sequence when it was placed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Locks {
    since: BTreeMap<Lock, Sequence>,
}

impl Locks {
    /// Places a lock while the register stands at `since`; one that is already there moves up to it.
    pub fn place(&mut self, lock: Lock, since: Sequence) {
        let placed = self.since.entry(lock).or_insert(since);
        *placed = (*placed).max(since);
    }

    /// Whether any lock shuts out this ask, the session being under `grant`.
    pub fn blocks(&self, ask: &Ask<'_>, grant: Option<GrantId>) -> bool {
        if self.since.is_empty() {
            return false;
        }
        let on_grant = grant.or(ask.grant).is_some_and(|grant| self.since.contains_key(&Lock::Grant(grant)));
        on_grant
            || self.since.contains_key(&Lock::Customer(ask.customer))
            || self.since.contains_key(&Lock::Staff(ask.staff))
    }

    /// Whether a lock shuts out that staff member altogether.
    pub fn shuts(&self, staff: StaffId) -> bool {
        self.since.contains_key(&Lock::Staff(staff))
    }

    /// Lifts every lock that the register now speaks for itself, and returns those lifted: the customer's switch
    /// was moved after the lock was placed, the staff member is gone or was suspended after it, the grant has ended.
    /// `since` must be where the register stood for whoever wanted the lock, not for whoever keeps it: else a widening
    /// that came in between would lift it.
    pub fn lift_confirmed(&mut self, state: &State) -> Vec<Lock> {
        let confirmed = |lock: &Lock, since: &Sequence| match *lock {
            Lock::Customer(id) => state.customer(id).is_some_and(|customer| customer.consent.sequence > *since),
            Lock::Staff(id) => state.staff(id).is_some_and(|staff| {
                let suspended = staff.standing.suspension.is_some_and(|suspension| suspension > *since);
                !staff.active || suspended
            }),
            Lock::Grant(id) => state.grant(id).is_some_and(|grant| grant.ended.is_some()),
        };
        let mut lifted = Vec::new();
        self.since.retain(|lock, since| {
            let over = confirmed(lock, since);
            lifted.extend(over.then_some(*lock));
            !over
        });
        lifted
    }

    /// The locks, and the sequence each was placed at.
    pub fn iter(&self) -> impl Iterator<Item = (Lock, Sequence)> + '_ {
        self.since.iter().map(|(lock, since)| (*lock, *since))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    /// As the text of a lock file: a line such as `c7 #41` for each.
    pub fn to_text(&self) -> String {
        self.iter().map(|(lock, since)| format!("{lock} {since}\n")).collect()
    }

    /// Reads a lock file's text back.
    ///
    /// # Errors
    /// Names the first line that is not a lock; whoever reads it must then treat everything as locked.
    pub fn from_text(text: &str) -> Result<Locks, NotAnId> {
        let mut locks = Locks::default();
        for line in text.lines() {
            let wrong = || NotAnId { expected: "a lock such as c7 #41", found: line.to_owned() };
            let (lock, since) = line.split_once(' ').ok_or_else(wrong)?;
            locks.place(lock.parse()?, since.parse()?);
        }
        Ok(locks)
    }
}
