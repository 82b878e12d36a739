//! Staff who come with their stored password and a code of their second factor.
//! Not here: what such a code is (`grant/token.rs`), and the password they get (`staff`). Whoever has the password alone
//! learns nothing from the answer, which is the same whatever is wrong; what it was stands in the record.

use std::net::IpAddr;

use super::wrong_codes::{Looked, WrongCodes};
use super::{Credentials, Handed, Shown};
use crate::clock::Timestamp;
use crate::grant::{ShownBy, Staff, State};
use crate::portal::Portal;
use crate::portal::error::Error;
use crate::secret::Secret;
use crate::wire::scram::{ITERATIONS, Verifier};

/// The longest name, password and code looked at, in bytes.
const FIELD_BYTES_MAX: usize = 1024;

/// Why there is no password, for the record alone.
struct Wrong {
    code: &'static str,
    message: &'static str,
    /// Whose password it was, if it was right.
    staff: Option<Staff>,
}

impl Portal {
    pub(super) async fn by_code(&self, wanted: Credentials, address: IpAddr) -> Result<Handed, Error> {
        self.by_codes()?;
        let Credentials { name, password, code } = wanted;
        let (name, password, code) = (name.trim().to_owned(), Secret::new(password), Secret::new(code));
        if [&name, password.expose(), code.expose()].into_iter().any(|field| field.len() > FIELD_BYTES_MAX) {
            return Err(Error::client("too-long", "that is longer than any of ours", "Type what you have."));
        }
        self.admit(address, &name)?;
        let state = self.newest_state().await;
        match self.shown_by_code(&state, &name, (password, &code)).await? {
            Ok(shown) => {
                self.succeeded(address, &name, self.now());
                let handed = self.hand_out(&state, shown, address).await;
                // By the register's rules something of it counts no more, such as a code that was used this very moment.
                handed.map_err(|fault| if matches!(fault, Error::Refused(_)) { not_these() } else { fault })
            }
            Err(Wrong { code, message, staff }) => {
                self.record_refusal(code, message, Some((&name, staff.as_ref())), address).await;
                Err(not_these())
            }
        }
    }

    /// Who has shown by both who they are.
    async fn shown_by_code(
        &self,
        state: &State,
        name: &str,
        (password, code): (Secret<String>, &Secret<String>),
    ) -> Result<Result<Shown, Wrong>, Error> {
        let staff = state.staff_named(name).filter(|staff| staff.works()).cloned();
        let Some(staff) = self.with_password(state, staff, name, password).await? else {
            let message = "that name and password do not belong together";
            return Ok(Err(Wrong { code: "wrong-password", message, staff: None }));
        };
        Ok(match step_of(&self.by_codes()?.wrong_codes, &staff, code, self.now()) {
            Ok(step) => Ok(Shown { staff, by: ShownBy::Code(step), how: "password and second factor".to_owned() }),
            Err((code, message)) => Err(Wrong { code, message, staff: Some(staff) }),
        })
    }

    /// The staff member, if the password is theirs. A name that is not there costs the same work.
    async fn with_password(
        &self,
        state: &State,
        staff: Option<Staff>,
        name: &str,
        password: Secret<String>,
    ) -> Result<Option<Staff>, Error> {
        let stored = staff.as_ref().and_then(|staff| staff.verifier.parse::<Verifier>().ok());
        let verifier = stored.unwrap_or_else(|| Verifier::mock(state.seed(), name, ITERATIONS));
        let _turn = self.0.passwords.turn("the sign-in").await?;
        let fits = tokio::task::spawn_blocking(move || verifier.fits(password.expose())).await;
        let fits = fits.map_err(|error| Error::Bug(format!("a password check did not end: {error}")))?;
        Ok(staff.filter(|_| fits))
    }
}

/// The step whose code that is; or the word and the text of why it is none that counts.
fn step_of(
    wrong_codes: &WrongCodes,
    staff: &Staff,
    code: &Secret<String>,
    now: Timestamp,
) -> Result<u64, (&'static str, &'static str)> {
    let factor = staff.standing.second_factor.as_ref().ok_or(("no-second-factor", "they have no second factor"))?;
    // Authenticators show it in two halves.
    let digits: Secret<String> = Secret::new(code.expose().chars().filter(|c| !c.is_whitespace()).collect());
    match wrong_codes.look(staff.id, now, || factor.step_of(digits.expose(), now)) {
        Looked::Blocked => Err(("codes-blocked", "there were too many wrong codes lately: none was looked at")),
        Looked::Wrong => Err(("wrong-code", "that is no code of now")),
        Looked::Fits(step) if step <= factor.used => Err(("code-used", "that code was used already")),
        Looked::Fits(step) => Ok(step),
    }
}

/// What everybody is told who does not have all three.
fn not_these() -> Error {
    let message = "that name, password and code do not belong together, or not now".to_owned();
    let hint = "Try again with the next code that your authenticator shows; if that does not help, in a quarter of an hour. An \
                operator finds in the audit log what was wrong.";
    Error::Denied { code: "not-these", message, hint: hint.to_owned() }
}

#[cfg(test)]
#[path = "by_code_tests.rs"]
mod tests;
