//! `portreeve doctor`: what is wrong with this installation, and what to do about it, in one table. Changes nothing.
//! Not here: mending. `config check`, `keys doctor`, `fence check` and `retention status` say more about one thing each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::findings::Findings;
use super::{Context, Exit, Failure, config, keys, road};
use crate::clock::{Clock, SystemClock};
use crate::config::{Cluster, Config};
use crate::disk::{Disk, RealDisk};
use crate::fence::{Accepted, Fence, Finding, Place, Replica, Report};
use crate::grant::{Layout, Scope, SignIn, State};
use crate::keyring::{self, init};
use crate::net::tls::{self, Certificate};
use crate::register::{self, At, Register};

/// How long a role may take to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// A certificate that ends sooner is one to renew now.
const RENEW_BEFORE: Duration = Duration::from_secs(14 * 86_400);
/// Of a cluster so many places are examined; the gate examines each before the first statement of a grant.
const PLACES_MAX: usize = 100;

/// Looks at everything, and says what it saw.
///
/// # Errors
/// If nothing can be shown.
pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let mut findings = Findings::new();
    look_at_configuration(context, &mut findings);
    keys::look_at_keys(context, &mut findings)?;
    look_at_certificates(context, &mut findings);
    let state = look_at_register(context, &mut findings);
    look_at_roles(context, &mut findings).await;
    look_at_log(context, &mut findings);
    for (name, cluster) in &context.config.clusters {
        let places = state.iter().flat_map(|state| places(state, name, cluster)).collect::<BTreeSet<_>>();
        let accepted: Vec<_> = context.config.fence.accept.iter().map(|entry| Accepted::from_entry(entry)).collect();
        match road::fence(cluster, (&cluster.host, cluster.port), accepted.clone()) {
            Ok(fence) => {
                look_at_cluster(&fence, name, &places, &mut findings).await;
                look_at_replicas(&fence, (name, cluster), &places, &accepted, &mut findings).await;
            }
            Err(failure) => findings.say("cluster", name, Err(failure.message().to_owned())),
        }
    }
    look_at_provider(&context.config, &mut findings);
    if context.config.road.application.is_empty() {
        let detail = "[road] application names nobody: every connection of your application counts as unexplained";
        findings.note("road", "[road]", detail.to_owned());
    }
    let (table, exit) = findings.told();
    context.show(&table)?;
    Ok(exit)
}

fn look_at_configuration(context: &Context, findings: &mut Findings) {
    let looked = config::looked(&context.config);
    let all = looked.len();
    let faults = looked.into_iter().filter_map(|looked| Some((looked.role, looked.what, looked.state.err()?)));
    let mut wrong = 0;
    for (role, what, fault) in faults {
        wrong += 1;
        findings.say("configuration", what, Err(format!("{role}: {fault}")));
    }
    if wrong == 0 {
        findings.say("configuration", "promise, users, secrets", Ok(format!("all {all} can be used")));
    }
}

fn look_at_certificates(context: &Context, findings: &mut Findings) {
    let (proxy, portal) = (&context.config.proxy, &context.config.portal);
    for (what, chain, key) in [
        ("gate's certificate", &proxy.certificate, &proxy.key),
        ("portal's certificate", &portal.certificate, &portal.key),
    ] {
        findings.say(what, chain.display(), certificate(chain, key));
    }
}

fn certificate(chain: &Path, key: &Path) -> Result<String, String> {
    Certificate::load(chain, key).map_err(|fault| fault.to_string())?;
    match tls::is_over(chain, SystemClock.now().plus(RENEW_BEFORE)).map_err(|fault| fault.to_string())? {
        true => Err("it ends within 14 days, or has ended: renew it, and send the role SIGHUP".to_owned()),
        false => Ok("belongs to its key, and is good for 14 days and more".to_owned()),
    }
}

fn look_at_register(context: &Context, findings: &mut Findings) -> Option<Arc<State>> {
    let place = At::from(&context.config.register).place();
    let read =
        || -> Result<Arc<State>, Failure> { Ok(Register::open(&context.config.register, context.trust()?)?.state()?) };
    match read() {
        Ok(state) => {
            let detail = format!(
                "{} customers, {} staff, every event in its place",
                state.customers().count(),
                state.all_staff().count()
            );
            findings.say("register", place, Ok(detail));
            Some(state)
        }
        Err(failure) => {
            findings.say("register", place, Err(failure.message().to_owned()));
            None
        }
    }
}

