//! The fold of what concerns an account as a whole: its closing, its exports, holds on it, and the catalog of snapshots.
//! Not here: consent and grants (`apply`), and the order of a closing's steps (`closure`).

use std::sync::Arc;

use super::apply::{not_yours, only_operator, required, text};
use super::closure::{AccountStep, Closure, ClosureRule};
use super::consent::{By, Consent, Mode};
use super::event::Event;
use super::kept::{self, Export, Hold, SnapshotStep};
use super::personal::{self, Personal};
use super::rule::Rule;
use super::state::{Customer, State};
use crate::clock::Timestamp;
use crate::ids::{CustomerId, ExportId, HoldId, Sequence, SnapshotId, StaffId};

impl State {
    pub(super) fn check_account(&self, event: &Event, id: CustomerId, step: AccountStep) -> Result<(), Rule> {
        let customer = self.customer(id).ok_or(Rule::NoCustomer(id))?;
        self.check_actor(event, id, step, customer.closure.is_some())?;
        self.check_export(id, step)?;
        let held = self.holds_on(id).next().is_some();
        let left = self.exports_of(id).find(|export| export.destroyed.is_none()).map(|export| export.id);
        match (&customer.closure, step) {
            (Some(closure), step) => Ok(closure.check(step, event.by, held, left)?),
            (
                None,
                AccountStep::Closed
                | AccountStep::ExportRequested
                | AccountStep::Exported { .. }
                | AccountStep::ExportDestroyed { .. },
            ) => Ok(()),
            (
                None,
                AccountStep::Reopened
                | AccountStep::Chosen { .. }
                | AccountStep::Immediate
                | AccountStep::Reached { .. }
                | AccountStep::PurgePlanned { .. }
                | AccountStep::PurgeHeld { .. }
                | AccountStep::PurgeApproved { .. }
                | AccountStep::PurgeBegun { .. }
                | AccountStep::PurgeReplanned { .. }
                | AccountStep::PurgeVerified { .. }
                | AccountStep::PurgeRechecked { .. }
                | AccountStep::ErasureBegun { .. }
                | AccountStep::ErasureDone { .. }
                | AccountStep::Forgotten { .. },
            ) => Err(ClosureRule::NotClosed.into()),
        }
    }

    /// Closing narrows, so an operator may as well; the rest is the owner's to decide and the system's to do. An
    /// account's archive is made by the system without being asked.
    fn check_actor(&self, event: &Event, customer: CustomerId, step: AccountStep, closed: bool) -> Result<(), Rule> {
        match (step, event.by) {
            (
                AccountStep::Closed
                | AccountStep::Reopened
                | AccountStep::Chosen { .. }
                | AccountStep::Immediate
                | AccountStep::ExportRequested,
                By::Owner(owner),
            ) => self.active_owner_of(owner, customer),
            (AccountStep::Closed, By::Operator) => Ok(()),
            (AccountStep::ExportRequested, By::System) if closed => Ok(()),
            (
                AccountStep::Reached { .. }
                | AccountStep::PurgePlanned { .. }
                | AccountStep::PurgeHeld { .. }
                | AccountStep::PurgeBegun { .. }
                | AccountStep::PurgeReplanned { .. }
                | AccountStep::PurgeVerified { .. }
                | AccountStep::PurgeRechecked { .. }
                | AccountStep::Exported { .. }
                | AccountStep::ExportDestroyed { .. }
                | AccountStep::ErasureBegun { .. }
                | AccountStep::ErasureDone { .. }
                | AccountStep::Forgotten { .. },
                By::System,
            ) => Ok(()),
            (AccountStep::PurgeApproved { .. }, By::Staff(staff)) => self.working_staff(staff).map(drop),
            (AccountStep::PurgeApproved { .. }, By::Operator) => Ok(()),
            (AccountStep::Reopened, By::Operator) => Err(Rule::OnlyOwnerReopens { customer }),
            (_, By::Owner(_) | By::Staff(_) | By::VendorApp | By::Operator | By::System) => Err(not_yours(event)),
        }
    }

    fn check_export(&self, customer: CustomerId, step: AccountStep) -> Result<(), ClosureRule> {
        let living = |id: ExportId| {
            let export = self.export(id).filter(|export| export.customer == customer && export.destroyed.is_none());
            export.ok_or(ClosureRule::NoExport(id))
        };
        match step {
            AccountStep::Exported { export, .. } => {
                living(export)?.made.map_or(Ok(()), |(at, ..)| Err(ClosureRule::Again(at)))
            }
            AccountStep::ExportDestroyed { export } => living(export).map(drop),
            AccountStep::Closed
            | AccountStep::Reopened
            | AccountStep::Chosen { .. }
            | AccountStep::Immediate
            | AccountStep::Reached { .. }
            | AccountStep::PurgePlanned { .. }
            | AccountStep::PurgeHeld { .. }
            | AccountStep::PurgeApproved { .. }
            | AccountStep::PurgeBegun { .. }
            | AccountStep::PurgeReplanned { .. }
            | AccountStep::PurgeVerified { .. }
            | AccountStep::PurgeRechecked { .. }
            | AccountStep::ExportRequested
            | AccountStep::ErasureBegun { .. }
            | AccountStep::ErasureDone { .. }
            | AccountStep::Forgotten { .. } => Ok(()),
        }
    }

