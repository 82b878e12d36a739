use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::Recipients;
use crate::audit::tag::Tags;
use crate::clock::Clock;
use crate::disk::{Disk, RealDisk};
use crate::entropy::OsEntropy;
use crate::grant::{AccountStep, By, Draft, Layout, Personal, Trust, What};
use crate::ids::CustomerId;
use crate::keyring::{Access, Kept, Server, Settings, init};
use crate::log::open::DataKeys;
use crate::log::reader::Reader;
use crate::log::together::judge;
use crate::log::verify::{Opening, Verdict, examine};
use crate::log::{self, Log};
use crate::register::Register;
use crate::secret::Secret;

const DAY: Duration = Duration::from_secs(86_400);
const TERMS: ByAge =
    ByAge { values_after: Duration::from_secs(90 * 86_400), skeleton_after: Duration::from_secs(365 * 86_400) };

struct Moved(AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

fn at(text: &str) -> Timestamp {
    let moment = chrono::DateTime::parse_from_rfc3339(&format!("{text}Z")).expect("a moment");
    Timestamp(moment.timestamp_micros())
}

/// A register, a log, and a keyring with a copy elsewhere, by a clock that is moved.
struct Stage {
    dir: tempfile::TempDir,
    clock: Arc<Moved>,
    acts: Acts,
    recipients: Recipients,
    months: Months,
    served: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((_, served)) = self.served.take() {
            served.abort();
        }
    }
}

impl Stage {
    async fn set(begun: &str) -> Stage {
        let dir = tempfile::tempdir().expect("a directory");
        let (disk, path): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), |name: &str| dir.path().join(name));
        for folder in ["audit", "copies"] {
            fs::create_dir(path(folder)).expect("made");
        }
        let files = init::Files {
            keyring: path("keyring/file"),
            credential: path("credential"),
            keyring_public: path("keyring.pub"),
            portal_signing: path("portal.key"),
            portal_public: path("portal.pub"),
            instance: path("instance.key"),
            logs: Vec::new(),
        };
        init::init(&files, &disk, &OsEntropy).expect("made");
        let clock = Arc::new(Moved(AtomicI64::new(at(begun).0)));
        let served = Some(serve(&dir, &clock).await);
        let recipients = Recipients::new();
        client(&dir).await.ensure(&recipients, &[Recipient::Vendor]).await.expect("keys");
        let trust = Trust { portal_key: [0; 32] };
        let register = Register::open(&path("register.sqlite"), trust.clone()).expect("a register");
        let log = open_log(&path("audit/retention"), "retention", 3, &recipients, &clock);
        let (seam, entropy) = (Arc::<Moved>::clone(&clock), Arc::new(OsEntropy));
        let acts = Acts { register, log, trust, sockets: Vec::new(), clock: seam, entropy };
        Stage { dir, clock, acts, recipients, months: Months::default(), served }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn stop_keyring(&mut self) {
        let (stop, served) = self.served.take().expect("it runs");
        stop.send(()).expect("it still answers");
        served.await.expect("no panic");
    }

    /// Moves the clock there; whoever writes a log has keys for that month.
    async fn go_to(&mut self, moment: Timestamp) {
        self.stop_keyring().await;
        self.clock.0.store(moment.0, Ordering::Relaxed);
        self.served = Some(serve(&self.dir, &self.clock).await);
        client(&self.dir).await.ensure(&self.recipients, &[Recipient::Vendor]).await.expect("keys");
    }

    async fn turn(&mut self) -> Aged {
        let keyring = client(&self.dir).await;
        self.months.turn(&Means { acts: &self.acts, keyring: &keyring, terms: TERMS }, false, self.clock.now()).await
    }

    /// What goes in a turn at that moment, in which nothing fails.
    async fn gone(&mut self, moment: &str) -> Vec<(u32, Part)> {
        self.go_to(at(moment)).await;
        let aged = self.turn().await;
        assert_eq!(aged.trouble, None, "{moment}");
        aged.gone
    }

    async fn held(&self) -> Vec<(u32, Part)> {
        let (_, held) = client(&self.dir).await.held().await.expect("told");
        held.into_iter().map(|slot| (slot.period, slot.part)).collect()
    }

    async fn note(&self, text: &str) {
        let mut record = Record::new(self.clock.now(), Kind::Refused, None);
        record.values.message = Some(text.to_owned());
        self.acts.log.record(record).await.expect("durable");
    }

    async fn act(&self, what: What, personal: Option<Personal>) -> CustomerId {
        let draft = |_: &State| Ok(Draft { by: By::Operator, what, personal: personal.clone() });
        CustomerId(self.acts.act(None, draft).await.expect("done").sequence.0)
    }

    /// What `audit verify --open` says of the log: each verdict with its detail, and the messages that still open.
    async fn verified(&self) -> (Vec<(Verdict, String)>, Vec<String>) {
        let (keyring, known, dir) = (client(&self.dir).await, Recipients::new(), self.path("audit/retention"));
        keyring.known(&known).await.expect("told");
        let reader = Reader::open(&dir).expect("a log");
        let mut sealed = reader.sealed_data_keys(&mut Tags::new(&known, reader.origin())).expect("read");
        sealed.retain(|key| !known.is_erased(key.recipient, key.part, key.period));
        let positions: Vec<u64> = sealed.iter().map(|key| key.position).collect();
        let mut keys = DataKeys::new();
        let opened = keyring.open(sealed, "a test", "to verify").await.expect("every other key is there");
        positions.into_iter().zip(&opened).for_each(|(position, key)| keys.insert(position, key));
        let opening = Opening { recipients: &known, keys: &keys };
        let mut examined = examine(&dir, &signing(3).public(), Some(&opening), u64::MAX).expect("readable");
        let mut findings = std::mem::take(&mut examined.findings);
        findings.extend(judge(&[examined], &BTreeSet::new(), self.clock.now()).into_iter().map(|(_, finding)| finding));
        let mut tags = Tags::new(&known, reader.origin());
        let mut messages = Vec::new();
        for entry in reader.entries() {
            let entry = entry.expect("whole");
            let recipient = entry.recipient(&mut tags).expect("recognised");
            if let log::reader::Content::Record { .. } = entry.content {
                let opened = log::open::open(reader.origin(), &entry, recipient, &keys).expect("it opens");
                messages.extend(opened.record.values.message);
            }
        }
        (findings.into_iter().map(|finding| (finding.verdict, finding.detail)).collect(), messages)
    }
}

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32]))
}

