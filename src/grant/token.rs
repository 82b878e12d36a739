//! Short-lived passwords, which staff sign in with where a stored password alone is not enough, and the second factor
//! (a secret shared with an authenticator) by which the portal hands one out.
//! Not here: identity providers (`portal/staff/`). RFC 4226, RFC 6238.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::apply::{not_yours, only_operator, required};
use super::consent::By;
use super::event::Event;
use super::personal::{Personal, TextFault};
use super::rule::Rule;
use super::staff::Standing;
use super::state::{Staff, State};
use crate::clock::Timestamp;
use crate::ids::{Sequence, StaffId};

/// The longest a short-lived password may be good for.
pub const TOKEN_MAX: Duration = Duration::from_secs(3600);
/// The shared secret of a second factor, in bytes: as long as the hash, as RFC 4226 recommends.
pub const SECRET_BYTES: usize = 20;
/// How long one code is shown.
const STEP: Duration = Duration::from_secs(30);
/// How many steps before and behind ours an authenticator's clock may be.
const DRIFT: u64 = 1;
/// Six digits.
const CODES: u32 = 1_000_000;
/// RFC 4648: no 0, 1, 8 and 9.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What staff sign in with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignIn {
    /// Their stored password.
    #[default]
    Password,
    /// A short-lived password that the portal handed out.
    Token,
}

/// By what a staff member has shown who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownBy {
    /// Their stored password, and the code of that step of their second factor.
    Code(u64),
    /// The identity provider, which knows them by that: the digest of its issuer and of the subject it names.
    Subject([u8; 32]),
}

impl ShownBy {
    /// The step of the second factor's code, if it was one.
    pub fn code(self) -> Option<u64> {
        match self {
            ShownBy::Code(step) => Some(step),
            ShownBy::Subject(_) => None,
        }
    }
}

/// The newest short-lived password of a staff member; older ones count no more.
#[derive(Clone, PartialEq)]
pub struct Token {
    /// `SCRAM-SHA-256$4096:salt$stored:server`; empty once erased, which no password matches.
    pub verifier: String,
    /// When it was handed out.
    pub issued: Timestamp,
    /// Nobody signs in with it from then on; brought forward when its staff member is suspended.
    pub until: Timestamp,
    /// The event that says so.
    pub sequence: Sequence,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(*** until {})", self.until)
    }
}

/// A staff member's second factor.
#[derive(Clone, PartialEq)]
pub struct SecondFactor {
    /// What the authenticator has as well; empty once erased, which no code matches.
    pub secret: Vec<u8>,
    /// The step of the last code that was used; that one and those before are not taken again.
    pub used: u64,
    /// The event that gave it.
    pub sequence: Sequence,
}

impl fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecondFactor(***, used {})", self.used)
    }
}

impl SecondFactor {
    /// The step whose code that is, about now; none: it is no code of now. Whether it was used before is another
    /// question: [`SecondFactor::used`].
    pub fn step_of(&self, code: &str, now: Timestamp) -> Option<u64> {
        let this = step_at(now);
        let mut steps = this.saturating_sub(DRIFT)..=this.saturating_add(DRIFT);
        steps.rfind(|step| self.shows(*step, code))
    }

    fn shows(&self, step: u64, code: &str) -> bool {
        let expected = code_of(&self.secret, step);
        verify_slices_are_equal(expected.as_bytes(), code.as_bytes()).is_ok() && !self.secret.is_empty()
    }
}

/// The step of that moment.
pub fn step_at(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or_default() / 1_000_000 / STEP.as_secs()
}

/// The code an authenticator with that secret shows in that step.
pub fn code_of(secret: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag.last().copied().unwrap_or_default() & 0xf);
    let four = tag.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % CODES)
}

