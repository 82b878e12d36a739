//! One change of the register: what it says, its place in the hash chain, its signature, its side row.
//! Not here: its bytes (`content`), what a change is allowed to do (`apply`) and where it is kept (`register/`).
//! hash = SHA-256(previous hash || content); what concerns a person is in the side row, bound by a salted digest.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

use super::closure::AccountStep;
use super::consent::{By, Mode};
use super::glass::GlassStep;
use super::kept::SnapshotStep;
use super::layout::Layout;
use super::personal::Personal;
use super::request::{Channel, RequestStep};
use super::scope::{Purpose, Scope};
use super::staff::StaffStep;
use super::state::State;
use super::team::TeamStep;
use super::terms::Bounds;
use crate::clock::Timestamp;
use crate::ids::{CodeId, CustomerId, EventId, GrantId, HoldId, OwnerId, RequestId, Sequence, SnapshotId, StaffId};

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
    /// Somebody is invited to become an owner. Side row: name, digest of the code.
    OwnerInvited { customer: CustomerId, ends: Timestamp },
    /// They accepted, and are one under the invitation's id. Side row: password hash.
    OwnerAccepted { invitation: OwnerId },
    /// An invitation is taken back.
    OwnerUninvited { invitation: OwnerId },
    /// A customer is called otherwise. Side row: name, display name.
    CustomerRenamed { customer: CustomerId },
    /// An owner is gone for good; with the last one the customer's switch goes off.
    OwnerRemoved { owner: OwnerId },
    /// The switch was moved.
    ConsentSet { customer: CustomerId, mode: Mode, scope: Scope, until: Option<Timestamp> },
    /// A grant was issued. Side row: reason, ticket.
    GrantIssued { staff: StaffId, customer: CustomerId, scope: Scope, ends: Timestamp, purpose: Purpose },
    /// A grant ended before its time.
    GrantEnded { grant: GrantId },
    /// An owner moved the switch and set the terms. Side row: hours, networks, regions, as far as they are limited.
    ConsentAgreed { customer: CustomerId, mode: Mode, scope: Scope, until: Option<Timestamp>, terms: Bounds },
    /// Staff ask for access. Side row: reason, ticket, necessity.
    RequestOpened {
        staff: StaffId,
        customer: CustomerId,
        scope: Scope,
        lasting: Duration,
        start_by: Timestamp,
        purpose: Purpose,
        channel: Channel,
    },
    /// Something happened to a request. The last approval needed issues the grant.
    Request { request: RequestId, step: RequestStep },
    /// An owner made a one-time code, whose key this is the public half of. Side row: salt.
    CodeCreated { customer: CustomerId, scope: Scope, lasting: Duration, expires: Timestamp, key: [u8; 32] },
    /// A staff member used a code, and signed with its key: a grant is issued. Side row: reason, ticket.
    CodeRedeemed { code: CodeId, staff: StaffId, purpose: Purpose },
    /// A staff member gave a wrong code while that one was live.
    CodeMissed { code: CodeId },
    /// A staff member doubts what the owners of that customer want: nothing is opened until one answers. Side row: reason.
    InstructionQuestioned { customer: CustomerId },
    /// An owner has answered the doubt: it is meant as it stands.
    InstructionConfirmed { customer: CustomerId },
    /// A step in the closing of a customer's account, or in an export of its data.
    Account { customer: CustomerId, step: AccountStep },
    /// Exports and audit records of that customer are kept until the hold is released. Side row: authority, reason.
    HoldPlaced { customer: CustomerId, review: Timestamp },
    /// That hold is over. Side row: authority, reason.
    HoldReleased { hold: HoldId },
    /// A step in opening access in an emergency.
    Glass(GlassStep),
    /// A change of teams.
    Team(TeamStep),
    /// A change that concerns one staff member.
    Staff { staff: StaffId, step: StaffStep },
    /// A step in the life of a snapshot.
    Snapshot { snapshot: SnapshotId, step: SnapshotStep },
}