fn open_log(dir: &std::path::Path, writer: &str, seed: u8, recipients: &Recipients, clock: &Arc<Moved>) -> Log {
    let settings =
        log::Settings { segment_bytes: 1 << 20, reserve_bytes: 0, ..log::Settings::new(writer, signing(seed)) };
    let clock = Arc::<Moved>::clone(clock);
    Log::open(Arc::new(RealDisk), dir, settings, recipients.clone(), clock, Arc::new(OsEntropy)).expect("a log")
}

/// The keyring behind its socket: its own keys are made at its start.
async fn serve(dir: &tempfile::TempDir, clock: &Arc<Moved>) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let path = |name: &str| dir.path().join(name);
    let kept = Kept::open(Arc::new(RealDisk), &path("keyring/file"), &path("credential")).expect("a keyring");
    let mut kept = kept.with_copies(vec![path("copies/keyring")]).expect("no older one");
    let own = kept.own_recipients(&**clock, &OsEntropy).expect("keys");
    let log = open_log(&path("audit/keyring"), "keyring", 4, &own, clock);
    let uid = rustix::process::getuid().as_raw();
    let access = Access { writers: vec![uid], openers: vec![uid], destroyers: vec![uid] };
    let settings = Settings::new(path("keyring.sock"), access);
    let seam = Arc::<Moved>::clone(clock);
    let server = Server::bind(settings, kept, own, log.clone(), seam, Arc::new(OsEntropy)).await.expect("the socket");
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(async move {
        server.run(async { stopped.await.unwrap_or_default() }).await.expect("it serves to its end");
        log.close().expect("its log closes");
    });
    (stop, served)
}

