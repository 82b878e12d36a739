//! From a start-up packet to a relay: parameters, SCRAM, the decision, the record, the login role, the upstream.
//! Not here: TLS and the first packet (`net/entry.rs`), what follows (`proxy/relay.rs`).
//! Whatever is refused is recorded before the client is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::entropy;
use crate::grant::{Ask, Authorized, Customer, Decision, Grant, Observed, Refusal, decide_observing};
use crate::ids::{CustomerId, SessionId};
use crate::log::{Claim, Receipt};
use crate::net::upstream::Connection;
use crate::proxy::Gate;
use crate::proxy::desk;
use crate::proxy::ending;
use crate::proxy::live::Opening;
use crate::proxy::proving::{Proved, authenticate};
use crate::proxy::reason::{Reason, minutes};
use crate::proxy::refused::Refused;
use crate::proxy::relay::{Relay, Streams};
use crate::proxy::release::Ledger;
use crate::proxy::roles::Need;
use crate::proxy::server;
use crate::proxy::sweeping;
use crate::proxy::who::{Begun, Names, Who};
use crate::session::Session;
use crate::wire::backend::{Backend, TransactionStatus, Walker};
use crate::wire::frame::{self, Frame};
use crate::wire::response;
use crate::wire::startup::{self, Startup, StartupParameters};

/// A password message is small.
const PASSWORD_BYTES_MAX: usize = 10_000;
/// How long a sign-in waits for the register to be read once more; then it is decided by what is known, and its age.
const REGISTER_READ_WITHIN: Duration = Duration::from_secs(1);

/// A client that is signing in.
pub(super) struct Client {
    pub(super) stream: Box<TlsStream<TcpStream>>,
    pub(super) buffer: BytesMut,
    pub(super) address: SocketAddr,
    pub(super) session: SessionId,
}

/// Whoever signed in, where to, and by which grant.
struct Admitted {
    staff: Proved,
    customer: Customer,
    /// At which replica; none: at the primary.
    replica: Option<String>,
    grant: Grant,
    until: Timestamp,
    /// They are let in during a roll-out only.
    observed: Option<Observed>,
}

/// Takes one client from its start-up packet to the end of its session. It has until `until` to prove who it is.
pub async fn serve(
    gate: Arc<Gate>,
    stream: Box<TlsStream<TcpStream>>,
    startup: Startup,
    address: SocketAddr,
    until: Instant,
) {
    let session = SessionId(entropy::random(&*gate.entropy));
    let mut client = Client { stream, buffer: BytesMut::new(), address, session };
    let mut asked = Asked::default();
    let opened = Box::pin(open(&gate, &mut client, &startup, &mut asked, until)).await;
    match opened {
        Ok(Way::Customer(opened)) => Box::pin(run(gate, client, *opened)).await,
        Ok(Way::Desk(arrival, version)) => Box::pin(desk::sit(gate, client, *arrival, version)).await,
        Err(refused) => turn_away(&gate, client, &asked, refused).await,
    }
}

/// What the client asked for, as far as it is known, for the record of a refusal.
#[derive(Debug, Default)]
struct Asked {
    staff: Option<(u64, String)>,
    user: Option<String>,
    database: Option<String>,
    application: Option<String>,
    customer: Option<CustomerId>,
}

/// Where a client is let in.
enum Way {
    /// To a customer's data.
    Customer(Box<Opened>),
    /// To the desk, in that version of the protocol.
    Desk(Box<desk::Arrival>, u32),
}

/// A session that is open on both sides.
struct Opened {
    who: Who,
    upstream: Connection,
    ledger: Ledger,
    until: Timestamp,
    version: u32,
}

