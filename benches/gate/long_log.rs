//! A long audit log: a year of visits to a thousand customers. How much memory writing it takes, then how long it takes to
//! open, to verify its tree, and to find one customer's week in it.
//! Not here: the log behind the gate, and single writes (`audit.rs`); keys of many customers (`erasing.rs`).

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::signature::Ed25519KeyPair;
use portreeve::audit::checkpoint::SigningKey;
use portreeve::audit::keys::{Part, Recipient, RecipientKey, Recipients, SealedDataKey, TagKey, open_data_key};
use portreeve::audit::record::{Kind, Record};
use portreeve::audit::tree::sha256;
use portreeve::clock::{Clock, Timestamp};
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::ids::{CustomerId, SessionId};
use portreeve::log::search::{Query, search};
use portreeve::log::{Epoch, Log, Settings, verify};
use portreeve::secret::Secret;

use super::Failed;
use super::samples::{Measured, percentile};

/// The first argument by which the bench is the writer of a long log: then its directory and how many records.
pub const ARGUMENT: &str = "write-log";
/// The first argument by which it opens one: then its directory.
pub const OPEN_ARGUMENT: &str = "open-log";

const CUSTOMERS: u64 = 1000;
/// Statements of one visit; each has its outcome, as a record of its own.
const STATEMENTS: u64 = 24;
/// Visits that are written as one batch.
const VISITS_AT_ONCE: u64 = 40;
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// 2026-01-01T00:00:00Z, and how long visits come.
const BEGIN: Timestamp = Timestamp(1_767_225_600_000_000);
const YEAR: Duration = Duration::from_secs(364 * 86_400);
const SEARCHES: u64 = 20;
const WRITER: &str = "bench";

/// The cell of the report in which a log of so many records stands.
pub fn cell(records: u64) -> String {
    if records.is_multiple_of(1_000_000) {
        format!("log_{}m", records / 1_000_000)
    } else {
        format!("log_{}k", records / 1000)
    }
}

/// Writes the log in a process of its own, then measures it. The directory is removed afterwards.
pub async fn run(dir: &Path, records: u64) -> Result<Measured, Failed> {
    let written = told(ARGUMENT, dir, &[records.to_string()])?;
    let mut measured = vec![
        ("writing_mib", number(&written, "peak_kib")? / 1024.0),
        ("written_per_s", records as f64 / number(&written, "seconds")?),
        ("leaves", number(&written, "leaves")?),
    ];
    let opened = told(OPEN_ARGUMENT, dir, &[])?;
    measured.push(("open_ms", number(&opened, "ms")?));
    measured.push(("opening_mib", number(&opened, "peak_kib")? / 1024.0));
    measured.push(("tree_s", tree_s(dir)?));
    let (week, most, found) = weeks_ms(dir).await?;
    measured.extend([("search_week_ms", week), ("search_week_most_ms", most), ("found_per_week", found)]);
    measured.push(("search_all_ms", all_ms(dir).await?));
    fs::remove_dir_all(dir)?;
    Ok(measured)
}

/// What the bench says as a process of its own.
fn told(argument: &str, dir: &Path, more: &[String]) -> Result<serde_json::Value, Failed> {
    let mut child = Command::new(std::env::current_exe()?);
    let output = child.arg(argument).arg(dir).args(more).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{argument} ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn number(value: &serde_json::Value, name: &str) -> Result<f64, Failed> {
    value.get(name).and_then(serde_json::Value::as_f64).ok_or_else(|| format!("it did not say {name}").into())
}

/// Time as the visits have it.
struct Simulated(AtomicI64);

impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

fn signing() -> SigningKey {
    SigningKey::from_seed(&Secret::new([7; 32]))
}

/// The same each time, so that who searches has them too.
fn private(recipient: Recipient, part: Part) -> Secret<[u8; 32]> {
    Secret::new(sha256(&[b"private", recipient.to_string().as_bytes(), &[part.number()]]))
}

fn recipients() -> Result<Recipients, Failed> {
    let keyring = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).map_err(|_| "32 bytes are a seed")?;
    let recipients = Recipients::new();
    let customers = (0..CUSTOMERS).map(|number| Recipient::Customer(CustomerId(number)));
    for recipient in customers.chain([Recipient::Vendor]) {
        recipients.set_tag(recipient, TagKey(Secret::new(sha256(&[b"tag", recipient.to_string().as_bytes()]))));
        for part in Part::ALL {
            let private = PrivateKey::from_private_key(&X25519, private(recipient, part).expose())?;
            let public: [u8; 32] = private.compute_public_key()?.as_ref().try_into()?;
            let periods = (0..13).map(|month| recipient.period(BEGIN.plus(month * YEAR / 13)));
            let mut periods: Vec<u32> = periods.collect();
            periods.dedup();
            for period in periods {
                recipients.set(RecipientKey::sign(recipient, part, period, public, &keyring));
            }
        }
    }
    Ok(recipients)
}

fn open(dir: &Path, recipients: Recipients, now: Timestamp) -> Result<(Log, Arc<Simulated>), Failed> {
    let clock = Arc::new(Simulated(AtomicI64::new(now.0)));
    // Each visit has data keys of its own, as if the last one of that customer were longer ago than an epoch.
    let epoch = Epoch { age: Duration::from_micros(1), bytes: 64 << 20 };
    let settings = Settings { epoch, reserve_bytes: 0, ..Settings::new(WRITER, signing()) };
    let seam = Arc::clone(&clock) as Arc<dyn Clock>;
    Ok((Log::open(Arc::new(RealDisk), dir, settings, recipients, seam, Arc::new(OsEntropy))?, clock))
}

