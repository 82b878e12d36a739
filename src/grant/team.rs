//! Teams of staff, and the customers each is assigned to: without one in common nobody reaches anybody's data.
//! Not here: what a lead may do besides (`staff`). Everybody begins in `support`, which has every customer until
//! somebody says otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::apply::{only_operator, required};
use super::by_id::ById;
use super::event::Event;
use super::personal::{self, Personal};
use super::rule::Rule;
use super::scope::{NotAWord, words};
use super::state::State;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, GrantId, Sequence, StaffId, TeamId};

/// The team that is there from the beginning.
pub const SUPPORT: TeamId = TeamId(0);
/// Its name.
const SUPPORT_NAME: &str = "support";

words! {
    /// What a member of a team is in it.
    TeamRole {
        /// Reaches the team's customers.
        Support = 1, "support";
        /// The same, and may resume others, except them from their hours, and confirm a break-glass.
        Lead = 2, "lead";
        /// As a lead, for whoever answers for security.
        Security = 3, "security";
    }
}

impl TeamRole {
    /// Whether the role may vouch for others.
    pub fn vouches(self) -> bool {
        match self {
            TeamRole::Support => false,
            TeamRole::Lead | TeamRole::Security => true,
        }
    }
}

/// A change of teams. A team's id is the sequence of the event that created it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum TeamStep {
    /// A team exists, without members and customers. Side row: name.
    Created,
    /// A team is gone for good, with its memberships and assignments.
    Dissolved { team: TeamId },
    /// A staff member is in a team, as that; one who was already is that from now on.
    MemberAdded { team: TeamId, staff: StaffId, role: TeamRole },
    /// A staff member is no longer in a team.
    MemberRemoved { team: TeamId, staff: StaffId },
    /// A team looks after a customer.
    Assigned { team: TeamId, customer: CustomerId },
    /// It no longer does.
    Unassigned { team: TeamId, customer: CustomerId },
}

impl TeamStep {
    /// The verb, as records and people name it.
    pub fn verb(self) -> &'static str {
        match self {
            TeamStep::Created => "team.created",
            TeamStep::Dissolved { .. } => "team.dissolved",
            TeamStep::MemberAdded { .. } => "team.member-added",
            TeamStep::MemberRemoved { .. } => "team.member-removed",
            TeamStep::Assigned { .. } => "team.assigned",
            TeamStep::Unassigned { .. } => "team.unassigned",
        }
    }

    /// Whether it can only take access away.
    pub fn narrows(self) -> bool {
        match self {
            TeamStep::Dissolved { .. } | TeamStep::MemberRemoved { .. } | TeamStep::Unassigned { .. } => true,
            TeamStep::Created | TeamStep::MemberAdded { .. } | TeamStep::Assigned { .. } => false,
        }
    }

    /// The customer it concerns, if it is one.
    pub fn customer(self) -> Option<CustomerId> {
        match self {
            TeamStep::Assigned { customer, .. } | TeamStep::Unassigned { customer, .. } => Some(customer),
            TeamStep::Created
            | TeamStep::Dissolved { .. }
            | TeamStep::MemberAdded { .. }
            | TeamStep::MemberRemoved { .. } => None,
        }
    }

    /// The staff member it concerns, if it is one.
    pub fn staff(self) -> Option<StaffId> {
        match self {
            TeamStep::MemberAdded { staff, .. } | TeamStep::MemberRemoved { staff, .. } => Some(staff),
            TeamStep::Created
            | TeamStep::Dissolved { .. }
            | TeamStep::Assigned { .. }
            | TeamStep::Unassigned { .. } => None,
        }
    }
}

/// Whom and what, behind the verb: ` t4, s3 as lead`.
impl fmt::Display for TeamStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TeamStep::Created => Ok(()),
            TeamStep::Dissolved { team } => write!(f, " {team}"),
            TeamStep::MemberAdded { team, staff, role } => write!(f, " {team}: {staff} as {role}"),
            TeamStep::MemberRemoved { team, staff } => write!(f, " {team}: {staff}"),
            TeamStep::Assigned { team, customer } | TeamStep::Unassigned { team, customer } => {
                write!(f, " {team}: {customer}")
            }
        }
    }
}

/// A team.
#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    /// The sequence of the event that created it; 0 is `support`.
    pub id: TeamId,
    /// Its name, or `erased`.
    pub name: String,
    /// When it was created; none: it was there from the beginning.
    pub created: Option<Timestamp>,
    /// When it was dissolved.
    pub dissolved: Option<Timestamp>,
}

