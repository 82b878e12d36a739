use std::path::Path;

use tokio::task::JoinHandle;

use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::Part;
use crate::audit::record::{Kind, Record};
use crate::clock::{Clock, SystemClock};
use crate::disk::{Disk, RealDisk};
use crate::entropy::{Entropy, OsEntropy};
use crate::keyring::{Access, Kept, Server, Settings, init};
use crate::log::{Claim, Log};

const ACME: CustomerId = CustomerId(7);
const OLGA: OwnerId = OwnerId(3);

fn found(at: i64, log: &str, position: u64) -> Found {
    let record = Record::new(Timestamp(at), Kind::Statement, Some(CustomerId(7)));
    let log = format!("portreeve/{log}");
    Found { log, position, record, still_sealed: vec![], erased: vec![], outcome: None, fault: None }
}

fn positions(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.place.position).collect()
}

#[test]
fn a_page_is_the_newest_that_stand_before_the_last_one_shown() {
    let all = || vec![found(1, "a", 1), found(5, "a", 2), found(5, "b", 3), found(5, "b", 4), found(9, "a", 5)];
    let first = page(all(), &Range { limit: 2, ..Range::default() });
    assert_eq!(positions(&first), [5, 4]);
    let before = first.last().map(|entry| entry.place.clone());
    let second = Range { limit: 2, before, ..Range::default() };
    assert_eq!(positions(&page(all(), &second)), [3, 2]);
    assert_eq!(query(CustomerId(7), &second, 9).until, Some(Timestamp(6)), "the same moment is looked at again");
}

#[test]
fn frames_that_share_a_record_are_each_on_a_page_newest_first() {
    let frame = |frame| {
        let mut found = found(5, "a", 2);
        found.record.skeleton.frame = Some(frame);
        found
    };
    let all = || vec![found(1, "a", 1), frame(7), frame(8), frame(9)];
    let frames =
        |entries: &[Entry]| entries.iter().map(|entry| entry.record.skeleton.frame).collect::<Vec<Option<u64>>>();
    let first = page(all(), &Range { limit: 2, ..Range::default() });
    assert_eq!(frames(&first), [Some(9), Some(8)]);
    let before = first.last().map(|entry| entry.place.clone());
    let second = page(all(), &Range { limit: 2, before, ..Range::default() });
    assert_eq!(frames(&second), [Some(7), None], "none is skipped where a page ends within a record");
}

#[test]
fn the_query_is_for_one_customer_and_what_owners_see() {
    let range = Range { since: Some(Timestamp(3)), until: Some(Timestamp(4)), before: None, limit: 5 };
    let query = query(CustomerId(7), &range, 69);
    assert_eq!((query.customer, query.kinds.as_slice()), (Some(CustomerId(7)), &KINDS[..]));
    assert_eq!((query.since, query.until, query.limit), (range.since, range.until, 69));
}

#[test]
fn what_cannot_be_read_whole_says_so() {
    let mut sealed = found(1, "a", 1);
    sealed.still_sealed = vec![Part::Values];
    assert!(entry(sealed).fault.is_some());
    let broken = Found { fault: Some("it does not open".to_owned()), ..found(1, "a", 1) };
    assert_eq!(entry(broken).fault.as_deref(), Some("it does not open"));
    assert_eq!(entry(found(1, "a", 1)).fault, None);
}

#[test]
fn a_proxys_word_on_a_session_is_read_strictly() {
    let told = r#"{"session":"0101010101010101","staff":3,"customer":7,"grant":12,"scope":"read","since":5,
                   "address":"192.0.2.7","application":"psql","statements":4}"#;
    let live = |text: &str| serde_json::from_str::<Told>(text).map_err(|e| silent(&e.to_string())).and_then(Told::live);
    let read = live(told).expect("it reads");
    assert_eq!((read.session, read.staff, read.customer), (SessionId([1; 8]), StaffId(3), CustomerId(7)));
    assert_eq!((read.grant, read.scope, read.since, read.statements), (GrantId(12), Scope::Read, Timestamp(5), 4));
    assert!(live(&told.replace("0101010101010101", "01")).is_err());
    assert!(live(&told.replace("\"read\"", "\"all\"")).is_err());
    assert!(live("{}").is_err());
}

/// The secret and the pinned key of the log of that name.
fn log_key(dir: &Path, name: &str) -> init::LogKey {
    init::LogKey {
        origin: log::origin(name),
        secret: dir.join(format!("{name}.key")),
        public: pinned::log_key(&dir.join("keyring.pub"), name),
    }
}

