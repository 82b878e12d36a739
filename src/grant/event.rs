//! One change of the register: its content as CBOR, its place in the hash chain, its signature, its side row.
//! Not here: what a change is allowed to do (`apply`) and where it is kept (`register/`).
//! hash = SHA-256(previous hash || content); what concerns a person is in the side row, bound by a salted digest.

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::consent::{By, Mode};
use super::layout::Layout;
use super::personal::Personal;
use super::scope::{Purpose, Scope};
use super::state::State;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, EventId, GrantId, OwnerId, Sequence, StaffId};

/// What is hashed before a side row's salt and body.
const SIDE_DOMAIN: &[u8] = b"portreeve register side row v0\0";
/// What is signed before an event's expected sequence, the chain's head and the content.
const SIGNATURE_DOMAIN: &[u8] = b"portreeve register event v0\0";

/// What an event changes. Ids of what it creates are its own sequence number.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum What {
    /// A customer exists, its switch off. Side row: name, cluster, database, tenant.
    CustomerCreated { layout: Layout },
    /// A staff member exists. Side row: name, verifier.
    StaffCreated,
    /// A staff member is gone for good; their grants end.
    StaffRemoved { staff: StaffId },
    /// An owner of that customer exists. Side row: name, password hash, token digests.
    OwnerCreated { customer: CustomerId },
    /// An owner is gone for good; with the last one the customer's switch goes off.
    OwnerRemoved { owner: OwnerId },
    /// The switch was moved.
    ConsentSet { customer: CustomerId, mode: Mode, scope: Scope, until: Option<Timestamp> },
    /// A grant was issued. Side row: reason, ticket.
    GrantIssued { staff: StaffId, customer: CustomerId, scope: Scope, ends: Timestamp, purpose: Purpose },
    /// A grant ended before its time.
    GrantEnded { grant: GrantId },
}

impl What {
    /// The verb, as records and people name it.
    pub fn verb(&self) -> &'static str {
        match self {
            What::CustomerCreated { .. } => "customer.created",
            What::StaffCreated => "staff.created",
            What::StaffRemoved { .. } => "staff.removed",
            What::OwnerCreated { .. } => "owner.created",
            What::OwnerRemoved { .. } => "owner.removed",
            What::ConsentSet { .. } => "consent.set",
            What::GrantIssued { .. } => "grant.issued",
            What::GrantEnded { .. } => "grant.ended",
        }
    }
}

impl What {
    /// Whether it can only take access away, in that state at that moment.
    pub fn narrows(&self, state: &State, at: Timestamp) -> bool {
        match *self {
            What::StaffRemoved { .. } | What::OwnerRemoved { .. } | What::GrantEnded { .. } => true,
            What::ConsentSet { customer, mode, scope, until } => {
                let consent = state.customer(customer).map(|customer| &customer.consent);
                consent.is_some_and(|consent| !consent.widened_by(mode, scope, until, at))
            }
            What::CustomerCreated { .. }
            | What::StaffCreated
            | What::OwnerCreated { .. }
            | What::GrantIssued { .. } => false,
        }
    }
}

/// One change, as it is hashed and signed: ids, enumerations, times and numbers only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Chosen before it is tried.
    pub id: EventId,
    /// When, by its writer's clock.
    pub at: Timestamp,
    /// Who caused it.
    pub by: By,
    /// What it changes.
    pub what: What,
    /// The salted digest of its side row; none: it has no side row.
    pub side: Option<[u8; 32]>,
}

/// The wire form of an event: a flat map whose numbers are never used again for another meaning.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Content {
    #[n(0)]
    id: ByteArray<16>,
    #[n(1)]
    at: i64,
    #[n(2)]
    by: u8,
    #[n(3)]
    actor: Option<u64>,
    #[n(4)]
    what: u8,
    #[n(5)]
    customer: Option<u64>,
    #[n(6)]
    staff: Option<u64>,
    #[n(7)]
    owner: Option<u64>,
    #[n(8)]
    grant: Option<u64>,
    #[n(9)]
    mode: Option<u8>,
    #[n(10)]
    scope: Option<u8>,
    #[n(11)]
    until: Option<i64>,
    #[n(12)]
    purpose: Option<u8>,
    #[n(13)]
    side: Option<ByteArray<32>>,
    /// None is [`Layout::Database`], as before there were others.
    #[n(14)]
    layout: Option<u8>,
}

impl Event {
    /// The content as CBOR, the one encoding there is of it.
    pub fn encode(&self) -> Vec<u8> {
        let (by, actor) = match self.by {
            By::Owner(id) => (1, Some(id.0)),
            By::Staff(id) => (2, Some(id.0)),
            By::VendorApp => (3, None),
            By::Operator => (4, None),
            By::System => (5, None),
        };
        let mut content = Content {
            id: self.id.0.into(),
            at: self.at.0,
            by,
            actor,
            what: 0,
            customer: None,
            staff: None,
            owner: None,
            grant: None,
            mode: None,
            scope: None,
            until: None,
            purpose: None,
            side: self.side.map(ByteArray::from),
            layout: None,
        };
        content.fill(&self.what);
        minicbor::to_vec(&content).expect("writing to memory does not fail")
    }

    /// Reads a content back. `None`: not an event this version knows, or not in its one encoding.
    pub fn decode(bytes: &[u8]) -> Option<Event> {
        let content: Content = minicbor::decode(bytes).ok()?;
        let by = match (content.by, content.actor) {
            (1, Some(id)) => By::Owner(OwnerId(id)),
            (2, Some(id)) => By::Staff(StaffId(id)),
            (3, None) => By::VendorApp,
            (4, None) => By::Operator,
            (5, None) => By::System,
            _ => return None,
        };
        let event = Event {
            id: EventId(content.id.into()),
            at: Timestamp(content.at),
            by,
            what: content.what()?,
            side: content.side.map(<[u8; 32]>::from),
        };
        (event.encode() == bytes).then_some(event)
    }
}

