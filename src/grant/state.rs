//! The fold of the register's events: who there is, how each switch stands, which grants live.
//! Not here: how an event changes it (`apply`) and what follows from it (`decide`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::by_id::ById;
use super::closure::Closure;
use super::code::Code;
use super::consent::{By, Consent};
use super::glass::Glass;
use super::invitation::Invitation;
use super::kept::{Export, Hold, Snapshot};
use super::layout::Layout;
use super::newest::Newest;
use super::renaming::Former;
use super::request::Request;
use super::scope::{Purpose, Scope};
use super::staff::Standing;
use super::team::Teams;
use super::terms::Region;
use crate::clock::Timestamp;
use crate::ids::{
    CodeId, CustomerId, ExportId, GlassId, GrantId, HoldId, OwnerId, RequestId, Sequence, SnapshotId, StaffId,
};

/// A customer and its switch.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// The sequence of the event that created it.
    pub id: CustomerId,
    /// The name staff connect by, or `erased`.
    pub name: String,
    /// What it is called besides, for people; none: nothing was said.
    pub display: Option<String>,
    /// The names it had before, oldest first.
    pub former: Vec<Former>,
    /// The cluster that holds its data, or `erased`.
    pub cluster: String,
    /// Its database there, or `erased`.
    pub database: String,
    /// How its rows lie there.
    pub layout: Layout,
    /// What stands in the tenant columns of its rows, the name of its schema, or `erased`; none: the whole database is
    /// its own.
    pub tenant: Option<String>,
    /// The switch.
    pub consent: Consent,
    /// When it was created.
    pub created: Timestamp,
    /// The closing of its account; none: it is open.
    pub closure: Option<Closure>,
    /// A doubt about what its owners want, until one of them has answered; meanwhile nothing is opened.
    pub questioned: Option<Questioned>,
}

/// A doubt about an instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Questioned {
    /// Since when.
    pub at: Timestamp,
    /// Whose.
    pub by: By,
    /// Why, in words, or `erased`.
    pub reason: String,
}

/// A member of the vendor's staff.
#[derive(Clone, PartialEq)]
pub struct Staff {
    /// The sequence of the event that created them.
    pub id: StaffId,
    /// The name they sign in by, or `erased`.
    pub name: String,
    /// `SCRAM-SHA-256$4096:salt$stored:server`; empty once erased, which no password matches.
    pub verifier: String,
    /// Where they work; none: not known.
    pub region: Option<Region>,
    /// False once removed, for good.
    pub active: bool,
    /// When they were created.
    pub created: Timestamp,
    /// What is said of them besides.
    pub standing: Standing,
}

/// Somebody with credentials for one customer's account.
#[derive(Clone, PartialEq)]
pub struct Owner {
    /// The sequence of the event that created them.
    pub id: OwnerId,
    /// Whose account.
    pub customer: CustomerId,
    /// The name they sign in by, or `erased`.
    pub name: String,
    /// An Argon2id hash in PHC form; empty once erased, which no password matches.
    pub password_hash: String,
    /// SHA-256 digests of their API tokens.
    pub token_digests: Vec<[u8; 32]>,
    /// False once removed, for good.
    pub active: bool,
    /// When they were created.
    pub created: Timestamp,
}

/// By what a grant came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The staff member opened it, within standing consent.
    Own,
    /// Owners approved a request.
    Request(RequestId),
    /// An owner read out a one-time code.
    Code(CodeId),
    /// Two of the staff opened it in an emergency; the one who confirmed.
    BreakGlass(StaffId),
}

/// One staff member's access to one customer for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The sequence of the event that issued it.
    pub id: GrantId,
    /// Who.
    pub staff: StaffId,
    /// To whose data.
    pub customer: CustomerId,
    /// How far.
    pub scope: Scope,
    /// From when.
    pub issued: Timestamp,
    /// Its absolute end; brought forward when the owner shortens the consent.
    pub ends: Timestamp,
    /// Why, as one word.
    pub purpose: Purpose,
    /// By what it came to be.
    pub given: Given,
    /// Why, in words, or `erased`.
    pub reason: String,
    /// The ticket, or `erased`.
    pub ticket: String,
    /// When it ended before its time, and who ended it.
    pub ended: Option<(Timestamp, By)>,
}

impl Grant {
    /// Whether it is neither ended nor over.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.ends
    }
}

