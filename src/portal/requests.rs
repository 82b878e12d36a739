//! Answering what staff ask, one-time codes, doubts and terms: the page's forms and the API, for the own customer only.
//! Not here: what the pages look like (`requests_page`), and who may say what (`grant/asking.rs`).

use axum::Router;
use axum::extract::rejection::{BytesRejection, FormRejection};
use axum::extract::{Form, Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::Portal;
use super::api::{Bearer, json, optional};
use super::browser::{Csrf, Page, SignedIn, form, html, to};
use super::consent::{by_json, rfc3339, unknown};
use super::error::Error;
use super::requests_page;
use super::session::Notice;
use super::terms::{self, lasting, short};
use crate::clock::Timestamp;
use crate::grant::{
    CODE_LIFE, Customer, NewCode, Outcome, Owner, Personal, Request, RequestStep, Said, Scope, State, Status, What,
};
use crate::ids::{RequestId, Sequence};
use crate::register::Revision;
use crate::secret::Secret;

/// How many requests that are over the API lists.
const PAST_MAX: usize = 100;

/// The addresses of the pages.
pub fn pages() -> Router<Portal> {
    Router::new()
        .route("/requests", post(answer))
        .route("/code", post(make_code))
        .route("/doubt", post(settle_doubt))
        .route("/terms", get(terms_page).post(set_terms))
}

/// The addresses under `/v1`.
pub fn routes() -> Router<Portal> {
    Router::new()
        .route("/v1/customers/{id}/requests", get(list))
        .route("/v1/customers/{id}/requests/{request}", get(show))
        .route("/v1/customers/{id}/requests/{request}/{answer}", post(answer_by_token))
        .route("/v1/customers/{id}/code", post(make_code_by_token))
        .route("/v1/customers/{id}/doubt/answer", post(settle_doubt_by_token))
}

/// What an owner says to a request.
struct Answer {
    step: RequestStep,
    question: Option<String>,
}

impl Answer {
    /// Reads the word and what goes with it; an approval is for what was asked unless it says less.
    fn new(request: &Request, word: &str, given: Given) -> Result<Answer, Error> {
        let step = match word {
            "approve" => RequestStep::Approved {
                scope: given.scope.as_deref().map_or(Ok(request.scope), scope_of)?,
                lasting: given.lasting.as_deref().map_or(Ok(request.lasting), |text| lasting("for", text))?,
            },
            "deny" => RequestStep::Denied,
            "ask-back" => RequestStep::AskedBack,
            other => return Err(unknown("answer", other, &["approve", "deny", "ask-back"])),
        };
        let question = given.question.filter(|_| step == RequestStep::AskedBack);
        Ok(Answer { step, question })
    }
}

/// What may go with an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    scope: Option<String>,
    #[serde(rename = "for")]
    lasting: Option<String>,
    question: Option<String>,
}

fn scope_of(text: &str) -> Result<Scope, Error> {
    text.parse().map_err(|_| unknown("scope", text, Scope::WORDS))
}

impl Portal {
    /// The request, if it is one of the owner's own customer.
    fn request<'s>(&self, state: &'s State, owner: &Owner, id: &str) -> Result<&'s Request, Error> {
        let found = id.parse::<RequestId>().ok().and_then(|id| state.request(id));
        found.filter(|request| request.customer == owner.customer).ok_or(Error::NotFound("request"))
    }

    async fn say(&self, owner: &Owner, request: RequestId, answer: Answer) -> Result<(), Error> {
        if let RequestStep::Approved { .. } = answer.step {
            self.fresh()?;
        }
        let side = match answer.step {
            RequestStep::AskedBack => Some(Personal { message: answer.question, ..Personal::default() }),
            RequestStep::Approved { .. } | RequestStep::Denied | RequestStep::Answered | RequestStep::Withdrawn => None,
        };
        self.change(owner, What::Request { request, step: answer.step }, side).await.map(drop)
    }

    /// A new one-time code, and until when it can be used. Nothing keeps its digits.
    async fn code(&self, owner: &Owner, scope: Scope, lasting: Duration) -> Result<(Secret<String>, Timestamp), Error> {
        self.fresh()?;
        // It costs as much as a password check, and more memory.
        let turn = self.0.passwords.turn("the making of codes").await?;
        let entropy = std::sync::Arc::clone(&self.0.entropy);
        let made = tokio::task::spawn_blocking(move || NewCode::make(entropy.as_ref())).await;
        drop(turn);
        let made = made.map_err(|error| Error::Bug(error.to_string()))?;
        let NewCode { digits, key, salt } = made.ok_or_else(|| Error::Bug("a code makes no key".to_owned()))?;
        let (customer, expires) = (owner.customer, self.now().plus(CODE_LIFE));
        let side = Personal { salt: Some(salt.to_vec().into()), ..Personal::default() };
        self.change(owner, What::CodeCreated { customer, scope, lasting, expires, key }, Some(side)).await?;
        Ok((digits, expires))
    }
}