impl Content {
    fn fill(&mut self, what: &What) {
        match *what {
            What::CustomerCreated { layout } => {
                self.what = 1;
                self.layout = Some(layout.number()).filter(|_| layout != Layout::Database);
            }
            What::StaffCreated => self.what = 2,
            What::StaffRemoved { staff } => (self.what, self.staff) = (3, Some(staff.0)),
            What::OwnerCreated { customer } => (self.what, self.customer) = (4, Some(customer.0)),
            What::OwnerRemoved { owner } => (self.what, self.owner) = (5, Some(owner.0)),
            What::ConsentSet { customer, mode, scope, until } => {
                (self.what, self.customer) = (6, Some(customer.0));
                (self.mode, self.scope) = (Some(mode.number()), Some(scope.number()));
                self.until = until.map(|until| until.0);
            }
            What::GrantIssued { staff, customer, scope, ends, purpose } => {
                (self.what, self.staff, self.customer) = (7, Some(staff.0), Some(customer.0));
                (self.scope, self.until) = (Some(scope.number()), Some(ends.0));
                self.purpose = Some(purpose.number());
            }
            What::GrantEnded { grant } => (self.what, self.grant) = (8, Some(grant.0)),
        }
    }

    fn what(&self) -> Option<What> {
        Some(match self.what {
            1 => What::CustomerCreated { layout: self.layout.map_or(Some(Layout::Database), Layout::from_number)? },
            2 => What::StaffCreated,
            3 => What::StaffRemoved { staff: StaffId(self.staff?) },
            4 => What::OwnerCreated { customer: CustomerId(self.customer?) },
            5 => What::OwnerRemoved { owner: OwnerId(self.owner?) },
            6 => What::ConsentSet {
                customer: CustomerId(self.customer?),
                mode: Mode::from_number(self.mode?)?,
                scope: Scope::from_number(self.scope?)?,
                until: self.until.map(Timestamp),
            },
            7 => What::GrantIssued {
                staff: StaffId(self.staff?),
                customer: CustomerId(self.customer?),
                scope: Scope::from_number(self.scope?)?,
                ends: Timestamp(self.until?),
                purpose: Purpose::from_number(self.purpose?)?,
            },
            8 => What::GrantEnded { grant: GrantId(self.grant?) },
            _ => return None,
        })
    }
}

/// What concerns a person, beside the event: erased by deleting the row, salt and all.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// Fresh for each row, so that the digest says nothing once the row is gone.
    pub salt: [u8; 32],
    /// A [`Personal`] as CBOR.
    pub body: Vec<u8>,
}

impl Side {
    /// The salted digest that stands in the event.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[SIDE_DOMAIN, &self.salt, &self.body])
    }
}

/// An event at its place in the chain, as the register keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its place; the first is 1.
    pub sequence: Sequence,
    /// The event's content.
    pub content: Vec<u8>,
    /// SHA-256 of the previous event's hash and the content.
    pub hash: [u8; 32],
    /// The portal's signature, on what an owner did.
    pub signature: Option<[u8; 64]>,
    /// The side row; none: it has none, or it was erased.
    pub side: Option<Side>,
}

/// A change somebody wants, before it has a time and a place.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Who wants it.
    pub by: By,
    /// What.
    pub what: What,
    /// What of it concerns a person.
    pub personal: Option<Personal>,
}

/// A change ready to be appended at one place in the chain.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The event's id.
    pub id: EventId,
    /// What it would be, were it appended.
    pub stored: Stored,
}

impl Draft {
    /// Gives the change its id, time, and place behind `expected`, whose hash is `head`.
    pub fn propose(
        &self,
        id: EventId,
        at: Timestamp,
        salt: [u8; 32],
        (expected, head): (Sequence, [u8; 32]),
    ) -> Proposal {
        let side = self.personal.as_ref().map(|personal| Side { salt, body: personal.encode() });
        let event = Event { id, at, by: self.by, what: self.what, side: side.as_ref().map(Side::digest) };
        let content = event.encode();
        let (sequence, hash) = (Sequence(expected.0.saturating_add(1)), chain(&head, &content));
        Proposal { id, stored: Stored { sequence, content, hash, signature: None, side } }
    }
}

impl Proposal {
    /// Adds the portal's signature; `head` is the hash the proposal was made behind.
    pub fn sign(&mut self, key: &Ed25519KeyPair, head: &[u8; 32]) {
        let signature = key.sign(&signed(self.stored.sequence, head, &self.stored.content));
        self.stored.signature = signature.as_ref().try_into().ok();
    }
}

/// SHA-256(previous hash || content).
pub fn chain(head: &[u8; 32], content: &[u8]) -> [u8; 32] {
    sha256(&[head, content])
}

/// Whether `signature` is the portal's, over this content at this place behind this head.
pub(super) fn signature_holds(key: &[u8; 32], stored: &Stored, head: &[u8; 32], signature: &[u8; 64]) -> bool {
    let signed = signed(stored.sequence, head, &stored.content);
    UnparsedPublicKey::new(&ED25519, key).verify(&signed, signature).is_ok()
}

/// What the portal signs: domain, the sequence before the event, the hash before it, the content.
fn signed(sequence: Sequence, head: &[u8; 32], content: &[u8]) -> Vec<u8> {
    let expected = sequence.0.saturating_sub(1).to_be_bytes();
    [SIGNATURE_DOMAIN, &expected, head, content].concat()
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
