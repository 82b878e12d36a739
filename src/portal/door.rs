//! `POST /v1/access`: doors that are not SQL. The vendor's own application asks before it shows a customer's data to
//! staff, is answered by the same decision as the gate, and the answer is recorded before it is given.
//! Not here: opening grants. Authority is the application's token, whose SHA-256 the configuration holds.

use std::net::IpAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Portal;
use super::api::{json, too_large};
use super::consent::rfc3339;
use super::error::Error;
use super::session::sha256;
use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::grant::{
    Ask, Authorized, Customer, Decision, Limits, Locks, Observed, Refusal, Staff, State, decide_observing,
};
use crate::ids::{CustomerId, StaffId};

/// The longest name of a door, and the longest description of what is done there, in characters.
const TEXT_MAX: usize = 200;

/// What the door is held against.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// SHA-256 of the token of the vendor's application; none: it has none, and nothing is answered.
    pub token: Option<[u8; 32]>,
    /// The limits of the decision, as the gate has them.
    pub limits: Limits,
}

/// The address under `/v1`.
pub fn routes() -> Router<Portal> {
    Router::new().route("/v1/access", post(access))
}

/// What the application asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// The staff member's name.
    staff: String,
    /// The customer's name.
    customer: String,
    /// The door, such as `admin-panel`.
    door: String,
    /// What they are about to do there, such as `log in as customer`.
    action: String,
    /// Where they are.
    address: IpAddr,
}

async fn access(
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    authorised(&portal, &headers)?;
    let wish = read(&body.map_err(too_large)?)?;
    let state = portal.newest_state().await;
    // Nobody has these numbers: who or what is not known is refused by the decision itself.
    let staff = state.staff_named(&wish.staff).map_or(StaffId(u64::MAX), |staff| staff.id);
    let customer = state.customer_named(&wish.customer).map_or(CustomerId(u64::MAX), |customer| customer.id);
    let now = portal.now();
    let ask = Ask {
        staff,
        customer,
        address: wish.address,
        grant: None,
        connections: 0,
        register_read: portal.0.follower.last_read(),
        // Whoever is at that door was signed in by the vendor's own application.
        credential: Timestamp::NEVER,
        locks: &Locks::default(),
    };
    let (decision, observed) = decide_observing(&state, &ask, &portal.0.door.limits, portal.0.observing, now);
    // An attempt by a name that it no longer has is its owner's to see; the new one is told for whom looks after it.
    let former = state.customer_formerly(&wish.customer).filter(|_| customer.0 == u64::MAX);
    let concerned = former.map_or(customer, |former| former.id);
    let may_know = |former: &&Customer| state.staff(staff).is_some_and(Staff::works) && state.serves(staff, former.id);
    let renamed = former.filter(may_know).map(|former| former.name.as_str());
    let mut record = Record::new(now, Kind::SignedIn, state.sealed_for(concerned));
    fill(&mut record, &wish, (&state, staff));
    if let Some(observed) = &observed {
        write(&portal, observe(&record, &state, observed)).await?;
    }
    let (status, answer) = match decision {
        Decision::Allow(allowed) => {
            allow(&mut record, &state, &allowed, observed.as_ref());
            (StatusCode::OK, allowed_json(&state, &allowed, observed.as_ref()))
        }
        Decision::Refuse(refusal) => {
            record.kind = Kind::Refused;
            let renamed_too = former.map(|_| "renamed".to_owned());
            let codes: Vec<String> = std::iter::once(refusal.code()).chain(renamed_too).collect();
            record.skeleton.verb = Some(codes.join(","));
            record.skeleton.result = Some("refused".to_owned());
            (StatusCode::FORBIDDEN, refused_json(&state, &refusal, renamed))
        }
    };
    write(&portal, record).await?;
    Ok(json(status, &answer))
}

async fn write(portal: &Portal, record: Record) -> Result<(), Error> {
    let unwritten = |fault: crate::log::Error| Error::Unavailable { place: "the audit log", cause: fault.to_string() };
    portal.0.acts.record(record).await.map_err(unwritten)
}

