//! What an owner does through the portal, and what it hands out to staff, as the portal asks for it.
//! Not here: how it is done: [`OwnerActs`] records the intent, signs and appends the event, and tells the proxies.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::audit::record::Record;
use crate::clock::Timestamp;
use crate::grant::{AccountStep, Consent, Mode, Personal, Scope, ShownBy, State, What};
use crate::ids::{CustomerId, GrantId, OwnerId, Sequence, StaffId};
use crate::log;
use crate::register::{self, OwnerActs, Revision};

/// The end of an act, later.
pub type Acting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An owner's acts. [`OwnerActs`] does them; a test's own does them without an audit log.
pub trait Acts: Send + Sync + 'static {
    /// Moves the switch to that mode, scope and end.
    fn set_consent(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        to: (Mode, Scope, Option<Timestamp>),
    ) -> Acting<'_, Result<Consent, register::Error>>;
    /// Changes the consent that the owner saw as `seen`; refused if it was changed since.
    fn revise(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        seen: Sequence,
        to: Revision,
    ) -> Acting<'_, Result<Consent, register::Error>>;
    /// Ends a grant.
    fn end_grant(&self, owner: OwnerId, grant: GrantId) -> Acting<'_, Result<(), register::Error>>;
    /// A step in the closing of the owner's account, or an export of its data.
    fn account(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        step: AccountStep,
    ) -> Acting<'_, Result<(), register::Error>>;
    /// Any other change that an owner causes, with its side row; the state after it.
    fn change(
        &self,
        owner: OwnerId,
        what: What,
        side: Option<Personal>,
    ) -> Acting<'_, Result<Arc<State>, register::Error>>;
    /// Hands out a short-lived password, good until then, to somebody who has shown so who they are; keeps its verifier.
    fn issue_token(
        &self,
        staff: StaffId,
        good: (Timestamp, ShownBy),
        verifier: String,
    ) -> Acting<'_, Result<(), register::Error>>;
    /// Writes a record into the portal's own log, durably.
    fn record(&self, record: Record) -> Acting<'_, Result<(), log::Error>>;
}

impl Acts for OwnerActs {
    fn set_consent(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        (mode, scope, until): (Mode, Scope, Option<Timestamp>),
    ) -> Acting<'_, Result<Consent, register::Error>> {
        Box::pin(OwnerActs::set_consent(self, owner, customer, mode, scope, until))
    }

    fn revise(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        seen: Sequence,
        to: Revision,
    ) -> Acting<'_, Result<Consent, register::Error>> {
        Box::pin(OwnerActs::revise(self, owner, customer, seen, to))
    }

    fn end_grant(&self, owner: OwnerId, grant: GrantId) -> Acting<'_, Result<(), register::Error>> {
        Box::pin(OwnerActs::end_grant(self, owner, grant))
    }

    fn account(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        step: AccountStep,
    ) -> Acting<'_, Result<(), register::Error>> {
        Box::pin(OwnerActs::account(self, owner, customer, step))
    }

    fn change(
        &self,
        owner: OwnerId,
        what: What,
        side: Option<Personal>,
    ) -> Acting<'_, Result<Arc<State>, register::Error>> {
        Box::pin(OwnerActs::change(self, owner, what, side))
    }

    fn issue_token(
        &self,
        staff: StaffId,
        good: (Timestamp, ShownBy),
        verifier: String,
    ) -> Acting<'_, Result<(), register::Error>> {
        Box::pin(OwnerActs::issue_token(self, staff, good, verifier))
    }

    fn record(&self, record: Record) -> Acting<'_, Result<(), log::Error>> {
        Box::pin(async move { self.log().record(record).await.map(drop) })
    }
}
