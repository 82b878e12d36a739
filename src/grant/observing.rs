//! Roll-out: for a while, staff reach the data of customers whose owners have decided nothing yet, and it is recorded
//! what would have stood in their way.
//! Not here: the decision. [`decide`] says no first, and it alone says yes, of a state in which the owner had said so.
//! A switch that was ever moved, by whomever, stands: nothing is observed past it.

use std::sync::Arc;
use std::time::Duration;

use super::consent::{Consent, Mode};
use super::decide::{Ask, Decision, Limits, decide};
use super::refusal::{Condition, Refusal};
use super::scope::{Purpose, Scope};
use super::state::{Customer, Given, Grant, State};
use super::terms::Terms;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, GrantId, RequestId, StaffId};

/// The longest a roll-out may be planned ahead.
pub const OBSERVING_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Grants that no event issued have numbers beyond any sequence, made of the day, the staff member's number and the
/// customer's. With at most 14 digits they fit into the name of a login role.
const UNISSUED: u64 = 1 << 45;
/// How many bits each of the two has there. A register of a million events is past its roll-out.
const ID_BITS: u32 = 20;
/// Days count from 0 again after so many, which is longer than any roll-out.
const DAYS: i64 = 32;
/// A day, in microseconds.
const DAY_MICROS: i64 = 86_400_000_000;

/// A roll-out under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observing {
    /// When it ends by itself.
    pub until: Timestamp,
}

/// Somebody who is let in although the decision says no.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// What would have stood in the way.
    pub refusal: Refusal,
    /// The grant it goes by, which no event issued.
    pub grant: Grant,
}

impl GrantId {
    /// Whether no event issued it: access is observed.
    pub fn is_unissued(self) -> bool {
        self.0 & UNISSUED != 0
    }

    fn unissued(staff: StaffId, customer: CustomerId, now: Timestamp) -> Option<GrantId> {
        let fits = |id: u64| id >> ID_BITS == 0;
        let day = u64::try_from(now.0.div_euclid(DAY_MICROS).rem_euclid(DAYS)).ok()?;
        let number = UNISSUED | day << (2 * ID_BITS) | staff.0 << ID_BITS | customer.0;
        (fits(staff.0) && fits(customer.0)).then_some(GrantId(number))
    }
}

impl Customer {
    /// Whether nobody has ever moved its switch, closed its account, or doubted its instructions.
    pub fn is_undecided(&self) -> bool {
        self.consent.sequence.0 == self.id.0 && self.closure.is_none() && self.questioned.is_none()
    }
}

/// As [`decide`]; where it refuses for lack of a decision by the owner alone, and a roll-out is under way, what it would
/// say had the owner allowed reading until the end of the day, or of the roll-out.
pub fn decide_observing(
    state: &State,
    ask: &Ask<'_>,
    limits: &Limits,
    observing: Option<Observing>,
    now: Timestamp,
) -> (Decision, Option<Observed>) {
    let refusal = match decide(state, ask, limits, now) {
        Decision::Allow(allowed) => return (Decision::Allow(allowed), None),
        Decision::Refuse(refusal) => refusal,
    };
    let Some(observed) = observing.and_then(|observing| as_if(state, ask, observing, &refusal, now)) else {
        return (Decision::Refuse(refusal), None);
    };
    let (told, grant) = observed;
    match decide(&told, &Ask { grant: Some(grant.id), ..ask.clone() }, limits, now) {
        Decision::Allow(allowed) => (Decision::Allow(allowed), Some(Observed { refusal, grant })),
        Decision::Refuse(_) => (Decision::Refuse(refusal), None),
    }
}

/// The state as it would be had the owner let this one in to read; none if it is not only that which is missing.
fn as_if(
    state: &State,
    ask: &Ask<'_>,
    observing: Observing,
    refusal: &Refusal,
    now: Timestamp,
) -> Option<(State, Grant)> {
    let is_only_undecided = refusal.conditions.iter().all(is_undecided);
    let customer = state.customer(ask.customer).filter(|customer| customer.is_undecided())?;
    let staff = state.staff.shared(ask.staff)?;
    // One visit is of one day (UTC), as the database's fence wants an end that is near.
    let id = GrantId::unissued(ask.staff, ask.customer, now)?;
    let midnight = Timestamp((now.0.div_euclid(DAY_MICROS) + 1).saturating_mul(DAY_MICROS));
    let ends = observing.until.min(midnight);
    if !is_only_undecided || now >= ends || ask.grant.is_some_and(|grant| grant != id) {
        return None;
    }
    let grant = Grant {
        id,
        staff: ask.staff,
        customer: ask.customer,
        scope: Scope::Read,
        issued: customer.created,
        ends,
        purpose: Purpose::Operation,
        given: Given::Request(RequestId(0)),
        reason: "observed during the roll-out: no owner has decided yet".to_owned(),
        ticket: String::new(),
        ended: None,
    };
    let consent = Consent {
        mode: Mode::PerRequest,
        scope: Scope::Read,
        until: Some(ends),
        terms: Terms { longest: ends.since(customer.created), ..customer.consent.terms.clone() },
        ..customer.consent.clone()
    };
    let customer = Customer { consent, ..Customer::clone(customer) };
    let mut told = State { events: state.events, teams: state.teams.clone(), ..State::default() };
    told.customers.insert(ask.customer, customer);
    told.staff.insert(ask.staff, Arc::clone(staff));
    told.grants.insert(grant.id, grant.clone());
    Some((told, grant))
}

/// Whether a condition says no more than that the owner has not decided.
fn is_undecided(condition: &Condition) -> bool {
    match condition {
        Condition::ConsentOff { .. } | Condition::NoGrant { .. } => true,
        Condition::RegisterStale { .. }
        | Condition::StaffUnknown
        | Condition::StaffInactive
        | Condition::Staff(_)
        | Condition::CustomerUnknown { .. }
        | Condition::CustomerClosed { .. }
        | Condition::ConsentOver { .. }
        | Condition::InstructionQuestioned { .. }
        | Condition::NotAsked { .. }
        | Condition::AddressNotAllowed { .. }
        | Condition::RegionNotAllowed { .. }
        | Condition::OutOfHours { .. }
        | Condition::GrantEnded { .. }
        | Condition::GrantOver { .. }
        | Condition::GrantNotBegun { .. }
        | Condition::ScopeNotOffered { .. }
        | Condition::ScopeTooWide { .. }
        | Condition::Locked { .. }
        | Condition::TooManyConnections { .. } => false,
    }
}

#[cfg(test)]
#[path = "observing_tests.rs"]
mod tests;
