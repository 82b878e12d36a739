//! Becoming an owner by invitation: the page that a link opens, and an owner's page to invite another one.
//! Not here: an operator's invitations (`cli/owner.rs`, `cli/import.rs`) and the rules (`grant/invitation.rs`).
//! Looking at a link changes nothing, so that what looks at mails for their readers uses nothing up.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FormRejection};
use axum::extract::{ConnectInfo, Form, Path, Query, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Bearer, json, too_large};
use super::attempts::Bounds;
use super::browser::{Page, SignedIn, form, html, same_origin, to};
use super::consent::rfc3339;
use super::error::Error;
use super::session::sha256;
use super::{Portal, invitation_page as pages};
use crate::audit::record::Kind;
use crate::clock::Timestamp;
use crate::entropy::random;
use crate::grant::{INVITED_FOR, Invitation, Owner, Personal, State, What};
use crate::ids::{CustomerId, OwnerId};
use crate::net::https::Peer;
use crate::secret::Secret;

/// The shortest password that is taken, in characters; the longest, in bytes.
const PASSWORD_CHARACTERS_MIN: usize = 8;
const PASSWORD_BYTES_MAX: usize = 1024;
/// Wrong codes are counted under this name.
const ATTEMPTS: &str = "an invitation";
/// Owners of an account invite so often within the time in which attempts are counted, refused or not: each says whether a
/// name is free.
const INVITING_MAX: u32 = 16;
/// Counted wherever they are.
const WHEREVER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// How often the owners of an account may invite others.
pub(super) fn bounds(attempts: Bounds) -> Bounds {
    Bounds { per_name: INVITING_MAX, per_address: u32::MAX, ..attempts }
}

/// The addresses of the pages.
pub fn pages() -> Router<Portal> {
    Router::new()
        .route("/invitation", get(look).post(accept))
        .route("/owners", get(owners))
        .route("/owners/invite", post(invite))
        .route("/owners/uninvite", post(uninvite))
}

/// The addresses under `/v1`.
pub fn routes() -> Router<Portal> {
    Router::new()
        .route("/v1/invitation", post(accept_by_program))
        .route("/v1/customers/{id}/owners", get(list).post(invite_by_token))
}

/// Whoever accepts: the code that they were sent, and the password they choose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepting {
    code: String,
    password: String,
    /// The same once more, on the page.
    #[serde(default)]
    again: Option<String>,
}

impl Portal {
    /// The open invitation of that code. A code that is none is counted and recorded.
    async fn invited(&self, code: &str, address: IpAddr) -> Result<Invitation, Error> {
        let (state, now) = (self.newest_state().await, self.now());
        if let Some(found) = state.invitation_with(&sha256(code.trim().as_bytes())) {
            return Some(found.clone()).filter(|found| found.is_open(now)).ok_or(Error::InvitationOver);
        }
        self.0.invitation_attempts.admit(address, ATTEMPTS, now).map_err(|wait| Error::TooMany { wait })?;
        self.record_sign_in(Kind::Refused, None, ATTEMPTS, address).await;
        Err(Error::InvitationOver)
    }

    /// Makes them an owner; the register sees to it that this happens once.
    async fn accept(&self, invitation: &Invitation, password: Secret<String>) -> Result<Arc<State>, Error> {
        self.fresh()?;
        let hash = self.0.passwords.hash(password, Arc::clone(&self.0.entropy)).await?;
        let side = Personal { password_hash: Some(hash), ..Personal::default() };
        let (acts, id) = (Arc::clone(&self.0.acts), invitation.id);
        let what = What::OwnerAccepted { invitation: id };
        self.act(async move { acts.change(id, what, Some(side)).await }).await
    }

    /// A new invitation to the owner's own account: its link, which is shown once, and until when it works.
    async fn invite(&self, owner: &Owner, name: &str) -> Result<(Secret<String>, Timestamp), Error> {
        self.fresh()?;
        let counted = self.0.inviting.admit(WHEREVER, &owner.customer.to_string(), self.now());
        counted.map_err(|wait| Error::TooMany { wait })?;
        let code = Secret::new(URL_SAFE_NO_PAD.encode(Secret::new(random::<32>(self.0.entropy.as_ref())).expose()));
        let (customer, ends) = (owner.customer, self.now().plus(INVITED_FOR));
        let invitation = Some(sha256(code.expose().as_bytes()).to_vec().into());
        let name = Some(name.trim().to_ascii_lowercase());
        let side = Personal { name, invitation, ..Personal::default() };
        self.change(owner, What::OwnerInvited { customer, ends }, Some(side)).await?;
        let link = format!("{}/invitation?code={}", self.0.origin.text, code.expose());
        Ok((Secret::new(link), ends))
    }
}

/// A password somebody will have from now on; else what is wrong with it.
fn check_password(password: &str) -> Result<(), String> {
    if password.chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(format!("A password needs {PASSWORD_CHARACTERS_MIN} characters or more."));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("A password has at most {PASSWORD_BYTES_MAX} bytes."));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    code: String,
}

async fn look(
    Shared(portal): Shared<Portal>,
    ConnectInfo(Peer(address)): ConnectInfo<Peer>,
    Query(Link { code }): Query<Link>,
) -> Result<Response, Page> {
    let invitation = portal.invited(&code, address).await?;
    Ok(html(StatusCode::OK, pages::invited(&portal.state(), &invitation, &code, None)))
}

