//! Forgetting a customer at the very end: the register's own texts about it and its owners, its holds and the grants to it
//! stand in side rows, and those go, from the files of what keeps it, too. Events stay: ids, times and numbers.
//! Not here: when (`retentiond/closing`). The event that says so comes first: with it every fold forgets them, those that
//! run included (`grant/forgetting.rs`), so that no two of them judge a name differently.

use super::error::Error;
use super::opened::Register;
use crate::grant::{Event, GlassStep, State, Stored, What};
use crate::ids::{CustomerId, HoldId, OwnerId, Sequence};

impl Register {
    /// How many side rows there are about `customer`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn rows_about(&self, customer: CustomerId) -> Result<u64, Error> {
        Ok(self.about(customer)?.len() as u64)
    }

    /// Deletes every side row about `customer`; how many there were. Again after a kill it deletes what is left.
    ///
    /// # Errors
    /// If it cannot be read or written, or somebody who reads keeps what was deleted from being overwritten: then it may
    /// still be there, and it must be tried again.
    pub fn forget(&self, customer: CustomerId) -> Result<u64, Error> {
        self.erase(&self.about(customer)?)
    }

    fn about(&self, customer: CustomerId) -> Result<Vec<Sequence>, Error> {
        let state = self.state()?;
        let events = self.read_from(Sequence(1))?;
        let about = events.iter().filter(|stored| is_about(stored, customer, &state));
        Ok(about.map(|stored| stored.sequence).collect())
    }
}

/// Whether its side row is about that customer: a person or a place of theirs, or what was said about them.
fn is_about(stored: &Stored, customer: CustomerId, state: &State) -> bool {
    if stored.side.is_none() {
        return false;
    }
    let Some(event) = Event::decode(&stored.content) else { return false };
    let of_owner = |id: OwnerId| state.owner(id).is_some_and(|owner| owner.customer == customer);
    let of_invitation = |id: OwnerId| state.invitation(id).is_some_and(|found| found.customer == customer);
    let of_hold = |id: HoldId| state.hold(id).is_some_and(|hold| hold.customer == customer);
    match event.what {
        What::CustomerCreated { .. } => stored.sequence.0 == customer.0,
        What::OwnerCreated { customer: of }
        | What::OwnerInvited { customer: of, .. }
        | What::CustomerRenamed { customer: of }
        | What::ConsentSet { customer: of, .. }
        | What::GrantIssued { customer: of, .. }
        | What::Account { customer: of, .. }
        | What::HoldPlaced { customer: of, .. } => of == customer,
        What::OwnerRemoved { owner } => of_owner(owner),
        What::OwnerAccepted { invitation } | What::OwnerUninvited { invitation } => of_invitation(invitation),
        What::HoldReleased { hold } => of_hold(hold),
        What::GrantEnded { grant } => state.grant(grant).is_some_and(|grant| grant.customer == customer),
        What::RequestOpened { customer: of, .. }
        | What::ConsentAgreed { customer: of, .. }
        | What::CodeCreated { customer: of, .. }
        | What::InstructionQuestioned { customer: of }
        | What::InstructionConfirmed { customer: of } => of == customer,
        What::Request { request, .. } => state.request(request).is_some_and(|request| request.customer == customer),
        What::CodeRedeemed { code, .. } | What::CodeMissed { code } => {
            state.code(code).is_some_and(|code| code.customer == customer)
        }
        What::Glass(GlassStep::Asked { customer: of, .. }) => of == customer,
        // These have no side row, or one about the vendor's own people.
        What::Glass(GlassStep::Confirmed { .. })
        | What::Team(_)
        | What::Staff { .. }
        | What::StaffCreated
        | What::StaffRemoved { .. }
        | What::Snapshot { .. } => false,
    }
}

#[cfg(test)]
#[path = "forget_tests.rs"]
mod tests;
