//! Erasure shown, on roles that are processes: what staff did to a customer's data is recorded, its owner reads it, keys are
//! destroyed by the daemon; then every file, every listed copy and the memory of every process is searched for the texts,
//! the data keys, the private keys and the tag key. Another customer's are found all the time: the search does find.

#![expect(clippy::panic, reason = "a test fails by panicking, in its own functions too")]
#![expect(clippy::indexing_slicing, reason = "there are four places, always")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use portreeve::audit::checkpoint::SigningKey;
use portreeve::audit::keys::{Recipient, Recipients};
use portreeve::audit::tag::Tags;
use portreeve::cli::demo::stage::{self, Stage, said};
use portreeve::clock::{Clock, SystemClock, Timestamp};
use portreeve::config::{self, Config};
use portreeve::disk::RealDisk;
use portreeve::entropy::{OsEntropy, random};
use portreeve::grant::{AccountStep, By, Draft, State, Trust, What};
use portreeve::ids::CustomerId;
use portreeve::keyring::{Client, init};
use portreeve::log::reader::Reader;
use portreeve::log::search::logs;
use portreeve::log::{self, Log};
use portreeve::register::{Acts, Register};

use super::keyring_file::{self, Content};
use super::memory::{Needle, found_in_memory};

const COPIES: [&str; 2] = ["copies/one/keyring", "copies/two/keyring"];
/// A writer looks every ten seconds for whom it must forget.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The machine's time, so many days ago.
struct Ago(u32);

impl Clock for Ago {
    fn now(&self) -> Timestamp {
        let micros = i64::try_from((DAY * self.0).as_micros()).expect("short");
        Timestamp(SystemClock.now().0 - micros)
    }
}

struct Shown {
    stage: Stage,
    config: Config,
    /// Outside of the stage: what the owner took home, and an old copy that somebody kept.
    elsewhere: tempfile::TempDir,
}

impl Shown {
    async fn set() -> Shown {
        let mut settings = stage::Settings::new(env!("CARGO_BIN_EXE_portreeve"));
        settings.cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        let copies = format!("copies = [\"{}\", \"{}\"]", COPIES[0], COPIES[1]);
        settings.lines = vec![("keyring".to_owned(), copies)];
        let mut stage = Stage::set_up(settings).await.expect("a stage");
        for copy in COPIES {
            std::fs::create_dir_all(stage.path(copy).parent().expect("a folder")).expect("made");
        }
        for folder in ["retention", "archives"] {
            std::fs::create_dir_all(stage.path(folder)).expect("made");
        }
        stage.run(&["keys", "backup"]).expect("copies are written");
        stage.start_retention().await.expect("the daemon");
        let config = config::load(&stage.configuration()).expect("a configuration");
        Shown { stage, config, elsewhere: tempfile::tempdir().expect("a folder") }
    }

    fn register(&self) -> Register {
        Register::open(&self.config.register.path, self.trust()).expect("a register")
    }

    fn trust(&self) -> Trust {
        Trust { portal_key: init::read_public_key(&self.config.portal.signing_public_key).expect("a key") }
    }

    fn customer(&self, name: &str) -> CustomerId {
        self.register().state().expect("a state").customer_named(name).expect("a customer").id
    }

    async fn keyring(&self) -> Client {
        let key = init::read_public_key(&self.config.keyring.public_key).expect("a key");
        Client::connect(&self.config.keyring.socket, key).await.expect("the keyring answers")
    }