#[derive(Deserialize)]
struct Wanted {
    csrf: String,
    id: String,
    answer: String,
    #[serde(default)]
    lasting: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    question: String,
}

async fn answer(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<Wanted>, FormRejection>,
) -> Result<Response, Page> {
    let wanted = form(fields)?;
    signed_in.check(&portal, &headers, &wanted.csrf)?;
    let request = portal.request(&signed_in.state, &signed_in.owner, &wanted.id)?;
    let some = |text: String| Some(text).filter(|text| !text.trim().is_empty());
    let given = Given { scope: some(wanted.scope), lasting: some(wanted.lasting), question: some(wanted.question) };
    let answer = Answer::new(request, &wanted.answer, given)?;
    let notice = match answer.step {
        RequestStep::Approved { .. } => Notice::RequestApproved,
        RequestStep::Denied | RequestStep::Withdrawn => Notice::RequestDenied,
        RequestStep::AskedBack | RequestStep::Answered => Notice::RequestAskedBack,
    };
    portal.say(&signed_in.owner, request.id, answer).await?;
    portal.0.sessions.leave(&signed_in.session, notice);
    Ok(to("/"))
}

#[derive(Deserialize)]
struct WantedCode {
    csrf: String,
    scope: String,
    lasting: String,
}

async fn make_code(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<WantedCode>, FormRejection>,
) -> Result<Response, Page> {
    let wanted = form(fields)?;
    signed_in.check(&portal, &headers, &wanted.csrf)?;
    let (scope, span) = (scope_of(&wanted.scope)?, lasting("lasting", &wanted.lasting)?);
    let (digits, expires) = portal.code(&signed_in.owner, scope, span).await?;
    let page = requests_page::code(&signed_in.owner, &signed_in.session.csrf, &digits, (scope, span, expires));
    Ok(html(StatusCode::OK, page))
}

async fn settle_doubt(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<Csrf>, FormRejection>,
) -> Result<Response, Page> {
    signed_in.check(&portal, &headers, &form(fields)?.csrf)?;
    portal.fresh()?;
    let customer = signed_in.owner.customer;
    portal.change(&signed_in.owner, What::InstructionConfirmed { customer }, None).await?;
    portal.0.sessions.leave(&signed_in.session, Notice::DoubtAnswered);
    Ok(to("/"))
}

async fn terms_page(signed_in: SignedIn) -> Result<Response, Page> {
    let customer = signed_in.customer()?;
    Ok(html(StatusCode::OK, requests_page::terms(&signed_in.owner, customer, &signed_in.session.csrf)))
}

async fn set_terms(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<terms::Form>, FormRejection>,
) -> Result<Response, Page> {
    let wanted = form(fields)?;
    signed_in.check(&portal, &headers, &wanted.csrf)?;
    let (seen, terms) = (Sequence(wanted.seen), wanted.read()?);
    portal.offered(signed_in.customer()?.consent.mode_at(portal.now()))?;
    portal.revise(&signed_in.owner, seen, Revision::Terms(terms)).await?;
    portal.0.sessions.leave(&signed_in.session, Notice::TermsSaved);
    Ok(to("/"))
}

