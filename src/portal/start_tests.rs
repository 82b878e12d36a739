//! The whole portal from its configuration: keyring, register, logs and a proxy's socket, asked by `curl`.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::test_site::{Answer, OLGA_PASSWORD, OLGA_TOKEN, certificate, curl, owner};
use super::*;
use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::entropy::random;
use crate::grant::world::{customer, staff};
use crate::grant::{By, Draft, Layout, Mode, Personal, What};
use crate::ids::{CustomerId, EventId, SessionId, StaffId};
use crate::keyring::{Access, Kept, Server, init};
use crate::log::Claim;
use crate::log::search::{Query, search};

/// 2026-11-21T14:02:00Z.
const TWO_PAST_TWO: Timestamp = Timestamp(1_795_269_720_000_000);
const SESSION: SessionId = SessionId([1; 8]);

struct World {
    directory: TempDir,
    config: Config,
    keyring: keyring::Client,
    acme: CustomerId,
    asked: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

fn files(config: &Config) -> init::Files {
    let log = |origin: &str, secret: &Path| init::LogKey {
        origin: origin.to_owned(),
        secret: secret.to_owned(),
        public: keyring::pinned::log_key(&config.keyring.public_key, log::name_of(origin)),
    };
    init::Files {
        keyring: config.keyring.file.clone(),
        credential: config.keyring.credential.clone(),
        keyring_public: config.keyring.public_key.clone(),
        portal_signing: config.portal.signing_key.clone(),
        portal_public: config.portal.signing_public_key.clone(),
        instance: config.retention.instance_key.clone(),
        logs: vec![
            log("portreeve/portal", &config.portal.log_key),
            log("portreeve/keyring", &config.keyring.log_key),
            log("portreeve/proxy-gate-1", &config.proxy.log_key),
        ],
    }
}

fn configuration(directory: &TempDir, port: u16) -> Config {
    let uid = rustix::process::getuid().as_raw();
    let text = format!(
        r#"
[proxy]
socket = "control.sock"
log_key = "proxy-log.key"
[clusters.main]
host = "db"
ca = "ca.crt"
certificate = "client.crt"
key = "client.key"
password_file = "password"
[register]
path = "register/register.sqlite"
[audit]
directory = "audit"
segment_bytes = "1MiB"
reserve_bytes = "1MiB"
[keyring]
socket = "keyring.sock"
file = "keyring"
credential = "keyring.credential"
public_key = "keyring.pub"
writers = [{uid}]
openers = [{uid}]
log_key = "keyring-log.key"
[portal]
certificate = "chain.pem"
key = "key.pem"
public_url = "https://localhost:{port}"
signing_key = "portal-signing.key"
signing_public_key = "portal-signing.pub"
state = "."
log_key = "portal-log.key"
"#
    );
    let path = directory.path().join("portreeve.toml");
    std::fs::write(&path, text).expect("it writes");
    config::load(&path).expect("it holds")
}

fn open(config: &Config, writer: &str, key: &Path, recipients: &Recipients) -> Log {
    let seed = init::read_seed(key).expect("a seed");
    let mut settings = log::Settings::new(writer, SigningKey::from_seed(&seed));
    (settings.segment_bytes, settings.reserve_bytes) = (1 << 20, 1 << 20);
    let directory = config.audit.directory.join(writer);
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    Log::open(Arc::new(RealDisk), &directory, settings, recipients.clone(), clock, entropy).expect("a log")
}

/// A proxy's control socket that keeps what it is asked and knows one session of acme.
async fn control(socket: UnixListener, acme: CustomerId, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = socket.accept().await {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        let _read = BufReader::new(read).read_line(&mut line).await.expect("a line");
        let answer = if line.starts_with("{\"sessions\"") {
            format!(
                r#"{{"sessions":[{{"session":"{SESSION}","staff":4,"customer":{},"grant":9,"scope":"read","since":{},
                "address":"192.0.2.7","application":"psql","statements":2}}]}}"#,
                acme.0, TWO_PAST_TWO.0
            )
            .replace('\n', "")
        } else {
            asked.lock().expect("not poisoned").push(line.trim().to_owned());
            r#"{"ended":1}"#.to_owned()
        };
        write.write_all(format!("{answer}\n").as_bytes()).await.expect("it is read");
    }
}

