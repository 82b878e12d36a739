//! Where staff get the short-lived password that the gate asks them for: from here, once an identity provider has said who
//! they are, or for their stored password and the code of a second factor.
//! Not here: what the gate makes of it (`proxy/proving.rs`), and any session: nobody stays signed in here. No password
//! stands in a URL, in a record or in the register, which has the verifier only.

mod by_code;
mod by_provider;
mod flow;
mod id_token;
mod pages;
mod provider;
mod wrong_codes;

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FormRejection};
use axum::extract::{ConnectInfo, Form, Query, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;

use self::flow::{Flows, clear_cookie};
pub use self::provider::Provider;
use self::provider::Trouble;
use self::wrong_codes::WrongCodes;
use super::api::{json, too_large};
use super::browser::{Page, form, html, same_origin, with_cookie};
use super::consent::rfc3339;
use super::error::Error;
use super::{Portal, to_its_end};
use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::entropy::{Entropy, random};
use crate::grant::{ShownBy, Staff, State};
use crate::net::https::Peer;
use crate::secret::Secret;
use crate::wire::scram::{ITERATIONS, Verifier, verifier_from_password};

/// Where the identity provider sends browsers back to.
pub const CALLBACK: &str = "/staff/oidc/callback";
/// Bytes of a short-lived password: nobody guesses 144 bits.
const PASSWORD_BYTES: usize = 18;

/// How short-lived passwords are handed out.
pub struct Handing {
    lives: Duration,
    provider: Option<Provider>,
    by_code: bool,
    flows: Flows,
    wrong_codes: WrongCodes,
}

impl Handing {
    /// Each is good for `lives`; the provider says who somebody is, where there is one, and `by_code` a stored password with
    /// a code of a second factor.
    pub fn new(lives: Duration, provider: Option<Provider>, by_code: bool, entropy: &dyn Entropy) -> Handing {
        Handing { lives, provider, by_code, flows: Flows::new(entropy), wrong_codes: WrongCodes::default() }
    }
}

/// What somebody takes away with them.
pub(super) struct Handed {
    name: String,
    password: Secret<String>,
    until: Timestamp,
}

/// Somebody who has shown who they are.
struct Shown {
    staff: Staff,
    /// By what.
    by: ShownBy,
    /// The same for the record.
    how: String,
}

/// The pages.
pub fn pages() -> Router<Portal> {
    Router::new()
        .route("/staff", get(welcome))
        .route("/staff/token", post(by_form))
        .route("/staff/oidc", get(to_provider))
        .route(CALLBACK, get(from_provider))
}

/// The address under `/v1`.
pub fn routes() -> Router<Portal> {
    Router::new().route("/v1/staff/token", post(by_api))
}

/// What is asked for with a second factor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    name: String,
    password: String,
    code: String,
}

/// With what the provider sends a browser back.
#[derive(Deserialize)]
struct Back {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    error: Option<String>,
    iss: Option<String>,
}

async fn welcome(Shared(portal): Shared<Portal>) -> Result<Response, Page> {
    let handing = portal.handing()?;
    Ok(html(StatusCode::OK, pages::welcome(handing, None, "")))
}

async fn by_form(
    Shared(portal): Shared<Portal>,
    ConnectInfo(Peer(address)): ConnectInfo<Peer>,
    headers: HeaderMap,
    fields: Result<Form<Credentials>, FormRejection>,
) -> Result<Response, Page> {
    same_origin(&portal, &headers)?;
    let wanted = form(fields)?;
    let name = wanted.name.trim().to_owned();
    let handing = portal.by_codes()?;
    match portal.by_code(wanted, address).await {
        Ok(handed) => Ok(html(StatusCode::OK, pages::handed(&handed))),
        Err(error) => Ok(failed(&error, pages::welcome(handing, Some(&error), &name))),
    }
}

async fn by_api(
    Shared(portal): Shared<Portal>,
    ConnectInfo(Peer(address)): ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let hint = "Send {\"name\", \"password\", \"code\"}, each a text.";
    // What is wrong is not repeated: it may be a password.
    let wrong = |_| Error::client("not-credentials", "the request body is not what this address takes", hint);
    let wanted = serde_json::from_slice(&body.map_err(too_large)?).map_err(wrong)?;
    Ok(handed_json(&portal.by_code(wanted, address).await?))
}

