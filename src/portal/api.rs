//! The JSON API of an owner: the switch, the history, who is in now. Authority is an owner's bearer token.
//! Not here: cookies; a browser's session is no authority for these addresses, so no other site can use it.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Path, RawQuery, State as Shared};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::consent::{Wish, consent_json, rfc3339, timestamp, unknown};
use super::error::Error;
use super::history::{Entry, Live, Place, Range};
use super::{BODY_BYTES_MAX, Portal, sign_in, words};
use crate::audit::record::Bind;
use crate::grant::{Customer, Owner, State};
use crate::ids::{SessionId, StaffId};

/// Entries of a history when the request does not say how many.
const LIMIT_DEFAULT: usize = 50;
/// Entries of a history at most.
pub const LIMIT_MAX: usize = 500;

/// The addresses under `/v1`.
pub fn routes() -> Router<Portal> {
    Router::new()
        .route("/v1/customers/{id}/consent", get(consent).put(set_consent))
        .route("/v1/customers/{id}/history", get(history))
        .route("/v1/customers/{id}/sessions", get(sessions))
        .route("/v1/customers/{id}/sessions/{session}/end", post(end_session))
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(format!("{value}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The owner whose token the request carries, and the state it was judged by.
pub struct Bearer {
    pub(super) owner: Owner,
    pub(super) state: Arc<State>,
}

impl FromRequestParts<Portal> for Bearer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Bearer, Error> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let mut state = portal.state();
        if header.is_some() && sign_in::owner_of_token(&state, header).is_err() {
            state = portal.newest_state().await;
        }
        let owner = sign_in::owner_of_token(&state, header)?;
        Ok(Bearer { owner, state })
    }
}

impl Bearer {
    /// The customer of that name or id, if it is this owner's own. Others are not looked for at all.
    pub(super) fn customer(&self, id: &str) -> Result<&Customer, Error> {
        self.state
            .customer(self.owner.customer)
            .filter(|customer| {
                customer.name == id || customer.id.to_string() == id || customer.was_called(id).is_some()
            })
            .ok_or(Error::NotFound("customer"))
    }
}

async fn consent(bearer: Bearer, Shared(portal): Shared<Portal>, Path(id): Path<String>) -> Result<Response, Error> {
    portal.fresh()?;
    let customer = bearer.customer(&id)?;
    Ok(json(StatusCode::OK, &consent_json(&bearer.state, customer, &customer.consent)))
}

async fn set_consent(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let customer = bearer.customer(&id)?;
    let wish = Wish::from_json(&body.map_err(too_large)?, portal.now())?;
    let consent = portal.set_consent(&bearer.owner, customer, wish).await?;
    Ok(json(StatusCode::OK, &consent_json(&portal.state(), customer, &consent)))
}

async fn history(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    uri: Uri,
) -> Result<Response, Error> {
    let customer = bearer.customer(&id)?;
    let range = range(query.is_some(), &uri)?;
    let (history, next) = portal.history(&bearer.owner, range).await?;
    let entries: Vec<_> = history.entries.iter().map(|entry| entry_json(&bearer.state, entry)).collect();
    let customer = json!({"id": customer.id.to_string(), "name": customer.name});
    let (next, left_out) = (next.map(|place| place.cursor()), history.left_out);
    let body = json!({"customer": customer, "entries": entries, "next": next, "left_out": left_out});
    Ok(json(StatusCode::OK, &body))
}

async fn sessions(bearer: Bearer, Shared(portal): Shared<Portal>, Path(id): Path<String>) -> Result<Response, Error> {
    let customer = bearer.customer(&id)?;
    let live = portal.sessions(customer.id).await?;
    let sessions: Vec<_> = live.iter().map(|live| live_json(&bearer.state, live)).collect();
    let customer = json!({"id": customer.id.to_string(), "name": customer.name});
    Ok(json(StatusCode::OK, &json!({"customer": customer, "sessions": sessions})))
}

async fn end_session(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path((id, session)): Path<(String, String)>,
) -> Result<Response, Error> {
    let customer = bearer.customer(&id)?;
    let session: SessionId = session.parse().map_err(|_| Error::NotFound("session"))?;
    if !portal.end_session(&bearer.owner, customer.id, session).await? {
        return Err(Error::NotFound("session"));
    }
    Ok(json(StatusCode::OK, &json!({"session": session.to_string(), "ended": true})))
}

/// The path is one of the API's, the method is not.
pub async fn no_such_method(method: Method) -> Error {
    Error::Method(method.to_string())
}

/// A body that may be left out.
pub(super) fn optional<T: DeserializeOwned + Default>(
    body: Result<Bytes, BytesRejection>,
    hint: &str,
) -> Result<T, Error> {
    let body = body.map_err(too_large)?;
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body).map_err(|error| Error::client("not-json", error.to_string(), hint))
}