impl World {
    async fn start(port: u16) -> World {
        let directory = tempfile::tempdir().expect("a directory");
        certificate(&directory);
        let config = configuration(&directory, port);
        let disk: Arc<dyn crate::disk::Disk> = Arc::new(RealDisk);
        init::init(&files(&config), &disk, &OsEntropy).expect("keys");
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_keyring(&config).await);
        let public = init::read_public_key(&config.keyring.public_key).expect("a key");
        let keyring = keyring::Client::connect(&config.keyring.socket, public).await.expect("it answers");
        let acme = people(&config);
        let asked = Arc::default();
        let socket = UnixListener::bind(&config.proxy.socket).expect("a socket");
        tasks.spawn(control(socket, acme, Arc::clone(&asked)));
        World { directory, config, keyring, acme, asked, tasks }
    }

    /// What a proxy would have recorded: jane turned away, then let in, one statement.
    async fn statements(&self) {
        let recipients = Recipients::new();
        let wanted = [Recipient::Vendor, Recipient::Customer(self.acme)];
        self.keyring.ensure(&recipients, &wanted).await.expect("keys");
        let log = open(&self.config, "proxy-gate-1", &self.config.proxy.log_key, &recipients);
        let record = |minutes: u64, kind| {
            let at = TWO_PAST_TWO.plus(Duration::from_secs(60 * minutes));
            let mut record = Record::new(at, kind, Some(self.acme));
            record.skeleton.staff = Some(4);
            record
        };
        let mut refused = record(0, Kind::Refused);
        refused.skeleton.verb = Some("consent-off,no-grant".to_owned());
        log.record(refused).await.expect("recorded");
        let mut statement = record(5, Kind::Statement);
        statement.skeleton.verb = Some("query".to_owned());
        statement.values.text = Some(b"select * from contacts".to_vec());
        let claim = Claim::of(SESSION, 1);
        log.append(statement, claim).expect("queued").durable().await.expect("durable");
        let mut outcome = record(5, Kind::Outcome);
        (outcome.skeleton.session, outcome.skeleton.frame) = (Some(SESSION), Some(1));
        (outcome.skeleton.rows, outcome.skeleton.bytes) = (Some(12), Some(480));
        outcome.skeleton.result = Some("done".to_owned());
        log.record(outcome).await.expect("recorded");
        log.close().expect("closed");
    }

    async fn api(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let port = self.config.portal.public_url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        let authorization = format!("Authorization: Bearer {OLGA_TOKEN}");
        let mut arguments = vec!["-X", method, "-H", &authorization];
        arguments.extend(body.iter().flat_map(|body| ["--data-binary", body]));
        let url = format!("{}{path}", self.config.portal.public_url);
        arguments.push(&url);
        curl(self.directory.path(), port, &arguments).await
    }

    /// Message and kind of what the keyring recorded about opening.
    async fn opened(&self) -> Vec<String> {
        let recipients = Recipients::new();
        self.keyring.known(&recipients).await.expect("tags");
        let query = Query { kinds: vec![Kind::KeysOpened], ..Query::default() };
        let opener = |sealed| async { self.keyring.open(sealed, "test", "test").await };
        let found = search(&[self.config.audit.directory.join("keyring")], &query, &recipients, opener).await;
        let told = found.expect("found").into_iter().map(|found| format!("{:?}", found.record.values));
        told.collect()
    }
}

async fn serve_keyring(config: &Config) -> impl Future<Output = ()> + use<> {
    let uid = rustix::process::getuid().as_raw();
    let mut kept = Kept::open(Arc::new(RealDisk), &config.keyring.file, &config.keyring.credential).expect("it opens");
    let own = kept.own_recipients(&SystemClock, &OsEntropy).expect("made");
    let log = open(config, "keyring", &config.keyring.log_key, &own);
    let access = Access { writers: vec![uid], openers: vec![uid], ..Access::default() };
    let settings = keyring::Settings::new(config.keyring.socket.clone(), access);
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let server = Server::bind(settings, kept, own, log, clock, entropy).await.expect("bound");
    async move { server.run(std::future::pending()).await.expect("it serves") }
}

