//! What can stand in a staff member's own way, whatever the owner allows: the check, and its words with the way out.
//! Not here: everything about the customer and the grant (`decide`, `refusal`).

use std::net::IpAddr;

use super::decide::{Ask, Limits};
use super::staff::Attestation;
use super::state::{Staff, State};
use crate::clock::Timestamp;
use crate::ids::CustomerId;

/// What stands in a staff member's own way.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum StaffCondition {
    /// They are suspended.
    Suspended { at: Timestamp },
    /// They are in no team that is assigned to the customer.
    NotInTeam { customer: CustomerId },
    /// They never attested it.
    NotAttested { kind: Attestation, current: u32 },
    /// They attested an older version.
    Outdated { kind: Attestation, attested: u32, current: u32 },
    /// What they attested holds no longer.
    AttestationOver { kind: Attestation, at: Timestamp, current: u32 },
    /// It is not within their hours.
    OutOfHours,
    /// Their client is in no network they may come from.
    ElsewhereNetwork { address: IpAddr },
    /// What they signed in with carries a session no longer.
    SignInOver { at: Timestamp },
}

/// Adds whatever stands in the way of that staff member; answers when they have to stop otherwise.
pub(super) fn check(
    staff: &Staff,
    (state, ask): (&State, &Ask<'_>),
    limits: &Limits,
    now: Timestamp,
    failed: &mut impl FnMut(StaffCondition),
) -> Timestamp {
    let standing = &staff.standing;
    check_suspended(staff, failed);
    if !state.serves(ask.staff, ask.customer) {
        failed(StaffCondition::NotInTeam { customer: ask.customer });
    }
    let mut until = Timestamp::NEVER;
    for kind in Attestation::ALL.iter().copied() {
        let Some(current) = limits.attestations.current(kind) else { continue };
        match standing.attested.get(&kind).copied() {
            None => failed(StaffCondition::NotAttested { kind, current }),
            Some((attested, _)) if attested < current => {
                failed(StaffCondition::Outdated { kind, attested, current });
            }
            Some((_, at)) if at <= now => failed(StaffCondition::AttestationOver { kind, at, current }),
            Some((_, at)) => until = until.min(at),
        }
    }
    match standing.works_until(now) {
        Some(stop) => until = until.min(stop),
        None => failed(StaffCondition::OutOfHours),
    }
    check_network(staff, ask.address, failed);
    check_credential(ask.credential, now, failed);
    until.min(ask.credential)
}

/// Are they suspended?
pub(super) fn check_suspended(staff: &Staff, failed: &mut impl FnMut(StaffCondition)) {
    if let Some((at, _)) = staff.standing.suspended {
        failed(StaffCondition::Suspended { at });
    }
}

/// May they come in from there?
pub(super) fn check_network(staff: &Staff, address: IpAddr, failed: &mut impl FnMut(StaffCondition)) {
    let is_near = |networks: &Vec<_>| networks.iter().any(|network: &super::Network| network.contains(address));
    if !staff.standing.networks.as_ref().is_none_or(is_near) {
        failed(StaffCondition::ElsewhereNetwork { address });
    }
}

/// Does what they signed in with still carry a session?
pub(super) fn check_credential(until: Timestamp, now: Timestamp, failed: &mut impl FnMut(StaffCondition)) {
    if until <= now {
        failed(StaffCondition::SignInOver { at: until });
    }
}

impl StaffCondition {
    /// Whether it is about this one session: where its client is, and what it signed in with.
    pub(super) fn is_of_one_session(&self) -> bool {
        match self {
            StaffCondition::ElsewhereNetwork { .. } | StaffCondition::SignInOver { .. } => true,
            StaffCondition::Suspended { .. }
            | StaffCondition::NotInTeam { .. }
            | StaffCondition::NotAttested { .. }
            | StaffCondition::Outdated { .. }
            | StaffCondition::AttestationOver { .. }
            | StaffCondition::OutOfHours => false,
        }
    }

    /// The reason code, as records name it.
    pub fn code(&self) -> &'static str {
        match self {
            StaffCondition::Suspended { .. } => "staff-suspended",
            StaffCondition::NotInTeam { .. } => "not-in-team",
            StaffCondition::NotAttested { .. } => "not-attested",
            StaffCondition::Outdated { .. } => "attestation-outdated",
            StaffCondition::AttestationOver { .. } => "attestation-over",
            StaffCondition::OutOfHours => "off-duty",
            StaffCondition::ElsewhereNetwork { .. } => "elsewhere",
            StaffCondition::SignInOver { .. } => "sign-in-over",
        }
    }

    /// As the end of the primary message.
    pub(super) fn why(&self) -> &'static str {
        match self {
            StaffCondition::Suspended { .. } => "you are suspended",
            StaffCondition::NotInTeam { .. } => "you are in no team that looks after it",
            StaffCondition::NotAttested { .. }
            | StaffCondition::Outdated { .. }
            | StaffCondition::AttestationOver { .. } => "something you have to attest is missing or out of date",
            StaffCondition::OutOfHours => "it is not within your hours",
            StaffCondition::ElsewhereNetwork { .. } => "you may not come in from there",
            StaffCondition::SignInOver { .. } => "what you signed in with holds no longer",
        }
    }

    /// What is missing, as a sentence.
    pub(super) fn detail(&self, state: &State, staff: Option<&Staff>, customer: &str) -> String {
        let name = staff.map_or("?", |staff| &staff.name);
        match self {
            StaffCondition::Suspended { at } => {
                format!("The staff account \"{name}\" is suspended since {}.", super::refusal::minute(*at))
            }
            StaffCondition::NotInTeam { customer: id } => {
                let teams: Vec<String> = state.teams_for(*id).map(|team| format!("\"{}\"", team.name)).collect();
                match teams.as_slice() {
                    [] => format!("No team is assigned to \"{customer}\"."),
                    [only] => format!("\"{customer}\" is looked after by team {only}, and \"{name}\" is not in it."),
                    more => {
                        format!("\"{customer}\" is looked after by {}, and \"{name}\" is in none.", more.join(", "))
                    }
                }
            }
            StaffCondition::NotAttested { kind, current } => {
                format!("\"{name}\" has not attested version {current} of {}.", of(*kind))
            }
            StaffCondition::Outdated { kind, attested, current } => {
                format!("\"{name}\" attested version {attested} of {}; version {current} is in force.", of(*kind))
            }
            StaffCondition::AttestationOver { kind, at, .. } => {
                format!("What \"{name}\" attested of {} held until {}.", of(*kind), super::refusal::minute(*at))
            }
            StaffCondition::OutOfHours => {
                let hours = staff.and_then(|staff| staff.standing.hours.as_deref()).unwrap_or_default();
                let named: Vec<String> = hours.iter().map(ToString::to_string).collect();
                match named.as_slice() {
                    [] => format!("\"{name}\" has no hours at all."),
                    named => format!("\"{name}\" works {}.", named.join("; ")),
                }
            }
            StaffCondition::ElsewhereNetwork { address } => {
                let networks = staff.and_then(|staff| staff.standing.networks.as_deref()).unwrap_or_default();
                let named: Vec<String> = networks.iter().map(ToString::to_string).collect();
                match named.as_slice() {
                    [] => format!("\"{name}\" may come in from no network at all; the client is at {address}."),
                    named => format!("\"{name}\" may come in from {}; the client is at {address}.", named.join(", ")),
                }
            }
            StaffCondition::SignInOver { at } => {
                format!("What \"{name}\" signed in with carries a session until {}.", super::refusal::minute(*at))
            }
        }
    }

    /// The way out, as a sentence.
    pub(super) fn hint(&self, staff: &str, customer: &str) -> String {
        match self {
            StaffCondition::Suspended { .. } => format!(
                "Ask a team lead or a member of security; they type: portreeve staff resume {staff} --as THEIR-NAME."
            ),
            StaffCondition::NotInTeam { .. } => format!(
                "Ask an operator; they type: portreeve team add TEAM {staff}, or portreeve team assign TEAM {customer}."
            ),
            StaffCondition::NotAttested { kind, current }
            | StaffCondition::Outdated { kind, current, .. }
            | StaffCondition::AttestationOver { kind, current, .. } => format!(
                "{} Then an operator types: portreeve staff attest {staff} --kind {kind} --version {current} --until \
                 DATE.",
                match kind {
                    Attestation::Confidentiality => "Sign the confidentiality agreement.",
                    Attestation::Training => "Go through the training.",
                }
            ),
            StaffCondition::OutOfHours => format!(
                "Come back within your hours, or ask a team lead; they type: portreeve staff except {staff} --for 2h \
                 --reason '…' --as THEIR-NAME."
            ),
            StaffCondition::ElsewhereNetwork { .. } => format!(
                "Connect from a network you may come from, or ask an operator; they type: portreeve staff limit {staff} \
                 --networks NETWORKS."
            ),
            StaffCondition::SignInOver { .. } => {
                "Get a new short-lived password where you got this one, and connect again.".to_owned()
            }
        }
    }
}

fn of(kind: Attestation) -> &'static str {
    match kind {
        Attestation::Confidentiality => "the confidentiality agreement",
        Attestation::Training => "the training",
    }
}
