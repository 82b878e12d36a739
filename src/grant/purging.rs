//! The deletion of a customer's rows as it was decided: its plan, who approved it, how far it is, and what may follow.
//! Not here: how much is too much without approval (`retention/closure/cap.rs`) and doing it.

use super::closure::ClosureRule;
use super::consent::By;
use crate::clock::Timestamp;
use crate::ids::StaffId;

/// The deletion of a customer's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Purge {
    /// The plan's digest, and when it was made.
    pub planned: Option<([u8; 32], Timestamp)>,
    /// When the plan was held until people approve it, and how many must.
    pub held: Option<(Timestamp, People)>,
    /// Who approved the plan: different people.
    pub approved: [Option<(By, Timestamp)>; 2],
    /// When it was begun, the first time.
    pub begun: Option<Timestamp>,
    /// The plan by which it goes on, and when that was begun.
    pub running: Option<([u8; 32], Timestamp)>,
    /// When the plan was last made anew after it was begun.
    pub replanned: Option<Timestamp>,
    /// When nothing was left, how many rows were deleted, and which level of residue was looked at.
    pub verified: Option<(Timestamp, u64, u8)>,
    /// When it was first looked again since it was verified, and how many rows had come back.
    pub rechecked_first: Option<(Timestamp, u64)>,
    /// When it was last looked again, and how many rows had come back.
    pub rechecked: Option<(Timestamp, u64)>,
}

/// How many must approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum People {
    /// Anybody who presents the plan's digest.
    One,
    /// Two members of staff, each with their own password.
    Two,
}

impl People {
    pub(super) fn number(self) -> u64 {
        match self {
            People::One => 1,
            People::Two => 2,
        }
    }

    pub(super) fn from_number(number: u64) -> Option<People> {
        match number {
            1 => Some(People::One),
            2 => Some(People::Two),
            _ => None,
        }
    }
}

impl Purge {
    /// Whether those who must have approved the plan: as it was held, or else `people`.
    pub fn is_approved(&self, people: People) -> bool {
        let mut given = self.approved.iter().flatten();
        match self.held.map_or(people, |(_, people)| people) {
            People::One => given.next().is_some(),
            People::Two => given.filter(|(by, _)| matches!(by, By::Staff(_))).count() == 2,
        }
    }

    pub(super) fn is_approved_by(&self, staff: StaffId) -> bool {
        self.approved.iter().flatten().any(|(by, _)| *by == By::Staff(staff))
    }

    /// Whether the plan is held and those who must have not approved it.
    pub fn waits(&self) -> bool {
        self.held.is_some_and(|(_, people)| !self.is_approved(people))
    }

    /// When the plan that is fixed now was begun.
    pub fn plan_begun(&self) -> Option<Timestamp> {
        let planned = self.planned.map(|(digest, _)| digest);
        self.running.filter(|(digest, _)| Some(*digest) == planned).map(|(_, at)| at)
    }

    /// When rows were last seen that came back, if none were purged since.
    pub fn came_back(&self) -> Option<Timestamp> {
        let verified = self.verified?.0;
        self.rechecked.filter(|(at, rows)| *rows > 0 && *at > verified).map(|(at, _)| at)
    }

    fn is_plan(&self, digest: [u8; 32]) -> Result<(), ClosureRule> {
        let is_it = self.planned.is_some_and(|(planned, _)| planned == digest);
        if is_it { Ok(()) } else { Err(ClosureRule::OtherPlan) }
    }

    fn not_begun(&self, digest: [u8; 32]) -> Result<(), ClosureRule> {
        self.is_plan(digest)?;
        self.plan_begun().map_or(Ok(()), |at| Err(ClosureRule::PurgeBegun(at)))
    }

    pub(super) fn check_held(&self, digest: [u8; 32]) -> Result<(), ClosureRule> {
        self.not_begun(digest)?;
        self.held.map_or(Ok(()), |(at, _)| Err(ClosureRule::Again(at)))
    }

    /// Who approves must be another person than who did before.
    pub(super) fn check_approved(&self, digest: [u8; 32], by: By) -> Result<(), ClosureRule> {
        self.not_begun(digest)?;
        if let Some((_, at)) = self.approved.iter().flatten().find(|(approved, _)| *approved == by) {
            return Err(ClosureRule::SamePerson(*at));
        }
        match (self.held, by) {
            (Some((_, People::Two)), By::Staff(_)) | (Some((_, People::One)) | None, _) => {}
            (Some((_, People::Two)), By::Owner(_) | By::VendorApp | By::Operator | By::System) => {
                return Err(ClosureRule::Unapproved);
            }
        }
        match self.approved.iter().flatten().last() {
            Some((_, at)) if self.is_approved(People::Two) => Err(ClosureRule::Again(*at)),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn check_begun(&self, digest: [u8; 32]) -> Result<(), ClosureRule> {
        self.not_begun(digest)?;
        if self.waits() { Err(ClosureRule::Unapproved) } else { Ok(()) }
    }

    /// A plan is made anew once it was begun and is another by now, or rows came back after it was through.
    pub(super) fn check_replanned(&self, digest: [u8; 32]) -> Result<(), ClosureRule> {
        if self.begun.is_none() {
            return Err(ClosureRule::First("purge.begun"));
        }
        match (self.verified, self.came_back()) {
            (Some((at, ..)), None) => Err(ClosureRule::Again(at)),
            (Some(_), Some(_)) => Ok(()),
            (None, _) => match self.planned {
                Some((planned, at)) if planned == digest => Err(ClosureRule::Again(at)),
                Some(_) | None => Ok(()),
            },
        }
    }

    pub(super) fn check_verified(&self) -> Result<(), ClosureRule> {
        self.plan_begun().map_or(Err(ClosureRule::First("purge.begun")), |_| Ok(()))
    }

    pub(super) fn plan(&mut self, digest: [u8; 32], at: Timestamp) {
        (self.planned, self.held, self.approved) = (Some((digest, at)), None, [None; 2]);
    }

    pub(super) fn replan(&mut self, digest: [u8; 32], at: Timestamp) {
        self.plan(digest, at);
        (self.replanned, self.running) = (Some(at), None);
    }

    pub(super) fn approve(&mut self, by: By, at: Timestamp) {
        // what is no member of staff's own word gives way
        let free = |approved: &&mut Option<(By, Timestamp)>| !matches!(approved, Some((By::Staff(_), _)));
        if let Some(free) = self.approved.iter_mut().find(free) {
            *free = Some((by, at));
        }
    }

    /// Takes back what that staff member approved; what was begun by it stays approved.
    pub(super) fn retract(&mut self, staff: StaffId) {
        if self.plan_begun().is_none() {
            let is_theirs =
                |approved: &&mut Option<(By, Timestamp)>| approved.is_some_and(|(by, _)| by == By::Staff(staff));
            self.approved.iter_mut().filter(is_theirs).for_each(|approved| *approved = None);
        }
    }

    pub(super) fn begin(&mut self, digest: [u8; 32], at: Timestamp) {
        self.begun = self.begun.or(Some(at));
        self.running = Some((digest, at));
    }
}

#[cfg(test)]
#[path = "purging_tests.rs"]
mod tests;