/// Waits for the client until `until`. What is then opened for it has time limits of its own and is not given up
/// halfway: a role would stay behind, and a session that was recorded as begun would have no end.
async fn open(
    gate: &Arc<Gate>,
    client: &mut Client,
    startup: &Startup,
    asked: &mut Asked,
    until: Instant,
) -> Result<Way, Refused> {
    let parameters = startup::check_parameters(startup).map_err(Refused::Protocol)?;
    asked.user = Some(parameters.user.clone());
    asked.database = Some(parameters.database.clone());
    asked.application = Some(parameters.application_name.clone());
    // Who was told a moment ago that they may come in is let in.
    gate.follower.caught_up(gate.clock.now(), REGISTER_READ_WITHIN).await;
    let proving = prove(gate, client, startup.version, &parameters);
    let late = |_| Refused::Late(gate.settings.sign_in_within);
    let proved = tokio::time::timeout_at(until, proving).await.map_err(late)?;
    let proved = proved.inspect_err(|refused| asked.staff = refused.staff())?;
    asked.staff = Some((proved.staff.id.0, proved.staff.name.clone()));
    let version = startup::agreed_version(startup.version);
    if parameters.database == desk::NAME {
        let arrival = desk::arrive(gate, client, proved, parameters.application_name).await?;
        return Ok(Way::Desk(Box::new(arrival), version));
    }
    let admitted = admit(gate, client, &parameters, proved, asked)?;
    gate.has_room()?;
    gate.ensure_keys(admitted.customer.id).await?;
    let until = admitted.until;
    let (who, upstream, ledger) = connect(gate, client, &parameters, admitted).await?;
    Ok(Way::Customer(Box::new(Opened { who, upstream, ledger, until, version })))
}

/// What the client has to do its part in: agreeing on a protocol, and proving who it is.
async fn prove(
    gate: &Gate,
    client: &mut Client,
    version: u32,
    parameters: &StartupParameters,
) -> Result<Proved, Refused> {
    if let Some(negotiate) = startup::negotiate_protocol(version, &parameters.unrecognised) {
        client.send(&negotiate).await?;
    }
    authenticate(gate, client, parameters).await
}

/// Which customer is meant, and whether the decision allows it.
fn admit(
    gate: &Gate,
    client: &Client,
    parameters: &StartupParameters,
    staff: Proved,
    asked: &mut Asked,
) -> Result<Admitted, Refused> {
    let state = gate.follower.state();
    let (named, replica) = server::named(&parameters.database);
    let unknown = || Refused::UnknownCustomer(named.to_owned());
    let Some(customer) = state.customer_named(named).cloned() else {
        let Some(renamed) = state.customer_formerly(named) else { return Err(unknown()) };
        asked.customer = Some(renamed.id);
        let may_know = staff.staff.works() && state.serves(staff.staff.id, renamed.id);
        let now = Some(renamed.name.clone()).filter(|_| may_know);
        return Err(Refused::Renamed(named.to_owned(), now));
    };
    asked.customer = Some(customer.id);
    let (allowed, observed) = ask(gate, client, &staff, &customer, None)?;
    let issued = || state.grant(allowed.grant()).cloned();
    let grant = observed.as_ref().map(|observed| observed.grant.clone()).or_else(issued).ok_or_else(unknown)?;
    if let Some(replica) = replica {
        server::may_read_at(gate, &customer, replica, grant.scope)?;
    }
    Ok(Admitted { until: allowed.until(), staff, customer, replica: replica.map(str::to_owned), grant, observed })
}

/// Asks the decision for a session that is being opened.
fn ask(
    gate: &Gate,
    client: &Client,
    proved: &Proved,
    customer: &Customer,
    grant: Option<&Grant>,
) -> Result<(Authorized, Option<Observed>), Refused> {
    let state = gate.follower.state();
    let locks = gate.locks.current();
    let staff = &proved.staff;
    let ask = Ask {
        staff: staff.id,
        customer: customer.id,
        address: client.address.ip(),
        grant: grant.map(|grant| grant.id),
        connections: gate.live.connections(staff.id, customer.id, client.session),
        register_read: gate.follower.last_read(),
        credential: proved.until,
        locks: &locks,
    };
    match decide_observing(&state, &ask, &gate.limits, gate.observing, gate.clock.now()) {
        (Decision::Allow(allowed), observed) => Ok((allowed, observed)),
        (Decision::Refuse(refusal), _) => Err(Refused::Decision(Box::new(refusal), state)),
    }
}

