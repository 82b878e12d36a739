//! The decision: may this staff member reach this customer's data now, and until when.
//! Not here: what is done about the answer (`proxy/`), and its wording (`refusal`). Pure and total.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::time::Duration;

use super::consent::{Consent, Mode};
use super::locks::Locks;
use super::refusal::{Condition, Refusal};
use super::scope::Scope;
use super::staff::Attestations;
use super::staff_condition;
use super::state::{Customer, Given, Grant, Staff, State};
use crate::clock::Timestamp;
use crate::ids::{CustomerId, GrantId, Sequence, StaffId};

/// A grant's beginning may lie this far ahead of the clock of whoever decides; more is a wrong clock.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// What somebody wants to do, and from where.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Who: signed in already.
    pub staff: StaffId,
    /// To whose data.
    pub customer: CustomerId,
    /// The client's address.
    pub address: IpAddr,
    /// The grant the session runs under; none when it is being opened (then any live grant of this staff and
    /// customer serves).
    pub grant: Option<GrantId>,
    /// Other sessions of that staff and customer now open in this proxy.
    pub connections: usize,
    /// When the register was last read successfully.
    pub register_read: Timestamp,
    /// Until when what they signed in with carries a session; [`Timestamp::NEVER`]: as long as everything else does.
    pub credential: Timestamp,
    /// The narrowing locks in force.
    pub locks: &'a Locks,
}

/// Numbers `decide` holds against, and where the owner's switch is.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions one grant may have open at once.
    pub connections_per_grant: usize,
    /// How old what was read from the register may be.
    pub register_stale_after: Duration,
    /// Whether staff may open grants themselves where an owner lets them; not where each instruction must be specific.
    pub standing: bool,
    /// The version of each attestation that is in force.
    pub attestations: Attestations,
    /// The portal's address, for hints, such as `https://portal.example`; empty: none is named.
    pub portal_url: String,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_per_grant: 8,
            register_stale_after: Duration::from_secs(5),
            standing: true,
            attestations: Attestations::default(),
            portal_url: String::new(),
        }
    }
}

/// Any scope.
#[derive(Debug)]
pub enum Any {}
/// A scope that cannot change rows.
#[derive(Debug)]
pub enum ReadOnly {}

/// Proof that [`decide`] allowed: made nowhere else, neither cloned nor kept.
#[derive(Debug)]
pub struct Authorized<S = Any> {
    grant: GrantId,
    scope: Scope,
    until: Timestamp,
    lease: Timestamp,
    sequence: Sequence,
    _scope: PhantomData<S>,
}

impl<S> Authorized<S> {
    /// The grant it goes by.
    pub fn grant(&self) -> GrantId {
        self.grant
    }

    /// The grant's scope.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The earliest end of what was given: of the grant, of the owner's consent and its hours, of the staff member's own
    /// hours and attestations, of what they signed in with.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// When what was read from the register is too old to go by. Moves on with each successful reading.
    pub fn lease(&self) -> Timestamp {
        self.lease
    }

    /// The earliest of all deadlines, the lease included: by then it must be decided anew.
    pub fn deadline(&self) -> Timestamp {
        self.until.min(self.lease)
    }

    /// The register's sequence it was decided at.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }
}

impl Authorized<Any> {
    /// As a proof for a scope that cannot change rows; gives itself back if the scope can.
    ///
    /// # Errors
    /// The proof itself, when the scope is `write`.
    pub fn read_only(self) -> Result<Authorized<ReadOnly>, Authorized<Any>> {
        let Authorized { grant, scope, until, lease, sequence, _scope } = self;
        match scope {
            Scope::Metadata | Scope::Read => {
                Ok(Authorized { grant, scope, until, lease, sequence, _scope: PhantomData })
            }
            Scope::Write => Err(Authorized { grant, scope, until, lease, sequence, _scope: PhantomData }),
        }
    }
}

/// The answer.
#[derive(Debug)]
pub enum Decision {
    /// Yes, with the proof.
    Allow(Authorized),
    /// No, and everything that stands in the way.
    Refuse(Refusal),
}

/// Whether that ask is allowed now. Allows if and only if no condition fails; names every one that does.
pub fn decide(state: &State, ask: &Ask<'_>, limits: &Limits, now: Timestamp) -> Decision {
    let mut failed = Vec::new();
    let lease = ask.register_read.plus(limits.register_stale_after);
    if now >= lease {
        failed.push(Condition::RegisterStale { read: ask.register_read });
    }
    // Among many customers and grants looking up is what costs: each is looked up once.
    let (staff, customer) = (state.staff(ask.staff), state.customer(ask.customer));
    let stop = check_staff(staff, (state, ask), limits, now, &mut failed);
    check_customer(customer, ask, now, &mut failed);
    let consent = customer.map(|customer| &customer.consent);
    let grant = find_grant((state, consent), ask, limits, now, &mut failed);
    let hours_end = check_terms(staff, customer, ask, now, &mut failed);
    if ask.locks.blocks(ask, grant.map(|grant| grant.id)) {
        failed.push(Condition::Locked { customer: ask.customer });
    }
    if ask.connections >= limits.connections_per_grant {
        failed.push(Condition::TooManyConnections { open: ask.connections, most: limits.connections_per_grant });
    }
    match (grant, consent) {
        (Some(grant), Some(consent)) if failed.is_empty() => Decision::Allow(Authorized {
            grant: grant.id,
            scope: grant.scope,
            until: end_of(grant, consent).min(consent.deadline()).min(hours_end).min(stop),
            lease,
            sequence: state.sequence(),
            _scope: PhantomData,
        }),
        (Some(_) | None, Some(_) | None) => Decision::Refuse(Refusal {
            staff: ask.staff,
            customer: ask.customer,
            conditions: failed,
            portal_url: limits.portal_url.clone(),
        }),
    }
}