/// Sends the browser to the identity provider. A link and not a form, since what a form leads to may be no other site's.
async fn to_provider(
    Shared(portal): Shared<Portal>,
    ConnectInfo(Peer(address)): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Result<Response, Page> {
    let (handing, provider) = portal.provider()?;
    asked_for(&headers)?;
    portal.admit(address, &way_there(address))?;
    let now = portal.now();
    let flow = handing.flows.begin(now, portal.0.entropy.as_ref());
    let there = provider.address(&flow, now).await.map_err(denied)?;
    let there =
        HeaderValue::from_str(&there).map_err(|error| Error::Bug(format!("the provider's address: {error}")))?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, there);
    with_cookie(response, &flow.set_cookie())
}

/// What attempts that lead to the provider are counted by; those that come back are counted by the address alone.
fn way_there(address: IpAddr) -> String {
    format!("to the provider from {address}")
}

/// Browsers say what sent them. Who is signed in at the provider would get a new password without having asked for one, and
/// the one they have would open nothing any more.
fn asked_for(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"none" | b"same-origin") => Ok(()),
        Some(_) => Err(Error::ForeignForm("another site's page has led here".to_owned())),
    }
}

/// The provider sends the browser here itself. What a page elsewhere has it load, a picture or a frame, is no sign-in: it must
/// not use up the attempts of its address, nor take the cookie of one that is under way.
fn came_itself(headers: &HeaderMap) -> Result<(), Error> {
    let is = |name: &str, word: &str| headers.get(name).is_none_or(|value| value.as_bytes() == word.as_bytes());
    if is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document") {
        return Ok(());
    }
    Err(Error::ForeignForm(
        "a page has had this loaded, which only the identity provider sends a browser to".to_owned(),
    ))
}

