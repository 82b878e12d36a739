//! What an owner does through the portal: signed with the portal's key, since only an owner widens.
//! Not here: who the owner is; the portal has checked that.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;

use super::act::{Acts, Done};
use super::error::Error;
use super::follower::Follower;
use super::narrow;
use crate::clock::Timestamp;
use crate::grant::{AccountStep, By, Consent, Draft, Mode, Personal, Scope, State, What};
use crate::ids::{CustomerId, GrantId, OwnerId, SessionId};
use crate::log::Log;

/// The acts of owners. Clones share everything.
#[derive(Clone)]
pub struct OwnerActs {
    acts: Acts,
    follower: Follower,
    key: Arc<Ed25519KeyPair>,
}

impl OwnerActs {
    /// `acts` as every writer has them, and the portal's signing key.
    pub fn new(acts: Acts, follower: Follower, key: Ed25519KeyPair) -> OwnerActs {
        OwnerActs { acts, follower, key: Arc::new(key) }
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
        let done = self.act(owner, What::ConsentSet { customer, mode, scope, until }, None).await?;
        let set = done.state.customer(customer).map(|customer| customer.consent.clone());
        set.ok_or(Error::Bug("a customer is gone"))
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
        let build = |_: &State| Ok(Draft { by: By::Owner(owner), what, personal: personal.clone() });
        // The proxies first, by what is known: off must not wait for a register that cannot be read.
        let shut = self.acts.hands().shut(&self.follower.state(), Some(&self.key), build).await;
        let done = self.acts.act_after(shut, Some(&self.key), build).await?;
        done.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(done)
    }
}
