//! `portreeve history`: who could reach a customer's data at a moment, as the register had it then.
//! Not here: who did (`portreeve audit search`). Addresses are not weighed, and attestations are held against the
//! versions in force today.

use std::net::{IpAddr, Ipv4Addr};

use clap::Args;
use serde_json::Value;

use super::audit::when;
use super::context::{customer_looked_up, moment};
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::grant::{
    Ask, Condition, Decision, Event, Limits, Locks, Staff, StaffCondition, State, Stored, apply, decide,
};
use crate::ids::{CustomerId, Sequence};

/// Show who could reach a customer's data at a moment.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The customer, by name or id.
    customer: String,
    /// The moment, such as "2026-11-03 14:00" (UTC), an RFC 3339 time, or how long ago, such as 2h.
    #[arg(long, value_name = "WHEN")]
    at: String,
    /// Show everybody else as well, with what stood in the way.
    #[arg(long)]
    all: bool,
}

/// Shows it.
///
/// # Errors
/// If the register cannot be read, or the moment or the customer is none.
pub fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Failure> {
    let at = when::read(&arguments.at, SystemClock.now()).map_err(Failure::usage)?;
    // As it is called today or was then: who is meant is not a question of that moment.
    let customer = customer_looked_up(context.state()?.as_ref(), &arguments.customer)?.id;
    let state = state_at(context, at)?;
    let limits = context.config.decision();
    let columns = ["staff", "could", "why_not", "grant", "scope", "issued", "ends", "purpose", "reason", "ticket"];
    let mut table = Table::new(&columns);
    for staff in state.all_staff() {
        let stood = in_the_way(&state, (staff, customer), &limits, at);
        if !stood.is_empty() && !arguments.all {
            continue;
        }
        let codes = stood.iter().map(Condition::code).collect::<Vec<_>>().join(",");
        let grant = state.newest_grant(staff.id, customer);
        table.row([
            staff.name.as_str().into(),
            if stood.is_empty() { "yes" } else { "no" }.into(),
            Some(codes).filter(|codes| !codes.is_empty()).into(),
            grant.map(|grant| grant.id.to_string()).into(),
            grant.map(|grant| grant.scope.word()).into(),
            grant.map_or(Value::Null, |grant| moment(grant.issued)),
            grant.map_or(Value::Null, |grant| moment(grant.ends)),
            grant.map(|grant| grant.purpose.word()).into(),
            grant.map(|grant| grant.reason.as_str()).into(),
            grant.map(|grant| grant.ticket.as_str()).into(),
        ]);
    }
    context.show(&table)?;
    Ok(Exit::Done)
}

/// The fold of what had been decided by then: up to the last event of a time that is not later. Clocks step: one that is
/// dated later stands before others that are not.
fn state_at(context: &Context, at: Timestamp) -> Result<State, Failure> {
    let (register, trust) = (context.register()?, context.trust()?);
    let mut stored = register.read_from(Sequence(0))?;
    let is_before = |stored: &Stored| Event::decode(&stored.content).is_none_or(|event| event.at <= at);
    stored.truncate(stored.iter().rposition(is_before).map_or(0, |last| last + 1));
    let mut state = State::default();
    for stored in stored {
        apply(&mut state, &stored, &trust).map_err(|fault| Failure::failed(fault.to_string()))?;
    }
    Ok(state)
}

/// What stood in the way, wherever they were.
fn in_the_way(
    state: &State,
    (staff, customer): (&Staff, CustomerId),
    limits: &Limits,
    at: Timestamp,
) -> Vec<Condition> {
    let (address, locks) = (IpAddr::from(Ipv4Addr::UNSPECIFIED), Locks::default());
    let (grant, credential) = (None, Timestamp::NEVER);
    let ask =
        Ask { staff: staff.id, customer, address, grant, connections: 0, register_read: at, credential, locks: &locks };
    let is_of_address = |condition: &Condition| {
        matches!(
            condition,
            Condition::Staff(StaffCondition::ElsewhereNetwork { .. }) | Condition::AddressNotAllowed { .. }
        )
    };
    match decide(state, &ask, limits, at) {
        Decision::Allow(_) => Vec::new(),
        Decision::Refuse(refusal) => refusal.conditions.into_iter().filter(|found| !is_of_address(found)).collect(),
    }
}