impl fmt::Debug for Staff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Staff { id, name, verifier: _, region: _, active, created: _, standing: _ } = self;
        f.debug_struct("Staff").field("id", id).field("name", name).field("active", active).finish_non_exhaustive()
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Owner { id, customer, name, password_hash: _, token_digests: _, active, created: _ } = self;
        let mut shown = f.debug_struct("Owner");
        shown.field("id", id).field("customer", customer).field("name", name).field("active", active);
        shown.finish_non_exhaustive()
    }
}

/// The fold of the register's events. Cheap to clone: what two of them have in common is shared.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(super) events: u64,
    pub(super) head: [u8; 32],
    /// The hash of the first event; zeros before it.
    pub(super) seed: [u8; 32],
    pub(super) customers: ById<CustomerId, Customer>,
    pub(super) staff: ById<StaffId, Staff>,
    pub(super) owners: ById<OwnerId, Owner>,
    pub(super) grants: ById<GrantId, Grant>,
    pub(super) customer_names: Arc<BTreeMap<String, CustomerId>>,
    /// Names that customers had and do not have now.
    pub(super) former_names: Arc<BTreeMap<String, CustomerId>>,
    /// Customers by cluster and database, and there by tenant.
    pub(super) places: Arc<BTreeMap<(String, String), BTreeMap<Option<String>, CustomerId>>>,
    pub(super) accounts: ById<CustomerId, BTreeSet<OwnerId>>,
    pub(super) staff_names: Arc<BTreeMap<String, StaffId>>,
    pub(super) owner_names: Arc<BTreeMap<String, OwnerId>>,
    pub(super) tokens: Arc<BTreeMap<[u8; 32], OwnerId>>,
    pub(super) invitations: ById<OwnerId, Invitation>,
    pub(super) invitation_codes: Arc<BTreeMap<[u8; 32], OwnerId>>,
    /// The newest invitation to each name.
    pub(super) invited_names: Arc<BTreeMap<String, OwnerId>>,
    /// Every invitation, whatever became of it.
    pub(super) invited: ById<CustomerId, BTreeSet<OwnerId>>,
    pub(super) newest: Newest,
    pub(super) requests: ById<RequestId, Request>,
    /// Requests that have not come to an end, those that waited too long included.
    pub(super) waiting: ById<CustomerId, BTreeSet<RequestId>>,
    pub(super) codes: ById<CodeId, Code>,
    pub(super) newest_code: ById<CustomerId, CodeId>,
    pub(super) holds: ById<HoldId, Hold>,
    pub(super) exports: ById<ExportId, Export>,
    pub(super) snapshots: Arc<BTreeMap<SnapshotId, Arc<Snapshot>>>,
    pub(super) teams: Teams,
    pub(super) glasses: ById<GlassId, Glass>,
}

impl State {
    /// The number of events folded.
    pub fn sequence(&self) -> Sequence {
        Sequence(self.events)
    }

    /// The hash of the last event folded; zeros before the first.
    pub fn head(&self) -> [u8; 32] {
        self.head
    }

    /// What only those who can read the register know, the same for all of them and for ever: from it comes what a sign-in
    /// under a name that nobody has is shown.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The customer with that id.
    pub fn customer(&self, id: CustomerId) -> Option<&Customer> {
        self.customers.get(id)
    }

    /// The customer of that name.
    pub fn customer_named(&self, name: &str) -> Option<&Customer> {
        self.customer_names.get(name).and_then(|id| self.customer(*id))
    }

    /// The staff member with that id, removed ones included.
    pub fn staff(&self, id: StaffId) -> Option<&Staff> {
        self.staff.get(id)
    }

    /// The staff member of that name, removed ones included: look at `active`, or ask [`decide`](fn@super::decide).
    pub fn staff_named(&self, name: &str) -> Option<&Staff> {
        self.staff_names.get(name).and_then(|id| self.staff(*id))
    }

    /// The owner with that id, removed ones included.
    pub fn owner(&self, id: OwnerId) -> Option<&Owner> {
        self.owners.get(id)
    }

    /// The owner of that name, unless removed.
    pub fn owner_named(&self, name: &str) -> Option<&Owner> {
        self.owner_names.get(name).and_then(|id| self.owner(*id)).filter(|owner| owner.active)
    }

    /// The owner with an API token of that SHA-256 digest, unless removed.
    pub fn owner_with_token(&self, digest: &[u8; 32]) -> Option<&Owner> {
        self.tokens.get(digest).and_then(|id| self.owner(*id)).filter(|owner| owner.active)
    }

    /// The grant with that id, ended ones included.
    pub fn grant(&self, id: GrantId) -> Option<&Grant> {
        self.grants.get(id)
    }

