//! What an owner does through the portal: signed with the portal's key, since only an owner widens. Staff get their
//! short-lived passwords from it, signed as well.
//! Not here: who somebody is; the portal has checked that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use tokio::sync::Mutex;

use super::act::{Acts, Done};
use super::error::Error;
use super::follower::Follower;
use super::narrow;
use super::opened::Register;
use crate::clock::Timestamp;
use crate::grant::{
    AccountStep, By, Consent, Draft, Mode, Personal, Rule, Scope, ShownBy, StaffStep, State, Terms, What,
};
use crate::ids::{CustomerId, GrantId, OwnerId, Sequence, SessionId, StaffId};
use crate::log::Log;

/// How often what was erased is looked after.
const TIDY_EVERY: Duration = Duration::from_secs(300);

/// What an owner makes of the consent that a page showed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// The switch is to stand elsewhere; the terms stay.
    Switch(Mode, Scope, Option<Timestamp>),
    /// Other terms; the switch stays where it stands.
    Terms(Terms),
}

impl Revision {
    /// The change by that state, and its side row. What a page did not show is not undone from it.
    ///
    /// # Errors
    /// [`Error::Refused`] if the consent is another than the one that was seen.
    pub fn change(
        &self,
        state: &State,
        (customer, seen): (CustomerId, Sequence),
        now: Timestamp,
    ) -> Result<(What, Option<Personal>), Error> {
        let consent = state.customer(customer).map(|customer| &customer.consent);
        let Some(consent) = consent.filter(|consent| consent.sequence == seen) else {
            return Err(Error::Refused("what you allow was changed meanwhile: open the page again".to_owned()));
        };
        Ok(match self {
            Revision::Switch(mode, scope, until) => {
                (What::ConsentSet { customer, mode: *mode, scope: *scope, until: *until }, None)
            }
            Revision::Terms(terms) => {
                let (mode, scope) = (consent.mode_at(now), consent.scope);
                let until = consent.until.filter(|_| mode != Mode::Off);
                let what = What::ConsentAgreed { customer, mode, scope, until, terms: terms.bounds() };
                (what, Some(terms.side()).filter(|_| terms.has_side()))
            }
        })
    }
}

/// The acts of owners. Clones share everything.
#[derive(Clone)]
pub struct OwnerActs {
    acts: Acts,
    follower: Follower,
    key: Arc<Ed25519KeyPair>,
    /// Whether no row is left of short-lived passwords before the newest of each; not known when a process begins. Held by
    /// whoever sees to it, so that nobody who began before a failure hides it.
    is_tidy: Arc<Mutex<bool>>,
}

impl OwnerActs {
    /// `acts` as every writer has them, and the portal's signing key.
    pub fn new(acts: Acts, follower: Follower, key: Ed25519KeyPair) -> OwnerActs {
        OwnerActs { acts, follower, key: Arc::new(key), is_tidy: Arc::default() }
    }

    /// Moves the switch of the owner's own customer.
    ///
    /// # Errors
    /// As [`Acts::act`].
    pub async fn set_consent(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        mode: Mode,
        scope: Scope,
        until: Option<Timestamp>,
    ) -> Result<Consent, Error> {
        consent_of(&self.act(owner, What::ConsentSet { customer, mode, scope, until }, None).await?, customer)
    }

    /// Changes the consent that the owner saw as `seen`. Refused if it was changed since, by whomever.
    ///
    /// # Errors
    /// As [`Acts::act`] and [`Revision::change`].
    pub async fn revise(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        seen: Sequence,
        to: Revision,
    ) -> Result<Consent, Error> {
        let build = |state: &State| {
            let (what, personal) = to.change(state, (customer, seen), self.acts.clock.now())?;
            Ok(Draft { by: By::Owner(owner), what, personal })
        };
        consent_of(&self.run(build).await?, customer)
    }

    /// Ends a grant of the owner's own customer.
    ///
    /// # Errors
    /// As [`Acts::act`].
    pub async fn end_grant(&self, owner: OwnerId, grant: GrantId) -> Result<(), Error> {
        self.act(owner, What::GrantEnded { grant }, None).await.map(drop)
    }

    /// A step in the closing of the owner's own account, or in an export of its data.
    ///
    /// # Errors
    /// As [`Acts::act`].
    pub async fn account(&self, owner: OwnerId, customer: CustomerId, step: AccountStep) -> Result<(), Error> {
        self.act(owner, What::Account { customer, step }, None).await.map(drop)
    }

