//! A log and a witness that really runs: over HTTPS, by C2SP tlog-witness. The log grows, is rolled back with all that is
//! beside it, forks; the witness is away for a while, or somebody else.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::Ed25519KeyPair;
use portreeve::audit::checkpoint::{Checkpoint, SigningKey, verifier_key};
use portreeve::audit::cosignature::cosigned;
use portreeve::audit::keys::{Part, Recipient, RecipientKey, Recipients, TagKey, generate_key_pair};
use portreeve::audit::note::VerifierKey;
use portreeve::audit::public::{Lost, Notice};
use portreeve::audit::record::{Kind, Record};
use portreeve::cli::demo::stage::{self, Stage};
use portreeve::clock::{Clock, SystemClock};
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::ids::EventId;
use portreeve::log::growth::{Remembered, compare};
use portreeve::log::reader::Reader;
use portreeve::log::together::{Examined, judge};
use portreeve::log::verify::{Verdict, examine};
use portreeve::log::{Log, Settings};
use portreeve::secret::Secret;
use portreeve::witness::{self, create};
use portreeve::witnesses::{At, Endpoint, Logs, Submitter, Trouble, Witness, kept, remembered};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};

const WRITER: &str = "portal";
const ORIGIN: &str = "portreeve/portal";

fn signing() -> SigningKey {
    SigningKey::from_seed(&Secret::new([1; 32]))
}

/// A folder with logs, their keys, and a witness's folder that watches them.
struct Ground {
    folder: TempDir,
    recipients: Recipients,
    key: VerifierKey,
    certificate: (PathBuf, PathBuf),
}

impl Ground {
    fn new() -> Ground {
        let folder = tempfile::tempdir().expect("a folder");
        let recipients = Recipients::new();
        recipients.set_tag(Recipient::Vendor, TagKey(Secret::new([1; 32])));
        let keyring = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
        for part in Part::ALL {
            let period = Recipient::Vendor.period(SystemClock.now());
            recipients.set(RecipientKey::sign(Recipient::Vendor, part, period, generate_key_pair().0, &keyring));
        }
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("keys")).expect("made");
        let line = verifier_key(ORIGIN, &signing().public());
        std::fs::write(at("keys").join("portal.vkey"), &line).expect("written");
        let key = create(&RealDisk, &at("witness"), "witness.example/w1", &OsEntropy).expect("made");
        std::fs::write(at("witness").join("logs/portal.vkey"), &line).expect("written");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certificate = (at("crt"), at("key"));
        std::fs::write(&certificate.0, made.cert.pem()).expect("written");
        std::fs::write(&certificate.1, made.signing_key.serialize_pem()).expect("written");
        Ground { folder, recipients, key, certificate }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn logs(&self) -> Logs {
        Logs { audit: self.at("audit"), keys: self.at("keys") }
    }

    fn open(&self, name: &str, key: SigningKey, continuing: Option<String>) -> Log {
        let mut settings = Settings::new(name, key);
        (settings.segment_bytes, settings.reserve_bytes, settings.continues) = (32 << 10, 0, continuing);
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let dir = self.at("audit").join(name);
        Log::open(Arc::new(RealDisk), &dir, settings, self.recipients.clone(), clock, entropy).expect("opened")
    }

    /// Opens the log, writes so many records, closes it.
    async fn write(&self, records: usize) {
        let log = self.open(WRITER, signing(), None);
        for _ in 0..records {
            let mut record = Record::new(SystemClock.now(), Kind::Read, None);
            record.values.message = Some("x".repeat(5000));
            log.record(record).await.expect("durable");
        }
        log.close().expect("closed");
    }

