//! What is stored of a password: PostgreSQL's `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, from which
//! nobody can sign in, but a guess can be tested; so it is kept like a password.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroize;

use super::hmac_sha256;

/// The iterations of every verifier that is made here, and of every mock: PostgreSQL's own number.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not zero");

/// A text that is not a verifier. The text is not repeated: it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM-SHA-256 verifier, which reads SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")]
pub struct NotAVerifier;

/// A stored verifier, or a mock of one.
#[derive(Clone)]
pub struct Verifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
    mock: bool,
}

impl Verifier {
    /// The verifier that stands in for a user who does not exist: the same for the same name, so that asking twice
    /// shows nothing. No password fits it. `iterations` should be what real verifiers have.
    pub fn mock(secret: &[u8; 32], user: &str, iterations: NonZeroU32) -> Verifier {
        let part = |part: &str| hmac_sha256(secret, format!("{part}\0{user}").as_bytes());
        let salt = Verifier::mock_salt(secret, user).to_vec();
        Verifier { iterations, salt, stored_key: part("stored key"), server_key: part("server key"), mock: true }
    }

    /// The salt of that mock. A verifier that comes and goes has it as well, so that its coming shows to nobody.
    pub fn mock_salt(secret: &[u8; 32], user: &str) -> [u8; 16] {
        let salt = hmac_sha256(secret, format!("salt\0{user}").as_bytes());
        salt.first_chunk().copied().unwrap_or_default()
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    pub(super) fn stored_key(&self) -> &[u8; 32] {
        &self.stored_key
    }

    pub(super) fn server_key(&self) -> &[u8; 32] {
        &self.server_key
    }

    pub(super) fn is_mock(&self) -> bool {
        self.mock
    }

    /// Whether this is the verifier of that password; for people who sign in by other means than SCRAM.
    pub fn fits(&self, password: &str) -> bool {
        let theirs = derive(password, &self.salt, self.iterations);
        aws_lc_rs::constant_time::verify_slices_are_equal(&theirs.stored_key, &self.stored_key).is_ok() && !self.mock
    }

    /// The text to store, as PostgreSQL's `pg_authid.rolpassword` has it.
    pub fn to_stored(&self) -> String {
        let [salt, stored, server] =
            [self.salt.as_slice(), &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        format!("SCRAM-SHA-256${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.stored_key.zeroize();
        self.server_key.zeroize();
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

impl FromStr for Verifier {
    type Err = NotAVerifier;

    fn from_str(text: &str) -> Result<Self, NotAVerifier> {
        let rest = text.strip_prefix("SCRAM-SHA-256$").ok_or(NotAVerifier)?;
        let (first, keys) = rest.split_once('$').ok_or(NotAVerifier)?;
        let (iterations, salt) = first.split_once(':').ok_or(NotAVerifier)?;
        let (stored, server) = keys.split_once(':').ok_or(NotAVerifier)?;
        let bytes = |text: &str| STANDARD.decode(text).map_err(|_| NotAVerifier);
        let key = |text: &str| bytes(text).and_then(|key| <[u8; 32]>::try_from(key).map_err(|_| NotAVerifier));
        Ok(Verifier {
            iterations: iterations.parse().map_err(|_| NotAVerifier)?,
            salt: Some(bytes(salt)?).filter(|salt| !salt.is_empty()).ok_or(NotAVerifier)?,
            stored_key: key(stored)?,
            server_key: key(server)?,
            mock: false,
        })
    }
}

/// The verifier of a password, over a salt (16 random bytes) and a number of iterations (PostgreSQL: 4096).
pub fn verifier_from_password(password: &str, salt: &[u8], iterations: NonZeroU32) -> Verifier {
    derive(password, salt, iterations)
}

fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Verifier {
    // As PostgreSQL and libpq do: what SASLprep prohibits is used as it is.
    let prepared = stringprep::saslprep(password).unwrap_or(password.into());
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    salted.zeroize();
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    Verifier {
        iterations,
        salt: salt.to_vec(),
        stored_key: stored_key.as_ref().try_into().expect("SHA-256 has 32 bytes"),
        server_key: server_key.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes"),
        mock: false,
    }
}