/// Is the staff member there, and fit to work now, from there, for that customer? Until when they are.
fn check_staff(
    staff: Option<&Staff>,
    (state, ask): (&State, &Ask<'_>),
    limits: &Limits,
    now: Timestamp,
    failed: &mut Vec<Condition>,
) -> Timestamp {
    match staff {
        Some(staff) if staff.active => {
            let mut failed = |condition| failed.push(Condition::Staff(condition));
            return staff_condition::check(staff, (state, ask), limits, now, &mut failed);
        }
        Some(_) => failed.push(Condition::StaffInactive),
        None => failed.push(Condition::StaffUnknown),
    }
    Timestamp::NEVER
}

/// Is the customer there, and its switch on?
fn check_customer(customer: Option<&Customer>, ask: &Ask<'_>, now: Timestamp, failed: &mut Vec<Condition>) {
    let Some(customer) = customer else {
        failed.push(Condition::CustomerUnknown { customer: ask.customer });
        return;
    };
    if let Some(closure) = &customer.closure {
        failed.push(Condition::CustomerClosed { customer: ask.customer, at: closure.at });
        return;
    }
    if let Some(questioned) = &customer.questioned {
        failed.push(Condition::InstructionQuestioned { customer: ask.customer, at: questioned.at });
    }
    match customer.consent.mode_at(now) {
        Mode::Standing | Mode::PerRequest => {}
        Mode::Off if customer.consent.mode == Mode::Off => {
            failed.push(Condition::ConsentOff { customer: ask.customer });
        }
        Mode::Off => {
            let at = customer.consent.deadline();
            failed.push(Condition::ConsentOver { customer: ask.customer, at });
        }
    }
}

/// Do the owner's terms let them in now, and from there? Until when they do.
fn check_terms(
    staff: Option<&Staff>,
    customer: Option<&Customer>,
    ask: &Ask<'_>,
    now: Timestamp,
    failed: &mut Vec<Condition>,
) -> Timestamp {
    let Some(customer) = customer.filter(|customer| customer.closure.is_none()) else {
        return Timestamp::NEVER;
    };
    let terms = &customer.consent.terms;
    if !terms.admits(ask.address) {
        failed.push(Condition::AddressNotAllowed { address: ask.address });
    }
    let region = staff.and_then(|staff| staff.region);
    if !terms.admits_from(region) {
        failed.push(Condition::RegionNotAllowed { region });
    }
    let end = terms.hours_end(now);
    if end.is_none() {
        let opens = terms.hours.known().and_then(|hours| hours.opens(now));
        failed.push(Condition::OutOfHours { opens });
    }
    end.unwrap_or(Timestamp::NEVER)
}

/// The end of a grant: its own, and never longer after its beginning than the owner allows.
fn end_of(grant: &Grant, consent: &Consent) -> Timestamp {
    grant.ends.min(grant.issued.plus(consent.terms.longest))
}

/// The grant it would go by, with everything that is wrong with it named.
fn find_grant<'s>(
    (state, consent): (&'s State, Option<&Consent>),
    ask: &Ask<'_>,
    limits: &Limits,
    now: Timestamp,
    failed: &mut Vec<Condition>,
) -> Option<&'s Grant> {
    let found = match ask.grant {
        Some(id) => state.grant(id),
        None => state.newest_grant(ask.staff, ask.customer),
    };
    let Some(grant) = found.filter(|grant| grant.staff == ask.staff && grant.customer == ask.customer) else {
        failed.push(Condition::NoGrant { staff: ask.staff, customer: ask.customer });
        return None;
    };
    let id = grant.id;
    let ends = consent.map_or(grant.ends, |consent| end_of(grant, consent));
    match grant.ended {
        Some((at, by)) if at < ends => failed.push(Condition::GrantEnded { grant: id, at, by }),
        Some(_) => failed.push(Condition::GrantOver { grant: id, at: ends }),
        None if now >= ends => failed.push(Condition::GrantOver { grant: id, at: ends }),
        None => {}
    }
    let is_asked_first = match (grant.given, consent.map_or(Mode::Off, |consent| consent.mode_at(now))) {
        (Given::Own, Mode::PerRequest) => true,
        (Given::Own, Mode::Standing) => !limits.standing,
        (Given::BreakGlass(_), Mode::PerRequest | Mode::Standing) => {
            !consent.is_some_and(|consent| consent.terms.break_glass)
        }
        (Given::Own | Given::BreakGlass(_), Mode::Off) | (Given::Request(_) | Given::Code(_), _) => false,
    };
    if is_asked_first {
        failed.push(Condition::NotAsked { grant: id });
    }
    if now.plus(CLOCK_TOLERANCE) < grant.issued {
        failed.push(Condition::GrantNotBegun { grant: id, from: grant.issued });
    }
    if let Some(allowed) = consent.map(|consent| consent.scope).filter(|allowed| grant.scope > *allowed) {
        failed.push(Condition::ScopeTooWide { scope: grant.scope, allowed });
    }
    Some(grant)
}

#[cfg(test)]
#[path = "decide_property_tests.rs"]
mod property_tests;
#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
