//! What follows from each line of the list, by the register: what is there already, what is added, what differs.
//! Not here: doing it (`import`). The register's own rules judge each line, in a fold that nobody else sees.

use super::list::{Fault, Row};
use crate::clock::Timestamp;
use crate::entropy::{Entropy, random};
use crate::grant::{
    self, By, Customer, Draft, Layout, Personal, Rule, SUPPORT, State, TeamStep, TextFault, Trust, What, apply_made,
};
use crate::ids::{CustomerId, EventId, Sequence, TeamId};

/// What is done for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Everything it says is so.
    Nothing,
    /// The customer is added, with its teams.
    Create,
    /// The same, and its first owner invited.
    CreateAndInvite,
    /// The customer is there; its owner is invited, perhaps again.
    Invite,
}

impl Deed {
    pub(super) fn word(self) -> &'static str {
        match self {
            Deed::Nothing => "there already",
            Deed::Create => "create",
            Deed::CreateAndInvite => "create, invite owner",
            Deed::Invite => "invite owner",
        }
    }

    pub(super) fn invites(self) -> bool {
        match self {
            Deed::Invite | Deed::CreateAndInvite => true,
            Deed::Nothing | Deed::Create => false,
        }
    }
}

/// An invitation as the register will have it: the digest of its code, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inviting {
    pub(super) digest: [u8; 32],
    pub(super) ends: Timestamp,
}

/// The deed, and the changes it is made of; they belong behind `before`, the last event there is then.
///
/// # Errors
/// What of the line differs from what is there.
pub(super) fn wanted(
    state: &State,
    row: &Row,
    before: Sequence,
    inviting: Inviting,
    now: Timestamp,
) -> Result<(Deed, Vec<Draft>), Fault> {
    if let Some(former) = state.customer_formerly(&row.customer) {
        let (now, id) = (&former.name, former.id);
        return Err(row.fault("customer", format!("is a name that {id} had: it is called \"{now}\" now")));
    }
    match state.customer_named(&row.customer) {
        Some(customer) => existing(state, row, customer, inviting, now),
        None => {
            let (id, mut drafts) = (CustomerId(before.0.saturating_add(1)), vec![created(row)]);
            drafts.extend(assigned(state, row, id)?);
            drafts.extend(row.owner.as_ref().map(|owner| invited(owner, id, inviting)));
            let deed = if row.owner.is_some() { Deed::CreateAndInvite } else { Deed::Create };
            Ok((deed, drafts))
        }
    }
}

fn draft(what: What, personal: Option<Personal>) -> Draft {
    Draft { by: By::Operator, what, personal }
}

fn created(row: &Row) -> Draft {
    let personal = Personal {
        name: Some(row.customer.clone()),
        display: row.display.clone(),
        cluster: Some(row.cluster.clone()),
        database: Some(row.database.clone()),
        tenant: row.tenant.clone(),
        ..Personal::default()
    };
    draft(What::CustomerCreated { layout: row.layout }, Some(personal))
}

fn invited(owner: &str, customer: CustomerId, Inviting { digest, ends }: Inviting) -> Draft {
    let invitation = Some(digest.to_vec().into());
    let personal = Personal { name: Some(owner.to_owned()), invitation, ..Personal::default() };
    draft(What::OwnerInvited { customer, ends }, Some(personal))
}

fn team(state: &State, row: &Row, name: &str) -> Result<TeamId, Fault> {
    let found = state.team_named(name).filter(|team| team.dissolved.is_none());
    let missing =
        || row.fault("teams", format!("names \"{name}\", and there is no such team: \"portreeve team create {name}\""));
    found.map(|team| team.id).ok_or_else(missing)
}

/// Every new customer is looked after by `support`; if its line names teams, by those and no other.
fn assigned(state: &State, row: &Row, customer: CustomerId) -> Result<Vec<Draft>, Fault> {
    let teams = row.teams.iter().map(|name| team(state, row, name)).collect::<Result<Vec<_>, _>>()?;
    let step = |step| draft(What::Team(step), None);
    let others = teams.iter().filter(|team| **team != SUPPORT);
    let mut drafts: Vec<_> = others.map(|team| step(TeamStep::Assigned { team: *team, customer })).collect();
    if !teams.is_empty() && !teams.contains(&SUPPORT) {
        drafts.push(step(TeamStep::Unassigned { team: SUPPORT, customer }));
    }
    Ok(drafts)
}

