//! A portal for tests: a real register, real TLS on a port of its own, `curl` as the browser, a book written by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use aws_lc_rs::signature::Ed25519KeyPair;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::acts::{Acting, Acts};
use super::attempts::Bounds;
use super::door::Door;
use super::session::sha256;
pub(super) use super::test_book::session;
use super::test_book::{FixedBook, entries, live};
use super::{Settings, StartError, serve};
use crate::audit::record::{Kind, Record};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::entropy::{OsEntropy, random};
use crate::grant::world::{customer, portal_key, staff, trust};
use crate::grant::{AccountStep, By, Consent, Draft, Layout, Mode, Personal, Scope, ShownBy, StaffStep, State, What};
use crate::ids::{CustomerId, EventId, GrantId, OwnerId, Sequence, SessionId, StaffId};
use crate::net::https::ALPN;
use crate::net::tls::Certificate;
use crate::register::{self, Follower, Register, Revision};

/// Olga owns acme.
pub(super) const OLGA_PASSWORD: &str = "correct horse & battery=staple";
pub(super) const OLGA_TOKEN: &str = "olga-token-0123456789abcdef";
/// Otto owns globex.
pub(super) const OTTO_TOKEN: &str = "otto-token-0123456789abcdef";

/// The private key that opens archives here: any 32 bytes are one.
pub(super) const ARCHIVE_KEY: [u8; 32] = [9; 32];

/// What archives are sealed to here.
pub(super) fn archive_public_key() -> [u8; 32] {
    use aws_lc_rs::agreement::{PrivateKey, X25519};
    let private = PrivateKey::from_private_key(&X25519, &ARCHIVE_KEY).expect("32 bytes are a key");
    let public = private.compute_public_key().expect("it has one");
    public.as_ref().try_into().expect("32 bytes")
}

/// Acts straight upon the register, without an audit log.
#[derive(Clone)]
struct Direct {
    register: Register,
    recorded: Arc<Mutex<Vec<Record>>>,
    /// Whether passwords of staff are refused, as when a rule was broken a moment ago.
    refuses: Arc<AtomicBool>,
}

impl Direct {
    fn append(&self, by: By, what: What, personal: Option<Personal>) -> Result<Sequence, register::Error> {
        self.append_signed(&portal_key(), by, what, personal)
    }

    fn append_signed(
        &self,
        key: &Ed25519KeyPair,
        by: By,
        what: What,
        personal: Option<Personal>,
    ) -> Result<Sequence, register::Error> {
        let state = self.register.state()?;
        let draft = Draft { by, what, personal };
        let place = (state.sequence(), state.head());
        let (id, salt) = (EventId(random(&OsEntropy)), random(&OsEntropy));
        let mut proposal = draft.propose(id, SystemClock.now(), salt, place);
        if what.is_signed(by) {
            proposal.sign(key, &state.head());
        }
        self.register.append(&proposal)
    }
}

