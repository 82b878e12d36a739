use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::search::{Looked, found};
use super::show::record;
use super::tests::started;
use super::verify::verified;
use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::{Part, Recipient};
use crate::audit::public::{Lost, Notice};
use crate::audit::record::{Kind, Record};
use crate::cli::Format;
use crate::clock::{Clock, SystemClock};
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::grant::{AccountStep, By, Draft, Layout, Personal, RecordPart, Trust, What};
use crate::ids::EventId;
use crate::ids::SessionId;
use crate::keyring::{Doom, pinned};
use crate::log::count::count;
use crate::log::{self, Claim, Log};
use crate::register::{Acts, Doomed, Erased, Gone, Register, Terms};

const PARTS: [RecordPart; 2] = [RecordPart::Values, RecordPart::Skeleton];

/// A register with two customers, a keyring, a proxy's log with statements of both, and whoever erases.
struct Stage {
    context: Context,
    acts: Acts,
    keyring: Client,
    acme: CustomerId,
    beta: CustomerId,
    /// Where the statements stand, acme's first.
    positions: [u64; 2],
    _served: tokio::task::JoinHandle<Result<(), String>>,
}

fn open_log(context: &Context, writer: &str, key: &Path, recipients: &Recipients) -> Log {
    let signing = SigningKey::from_seed(&init::read_seed(key).expect("a key"));
    let settings = log::Settings { segment_bytes: 1 << 20, reserve_bytes: 0, ..log::Settings::new(writer, signing) };
    let (disk, clock, entropy) = (Arc::new(RealDisk), Arc::new(SystemClock), Arc::new(OsEntropy));
    Log::open(disk, &context.config.audit.directory.join(writer), settings, recipients.clone(), clock, entropy)
        .expect("a log")
}

async fn statement(log: &Log, customer: CustomerId, text: &str) -> u64 {
    let mut record = Record::new(SystemClock.now(), Kind::Statement, Some(customer));
    record.skeleton.staff = Some(3);
    record.values.text = Some(text.as_bytes().to_vec());
    let claim = Claim::of(SessionId([1; 8]), 1);
    log.append(record, claim).expect("queued").await.expect("durable").position()
}

impl Stage {
    async fn set(dir: &Path) -> Stage {
        let (context, served) = started(dir).await;
        let config = &context.config;
        let public = init::read_public_key(&config.keyring.public_key).expect("a key");
        let keyring = Client::connect(&config.keyring.socket, public).await.expect("connected");
        let trust = Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("a key") };
        let register = Register::open(&config.register.path, trust.clone()).expect("a register");
        let recipients = Recipients::new();
        keyring.ensure(&recipients, &[Recipient::Vendor]).await.expect("keys");
        let log = open_log(&context, "portal", &config.portal.log_key, &recipients);
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let acts = Acts { register, log, trust, sockets: vec![], clock, entropy };
        let mut customers = Vec::new();
        for name in ["acme", "beta"] {
            let some = |text: &str| Some(text.to_owned());
            let personal =
                Personal { name: some(name), cluster: some("main"), database: some(name), ..Personal::default() };
            let what = What::CustomerCreated { layout: Layout::Database };
            let draft = Draft { by: By::Operator, what, personal: Some(personal) };
            let done = acts.act(None, |_| Ok(draft.clone())).await.expect("created");
            customers.push(CustomerId(done.sequence.0));
        }
        let (acme, beta) = (customers[0], customers[1]);
        keyring.ensure(&recipients, &[Recipient::Customer(acme), Recipient::Customer(beta)]).await.expect("keys");
        let proxy = open_log(&context, "proxy-gate-1", &config.proxy.log_key, &recipients);
        let mut positions = [0; 2];
        for (place, (customer, text)) in positions.iter_mut().zip([(acme, "select acme"), (beta, "select beta")]) {
            *place = statement(&proxy, customer, text).await;
        }
        proxy.close().expect("closed");
        let draft = Draft {
            by: By::Operator,
            what: What::Account { customer: acme, step: AccountStep::Closed },
            personal: None,
        };
        acts.act(None, |_| Ok(draft.clone())).await.expect("closed");
        Stage { context, acts, keyring, acme, beta, positions, _served: served }
    }

    async fn erase(&self, part: RecordPart) {
        let at_once = Terms { values_after: Duration::ZERO, skeleton_after: Duration::ZERO };
        let (known, lawful) = (Recipients::new(), SystemClock.now());
        self.keyring.known(&known).await.expect("known");
        let config = &self.context.config;
        let logs = pinned::logs(&config.audit.directory, &config.keyring.public_key).expect("listed");
        let counted = count(logs.dirs(), self.acme, &known, logs.keys()).expect("counted").into_iter();
        let lost = counted.map(|counted| Lost { log: counted.log, records: counted.records }).collect();
        let destroy = |Doomed { event, customer, part }| async move {
            self.acts.log.notice(Notice::new(event, part, lawful, lost)).await.expect("durable");
            let doom = Doom { event, recipient: Recipient::Customer(customer), parts: vec![part], periods: vec![] };
            self.keyring.destroy(&doom).await.map(|gone| Gone { keys: gone.keys, pending: gone.pending })
        };
        let erased = self.acts.erase((self.acme, part), &at_once, destroy).await.expect("erased");
        assert!(matches!(erased, Erased::Done(keys) if keys >= 1), "{erased:?}");
    }

    async fn found(&self, customer: CustomerId) -> Vec<Found> {
        let auditor =
            Auditor::begin(&self.context, "search", None).await.map_err(|failure| failure.message().to_owned());
        let looked = Looked { customer: Some(customer.to_string()), kind: vec![Kind::Statement], ..Looked::default() };
        let found = found(&auditor.expect("an auditor"), &looked).await;
        found.map_err(|failure| failure.message().to_owned()).expect("found")
    }

    async fn shown(&self, position: u64) -> String {
        let shown = record(&self.context, &format!("proxy-gate-1/{position}"), None).await;
        let (table, exit) = shown.map_err(|failure| failure.message().to_owned()).expect("shown");
        assert_eq!(exit, Exit::Done);
        let mut out = Vec::new();
        table.write(Format::Json, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    /// The verdicts about the proxy's log, with every record opened that can be.
    async fn verdicts(&self) -> Vec<String> {
        let verified = verified(&self.context, true, None, &[]).await;
        let (table, exit) = verified.map_err(|failure| failure.message().to_owned()).expect("verified");
        let mut out = Vec::new();
        table.write(Format::Json, &mut out).expect("written");
        let rows = String::from_utf8(out).expect("text");
        assert_eq!(exit, Exit::Done, "{rows}");
        let rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("json"));
        let proxy = rows.filter(|row| row["log"] == "proxy-gate-1");
        proxy.map(|row| format!("{}: {}", row["verdict"], row["detail"]).replace('"', "")).collect()
    }
}