    async fn run(&self, port: u16) -> Running {
        let socket = bound(port).await;
        let listen = socket.local_addr().expect("an address");
        let (certificate, key) = self.certificate.clone();
        let settings = witness::Settings { state: self.at("witness"), listen, certificate, key };
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            witness::run_on(&settings, socket, Arc::new(SystemClock), async move { drop(stopped.await) }).await
        });
        Running { port: listen.port(), stop, served }
    }

    fn witness(&self, port: u16, key: &VerifierKey) -> Witness {
        let endpoint = Endpoint::new(&format!("https://localhost:{port}"), key.clone(), &self.certificate.0);
        let at = At::Endpoint(endpoint.expect("an endpoint"));
        Witness { name: "far".to_owned(), every: Duration::from_secs(10), at }
    }

    fn submitter(&self, port: u16) -> Submitter {
        Submitter::new(self.witness(port, &self.key), self.logs())
    }

    /// What the witness remembers, cosigned.
    async fn remembered(&self, port: u16) -> Option<Checkpoint> {
        let log = self.logs().key(WRITER).expect("pinned");
        let mut notes = remembered(&self.witness(port, &self.key), &log, WRITER).await.expect("it answers");
        let note = notes.pop()?;
        assert!(cosigned(&note, &self.key).expect("a note").is_some(), "{note}");
        Some(Checkpoint::open(&note, ORIGIN, &signing().public()).expect("signed"))
    }

    fn signed(&self) -> Checkpoint {
        self.logs().signed(WRITER).expect("signed").checkpoint
    }

    fn verdicts(&self, remembers: Checkpoint) -> Vec<Verdict> {
        let all = vec![Remembered { by: "far".to_owned(), checkpoint: remembers }];
        let found = compare(&self.at("audit").join(WRITER), all).expect("readable");
        found.into_iter().map(|finding| finding.verdict).collect()
    }
}

/// A port that nobody else is given while the witness behind it is away, for as long as the socket is kept.
fn kept_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("shared with a listener");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let port = socket.local_addr().expect("an address").port();
    (socket, port)
}

/// A listener on that port. One that has ended may hold it a moment longer, until its task that accepts is gone.
async fn bound(port: u16) -> TcpListener {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => yield_now().await,
            bound => return bound.expect("a port"),
        }
    }
}

struct Running {
    port: u16,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), witness::StartError>>,
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.served.await.expect("it ends").expect("in order");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, to).expect("copied");
        }
    }
}

