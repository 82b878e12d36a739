//! Whether a member of staff may be at the gate's desk: where they ask, answer and give back, and reach no data.
//! Not here: what may be asked for there (`asking`). Hours and attestations bar from data, not from asking for it.

use std::net::IpAddr;

use super::decide::Limits;
use super::locks::Locks;
use super::refusal::minute;
use super::staff_condition::{StaffCondition, check_credential, check_network, check_suspended};
use super::state::State;
use crate::clock::Timestamp;
use crate::ids::StaffId;

/// Who is at the desk, and from where.
#[derive(Clone, Debug)]
pub struct AtDesk<'a> {
    /// Who: signed in already.
    pub staff: StaffId,
    /// The client's address.
    pub address: IpAddr,
    /// When the register was last read successfully.
    pub register_read: Timestamp,
    /// Until when what they signed in with carries a session; [`Timestamp::NEVER`]: for good.
    pub credential: Timestamp,
    /// The narrowing locks in force.
    pub locks: &'a Locks,
}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum DeskCondition {
    /// What was read from the register is too old to go by.
    RegisterStale { read: Timestamp },
    /// The staff member was removed, or never was.
    Gone,
    /// Something about the staff member themselves.
    Staff(StaffCondition),
    /// They were shut out a moment ago; the register is about to say so.
    Locked,
}

/// Every condition that failed, and the way out of each.
#[derive(Clone, Debug, PartialEq)]
pub struct DeskRefusal {
    /// Who it was.
    pub staff: StaffId,
    /// What stands in the way, never empty.
    pub conditions: Vec<DeskCondition>,
}

/// Whether they may be at the desk now; until when that is known without asking again.
///
/// # Errors
/// Everything that stands in the way.
pub fn at_desk(state: &State, who: &AtDesk<'_>, limits: &Limits, now: Timestamp) -> Result<Timestamp, DeskRefusal> {
    let mut conditions = Vec::new();
    let lease = who.register_read.plus(limits.register_stale_after);
    if now >= lease {
        conditions.push(DeskCondition::RegisterStale { read: who.register_read });
    }
    match state.staff(who.staff).filter(|staff| staff.active) {
        None => conditions.push(DeskCondition::Gone),
        Some(staff) => {
            let mut failed = |condition| conditions.push(DeskCondition::Staff(condition));
            check_suspended(staff, &mut failed);
            check_network(staff, who.address, &mut failed);
            check_credential(who.credential, now, &mut failed);
        }
    }
    if who.locks.shuts(who.staff) {
        conditions.push(DeskCondition::Locked);
    }
    if conditions.is_empty() {
        Ok(lease.min(who.credential))
    } else {
        Err(DeskRefusal { staff: who.staff, conditions })
    }
}

impl DeskCondition {
    /// The reason code, as records name it.
    pub fn code(&self) -> &'static str {
        match self {
            DeskCondition::RegisterStale { .. } => "register-stale",
            DeskCondition::Gone => "staff-inactive",
            DeskCondition::Staff(condition) => condition.code(),
            DeskCondition::Locked => "locked",
        }
    }

    fn why(&self) -> &'static str {
        match self {
            DeskCondition::RegisterStale { .. } => "the register of decisions cannot be read",
            DeskCondition::Gone => "your account was removed",
            DeskCondition::Staff(condition) => condition.why(),
            DeskCondition::Locked => "you were shut out a moment ago",
        }
    }
}

impl DeskRefusal {
    /// Reason codes joined with `,`, such as `staff-suspended,elsewhere`.
    pub fn code(&self) -> String {
        self.conditions.iter().map(DeskCondition::code).collect::<Vec<_>>().join(",")
    }

    /// Primary message: lower case, no full stop; names the first condition.
    pub fn message(&self) -> String {
        let why = self.conditions.first().map_or("it could not be decided", DeskCondition::why);
        format!("the desk is closed to you: {why}")
    }

    /// What is missing, one sentence for each condition.
    pub fn detail(&self, state: &State) -> String {
        let member = state.staff(self.staff);
        let sentence = |condition: &DeskCondition| match condition {
            DeskCondition::RegisterStale { read } => format!("The register was last read at {}.", minute(*read)),
            DeskCondition::Gone => "There is no such active staff account.".to_owned(),
            DeskCondition::Staff(own) => own.detail(state, member, ""),
            DeskCondition::Locked => "The register will say by whom.".to_owned(),
        };
        self.conditions.iter().map(sentence).collect::<Vec<_>>().join(" ")
    }

    /// The way out of each, one sentence for each.
    pub fn hint(&self, state: &State) -> String {
        let name = state.staff(self.staff).map_or("?", |staff| &staff.name);
        let sentence = |condition: &DeskCondition| match condition {
            DeskCondition::RegisterStale { .. } => {
                "Ask an operator to run \"portreeve doctor\" on the gate's machine, then connect again.".to_owned()
            }
            DeskCondition::Gone | DeskCondition::Locked => "Ask an operator.".to_owned(),
            DeskCondition::Staff(own) => own.hint(name, ""),
        };
        self.conditions.iter().map(sentence).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