/// A real log of two customers: after one is erased no key opens it and its records do not open; the other's do, and
/// the tree verifies, through both steps.
#[tokio::test(flavor = "multi_thread")]
async fn erasing_one_customer_leaves_the_other_and_every_proof() {
    let dir = tempfile::tempdir().expect("a directory");
    let stage = Stage::set(dir.path()).await;
    let [acme_at, beta_at] = stage.positions;
    let texts = |found: &[Found]| -> Vec<String> {
        found
            .iter()
            .map(|found| String::from_utf8_lossy(found.record.values.text.as_deref().unwrap_or(b"-")).into())
            .collect()
    };
    assert_eq!(texts(&stage.found(stage.acme).await), ["select acme"]);
    let whole = stage.verdicts().await;
    assert!(whole.iter().all(|verdict| verdict.starts_with("ok: ")), "{whole:?}");

    stage.erase(PARTS[0]).await;
    let found = stage.found(stage.acme).await;
    assert_eq!(texts(&found), ["-"], "the text is gone");
    assert_eq!((found[0].erased.as_slice(), found[0].record.skeleton.staff), ([Part::Values].as_slice(), Some(3)));
    assert_eq!(shown::result(&found[0]).as_deref(), Some("erased: values"));
    assert!(stage.shown(acme_at).await.contains("\"erased\""));
    let verdicts = stage.verdicts().await;
    assert!(verdicts[0].starts_with("ok: "), "{verdicts:?}");
    assert_eq!(verdicts[1..], ["erased: the values of 1 records are erased, as notices say"]);

    stage.erase(PARTS[1]).await;
    assert_eq!(stage.found(stage.acme).await, [], "nobody recognises it any more");
    let shown = stage.shown(acme_at).await;
    assert!(shown.contains("values and skeleton: claimed by no living key"), "{shown}");
    assert!(!stage.shown(beta_at).await.contains("erased"));
    assert_eq!(texts(&stage.found(stage.beta).await), ["select beta"]);
    let verdicts = stage.verdicts().await;
    assert!(verdicts[0].starts_with("ok: "), "{verdicts:?}");
    let both = ["values", "skeleton"].map(|part| format!("erased: the {part} of 1 records are erased, as notices say"));
    assert_eq!(verdicts[1..], both);
    // What was decided about it is there, under the vendor's key, and no key is made for it again.
    let auditor = Auditor::begin(&stage.context, "search", None).await.map_err(|failure| failure.message().to_owned());
    let looked = Looked { text: Some("erasure.skeleton.done".to_owned()), ..Looked::default() };
    let decided = found_by(&auditor.expect("an auditor"), &looked).await;
    assert_eq!(decided.len(), 2, "intent and outcome");
    assert!(decided.iter().all(|found| found.record.values.customer.as_deref() == Some("acme")));
    let refused = stage.keyring.ensure(&Recipients::new(), &[Recipient::Customer(stage.acme)]).await;
    assert!(matches!(refused, Err(crate::keyring::Error::Destroyed { .. })), "{refused:?}");
}

/// Who destroys keys behind the register's back leaves no notice: what is gone is missing, not erased.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_destroyed_without_a_notice_are_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let stage = Stage::set(dir.path()).await;
    let recipient = Recipient::Customer(stage.beta);
    let doom = Doom { event: EventId([9; 16]), recipient, parts: vec![Part::Values], periods: vec![] };
    assert!(stage.keyring.destroy(&doom).await.expect("destroyed").keys > 0);
    let verified = verified(&stage.context, true, None, &[]).await;
    let (table, exit) = verified.map_err(|failure| failure.message().to_owned()).expect("verified");
    let mut out = Vec::new();
    table.write(Format::Json, &mut out).expect("written");
    let rows = String::from_utf8(out).expect("text");
    assert_eq!(exit, Exit::Findings, "{rows}");
    assert!(rows.contains("no key opens the values of 1 records, and notices tell of 0"), "{rows}");
}

async fn found_by(auditor: &Auditor, looked: &Looked) -> Vec<Found> {
    found(auditor, looked).await.map_err(|failure| failure.message().to_owned()).expect("found")
}
