//! The audit log by itself, on the disk the stage is on: appending, verifying, and what either could reach at most.
//! Not here: the log behind the gate, which the other loads measure.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::Ed25519KeyPair;
use portreeve::audit::checkpoint::SigningKey;
use portreeve::audit::descriptor::PLACE_BYTES;
use portreeve::audit::keys::{Part, Recipient, RecipientKey, Recipients, TagKey, generate_key_pair};
use portreeve::audit::record::{Kind, Record};
use portreeve::audit::seal::{Binding, DataKey, SALT_BYTES, seal};
use portreeve::audit::tree::sha256;
use portreeve::clock::{Clock, SystemClock};
use portreeve::disk::{BLOCK_BYTES, Blocks, Disk as _, RealDisk};
use portreeve::entropy::OsEntropy;
use portreeve::ids::CustomerId;
use portreeve::log::{Log, Settings, verify};
use portreeve::secret::Secret;

use super::Failed;
use super::process;
use super::samples::{Measured, percentile};

/// How many append at once, each waiting for its record.
const WRITERS: usize = 64;
const RECORD_BYTES: usize = 1024;
const VERIFIED_RECORD_BYTES: usize = 16 * 1024;
/// Bytes a record of that many bytes in `values` has besides: about what a statement's skeleton takes.
const SKELETON_BYTES: usize = 128;
const DURABLE_WRITES: usize = 200;
const SMALL_RECORD_BYTES: usize = 300;
/// How many records go into one batch where only their processor time counts.
const AT_ONCE: u64 = 200;
const CUSTOMER: CustomerId = CustomerId(7);
const SEED: [u8; 32] = [7; 32];

/// One round of everything; each measure with the contender it stands beside.
pub async fn run(dir: &Path, is_quick: bool) -> Result<[(&'static str, Measured); 2], Failed> {
    let span = if is_quick { Duration::from_millis(500) } else { Duration::from_secs(2) };
    let verified_bytes = if is_quick { 32 << 20 } else { 256 << 20 };
    let appended = append(&dir.join("append"), span).await?;
    let (one, write) = one_writer_us(&dir.join("one")).await?;
    let records = if is_quick { 100_000 } else { 400_000 };
    let cpu = record_cpu_us(&dir.join("cpu"), SMALL_RECORD_BYTES, records).await?;
    let one_core = one_core_per_second(&dir.join("one-core"), records / 2).await?;
    let (verify_rate, leaves) = verify_rate(&dir.join("verify"), verified_bytes).await?;
    let ours = vec![
        ("append_per_s", appended),
        ("append_beside_one_core_per_s", appended),
        ("append_beside_primitives_per_s", appended),
        ("append_mb_per_s", appended * RECORD_BYTES as f64 / 1e6),
        ("one_writer_us", one),
        ("record_300_cpu_us", cpu),
        ("verify_mb_per_s", verify_rate),
        ("verify_records_per_s", leaves),
    ];
    let floor = vec![
        ("append_beside_one_core_per_s", one_core),
        ("append_beside_primitives_per_s", sealed_per_second(span / 2)),
        ("one_writer_us", write),
        ("verify_mb_per_s", hashed_mb_per_second(span / 2)),
        ("durable_write_us", durable_write_us(dir)?),
    ];
    fs::remove_dir_all(dir)?;
    Ok([("portreeve", ours), ("floor", floor)])
}

fn open(dir: &Path) -> Result<Log, Failed> {
    let now = SystemClock.now();
    let keyring = Ed25519KeyPair::from_seed_unchecked(&SEED).map_err(|_| "32 bytes are a seed")?;
    let recipients = Recipients::new();
    for recipient in [Recipient::Vendor, Recipient::Customer(CUSTOMER)] {
        recipients.set_tag(recipient, TagKey(Secret::new(SEED)));
        for part in Part::ALL {
            let (public, _) = generate_key_pair();
            recipients.set(RecipientKey::sign(recipient, part, recipient.period(now), public, &keyring));
        }
    }
    let settings = Settings::new("bench", SigningKey::from_seed(&Secret::new(SEED)));
    Ok(Log::open(Arc::new(RealDisk), dir, settings, recipients, Arc::new(SystemClock), Arc::new(OsEntropy))?)
}

fn record(bytes: usize) -> Record {
    let mut record = Record::new(SystemClock.now(), Kind::Statement, Some(CUSTOMER));
    record.skeleton.verb = Some("v".repeat(SKELETON_BYTES));
    record.values.text = Some(vec![b'x'; bytes - SKELETON_BYTES]);
    record
}

/// Records a second by [`WRITERS`] that each wait for their own.
async fn append(dir: &Path, span: Duration) -> Result<f64, Failed> {
    let log = open(dir)?;
    let begun = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut count = 0_u64;
                while begun.elapsed() < span {
                    log.record(record(RECORD_BYTES)).await?;
                    count += 1;
                }
                Ok::<u64, portreeve::log::Error>(count)
            })
        })
        .collect();
    let mut count = 0;
    for writer in writers {
        count += writer.await??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    log.close()?;
    Ok(count as f64 / seconds)
}

