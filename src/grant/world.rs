//! A small world for tests: a state, the portal's key, and events made and folded in one line each.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::{By, Draft, Fault, Layout, Locks, Mode, Personal, Purpose, Scope, State, Stored, Trust, What, apply};
use crate::clock::Timestamp;
use crate::grant::Ask;
use crate::ids::{CustomerId, EventId, GrantId, OwnerId, Sequence, StaffId};

/// 2026-11-21T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp(1_795_262_400_000_000);

/// That many minutes after noon.
pub(crate) fn minutes(after: i64) -> Timestamp {
    Timestamp(NOON.0 + after * 60_000_000)
}

/// The portal's signing key in tests.
pub(crate) fn portal_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed")
}

/// What trusts [`portal_key`].
pub(crate) fn trust() -> Trust {
    let public = portal_key().public_key().as_ref().try_into().expect("a public key has 32 bytes");
    Trust { portal_key: public }
}

/// A customer's side row.
pub(crate) fn customer(name: &str) -> Personal {
    let some = |text: &str| Some(text.to_owned());
    Personal { name: some(name), cluster: some("main"), database: some(name), ..Personal::default() }
}

/// A staff member's side row.
pub(crate) fn staff(name: &str) -> Personal {
    let verifier = Some("SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy".to_owned());
    Personal { name: Some(name.to_owned()), verifier, ..Personal::default() }
}

/// An owner's side row, with an API token whose digest is the name's length over and over.
pub(crate) fn owner(name: &str) -> Personal {
    let digest = vec![u8::try_from(name.len()).expect("a short name"); 32];
    let (password_hash, token_digests) = (Some("$argon2id$…".to_owned()), Some(vec![digest.into()]));
    Personal { name: Some(name.to_owned()), password_hash, token_digests, ..Personal::default() }
}

/// A grant's side row.
pub(crate) fn reason() -> Personal {
    let (reason, ticket) = (Some("invoices show wrong totals".to_owned()), Some("SUP-1".to_owned()));
    Personal { reason, ticket, ..Personal::default() }
}

/// A state, and every event it was folded from.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// The fold.
    pub(crate) state: State,
    /// What was folded.
    pub(crate) events: Vec<Stored>,
    /// The time of the next event.
    pub(crate) now: Timestamp,
}

impl World {
    /// Nothing yet, at noon.
    pub(crate) fn new() -> World {
        World { now: NOON, ..World::default() }
    }

    /// acme (c1) with owner o2, and s3 jane; the switch off.
    pub(crate) fn with_people() -> World {
        let mut world = World::new();
        world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer("acme")));
        world.must(By::Operator, What::OwnerCreated { customer: ACME }, Some(owner("olga")));
        world.must(By::Operator, What::StaffCreated, Some(staff("jane")));
        world
    }

    /// The event as it would stand in the register, signed where an owner acts.
    pub(crate) fn make(&self, by: By, what: What, personal: Option<Personal>) -> Stored {
        let next = u8::try_from(self.state.sequence().0 % 250).expect("below 250");
        let place = (self.state.sequence(), self.state.head());
        let mut proposal = Draft { by, what, personal }.propose(EventId([next; 16]), self.now, [next; 32], place);
        if let By::Owner(_) = by {
            proposal.sign(&portal_key(), &self.state.head());
        }
        proposal.stored
    }

    /// Makes and folds an event.
    pub(crate) fn try_to(&mut self, by: By, what: What, personal: Option<Personal>) -> Result<Sequence, Fault> {
        let stored = self.make(by, what, personal);
        apply(&mut self.state, &stored, &trust())?;
        let sequence = stored.sequence;
        self.events.push(stored);
        Ok(sequence)
    }

    /// The same, of an event that the rules allow.
    pub(crate) fn must(&mut self, by: By, what: What, personal: Option<Personal>) -> Sequence {
        self.try_to(by, what, personal).expect("the rules allow it")
    }

    /// The owner of acme moves the switch.
    pub(crate) fn consent(&mut self, mode: Mode, scope: Scope, until: Option<Timestamp>) -> Sequence {
        self.must(By::Owner(OLGA), What::ConsentSet { customer: ACME, mode, scope, until }, None)
    }

    /// Jane opens a grant for acme that ends then.
    pub(crate) fn grant(&mut self, scope: Scope, ends: Timestamp) -> GrantId {
        GrantId(self.must(By::Staff(JANE), issue(scope, ends), Some(reason())).0)
    }
}

/// A grant of Jane's for acme.
pub(crate) fn issue(scope: Scope, ends: Timestamp) -> What {
    What::GrantIssued { staff: JANE, customer: ACME, scope, ends, purpose: Purpose::Fault }
}

/// What Jane asks, connecting to acme.
pub(crate) fn ask(now: Timestamp, locks: &Locks) -> Ask<'_> {
    let address = std::net::IpAddr::from([127, 0, 0, 1]);
    Ask { staff: JANE, customer: ACME, address, grant: None, connections: 0, register_read: now, locks }
}

/// The first customer of [`World::with_people`].
pub(crate) const ACME: CustomerId = CustomerId(1);
/// Its owner.
pub(crate) const OLGA: OwnerId = OwnerId(2);
/// A member of staff.
pub(crate) const JANE: StaffId = StaffId(3);
