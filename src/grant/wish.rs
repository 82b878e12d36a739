//! What staff want for themselves, as drafts for the register: the command line and the gate's desk build the same.
//! Not here: whether it is allowed (`asking`, `apply`), and how it is recorded and written (`register/`).

use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;

use super::code::{CODE_MISSES_MAX, Code};
use super::consent::By;
use super::event::{Draft, What};
use super::glass::GlassStep;
use super::personal::Personal;
use super::request::{Channel, RequestStep};
use super::rule::Rule;
use super::scope::{Purpose, Scope};
use super::state::State;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, GlassId, GrantId, RequestId, StaffId};
use crate::secret::Secret;

/// Why it is wanted, in words the owner reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// As one word.
    pub purpose: Purpose,
    /// In a sentence.
    pub reason: String,
    /// The ticket it belongs to.
    pub ticket: String,
}

impl Why {
    fn personal(&self) -> Personal {
        Personal { reason: Some(self.reason.clone()), ticket: Some(self.ticket.clone()), ..Personal::default() }
    }
}

/// What is asked of an account owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// How far.
    pub scope: Scope,
    /// How long, from the owner's answer on.
    pub lasting: Duration,
    /// How long an answer is of use.
    pub start_within: Duration,
    /// How the customer's wish came.
    pub channel: Channel,
    /// Why.
    pub why: Why,
    /// Why metadata is not enough; empty: not said.
    pub necessity: String,
}

impl Wish {
    /// Asks for it.
    pub fn asked(&self, (staff, customer): (StaffId, CustomerId), now: Timestamp) -> Draft {
        let Wish { scope, lasting, start_within, channel, why, necessity } = self;
        let what = What::RequestOpened {
            staff,
            customer,
            scope: *scope,
            lasting: *lasting,
            start_by: now.plus(*start_within),
            purpose: why.purpose,
            channel: *channel,
        };
        let necessity = Some(necessity.clone()).filter(|text| !text.is_empty());
        Draft { by: By::Staff(staff), what, personal: Some(Personal { necessity, ..why.personal() }) }
    }
}

/// What became of digits that somebody gave for a one-time code.
pub enum Tried {
    /// They are the code's: the draft, and the key to sign it with.
    Fits(Box<Ed25519KeyPair>, Draft),
    /// They are not: the draft that counts the miss, and what to tell.
    Missed(Draft, String),
}

/// Tries the digits of a one-time code. Takes as long as a guess does; not on a thread that serves others.
///
/// # Errors
/// What to tell, if no digits are looked at: a try of somebody whom it could not serve must not use the code up.
pub fn try_code(
    state: &State,
    (staff, customer): (StaffId, CustomerId),
    digits: &Secret<String>,
    why: &Why,
    now: Timestamp,
) -> Result<Tried, String> {
    if !state.serves(staff, customer) {
        return Err(Rule::NotInTeam { staff, customer }.to_string());
    }
    let code = state.live_code(customer, now).ok_or_else(|| no_code(state, customer))?;
    let by = By::Staff(staff);
    Ok(match code.key_of(digits) {
        None => Tried::Missed(Draft { by, what: What::CodeMissed { code: code.id }, personal: None }, missed(code)),
        Some(key) => {
            let what = What::CodeRedeemed { code: code.id, staff, purpose: why.purpose };
            Tried::Fits(Box::new(key), Draft { by, what, personal: Some(why.personal()) })
        }
    })
}

fn no_code(state: &State, customer: CustomerId) -> String {
    let name = state.customer(customer).map_or("?", |customer| &customer.name);
    format!(
        "no one-time code of \"{name}\" is in force: ask its account owner to make one in the portal; it lives 10 minutes"
    )
}

fn missed(code: &Code) -> String {
    match CODE_MISSES_MAX.saturating_sub(code.misses).saturating_sub(1) {
        0 => "that is not the code, and it was the last try: ask the account owner for a new one".to_owned(),
        left => format!("that is not the code: {left} more tries before it is worth nothing"),
    }
}

/// Opens a grant for oneself, where the account owner lets staff do so.
pub fn opened(
    (staff, customer): (StaffId, CustomerId),
    (scope, lasting): (Scope, Duration),
    why: &Why,
    now: Timestamp,
) -> Draft {
    let what = What::GrantIssued { staff, customer, scope, ends: now.plus(lasting), purpose: why.purpose };
    Draft { by: By::Staff(staff), what, personal: Some(why.personal()) }
}

/// Asks for access in an emergency, which somebody else has to confirm.
pub fn in_emergency((staff, customer): (StaffId, CustomerId), (scope, lasting): (Scope, Duration), why: &Why) -> Draft {
    let what = What::Glass(GlassStep::Asked { staff, customer, scope, lasting, purpose: why.purpose });
    Draft { by: By::Staff(staff), what, personal: Some(why.personal()) }
}

/// Confirms what somebody else asked for in an emergency.
pub fn confirmed(staff: StaffId, glass: GlassId) -> Draft {
    Draft { by: By::Staff(staff), what: What::Glass(GlassStep::Confirmed { glass }), personal: None }
}

/// Answers what an owner asked back about one's own request.
pub fn answered(staff: StaffId, request: RequestId, text: String) -> Draft {
    let personal = Personal { message: Some(text), ..Personal::default() };
    let what = What::Request { request, step: RequestStep::Answered };
    Draft { by: By::Staff(staff), what, personal: Some(personal) }
}

/// Takes one's own request back.
pub fn withdrawn(staff: StaffId, request: RequestId) -> Draft {
    Draft { by: By::Staff(staff), what: What::Request { request, step: RequestStep::Withdrawn }, personal: None }
}

/// Gives one's own grant back.
pub fn released(staff: StaffId, grant: GrantId) -> Draft {
    Draft { by: By::Staff(staff), what: What::GrantEnded { grant }, personal: None }
}

/// Doubts what the owners of that customer want.
pub fn doubted(staff: StaffId, customer: CustomerId, reason: String) -> Draft {
    let personal = Personal { reason: Some(reason), ..Personal::default() };
    Draft { by: By::Staff(staff), what: What::InstructionQuestioned { customer }, personal: Some(personal) }
}

#[cfg(test)]
#[path = "wish_tests.rs"]
mod tests;