/// How long one writer waits for a record that nobody else writes beside, and how long one durable write of as many
/// bytes takes by itself, in turns; medians in microseconds.
async fn one_writer_us(dir: &Path) -> Result<(f64, f64), Failed> {
    let log = open(dir)?;
    let path = dir.with_extension("beside");
    RealDisk.allocate(&path, (DURABLE_WRITES * BLOCK_BYTES) as u64)?;
    let (file, blocks) = (RealDisk.open(&path)?, Blocks::of(&[7; BLOCK_BYTES]));
    let (mut appends, mut writes) = (Vec::new(), Vec::new());
    for at in 0..DURABLE_WRITES {
        let record = record(SMALL_RECORD_BYTES);
        let begun = Instant::now();
        log.record(record).await?;
        appends.push(begun.elapsed().as_secs_f64() * 1e6);
        let begun = Instant::now();
        file.write_durably((at * BLOCK_BYTES) as u64, &blocks)?;
        writes.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    log.close()?;
    let median = |times: &mut Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        percentile(times, 0.5).unwrap_or_default()
    };
    Ok((median(&mut appends), median(&mut writes)))
}

/// How many such records one core could take in a second with nothing but the work to do: no disk, nobody who waits. What the
/// limit of the appending is a part of.
async fn one_core_per_second(dir: &Path, records: u64) -> Result<f64, Failed> {
    Ok(1e6 / record_cpu_us(dir, RECORD_BYTES, records).await?)
}

/// Processor time of one such record among many, from its making to its receipt, without that of the durable writes.
async fn record_cpu_us(dir: &Path, bytes: usize, records: u64) -> Result<f64, Failed> {
    let log = open(dir)?;
    let spent = || process::cpu(std::process::id()).ok_or("this process is there");
    let begun = spent()?;
    for number in 0..records {
        if number % AT_ONCE == AT_ONCE - 1 {
            log.record(record(bytes)).await?;
        } else {
            log.note(record(bytes))?;
        }
    }
    let spent_on_records = spent()? - begun;
    let written = written(dir)?;
    log.close()?;
    // The same bytes in as many writes, into segments that are there already.
    let writes = records / AT_ONCE;
    let length = usize::try_from(written / writes)?.next_multiple_of(BLOCK_BYTES);
    let path = dir.with_extension("beside");
    RealDisk.allocate(&path, length as u64)?;
    let (file, blocks) = (RealDisk.open(&path)?, Blocks::of(&vec![7; length]));
    let begun = spent()?;
    (0..writes).try_for_each(|_| file.write_durably(0, &blocks))?;
    let spent_on_writes = spent()? - begun;
    Ok(spent_on_records.saturating_sub(spent_on_writes).as_secs_f64() * 1e6 / records as f64)
}

