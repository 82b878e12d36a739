//! One sign-in at the identity provider, from going there to coming back: what ties the two together.
//! Not here: the provider (`provider`). Nothing is kept meanwhile: all follows from a number that only the browser has and
//! a key that only this process has, so that strangers cannot fill anything. RFC 7636 (PKCE), RFC 6749 section 10.12.

use std::time::Duration;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::Timestamp;
use crate::entropy::{Entropy, random};
use crate::secret::Secret;

/// The cookie's name: the prefix makes browsers insist on Secure, Path=/ and no Domain.
const COOKIE: &str = "__Host-portreeve-staff";
/// How long the way to the provider and back may take.
pub const FLOW_WITHIN: Duration = Duration::from_secs(600);

/// The key from which everything about a sign-in follows.
pub struct Flows(hmac::Key);

/// A sign-in under way.
pub struct Flow {
    /// What the browser holds, and nobody else.
    number: Secret<String>,
    /// What the provider sends back with the browser.
    pub state: String,
    /// What the ID token must carry.
    pub nonce: String,
    /// What proves to the provider that who fetches the token began the sign-in.
    pub verifier: Secret<String>,
}

impl Flows {
    /// For the life of this process: a sign-in that is under way when it ends begins anew.
    pub fn new(entropy: &dyn Entropy) -> Flows {
        Flows(hmac::Key::new(hmac::HMAC_SHA256, &random::<32>(entropy)))
    }

    /// A sign-in that begins now.
    pub fn begin(&self, now: Timestamp, entropy: &dyn Entropy) -> Flow {
        self.of(format!("{}.{}", now.0, URL_SAFE_NO_PAD.encode(random::<32>(entropy))))
    }

    /// The sign-in that comes back with that state to a browser with these cookies; none: it was not begun there, or too
    /// long ago.
    pub fn resume<'a>(&self, cookies: impl Iterator<Item = &'a str>, state: &str, now: Timestamp) -> Option<Flow> {
        let pairs = cookies.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let number = pairs.filter(|(name, _)| *name == COOKIE).map(|(_, number)| number).next()?;
        let flow = self.of(number.to_owned());
        constant_time::verify_slices_are_equal(flow.state.as_bytes(), state.as_bytes()).ok()?;
        // With the state the number is ours, and with it the time.
        let began = number.split_once('.').and_then(|(began, _)| began.parse().ok()).map(Timestamp)?;
        (began <= now && now < began.plus(FLOW_WITHIN)).then_some(flow)
    }

    fn of(&self, number: String) -> Flow {
        let part = |part: &str| {
            let tag = hmac::sign(&self.0, format!("{part}\0{number}").as_bytes());
            URL_SAFE_NO_PAD.encode(tag.as_ref())
        };
        let (state, nonce, verifier) = (part("state"), part("nonce"), Secret::new(part("verifier")));
        Flow { number: Secret::new(number), state, nonce, verifier }
    }
}

impl Flow {
    /// What of the verifier the provider is told beforehand.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.verifier.expose().as_bytes()).as_ref())
    }

    /// `Set-Cookie` for the way there. Lax, since the browser comes back from another site.
    pub fn set_cookie(&self) -> String {
        let seconds = FLOW_WITHIN.as_secs();
        format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}", self.number.expose())
    }
}

/// `Set-Cookie` that removes it.
pub fn clear_cookie() -> String {
    format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