    /// Any change that an owner causes, with its side row: an answer to a request, terms, a code. The state after it.
    ///
    /// # Errors
    /// As [`Acts::act`].
    pub async fn change(&self, owner: OwnerId, what: What, side: Option<Personal>) -> Result<Arc<State>, Error> {
        Ok(self.act(owner, what, side).await?.state)
    }

    /// Hands out a short-lived password to a staff member who has shown who they are: for the code of a second factor, of
    /// that step, or as the identity provider says. Only its verifier is kept, and that of the one before is deleted.
    ///
    /// # Errors
    /// As [`Acts::act`].
    pub async fn issue_token(
        &self,
        staff: StaffId,
        (until, shown): (Timestamp, ShownBy),
        verifier: String,
    ) -> Result<(), Error> {
        let what = What::Staff { staff, step: StaffStep::TokenIssued { until, code: shown.code() } };
        let mut before = Vec::new();
        let build = |state: &State| {
            let standing = &state.staff(staff).ok_or(Rule::NoStaff(staff))?.standing;
            before = standing.token.iter().map(|token| token.sequence).collect();
            Ok(Draft { by: By::Staff(staff), what, personal: Some(standing.token_side(shown, verifier.clone())) })
        };
        let done = self.acts.act(Some(&self.key), build).await?;
        done.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        self.tidy(staff, before).await;
        Ok(())
    }

    /// Erases the verifiers that were replaced just now; at first, and after a failure, all that were left anywhere.
    async fn tidy(&self, staff: StaffId, replaced: Vec<Sequence>) {
        let mut is_tidy = self.is_tidy.lock().await;
        // Whoever comes after one that was cut off looks at all of them.
        let was_tidy = std::mem::replace(&mut *is_tidy, false);
        let verb = move |register: &Register| match was_tidy {
            true => replaced.iter().try_for_each(|side| register.erase_replaced(*side)),
            false => register.erase_outdated(),
        };
        match super::act::blocking(&self.acts.register, verb).await {
            Ok(()) => *is_tidy = true,
            // They open nothing any more, and what has replaced them is done.
            Err(fault) => {
                tracing::warn!(%staff, "the verifiers of passwords that count no more are not all erased: {fault}");
            }
        }
    }

    /// Sees to it now and then that nothing is left of what was erased, where erasing failed or need not wait for it.
    /// Never ends.
    pub async fn keep_tidy(&self) {
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            if let Err(fault) = self.tidy_up().await {
                tracing::warn!("what was erased from the register may still be in its files: {fault}");
            }
        }
    }

    async fn tidy_up(&self) -> Result<(), Error> {
        let mut is_tidy = self.is_tidy.lock().await;
        if !*is_tidy {
            super::act::blocking(&self.acts.register, Register::erase_outdated).await?;
            *is_tidy = true;
        }
        super::act::blocking(&self.acts.register, Register::overwrite).await
    }

    /// Ends one session at once; its grant stays. The caller has seen that it is a session of the owner's customer.
    /// What a proxy could not be told is in the answer.
    pub async fn end_session(&self, owner: OwnerId, session: SessionId) -> narrow::Told {
        narrow::end_session(&self.acts.sockets, session, &owner.to_string()).await
    }

    /// The log these acts are recorded in.
    pub fn log(&self) -> &Log {
        &self.acts.log
    }

    /// The register as it is followed.
    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// The proxies' control sockets.
    pub fn sockets(&self) -> &[PathBuf] {
        &self.acts.sockets
    }

    async fn act(&self, owner: OwnerId, what: What, personal: Option<Personal>) -> Result<Done, Error> {
        self.run(|_| Ok(Draft { by: By::Owner(owner), what, personal: personal.clone() })).await
    }

    async fn run(&self, build: impl Fn(&State) -> Result<Draft, Error>) -> Result<Done, Error> {
        // The proxies first, by what is known: off must not wait for a register that cannot be read.
        let shut = self.acts.hands().shut(&self.follower.state(), Some(&self.key), &build).await;
        let done = self.acts.act_after(shut, Some(&self.key), &build).await?;
        done.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(done)
    }
}

fn consent_of(done: &Done, customer: CustomerId) -> Result<Consent, Error> {
    done.state.customer(customer).map(|customer| customer.consent.clone()).ok_or(Error::Bug("a customer is gone"))
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
