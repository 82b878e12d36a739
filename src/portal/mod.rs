//! The owners' portal: a page and a JSON API over HTTPS for the switch, who is in now, and what was done. Staff get their
//! short-lived passwords here (`staff/`), and the vendor's own application asks at `door`.
//! Not here: the rules (`grant/`), the writing of decisions (`register/`), any key that opens a record (`keyring/`).

pub mod acts;
pub mod api;
pub mod attempts;
pub mod book;
pub mod browser;
pub mod closing;
pub mod closing_page;
pub mod consent;
pub mod door;
pub mod error;
pub mod files;
pub mod history;
pub mod invitation;
pub mod invitation_page;
pub mod pages;
pub mod reminders;
pub mod requests;
pub mod requests_page;
pub mod session;
pub mod sign_in;
pub mod staff;
mod start;
pub mod terms;
pub mod words;

pub use self::start::{StartError, run, run_on};

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State as Shared};
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::time::timeout;

use self::acts::Acts;
use self::attempts::{Attempts, Bounds};
use self::consent::Wish;
use self::door::Door;
use self::error::Error;
use self::history::{Away, Book, History, Live, Place, Range};
use self::session::Sessions;
use self::sign_in::Passwords;
use self::staff::Handing;
use crate::audit::record::{Kind, Record};
use crate::clock::{Clock, Timestamp};
use crate::entropy::Entropy;
use crate::grant::{AccountStep, Consent, Customer, Mode, Observing, Owner, Personal, State, What};
use crate::ids::{CustomerId, GrantId, Sequence, SessionId};
use crate::net::https;
use crate::register::{self, Follower, Revision};

/// The largest request body in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// How old the last reading of the register may be before nothing is widened by it.
const REGISTER_STALE_AFTER: Duration = Duration::from_secs(5);
/// How long the book may take for the history, which opens keys.
const HISTORY_WAIT: Duration = Duration::from_secs(15);
/// How long the gate may take to say who is in, or to end a session.
const GATE_WAIT: Duration = Duration::from_secs(3);
/// How long connections may take to end when the portal stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the portal needs from the shell that starts it.
pub struct Settings {
    /// The socket, already bound, so that its address is known.
    pub socket: TcpListener,
    /// TLS 1.2 and 1.3 with the portal's certificate.
    pub tls: Arc<ServerConfig>,
    /// Where owners find the portal, such as `https://portal.example:8443`; forms from elsewhere are refused.
    pub public_url: String,
    /// How often somebody may try to sign in.
    pub attempts: Bounds,
    /// Connections from one address.
    pub per_address: usize,
    /// Where `now` comes from.
    pub clock: Arc<dyn Clock>,
    /// Where session ids come from.
    pub entropy: Arc<dyn Entropy>,
    /// In it a folder per customer, such as `c7`, with what its owners may take home.
    pub archives: PathBuf,
    /// Whether owners may let staff open visits themselves; not where each instruction must be specific.
    pub standing: bool,
    /// What doors that are not SQL are held against.
    pub door: Door,
    /// A roll-out under way.
    pub observing: Option<Observing>,
    /// How staff get short-lived passwords; none: the gate takes their stored ones.
    pub staff: Option<Handing>,
}