async fn accept(
    Shared(portal): Shared<Portal>,
    ConnectInfo(Peer(address)): ConnectInfo<Peer>,
    headers: HeaderMap,
    fields: Result<Form<Accepting>, FormRejection>,
) -> Result<Response, Page> {
    same_origin(&portal, &headers)?;
    let Accepting { code, password, again } = form(fields)?;
    let (password, again) = (Secret::new(password), Secret::new(again.unwrap_or_default()));
    let invitation = portal.invited(&code, address).await?;
    let differ = || (password.expose() != again.expose()).then(|| "The two passwords differ.".to_owned());
    if let Some(problem) = check_password(password.expose()).err().or_else(differ) {
        let page = pages::invited(&portal.state(), &invitation, &code, Some(&problem));
        return Ok(html(StatusCode::BAD_REQUEST, page));
    }
    let state = portal.accept(&invitation, password).await?;
    Ok(html(StatusCode::OK, pages::accepted(&state, &invitation)))
}

async fn accept_by_program(
    Shared(portal): Shared<Portal>,
    ConnectInfo(Peer(address)): ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let hint = "Send {\"code\", \"password\"}, each a text.";
    let body = body.map_err(too_large)?;
    // What is wrong is not repeated: it may be a password.
    let wrong = |_| Error::client("not-an-acceptance", "the request body is not what this address takes", hint);
    let Accepting { code, password, again: _ } = serde_json::from_slice(&body).map_err(wrong)?;
    let password = Secret::new(password);
    check_password(password.expose()).map_err(|says| Error::client("password", says, hint))?;
    let invitation = portal.invited(&code, address).await?;
    let state = portal.accept(&invitation, password).await?;
    let customer = state.customer(invitation.customer).map(|customer| customer.name.as_str());
    let owner = json!({"id": invitation.id.to_string(), "name": invitation.name, "customer": customer});
    Ok(json(StatusCode::OK, &json!({"owner": owner})))
}

async fn owners(signed_in: SignedIn, Shared(portal): Shared<Portal>) -> Result<Response, Page> {
    Ok(html(StatusCode::OK, pages::owners(&view(&signed_in, &portal)?, None)))
}

fn view<'a>(signed_in: &'a SignedIn, portal: &Portal) -> Result<pages::Owners<'a>, Error> {
    let (state, owner, customer) = (signed_in.state.as_ref(), &signed_in.owner, signed_in.customer()?);
    Ok(pages::Owners { state, owner, customer, csrf: &signed_in.session.csrf, now: portal.now() })
}

#[derive(Deserialize)]
struct Inviting {
    csrf: String,
    name: String,
}

async fn invite(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<Inviting>, FormRejection>,
) -> Result<Response, Page> {
    let Inviting { csrf, name } = form(fields)?;
    signed_in.check(&portal, &headers, &csrf)?;
    let (link, ends) = portal.invite(&signed_in.owner, &name).await?;
    let made = pages::Made { name: name.trim(), link: link.expose(), ends };
    Ok(html(StatusCode::OK, pages::owners(&view(&signed_in, &portal)?, Some(&made))))
}

#[derive(Deserialize)]
struct Uninviting {
    csrf: String,
    id: String,
}

async fn uninvite(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<Uninviting>, FormRejection>,
) -> Result<Response, Page> {
    let Uninviting { csrf, id } = form(fields)?;
    signed_in.check(&portal, &headers, &csrf)?;
    let invitation = invitation_of(&signed_in.state, signed_in.owner.customer, &id)?;
    portal.change(&signed_in.owner, What::OwnerUninvited { invitation }, None).await?;
    Ok(to("/owners"))
}

/// The invitation, if it is one to that customer.
fn invitation_of(state: &State, customer: CustomerId, id: &str) -> Result<OwnerId, Error> {
    let found = id.parse().ok().and_then(|id| state.invitation(id));
    found.filter(|found| found.customer == customer).map(|found| found.id).ok_or(Error::NotFound("invitation"))
}

async fn list(bearer: Bearer, Shared(portal): Shared<Portal>, Path(id): Path<String>) -> Result<Response, Error> {
    let customer = bearer.customer(&id)?;
    let owners = bearer.state.owners_of(customer.id).filter(|owner| owner.active);
    let owners = owners.map(|owner| json!({"id": owner.id.to_string(), "name": owner.name}));
    let open = bearer.state.invited_to(customer.id).filter(|invitation| invitation.is_open(portal.now()));
    let answer = json!({
        "customer": {"id": customer.id.to_string(), "name": customer.name},
        "owners": owners.collect::<Vec<_>>(),
        "invitations": open.map(invitation_json).collect::<Vec<_>>(),
    });
    Ok(json(StatusCode::OK, &answer))
}

fn invitation_json(invitation: &Invitation) -> Value {
    json!({"id": invitation.id.to_string(), "name": invitation.name, "ends": rfc3339(invitation.ends)})
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
}

async fn invite_by_token(
    bearer: Bearer,
    Shared(portal): Shared<Portal>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    bearer.customer(&id)?;
    let body = body.map_err(too_large)?;
    let hint = "Send {\"name\"}, the name they will sign in by.";
    let Wish { name } =
        serde_json::from_slice(&body).map_err(|fault| Error::client("not-a-wish", fault.to_string(), hint))?;
    let (link, ends) = portal.invite(&bearer.owner, &name).await?;
    Ok(json(StatusCode::OK, &json!({"name": name, "link": link.expose(), "ends": rfc3339(ends)})))
}

#[cfg(test)]
#[path = "invitation_tests.rs"]
mod tests;
