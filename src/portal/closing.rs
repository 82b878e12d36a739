//! Closing the account and taking the data home, as pages and as an API, each for the owner's own customer only.
//! Not here: what the page looks like (`closing_page`), which steps follow (`grant/`), the files themselves (`files`).

use axum::Router;
use axum::extract::rejection::{BytesRejection, FormRejection};
use axum::extract::{Form, Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Portal;
use super::api::{Bearer, json, optional};
use super::browser::{Page, SignedIn, form, html, to};
use super::closing_page::{self, View};
use super::consent::rfc3339;
use super::error::Error;
use super::files::{self, Offered};
use crate::audit::record::{Kind, Record};
use crate::grant::{AccountStep, Choice, Customer, Owner, State};

/// The addresses of the pages.
pub fn pages() -> Router<Portal> {
    Router::new().route("/closing", get(page).post(take_step)).route("/closing/files/{name}", get(download))
}

/// The addresses under `/v1`.
pub fn routes() -> Router<Portal> {
    Router::new()
        .route("/v1/customers/{id}/account", get(account))
        .route("/v1/customers/{id}/account/{step}", post(take_step_by_token))
        .route("/v1/customers/{id}/files/{name}", get(download_by_token))
}

const STEPS: &str = "close, reopen, return, deletion, immediate, export";

/// The step of that word; whether it must be confirmed by the account's name.
fn step_of(word: &str) -> Result<(AccountStep, bool), Error> {
    Ok(match word {
        "close" => (AccountStep::Closed, true),
        "reopen" => (AccountStep::Reopened, false),
        "return" => (AccountStep::Chosen { choice: Choice::Return }, false),
        "deletion" => (AccountStep::Chosen { choice: Choice::Deletion }, false),
        "immediate" => (AccountStep::Immediate, true),
        "export" => (AccountStep::ExportRequested, false),
        _ => return Err(Error::client("step", format!("\"{word}\" is no step"), format!("Known are: {STEPS}."))),
    })
}

/// What cannot be undone is done only by whoever names the account.
fn confirmed(customer: &Customer, needed: bool, given: Option<&str>) -> Result<(), Error> {
    if !needed || given.map(str::trim) == Some(customer.name.as_str()) {
        return Ok(());
    }
    let hint = format!("Type the name of the account, {}, to confirm.", customer.name);
    Err(Error::client("confirm", "the name of the account was not given, or is another", hint))
}

/// Listing a folder waits for the disk.
async fn offered(portal: &Portal, owner: &Owner) -> Result<Vec<Offered>, Error> {
    let (archives, customer) = (portal.0.archives.clone(), owner.customer);
    let listed = tokio::task::spawn_blocking(move || files::offered(&archives, customer)).await;
    listed.map_err(|error| Error::Bug(error.to_string()))?
}

/// Sends a file, once it is recorded that it was taken. Who was removed as an owner gets none, so it must be known.
async fn taken(portal: &Portal, owner: &Owner, name: String) -> Result<Response, Error> {
    portal.fresh()?;
    let (archives, customer, wanted) = (portal.0.archives.clone(), owner.customer, name.clone());
    let opened = tokio::task::spawn_blocking(move || files::open(&archives, customer, &wanted)).await;
    let opened = opened.map_err(|error| Error::Bug(error.to_string()))??;
    let mut record = Record::new(portal.now(), Kind::Read, portal.state().sealed_for(customer));
    record.skeleton.owner = Some(owner.id.0);
    record.skeleton.verb = Some("file".to_owned());
    record.skeleton.bytes = Some(opened.1);
    record.values.owner = Some(owner.name.clone());
    record.values.message = Some(name.clone());
    let unrecorded = |cause: crate::log::Error| Error::Unavailable { place: "the audit log", cause: cause.to_string() };
    portal.0.acts.record(record).await.map_err(unrecorded)?;
    let Some(header) = files::sealed(&opened.0) else {
        return files::sent(opened, &name);
    };
    let key = portal.0.book.archive_key(owner.id, customer, header.key.clone()).await?;
    files::opened(opened, (&header, &key), &name)
}

async fn page(signed_in: SignedIn, Shared(portal): Shared<Portal>) -> Result<Response, Page> {
    let files = offered(&portal, &signed_in.owner).await?;
    let view = View {
        state: &signed_in.state,
        owner: &signed_in.owner,
        customer: signed_in.customer()?,
        csrf: &signed_in.session.csrf,
        files: &files,
    };
    Ok(html(StatusCode::OK, closing_page::closing(&view)))
}

#[derive(Deserialize)]
struct Wanted {
    csrf: String,
    step: String,
    confirm: Option<String>,
}

async fn take_step(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<Wanted>, FormRejection>,
) -> Result<Response, Page> {
    let wanted = form(fields)?;
    signed_in.check(&portal, &headers, &wanted.csrf)?;
    let (step, must_confirm) = step_of(&wanted.step)?;
    confirmed(signed_in.customer()?, must_confirm, wanted.confirm.as_deref())?;
    portal.step(&signed_in.owner, step).await?;
    Ok(to("/closing"))
}

async fn download(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    Path(name): Path<String>,
) -> Result<Response, Page> {
    Ok(taken(&portal, &signed_in.owner, name).await?)
}

async fn account(bearer: Bearer, Shared(portal): Shared<Portal>, Path(id): Path<String>) -> Result<Response, Error> {
    portal.fresh()?;
    let customer = bearer.customer(&id)?;
    let files = offered(&portal, &bearer.owner).await?;
    Ok(json(StatusCode::OK, &account_json(&bearer.state, customer, &files)))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    confirm: Option<String>,
}

async fn take_step_by_token(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path((id, word)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let customer = bearer.customer(&id)?;
    let (step, must_confirm) = step_of(&word)?;
    let given: Confirmation = optional(body, "Send nothing, or an object such as {\"confirm\": \"acme\"}.")?;
    confirmed(customer, must_confirm, given.confirm.as_deref())?;
    portal.step(&bearer.owner, step).await?;
    Ok(json(StatusCode::OK, &json!({"customer": customer.id.to_string(), "step": word, "done": true})))
}

async fn download_by_token(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Error> {
    bearer.customer(&id)?;
    taken(&portal, &bearer.owner, name).await
}

fn account_json(state: &State, customer: &Customer, files: &[Offered]) -> Value {
    let closure = customer.closure.as_ref();
    let stages = closure.map(|closure| &closure.reached).into_iter().flatten();
    let exports = state.exports_of(customer.id).map(|export| {
        json!({
            "export": export.id.to_string(),
            "requested": rfc3339(export.requested.0),
            "made": export.made.map(|(at, ..)| rfc3339(at)),
            "destroyed": export.destroyed.map(rfc3339),
        })
    });
    json!({
        "customer": {"id": customer.id.to_string(), "name": customer.name},
        "stage": closure.map_or("open", |closure| closure.stage().word()),
        "stages": stages.map(|(stage, at)| json!({"stage": stage.word(), "at": rfc3339(*at)})).collect::<Vec<_>>(),
        "choice": closure.and_then(|closure| closure.choice).map(|(choice, _)| choice.word()),
        "immediate": closure.and_then(|closure| closure.immediate).map(rfc3339),
        "held": state.holds_on(customer.id).next().is_some(),
        "exports": exports.collect::<Vec<_>>(),
        "files": files.iter().map(|file| json!({"name": file.name, "bytes": file.bytes})).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
#[path = "closing_tests.rs"]
mod tests;