/// The browser is back: a page with the password, or the same as JSON where that is accepted.
async fn from_provider(
    Shared(portal): Shared<Portal>,
    ConnectInfo(Peer(address)): ConnectInfo<Peer>,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Result<Response, Page> {
    came_itself(&headers)?;
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_json = accepts.split([',', ';']).next().map(str::trim) == Some("application/json");
    let response = match (portal.by_provider(&headers, back, address).await, is_json) {
        (Ok(handed), true) => handed_json(&handed),
        (Ok(handed), false) => html(StatusCode::OK, pages::handed(&handed)),
        (Err(error), true) => error.into_response(),
        (Err(error), false) => failed(&error, pages::problem(&error)),
    };
    with_cookie(response, &clear_cookie())
}

fn failed(error: &Error, page: maud::Markup) -> Response {
    error.note();
    let mut response = html(error.status(), page);
    error.headers(&mut response);
    response
}

fn handed_json(handed: &Handed) -> Response {
    let Handed { name, password, until } = handed;
    json(StatusCode::OK, &json!({"user": name, "password": password.expose(), "until": rfc3339(*until)}))
}

impl Portal {
    /// How short-lived passwords are handed out, where they are.
    fn handing(&self) -> Result<&Handing, Error> {
        self.0
            .staff
            .as_ref()
            .ok_or(Error::NotFound("page: the gate takes stored passwords, and none are handed out here"))
    }

    /// The same where a password and a code are worth one.
    fn by_codes(&self) -> Result<&Handing, Error> {
        let handing = self.handing()?;
        let elsewhere = "page: short-lived passwords are handed out by way of the identity provider only";
        if handing.by_code { Ok(handing) } else { Err(Error::NotFound(elsewhere)) }
    }

    fn provider(&self) -> Result<(&Handing, &Provider), Error> {
        let handing = self.handing()?;
        let provider = handing.provider.as_ref().ok_or(Error::NotFound("page: no identity provider is set up"))?;
        Ok((handing, provider))
    }

    /// Counts an attempt of staff; apart from those of owners.
    fn admit(&self, address: IpAddr, name: &str) -> Result<(), Error> {
        let counted = self.0.staff_attempts.admit(address, name, self.now());
        counted.map_err(|wait| Error::TooMany { wait })
    }

    /// What was counted under that name is forgotten.
    fn succeeded(&self, address: IpAddr, name: &str, now: Timestamp) {
        self.0.staff_attempts.succeeded(address, name, now);
    }

    /// Records who came and by what, then has the register take the verifier; only then is the password shown. If it does
    /// not come to that, that is recorded as well, even if the browser is gone by then.
    async fn hand_out(&self, state: &State, shown: Shown, address: IpAddr) -> Result<Handed, Error> {
        self.fresh()?;
        let mut record = self.staff_record(Kind::SignedIn, Some((&shown.staff.name, Some(&shown.staff))), address);
        record.values.message = Some(shown.how.clone());
        // The salt of the mock that the gate shows otherwise: that there is one now shows to nobody.
        let (portal, salt) = (self.clone(), Verifier::mock_salt(state.seed(), &shown.staff.name));
        let handing = async move {
            let unwritten =
                |fault: crate::log::Error| Error::Unavailable { place: "the audit log", cause: fault.to_string() };
            portal.0.acts.record(record).await.map_err(unwritten)?;
            let handed = portal.issue(&shown, salt).await;
            if let Err(fault) = &handed {
                let Shown { staff, .. } = &shown;
                portal
                    .record_refusal("not-issued", &fault.to_string(), Some((&staff.name, Some(staff))), address)
                    .await;
            }
            handed
        };
        to_its_end(handing).await?
    }

    /// A new password, whose verifier the register has taken.
    async fn issue(&self, shown: &Shown, salt: [u8; 16]) -> Result<Handed, Error> {
        let Shown { staff, by, .. } = shown;
        let password = Secret::new(URL_SAFE_NO_PAD.encode(random::<PASSWORD_BYTES>(self.0.entropy.as_ref())));
        let text = Secret::new(password.expose().clone());
        let made = move || verifier_from_password(text.expose(), &salt, ITERATIONS).to_stored();
        let verifier = tokio::task::spawn_blocking(made).await;
        let verifier = verifier.map_err(|error| Error::Bug(format!("a verifier was not made: {error}")))?;
        let until = self.now().plus(self.handing()?.lives);
        self.0.acts.issue_token(staff.id, (until, *by), verifier).await?;
        Ok(Handed { name: staff.name.clone(), password, until })
    }

    /// A refusal, which is recorded.
    async fn refuse(
        &self,
        code: &'static str,
        message: String,
        who: Option<(&str, Option<&Staff>)>,
        address: IpAddr,
    ) -> Error {
        self.record_refusal(code, &message, who, address).await;
        Error::Denied { code, message, hint: hint(code) }
    }

    /// A log that cannot be written keeps nobody from being refused.
    async fn record_refusal(
        &self,
        code: &'static str,
        message: &str,
        who: Option<(&str, Option<&Staff>)>,
        address: IpAddr,
    ) {
        let mut record = self.staff_record(Kind::Refused, who, address);
        record.skeleton.verb = Some(code.to_owned());
        record.skeleton.result = Some("refused".to_owned());
        record.values.message = Some(message.to_owned());
        if let Err(error) = self.0.acts.record(record).await {
            tracing::error!(%error, code, "a refusal could not be recorded");
        }
    }

    fn staff_record(&self, kind: Kind, who: Option<(&str, Option<&Staff>)>, address: IpAddr) -> Record {
        let mut record = Record::new(self.now(), kind, None);
        record.skeleton.verb = Some("staff-portal".to_owned());
        record.skeleton.staff = who.and_then(|(_, staff)| staff).map(|staff| staff.id.0);
        record.values.staff = who.map(|(name, _)| name.to_owned());
        record.values.from = Some(address.to_string());
        record
    }
}

/// The way out of each refusal.
fn hint(code: &str) -> String {
    match code {
        "foreign-flow" => "Begin again on the page /staff, in one browser, with cookies.",
        "staff-unknown" => "Ask an operator; they type: portreeve staff create NAME, with the name the provider gives.",
        "subject-changed" => {
            "If the provider has a new account for you, ask an operator; they type: portreeve staff forget-subject NAME."
        }
        "subject-elsewhere" => "Sign in at the provider as the one you are called here.",
        "staff-suspended" => "Ask a team lead or a member of security; they type: portreeve staff resume.",
        _ => "Sign in again on the page /staff; tell an operator if it stays so.",
    }
    .to_owned()
}

/// What is said of a provider that cannot be asked.
fn denied(trouble: Trouble) -> Error {
    Error::Unavailable { place: "the identity provider", cause: trouble.to_string() }
}
