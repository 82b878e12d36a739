//! Who a client is: SCRAM against a stored verifier, of a password or of a short-lived one, and how long that carries.
//! Not here: what they may do then (`proxy/sign_in.rs`), and who hands out short-lived passwords (the portal).

use crate::clock::Timestamp;
use crate::entropy;
use crate::grant::{SignIn, Staff, State};
use crate::proxy::Gate;
use crate::proxy::refused::Refused;
use crate::proxy::sign_in::Client;
use crate::wire::scram::{self, ITERATIONS, Verifier};
use crate::wire::startup::StartupParameters;
use crate::wire::{Fault, response, sqlstate};

/// Somebody who proved who they are.
pub(super) struct Proved {
    pub(super) staff: Staff,
    /// Until when what they signed in with carries a session.
    pub(super) until: Timestamp,
}

/// SCRAM-SHA-256. An unknown or inactive name runs the whole exchange and fails as a wrong password does.
pub(super) async fn authenticate(
    gate: &Gate,
    client: &mut Client,
    parameters: &StartupParameters,
) -> Result<Proved, Refused> {
    let (user, address) = (&parameters.user, client.address.ip());
    if let Some(wait) = gate.attempts.blocked(address, user, gate.clock.now()) {
        return Err(Refused::TooManyAttempts(wait));
    }
    let state = gate.follower.state();
    let staff = state.staff_named(user).filter(|staff| staff.active).cloned();
    let verifier = verifier_of(gate, &state, staff.as_ref(), user);
    client.send(&response::authentication_sasl(&[scram::MECHANISM])).await?;
    let first = scram::initial_response(&client.frame().await?).map_err(Refused::Protocol)?;
    let nonce = entropy::random(&*gate.entropy);
    let (challenged, challenge) = scram::challenge(&first, verifier, nonce).map_err(Refused::Protocol)?;
    client.send(&response::authentication_sasl_continue(&challenge)).await?;
    let last = scram::response(&client.frame().await?).map_err(Refused::Protocol)?;
    match (challenged.prove(&last, user), staff) {
        (Ok(signature), Some(staff)) => {
            let proved = carried(gate, staff)?;
            gate.attempts.succeeded(address, user);
            client.send(&response::authentication_sasl_final(&signature)).await?;
            Ok(proved)
        }
        (Ok(_), None) => Err(unproved(gate, user, scram::wrong_password(user))),
        (Err(fault), _) => {
            gate.attempts.failed(address, user, gate.clock.now());
            Err(unproved(gate, user, fault))
        }
    }
}

/// What a sign-in under that name is held against. A short-lived password that is over still is: whoever has it is told
/// that it is over, and nobody else learns that there was one.
fn verifier_of(gate: &Gate, state: &State, staff: Option<&Staff>, user: &str) -> Verifier {
    let stored = staff.and_then(|staff| staff.verifier_for(gate.settings.sign_in));
    let stored = stored.and_then(|verifier| verifier.parse().ok());
    stored.unwrap_or_else(|| Verifier::mock(state.seed(), user, ITERATIONS))
}

/// Whether what was proved still counts, and until when it carries a session. A short-lived password bounds when one signs
/// in with it; the session it opens lasts as long as the configuration says, counted from when it was handed out.
fn carried(gate: &Gate, staff: Staff) -> Result<Proved, Refused> {
    let token = match (gate.settings.sign_in, &staff.standing.token) {
        (SignIn::Password, _) => return Ok(Proved { staff, until: Timestamp::NEVER }),
        (SignIn::Token, token) => token.as_ref(),
    };
    // Looked at after the proof, and in the newest state: it may have been taken back meanwhile.
    let newest = gate.follower.state();
    let newest = newest.staff(staff.id).and_then(|staff| staff.standing.token.as_ref());
    match (token, newest) {
        (Some(token), Some(newest)) if token.sequence == newest.sequence && gate.clock.now() < newest.until => {
            let until = token.issued.plus(gate.settings.credential_lives);
            Ok(Proved { staff, until })
        }
        (Some(token), newest) => {
            let over = newest.filter(|newest| newest.sequence == token.sequence).map_or(token.until, |same| same.until);
            let portal = gate.limits.portal_url.clone();
            Err(Refused::TokenOver { staff: (staff.id.0, staff.name), until: over, portal })
        }
        (None, _) => Err(unproved(gate, &staff.name, scram::wrong_password(&staff.name))),
    }
}

/// A proof that does not hold. Where short-lived passwords are asked for, everybody is told where they come from, whether
/// there is anybody of that name or not.
fn unproved(gate: &Gate, user: &str, fault: Fault) -> Refused {
    match gate.settings.sign_in {
        SignIn::Token if fault.sqlstate() == sqlstate::INVALID_PASSWORD => {
            Refused::NoToken { user: user.to_owned(), portal: gate.limits.portal_url.clone() }
        }
        SignIn::Token | SignIn::Password => Refused::Protocol(fault),
    }
}