/// The teams, who is in them, and whom they look after.
#[derive(Clone, Debug)]
pub(super) struct Teams {
    teams: ById<TeamId, Team>,
    names: Arc<BTreeMap<String, TeamId>>,
    members: ById<StaffId, BTreeMap<TeamId, TeamRole>>,
    assigned: ById<CustomerId, BTreeSet<TeamId>>,
    /// Whom every customer begins with: most stay so, and share it.
    first: Arc<BTreeSet<TeamId>>,
}

impl Default for Teams {
    fn default() -> Teams {
        let support = Team { id: SUPPORT, name: SUPPORT_NAME.to_owned(), created: None, dissolved: None };
        let mut teams = ById::default();
        teams.insert(SUPPORT, support);
        Teams {
            teams,
            names: Arc::new(BTreeMap::from([(SUPPORT_NAME.to_owned(), SUPPORT)])),
            members: ById::default(),
            assigned: ById::default(),
            first: Arc::new(BTreeSet::from([SUPPORT])),
        }
    }
}

impl Teams {
    /// A new staff member begins in `support`.
    pub(super) fn welcome(&mut self, staff: StaffId) {
        self.members.entry(staff).insert(SUPPORT, TeamRole::Support);
    }

    /// A new customer is looked after by `support`.
    pub(super) fn take_on(&mut self, customer: CustomerId) {
        self.assigned.insert(customer, Arc::clone(&self.first));
    }

    /// A staff member who is gone is in no team.
    pub(super) fn leave(&mut self, staff: StaffId) {
        self.members.remove(staff);
    }

    fn roles(&self, staff: StaffId) -> impl Iterator<Item = (TeamId, TeamRole)> {
        self.members.get(staff).into_iter().flatten().map(|(team, role)| (*team, *role))
    }

    fn serves(&self, staff: StaffId, customer: CustomerId) -> bool {
        let Some(assigned) = self.assigned.get(customer) else { return false };
        self.roles(staff).any(|(team, _)| assigned.contains(&team))
    }

    /// Whom that team looks after.
    fn looked_after(&self, team: TeamId) -> impl Iterator<Item = CustomerId> {
        self.assigned.iter().filter(move |(_, teams)| teams.contains(&team)).map(|(customer, _)| customer)
    }

    /// Who is in that team, and as what.
    fn members(&self, team: TeamId) -> impl Iterator<Item = (StaffId, TeamRole)> {
        self.members.iter().filter_map(move |(staff, roles)| Some((staff, *roles.get(&team)?)))
    }

    fn unassign(&mut self, team: TeamId, customer: CustomerId) {
        if let Some(assigned) = self.assigned.get_mut(customer) {
            assigned.remove(&team);
        }
    }

    fn dismiss(&mut self, team: TeamId, staff: StaffId) {
        if let Some(roles) = self.members.get_mut(staff) {
            roles.remove(&team);
        }
    }

    fn living(&self, id: TeamId) -> Result<&Team, Rule> {
        self.teams.get(id).filter(|team| team.dissolved.is_none()).ok_or(Rule::NoTeam(id))
    }

    fn take(&mut self, step: TeamStep, (at, sequence): (Timestamp, Sequence), name: Option<String>) {
        match step {
            TeamStep::Created => {
                let id = TeamId(sequence.0);
                if let Some(name) = &name {
                    Arc::make_mut(&mut self.names).insert(name.clone(), id);
                }
                let team = Team { id, name: super::apply::text(name), created: Some(at), dissolved: None };
                self.teams.insert(id, team);
            }
            TeamStep::Dissolved { team } => {
                let (members, customers): (Vec<_>, Vec<_>) =
                    (self.members(team).map(|(staff, _)| staff).collect(), self.looked_after(team).collect());
                members.into_iter().for_each(|staff| self.dismiss(team, staff));
                customers.into_iter().for_each(|customer| self.unassign(team, customer));
                if let Some(team) = self.teams.get_mut(team) {
                    team.dissolved = Some(at);
                }
            }
            TeamStep::MemberAdded { team, staff, role } => {
                self.members.entry(staff).insert(team, role);
            }
            TeamStep::MemberRemoved { team, staff } => self.dismiss(team, staff),
            TeamStep::Assigned { team, customer } => {
                self.assigned.entry(customer).insert(team);
            }
            TeamStep::Unassigned { team, customer } => self.unassign(team, customer),
        }
    }
}

impl State {
    /// Whether that staff member is in a team assigned to that customer.
    pub fn serves(&self, staff: StaffId, customer: CustomerId) -> bool {
        self.teams.serves(staff, customer)
    }