/// The secret as people type it into an authenticator, if they cannot scan it.
pub fn base32(secret: &[u8]) -> String {
    let letter = |five: u8| char::from(BASE32.get(usize::from(five & 31)).copied().unwrap_or_default());
    let mut text = String::new();
    for group in secret.chunks(5) {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)) << (8 * (5 - group.len()));
        let letters = (group.len() * 8).div_ceil(5);
        text.extend((0..letters).map(|at| letter((bits >> (35 - 5 * at) & 31) as u8)));
    }
    text
}

impl Staff {
    /// The stored verifier that a sign-in of that kind is held against; none: there is nothing that fits. Whether a
    /// short-lived password is over says [`Token::until`].
    pub fn verifier_for(&self, sign_in: SignIn) -> Option<&str> {
        match sign_in {
            SignIn::Password => Some(&self.verifier),
            SignIn::Token => self.standing.token.as_ref().map(|token| token.verifier.as_str()),
        }
    }

    /// The same for sign-ins now; none as well for a short-lived password that is over.
    pub fn verifier_at(&self, sign_in: SignIn, now: Timestamp) -> Option<&str> {
        let is_over = self.standing.token.as_ref().is_none_or(|token| token.until <= now);
        self.verifier_for(sign_in).filter(|_| sign_in == SignIn::Password || !is_over)
    }
}

impl Standing {
    /// The side row of a short-lived password. Each carries on as whom the identity provider knows them, since those before
    /// it are erased.
    pub fn token_side(&self, shown: ShownBy, verifier: String) -> Personal {
        let subject = match shown {
            ShownBy::Code(_) => self.subject,
            ShownBy::Subject(subject) => Some(subject),
        };
        let subject = subject.map(|subject| subject.to_vec().into());
        Personal { verifier: Some(verifier), subject, ..Personal::default() }
    }
}

impl State {
    /// Whom of those who are here the identity provider knows by that.
    pub fn staff_of_subject(&self, subject: [u8; 32]) -> Option<&Staff> {
        self.all_staff().find(|staff| staff.active && staff.standing.subject == Some(subject))
    }

    /// A short-lived password is the portal's to hand out, which signs it; to whoever works, for a while.
    pub(super) fn check_token(
        &self,
        event: &Event,
        (id, until, code): (StaffId, Timestamp, Option<u64>),
        personal: Option<&Personal>,
    ) -> Result<(), Rule> {
        if event.by != By::Staff(id) {
            return Err(not_yours(event));
        }
        let standing = &self.working_staff(id)?.standing;
        if until <= event.at {
            return Err(Rule::AlreadyOver);
        }
        if until > event.at.plus(TOKEN_MAX) {
            return Err(Rule::TokenTooLong);
        }
        match (code, &standing.second_factor) {
            (None, _) => {}
            (Some(_), None) => return Err(Rule::NoSecondFactor(id)),
            (Some(step), Some(factor)) if step <= factor.used => return Err(Rule::CodeUsed),
            (Some(_), Some(_)) => {}
        }
        let Some(personal) = personal else { return Ok(()) };
        required(&personal.verifier, "password verifier")?;
        let subject = personal.subject()?;
        // Names are the provider's to change, and to give to somebody else; what it knows somebody by is not.
        if standing.subject.is_some() && standing.subject != subject { Err(Rule::SubjectChanged(id)) } else { Ok(()) }
    }

    /// A second factor is the operator's to give and to take.
    pub(super) fn check_second_factor(
        &self,
        event: &Event,
        (id, is_given): (StaffId, bool),
        personal: Option<&Personal>,
    ) -> Result<(), Rule> {
        only_operator(event)?;
        let standing = &self.active_staff(id)?.standing;
        if !is_given {
            return standing.second_factor.as_ref().map(drop).ok_or(Rule::NoSecondFactor(id));
        }
        let fits =
            |personal: &Personal| personal.second_factor.as_ref().is_some_and(|secret| secret.len() == SECRET_BYTES);
        if personal.is_none_or(fits) { Ok(()) } else { Err(TextFault::Missing("second factor's secret").into()) }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