async fn client(dir: &tempfile::TempDir) -> Client {
    let public = init::read_public_key(&dir.path().join("keyring.pub")).expect("a key");
    Client::connect(&dir.path().join("keyring.sock"), public).await.expect("a keyring")
}

/// From March on, and each part a month at a time, never a moment early, once; what is verified says erased.
#[tokio::test(flavor = "multi_thread")]
async fn a_months_keys_go_when_it_is_over_for_as_long_as_the_term_says() {
    let mut stage = Stage::set("2026-03-10T12:00:00").await;
    stage.note("the needle of march").await;
    stage.go_to(at("2026-04-20T12:00:00")).await;
    stage.note("the needle of april").await;
    assert_eq!(stage.turn().await, Aged::default());

    assert_eq!(stage.gone("2026-06-29T23:59:59").await, []);
    let (findings, messages) = stage.verified().await;
    assert!(findings.iter().all(|(verdict, _)| *verdict != Verdict::Erased && !verdict.is_alarm()), "{findings:?}");
    assert!(messages.iter().any(|message| message.contains("needle of march")));
    assert_eq!(stage.gone("2026-06-30T00:00:00").await, [(202_603, Part::Values)]);
    assert_eq!(stage.turn().await, Aged::default(), "once");
    assert!(!stage.held().await.contains(&(202_603, Part::Values)));
    assert!(stage.held().await.contains(&(202_603, Part::Skeleton)), "who and when is kept");
    let (findings, messages) = stage.verified().await;
    let erased: Vec<_> = findings.iter().filter(|(verdict, _)| *verdict == Verdict::Erased).collect();
    assert!(matches!(&erased[..], [(_, detail)] if detail.contains("no customer")), "{findings:?}");
    assert!(findings.iter().all(|(verdict, _)| !verdict.is_alarm()), "{findings:?}");
    assert!(!messages.iter().any(|message| message.contains("needle of march")), "{messages:?}");
    assert!(messages.iter().any(|message| message.contains("needle of april")));
    assert!(messages.iter().any(|message| message.contains("the values of records of no customer of 202603")));

    assert_eq!(stage.gone("2026-07-30T00:00:00").await, [(202_604, Part::Values)]);
    // A daemon that did not run for months finds all that became due meanwhile, in the order of parts.
    let gone = stage.gone("2027-03-31T23:59:59").await;
    assert!(!gone.is_empty() && gone.iter().all(|(month, part)| *part == Part::Values && *month < 202_612), "{gone:?}");
    assert!(stage.held().await.contains(&(202_603, Part::Skeleton)), "not a second early");
    assert_eq!(stage.gone("2027-04-01T00:00:00").await, [(202_603, Part::Skeleton)]);
    let (findings, _) = stage.verified().await;
    assert!(findings.iter().all(|(verdict, _)| !verdict.is_alarm()), "{findings:?}");
    assert!(stage.held().await.contains(&(202_704, Part::Values)), "the present one's are never touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_while_the_clocks_disagree() {
    let mut stage = Stage::set("2026-03-10T12:00:00").await;
    stage.go_to(at("2026-07-10T12:00:00")).await;
    let keyring = client(&stage.dir).await;
    let means = Means { acts: &stage.acts, keyring: &keyring, terms: TERMS };
    assert_eq!(stage.months.turn(&means, true, stage.clock.now()).await, Aged::default());
    // A wall clock far ahead of the keyring's asks for what the keyring knows to be of this month: it refuses.
    let ahead = stage.clock.now().plus(DAY * 200);
    let mut other = Months::default();
    let aged = other.turn(&means, false, ahead).await;
    assert!(aged.trouble.as_ref().is_some_and(|why| why.contains("each before 202607")), "{aged:?}");
    assert!(stage.held().await.contains(&(202_607, Part::Values)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_on_a_closed_account_keeps_the_months_since_it_was_closed() {
    let mut stage = Stage::set("2026-03-10T12:00:00").await;
    let word = |word: &str| Some(word.to_owned());
    let personal =
        Personal { name: word("acme"), cluster: word("main"), database: word("acme"), ..Personal::default() };
    let customer = stage.act(What::CustomerCreated { layout: Layout::Database }, Some(personal)).await;
    client(&stage.dir).await.ensure(&stage.recipients, &[Recipient::Customer(customer)]).await.expect("keys");
    let words =
        || Some(Personal { authority: word("court"), reason: word("a suit is pending"), ..Personal::default() });
    let review = at("2027-01-01T00:00:00");
    stage.act(What::HoldPlaced { customer, review }, words()).await;
    stage.go_to(at("2026-04-10T12:00:00")).await;
    stage.act(What::Account { customer, step: AccountStep::Closed }, None).await;
    stage.go_to(at("2026-06-10T12:00:00")).await;

    assert_eq!(stage.gone("2026-09-01T00:00:00").await, [(202_603, Part::Values)], "before it was closed");
    assert_eq!(stage.turn().await, Aged::default());
    let hold = stage.acts.register.state().expect("a state").holds_on(customer).next().expect("a hold").id;
    stage.act(What::HoldReleased { hold }, words()).await;
    assert_eq!(stage.turn().await.gone, [(202_604, Part::Values), (202_605, Part::Values)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_still_holds_is_pending_until_it_is_rewritten() {
    let mut stage = Stage::set("2026-03-10T12:00:00").await;
    stage.go_to(at("2026-06-30T00:00:00")).await;
    let (copies, away) = (stage.path("copies"), stage.path("away"));
    fs::rename(&copies, &away).expect("the medium is taken out");
    let aged = stage.turn().await;
    let named = |aged: &Aged| aged.trouble.as_ref().is_some_and(|why| why.contains("copies/keyring"));
    assert!(named(&aged) && aged.gone == [(202_603, Part::Values)], "{aged:?}");
    assert!(named(&stage.turn().await), "asked again");
    stage.months = Months::default();
    assert!(named(&stage.turn().await), "by a daemon that was killed meanwhile as well");
    fs::rename(&away, &copies).expect("it is put back");
    assert_eq!(stage.turn().await, Aged::default());
    let kept = Kept::open(Arc::new(RealDisk), &stage.path("copies/keyring"), &stage.path("credential"));
    let slot = Slot { recipient: Recipient::Vendor, part: Part::Values, period: 202_603 };
    assert!(!kept.expect("the copy opens").keyring().holds(&slot));
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_it_goes_on_and_an_old_keyring_that_is_brought_back_loses_them_again() {
    let mut stage = Stage::set("2026-03-10T12:00:00").await;
    stage.go_to(at("2026-06-30T00:00:00")).await;
    let keyring = client(&stage.dir).await;
    stage.stop_keyring().await;
    let saved: Vec<(PathBuf, Vec<u8>)> = ["keyring/file", "keyring/file.generation"]
        .iter()
        .map(|name| (stage.path(name), fs::read(stage.path(name)).expect("read")))
        .collect();
    let means = Means { acts: &stage.acts, keyring: &keyring, terms: TERMS };
    let aged = stage.months.turn(&means, false, stage.clock.now()).await;
    assert!(aged.gone.is_empty() && aged.trouble.is_some(), "{aged:?}");
    stage.served = Some(serve(&stage.dir, &stage.clock).await);
    assert_eq!(stage.turn().await.gone, [(202_603, Part::Values)]);

    stage.stop_keyring().await;
    fs::remove_dir_all(stage.path("copies")).expect("the copies are lost, which would say that it is old");
    fs::create_dir(stage.path("copies")).expect("made");
    saved.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("brought back"));
    stage.served = Some(serve(&stage.dir, &stage.clock).await);
    assert!(stage.held().await.contains(&(202_603, Part::Values)), "it holds them again");
    // The daemon starts again as well: its turn asks what is held.
    stage.months = Months::default();
    assert_eq!(stage.turn().await.gone, [(202_603, Part::Values)]);
}