/// Whether those that should run answer.
async fn look_at_roles(context: &Context, findings: &mut Findings) {
    let config = &context.config;
    let socket = &config.keyring.socket;
    let keyring = async {
        let key = init::read_public_key(&config.keyring.public_key).map_err(|fault| fault.to_string())?;
        let connected = timeout(ANSWERED_WITHIN, keyring::Client::connect(socket, key)).await;
        let silent = || "it does not answer: look at its diagnostics".to_owned();
        connected.map_err(|_elapsed| silent())?.map(|_| "answers".to_owned()).map_err(|fault| fault.to_string())
    };
    findings.say("keyring's socket", socket.display(), keyring.await);
    for socket in context.sockets() {
        let (sessions, warnings) = register::sessions(std::slice::from_ref(&socket)).await;
        let said =
            if warnings.is_empty() { Ok(format!("{} sessions", sessions.len())) } else { Err(warnings.join("; ")) };
        findings.say("proxy's socket", socket.display(), said);
    }
    let listen = config.portal.listen;
    let portal = match timeout(ANSWERED_WITHIN, TcpStream::connect(listen)).await {
        Ok(Ok(_)) => Ok("takes connections".to_owned()),
        Ok(Err(fault)) => Err(format!("{fault}: start portreeve-portal")),
        Err(_elapsed) => Err("it does not answer: look at the diagnostics of portreeve-portal".to_owned()),
    };
    findings.say("portal", listen, portal);
}

/// Room for the log, and somebody outside who remembers it.
fn look_at_log(context: &Context, findings: &mut Findings) {
    let audit = &context.config.audit;
    let room = match RealDisk.free_bytes(&audit.directory) {
        Ok(free) if free < audit.reserve_bytes => Err(format!(
            "{free} bytes are free, and \"reserve_bytes\" of [audit] is {}: no session begins; make room",
            audit.reserve_bytes
        )),
        Ok(free) => Ok(format!("{free} bytes are free")),
        Err(fault) => Err(format!("cannot be looked at: {fault}")),
    };
    findings.say("audit log", audit.directory.display(), room);
    if context.config.witnesses.is_empty() {
        let detail = "nobody outside remembers how long the logs are: one whose tail was cut off together with all that is on \
                      this disk looks like a shorter log; name somebody in [witnesses.NAME]";
        findings.note("witness", "[witnesses]", detail.to_owned());
    }
}

/// Whether the identity provider is asked for more than a password.
fn look_at_provider(config: &Config, findings: &mut Findings) {
    let Some(oidc) = config.staff.oidc.as_ref().filter(|_| config.staff.sign_in == SignIn::Token) else { return };
    if oidc.amr.is_empty() && oidc.acr.is_empty() {
        let detail = "no authentication method or context is asked for: whoever signs in there with a password alone is let in; \
                      name one in \"amr\" or \"acr\"";
        findings.note("identity provider", "[staff.oidc]", detail.to_owned());
    }
    if oidc.password_too {
        let detail = "\"password_too\" is true: whoever is disabled there still gets in by a second factor from here";
        findings.note("identity provider", "[staff.oidc]", detail.to_owned());
    }
}

/// Where a customer's rows are: the database, how they lie in it, and the schema or the tenant key.
type Whose = (String, Layout, Option<String>);

/// Where the rows of that cluster's open accounts are: one place for all customers who share tables, unless each of them has
/// login roles of its own.
fn places(state: &State, name: &str, cluster: &Cluster) -> impl Iterator<Item = Whose> {
    let open = state.customers().filter(move |customer| customer.closure.is_none() && customer.cluster == name);
    open.map(move |customer| {
        let tenant = match customer.layout {
            Layout::Schema => customer.tenant.clone(),
            Layout::Shared if cluster.external.is_some() => customer.tenant.clone(),
            Layout::Database | Layout::Shared => None,
        };
        (customer.database.clone(), customer.layout, tenant)
    })
}