fn authorised(portal: &Portal, headers: &HeaderMap) -> Result<(), Error> {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = sent.and_then(|sent| sent.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let fits = |(_, token): (&str, &str)| portal.0.door.token == Some(sha256(token.trim().as_bytes()));
    if token.is_some_and(fits) {
        Ok(())
    } else {
        Err(Error::SignInNeeded("this address needs the token of the vendor's application"))
    }
}

fn read(body: &[u8]) -> Result<Wish, Error> {
    let hint = "Send {\"staff\", \"customer\", \"door\", \"action\", \"address\"}, each a text.";
    let wish: Wish =
        serde_json::from_slice(body).map_err(|fault| Error::client("not-a-wish", fault.to_string(), hint))?;
    for (name, text) in [("door", &wish.door), ("action", &wish.action)] {
        let fits = (1..=TEXT_MAX).contains(&text.trim().chars().count()) && !text.chars().any(char::is_control);
        if !fits {
            let message = format!("\"{name}\" must be 1 to {TEXT_MAX} characters on one line");
            return Err(Error::client("not-a-wish", message, hint));
        }
    }
    Ok(wish)
}

/// The same fields as a session's first record has.
fn fill(record: &mut Record, wish: &Wish, (state, staff): (&State, StaffId)) {
    record.skeleton.staff = state.staff(staff).map(|staff| staff.id.0);
    record.skeleton.sequence = Some(state.sequence().0);
    let values = &mut record.values;
    values.staff = Some(wish.staff.clone());
    values.customer = Some(wish.customer.clone());
    values.application = Some(wish.door.clone());
    values.address = Some(wish.address.to_string());
    values.message = Some(wish.action.clone());
}

/// What would have stood in the way of somebody who is let in during a roll-out, as the gate records it.
fn observe(record: &Record, state: &State, observed: &Observed) -> Record {
    let mut record = Record { kind: Kind::Observed, ..record.clone() };
    record.skeleton.verb = Some(observed.refusal.code());
    record.skeleton.result = Some("let in".to_owned());
    record.skeleton.scope = Some(observed.grant.scope.word().to_owned());
    record.skeleton.purpose = Some("observed".to_owned());
    let (door, action) = (record.values.application.as_deref(), record.values.message.as_deref());
    let (door, action) = (door.unwrap_or_default(), action.unwrap_or_default());
    record.values.message = Some(format!("{} At {door}: {action}", observed.refusal.detail(state)));
    tracing::warn!(staff = %observed.grant.staff, customer = %observed.grant.customer, door, "observed");
    record
}

fn allow(record: &mut Record, state: &State, allowed: &Authorized, observed: Option<&Observed>) {
    record.skeleton.verb = Some("access".to_owned());
    record.skeleton.result = Some("allowed".to_owned());
    record.skeleton.scope = Some(allowed.scope().word().to_owned());
    let (grant, purpose) = match observed {
        Some(observed) => (Some(&observed.grant), "observed"),
        None => {
            record.skeleton.grant = Some(allowed.grant().0);
            let grant = state.grant(allowed.grant());
            (grant, grant.map_or("", |grant| grant.purpose.word()))
        }
    };
    if let Some(grant) = grant {
        record.skeleton.purpose = Some(purpose.to_owned());
        (record.values.reason, record.values.ticket) = (Some(grant.reason.clone()), Some(grant.ticket.clone()));
    }
}

/// With `observed` where no owner allowed it, and only the roll-out lets them in: who shows that to staff says so.
fn allowed_json(state: &State, allowed: &Authorized, observed: Option<&Observed>) -> Value {
    json!({
        "allow": true,
        "grant": Some(allowed.grant()).filter(|grant| !grant.is_unissued()).map(|grant| grant.to_string()),
        "scope": allowed.scope().word(),
        "until": rfc3339(allowed.until()),
        // What is known may be out of date by then.
        "ask_again_at": rfc3339(allowed.deadline()),
        "observed": observed.map(|observed| json!({
            "message": "OBSERVED: this is a roll-out; no account owner has allowed this access, and without the roll-out \
                        it would be refused",
            "refusal": refused_json(state, &observed.refusal, None),
        })),
    })
}

/// With what the customer is called now, for those who may know it.
fn refused_json(state: &State, refusal: &Refusal, now_called: Option<&str>) -> Value {
    let one = |condition: &crate::grant::Condition| {
        let alone = Refusal { conditions: vec![condition.clone()], ..refusal.clone() };
        json!({"code": condition.code(), "detail": alone.detail(state), "hint": alone.hint(state)})
    };
    json!({
        "allow": false,
        "now_called": now_called,
        "message": refusal.message(state),
        "conditions": refusal.conditions.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
