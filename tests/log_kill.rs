//! A writer is killed with SIGKILL in the middle of its work, again and again: every record it was given a receipt
//! for is in the log that the next one opens, and the log verifies.
//! Not a test of power loss: the kernel lives on. `src/log/recovery_tests.rs` tears writes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use portreeve::audit::checkpoint::SigningKey;
use portreeve::audit::keys::{Part, Recipient, RecipientKey, Recipients, TagKey, generate_key_pair, open_data_key};
use portreeve::audit::record::{Kind, Record};
use portreeve::audit::tag::Tags;
use portreeve::clock::{Clock, SystemClock};
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::ids::CustomerId;
use portreeve::log::open::{DataKeys, open};
use portreeve::log::reader::{Content, Reader};
use portreeve::log::verify::{Opening, Verdict, verify};
use portreeve::log::{Log, Settings};
use portreeve::secret::Secret;

const DIRECTORY: &str = "LOG_KILL_DIRECTORY";
const ROUNDS: usize = 8;
const RECIPIENTS: [Recipient; 2] = [Recipient::Vendor, Recipient::Customer(CustomerId(7))];

fn signing() -> SigningKey {
    SigningKey::from_seed(&Secret::new([1; 32]))
}

fn open_log(dir: &Path, recipients: &Recipients) -> Log {
    let mut settings = Settings::new("killed", signing());
    (settings.segment_bytes, settings.reserve_bytes) = (256 << 10, 0);
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    Log::open(Arc::new(RealDisk), &dir.join("log"), settings, recipients.clone(), clock, entropy).expect("it opens")
}

/// The public keys as the writer has them.
fn recipients(dir: &Path) -> Recipients {
    let recipients = Recipients::new();
    let bytes = fs::read(dir.join("keys")).expect("the parent wrote them");
    let keys: Vec<RecipientKey> = minicbor::decode(&bytes).expect("CBOR");
    keys.into_iter().for_each(|key| recipients.set(key));
    for (number, recipient) in (1..).zip(RECIPIENTS) {
        recipients.set_tag(recipient, TagKey(Secret::new([number; 32])));
    }
    recipients
}

/// The process that is killed. It says `acknowledged <round>/<task>/<n>` once it has the receipt.
#[test]
#[ignore = "started by the other test"]
fn writer() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let dir = Path::new(&dir);
    let log = open_log(dir, &recipients(dir));
    let round = std::process::id();
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
        let tasks = tokio::task::LocalSet::new();
        for task in 0..8 {
            let log = log.clone();
            tasks.spawn_local(async move {
                for n in 0.. {
                    let text = format!("{round}/{task}/{n}");
                    let mut record = Record::new(SystemClock.now(), Kind::Statement, Some(CustomerId(7)));
                    record.values.text = Some(text.clone().into_bytes());
                    record.values.message = Some("x".repeat(n * 977 % 20_000));
                    log.record(record).await.expect("durable");
                    writeln!(io::stdout(), "acknowledged {text}").expect("the parent listens");
                }
            });
        }
        tasks.await;
    });
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ended");
    }
}

#[test]
fn every_acknowledged_record_survives_the_kill_of_its_writer() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = temporary.path();
    let privates = make_keys(dir);
    let mut acknowledged = HashSet::new();
    for round in 0..ROUNDS {
        let writer = Command::new(std::env::current_exe().expect("this test"))
            .args(["writer", "--exact", "--ignored", "--nocapture"])
            .env(DIRECTORY, dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut writer = Killed(writer);
        let mut lines = BufReader::new(writer.0.stdout.take().expect("piped")).lines();
        let receipts = |lines: &mut dyn Iterator<Item = io::Result<String>>, at_most: usize| -> Vec<String> {
            let receipt = |line: String| line.strip_prefix("acknowledged ").map(str::to_owned);
            lines.map_while(Result::ok).filter_map(receipt).take(at_most).collect()
        };
        // Until some are acknowledged, then for a moment that differs by round.
        let enough = 20 + round * 37;
        let before = receipts(&mut lines, enough);
        assert_eq!(before.len(), enough, "round {round}: the writer ended by itself");
        std::thread::sleep(Duration::from_micros(1300 * round as u64));
        assert_eq!(writer.0.try_wait().expect("asked"), None, "round {round}: there is nobody to kill");
        drop(writer);
        acknowledged.extend(before);
        acknowledged.extend(receipts(&mut lines, usize::MAX));
        check(dir, &privates, &acknowledged);
    }
    assert!(acknowledged.len() >= (0..ROUNDS).map(|round| 20 + round * 37).sum());
}

type Privates = HashMap<(Recipient, Part, u32), Secret<[u8; 32]>>;

fn make_keys(dir: &Path) -> Privates {
    let keyring = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
    let (mut keys, mut privates) = (Vec::new(), HashMap::new());
    for recipient in RECIPIENTS {
        for part in Part::ALL {
            let period = recipient.period(SystemClock.now());
            let (public, private) = generate_key_pair();
            keys.push(RecipientKey::sign(recipient, part, period, public, &keyring));
            privates.insert((recipient, part, period), private);
        }
    }
    fs::write(dir.join("keys"), minicbor::to_vec(&keys).expect("CBOR")).expect("written");
    privates
}

/// Opens the log anew, then reads, opens and verifies all of it.
fn check(dir: &Path, privates: &Privates, acknowledged: &HashSet<String>) {
    let recipients = recipients(dir);
    open_log(dir, &recipients).close().expect("closed");
    let reader = Reader::open(&dir.join("log")).expect("readable");
    let mut tags = Tags::new(&recipients, reader.origin());
    let mut keys = DataKeys::new();
    for sealed in reader.sealed_data_keys(&mut tags).expect("whole") {
        let private = privates.get(&(sealed.recipient, sealed.part, sealed.period)).expect("there is such a key");
        keys.insert(sealed.position, &open_data_key(private, &sealed).expect("it opens"));
    }
    let mut recovered = HashSet::new();
    for entry in reader.entries() {
        let entry = entry.expect("whole");
        let recipient = entry.recipient(&mut tags).expect("recognised");
        if let Content::Record { .. } = entry.content {
            let opened = open(reader.origin(), &entry, recipient, &keys).expect("it opens");
            let text = opened.record.values.text.map(|text| String::from_utf8(text).expect("UTF-8"));
            recovered.extend(text);
        }
    }
    let lost: Vec<_> = acknowledged.difference(&recovered).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let opening = Opening { recipients: &recipients, keys: &keys };
    let found = verify(&dir.join("log"), &signing().public(), Some(&opening)).expect("readable");
    assert_eq!(found.iter().map(|finding| finding.verdict).collect::<Vec<_>>(), [Verdict::Ok], "{found:?}");
}