/// Serves until `shutdown` is over, then lets requests under way end, for at most five seconds.
///
/// # Errors
/// [`StartError::PublicUrl`] when `public_url` is not an HTTPS origin, [`StartError::System`] when the socket is
/// unusable.
pub async fn serve(
    settings: Settings,
    follower: Follower,
    acts: Arc<dyn Acts>,
    book: Arc<dyn Book>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), StartError> {
    let unusable = |source| StartError::System { what: "the portal's socket".to_owned(), source };
    let listener = https::Listener::start(settings.socket, settings.tls, settings.per_address).map_err(unusable)?;
    let portal = Portal(Arc::new(Parts {
        passwords: Passwords::new(settings.entropy.as_ref()).map_err(|error| StartError::Bug(error.to_string()))?,
        origin: Origin::new(&settings.public_url)?,
        clock: settings.clock,
        entropy: settings.entropy,
        archives: settings.archives,
        standing: settings.standing,
        door: settings.door,
        observing: settings.observing,
        staff: settings.staff,
        sessions: Sessions::default(),
        attempts: Attempts::new(settings.attempts),
        inviting: Attempts::new(invitation::bounds(settings.attempts)),
        invitation_attempts: Attempts::new(settings.attempts),
        staff_attempts: Attempts::new(settings.attempts),
        follower,
        acts,
        book,
    }));
    let service = router(portal).into_make_service_with_connect_info::<https::Peer>();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let told = async move {
        shutdown.await;
        // An error means that serving has ended before: nobody is left to be told.
        let _ended = stop.send(());
    };
    let serving = axum::serve(listener, service).with_graceful_shutdown(told).into_future();
    tokio::select! {
        served = serving => served.map_err(unusable),
        () = farewell(stopped) => Ok(()),
    }
}

async fn farewell(stopped: tokio::sync::oneshot::Receiver<()>) {
    match stopped.await {
        Ok(()) => tokio::time::sleep(FAREWELL).await,
        Err(_) => std::future::pending().await,
    }
}

fn router(portal: Portal) -> Router {
    Router::new()
        .merge(browser::routes().method_not_allowed_fallback(browser::no_such_method))
        .merge(requests::pages().method_not_allowed_fallback(browser::no_such_method))
        .merge(requests::routes().method_not_allowed_fallback(api::no_such_method))
        .merge(invitation::pages().method_not_allowed_fallback(browser::no_such_method))
        .merge(invitation::routes().method_not_allowed_fallback(api::no_such_method))
        .merge(closing::pages().method_not_allowed_fallback(browser::no_such_method))
        .merge(closing::routes().method_not_allowed_fallback(api::no_such_method))
        .merge(staff::pages().method_not_allowed_fallback(browser::no_such_method))
        .merge(staff::routes().method_not_allowed_fallback(api::no_such_method))
        .merge(door::routes().method_not_allowed_fallback(api::no_such_method))
        .merge(api::routes().method_not_allowed_fallback(api::no_such_method))
        .fallback(no_such_address)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(portal.clone(), guard))
        .with_state(portal)
}

async fn no_such_address(uri: Uri) -> Response {
    if uri.path().starts_with("/v1/") {
        return Error::NotFound("address").into_response();
    }
    browser::Page::from(Error::NotFound("page")).into_response()
}

/// Puts the headers on every answer that keep browsers from doing anything with it but show it.
async fn guard(Shared(portal): Shared<Portal>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 7] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if portal.0.origin.lasting {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

/// Where our own forms come from.
struct Origin {
    /// As browsers write it in `Origin`: scheme, host and port, lower case.
    text: String,
    /// Whether browsers may be told to use nothing but HTTPS there: not on a machine's own `localhost`, where other
    /// things live.
    lasting: bool,
}

impl Origin {
    fn new(public_url: &str) -> Result<Origin, StartError> {
        let wrong = || StartError::PublicUrl(public_url.to_owned());
        let text = public_url.trim_end_matches('/').to_ascii_lowercase();
        let text = text.strip_suffix(":443").unwrap_or(&text);
        let authority = text.strip_prefix("https://").ok_or_else(wrong)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        if authority.is_empty() || !authority.chars().all(plain) {
            return Err(wrong());
        }
        let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, _)) => v6,
            None => authority.split_once(':').map_or(authority, |(host, _)| host),
        };
        let lasting = host != "localhost" && !host.ends_with(".localhost") && host.parse::<IpAddr>().is_err();
        Ok(Origin { text: text.to_owned(), lasting })
    }
}