/// What each of them is about, in one word; nothing: it is over.
fn words(told: &[portreeve::witnesses::Told]) -> Vec<(&str, Option<&str>)> {
    told.iter().map(|told| (told.writer.as_str(), told.trouble.as_ref().map(Trouble::word))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grows_is_cosigned_and_one_that_was_rolled_back_is_not() {
    let ground = Ground::new();
    ground.write(3).await;
    let running = ground.run(0).await;
    let mut submitter = ground.submitter(running.port);
    assert_eq!(ground.remembered(running.port).await, None);
    assert_eq!(submitter.turn().await, []);
    assert_eq!(ground.remembered(running.port).await, Some(ground.signed()));
    copy(&ground.at("audit"), &ground.at("early"));

    ground.write(9).await;
    assert_eq!(submitter.turn().await, []);
    assert_eq!(ground.remembered(running.port).await, Some(ground.signed()));
    let kept_note = kept(&ground.at("audit"), WRITER).expect("readable").pop().expect("kept").1;
    assert!(cosigned(&kept_note, &ground.key).expect("a note").is_some());

    // Another process goes on from what is kept, and one that has nothing kept asks.
    ground.write(1).await;
    assert_eq!(ground.submitter(running.port).turn().await, []);
    ground.write(1).await;
    std::fs::remove_dir_all(ground.at("audit").join("witnessed")).expect("removed");
    assert_eq!(ground.submitter(running.port).turn().await, []);
    let newest = ground.signed();
    assert_eq!(ground.remembered(running.port).await.as_ref(), Some(&newest));

    // The whole audit directory as it was earlier, with what was kept in it.
    let late = ground.at("late");
    copy(&ground.at("audit"), &late);
    std::fs::remove_dir_all(ground.at("audit")).expect("removed");
    copy(&ground.at("early"), &ground.at("audit"));
    assert_eq!(words(&ground.submitter(running.port).turn().await), [(WRITER, Some("rolled-back"))]);
    assert_eq!(words(&submitter.turn().await), [(WRITER, Some("rolled-back"))]);
    assert_eq!(submitter.turn().await, [], "told once");
    assert_eq!(ground.verdicts(newest.clone()), [Verdict::RolledBack]);

    // It goes on from there, and gets longer than what is remembered.
    ground.write(30).await;
    assert!(ground.signed().size > newest.size);
    assert_eq!(words(&ground.submitter(running.port).turn().await), [(WRITER, Some("forked"))]);
    assert_eq!(words(&submitter.turn().await), [(WRITER, Some("forked"))]);
    assert_eq!(ground.verdicts(newest.clone()), [Verdict::Forked]);
    assert_eq!(ground.remembered(running.port).await.as_ref(), Some(&newest), "nothing else was cosigned");

    std::fs::remove_dir_all(ground.at("audit")).expect("removed");
    copy(&late, &ground.at("audit"));
    assert_eq!(words(&submitter.turn().await), [(WRITER, None)], "brought back");
    assert_eq!(ground.verdicts(newest), []);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_away_or_somebody_else_is_told_and_recorded() {
    let ground = Ground::new();
    ground.write(2).await;
    let (_kept, port) = kept_port();
    let running = ground.run(port).await;
    let mut submitter = ground.submitter(port);
    assert_eq!(submitter.turn().await, []);
    running.stop().await;
    ground.write(2).await;
    let away = submitter.turn().await;
    assert_eq!(words(&away), [("", Some("unreachable"))]);
    assert_eq!(submitter.turn().await, [], "told once");
    let record = away[0].record(&SystemClock);
    assert_eq!((record.kind, record.customer), (Kind::Unwitnessed, None));
    assert_eq!(
        (record.skeleton.verb.as_deref(), record.skeleton.result.as_deref()),
        (Some("far"), Some("unreachable"))
    );

    let again = ground.run(port).await;
    let over = submitter.turn().await;
    assert_eq!(words(&over), [("", None)]);
    assert_eq!(over[0].record(&SystemClock).kind, Kind::Witnessed);
    assert_eq!(ground.remembered(port).await, Some(ground.signed()));

    // Behind the same address, but of another key: what it answers is no cosignature of the witness that was meant.
    let other = create(&RealDisk, &ground.at("other"), "witness.example/w1", &OsEntropy).expect("made");
    ground.write(1).await;
    let told = Submitter::new(ground.witness(port, &other), ground.logs()).turn().await;
    assert_eq!(words(&told), [("", Some("unreachable"))]);
    assert!(told[0].trouble.as_ref().expect("trouble").to_string().contains("without a cosignature by"), "{told:?}");
    again.stop().await;

    // One that does not watch the log.
    std::fs::remove_file(ground.at("witness").join("logs/portal.vkey")).expect("removed");
    let blind = ground.run(0).await;
    assert_eq!(words(&ground.submitter(blind.port).turn().await), [(WRITER, Some("refused"))]);
    blind.stop().await;
}

/// The log's key is changed while a witness watches, and an erasure is told of in both logs: all of it together.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_goes_on_as_another_is_witnessed_on_with_its_notices() {
    const NEXT: &str = "portal.2";
    let next = || SigningKey::from_seed(&Secret::new([2; 32]));
    let notice = |event, logs: &[(&str, u64)]| {
        let lost = logs.iter().map(|(log, records)| Lost { log: (*log).to_owned(), records: *records });
        Notice::new(EventId([event; 16]), Part::Values, SystemClock.now(), lost.collect())
    };
    let ground = Ground::new();
    let (_kept, port) = kept_port();
    let running = ground.run(port).await;
    let mut submitter = ground.submitter(port);
    ground.write(3).await;
    let log = ground.open(WRITER, signing(), None);
    log.notice(notice(1, &[(ORIGIN, 1)])).await.expect("durable");
    assert_eq!(submitter.turn().await, []);
    log.close_to_continue(NEXT, &next().public()).expect("closed");
    assert_eq!(submitter.turn().await, [], "its end is cosigned, too");
    let ended = ground.signed();
    assert_eq!(ground.remembered(port).await.as_ref(), Some(&ended));

    let note = Reader::open(&ground.at("audit").join(WRITER)).expect("readable").note().to_owned();
    let log = ground.open(NEXT, next(), Some(note));
    let line = verifier_key("portreeve/portal.2", &next().public());
    std::fs::write(ground.at("keys").join("portal.2.vkey"), &line).expect("pinned");
    assert_eq!(words(&submitter.turn().await), [(NEXT, Some("refused"))], "the witness was not told of it");
    std::fs::write(ground.at("witness").join("logs/portal.2.vkey"), &line).expect("written");
    running.stop().await;
    let running = ground.run(port).await;
    log.notice(notice(2, &[(ORIGIN, 1), ("portreeve/portal.2", 1)])).await.expect("durable");
    log.close().expect("closed");
    assert_eq!(words(&submitter.turn().await), [(NEXT, None)]);
    assert_eq!(submitter.turn().await, []);
    assert_eq!(ground.remembered(port).await.as_ref(), Some(&ended), "of the old one what it was");

    let logs: Vec<_> = [(WRITER, signing()), (NEXT, next())]
        .map(|(name, key)| {
            let dir = ground.at("audit").join(name);
            examine(&dir, &key.public(), None, u64::MAX).expect("readable")
        })
        .into();
    let alarms = |log: &Examined| log.findings.iter().filter(|finding| finding.verdict.is_alarm()).count();
    assert_eq!(logs.iter().map(alarms).sum::<usize>(), 0, "{logs:?}");
    let found = judge(&logs, &BTreeSet::new(), SystemClock.now());
    let found: Vec<_> = found.into_iter().map(|(log, finding)| (log, finding.verdict)).collect();
    assert_eq!(found, [(ORIGIN.to_owned(), Verdict::Erased), ("portreeve/portal.2".to_owned(), Verdict::Erased)]);
    assert_eq!(ground.verdicts(ended), []);
    running.stop().await;
}

/// A folder on a mount whose server is away: whoever opens a file there waits for ever, here in a pipe that nobody writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_hangs_does_not_keep_the_portal_from_ending() {
    let mut settings = stage::Settings::new(env!("CARGO_BIN_EXE_portreeve"));
    settings.cache = Some(env!("CARGO_TARGET_TMPDIR").into());
    settings.seed = false;
    // The last section of the configuration, and one behind it.
    settings.lines = vec![("observe".to_owned(), "[witnesses.stuck]\nfolder = \"stuck\"\nevery = \"1s\"".to_owned())];
    let mut stage = Stage::set_up(settings).await.expect("a stage");
    let folder = stage.path("stuck");
    std::fs::create_dir(&folder).expect("made");
    let made = std::process::Command::new("mkfifo").arg(folder.join("portal.notes")).status().expect("mkfifo runs");
    assert!(made.success());
    let portal = stage.portal.as_mut().expect("it runs");
    let began = Instant::now();
    while !opens_a_pipe(portal.pid()) {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing is waited for in {}", folder.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = std::fs::read_to_string(&portal.log).expect("its words");
    assert!(!said.contains("no witness is configured"), "{said}");
    let began = Instant::now();
    assert!(portal.stop().expect("it ends"), "in order: {}", std::fs::read_to_string(&portal.log).expect("its words"));
    assert!(began.elapsed() < Duration::from_secs(10), "in time, which is 15 seconds: {:?}", began.elapsed());
}

/// Whether a thread of that process waits for somebody at the other end of a pipe.
fn opens_a_pipe(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let mut places = tasks.map(|task| std::fs::read_to_string(task.expect("a thread").path().join("wchan")));
    places.any(|place| place.is_ok_and(|place| place.contains("wait_for_partner")))
}
