use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::Part;
use crate::audit::record::Bind;
use crate::clock::Timestamp;
use crate::disk::{Disk, RealDisk};
use crate::entropy::OsEntropy;
use crate::ids::{CustomerId, SessionId};
use crate::keyring::{Client, Doom, Doomed, Pace, Wanted, init, keep_keys};
use crate::log::search::{Found, Query, search};
use crate::log::{self, Claim};
use crate::secret::Secret;

const ACME: Recipient = Recipient::Customer(CustomerId(7));
const BETA: Recipient = Recipient::Customer(CustomerId(9));
/// The change at which a writer is to forget somebody.
const FORGET: u64 = 9999;
/// 2026-11-21, and 2026-12-05: less than 30 days before the next year.
const NOVEMBER: i64 = 1_795_305_600_000_000;
const DECEMBER: i64 = 1_796_515_200_000_000;

#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        // Later at each look, so that what happened later sorts later.
        Timestamp(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A keyring in a directory of its own, served at a socket until it is stopped.
struct Setup {
    dir: tempfile::TempDir,
    clock: TestClock,
    log: Log,
    own: Recipients,
    public: [u8; 32],
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), Error>>,
}

fn me() -> u32 {
    rustix::process::getuid().as_raw()
}

fn everything() -> Access {
    Access { writers: vec![me()], openers: vec![me()], ..Access::default() }
}

fn files(dir: &Path) -> init::Files {
    init::Files {
        keyring: dir.join("keyring"),
        credential: dir.join("credential"),
        keyring_public: dir.join("keyring.pub"),
        portal_signing: dir.join("portal.key"),
        portal_public: dir.join("portal.pub"),
        instance: dir.join("instance.key"),
        logs: vec![],
    }
}

impl Setup {
    async fn start(access: Access) -> Setup {
        let dir = tempfile::tempdir().expect("a directory");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        init::init(&files(dir.path()), &disk, &OsEntropy).expect("made");
        Setup::serve(dir, access, |_| {}).await
    }

    async fn serve(dir: tempfile::TempDir, access: Access, change: impl FnOnce(&mut Settings)) -> Setup {
        let clock = TestClock(Arc::new(AtomicI64::new(NOVEMBER)));
        let files = files(dir.path());
        let mut kept = Kept::open(Arc::new(RealDisk), &files.keyring, &files.credential).expect("opened");
        let public = kept.keyring().public_key().expect("a key");
        let own = kept.own_recipients(&clock, &OsEntropy).expect("made");
        let log = open_log(dir.path(), "keyring", &own, &clock);
        let mut settings = Settings::new(dir.path().join("socket"), access);
        change(&mut settings);
        let (clock_seam, entropy) = (Arc::new(clock.clone()), Arc::new(OsEntropy));
        let server = Server::bind(settings, kept, own.clone(), log.clone(), clock_seam, entropy).await.expect("bound");
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.run(async move {
            let _dropped = stopped.await;
        }));
        Setup { dir, clock, log, own, public, stop: Some(stop), served }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.dir.path().join("socket"), self.public).await.expect("connected")
    }

    async fn stop(&mut self) -> Result<(), Error> {
        drop(self.stop.take());
        (&mut self.served).await.expect("no panic")
    }

    /// What the keyring's own log holds, opened by the keyring itself, without the log's own records.
    async fn recorded(&self) -> Vec<Found> {
        let files = files(self.dir.path());
        let kept = Kept::open(Arc::new(RealDisk), &files.keyring, &files.credential).expect("the keyring is stopped");
        let query = Query { kinds: vec![Kind::KeysMade, Kind::KeysOpened, Kind::KeysDestroyed], ..Query::default() };
        let opener = async |keys: Vec<SealedDataKey>| {
            keys.iter().map(|key| kept.keyring().open(key)).collect::<Result<Vec<_>, _>>()
        };
        search(&[self.dir.path().join("keyring-log")], &query, &self.own, opener).await.expect("found")
    }
}

fn open_log(dir: &Path, writer: &str, recipients: &Recipients, clock: &TestClock) -> Log {
    let signing = SigningKey::from_seed(&Secret::new([3; 32]));
    let settings = log::Settings { segment_bytes: 1 << 20, reserve_bytes: 0, ..log::Settings::new(writer, signing) };
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let dir = dir.join(format!("{writer}-log"));
    Log::open(Arc::new(RealDisk), &dir, settings, recipients.clone(), clock, Arc::new(OsEntropy)).expect("a log")
}