impl Acts for Direct {
    fn set_consent(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        (mode, scope, until): (Mode, Scope, Option<Timestamp>),
    ) -> Acting<'_, Result<Consent, register::Error>> {
        Box::pin(async move {
            self.append(By::Owner(owner), What::ConsentSet { customer, mode, scope, until }, None)?;
            let state = self.register.state()?;
            Ok(state.customer(customer).expect("it was there").consent.clone())
        })
    }

    fn revise(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        seen: Sequence,
        to: Revision,
    ) -> Acting<'_, Result<Consent, register::Error>> {
        Box::pin(async move {
            let (what, side) = to.change(&*self.register.state()?, (customer, seen), SystemClock.now())?;
            self.append(By::Owner(owner), what, side)?;
            let state = self.register.state()?;
            Ok(state.customer(customer).expect("it was there").consent.clone())
        })
    }

    fn end_grant(&self, owner: OwnerId, grant: GrantId) -> Acting<'_, Result<(), register::Error>> {
        Box::pin(async move { self.append(By::Owner(owner), What::GrantEnded { grant }, None).map(drop) })
    }

    fn account(
        &self,
        owner: OwnerId,
        customer: CustomerId,
        step: AccountStep,
    ) -> Acting<'_, Result<(), register::Error>> {
        Box::pin(async move { self.append(By::Owner(owner), What::Account { customer, step }, None).map(drop) })
    }

    fn change(
        &self,
        owner: OwnerId,
        what: What,
        side: Option<Personal>,
    ) -> Acting<'_, Result<Arc<State>, register::Error>> {
        Box::pin(async move {
            self.append(By::Owner(owner), what, side)?;
            self.register.state()
        })
    }

    fn issue_token(
        &self,
        staff: StaffId,
        (until, shown): (Timestamp, ShownBy),
        verifier: String,
    ) -> Acting<'_, Result<(), register::Error>> {
        Box::pin(async move {
            if self.refuses.load(Ordering::SeqCst) {
                return Err(register::Error::Refused("that was used a moment ago".to_owned()));
            }
            let what = What::Staff { staff, step: StaffStep::TokenIssued { until, code: shown.code() } };
            let state = self.register.state()?;
            let side = state.staff(staff).expect("they are there").standing.token_side(shown, verifier);
            self.append(By::Staff(staff), what, Some(side)).map(drop)
        })
    }

    fn record(&self, record: Record) -> Acting<'_, Result<(), crate::log::Error>> {
        self.recorded.lock().expect("not poisoned").push(record);
        Box::pin(async { Ok(()) })
    }
}

pub(super) fn owner(name: &str, password: &str, token: &str) -> Personal {
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &random::<16>(&OsEntropy));
    Personal {
        name: Some(name.to_owned()),
        password_hash: Some(hash.expect("it hashes").to_string()),
        token_digests: Some(vec![sha256(token.as_bytes()).to_vec().into()]),
        ..Personal::default()
    }
}

/// A portal that runs.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) origin: String,
    direct: Direct,
    directory: TempDir,
    follower: Follower,
    book: Arc<FixedBook>,
    recorded: Arc<Mutex<Vec<Record>>>,
    jars: AtomicU64,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), StartError>>,
}

impl Site {
    /// acme with olga, globex with otto, jane of the staff; the switches off, the book as above.
    pub(super) async fn start() -> Site {
        Site::start_with(|settings| settings).await
    }

