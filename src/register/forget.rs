//! Forgetting a customer at the very end: the register's own texts about it and its owners, its holds and the grants to it
//! stand in side rows, and those go, from the file and from its write-ahead log. Events stay: ids, times and numbers.
//! Not here: when (`retentiond/closing`). What other roles hold in memory goes with their next start.

use rusqlite::TransactionBehavior;
use rusqlite::params;

use super::error::Error;
use super::sqlite::Register;
use crate::grant::{Event, GlassStep, State, Stored, What};
use crate::ids::{CustomerId, HoldId, OwnerId};

impl Register {
    /// Deletes every side row about `customer`; how many there were. Again after a kill it deletes what is left.
    ///
    /// # Errors
    /// If the file cannot be read or written, or somebody who reads keeps the write-ahead log from being emptied: then
    /// the rows may still be in it, and it must be tried again.
    pub fn forget(&self, customer: CustomerId) -> Result<u64, Error> {
        let state = self.state()?;
        let events = self.read_from(crate::ids::Sequence(1))?;
        let about: Vec<i64> = events
            .iter()
            .filter(|stored| is_about(stored, customer, &state))
            .filter_map(|stored| i64::try_from(stored.sequence.0).ok())
            .collect();
        self.changed(|connection| {
            let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut deleted = 0;
            for sequence in &about {
                deleted += write.execute("DELETE FROM side WHERE sequence = ?1", params![sequence])?;
            }
            write.commit()?;
            let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            Ok((busy == 0).then(|| u64::try_from(deleted).unwrap_or(u64::MAX)))
        })
    }
}

/// Whether its side row is about that customer: a person or a place of theirs, or what was said about them.
fn is_about(stored: &Stored, customer: CustomerId, state: &State) -> bool {
    if stored.side.is_none() {
        return false;
    }
    let Some(event) = Event::decode(&stored.content) else { return false };
    let of_owner = |id: OwnerId| state.owner(id).is_some_and(|owner| owner.customer == customer);
    let of_hold = |id: HoldId| state.hold(id).is_some_and(|hold| hold.customer == customer);
    match event.what {
        What::CustomerCreated { .. } => stored.sequence.0 == customer.0,
        What::OwnerCreated { customer: of }
        | What::ConsentSet { customer: of, .. }
        | What::GrantIssued { customer: of, .. }
        | What::Account { customer: of, .. }
        | What::HoldPlaced { customer: of, .. } => of == customer,
        What::OwnerRemoved { owner } => of_owner(owner),
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