/// A sealed data key that opens with none.
fn no_key() -> SealedDataKey {
    let (origin, recipient, part) = ("portreeve/x".to_owned(), ACME, Part::Values);
    SealedDataKey { origin, position: 0, recipient, part, period: 2026, enc: vec![], sealed: vec![] }
}

/// `verb result` of each use of the keyring.
fn uses(found: &[Found]) -> Vec<String> {
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let skeletons = found.iter().map(|found| &found.record.skeleton);
    skeletons.map(|skeleton| format!("{} {}", word(&skeleton.verb), word(&skeleton.result))).collect()
}

/// Statements of two customers, written as a proxy does, and then found by an auditor.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_goes_from_the_writer_through_the_log_to_the_auditor() {
    let mut setup = Setup::start(everything()).await;
    let writer = setup.client().await;
    let recipients = Recipients::new();
    writer.ensure(&recipients, &[ACME, BETA, Recipient::Vendor]).await.expect("keys");
    let proxy = open_log(setup.dir.path(), "proxy-gate-1", &recipients, &setup.clock);
    let session = SessionId([1; 8]);
    for (frame, customer, text) in [(1, 7, "select secret from a"), (2, 9, "select nothing"), (3, 7, "update b")] {
        let mut record = Record::new(setup.clock.now(), Kind::Statement, Some(CustomerId(customer)));
        record.skeleton.staff = Some(3);
        record.values.text = Some(text.as_bytes().to_vec());
        record.values.binds = Some(vec![Bind { type_oid: 23, format: 1, value: Some(vec![0, 0, 0, 42]) }]);
        let _receipt =
            proxy.append(record, Claim::of(session, frame)).expect("queued").durable().await.expect("durable");
        let mut outcome = Record::new(setup.clock.now(), Kind::Outcome, Some(CustomerId(customer)));
        outcome.skeleton.session = Some(session);
        outcome.skeleton.frame = Some(frame);
        outcome.skeleton.tag = Some(format!("DONE {frame}"));
        proxy.note(outcome).expect("queued");
    }
    proxy.close().expect("closed");

    let auditor = setup.client().await;
    let known = Recipients::new();
    auditor.known(&known).await.expect("tag keys");
    assert_eq!(known.tags().len(), 3);
    let dirs = [setup.dir.path().join("proxy-gate-1-log")];
    let find = async |query: Query| {
        let opener = |keys| async { auditor.open(keys, "root", "a test").await };
        search(&dirs, &query, &known, opener).await.expect("found")
    };
    let tags = |found: &[Found]| -> Vec<String> {
        found.iter().filter_map(|found| found.outcome.as_ref()?.skeleton.tag.clone()).collect()
    };
    let statements = Query { kinds: vec![Kind::Statement], ..Query::default() };
    assert_eq!(tags(&find(statements.clone()).await), ["DONE 1", "DONE 2", "DONE 3"]);
    let acme = Query { customer: Some(CustomerId(7)), ..statements.clone() };
    assert_eq!(tags(&find(acme.clone()).await), ["DONE 1", "DONE 3"]);
    let text = Query { text: Some("SECRET".to_owned()), ..Query::default() };
    let found = find(text).await;
    assert_eq!(found.len(), 1);
    let record = &found.first().expect("one").record;
    assert_eq!(record.values.text.as_deref(), Some(&b"select secret from a"[..]));
    assert_eq!(record.skeleton.session, Some(session));
    assert_eq!(find(Query { text: Some("42".to_owned()), ..statements.clone() }).await.len(), 3);
    assert_eq!(find(Query { limit: 2, ..statements }).await.len(), 2);
    assert_eq!(find(Query { staff: Some(crate::ids::StaffId(4)), ..acme }).await.len(), 0);

    setup.stop().await.expect("stopped");
    let recorded = setup.recorded().await;
    let uses = uses(&recorded);
    assert_eq!(
        uses.first_chunk(),
        Some(&["create allowed", "tags allowed", "known allowed"].map(str::to_owned)),
        "{uses:?}"
    );
    let opened: Vec<&Found> = recorded.iter().filter(|found| found.record.kind == Kind::KeysOpened).skip(1).collect();
    assert!(opened.iter().all(|found| found.record.values.from.as_deref() == Some("root")));
    assert!(opened.iter().all(|found| found.record.values.message.as_deref() == Some("a test")));
    assert!(opened.iter().all(|found| found.record.skeleton.uid == Some(me())));
    // An auditor of one customer opened that customer's keys and nobody else's.
    assert!(opened.iter().any(|found| found.record.values.customer.as_deref() == Some("c7")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_may_not_open_and_the_attempt_is_recorded() {
    let mut setup = Setup::start(Access { writers: vec![me()], openers: vec![me() + 1], ..Access::default() }).await;
    let client = setup.client().await;
    client.ensure(&Recipients::new(), &[ACME]).await.expect("a writer may");
    for refused in
        [client.open(vec![no_key()], "proxy", "curiosity").await.map(drop), client.known(&Recipients::new()).await]
    {
        let error = refused.expect_err("an opener only");
        assert!(matches!(error, Error::Refused { uid, .. } if uid == me()));
        assert!(error.to_string().contains("`[keyring] openers`"), "{error}");
    }
    client.ensure(&Recipients::new(), &[ACME]).await.expect("still served");
    setup.stop().await.expect("stopped");
    let recorded = setup.recorded().await;
    assert_eq!(
        uses(&recorded),
        ["create allowed", "tags allowed", "open refused", "known refused", "create allowed", "tags allowed"]
    );
    assert!(recorded.iter().all(|found| found.record.skeleton.uid == Some(me())));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_may_not_have_keys_made() {
    let mut setup = Setup::start(Access { writers: vec![], openers: vec![me()], ..Access::default() }).await;
    let error = setup.client().await.ensure(&Recipients::new(), &[ACME]).await.expect_err("a writer only");
    assert!(matches!(&error, Error::Refused { verb, .. } if verb == "create"), "{error}");
    setup.stop().await.expect("stopped");
    assert_eq!(uses(&setup.recorded().await), ["create refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_destroyed_by_the_destroyer_only_and_never_made_again() {
    let (writers, openers) = (vec![me()], vec![me()]);
    let mut setup =
        Setup::start(Access { writers: writers.clone(), openers: openers.clone(), destroyers: vec![] }).await;
    let client = setup.client().await;
    client.ensure(&Recipients::new(), &[ACME, BETA]).await.expect("made");
    let doom =
        |part: Part| Doom { event: EventId([part.number(); 16]), recipient: ACME, parts: vec![part], periods: vec![] };
    let error = client.destroy(&doom(Part::Values)).await.expect_err("a destroyer only");
    assert!(error.to_string().contains("`[keyring] destroyers`"), "{error}");
    drop(client);
    setup.stop().await.expect("stopped");
    assert_eq!(uses(&setup.recorded().await).last().map(String::as_str), Some("destroy refused"));

    let access = Access { writers, openers, destroyers: vec![me()] };
    let Setup { dir, log, .. } = setup;
    log.close().expect("closed");
    let mut setup = Setup::serve(dir, access, |_| {}).await;
    let client = setup.client().await;
    let sealed = |recipients: &Recipients, whose: Recipient, part: Part| {
        let key = recipients.get(whose, part, 2026).expect("a key");
        crate::audit::keys::seal_data_key(&key, "portreeve/x", 0, &Secret::new([8; 32])).expect("sealed")
    };
    let recipients = Recipients::new();
    client.ensure(&recipients, &[ACME, BETA]).await.expect("made");
    let values = sealed(&recipients, ACME, Part::Values);
    client.open(vec![values.clone()], "root", "a test").await.expect("it opens");
    assert_eq!(client.destroy(&doom(Part::Values)).await.expect("done"), Doomed { keys: 1, pending: vec![] });
    let error = client.open(vec![values], "root", "a test").await.expect_err("nothing opens it any more");
    assert!(error.to_string().contains("the values key of c7 for 2026 was destroyed at"), "{error}");
    for part in [Part::Values, Part::Skeleton] {
        client.open(vec![sealed(&recipients, BETA, part)], "root", "a test").await.expect("the others' opens");
    }
    client.open(vec![sealed(&recipients, ACME, Part::Skeleton)], "root", "a test").await.expect("not this part yet");
    let error = client.ensure(&Recipients::new(), &[BETA, ACME]).await.expect_err("none are made again");
    assert!(matches!(&error, Error::Destroyed { recipient } if recipient == "c7"), "{error}");
    client.ensure(&Recipients::new(), &[BETA]).await.expect("the others get theirs");
    let known = Recipients::new();
    client.known(&known).await.expect("known");
    assert!(known.tag(ACME).is_some() && known.is_erased(ACME, Part::Values, 2026) && !known.any_unclaimed());
    assert_eq!(client.destroy(&doom(Part::Skeleton)).await.expect("done"), Doomed { keys: 1, pending: vec![] });
    assert_eq!(client.destroy(&doom(Part::Values)).await.expect("asked again"), Doomed { keys: 1, pending: vec![] });
    let known = Recipients::new();
    client.known(&known).await.expect("known");
    assert!(known.tag(ACME).is_none() && known.tag(BETA).is_some() && known.any_unclaimed());
    // In December everybody's next keys are made, but not theirs.
    setup.clock.0.store(DECEMBER, Ordering::Relaxed);
    client.ensure(&Recipients::new(), &[BETA]).await.expect("made");
    drop(client);
    setup.stop().await.expect("stopped");
    let recorded = setup.recorded().await;
    let destroyed: Vec<&Found> = recorded.iter().filter(|found| found.record.kind == Kind::KeysDestroyed).collect();
    let became = |found: &&Found| {
        let (skeleton, values) = (&found.record.skeleton, &found.record.values);
        assert_eq!(values.customer.as_deref(), Some("c7"));
        format!("{} {}", skeleton.result.as_deref().unwrap_or_default(), skeleton.event.as_deref().unwrap_or_default())
    };
    let (values, skeleton) = ("01".repeat(16), "02".repeat(16));
    assert_eq!(
        destroyed.iter().skip(1).map(became).collect::<Vec<_>>(),
        [
            format!("allowed {values}"),
            format!("destroyed {values}"),
            format!("allowed {skeleton}"),
            format!("destroyed {skeleton}"),
            format!("allowed {values}"),
            format!("destroyed {values}"),
        ]
    );
    let files = files(setup.dir.path());
    let kept = Kept::open(Arc::new(RealDisk), &files.keyring, &files.credential).expect("opened");
    assert_eq!(kept.keyring().recipients(), [BETA, Recipient::Vendor]);
}

const SOCKET: &str = "PORTREEVE_TEST_SOCKET";
const NOBODY: u32 = 65_534;

/// Run by the next test in a process of another user.
#[tokio::test]
#[ignore = "run by another test as another user"]
async fn as_another_user() {
    let socket = std::env::var(SOCKET).expect("run by the next test");
    let client = Client::connect(Path::new(&socket), [0; 32]).await.expect("connected");
    let error = client.open(vec![no_key()], "proxy", "curiosity").await.expect_err("refused");
    assert!(matches!(&error, Error::Refused { uid: NOBODY, verb, .. } if verb == "open"), "{error}");
    println!("refused: {error}");
}

/// The kernel says who asks: a real process of the proxy's user is refused whatever it claims.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_another_user_is_refused() {
    if me() != 0 {
        eprintln!("skipped: only root can become another user, and this is {}; access by lists is tested above", me());
        return;
    }
    let mut setup = Setup::start(Access { writers: vec![0, NOBODY], openers: vec![0], ..Access::default() }).await;
    let open_to_all = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("set");
    };
    // So that neither the directory nor the socket's own mode is what stops it.
    open_to_all(setup.dir.path());
    open_to_all(&setup.dir.path().join("socket"));
    let program = setup.dir.path().join("tests");
    std::fs::copy(std::env::current_exe().expect("this program"), &program).expect("copied");
    open_to_all(&program);
    let socket = setup.dir.path().join("socket");
    let child = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["--exact", "keyring::server::tests::as_another_user", "--ignored", "--nocapture"])
            .env(SOCKET, socket)
            .current_dir("/")
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
    });
    let child = child.await.expect("no panic").expect("run");
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("refused user 65534 to open"), "{said}");
    setup.stop().await.expect("stopped");
    let recorded = setup.recorded().await;
    assert_eq!(uses(&recorded), ["open refused"]);
    assert_eq!(recorded.first().expect("one").record.skeleton.uid, Some(NOBODY));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_keyring_is_not_believed() {
    let mut setup = Setup::start(everything()).await;
    let client = Client::connect(&setup.dir.path().join("socket"), [0; 32]).await.expect("connected");
    let recipients = Recipients::new();
    let error = client.ensure(&recipients, &[ACME]).await.expect_err("another key is pinned");
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    assert!(recipients.tags().is_empty(), "nothing of it was kept");
    setup.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_message_ends_its_own_connection_only() {
    let mut setup = Setup::start(everything()).await;
    let good = setup.client().await;
    for bad in [&[0xff; 8][..], &[0, 0, 0, 1, 0xff], &[0, 0, 0, 0], &[0, 0, 0, 2, 0x82, 0x09]] {
        let mut stream = UnixStream::connect(setup.dir.path().join("socket")).await.expect("connected");
        stream.write_all(bad).await.expect("sent");
        let mut answer = Vec::new();
        // Bytes that the keyring did not read turn its close into a reset.
        let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("closed");
        assert!(String::from_utf8_lossy(&answer).contains("not a keyring message") || closed.is_err(), "{bad:?}");
        good.ensure(&Recipients::new(), &[ACME]).await.expect("others are served");
    }
    // Announcing a lot costs no memory and, being silent, only its own place.
    let mut slow = UnixStream::connect(setup.dir.path().join("socket")).await.expect("connected");
    slow.write_all(&[0, 0x0f, 0xff, 0xff, 1]).await.expect("sent");
    good.ensure(&Recipients::new(), &[ACME]).await.expect("others are served");
    setup.stop().await.expect("stopped although somebody is connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_bounded() {
    let mut setup = Setup::start(everything()).await;
    let client = setup.client().await;
    for (who, why) in [("", "x"), ("x", " "), (&*"x".repeat(TEXT_BYTES_MAX + 1), "x")] {
        let error = client.open(vec![no_key()], who, why).await.expect_err("bounded");
        assert!(matches!(error, Error::Failed { .. }), "{error}");
    }
    let many: Vec<Recipient> = (1..=ITEMS_MAX + 10).map(|n| Recipient::Customer(CustomerId(n as u64))).collect();
    let recipients = Recipients::new();
    client.ensure(&recipients, &many).await.expect("in several requests");
    assert_eq!(recipients.tags().len(), many.len());
    let known = Recipients::new();
    client.known(&known).await.expect("in several pages");
    assert_eq!(known.tags().len(), many.len() + 1);
    setup.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_cannot_take_every_place() {
    let setup = Setup::start(everything()).await;
    let Setup { dir, log, own, mut served, stop, .. } = setup;
    drop(stop);
    (&mut served).await.expect("no panic").expect("stopped");
    log.close().expect("closed");
    drop(own);
    let mut setup = Setup::serve(dir, everything(), |settings| settings.connections_per_user_max = 2).await;
    let (first, second) = (setup.client().await, setup.client().await);
    first.ensure(&Recipients::new(), &[ACME]).await.expect("served");
    second.ensure(&Recipients::new(), &[ACME]).await.expect("served");
    let third = setup.client().await;
    let error = third.ensure(&Recipients::new(), &[ACME]).await.expect_err("no place");
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    drop(first);
    let mut tries = 0;
    while third.ensure(&Recipients::new(), &[ACME]).await.is_err() {
        tries += 1;
        assert!(tries < 100, "a place that was given back can be taken");
        sleep(Duration::from_millis(20)).await;
    }
    setup.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_answered() {
    let mut setup = Setup::start(everything()).await;
    let client = setup.client().await;
    let recipients = Recipients::new();
    client.ensure(&recipients, &[ACME]).await.expect("keys");
    let to = recipients.get(ACME, Part::Values, 2026).expect("a key");
    let sealed = crate::audit::keys::seal_data_key(&to, "portreeve/x", 0, &Secret::new([5; 32])).expect("sealed");
    let opened = client.open(vec![sealed.clone()], "root", "before").await.expect("opened");
    assert_eq!(opened.first().expect("one").expose(), &[5; 32]);
    setup.log.clone().close().expect("closed");
    let error = client.open(vec![sealed], "root", "after").await.expect_err("it cannot be recorded");
    assert!(
        matches!(&error, Error::Failed { reason, .. } if reason.contains("cannot be recorded"))
            || matches!(&error, Error::Unreachable { .. }),
        "{error}"
    );
    client.ensure(&Recipients::new(), &[BETA]).await.expect_err("it cannot be recorded");
    let _ended_by_itself_or_stopped = setup.stop().await;
    let files = files(setup.dir.path());
    let kept = Kept::open(Arc::new(RealDisk), &files.keyring, &files.credential).expect("opened");
    assert!(!kept.keyring().holds_tag(BETA), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_open_opens_none_and_is_recorded() {
    let mut setup = Setup::start(everything()).await;
    let client = setup.client().await;
    let recipients = Recipients::new();
    client.ensure(&recipients, &[ACME, BETA]).await.expect("keys");
    let to = recipients.get(ACME, Part::Values, 2026).expect("a key");
    let good = crate::audit::keys::seal_data_key(&to, "portreeve/x", 4, &Secret::new([5; 32])).expect("sealed");
    let stolen = SealedDataKey { recipient: BETA, ..good.clone() };
    let error = client.open(vec![good, stolen], "root", "a test").await.expect_err("not beta's");
    assert!(matches!(&error, Error::NotOpened { position: 4, origin, .. } if origin == "portreeve/x"), "{error}");
    setup.stop().await.expect("stopped");
    let recorded = setup.recorded().await;
    assert_eq!(uses(&recorded).last().map(String::as_str), Some("open error"));
    let last = &recorded.last().expect("one").record;
    assert_eq!((last.skeleton.count, last.values.customer.as_deref()), (Some(2), Some("c7, c9")));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_stay_over_a_restart_and_the_next_years_come_ahead() {
    let mut setup = Setup::start(everything()).await;
    let before = Recipients::new();
    let client = setup.client().await;
    client.ensure(&before, &[ACME]).await.expect("keys");
    assert!(before.get(ACME, Part::Values, 2027).is_none());
    setup.stop().await.expect("stopped");
    let Setup { dir, log, .. } = setup;
    log.close().expect("closed");
    let mut setup = Setup::serve(dir, everything(), |_| {}).await;
    setup.clock.0.store(DECEMBER, Ordering::Relaxed);
    let after = Recipients::new();
    // The same client: its connection broke and is made again.
    client.ensure(&after, &[ACME]).await.expect("keys");
    for part in Part::ALL {
        assert_eq!(before.get(ACME, part, 2026), after.get(ACME, part, 2026));
        assert!(after.get(ACME, part, 2027).is_some());
    }
    assert_eq!(before.tag(ACME).expect("a tag").0.expose(), after.tag(ACME).expect("a tag").0.expose());
    setup.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_in_use_is_left_alone_and_an_old_one_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    clear(&path).await.expect("nothing there");
    let listener = UnixListener::bind(&path).expect("bound");
    assert!(matches!(clear(&path).await, Err(Error::Busy { .. })));
    drop(listener);
    clear(&path).await.expect("nobody listens");
    assert!(!path.exists());
    std::fs::write(&path, "precious").expect("written");
    assert!(matches!(clear(&path).await, Err(Error::Exists { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_has_new_customers_keys_at_once_and_the_next_years_before_they_are_due() {
    let mut setup = Setup::start(everything()).await;
    let (client, recipients) = (setup.client().await, Recipients::new());
    client.ensure(&recipients, &[Recipient::Vendor, ACME]).await.expect("keys");
    let (change, changed) = tokio::sync::watch::channel(0_u64);
    let wanted = {
        let change = change.subscribe();
        move || {
            let (all, tick) = ([Recipient::Vendor, ACME, BETA], *change.borrow());
            let keys = all.into_iter().take(if tick == 0 { 2 } else { 3 });
            let forgotten = if tick == FORGET { vec![ACME] } else { vec![] };
            Wanted { keys: keys.filter(|one| !forgotten.contains(one)).collect(), forgotten }
        }
    };
    let pace = Pace { every: Duration::from_millis(400), again: Duration::from_millis(20) };
    let kept = tokio::spawn(keep_keys(client, recipients.clone(), wanted, changed, pace));
    let comes = async |recipient, period| {
        for tick in 1_u64..500 {
            if recipients.seal_to(recipient, period).is_some() {
                return;
            }
            // Whatever else changes must not put off the next look.
            change.send_replace(tick);
            sleep(Duration::from_millis(10)).await;
        }
        panic!("no keys for {recipient} in {period}");
    };
    comes(BETA, 2026).await;
    assert!(recipients.seal_to(ACME, 2027).is_none());
    setup.clock.0.store(DECEMBER, Ordering::Relaxed);
    for (recipient, period) in [(ACME, 2027), (BETA, 2027), (Recipient::Vendor, 202_701)] {
        comes(recipient, period).await;
    }
    // Whose keys are being destroyed is forgotten at once.
    change.send_replace(FORGET);
    for _ in 0..500 {
        if recipients.tag(ACME).is_none() {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(recipients.tag(ACME).is_none() && recipients.get(ACME, Part::Values, 2026).is_none());
    assert!(recipients.seal_to(BETA, 2027).is_some());
    drop(change);
    kept.await.expect("it ends with whoever tells of changes");
    setup.stop().await.expect("stopped");
}
