//! What is refused only where an event is made: bounds that came after events were in use, so that a register that was
//! written before, or by a role that is updated last, still folds.
//! Not here: the rules that hold of every event, whenever it was made (`apply`). All of these are about what the portal
//! signs, which holds them as every writer does.

use super::apply::{Fault, Trust, apply_where};
use super::closure::ClosureRule;
use super::event::{Event, Stored, What};
use super::examined::examine;
use super::invitation::{INVITED_MAX, Invitation};
use super::personal::Personal;
use super::rule::Rule;
use super::staff::StaffStep;
use super::state::State;
use crate::ids::{CustomerId, OwnerId, StaffId};

/// As `apply`, of an event that is about to be stored.
///
/// # Errors
/// Names why it does not apply; the state is then as it was.
pub fn apply_made(state: &mut State, stored: &Stored, trust: &Trust) -> Result<(), Fault> {
    let examined = examine(stored, (state.sequence(), state.head()), Some(trust))?;
    apply_where(state, examined, State::check_made)
}

impl State {
    fn check_made(&self, event: &Event, personal: Option<&Personal>) -> Result<(), Rule> {
        match event.what {
            What::OwnerInvited { customer, .. } => self.check_inviting(event, customer, personal),
            What::OwnerAccepted { invitation } => self.check_not_over(invitation, |found| found.is_open(event.at)),
            What::OwnerUninvited { invitation } => self.check_not_over(invitation, |found| found.became.is_none()),
            What::Staff { staff, step: StaffStep::TokenIssued { .. } } => self.check_subject_free(staff, personal),
            What::CustomerCreated { .. }
            | What::CustomerRenamed { .. }
            | What::StaffCreated
            | What::StaffRemoved { .. }
            | What::OwnerCreated { .. }
            | What::OwnerRemoved { .. }
            | What::ConsentSet { .. }
            | What::ConsentAgreed { .. }
            | What::GrantIssued { .. }
            | What::GrantEnded { .. }
            | What::RequestOpened { .. }
            | What::Request { .. }
            | What::CodeCreated { .. }
            | What::CodeRedeemed { .. }
            | What::CodeMissed { .. }
            | What::InstructionQuestioned { .. }
            | What::InstructionConfirmed { .. }
            | What::Account { .. }
            | What::HoldPlaced { .. }
            | What::HoldReleased { .. }
            | What::Glass(_)
            | What::Team(_)
            | What::Staff { .. }
            | What::Snapshot { .. } => Ok(()),
        }
    }

    /// A closed account invites nobody, and no account keeps more than so many names from others.
    fn check_inviting(&self, event: &Event, customer: CustomerId, personal: Option<&Personal>) -> Result<(), Rule> {
        if let Some(closure) = self.customer(customer).and_then(|customer| customer.closure.as_ref()) {
            return Err(ClosureRule::AccessClosed(closure.at).into());
        }
        let name = personal.and_then(|personal| personal.name.as_ref());
        let others = self.invited_to(customer).filter(|other| other.is_open(event.at) && Some(&other.name) != name);
        if others.count() >= INVITED_MAX { Err(Rule::InvitedTooMany(customer)) } else { Ok(()) }
    }

    /// What was open when the account was closed is over since.
    fn check_not_over(&self, id: OwnerId, is_open: impl Fn(&Invitation) -> bool) -> Result<(), Rule> {
        self.invitation(id).filter(|found| is_open(found)).map(drop).ok_or(Rule::InvitationOver)
    }

    /// Whom the identity provider knows by a subject is one member of staff: of two at once the second is refused.
    fn check_subject_free(&self, id: StaffId, personal: Option<&Personal>) -> Result<(), Rule> {
        let Some(subject) = personal.map(Personal::subject).transpose()?.flatten() else { return Ok(()) };
        // Whoever is known by it already stays so, whoever else is.
        if self.staff(id).is_some_and(|staff| staff.standing.subject == Some(subject)) {
            return Ok(());
        }
        match self.staff_of_subject(subject) {
            Some(other) => Err(Rule::SubjectTaken(other.id)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "made_tests.rs"]
mod tests;
