//! The page's addresses: sign in and out, look, and the forms that change something, each with its token and origin.
//! Not here: what the pages look like (`pages`).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Form, FromRequestParts, Query, State as Shared};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::Markup;
use serde::Deserialize;

use super::api::cursor;
use super::consent::{Wish, until_of_form};
use super::error::Error;
use super::history::Range;
use super::pages::{self, Account, Book};
use super::session::{self, Found, Notice, sha256};
use super::{BODY_BYTES_MAX, Portal};
use crate::audit::record::Kind;
use crate::grant::{Customer, Mode, Owner, State};
use crate::ids::{GrantId, Sequence, SessionId};
use crate::net::https::Peer;
use crate::register::Revision;
use crate::secret::Secret;

/// Entries on the first page, and on each page of the history.
const ON_FIRST_PAGE: usize = 20;
const ON_A_PAGE: usize = 50;
/// The longest name and password looked at, in bytes.
const NAME_BYTES_MAX: usize = 256;
const PASSWORD_BYTES_MAX: usize = 1024;

const STYLE: &str = include_str!("style.css");

/// The addresses of the pages.
pub fn routes() -> Router<Portal> {
    Router::new()
        .route("/", get(account))
        .route("/history", get(history))
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/consent", post(set_consent))
        .route("/sessions/end", post(end_session))
        .route("/grants/end", post(end_grant))
        .route("/style.css", get(style))
}

/// An error as a page.
pub struct Page(Error);

impl<E: Into<Error>> From<E> for Page {
    fn from(error: E) -> Page {
        Page(error.into())
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let Page(error) = self;
        error.note();
        if let Error::SignInNeeded(_) = error {
            return to("/sign-in");
        }
        let mut response = html(error.status(), pages::error(&error));
        error.headers(&mut response);
        response
    }
}

pub(super) fn html(status: StatusCode, markup: Markup) -> Response {
    let mut response = Response::new(Body::from(markup.into_string()));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// "See other": after a form, so that looking again does not send it again.
pub(super) fn to(path: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(path));
    response
}

/// The owner whose session's cookie the request carries, and the state it was judged by.
pub struct SignedIn {
    pub(super) owner: Owner,
    pub(super) session: Found,
    pub(super) state: Arc<State>,
}

impl FromRequestParts<Portal> for SignedIn {
    type Rejection = Page;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<SignedIn, Page> {
        let needed = || Page(Error::SignInNeeded("nobody is signed in here"));
        let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let id = session::from_cookies(cookies).ok_or_else(needed)?;
        let session = portal.0.sessions.find(id, portal.now()).ok_or_else(needed)?;
        let state = portal.state();
        let same = |owner: &&Owner| owner.active && sha256(owner.password_hash.as_bytes()) == session.credential;
        let Some(owner) = state.owner(session.owner).filter(same).cloned() else {
            portal.0.sessions.close(&session);
            return Err(needed());
        };
        Ok(SignedIn { owner, session, state })
    }
}

impl SignedIn {
    pub(super) fn customer(&self) -> Result<&Customer, Error> {
        self.state.customer(self.owner.customer).ok_or(Error::NotFound("customer"))
    }

    /// An error unless the form came from our own page in this very session.
    pub(super) fn check(&self, portal: &Portal, headers: &HeaderMap, token: &str) -> Result<(), Error> {
        same_origin(portal, headers)?;
        if self.session.form_is_ours(token) {
            return Ok(());
        }
        Err(Error::ForeignForm("this form is not from a page of your session".to_owned()))
    }
}

/// Browsers name in `Origin` the site a form was sent from; another's, or none, is refused.
pub(super) fn same_origin(portal: &Portal, headers: &HeaderMap) -> Result<(), Error> {
    let ours = &portal.0.origin.text;
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) if origin.as_bytes().eq_ignore_ascii_case(ours.as_bytes()) => Ok(()),
        _ => Err(Error::ForeignForm(format!("this form was not sent from {ours}"))),
    }
}