    pub(super) fn check_hold(&self, event: &Event, customer: CustomerId, review: Timestamp) -> Result<(), Rule> {
        only_operator(event)?;
        self.remembered(customer)?;
        if review <= event.at { Err(Rule::AlreadyOver) } else { Ok(()) }
    }

    pub(super) fn check_release(&self, event: &Event, hold: HoldId) -> Result<(), Rule> {
        only_operator(event)?;
        self.hold(hold).filter(|hold| hold.released.is_none()).map(drop).ok_or(Rule::NoHold(hold))
    }

    pub(super) fn check_snapshot(&self, event: &Event, id: SnapshotId, step: SnapshotStep) -> Result<(), Rule> {
        match (step, event.by) {
            (_, By::System) | (SnapshotStep::Adopted { .. }, By::Operator) => {
                Ok(kept::check(id, self.snapshot(id), step, event.at)?)
            }
            (_, By::Owner(_) | By::Staff(_) | By::VendorApp | By::Operator) => Err(not_yours(event)),
        }
    }

    pub(super) fn commit_account(&mut self, event: &Event, sequence: Sequence, id: CustomerId, step: AccountStep) {
        match step {
            AccountStep::Closed => self.close(event, sequence, id),
            AccountStep::Reopened => self.with_closure(id, |closure| *closure = None),
            AccountStep::ExportRequested => {
                let (export, requested) = (ExportId(sequence.0), (event.at, event.by));
                let export = Export { id: export, customer: id, requested, made: None, destroyed: None };
                self.exports.insert(export.id, export);
            }
            AccountStep::Exported { export, bytes, digest } => {
                if let Some(export) = self.exports.get_mut(export) {
                    export.made = Some((event.at, bytes, digest));
                }
            }
            AccountStep::ExportDestroyed { export } => {
                if let Some(export) = self.exports.get_mut(export) {
                    export.destroyed = Some(event.at);
                }
            }
            AccountStep::Chosen { .. }
            | AccountStep::Immediate
            | AccountStep::Reached { .. }
            | AccountStep::PurgePlanned { .. }
            | AccountStep::PurgeHeld { .. }
            | AccountStep::PurgeApproved { .. }
            | AccountStep::PurgeBegun { .. }
            | AccountStep::PurgeReplanned { .. }
            | AccountStep::PurgeVerified { .. }
            | AccountStep::PurgeRechecked { .. }
            | AccountStep::ErasureBegun { .. }
            | AccountStep::ErasureDone { .. } => self.go_on(event, id, step),
            AccountStep::Forgotten { .. } => {
                self.go_on(event, id, step);
                self.forget(event, id);
            }
        }
    }

    fn go_on(&mut self, event: &Event, id: CustomerId, step: AccountStep) {
        self.with_closure(id, |closure| {
            if let Some(closure) = closure {
                closure.take(step, event.by, event.at, event.id);
            }
        });
    }

    /// Who is gone or suspended has approved no deletion that was not begun yet.
    pub(super) fn retract_approvals_of(&mut self, staff: StaffId) {
        let approved =
            |customer: &&Customer| customer.closure.as_ref().is_some_and(|closure| closure.purge.is_approved_by(staff));
        let theirs: Vec<_> = self.customers().filter(approved).map(|customer| customer.id).collect();
        for customer in theirs {
            self.with_closure(customer, |closure| {
                if let Some(closure) = closure {
                    closure.purge.retract(staff);
                }
            });
        }
    }

    /// The switch goes off with it, every grant ends, and whoever was invited is so no more.
    fn close(&mut self, event: &Event, sequence: Sequence, id: CustomerId) {
        let Some(scope) = self.customer(id).map(|customer| customer.consent.scope) else { return };
        let (set_at, set_by, terms) = (event.at, event.by, self.terms_of(id));
        self.set_consent(event, id, Consent { mode: Mode::Off, scope, until: None, terms, set_at, set_by, sequence });
        self.with_closure(id, |closure| *closure = Some(Closure::new(event.at, event.by, sequence)));
        self.withdraw_invitations_to(event.at, id);
    }

    fn with_closure(&mut self, id: CustomerId, change: impl FnOnce(&mut Option<Closure>)) {
        if let Some(customer) = self.customers.get_mut(id) {
            change(&mut customer.closure);
        }
    }

    pub(super) fn add_hold(
        &mut self,
        event: &Event,
        sequence: Sequence,
        (customer, review): (CustomerId, Timestamp),
        personal: Personal,
    ) {
        let (id, placed) = (HoldId(sequence.0), (event.at, event.by));
        let (authority, reason) = (text(personal.authority), text(personal.reason));
        self.holds.insert(id, Hold { id, customer, placed, review, authority, reason, released: None });
    }

    pub(super) fn release_hold(&mut self, event: &Event, hold: HoldId) {
        if let Some(hold) = self.holds.get_mut(hold) {
            hold.released = Some((event.at, event.by));
        }
    }

    pub(super) fn commit_snapshot(&mut self, event: &Event, sequence: Sequence, id: SnapshotId, step: SnapshotStep) {
        if let Some(snapshot) = kept::after(id, self.snapshot(id), step, (event.at, sequence)) {
            Arc::make_mut(&mut self.snapshots).insert(id, Arc::new(snapshot));
        }
    }
}

pub(super) fn check_hold_texts(personal: &Personal) -> Result<(), Rule> {
    personal::check_authority(required(&personal.authority, "authority")?)?;
    Ok(personal::check_reason(required(&personal.reason, "reason")?)?)
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