    /// The same with other settings.
    pub(super) async fn start_with(change: impl FnOnce(Settings) -> Settings) -> Site {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("register/register.sqlite");
        let recorded = Arc::default();
        let register = Register::open(&path, trust()).expect("it opens");
        let acts = Direct { register, recorded: Arc::clone(&recorded), refuses: Arc::default() };
        let must = |what, personal| acts.append(By::Operator, what, Some(personal)).expect("the rules allow it").0;
        let acme = CustomerId(must(What::CustomerCreated { layout: Layout::Database }, customer("acme")));
        let globex = CustomerId(must(What::CustomerCreated { layout: Layout::Database }, customer("globex")));
        must(What::OwnerCreated { customer: acme }, owner("olga", OLGA_PASSWORD, OLGA_TOKEN));
        must(What::OwnerCreated { customer: globex }, owner("otto", "something else", OTTO_TOKEN));
        let jane = StaffId(must(What::StaffCreated, staff("jane")));
        let seen = directory.path().join("seen");
        let follower = Follower::start(&path, trust(), &seen, Arc::new(SystemClock)).expect("it follows");
        let book = Arc::new(FixedBook {
            entries: entries(acme, globex, jane),
            live: Mutex::new(vec![live(2, jane, acme), live(1, jane, acme), live(3, jane, globex)]),
            readers: Mutex::default(),
            shut: AtomicBool::new(false),
        });
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let origin = format!("https://localhost:{}", address.port());
        let (chain, key) = certificate(&directory);
        let settings = Settings {
            socket,
            tls: Certificate::load(&chain, &key).and_then(|both| both.server_config(ALPN)).expect("it fits"),
            public_url: origin.clone(),
            attempts: Bounds { window: Duration::from_secs(900), per_name: 5, per_address: 30 },
            per_address: 64,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            archives: directory.path().join("archives"),
            standing: true,
            observing: None,
            staff: None,
            door: Door::default(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let told = async move { drop(stopped.await) };
        let direct = acts.clone();
        let served = tokio::spawn(serve(change(settings), follower.clone(), Arc::new(acts), book.clone(), told));
        Site { address, origin, direct, directory, follower, book, recorded, jars: AtomicU64::new(0), stop, served }
    }

    pub(super) async fn stop(self) -> Result<(), StartError> {
        drop(self.stop);
        self.served.await.expect("it ends")
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.follower.state()
    }

    /// The present moment, as the portal sees it.
    pub(super) fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// Writes a change into the register, as somebody else than an owner at the portal does.
    pub(super) fn append(&self, by: By, what: What, personal: Option<Personal>) -> Sequence {
        self.direct.append(by, what, personal).expect("the rules allow it")
    }

    /// The same, signed by a code's key.
    pub(super) fn append_signed(
        &self,
        key: &Ed25519KeyPair,
        by: By,
        what: What,
        personal: Option<Personal>,
    ) -> Sequence {
        self.direct.append_signed(key, by, what, personal).expect("the rules allow it")
    }

    /// The state once the register was read again.
    pub(super) async fn newest(&self) -> Arc<State> {
        self.follower.caught_up(SystemClock.now(), Duration::from_secs(5)).await;
        self.state()
    }

    pub(super) fn customer(&self, name: &str) -> CustomerId {
        self.state().customer_named(name).expect("it is there").id
    }

    pub(super) fn owner(&self, name: &str) -> OwnerId {
        self.state().owner_named(name).expect("it is there").id
    }

    /// The consent once the follower shows it in that mode.
    pub(super) async fn consent(&self, name: &str, mode: Mode) -> Consent {
        for _ in 0..200 {
            let consent = self.state().customer_named(name).expect("it is there").consent.clone();
            if consent.mode == mode {
                return consent;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the consent of {name} did not become {mode:?}");
    }

    /// Where the files of that customer stand that its owners may take home.
    pub(super) fn archive_of(&self, name: &str) -> PathBuf {
        self.directory.path().join("archives").join(self.customer(name).to_string())
    }

    /// Waits until the portal knows what the register says.
    pub(super) async fn until(&self, told: impl Fn(&State) -> bool) {
        for _ in 0..200 {
            if told(&self.state()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the portal did not learn of it");
    }

    pub(super) fn readers(&self) -> Vec<OwnerId> {
        self.book.readers.lock().expect("not poisoned").clone()
    }

    /// What was recorded, as kind, owner and name.
    pub(super) fn recorded(&self) -> Vec<(Kind, Option<u64>, String)> {
        let recorded = self.recorded.lock().expect("not poisoned");
        recorded.iter().map(|r| (r.kind, r.skeleton.owner, r.values.owner.clone().unwrap_or_default())).collect()
    }

    /// The same records, whole.
    pub(super) fn records(&self) -> Vec<Record> {
        self.recorded.lock().expect("not poisoned").clone()
    }

    /// From now on no password of staff is taken.
    pub(super) fn refuse_passwords(&self) {
        self.direct.refuses.store(true, Ordering::SeqCst);
    }

    pub(super) fn sessions_left(&self) -> Vec<SessionId> {
        self.book.live.lock().expect("not poisoned").iter().map(|live| live.session).collect()
    }

    pub(super) fn lose_the_register(&self) {
        let folder = self.directory.path().join("register");
        std::fs::rename(&folder, folder.with_extension("lost")).expect("renamed");
    }

    pub(super) fn shut_the_book(&self) {
        self.book.shut.store(true, Ordering::SeqCst);
    }

    pub(super) fn stranger(&self) -> Browser<'_> {
        let jar = format!("cookies-{}", self.jars.fetch_add(1, Ordering::SeqCst));
        Browser { site: self, jar: self.directory.path().join(jar) }
    }

    pub(super) async fn signed_in(&self, name: &str, password: &str) -> Browser<'_> {
        let browser = self.stranger();
        let answer = browser.sign_in(name, password).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        browser
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.curl(&[&self.url(path)]).await
    }

    pub(super) async fn api(&self, method: &str, path: &str, token: &str, body: Option<&str>) -> Answer {
        let authorization = format!("Authorization: Bearer {token}");
        let mut arguments = vec!["-X", method, "-H", &authorization];
        if let Some(body) = body {
            arguments.extend(["-H", "Content-Type: application/json", "--data-binary", body]);
        }
        let url = self.url(path);
        arguments.push(&url);
        self.curl(&arguments).await
    }

    /// One request by curl.
    pub(super) async fn curl(&self, arguments: &[&str]) -> Answer {
        curl(self.directory.path(), self.address.port(), arguments).await
    }
}

/// One request by curl to that port, trusting the certificate in that directory; status 0 when there was no answer.
pub(super) async fn curl(directory: &Path, port: u16, arguments: &[&str]) -> Answer {
    let mut command = Command::new("curl");
    command.args(["--silent", "--include", "--max-time", "30", "--noproxy", "*", "--cacert"]);
    command.arg(directory.join("chain.pem"));
    command.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
    let output = command.args(arguments).stdin(Stdio::null()).output().await.expect("curl is installed");
    Answer::parse(&String::from_utf8_lossy(&output.stdout))
}

pub(super) fn certificate(directory: &TempDir) -> (PathBuf, PathBuf) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (chain, key) = (directory.path().join("chain.pem"), directory.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).expect("it writes");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&key).expect("it opens");
    std::io::Write::write_all(&mut file, made.signing_key.serialize_pem().as_bytes()).expect("it writes");
    (chain, key)
}

/// A browser with cookies of its own.
pub(super) struct Browser<'a> {
    site: &'a Site,
    jar: PathBuf,
}

impl Browser<'_> {
    pub(super) async fn request(&self, path: &str, arguments: &[&str]) -> Answer {
        let (jar, url) = (self.jar.display().to_string(), self.site.url(path));
        let mut all = vec!["-b", &jar, "-c", &jar, &url];
        all.extend(arguments);
        self.site.curl(&all).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.request(path, &[]).await
    }