/// As a process of its own: writes the log and says how much memory that took at most.
pub async fn write(dir: &Path, records: u64) -> Result<(), Failed> {
    let recipients = recipients()?;
    let begun = Instant::now();
    let (log, clock) = open(dir, recipients, BEGIN)?;
    let visits = records / (2 * STATEMENTS);
    for visit in 0..visits {
        let at = BEGIN.plus(Duration::from_secs(visit * YEAR.as_secs() / visits));
        clock.0.store(at.0, Ordering::Relaxed);
        let is_last = visit % VISITS_AT_ONCE == VISITS_AT_ONCE - 1 || visit + 1 == visits;
        for record in visit_of(visit, at) {
            log.note(record)?;
        }
        if is_last {
            let _receipt = log.record(Record::new(at, Kind::Observed, None)).await?;
        }
    }
    let leaves = log.checkpoint().size;
    log.close()?;
    say(&serde_json::json!({
        "peak_kib": peak_kib()?, "seconds": begun.elapsed().as_secs_f64(), "leaves": leaves,
    }));
    Ok(())
}

/// As a process of its own: opens the log and says how long that took.
pub fn open_it(dir: &Path) -> Result<(), Failed> {
    let recipients = recipients()?;
    let begun = Instant::now();
    let (log, _) = open(dir, recipients, BEGIN.plus(YEAR))?;
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    log.close()?;
    say(&serde_json::json!({"ms": ms, "peak_kib": peak_kib()?}));
    Ok(())
}

fn say(told: &serde_json::Value) {
    println!("{told}");
}

/// The most memory that this process had resident.
fn peak_kib() -> Result<u64, Failed> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Statements and their outcomes, two seconds apart, of a customer who is another each time.
fn visit_of(visit: u64, at: Timestamp) -> impl Iterator<Item = Record> {
    let customer = Some(CustomerId(visit.wrapping_mul(0x9e37_79b9_7f4a_7c15) % CUSTOMERS));
    let session = Some(SessionId(visit.to_be_bytes()));
    (0..STATEMENTS).flat_map(move |frame| {
        let at = at.plus(Duration::from_secs(2 * frame));
        let mut statement = Record::new(at, Kind::Statement, customer);
        (statement.skeleton.session, statement.skeleton.frame) = (session, Some(frame + 1));
        (statement.skeleton.staff, statement.skeleton.verb) = (Some(visit % 50), Some("query".to_owned()));
        statement.skeleton.relations = Some(vec!["contacts".to_owned()]);
        statement.values.text = Some(format!("select * from contacts where id = {frame}").into_bytes());
        let mut outcome = Record::new(at.plus(Duration::from_millis(3)), Kind::Outcome, customer);
        (outcome.skeleton.session, outcome.skeleton.frame) = (session, Some(frame + 1));
        (outcome.skeleton.rows, outcome.skeleton.tag) = (Some(1), Some("SELECT 1".to_owned()));
        [statement, outcome]
    })
}

/// How long it takes to check every leaf, the tree over them and its signature.
fn tree_s(dir: &Path) -> Result<f64, Failed> {
    let begun = Instant::now();
    let examined = verify::examine_tree(dir, &signing().public())?;
    let seconds = begun.elapsed().as_secs_f64();
    match examined.findings.as_slice() {
        [finding] if finding.verdict == verify::Verdict::Ok => Ok(seconds),
        findings => Err(format!("the bench's own log does not verify: {findings:?}").into()),
    }
}

/// One search, and how much it found; its data keys are opened here, as the keyring would.
async fn searched(dir: &Path, query: &Query) -> Result<(f64, usize), Failed> {
    let recipients = recipients()?;
    let dirs: [PathBuf; 1] = [dir.to_owned()];
    let opener = async |keys: Vec<SealedDataKey>| {
        keys.iter().map(|key| open_data_key(&private(key.recipient, key.part), key)).collect::<Result<Vec<_>, _>>()
    };
    let begun = Instant::now();
    let found = search(&dirs, query, &recipients, opener).await?;
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    if found.iter().any(|found| found.fault.is_some() || !found.still_sealed.is_empty()) {
        return Err("a record that was found does not open".into());
    }
    Ok((ms, found.len()))
}

fn query(customer: u64) -> Query {
    let pinned = HashMap::from([(format!("portreeve/{WRITER}"), signing().public())]).into_iter().collect();
    Query { customer: Some(CustomerId(customer)), pinned, ..Query::default() }
}

/// Weeks of different customers all over the year: the median, the slowest, and how many statements one has.
async fn weeks_ms(dir: &Path) -> Result<(f64, f64, f64), Failed> {
    let (mut times, mut found) = (Vec::new(), 0);
    for number in 0..SEARCHES {
        let since = BEGIN.plus(WEEK * u32::try_from(number * 52 / SEARCHES)?);
        let (since, until) = (Some(since), Some(since.plus(WEEK)));
        let (ms, rows) = searched(dir, &Query { since, until, ..query(number * 47 % CUSTOMERS) }).await?;
        times.push(ms);
        found += rows;
    }
    times.sort_unstable_by(f64::total_cmp);
    let of = |share| percentile(&times, share).unwrap_or_default();
    Ok((of(0.5), of(1.0), found as f64 / SEARCHES as f64))
}

/// Everything of one customer.
async fn all_ms(dir: &Path) -> Result<f64, Failed> {
    Ok(searched(dir, &query(17)).await?.0)
}