    /// The newest grant of that staff member for that customer, ended or not.
    pub fn newest_grant(&self, staff: StaffId, customer: CustomerId) -> Option<&Grant> {
        self.newest.get(customer, staff)
    }

    /// Every customer, oldest first.
    pub fn customers(&self) -> impl Iterator<Item = &Customer> {
        self.customers.values()
    }

    /// Every staff member, oldest first, removed ones included.
    pub fn all_staff(&self) -> impl Iterator<Item = &Staff> {
        self.staff.values()
    }

    /// Every owner, oldest first, removed ones included.
    pub fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.owners.values()
    }

    /// Every grant, oldest first, ended ones included.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.values()
    }

    /// The owners of that customer, oldest first, removed ones included.
    pub fn owners_of(&self, customer: CustomerId) -> impl Iterator<Item = &Owner> {
        self.accounts.get(customer).into_iter().flatten().filter_map(|id| self.owner(*id))
    }

    /// The grants for that customer that are neither ended nor over, each staff member's newest.
    pub fn live_grants_of(&self, customer: CustomerId, now: Timestamp) -> impl Iterator<Item = &Grant> {
        self.newest.of(customer).filter(move |grant| grant.is_live(now))
    }

    /// The request with that id, those that are over included.
    pub fn request(&self, id: RequestId) -> Option<&Request> {
        self.requests.get(id)
    }

    /// Every request, oldest first, those that are over included.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.values()
    }

    /// Requests without an outcome, by customer; look at their status: some waited too long.
    pub fn waiting_requests(&self) -> impl Iterator<Item = &Request> {
        self.waiting.values().flatten().filter_map(|id| self.request(*id))
    }

    /// The same, of one customer, oldest first.
    pub fn waiting_requests_of(&self, customer: CustomerId) -> impl Iterator<Item = &Request> {
        self.waiting.get(customer).into_iter().flatten().filter_map(|id| self.request(*id))
    }

    /// The one-time code with that id, used ones included.
    pub fn code(&self, id: CodeId) -> Option<&Code> {
        self.codes.get(id)
    }

    /// The customer to whom new records about it are sealed: itself while its account is open; none, which is the
    /// vendor, once it is closed.
    pub fn sealed_for(&self, customer: CustomerId) -> Option<CustomerId> {
        self.customer(customer).filter(|customer| customer.closure.is_none()).map(|customer| customer.id)
    }

    /// Everybody who needs keys: customers whose account is open.
    pub fn sealed_to(&self) -> impl Iterator<Item = CustomerId> {
        self.customers().filter(|customer| customer.closure.is_none()).map(|customer| customer.id)
    }

    /// Customers of whose records keys are being destroyed, or gone: whoever holds any forgets them.
    pub fn forgotten(&self) -> impl Iterator<Item = CustomerId> {
        let is_erasing = |customer: &&Customer| customer.closure.as_ref().is_some_and(Closure::is_erasing);
        self.customers().filter(is_erasing).map(|customer| customer.id)
    }

    /// The hold with that id, released ones included.
    pub fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(id)
    }

    /// Every hold, oldest first, released ones included.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values()
    }

    /// The holds on that customer's data that are not released.
    pub fn holds_on(&self, customer: CustomerId) -> impl Iterator<Item = &Hold> {
        self.holds().filter(move |hold| hold.customer == customer && hold.released.is_none())
    }

    /// Since when records about an account that is held are sealed to the vendor's keys: the first closing of one that is.
    pub fn held_since(&self) -> Option<Timestamp> {
        let closed = self.customers().filter_map(|customer| Some((customer.id, customer.closure.as_ref()?.at)));
        closed.filter(|(id, _)| self.holds_on(*id).next().is_some()).map(|(_, closed)| closed).min()
    }

    /// The export with that id, destroyed ones included.
    pub fn export(&self, id: ExportId) -> Option<&Export> {
        self.exports.get(id)
    }

    /// Every export of that customer's data, oldest first, destroyed ones included.
    pub fn exports_of(&self, customer: CustomerId) -> impl Iterator<Item = &Export> {
        self.exports.values().filter(move |export| export.customer == customer)
    }

    /// The snapshot with that id, deleted ones included.
    pub fn snapshot(&self, id: SnapshotId) -> Option<&Snapshot> {
        self.snapshots.get(&id).map(Arc::as_ref)
    }

    /// Every snapshot of our catalog, by id, deleted ones included.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.values().map(Arc::as_ref)
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