    /// A form from our own page, each field already encoded.
    pub(super) async fn post(&self, path: &str, fields: &[&str]) -> Answer {
        let origin = format!("Origin: {}", self.site.origin);
        let mut arguments = vec!["-H", &origin, "-X", "POST"];
        arguments.extend(fields.iter().flat_map(|field| ["-d", field]));
        self.request(path, &arguments).await
    }

    pub(super) async fn post_with(&self, csrf: &str, path: &str, fields: &[&str]) -> Answer {
        let token = format!("csrf={csrf}");
        let fields: Vec<_> = std::iter::once(token.as_str()).chain(fields.iter().copied()).collect();
        self.post(path, &fields).await
    }

    pub(super) async fn sign_in(&self, name: &str, password: &str) -> Answer {
        let origin = format!("Origin: {}", self.site.origin);
        let (name, password) = (format!("name={name}"), format!("password={password}"));
        let form = ["-H", &origin, "--data-urlencode", &name, "--data-urlencode", &password];
        self.request("/sign-in", &form).await
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Answer {
    fn parse(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Answer { status: status.unwrap_or(0), headers, body: body.to_owned() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The token in the page's forms.
    pub(super) fn csrf(&self) -> String {
        self.hidden("csrf")
    }

    /// The consent the page was made from, as its forms send it back.
    pub(super) fn seen(&self) -> String {
        format!("seen={}", self.hidden("seen"))
    }

    fn hidden(&self, name: &str) -> String {
        let (_, rest) = self.body.split_once(&format!("name=\"{name}\" value=\"")).expect("a form");
        rest.split('"').next().expect("a value").to_owned()
    }
}