/// A body that did not arrive whole.
pub fn too_large(rejection: BytesRejection) -> Error {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::TooLarge { limit: BODY_BYTES_MAX };
    }
    Error::client("body", "the request body did not arrive whole", "Send it again.")
}

fn range(asked: bool, uri: &Uri) -> Result<Range, Error> {
    let mut range = Range { limit: LIMIT_DEFAULT, ..Range::default() };
    if !asked {
        return Ok(range);
    }
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| Error::client("not-a-query", error.body_text(), "Encode the query as in a form."))?;
    for (name, value) in &pairs.0 {
        match name.as_str() {
            "since" => range.since = Some(timestamp("since", value)?),
            "until" => range.until = Some(timestamp("until", value)?),
            "limit" => range.limit = limit(value)?,
            "before" => range.before = Some(cursor(value)?),
            _ => return Err(unknown("parameter", name, &["since", "until", "limit", "before"])),
        }
    }
    Ok(range)
}

fn limit(text: &str) -> Result<usize, Error> {
    text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
        let hint = format!("Give a number from 1 to {LIMIT_MAX}; \"next\" of each answer leads on.");
        Error::client("limit", "\"limit\" is not a number in its range", hint)
    })
}

/// Reads a page's cursor.
pub fn cursor(text: &str) -> Result<Place, Error> {
    let hint = "Use the \"next\" of the answer before, unchanged.";
    Place::from_cursor(text).ok_or_else(|| Error::client("before", "\"before\" is not a place in the history", hint))
}

fn live_json(state: &State, live: &Live) -> Value {
    json!({
        "session": live.session.to_string(),
        "staff": {"id": live.staff.to_string(), "name": state.staff(live.staff).map(|staff| &staff.name)},
        "grant": live.grant.to_string(),
        "scope": live.scope.word(),
        "since": rfc3339(live.since),
        "address": live.address,
        "application": live.application,
        "statements": live.statements,
    })
}

fn entry_json(state: &State, entry: &Entry) -> Value {
    let (record, skeleton, values) = (&entry.record, &entry.record.skeleton, &entry.record.values);
    let staff = skeleton.staff.map(|id| json!({"id": StaffId(id).to_string(), "name": words::who(state, record)}));
    let done = entry.outcome.as_ref();
    json!({
        "at": rfc3339(record.at),
        "log": entry.place.log,
        "position": entry.place.position,
        "kind": record.kind.word(),
        "summary": words::headline(state, entry),
        "session": skeleton.session.map(|id| id.to_string()),
        "frame": skeleton.frame,
        "staff": staff,
        "owner": skeleton.owner.map(|id| format!("o{id}")),
        "grant": skeleton.grant.map(|id| format!("g{id}")),
        "scope": skeleton.scope,
        "purpose": skeleton.purpose,
        "reason": values.reason,
        "ticket": values.ticket,
        "verb": skeleton.verb,
        "text": values.text.as_deref().map(words::text),
        "text_hex": values.text.as_deref().filter(|text| std::str::from_utf8(text).is_err()).map(words::hex),
        "encoding": values.encoding,
        "relations": skeleton.relations,
        "binds": values.binds.as_ref().map(|binds| binds.iter().map(bind_json).collect::<Vec<_>>()),
        "address": values.address,
        "application": values.application,
        "message": values.message,
        "outcome": done.map(|done| json!({
            "result": done.skeleton.result,
            "tag": done.skeleton.tag,
            "sqlstate": done.skeleton.sqlstate,
            "message": done.values.message,
            "rows": done.skeleton.rows,
            "bytes": done.skeleton.bytes,
            "duration_us": done.skeleton.duration_us,
        })),
        "sqlstate": skeleton.sqlstate,
        "fate": skeleton.fate,
        "fault": entry.fault,
    })
}

fn bind_json(bind: &Bind) -> Value {
    json!({
        "type_oid": bind.type_oid,
        "format": if bind.format == 0 { "text" } else { "binary" },
        "value": bind.value.as_ref().map(|_| words::bind(bind)),
        "hex": bind.value.as_deref().map(words::hex),
    })
}