impl What {
    /// The verb, as records and people name it.
    pub fn verb(&self) -> &'static str {
        match self {
            What::CustomerCreated { .. } => "customer.created",
            What::StaffCreated => "staff.created",
            What::StaffRemoved { .. } => "staff.removed",
            What::OwnerCreated { .. } => "owner.created",
            What::OwnerInvited { .. } => "owner.invited",
            What::OwnerAccepted { .. } => "owner.accepted",
            What::OwnerUninvited { .. } => "owner.uninvited",
            What::CustomerRenamed { .. } => "customer.renamed",
            What::OwnerRemoved { .. } => "owner.removed",
            What::ConsentSet { .. } => "consent.set",
            What::GrantIssued { .. } => "grant.issued",
            What::GrantEnded { .. } => "grant.ended",
            What::ConsentAgreed { .. } => "consent.agreed",
            What::RequestOpened { .. } => "request.opened",
            What::Request { step, .. } => step.verb(),
            What::CodeCreated { .. } => "code.created",
            What::CodeRedeemed { .. } => "code.redeemed",
            What::CodeMissed { .. } => "code.missed",
            What::InstructionQuestioned { .. } => "instruction.questioned",
            What::InstructionConfirmed { .. } => "instruction.confirmed",
            What::Account { step, .. } => step.verb(),
            What::HoldPlaced { .. } => "hold.placed",
            What::HoldReleased { .. } => "hold.released",
            What::Glass(step) => step.verb(),
            What::Team(step) => step.verb(),
            What::Staff { step, .. } => step.verb(),
            What::Snapshot { step, .. } => step.verb(),
        }
    }
}

impl What {
    /// Whether it can only take access away, in that state at that moment.
    pub fn narrows(&self, state: &State, at: Timestamp) -> bool {
        match *self {
            What::StaffRemoved { .. }
            | What::OwnerRemoved { .. }
            | What::OwnerUninvited { .. }
            | What::GrantEnded { .. }
            | What::Request { step: RequestStep::Denied | RequestStep::Withdrawn, .. }
            | What::CodeMissed { .. }
            | What::InstructionQuestioned { .. }
            | What::ConsentAgreed { mode: Mode::Off, .. }
            | What::Account { step: AccountStep::Closed, .. } => true,
            What::ConsentSet { customer, mode, scope, until } => {
                let consent = state.customer(customer).map(|customer| &customer.consent);
                consent.is_some_and(|consent| !consent.widened_by(mode, scope, until, at))
            }
            What::Glass(_) => false,
            What::Team(step) => step.narrows(),
            What::Staff { step, .. } => step.narrows(),
            What::CustomerCreated { .. }
            | What::StaffCreated
            | What::OwnerCreated { .. }
            | What::OwnerInvited { .. }
            | What::OwnerAccepted { .. }
            | What::CustomerRenamed { .. }
            | What::GrantIssued { .. }
            | What::ConsentAgreed { .. }
            | What::RequestOpened { .. }
            | What::Request { .. }
            | What::CodeCreated { .. }
            | What::CodeRedeemed { .. }
            | What::InstructionConfirmed { .. }
            | What::Account { .. }
            | What::HoldPlaced { .. }
            | What::HoldReleased { .. }
            | What::Snapshot { .. } => false,
        }
    }

    /// Whether it counts only with a signature, when such an actor causes it: of the portal, or of a code's key.
    pub fn is_signed(&self, by: By) -> bool {
        let is_of_portal = |step: &StaffStep| matches!(step, StaffStep::TokenIssued { .. });
        matches!((self, by), (_, By::Owner(_)) | (What::CodeRedeemed { .. }, _))
            || matches!(self, What::Staff { step, .. } if is_of_portal(step))
    }

    /// Whether it comes with a side row.
    pub(super) fn has_side(&self) -> bool {
        match self {
            What::ConsentAgreed { terms, .. } => terms.has_hours || terms.has_networks || terms.has_regions,
            What::Request { step, .. } => step.has_side(),
            What::CustomerCreated { .. }
            | What::StaffCreated
            | What::OwnerCreated { .. }
            | What::OwnerInvited { .. }
            | What::OwnerAccepted { .. }
            | What::CustomerRenamed { .. }
            | What::GrantIssued { .. }
            | What::RequestOpened { .. }
            | What::CodeCreated { .. }
            | What::CodeRedeemed { .. }
            | What::InstructionQuestioned { .. }
            | What::HoldPlaced { .. }
            | What::HoldReleased { .. }
            | What::Glass(GlassStep::Asked { .. })
            | What::Team(TeamStep::Created) => true,
            What::Staff { step, .. } => step.has_side(),
            What::StaffRemoved { .. }
            | What::OwnerRemoved { .. }
            | What::OwnerUninvited { .. }
            | What::ConsentSet { .. }
            | What::GrantEnded { .. }
            | What::CodeMissed { .. }
            | What::InstructionConfirmed { .. }
            | What::Account { .. }
            | What::Glass(GlassStep::Confirmed { .. })
            | What::Team(
                TeamStep::Dissolved { .. }
                | TeamStep::MemberAdded { .. }
                | TeamStep::MemberRemoved { .. }
                | TeamStep::Assigned { .. }
                | TeamStep::Unassigned { .. },
            )
            | What::Snapshot { .. } => false,
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
pub(crate) mod tests;