/// A customer of that name is there: its line must say what is so.
fn existing(
    state: &State,
    row: &Row,
    customer: &Customer,
    inviting: Inviting,
    now: Timestamp,
) -> Result<(Deed, Vec<Draft>), Fault> {
    let id = customer.id;
    let differs = |column: &'static str, there: &str| {
        Err(row
            .fault(column, format!("differs: {} ({id}) has \"{there}\", and an import changes nothing", row.customer)))
    };
    if let Some(closure) = &customer.closure {
        return Err(row.fault("customer", format!("is {id}, whose account is closed since {}", closure.at)));
    }
    if customer.cluster != row.cluster {
        return differs("cluster", &customer.cluster);
    }
    if customer.database != row.database {
        return differs("database", &customer.database);
    }
    if (customer.layout, &customer.tenant) != (row.layout, &row.tenant) {
        let column = if row.layout == Layout::Database { "tenant" } else { row.tenant_column() };
        let there = customer.tenant.as_deref().unwrap_or("a database of its own");
        return differs(column, there);
    }
    if row.display.is_some() && customer.display != row.display {
        return differs("display_name", customer.display.as_deref().unwrap_or_default());
    }
    if !row.teams.is_empty() {
        let mut there: Vec<&str> = state.teams_for(id).map(|team| team.name.as_str()).collect();
        let mut listed: Vec<&str> = row.teams.iter().map(String::as_str).collect();
        there.sort_unstable();
        listed.sort_unstable();
        if there != listed {
            return differs("teams", &there.join(";"));
        }
    }
    match &row.owner {
        Some(owner) if needs_invitation(state, row, (id, owner), now)? => {
            Ok((Deed::Invite, vec![invited(owner, id, inviting)]))
        }
        Some(_) | None => Ok((Deed::Nothing, Vec::new())),
    }
}

/// Whether that owner is neither one nor invited. Of a customer that has, or had, an owner an operator invites nobody.
fn needs_invitation(
    state: &State,
    row: &Row,
    (customer, owner): (CustomerId, &str),
    now: Timestamp,
) -> Result<bool, Fault> {
    if state.owners_of(customer).any(|other| other.name == owner && other.active) {
        return Ok(false);
    }
    if state.owners_of(customer).next().is_some() {
        return Err(row.fault("owner", Rule::NotFirstOwner(customer).to_string()));
    }
    let open = state.invited_to(customer).find(|invitation| invitation.is_open(now));
    match open {
        Some(invitation) if invitation.name == owner => Ok(false),
        Some(invitation) => {
            let (other, until) = (&invitation.name, invitation.ends);
            let says = format!(
                "differs: \"{other}\" is invited until {until}; \"portreeve owner revoke {other}\" takes that back"
            );
            Err(row.fault("owner", says))
        }
        None => Ok(true),
    }
}

/// Holds all lines to the rules, one behind the other: what would be done for each.
pub(super) fn rehearse(
    state: &State,
    rows: &[(Row, Inviting)],
    (trust, entropy): (&Trust, &dyn Entropy),
    now: Timestamp,
) -> Vec<Result<Deed, Fault>> {
    let mut next = state.clone();
    let mut one = |(row, inviting): &(Row, Inviting)| {
        let (deed, drafts) = wanted(&next, row, next.sequence(), *inviting, now)?;
        for draft in drafts {
            let place = (next.sequence(), next.head());
            let proposal = draft.propose(EventId(random(entropy)), now, random(entropy), place);
            apply_made(&mut next, &proposal.stored, trust).map_err(|fault| refused(row, &draft, fault))?;
        }
        Ok(deed)
    };
    rows.iter().map(&mut one).collect()
}

/// The rule that forbids it, and the column it speaks of.
fn refused(row: &Row, draft: &Draft, fault: grant::Fault) -> Fault {
    let column = match (&draft.what, &fault) {
        (What::Team(_), _) => "teams",
        (What::OwnerInvited { .. }, _) => "owner",
        (_, grant::Fault::Rule(Rule::DatabaseTaken { .. })) => "database",
        (_, grant::Fault::Rule(Rule::TenantTaken { .. } | Rule::SchemaTaken { .. })) => row.tenant_column(),
        (_, grant::Fault::Rule(Rule::Text(TextFault::Tenant(_) | TextFault::Schema(_)))) => row.tenant_column(),
        (_, grant::Fault::Rule(Rule::Text(TextFault::Place(_, "cluster")))) => "cluster",
        (_, grant::Fault::Rule(Rule::Text(TextFault::Place(_, "schema")))) => "schema",
        (_, grant::Fault::Rule(Rule::Text(TextFault::Place(..)))) => "database",
        (_, grant::Fault::Rule(Rule::Text(TextFault::Display(_)))) => "display_name",
        (_, _) => "customer",
    };
    row.fault(column, fault.to_string())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