pub(super) fn form<T>(form: Result<Form<T>, FormRejection>) -> Result<T, Error> {
    form.map(|Form(fields)| fields).map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Error::TooLarge { limit: BODY_BYTES_MAX };
        }
        Error::client("form", "the form did not arrive as this page sends it", "Open the page again.")
    })
}

async fn style() -> Response {
    let mut response = Response::new(Body::from(STYLE));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

async fn sign_in_page(signed_in: Result<SignedIn, Page>) -> Response {
    match signed_in {
        Ok(_) => to("/"),
        Err(_) => html(StatusCode::OK, pages::sign_in(None, "")),
    }
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

async fn sign_in(
    Shared(portal): Shared<Portal>,
    ConnectInfo(Peer(address)): ConnectInfo<Peer>,
    headers: HeaderMap,
    fields: Result<Form<Credentials>, FormRejection>,
) -> Result<Response, Page> {
    same_origin(&portal, &headers)?;
    let Credentials { name, password } = form(fields)?;
    let (name, password) = (name.trim().to_owned(), Secret::new(password));
    if name.len() > NAME_BYTES_MAX || password.expose().len() > PASSWORD_BYTES_MAX {
        let problem = "That name or password is longer than any of ours.";
        return Ok(html(StatusCode::BAD_REQUEST, pages::sign_in(Some(problem), "")));
    }
    if let Err(wait) = portal.0.attempts.admit(address, &name, portal.now()) {
        let error = Error::TooMany { wait };
        let problem = format!("Too many attempts to sign in. {}", error.hint());
        let mut response = html(error.status(), pages::sign_in(Some(&problem), &name));
        error.headers(&mut response);
        return Ok(response);
    }
    let state = portal.newest_state().await;
    let Some(owner) = portal.0.passwords.check(&state, &name, password).await? else {
        let named = state.owner_named(&name).filter(|owner| owner.active);
        portal.record_sign_in(Kind::Refused, named, &name, address).await;
        let problem = "That name and password do not belong together.";
        return Ok(html(StatusCode::FORBIDDEN, pages::sign_in(Some(problem), &name)));
    };
    portal.0.attempts.succeeded(address, &name, portal.now());
    portal.record_sign_in(Kind::SignedIn, Some(&owner), &name, address).await;
    let id = portal.0.sessions.open(owner.id, &owner.password_hash, portal.now(), portal.0.entropy.as_ref());
    with_cookie(to("/"), &session::set_cookie(&id))
}

pub(super) fn with_cookie(mut response: Response, cookie: &str) -> Result<Response, Page> {
    let mut value = HeaderValue::from_str(cookie).map_err(|error| Error::Bug(format!("a cookie: {error}")))?;
    value.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

#[derive(Deserialize)]
pub(super) struct Csrf {
    pub(super) csrf: String,
}

async fn sign_out(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<Csrf>, FormRejection>,
) -> Result<Response, Page> {
    signed_in.check(&portal, &headers, &form(fields)?.csrf)?;
    portal.0.sessions.close(&signed_in.session);
    with_cookie(to("/sign-in"), &session::clear_cookie())
}

async fn account(signed_in: SignedIn, Shared(portal): Shared<Portal>) -> Result<Response, Page> {
    if signed_in.customer()?.closure.is_some() {
        return Ok(to("/closing"));
    }
    let range = Range { limit: ON_FIRST_PAGE, ..Range::default() };
    let (live, history) =
        tokio::join!(portal.sessions(signed_in.owner.customer), portal.history(&signed_in.owner, range));
    let noted = |error: &Error| error.note();
    let markup = pages::account(&Account {
        state: &signed_in.state,
        owner: &signed_in.owner,
        customer: signed_in.customer()?,
        csrf: &signed_in.session.csrf,
        now: portal.now(),
        notice: portal.0.sessions.take(&signed_in.session),
        stale: portal.fresh().is_err(),
        observing: portal.0.observing,
        live: live.inspect_err(noted).ok().as_deref(),
        book: history.inspect_err(noted).ok().map(|(history, next)| Book { history, next, first: true }).as_ref(),
    });
    Ok(html(StatusCode::OK, markup))
}

#[derive(Deserialize)]
struct Before {
    before: Option<String>,
}

async fn history(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    Query(Before { before }): Query<Before>,
) -> Result<Response, Page> {
    let before = before.as_deref().map(cursor).transpose()?;
    let first = before.is_none();
    let range = Range { before, limit: ON_A_PAGE, ..Range::default() };
    let (history, next) = portal.history(&signed_in.owner, range).await?;
    let book = Book { history, next, first };
    let csrf = &signed_in.session.csrf;
    let markup = pages::history(&signed_in.state, &signed_in.owner, signed_in.customer()?, csrf, &book);
    Ok(html(StatusCode::OK, markup))
}

#[derive(Deserialize)]
struct Switch {
    csrf: String,
    /// The consent the page showed; switching off does without.
    #[serde(default)]
    seen: Option<u64>,
    mode: String,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    end: String,
    #[serde(default)]
    time: String,
}

async fn set_consent(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<Switch>, FormRejection>,
) -> Result<Response, Page> {
    let switch = form(fields)?;
    signed_in.check(&portal, &headers, &switch.csrf)?;
    let customer = signed_in.customer()?;
    let now = portal.now();
    let until = match switch.mode.as_str() {
        "off" => None,
        _ => until_of_form(&switch.end, &switch.time, customer.consent.until, now)?,
    };
    let wish = Wish::new(&switch.mode, switch.scope.as_deref(), until, now)?;
    let consent = match (wish.scope, switch.seen) {
        _ if !wish.widens() => portal.set_consent(&signed_in.owner, customer, wish).await?,
        (Some(scope), Some(seen)) => {
            portal.offered(wish.mode)?;
            let to = Revision::Switch(wish.mode, scope, wish.until);
            portal.revise(&signed_in.owner, Sequence(seen), to).await?
        }
        (None, _) | (_, None) => {
            let message = "the form does not say which consent it was made from";
            return Err(Error::client("form", message, "Open the page again.").into());
        }
    };
    let notice = match consent.mode {
        Mode::Off => Notice::SwitchedOff,
        Mode::PerRequest | Mode::Standing => Notice::SwitchedOn,
    };
    portal.0.sessions.leave(&signed_in.session, notice);
    Ok(to("/"))
}

#[derive(Deserialize)]
struct One {
    csrf: String,
    id: String,
}

async fn end_session(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<One>, FormRejection>,
) -> Result<Response, Page> {
    let one = form(fields)?;
    signed_in.check(&portal, &headers, &one.csrf)?;
    let session: SessionId = one.id.parse().map_err(|_| Error::NotFound("session"))?;
    let ended = portal.end_session(&signed_in.owner, signed_in.owner.customer, session).await?;
    let notice = if ended { Notice::SessionEnded } else { Notice::SessionGone };
    portal.0.sessions.leave(&signed_in.session, notice);
    Ok(to("/"))
}

async fn end_grant(
    signed_in: SignedIn,
    Shared(portal): Shared<Portal>,
    headers: HeaderMap,
    fields: Result<Form<One>, FormRejection>,
) -> Result<Response, Page> {
    let one = form(fields)?;
    signed_in.check(&portal, &headers, &one.csrf)?;
    let grant: GrantId = one.id.parse().map_err(|_| Error::NotFound("visit"))?;
    portal.end_grant(&signed_in.owner, grant).await?;
    portal.0.sessions.leave(&signed_in.session, Notice::GrantEnded);
    Ok(to("/"))
}

/// One of our pages, asked in another way than it answers.
pub async fn no_such_method(method: Method) -> Page {
    Page(Error::Method(method.to_string()))
}
