//! A small world for tests: a state, the portal's key, and events made and folded in one line each.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::{
    By, Channel, Draft, Fault, Layout, Locks, Mode, Personal, Proposal, Purpose, RequestStep, Scope, State, Stored,
    Terms, Trust, What, apply_made,
};
use crate::clock::Timestamp;
use crate::grant::Ask;
use crate::ids::{CustomerId, EventId, GrantId, OwnerId, RequestId, Sequence, StaffId};

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

/// A request's side row.
pub(crate) fn wish() -> Personal {
    Personal { necessity: Some("the totals are in the rows".to_owned()), ..reason() }
}

/// The side row of a question or an answer.
pub(crate) fn said(text: &str) -> Option<Personal> {
    Some(Personal { message: Some(text.to_owned()), ..Personal::default() })
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
        if what.is_signed(by) {
            proposal.sign(&portal_key(), &self.state.head());
        }
        proposal.stored
    }

    /// Makes and folds an event.
    pub(crate) fn try_to(&mut self, by: By, what: What, personal: Option<Personal>) -> Result<Sequence, Fault> {
        let stored = self.make(by, what, personal);
        apply_made(&mut self.state, &stored, &trust())?;
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

    /// The same world, the owner of acme wanting to be asked each time, up to writing.
    pub(crate) fn asked() -> World {
        let mut world = World::with_people();
        world.consent(Mode::PerRequest, Scope::Write, None);
        world
    }

    /// The owner of acme moves the switch and sets terms.
    pub(crate) fn agree(&mut self, mode: Mode, scope: Scope, terms: &Terms) -> Result<Sequence, Fault> {
        let what = What::ConsentAgreed { customer: ACME, mode, scope, until: None, terms: terms.bounds() };
        self.try_to(By::Owner(OLGA), what, Some(terms.side()).filter(|_| what.has_side()))
    }

    /// Jane asks for acme, for so many minutes, to begin within a day.
    pub(crate) fn open(&mut self, scope: Scope, lasting: u64) -> RequestId {
        let what = open(scope, lasting, Timestamp(self.now.0 + 86_400_000_000));
        RequestId(self.must(By::Staff(JANE), what, Some(wish())).0)
    }

    /// An owner approves a request, for that long at most.
    pub(crate) fn approve(&mut self, owner: OwnerId, request: RequestId, lasting: u64) -> Result<Sequence, Fault> {
        let step = RequestStep::Approved { scope: Scope::Read, lasting: Duration::from_secs(60 * lasting) };
        self.try_to(By::Owner(owner), What::Request { request, step }, None)
    }

    /// Folds an event that is signed by a code's key instead of the portal's.
    pub(crate) fn try_signed(
        &mut self,
        key: &Ed25519KeyPair,
        by: By,
        what: What,
        personal: Option<Personal>,
    ) -> Result<Sequence, Fault> {
        let mut proposal = Proposal { id: EventId([0; 16]), stored: self.make(by, what, personal) };
        proposal.sign(key, &self.state.head());
        apply_made(&mut self.state, &proposal.stored, &trust())?;
        self.events.push(proposal.stored.clone());
        Ok(proposal.stored.sequence)
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

/// A request of Jane's for acme, for so many minutes.
pub(crate) fn open(scope: Scope, lasting: u64, start_by: Timestamp) -> What {
    let (lasting, purpose, channel) = (Duration::from_secs(60 * lasting), Purpose::Fault, Channel::Phone);
    What::RequestOpened { staff: JANE, customer: ACME, scope, lasting, start_by, purpose, channel }
}

/// What Jane asks, connecting to acme.
pub(crate) fn ask(now: Timestamp, locks: &Locks) -> Ask<'_> {
    let address = std::net::IpAddr::from([127, 0, 0, 1]);
    let (grant, credential) = (None, Timestamp::NEVER);
    Ask { staff: JANE, customer: ACME, address, grant, connections: 0, register_read: now, credential, locks }
}

/// The first customer of [`World::with_people`].
pub(crate) const ACME: CustomerId = CustomerId(1);
/// Its owner.
pub(crate) const OLGA: OwnerId = OwnerId(2);
/// A member of staff.
pub(crate) const JANE: StaffId = StaffId(3);