/// How many bytes of records the log's segments hold: the last one's zeros are not counted.
fn written(dir: &Path) -> Result<u64, Failed> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "segment") {
            segments.push(path);
        }
    }
    segments.sort_unstable();
    let mut bytes = 0;
    for path in &segments {
        let content = fs::read(path)?;
        bytes += content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    }
    Ok(bytes)
}

/// How often one core does a second what of a record's cryptography is the largest part: both parts sealed, each part and the
/// leaf hashed. Not what it takes to make a record of a statement, to link it, to find it again, or to prove that it is there.
fn sealed_per_second(span: Duration) -> f64 {
    let key = DataKey::new(&Secret::new(SEED));
    let place = [3; PLACE_BYTES];
    let (values, skeleton) = (vec![b'x'; RECORD_BYTES - SKELETON_BYTES], [b'v'; SKELETON_BYTES]);
    let mut out = Vec::with_capacity(2 * RECORD_BYTES);
    per_second(span, || {
        out.clear();
        let mut hashes = [[0; 32]; 2];
        let parts = [(Part::Values, values.as_slice()), (Part::Skeleton, &skeleton)];
        for (hash, (part, content)) in hashes.iter_mut().zip(parts) {
            let start = out.len();
            seal(&key, &Binding::new("portreeve/bench", &place, part), &[1; SALT_BYTES], content, &mut out);
            *hash = sha256(&[out.get(start..).unwrap_or_default()]);
        }
        black_box(sha256(&[&place, hashes.as_flattened()]));
    })
}

/// What one core's SHA-256 takes in.
fn hashed_mb_per_second(span: Duration) -> f64 {
    let block = vec![5; VERIFIED_RECORD_BYTES];
    let blocks = per_second(span, || {
        black_box(digest(&SHA256, black_box(&block)));
    });
    blocks * VERIFIED_RECORD_BYTES as f64 / 1e6
}

fn per_second(span: Duration, mut act: impl FnMut()) -> f64 {
    let (begun, mut count) = (Instant::now(), 0_u64);
    while begun.elapsed() < span {
        for _ in 0..64 {
            act();
        }
        count += 64;
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// MB/s and records/s of verifying a log of so many bytes in large records.
async fn verify_rate(dir: &Path, bytes: usize) -> Result<(f64, f64), Failed> {
    let log = open(dir)?;
    let records = bytes / VERIFIED_RECORD_BYTES;
    for at in 0..records {
        if at % WRITERS == WRITERS - 1 {
            log.record(record(VERIFIED_RECORD_BYTES)).await?;
        } else {
            log.note(record(VERIFIED_RECORD_BYTES))?;
        }
    }
    log.close()?;
    let public = SigningKey::from_seed(&Secret::new(SEED)).public();
    // Read once, so that what is measured beside SHA-256 is not the disk.
    black_box(written(dir)?);
    let begun = Instant::now();
    let findings = verify::verify(dir, &public, None)?;
    let seconds = begun.elapsed().as_secs_f64();
    if let Some(finding) = findings.iter().find(|finding| finding.verdict != verify::Verdict::Ok) {
        return Err(format!("the bench's own log does not verify: {finding:?}").into());
    }
    Ok((bytes as f64 / 1e6 / seconds, records as f64 / seconds))
}

/// The median of one durable write of one block, by nobody else's leave, in microseconds.
fn durable_write_us(dir: &Path) -> Result<f64, Failed> {
    let path = dir.join("durable");
    RealDisk.allocate(&path, (DURABLE_WRITES * BLOCK_BYTES) as u64)?;
    let file = RealDisk.open(&path)?;
    let blocks = Blocks::of(&[7; BLOCK_BYTES]);
    let mut times = Vec::new();
    for at in 0..DURABLE_WRITES {
        let begun = Instant::now();
        file.write_durably((at * BLOCK_BYTES) as u64, &blocks)?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(percentile(&times, 0.5).unwrap_or_default())
}