/// Whether each replica is one, and has replayed what the primary had written.
async fn look_at_replicas(
    fence: &Fence,
    (name, cluster): (&str, &Cluster),
    places: &BTreeSet<Whose>,
    accepted: &[Accepted],
    findings: &mut Findings,
) {
    let Some((database, ..)) = places.first() else { return };
    for (replica, at) in &cluster.replicas {
        let place = format!("{name}@{replica}");
        let looked = async {
            let upstream = road::upstream(cluster, (&at.host, at.port)).map_err(|fault| fault.message().to_owned())?;
            let replica = Replica::new(replica, upstream, accepted.to_vec(), at.replay_within);
            let replica = replica.map_err(|fault| fault.to_string())?;
            // The provisioner's own role is as good as any: it is there once what made it has been replayed.
            let caught_up = replica.caught_up(fence, database, &cluster.provisioner).await;
            Ok((caught_up.map_err(|fault| fault.to_string()), replica.unprotected(database).await))
        };
        let (caught_up, ways) = match looked.await {
            Ok(looked) => looked,
            Err(fault) => {
                findings.say("replica", place, Err(fault));
                continue;
            }
        };
        let follows = "follows, and has replayed what the primary had written".to_owned();
        findings.say("replica", &place, caught_up.map(|()| follows));
        match ways {
            Ok(ways) => ways.iter().for_each(|way| findings.note("replica", &place, told(way))),
            Err(fault) => findings.say("replica", &place, Err(format!("its pg_hba.conf is not seen: {fault}"))),
        }
    }
}

fn told(finding: &Finding) -> String {
    format!("{}: {}. {}", finding.word, finding.found, finding.hint)
}

/// What a grant of each scope could do there.
async fn look_at_cluster(fence: &Fence, cluster: &str, places: &BTreeSet<Whose>, findings: &mut Findings) {
    if places.is_empty() {
        findings.note("fence", cluster, "no customer is in it".to_owned());
    }
    if places.len() > PLACES_MAX {
        let detail = format!("{PLACES_MAX} of {} places are looked at; the gate looks at each itself", places.len());
        findings.note("fence", cluster, detail);
    }
    for (database, layout, tenant) in places.iter().take(PLACES_MAX) {
        let place = Place { database, tenant: tenant.as_deref() };
        let name = match (layout, tenant) {
            (Layout::Schema, Some(schema)) => format!("{cluster}: {database}, schema {schema}"),
            (Layout::Database | Layout::Shared, Some(tenant)) => format!("{cluster}: {database}, tenant {tenant}"),
            (Layout::Database | Layout::Shared | Layout::Schema, None) => format!("{cluster}: {database}"),
        };
        let mut seen = Seen::default();
        for scope in [Scope::Metadata, Scope::Read, Scope::Write] {
            match fence.foretell(place, *layout, scope).await {
                Ok(report) => seen.add(scope, report),
                Err(fault) => {
                    seen.fault = Some(fault.to_string());
                    break;
                }
            }
        }
        seen.tell(&name, findings);
    }
}

/// What was found in one place, each thing once, with the scopes it was found for.
#[derive(Default)]
struct Seen {
    fault: Option<String>,
    sound: Vec<&'static str>,
    /// What is refused, as it is told.
    wrong: BTreeMap<String, Vec<&'static str>>,
    /// What is worth knowing.
    notes: BTreeMap<String, Vec<&'static str>>,
}

impl Seen {
    fn add(&mut self, scope: Scope, report: Option<Report>) {
        let Some(report) = report else { return };
        if report.is_sound() {
            self.sound.push(scope.word());
        }
        for finding in &report.refusals {
            self.wrong.entry(told(finding)).or_default().push(scope.word());
        }
        for finding in report.strict.iter().chain(&report.remarks) {
            self.notes.entry(told(finding)).or_default().push(scope.word());
        }
        for (finding, reason) in &report.accepted {
            let text = format!("{}: {}. Accepted: {reason}", finding.word, finding.found);
            self.notes.entry(text).or_default().push(scope.word());
        }
    }

    fn tell(self, place: &str, findings: &mut Findings) {
        let is_empty = self.sound.is_empty() && self.wrong.is_empty();
        match self.fault {
            Some(fault) => findings.say("fence", place, Err(fault)),
            None if is_empty => {
                let detail = "no scope can be opened here: run \"portreeve fence apply\"";
                findings.say("fence", place, Err(detail.to_owned()));
            }
            None => {}
        }
        if !self.sound.is_empty() {
            findings.say("fence", place, Ok(format!("holds for {}", self.sound.join(", "))));
        }
        for (text, scopes) in self.wrong {
            findings.say("fence", place, Err(format!("{text} ({})", scopes.join(", "))));
        }
        for (text, scopes) in self.notes {
            findings.note("fence", place, format!("{text} ({})", scopes.join(", ")));
        }
    }
}