/// The sign-in's record first; then the role, the upstream and the place among the live sessions.
async fn connect(
    gate: &Arc<Gate>,
    client: &Client,
    parameters: &StartupParameters,
    admitted: Admitted,
) -> Result<(Who, Connection, Ledger), Refused> {
    let Admitted { staff: proved, customer, replica, grant, until: _, observed } = admitted;
    let staff = &proved.staff;
    let configured = || Refused::NotConfigured(customer.cluster.clone());
    let fence = gate.fence(&customer.cluster).ok_or_else(configured)?;
    let names = Names::of(staff, &customer, &grant, &parameters.application_name, replica.as_deref());
    let begun = Begun {
        session: client.session,
        staff: staff.id,
        customer: customer.id,
        grant: grant.id,
        address: client.address,
        credential: proved.until,
        need: Need {
            grant: grant.id,
            cluster: customer.cluster.clone(),
            replica,
            database: customer.database.clone(),
            layout: customer.layout,
            tenant: customer.tenant.clone(),
            scope: grant.scope,
            // Not what ends sooner and may be lengthened meanwhile: the role serves later sessions as well.
            until: grant.ends,
        },
        names: Arc::new(names),
    };
    let target = gate.target(&begun.need).ok_or_else(configured)?;
    if let Some(observed) = &observed {
        record_observed(gate, &begun, &observed.refusal).await?;
    }
    let ledger = Ledger::begin(signed_in(gate, &begun).await?);
    let acquired = match sweeping::nobody_left(gate, fence, &begun.need.cluster).await {
        Ok(()) => gate.roles.acquire(fence, &begun.need).await,
        Err(error) => Err(error.into()),
    };
    let role = match acquired {
        Ok(role) => role,
        Err(error) => return Err(failed(gate, &begun, Refused::Role(error)).await),
    };
    // Decided again: opening the role took time.
    let upstream = match ask(gate, client, &proved, &customer, Some(&grant)) {
        Ok(_) => server::dial(target, parameters, &role, (fence, &begun.need)).await,
        Err(refused) => Err(refused),
    };
    match upstream {
        Ok((upstream, server)) => {
            let strict = gate.settings.strict;
            let backend = (upstream.backend, upstream.secret.clone());
            Ok((Who { begun, strict, role, backend, server }, upstream, ledger))
        }
        Err(refused) => {
            gate.roles.release(fence, &begun.need).await;
            Err(failed(gate, &begun, refused).await)
        }
    }
}

/// Records what would have stood in the way of somebody who is let in during a roll-out, before anything is opened.
async fn record_observed(gate: &Gate, begun: &Begun, refusal: &Refusal) -> Result<(), Refused> {
    let mut record = begun.blank(Kind::Observed, gate.clock.now());
    record.skeleton.verb = Some(refusal.code());
    record.skeleton.result = Some("let in".to_owned());
    record.values.message = Some(refusal.detail(&gate.follower.state()));
    tracing::warn!(session = %begun.session, staff = %begun.staff, customer = %begun.customer, code = refusal.code(), "observed");
    gate.log.record(record).await.map(drop).map_err(Refused::Log)
}

/// The record that begins a session: frame 0, durable before anything is opened for it.
async fn signed_in(gate: &Gate, begun: &Begun) -> Result<Receipt, Refused> {
    let mut record = begun.blank(Kind::SignedIn, gate.clock.now());
    record.skeleton.frame = Some(0);
    record.skeleton.sequence = Some(gate.follower.state().sequence().0);
    let claim = Claim::of(begun.session, 0);
    let mut enqueued = gate.log.append(record, claim).map_err(Refused::Log)?;
    enqueued.durable().await.map_err(Refused::Log)
}

/// A session that was recorded as begun and came to nothing is recorded as ended.
async fn failed(gate: &Gate, begun: &Begun, refused: Refused) -> Refused {
    let mut record = begun.blank(Kind::SessionEnded, gate.clock.now());
    record.skeleton.verb = Some(refused.code());
    record.skeleton.fate = Some("none".to_owned());
    record.skeleton.result = Some("not opened".to_owned());
    record.values.message = Some(refused.for_the_record());
    match gate.log.record(record).await {
        Ok(_) => refused,
        Err(error) => Refused::Log(error),
    }
}