    /// Staff looks at a customer's data, and its owner reads what they did. The texts that must be gone some day.
    fn used(&self, customer: &str) -> Vec<Needle> {
        let tag: [u8; 12] = random(&OsEntropy);
        let tag: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        let (asked, wrong) = (format!("asked-{customer}-{tag}"), format!("wrong-{customer}-{tag}"));
        let (status, body) =
            self.stage.set_consent(customer, r#"{"mode": "standing", "scope": "read"}"#).expect("an answer");
        assert_eq!(status, 200, "{body}");
        self.stage.grant(customer, "read").expect("a grant");
        for statement in [format!("select '{asked}'"), format!("select '{wrong}'::int")] {
            let mut psql = self.stage.psql(customer).expect("psql");
            let output = psql.args(["-c", &statement]).output().expect("psql runs");
            assert_eq!(output.status.success(), statement.contains("asked"), "{}", said(&output));
        }
        let path = format!("/v1/customers/{customer}/history");
        let (status, body) = self.stage.api(customer, "GET", &path, None).expect("an answer");
        assert!(status == 200 && body.contains(&asked) && body.contains(&wrong), "{status}: {body}");
        vec![
            Needle::new(format!("text {asked}"), asked.as_bytes()),
            Needle::new(format!("text {wrong}"), wrong.as_bytes()),
        ]
    }

    /// What is in the keyring's own file, opened as an attacker with everything would.
    fn keyring_file(&self) -> Content {
        let file = &self.config.keyring.file;
        let generations = file.with_added_extension("generation");
        keyring_file::opened(file, &generations, &self.config.keyring.credential).expect("it opens")
    }

    /// Data keys, private keys and the tag key of that customer.
    async fn keys(&self, customer: CustomerId) -> Vec<Needle> {
        let (mut needles, recipient) = (Vec::new(), Recipient::Customer(customer));
        let content = self.keyring_file();
        for key in content.private.iter().filter(|key| key.recipient == recipient) {
            needles.extend(of_key(&format!("private key of the {} for {}", key.part, key.period), &key.key));
        }
        for tag in content.tags.iter().filter(|tag| tag.recipient == recipient) {
            needles.extend(of_key("tag key", &tag.key));
            needles.extend(ready("tag key", &tag.key));
        }
        let (keyring, known) = (self.keyring().await, Recipients::new());
        keyring.known(&known).await.expect("tag keys");
        for dir in logs(&self.config.audit.directory).expect("listed") {
            let reader = Reader::open(&dir).expect("a log");
            let mut sealed = reader.sealed_data_keys(&mut Tags::new(&known, reader.origin())).expect("readable");
            sealed.retain(|key| key.recipient == recipient);
            let places: Vec<String> = sealed.iter().map(|key| format!("{}/{}", key.origin, key.position)).collect();
            let opened = keyring.open(sealed, "a test", "to know what must be gone").await.expect("opened");
            let named = places.iter().zip(&opened);
            for (place, key) in named {
                let what = format!("data key {place}");
                needles.extend(of_key(&what, key.expose()));
                needles.extend(ready(&what, key.expose()));
            }
        }
        needles
    }

    /// Closes the account as of more than a year ago, so that all of it is due.
    async fn close(&self, customer: CustomerId) {
        let (register, trust) = (self.register(), self.trust());
        let recipients = Recipients::new();
        self.keyring().await.ensure(&recipients, &[Recipient::Vendor]).await.expect("keys");
        let seed = init::read_seed(&self.config.cli.log_key).expect("a seed");
        let names = std::fs::read_dir(&self.config.audit.directory).expect("listed");
        let names = names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let name = names.into_iter().find(|name| name.starts_with("cli-")).expect("the command line's log");
        let audit = &self.config.audit;
        let settings = log::Settings::new(&name, SigningKey::from_seed(&seed));
        let settings = settings.sized(audit.segment_bytes, audit.reserve_bytes, audit.epoch_after, audit.epoch_bytes);
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let log = Log::open(Arc::new(RealDisk), &audit.directory.join(&name), settings, recipients, clock, entropy);
        let log = log.expect("the command line is at rest");
        let sockets = vec![self.config.proxy.socket.clone()];
        let (clock, entropy) = (Arc::new(Ago(400)), Arc::new(OsEntropy));
        let acts = Acts { register, log: log.clone(), trust, sockets, clock, entropy };
        let what = What::Account { customer, step: AccountStep::Closed };
        let closed = acts.act(None, |_: &State| Ok(Draft { by: By::Operator, what, personal: None })).await;
        closed.expect("closed");
        drop(acts);
        log.close().expect("the log closes");
    }

    /// Waits until the daemon has destroyed both parts everywhere.
    async fn erased(&self, customer: CustomerId) {
        let began = Instant::now();
        loop {
            let state = self.register().state().expect("a state");
            let closure = state.customer(customer).and_then(|customer| customer.closure.clone()).expect("closed");
            if closure.values.is_done() && closure.skeleton.is_done() {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(90), "{closure:?}\n{}", self.daemon_said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn daemon_said(&self) -> String {
        let role = self.stage.retention.as_ref().expect("it runs");
        std::fs::read_to_string(&role.log).unwrap_or_default()
    }

    /// The keyring's file with its secret, and each copy, as somebody might keep them: of before the erasure.
    fn keep_old_copies(&self) {
        for (place, kept) in self.places() {
            std::fs::copy(&place, &kept).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        }
    }

    /// Where the keyring is kept, and where what it was is kept outside.
    fn places(&self) -> Vec<(PathBuf, PathBuf)> {
        let file = self.config.keyring.file.clone();
        let mut places = vec![file.with_added_extension("generation"), file];
        places.extend(COPIES.map(|copy| self.stage.path(copy)));
        let kept = |number: usize| self.elsewhere.path().join(number.to_string());
        places.into_iter().enumerate().map(|(number, place)| (place, kept(number))).collect()
    }

    /// Each listed copy opens and holds nothing of that customer's; what it was before opens no more.
    fn copies_are_without(&self, customer: CustomerId) {
        let credential = &self.config.keyring.credential;
        let generations = self.config.keyring.file.with_added_extension("generation");
        for (place, kept) in self.places().into_iter().skip(1) {
            let content = keyring_file::opened(&place, &generations, credential).expect("it opens");
            let recipient = Recipient::Customer(customer);
            assert!(content.private.iter().all(|key| key.recipient != recipient), "{}", place.display());
            assert!(content.tags.iter().all(|tag| tag.recipient != recipient), "{}", place.display());
            assert!(!content.private.is_empty() && !content.tags.is_empty(), "{} holds the others'", place.display());
            assert!(
                keyring_file::opened(&kept, &generations, credential).is_none(),
                "an old {} opens",
                place.display()
            );
        }
    }

    /// Puts back what the keyring was before the erasure: as much of it as the first `count` places.
    fn put_back(&self, count: usize) {
        for (place, kept) in self.places().into_iter().take(count) {
            std::fs::remove_file(&place).expect("it is there");
            std::fs::copy(&kept, &place).expect("put back");
        }
    }

    async fn old_keyrings_bring_nothing_back(&mut self, customer: CustomerId) {
        let current = tempfile::tempdir().expect("a folder");
        let now = |number: usize| current.path().join(number.to_string());
        let places: Vec<PathBuf> = self.places().into_iter().map(|(place, _)| place).collect();
        // While it runs: it goes on without what is in the old file, and writes over it or refuses to start with it.
        for (number, place) in places.iter().enumerate() {
            std::fs::copy(place, now(number)).expect("copied");
        }
        std::fs::remove_file(&places[1]).expect("it is there");
        std::fs::copy(self.elsewhere.path().join("1"), &places[1]).expect("put back");
        assert!(!self.holds(customer).await, "a running keyring does not read its file");
        // Before it starts: the file alone; with its secret beside newer copies.
        for count in [2, 3] {
            self.stage.keyring = None;
            if count == 3 {
                std::fs::copy(self.elsewhere.path().join("0"), &places[0]).expect("put back");
            }
            let refused = self.stage.start_keyring().expect_err("an old one is not believed").to_string();
            assert!(refused.contains("an old copy was brought back"), "{refused}");
        }
        // All of it, everywhere: it starts, and whoever remembers what was destroyed has it destroyed again. The daemon runs
        // all the time, as it did when the keys were destroyed.
        self.put_back(4);
        self.stage.start_keyring().expect("nothing on this machine remembers a newer one");
        self.holds_no_more(customer).await;
        // As early as when the daemon starts after that, too.
        self.stage.retention = None;
        self.stage.keyring = None;
        self.put_back(4);
        self.stage.start_keyring().expect("nothing on this machine remembers a newer one");
        assert!(self.holds(customer).await, "or there is nothing to be seen");
        self.stage.start_retention().await.expect("the daemon");
        self.holds_no_more(customer).await;
    }

    /// Waits until the running daemon has had those keys destroyed again, and looks whether it said why.
    async fn holds_no_more(&self, customer: CustomerId) {
        let began = Instant::now();
        while self.holds(customer).await {
            assert!(began.elapsed() < Duration::from_secs(30), "{}", self.daemon_said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.copies_are_without(customer);
        assert!(self.daemon_said().contains("an old keyring was brought back"), "{}", self.daemon_said());
    }

    async fn holds(&self, customer: CustomerId) -> bool {
        let (_, held) = self.keyring().await.held().await.expect("listed");
        held.iter().any(|slot| slot.recipient == Recipient::Customer(customer))
    }

    /// The pinned key of every log.
    fn log_keys(&self) -> Vec<PathBuf> {
        let folder = self.config.keyring.public_key.with_file_name("log-keys");
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// Which needles stand in which file under the stage: keys as bytes, as hexadecimal digits and as base64.
    fn in_files(&self, needles: &[Needle]) -> Vec<String> {
        let root = self.stage.configuration();
        let mut found = Vec::new();
        visit(root.parent().expect("a folder"), &mut |path, bytes| {
            let here = needles.iter().filter(|needle| needle.is_in(bytes));
            found.extend(here.map(|needle| format!("{} in {}", needle.what, path.display())));
        });
        found
    }

    /// Which needles stand in the memory of which role.
    fn in_memory(&self, needles: &[Needle]) -> Vec<String> {
        let Stage { proxy, portal, retention, keyring, .. } = &self.stage;
        let roles = [("proxy", proxy), ("portal", portal), ("retention", retention), ("keyring", keyring)];
        let mut found = Vec::new();
        for (name, role) in roles {
            let pid = role.as_ref().expect("it runs").pid();
            let here = found_in_memory(pid, needles).unwrap_or_else(|why| panic!("{name}: {why}"));
            found.extend(here.into_iter().map(|what| format!("{what} in {name}")));
        }
        found
    }
}

/// A key as it is, in hexadecimal digits, and in base64.
fn of_key(what: &str, key: &[u8; 32]) -> [Needle; 3] {
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD_NO_PAD.encode(key);
    [key.as_slice(), digits.as_bytes(), base64.as_bytes()].map(|bytes| Needle::new(what, bytes))
}

/// What a writer makes of a key to use it: the states of HMAC-SHA-256 behind it, which do all that the key itself does.
fn ready(what: &str, key: &[u8; 32]) -> [Needle; 2] {
    let mut beginning = [0_u32; 8];
    for (word, prime) in beginning.iter_mut().zip([2_f64, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0]) {
        // FIPS 180-4: the first 32 bits behind the point of the square roots of the first primes.
        *word = (prime.sqrt().fract() * f64::from(2_u32.pow(16)) * f64::from(2_u32.pow(16))) as u32;
    }
    [0x36, 0x5c].map(|pad| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        let mut state = beginning;
        sha2::block_api::compress256(&mut state, &[block]);
        Needle::new(format!("{what}, ready for use"), state.map(u32::to_ne_bytes).as_flattened())
    })
}

fn visit(folder: &Path, look: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        let kind = std::fs::symlink_metadata(&path).expect("it is there").file_type();
        if kind.is_dir() {
            visit(&path, look);
        } else if kind.is_file() {
            look(&path, &std::fs::read(&path).expect("what cannot be read may hold anything"));
        }
    }
}

/// The rows of a verification, and that none of them is an alarm.
fn verified(shown: &Shown, arguments: &[&str]) -> String {
    let output = shown.stage.command(arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    said(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_erased_customer_is_in_any_file_copy_or_process() {
    let mut shown = Shown::set().await;
    let (acme, globex) = (shown.customer("acme"), shown.customer("globex"));
    let (texts, _) = (shown.used("acme"), shown.used("globex"));
    // The keyring has read its keys from its file, too, not only made them.
    shown.stage.start_keyring().expect("it starts again");
    let (keys, others) = (shown.keys(acme).await, shown.keys(globex).await);
    for kind in
        ["private key of the values", "private key of the skeleton", "tag key", "data key portreeve/proxy-gate-1/"]
    {
        assert!(keys.iter().any(|key| key.what.starts_with(kind)), "{kind} is among what is sought");
    }
    // What is looked for in files is found where it stands: a text, and data keys as a proof hands them on.
    let planted = shown.stage.path("planted");
    let text = texts.first().and_then(|needle| needle.what.strip_prefix("text ")).expect("a text");
    std::fs::write(&planted, text).expect("written");
    assert_eq!(shown.in_files(&texts), [format!("text {text} in {}", planted.display())]);
    let (proof, began) = (shown.elsewhere.path().join("proof.json"), Instant::now());
    loop {
        shown
            .stage
            .run(&["audit", "prove", "--customer", "acme", "--output", &proof.to_string_lossy()])
            .expect("proved");
        std::fs::copy(&proof, &planted).expect("copied");
        let found = shown.in_files(&keys);
        if found.iter().any(|found| found.starts_with("data key portreeve/proxy-gate-1/")) {
            break;
        }
        // A proof goes as far as the last checkpoint, and there is one each second.
        assert!(began.elapsed() < Duration::from_secs(20), "{found:#?}");
        std::fs::remove_file(&proof).expect("removed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    std::fs::remove_file(&planted).expect("removed");
    shown.keep_old_copies();

    shown.close(acme).await;
    shown.erased(acme).await;
    assert_eq!(shown.in_files(&texts), [""; 0], "in files");
    assert_eq!(shown.in_files(&keys), [""; 0], "in files");
    shown.copies_are_without(acme);
    let gone: Vec<Needle> = texts.into_iter().chain(keys).collect();
    let began = Instant::now();
    loop {
        let found = shown.in_memory(&gone);
        if found.is_empty() {
            break;
        }
        assert!(began.elapsed() < FORGOTTEN_WITHIN, "still there: {found:#?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // The search does find: who lives is remembered by whoever needs to.
    let there = shown.in_memory(&others);
    for expected in ["tag key in proxy", "tag key in portal", "tag key in retention", "tag key in keyring"] {
        assert!(there.iter().any(|found| found == expected), "{expected}: {there:#?}");
    }
    let is_ready =
        |key: &str| there.iter().any(|found| found.starts_with(key) && found.ends_with(", ready for use in proxy"));
    assert!(is_ready("tag key") && is_ready("data key portreeve/proxy-gate-1/"), "in the proxy: {there:#?}");
    assert_eq!(there.iter().filter(|found| found.starts_with("private key")).count(), 2, "in the keyring: {there:#?}");

    // Every log and every proof verifies, and says what is gone.
    for arguments in [&["audit", "verify"][..], &["audit", "verify", "--open"]] {
        let rows = verified(&shown, arguments);
        assert!(rows.contains("erased"), "{rows}");
    }
    let keys: Vec<PathBuf> = shown.log_keys();
    let mut arguments = vec!["verify-proof".to_owned(), proof.to_string_lossy().into_owned()];
    arguments.extend(keys.iter().flat_map(|key| ["--key".to_owned(), key.to_string_lossy().into_owned()]));
    verified(&shown, &arguments.iter().map(String::as_str).collect::<Vec<_>>());

    shown.old_keyrings_bring_nothing_back(acme).await;
}
