//! Side rows of staff that a later event has put out of use: they go from the files of what keeps the register.
//! Not here: what counts (`grant/`), and what is erased with a customer (`forget`).

use super::error::Error;
use super::opened::Register;
use crate::grant::{Event, StaffStep, State, Stored, What};
use crate::ids::Sequence;

impl Register {
    /// Erases every side row of staff that holds what opens nothing any more: the verifiers of short-lived passwords before
    /// the newest, the secrets of second factors that were replaced or taken away, and both of whoever is gone. Nothing need
    /// be folded anew for it. Again after a kill or a failure it erases what is left.
    ///
    /// # Errors
    /// If it cannot be read or written, or somebody who reads keeps what was deleted from being overwritten: then something
    /// may still be there until the next erasure.
    pub fn erase_outdated(&self) -> Result<(), Error> {
        // In this order: what was appended meanwhile is in the state, and its row is not looked at.
        let events = self.read_from(Sequence(1))?;
        let state = self.state()?;
        let outdated = events.iter().filter(|stored| is_outdated(stored, &state));
        let outdated: Vec<Sequence> = outdated.map(|stored| stored.sequence).collect();
        if outdated.is_empty() { Ok(()) } else { self.erase_all_replaced(&outdated) }
    }
}

fn is_outdated(stored: &Stored, state: &State) -> bool {
    let event = stored.side.as_ref().and_then(|_| Event::decode(&stored.content));
    let Some(What::Staff { staff, step }) = event.map(|event| event.what) else { return false };
    let standing = state.staff(staff).map(|staff| &staff.standing);
    let counts = match step {
        StaffStep::TokenIssued { .. } => {
            standing.and_then(|standing| standing.token.as_ref()).map(|token| token.sequence)
        }
        StaffStep::SecondFactorSet => {
            standing.and_then(|standing| standing.second_factor.as_ref()).map(|factor| factor.sequence)
        }
        StaffStep::SecondFactorRemoved
        | StaffStep::Suspended
        | StaffStep::Resumed
        | StaffStep::Attested { .. }
        | StaffStep::Limited
        | StaffStep::Excepted { .. }
        | StaffStep::SubjectForgotten => return false,
    };
    counts != Some(stored.sequence)
}