async fn list(bearer: Bearer, Shared(portal): Shared<Portal>, Path(id): Path<String>) -> Result<Response, Error> {
    portal.fresh()?;
    let customer = bearer.customer(&id)?;
    // What was asked a moment ago is there.
    let (state, now) = (&portal.newest_state().await, portal.now());
    let mut requests: Vec<_> = state.requests().filter(|request| request.customer == customer.id).collect();
    // What waits first, then the newest.
    requests.sort_by_key(|request| (!request.status(now).is_waiting(), std::cmp::Reverse(request.id)));
    requests.truncate(PAST_MAX);
    let requests: Vec<_> = requests.into_iter().map(|request| request_json(state, request, now)).collect();
    Ok(json(StatusCode::OK, &json!({"customer": customer_json(customer), "requests": requests})))
}

async fn show(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path((id, request)): Path<(String, String)>,
) -> Result<Response, Error> {
    portal.fresh()?;
    bearer.customer(&id)?;
    let state = portal.newest_state().await;
    let request = portal.request(&state, &bearer.owner, &request)?;
    Ok(json(StatusCode::OK, &request_json(&state, request, portal.now())))
}

async fn answer_by_token(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path((id, request, word)): Path<(String, String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    bearer.customer(&id)?;
    let state = portal.newest_state().await;
    let request = portal.request(&state, &bearer.owner, &request)?;
    let hint = "Send nothing, or an object such as {\"for\": \"30m\", \"scope\": \"read\"} or {\"question\": \"…\"}.";
    let answer = Answer::new(request, &word, optional(body, hint)?)?;
    portal.say(&bearer.owner, request.id, answer).await?;
    let state = portal.newest_state().await;
    let request = portal.request(&state, &bearer.owner, &request.id.to_string())?;
    Ok(json(StatusCode::OK, &request_json(&state, request, portal.now())))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CodeWanted {
    scope: Option<String>,
    #[serde(rename = "for")]
    lasting: Option<String>,
}

async fn make_code_by_token(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    bearer.customer(&id)?;
    let wanted: CodeWanted =
        optional(body, "Send nothing, or an object such as {\"for\": \"1h\", \"scope\": \"read\"}.")?;
    let scope = wanted.scope.as_deref().map_or(Ok(Scope::Read), scope_of)?;
    let span = wanted.lasting.as_deref().map_or(Ok(Duration::from_secs(3600)), |text| lasting("for", text))?;
    let (digits, expires) = portal.code(&bearer.owner, scope, span).await?;
    let code = json!({"code": digits.expose(), "scope": scope.word(), "for": short(span), "expires": rfc3339(expires)});
    Ok(json(StatusCode::OK, &code))
}

async fn settle_doubt_by_token(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let customer = bearer.customer(&id)?.id;
    portal.fresh()?;
    portal.change(&bearer.owner, What::InstructionConfirmed { customer }, None).await?;
    Ok(json(StatusCode::OK, &json!({"customer": customer.to_string(), "answered": true})))
}

fn customer_json(customer: &Customer) -> Value {
    json!({"id": customer.id.to_string(), "name": customer.name})
}

/// A request as the API shows it.
fn request_json(state: &State, request: &Request, now: Timestamp) -> Value {
    let status = request.status(now);
    let grant = match status {
        Status::Over(Outcome::Granted(grant)) => Some(grant.to_string()),
        Status::Over(Outcome::Denied(_) | Outcome::Withdrawn)
        | Status::Open
        | Status::AskedBack
        | Status::Unanswered
        | Status::TooLate => None,
    };
    let needed = state.customer(request.customer).map(|customer| customer.consent.terms.approvals);
    let said = |said: &Said| json!({"by": by_json(state, said.by), "at": rfc3339(said.at), "text": said.text});
    json!({
        "request": request.id.to_string(),
        "status": status.word(),
        "staff": {"id": request.staff.to_string(), "name": state.staff(request.staff).map(|staff| &staff.name)},
        "scope": request.scope.word(),
        "for": short(request.lasting),
        "start_by": rfc3339(request.start_by),
        "answer_by": rfc3339(request.answer_by()),
        "purpose": request.purpose.word(),
        "channel": request.channel.word(),
        "reason": request.reason,
        "necessity": request.necessity,
        "ticket": request.ticket,
        "opened": rfc3339(request.opened),
        "approvals": state.approvers(request).len(),
        "approvals_needed": needed,
        "said": request.said.iter().map(said).collect::<Vec<_>>(),
        "grant": grant,
    })
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
