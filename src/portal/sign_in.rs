//! Who an owner is: a password checked against an Argon2id hash, or an API token looked up by its digest.
//! Not here: the session that follows (`session`) and how often one may try (`attempts`).
//! RFC 9106 (Argon2), RFC 6750 (bearer tokens).

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::Error;
use super::session::sha256;
use crate::entropy::{Entropy, random};
use crate::grant::{Owner, State};
use crate::secret::Secret;

/// Passwords checked at one time: each costs 19 MiB and tens of milliseconds of a core.
const AT_ONCE: usize = 2;
/// Checks that may wait for their turn; beyond that the portal is busy.
const WAITING_MAX: usize = 64;

/// Checks passwords, the same work for every name.
pub struct Passwords {
    /// The hash of nothing anybody knows, for names that are not there.
    decoy: String,
    turns: Semaphore,
    queue: Semaphore,
}

impl Passwords {
    /// Makes the decoy. An error is ours: the parameters are the library's own.
    pub fn new(entropy: &dyn Entropy) -> Result<Passwords, Error> {
        let (password, salt) = (random::<32>(entropy), random::<16>(entropy));
        let decoy = Argon2::default()
            .hash_password_with_salt(&password, &salt)
            .map_err(|error| Error::Bug(format!("cannot hash the decoy password: {error}")))?;
        Ok(Passwords { decoy: decoy.to_string(), turns: Semaphore::new(AT_ONCE), queue: Semaphore::new(WAITING_MAX) })
    }

    /// The active owner of that name, if the password is theirs. A name that is not there costs the same work.
    pub async fn check(&self, state: &State, name: &str, password: Secret<String>) -> Result<Option<Owner>, Error> {
        let owner = state.owner_named(name).filter(|owner| owner.active).cloned();
        let hash = owner.as_ref().map_or_else(|| self.decoy.clone(), |owner| owner.password_hash.clone());
        let _turn = self.turn("the sign-in").await?;
        let right = tokio::task::spawn_blocking(move || {
            Argon2::default().verify_password(password.expose().as_bytes(), hash.as_str()).is_ok()
        })
        .await
        .map_err(|error| Error::Bug(format!("a password check did not end: {error}")))?;
        Ok(owner.filter(|_| right))
    }

    /// What is kept of a new password: Argon2id with the crate's parameters (19 MiB, 2 passes), as a PHC string.
    pub async fn hash(&self, password: Secret<String>, entropy: Arc<dyn Entropy>) -> Result<String, Error> {
        let _turn = self.turn("the making of passwords").await?;
        let hashed = tokio::task::spawn_blocking(move || {
            let salt = random::<16>(entropy.as_ref());
            Argon2::default().hash_password_with_salt(password.expose().as_bytes(), &salt).map(|hash| hash.to_string())
        });
        let hashed = hashed.await.map_err(|error| Error::Bug(format!("a password was not hashed: {error}")))?;
        hashed.map_err(|error| Error::Bug(format!("cannot hash a password: {error}")))
    }

    /// Waits until it is one's turn to do such work, and has it until what is answered is dropped.
    pub async fn turn(&self, place: &'static str) -> Result<[SemaphorePermit<'_>; 2], Error> {
        let busy = |_| Error::Unavailable { place, cause: "too many at once".to_owned() };
        let waits = self.queue.try_acquire().map_err(busy)?;
        let closed = |_| Error::Bug("the turns of password checks were closed".to_owned());
        Ok([self.turns.acquire().await.map_err(closed)?, waits])
    }
}

/// The active owner whose token the `Authorization` header carries.
pub fn owner_of_token(state: &State, authorization: Option<&str>) -> Result<Owner, Error> {
    let Some(header) = authorization else {
        return Err(Error::SignInNeeded("this address needs an owner's token"));
    };
    header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, token)| state.owner_with_token(&sha256(token.trim().as_bytes())))
        .filter(|owner| owner.active)
        .cloned()
        .ok_or(Error::SignInNeeded("this token is not one of an owner's"))
}