struct Parts {
    follower: Follower,
    acts: Arc<dyn Acts>,
    book: Arc<dyn Book>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    archives: PathBuf,
    standing: bool,
    door: Door,
    observing: Option<Observing>,
    staff: Option<Handing>,
    origin: Origin,
    sessions: Sessions,
    /// Owners' sign-ins.
    attempts: Attempts,
    /// Of owners to invite others, by customer.
    inviting: Attempts,
    /// These two are counted apart from sign-ins, since another site's page can have a browser use them up.
    invitation_attempts: Attempts,
    staff_attempts: Attempts,
    passwords: Passwords,
}

/// How long the register is waited for when somebody is not known; a portal that cannot read it says so itself.
const REGISTER_READ_WITHIN: Duration = Duration::from_secs(1);

/// What each request is answered from.
#[derive(Clone)]
pub struct Portal(Arc<Parts>);

impl Portal {
    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn state(&self) -> Arc<State> {
        self.0.follower.state()
    }

    /// The state once the register was read after now, so that who was made an owner a moment ago is known; bounded.
    async fn newest_state(&self) -> Arc<State> {
        self.0.follower.caught_up(self.now(), REGISTER_READ_WITHIN).await;
        self.state()
    }

    /// An error when the register was not read lately: what we know may be out of date.
    fn fresh(&self) -> Result<(), Error> {
        let age = self.now().since(self.0.follower.last_read());
        if age > REGISTER_STALE_AFTER {
            let cause = format!("last read {} s ago", age.as_secs());
            return Err(Error::Unavailable { place: "the register", cause });
        }
        Ok(())
    }