/// acme with olga, globex, jane (s4).
fn people(config: &Config) -> CustomerId {
    let portal_key = init::read_public_key(&config.portal.signing_public_key).expect("a key");
    let register = Register::open(&config.register.path, Trust { portal_key }).expect("it opens");
    let must = |what, personal: Personal| {
        let state = register.state().expect("it verifies");
        let draft = Draft { by: By::Operator, what, personal: Some(personal) };
        let place = (state.sequence(), state.head());
        let proposal = draft.propose(EventId(random(&OsEntropy)), SystemClock.now(), random(&OsEntropy), place);
        register.append(&proposal).expect("the rules allow it").0
    };
    let acme = CustomerId(must(What::CustomerCreated { layout: Layout::Database }, customer("acme")));
    must(What::CustomerCreated { layout: Layout::Database }, customer("globex"));
    must(What::OwnerCreated { customer: acme }, owner("olga", OLGA_PASSWORD, OLGA_TOKEN));
    assert_eq!(StaffId(must(What::StaffCreated, staff("jane"))), StaffId(4));
    acme
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_reads_ends_and_switches_over_the_real_thing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut world = World::start(listener.local_addr().expect("an address").port()).await;
    world.statements().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let told = async move { drop(stopped.await) };
    let served: JoinHandle<_> = tokio::spawn(run_on(world.config.clone(), listener, told));

    let history = world.api("GET", "/v1/customers/acme/history", None).await;
    assert_eq!(history.status, 200, "{}", history.body);
    let entries = history.json()["entries"].clone();
    assert_eq!(entries[0]["text"].as_str(), Some("select * from contacts"), "{entries:#}");
    assert_eq!(
        (entries[0]["outcome"]["rows"].as_u64(), entries[0]["staff"]["name"].as_str()),
        (Some(12), Some("jane"))
    );
    let turned_away = "Turned away. jane tried at 14:02; you had not allowed it. Nothing was shown.";
    assert_eq!(entries[1]["summary"].as_str(), Some(turned_away));
    assert_eq!(entries.as_array().map(Vec::len), Some(2));
    let opened = world.opened().await;
    assert!(opened.iter().any(|told| told.contains("o3") && told.contains("owner reads own history")), "{opened:?}");

    let consent = "/v1/customers/acme/consent";
    let on = world.api("PUT", consent, Some(r#"{"mode":"standing","scope":"read"}"#)).await;
    assert_eq!((on.status, on.json()["mode"].as_str()), (200, Some("standing")), "{}", on.body);
    let sessions = world.api("GET", "/v1/customers/acme/sessions", None).await.json();
    assert_eq!(sessions["sessions"][0]["staff"]["name"].as_str(), Some("jane"), "{sessions}");
    let end = format!("/v1/customers/acme/sessions/{SESSION}/end");
    assert_eq!(world.api("POST", &end, Some("")).await.status, 200);
    let off = world.api("PUT", consent, Some(r#"{"mode":"off"}"#)).await;
    assert_eq!((off.status, off.json()["mode"].as_str()), (200, Some("off")), "{}", off.body);
    let asked = world.asked.lock().expect("not poisoned").clone();
    assert_eq!(asked[0], format!(r#"{{"end":{{"by":"o3","session":"{SESSION}"}}}}"#));
    let lock = format!(r#"{{"lock":{{"customer":{},"since":"#, world.acme.0);
    assert!(asked[1].starts_with(&lock), "off goes to the proxies directly: {asked:?}");

    let history = world.api("GET", "/v1/customers/acme/history?limit=2", None).await.json();
    let summary = |n: usize| history["entries"][n]["summary"].as_str().unwrap_or_default().to_owned();
    assert_eq!(summary(0), "olga switched support access off", "{history:#}");
    assert_eq!(summary(1), "olga allowed the support team to see everything", "{history:#}");

    drop(stop);
    served.await.expect("no panic").expect("stopped in order");
    let public =
        init::read_public_key(&keyring::pinned::log_key(&world.config.keyring.public_key, "portal")).expect("a key");
    let directory: PathBuf = world.config.audit.directory.join("portal");
    let findings = log::verify::verify(&directory, &public, None).expect("readable");
    assert!(findings.iter().all(|finding| !finding.verdict.is_alarm()), "{findings:?}");
    assert!(!findings.is_empty());
    let state = Register::open(&world.config.register.path, Trust { portal_key: trusted(&world.config) });
    let state = state.expect("it verifies").state().expect("it folds");
    assert_eq!(state.customer(world.acme).map(|acme| acme.consent.mode), Some(Mode::Off));
    world.tasks.shutdown().await;
}

fn trusted(config: &Config) -> [u8; 32] {
    init::read_public_key(&config.portal.signing_public_key).expect("a key")
}

#[tokio::test]
async fn a_signing_key_that_nobody_trusts_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = configuration(&directory, 1);
    let disk: Arc<dyn crate::disk::Disk> = Arc::new(RealDisk);
    init::init(&files(&config), &disk, &OsEntropy).expect("keys");
    let trust = Trust { portal_key: [7; 32] };
    let refused = signing_key(&config.portal.signing_key, &config.portal.signing_public_key, &trust);
    assert!(matches!(refused, Err(StartError::SigningKey { .. })));
}