/// Tells the client it is in, and relays until the end.
async fn run(gate: Arc<Gate>, mut client: Client, opened: Opened) {
    let Opened { who, upstream, ledger, until, version } = opened;
    let secret_bytes = if version == startup::VERSION_3_0 { 4 } else { 32 };
    let mut secret = vec![0; secret_bytes];
    gate.entropy.fill(&mut secret);
    let now = gate.clock.now();
    let observed = who.grant.is_unissued().then_some(
        "OBSERVED: this is a roll-out; no account owner has allowed this access, and without the roll-out it would be refused",
    );
    let text = format!(
        "access to customer \"{}\" ({}) for another {}; every statement is recorded and shown to its owner",
        who.names.customer,
        who.names.scope,
        minutes(until.since(now))
    );
    let mut greeting = BytesMut::from(response::authentication_ok().as_ref());
    greeting.extend_from_slice(&upstream.greeting);
    greeting.extend_from_slice(&response::backend_key_data(upstream.backend, &secret));
    for text in observed.map(str::to_owned).into_iter().chain([text]) {
        greeting.extend_from_slice(&response::notice(&response::note(text)));
    }
    greeting.extend_from_slice(&response::ready_for_query(TransactionStatus::Idle));
    let place = gate.live.enter(Opening {
        session: who.session,
        staff: who.staff,
        customer: who.customer,
        grant: who.grant,
        scope: who.need.scope,
        since: now,
        address: who.address,
        application: who.names.application.clone(),
        role: who.role.name.clone(),
        cancel: (upstream.backend, secret),
    });
    let (session_id, strict) = (who.session, who.is_strict());
    tracing::info!(session = %session_id, staff = %who.staff, customer = %who.customer, strict, "session begins");
    let greeted = client.send(&greeting).await;
    let mut session = Session::new(now);
    learn(&mut session, &upstream.greeting);
    let Client { stream, buffer, .. } = client;
    let streams = Streams { client: stream, from_client: buffer, server: upstream.stream, from_server: upstream.rest };
    let whose = (who.preamble(), who);
    let mut relay = Relay::new(Arc::clone(&gate), whose, place, streams, (session, ledger));
    let reason = match greeted {
        Ok(()) if gate.is_stopping.load(Ordering::SeqCst) => Reason::Stopping,
        Ok(()) => relay.run().await,
        Err(_) => Reason::ClientGone,
    };
    Box::pin(ending::end(&gate, relay, reason)).await;
}

/// The settings the server announced while signing in, the client's encoding above all.
fn learn(session: &mut Session, greeting: &[u8]) {
    let walked = Walker::new().walk(greeting, |message| {
        if let Backend::ParameterStatus { name, value } = message {
            session.learn(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
        }
    });
    if let Err(fault) = walked {
        tracing::warn!(%fault, "the server's greeting");
    }
}

/// Records the refusal, then tells the client.
async fn turn_away(gate: &Gate, mut client: Client, asked: &Asked, refused: Refused) {
    let (code, reason) = (refused.code(), refused.for_the_record());
    tracing::info!(session = %client.session, address = %client.address, code, reason, "turned away");
    let report = match record_refusal(gate, &client, asked, &refused).await {
        Ok(()) => refused.report(),
        Err(error) => Refused::Log(error).report(),
    };
    let Some(report) = report else { return };
    let told = async {
        client.send(&response::error_response(&report)).await?;
        client.stream.shutdown().await.map_err(Refused::Broken)
    };
    if tokio::time::timeout(gate.settings.sign_in_within, told).await.is_err() {
        tracing::debug!(session = %client.session, "a refused client did not take its message");
    }
}

async fn record_refusal(
    gate: &Gate,
    client: &Client,
    asked: &Asked,
    refused: &Refused,
) -> Result<(), crate::log::Error> {
    // A customer's owner sees who was turned away; what concerns no customer is the vendor's own record.
    let state = gate.follower.state();
    let customer = asked.customer.and_then(|customer| state.sealed_for(customer));
    let customer = customer.filter(|customer| gate.has_keys(*customer));
    let mut record = Record::new(gate.clock.now(), Kind::Refused, customer);
    record.skeleton.session = Some(client.session);
    record.skeleton.verb = Some(refused.code());
    record.skeleton.sqlstate = refused.report().map(|report| report.sqlstate.to_owned());
    record.skeleton.result = Some("refused".to_owned());
    record.skeleton.staff = asked.staff.as_ref().map(|(id, _)| *id);
    record.skeleton.sequence = Some(state.sequence().0);
    record.values.staff = asked.staff.as_ref().map(|(_, name)| name.clone()).or_else(|| asked.user.clone());
    record.values.customer.clone_from(&asked.database);
    record.values.application.clone_from(&asked.application);
    record.values.address = Some(client.address.to_string());
    record.values.message = Some(refused.for_the_record());
    gate.log.record(record).await.map(|_| ())
}

impl Client {
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.stream.write_all(bytes).await.map_err(Refused::Broken)?;
        self.stream.flush().await.map_err(Refused::Broken)
    }

    /// The client's next frame, which is small.
    pub(super) async fn frame(&mut self) -> Result<Frame, Refused> {
        loop {
            if let Some(frame) = frame::cut(&mut self.buffer, PASSWORD_BYTES_MAX).map_err(Refused::Protocol)? {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(Refused::Broken)? == 0 {
                return Err(Refused::Broken(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}