    /// Runs an owner's act to its end, and waits until what it did is in the state that the next request is answered
    /// from; bounded.
    async fn act<T: Send + 'static>(
        &self,
        act: impl Future<Output = Result<T, register::Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let done = to_its_end(act).await??;
        self.0.follower.caught_up(self.now(), REGISTER_READ_WITHIN).await;
        Ok(done)
    }

    /// Sets the switch. Runs to its end even if the browser goes away; switching off is tried whatever else is broken.
    async fn set_consent(&self, owner: &Owner, customer: &Customer, wish: Wish) -> Result<Consent, Error> {
        if wish.widens() {
            self.fresh()?;
        }
        self.offered(wish.mode)?;
        let scope = wish.scope.unwrap_or(customer.consent.scope);
        if let Some(terms) = wish.terms {
            let (customer, mode, until) = (customer.id, wish.mode, wish.until);
            let what = What::ConsentAgreed { customer, mode, scope, until, terms: terms.bounds() };
            let side = Some(terms.side()).filter(|_| terms.has_side());
            let state = self.change(owner, what, side).await?;
            let set = state.customer(customer).map(|customer| customer.consent.clone());
            return set.ok_or_else(|| Error::Bug("a customer is gone".to_owned()));
        }
        let (acts, owner, customer) = (Arc::clone(&self.0.acts), owner.id, customer.clone());
        let act = async move { acts.set_consent(owner, customer.id, (wish.mode, scope, wish.until)).await };
        self.act(act).await
    }

    /// The same for an owner who saw the consent on a page: refused if it was changed since, so that nothing another
    /// owner did meanwhile is undone.
    async fn revise(&self, owner: &Owner, seen: Sequence, to: Revision) -> Result<Consent, Error> {
        self.fresh()?;
        let (acts, id, customer) = (Arc::clone(&self.0.acts), owner.id, owner.customer);
        self.act(async move { acts.revise(id, customer, seen, to).await }).await
    }

    /// An error for a switch that does not stand so where each instruction must be specific.
    fn offered(&self, mode: Mode) -> Result<(), Error> {
        if mode == Mode::Standing && !self.0.standing {
            let why =
                "what was agreed with your vendor asks for an instruction each time: choose to be asked each time";
            return Err(Error::Refused(why.to_owned()));
        }
        Ok(())
    }

    /// Any other change that an owner causes, run to its end.
    async fn change(&self, owner: &Owner, what: What, side: Option<Personal>) -> Result<Arc<State>, Error> {
        let (acts, owner) = (Arc::clone(&self.0.acts), owner.id);
        self.act(async move { acts.change(owner, what, side).await }).await
    }

    /// Ends a grant of the owner's customer.
    async fn end_grant(&self, owner: &Owner, grant: GrantId) -> Result<(), Error> {
        let state = self.state();
        if state.grant(grant).is_none_or(|grant| grant.customer != owner.customer) {
            return Err(Error::NotFound("visit"));
        }
        let (acts, owner) = (Arc::clone(&self.0.acts), owner.id);
        self.act(async move { acts.end_grant(owner, grant).await }).await
    }

    /// A step in the closing of the owner's account. Closing is tried whatever else is broken; the rest waits for a
    /// register that is read.
    async fn step(&self, owner: &Owner, step: AccountStep) -> Result<(), Error> {
        if step != AccountStep::Closed {
            self.fresh()?;
        }
        let (acts, id, customer) = (Arc::clone(&self.0.acts), owner.id, owner.customer);
        self.act(async move { acts.account(id, customer, step).await }).await
    }

    /// Entries of the owner's customer, newest first, and where the next page begins.
    async fn history(&self, owner: &Owner, range: Range) -> Result<(History, Option<Place>), Error> {
        if self.state().customer(owner.customer).is_some_and(|customer| customer.closure.is_some()) {
            return Err(Error::Refused("the account is closed, and its history with it".to_owned()));
        }
        let limit = range.limit;
        let more = Range { limit: limit.saturating_add(1), ..range };
        let read = self.0.book.history(owner.id, owner.customer, more);
        let mut history = in_time(HISTORY_WAIT, "the history", read).await?;
        let next = history.entries.len() > limit;
        history.entries.truncate(limit);
        let next = history.entries.last().filter(|_| next).map(|entry| entry.place.clone());
        Ok((history, next))
    }

    /// Who is in now.
    async fn sessions(&self, customer: CustomerId) -> Result<Vec<Live>, Error> {
        let mut live = in_time(GATE_WAIT, "the gate", self.0.book.sessions(customer)).await?;
        live.retain(|live| live.customer == customer);
        live.sort_by_key(|live| (live.since, live.session));
        Ok(live)
    }

    /// Ends a session of that customer; false when there is none such.
    async fn end_session(&self, owner: &Owner, customer: CustomerId, session: SessionId) -> Result<bool, Error> {
        if !self.sessions(customer).await?.iter().any(|live| live.session == session) {
            return Ok(false);
        }
        let (book, owner) = (Arc::clone(&self.0.book), owner.id);
        let act = async move { in_time(GATE_WAIT, "the gate", book.end_session(owner, session)).await };
        to_its_end(act).await?
    }

    /// Writes down that somebody signed in as an owner, or could not. A log that cannot be written does not keep an
    /// owner from signing in: it is from here that access is switched off. The history stays shut then anyway.
    async fn record_sign_in(&self, kind: Kind, owner: Option<&Owner>, name: &str, address: IpAddr) {
        let customer = owner.and_then(|owner| self.state().sealed_for(owner.customer));
        let mut record = Record::new(self.now(), kind, customer);
        record.skeleton.owner = owner.map(|owner| owner.id.0);
        record.skeleton.verb = Some("portal".to_owned());
        record.values.owner = Some(name.to_owned());
        record.values.from = Some(address.to_string());
        if let Err(error) = self.0.acts.record(record).await {
            tracing::error!(%error, "a sign-in to the portal could not be recorded");
        }
    }
}

async fn in_time<T>(wait: Duration, place: &'static str, asked: history::Answer<'_, T>) -> Result<T, Error> {
    let late = |_| Away { place, cause: format!("no answer within {} s", wait.as_secs()) };
    Ok(timeout(wait, asked).await.map_err(late)??)
}

/// Runs an act as a task of its own, so that a browser that goes away cannot leave it half done.
async fn to_its_end<T: Send + 'static>(act: impl Future<Output = T> + Send + 'static) -> Result<T, Error> {
    tokio::spawn(act).await.map_err(|error| Error::Bug(format!("an act did not end: {error}")))
}

#[cfg(test)]
mod test_book;
#[cfg(test)]
mod test_site;

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