fn opened(dir: &Path, name: &str, key: &str, recipients: &Recipients) -> Log {
    let signing = SigningKey::from_seed(&init::read_seed(&log_key(dir, key).secret).expect("a key"));
    let settings = log::Settings { reserve_bytes: 0, segment_bytes: 1 << 16, ..log::Settings::new(key, signing) };
    let (disk, clock, entropy) = (Arc::new(RealDisk), Arc::new(SystemClock), Arc::new(OsEntropy));
    Log::open(disk, &dir.join("audit").join(name), settings, recipients.clone(), clock, entropy).expect("a log")
}

async fn write(log: Log, text: &str) {
    let mut record = Record::new(SystemClock.now(), Kind::Statement, Some(ACME));
    record.values.text = Some(text.as_bytes().to_vec());
    log.append(record, Claim::of(SessionId([1; 8]), 1)).expect("queued").await.expect("durable");
    log.close().expect("closed");
}

/// A keyring that answers, and the logs of a proxy and of the keyring itself, each with a pinned key.
async fn shelf(dir: &Path) -> (Logs, JoinHandle<Result<(), keyring::Error>>) {
    let (disk, clock, entropy): (Arc<dyn Disk>, Arc<dyn Clock>, Arc<dyn Entropy>) =
        (Arc::new(RealDisk), Arc::new(SystemClock), Arc::new(OsEntropy));
    let files = init::Files {
        keyring: dir.join("keyring"),
        credential: dir.join("credential"),
        keyring_public: dir.join("keyring.pub"),
        portal_signing: dir.join("portal.key"),
        portal_public: dir.join("portal.pub"),
        instance: dir.join("instance.key"),
        logs: ["keyring-1", "proxy-gate-1"].map(|name| log_key(dir, name)).to_vec(),
    };
    init::init(&files, &disk, &*entropy).expect("made");
    std::fs::create_dir(dir.join("audit")).expect("made");
    let mut kept = Kept::open(disk, &files.keyring, &files.credential).expect("a keyring");
    let own = kept.own_recipients(&*clock, &*entropy).expect("made");
    let me = rustix::process::getuid().as_raw();
    let access = Access { writers: vec![me], openers: vec![me], ..Access::default() };
    let (settings, log) = (Settings::new(dir.join("socket"), access), opened(dir, "keyring-1", "keyring-1", &own));
    let server = Server::bind(settings, kept, own, log, clock, entropy).await.expect("bound");
    let served = tokio::spawn(server.run(std::future::pending::<()>()));
    let public = init::read_public_key(&files.keyring_public).expect("a key");
    let keyring = keyring::Client::connect(&dir.join("socket"), public).await.expect("connected");
    let recipients = Recipients::new();
    keyring.ensure(&recipients, &[Recipient::Vendor, Recipient::Customer(ACME)]).await.expect("keys");
    write(opened(dir, "proxy-gate-1", "proxy-gate-1", &recipients), "select 1").await;
    let logs = Logs { directory: dir.join("audit"), recipients, keyring, keyring_public: files.keyring_public };
    (logs, served)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_directory_adds_nothing_to_a_history_and_a_log_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let (logs, served) = shelf(dir.path()).await;
    let range = || Range { limit: 10, ..Range::default() };
    let history = async || logs.history(OLGA, ACME, range()).await.expect("it is read");
    let texts = |history: &History| -> Vec<String> {
        let texts = history.entries.iter().filter_map(|entry| entry.record.values.text.clone());
        texts.map(|text| String::from_utf8(text).expect("text")).collect()
    };
    let whole = history().await;
    assert_eq!((texts(&whole), whole.left_out.len()), (vec!["select 1".to_owned()], 0));

    // Another directory that claims to be the proxy's log, by somebody who has its tag keys; and one that is nothing.
    write(opened(dir.path(), "zzz", "proxy-gate-1", &logs.recipients), "select forged").await;
    std::fs::create_dir(logs.directory.join("x")).expect("made");
    std::fs::write(logs.directory.join("x/checkpoint"), "").expect("written");
    assert_eq!(history().await, whole);

    std::fs::write(logs.directory.join("proxy-gate-1/checkpoint"), "").expect("written");
    let short = history().await;
    assert_eq!((texts(&short), short.left_out), (vec![], vec!["proxy-gate-1".to_owned()]));
    // Without any pinned key it is not as if nothing had been done.
    std::fs::remove_dir_all(dir.path().join("log-keys")).expect("removed");
    assert!(logs.history(OLGA, ACME, range()).await.is_err());
    served.abort();
}