    /// Whether that staff member may vouch for others: there, not suspended, and a lead or of security in some team.
    pub fn vouches(&self, staff: StaffId) -> bool {
        self.staff(staff).is_some_and(super::Staff::works) && self.teams.roles(staff).any(|(_, role)| role.vouches())
    }

    /// The team with that id, dissolved ones included.
    pub fn team(&self, id: TeamId) -> Option<&Team> {
        self.teams.teams.get(id)
    }

    /// The team of that name, dissolved ones included.
    pub fn team_named(&self, name: &str) -> Option<&Team> {
        self.teams.names.get(name).and_then(|id| self.team(*id))
    }

    /// Every team, oldest first, dissolved ones included.
    pub fn teams(&self) -> impl Iterator<Item = &Team> {
        self.teams.teams.values()
    }

    /// The teams that staff member is in, and as what.
    pub fn teams_of(&self, staff: StaffId) -> impl Iterator<Item = (&Team, TeamRole)> {
        self.teams.roles(staff).filter_map(|(team, role)| Some((self.team(team)?, role)))
    }

    /// The teams assigned to that customer.
    pub fn teams_for(&self, customer: CustomerId) -> impl Iterator<Item = &Team> {
        self.teams.assigned.get(customer).into_iter().flatten().filter_map(|team| self.team(*team))
    }

    /// Who is in that team, and as what.
    pub fn members(&self, team: TeamId) -> impl Iterator<Item = (StaffId, TeamRole)> {
        self.teams.members(team)
    }

    /// Whom that team looks after.
    pub fn looked_after(&self, team: TeamId) -> impl Iterator<Item = CustomerId> {
        self.teams.looked_after(team)
    }

    /// The grants that have not ended and that nobody would be in a team for after that step.
    pub fn left_out_by(&self, step: TeamStep) -> Vec<GrantId> {
        if !step.narrows() {
            return Vec::new();
        }
        let mut after = self.teams.clone();
        after.take(step, (Timestamp(0), self.sequence()), None);
        let grants = self.newest.all().filter(|grant| grant.ended.is_none());
        grants.filter(|grant| !after.serves(grant.staff, grant.customer)).map(|grant| grant.id).collect()
    }

    pub(super) fn check_team(&self, event: &Event, step: TeamStep, personal: Option<&Personal>) -> Result<(), Rule> {
        only_operator(event)?;
        let is_member = |team, staff| self.teams.members.get(staff).and_then(|roles| roles.get(&team));
        let is_assigned = |team, customer| self.teams.assigned.get(customer).is_some_and(|teams| teams.contains(&team));
        match step {
            TeamStep::Created => personal.map_or(Ok(()), |personal| self.check_team_name(personal)),
            TeamStep::Dissolved { team: SUPPORT } => Err(Rule::SupportStays),
            TeamStep::Dissolved { team } => self.teams.living(team).map(drop),
            TeamStep::MemberAdded { team, staff, role } => {
                self.teams.living(team)?;
                self.active_staff(staff)?;
                if is_member(team, staff) == Some(&role) { Err(Rule::MemberAlready { team, staff }) } else { Ok(()) }
            }
            TeamStep::MemberRemoved { team, staff } => {
                is_member(team, staff).map(drop).ok_or(Rule::NotAMember { team, staff })
            }
            TeamStep::Assigned { team, customer } => {
                self.teams.living(team)?;
                self.customer(customer).ok_or(Rule::NoCustomer(customer))?;
                if is_assigned(team, customer) { Err(Rule::AssignedAlready { team, customer }) } else { Ok(()) }
            }
            TeamStep::Unassigned { team, customer } => {
                if is_assigned(team, customer) {
                    Ok(())
                } else {
                    Err(Rule::NotAssigned { team, customer })
                }
            }
        }
    }

    fn check_team_name(&self, personal: &Personal) -> Result<(), Rule> {
        let name = required(&personal.name, "team's name")?;
        personal::check_name(name)?;
        match self.teams.names.get(name) {
            Some(id) => Err(Rule::NameTaken { name: name.to_owned(), holder: id.to_string() }),
            None => Ok(()),
        }
    }

    /// A grant that nobody is in a team for any more ends with it.
    pub(super) fn commit_team(&mut self, event: &Event, sequence: Sequence, step: TeamStep, name: Option<String>) {
        let left_out = self.left_out_by(step);
        self.teams.take(step, (event.at, sequence), name);
        let pair = |id: &GrantId| self.grant(*id).map(|grant| (grant.customer, grant.staff));
        let pairs = left_out.iter().filter_map(pair).collect();
        self.end_newest(event, pairs, |grant| left_out.contains(&grant.id));
    }
}

#[cfg(test)]
#[path = "team_tests.rs"]
mod tests;
