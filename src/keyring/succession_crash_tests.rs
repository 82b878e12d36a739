//! A log's key is changed on a disk that loses power in any call, or whose user is killed in it, again and again until the
//! change is through: in between either log can be written, or the change taken up; no key that signed is ever lost.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::super::init::public_key_in;
use super::super::pinned::log_names_on;
use super::*;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::keys::{Part, Recipient, RecipientKey, Recipients, TagKey, generate_key_pair};
use crate::audit::record::{Kind, Record};
use crate::clock::{Clock, Timestamp};
use crate::disk::crashing::{Call, CrashingDisk, Ending, Fault, How, Lie, Random};
use crate::entropy::OsEntropy;
use crate::log::together::judge;
use crate::log::verify::examine_on;
use crate::log::{self, Log};
use crate::secret::Secret;

const SEEDS: u64 = 150;
/// 2026-11-21T12:00:00Z.
const NOON: i64 = 1_795_262_400_000_000;

struct Still(AtomicI64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// A machine with the portal's key and log.
struct World {
    disk: CrashingDisk,
    random: Random,
    recipients: Recipients,
    runtime: tokio::runtime::Runtime,
    /// Records that were said to be durable.
    acknowledged: u64,
}

fn secret() -> &'static Path {
    Path::new("/etc/portreeve/secrets/portal")
}

fn keyring() -> &'static Path {
    Path::new("/etc/portreeve/keyring.pub")
}

fn dir(name: &str) -> PathBuf {
    Path::new("/var/lib/portreeve/audit").join(name)
}

impl World {
    fn new(seed: u64) -> World {
        let (disk, recipients) = (CrashingDisk::new(seed), Recipients::new());
        for part in Part::ALL {
            let (public, _) = generate_key_pair();
            let recipient = Recipient::Vendor;
            recipients.set(RecipientKey { recipient, part, period: 202_611, public, signature: [0; 64] });
        }
        recipients.set_tag(Recipient::Vendor, TagKey(Secret::new([9; 32])));
        for folder in ["/etc/portreeve/secrets", "/etc/portreeve/log-keys", "/var/lib/portreeve/audit"] {
            disk.make_directory(Path::new(folder)).expect("made");
        }
        disk.replace(secret(), &[1; 32], 0o400).expect("written");
        let first = verifier_key(&origin("portal"), &SigningKey::from_seed(&Secret::new([1; 32])).public());
        publish(&disk, &log_key(keyring(), "portal"), &first).expect("pinned");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        World { disk, random: Random(seed), recipients, runtime, acknowledged: 0 }
    }

    /// The key in place, and the name of the log that it signs.
    fn current(&self) -> Result<(SigningKey, String), Error> {
        let signing = SigningKey::from_seed(&seed_on(&self.disk, secret())?);
        for name in log_names_on(&self.disk, keyring(), "portal")? {
            if self.pinned(&name) == Some(verifier_key(&origin(&name), &signing.public())) {
                return Ok((signing, name));
            }
        }
        Err(Error::Bug("the key in place is no log's"))
    }

    fn pinned(&self, name: &str) -> Option<String> {
        let line = String::from_utf8(self.disk.read(&log_key(keyring(), name)).ok()?).ok()?;
        Some(line.trim_end().to_owned())
    }

    fn open(&self, name: &str, signing: SigningKey, continues: Option<String>) -> Result<Log, log::Error> {
        let settings = log::Settings {
            segment_bytes: 16 << 10,
            reserve_bytes: 0,
            heartbeat: Duration::from_secs(3600),
            continues,
            ..log::Settings::new(name, signing)
        };
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::new(Still(AtomicI64::new(NOON))));
        Log::open(disk, &dir(name), settings, self.recipients.clone(), clock, Arc::new(OsEntropy))
    }

    /// A writer's start, a record, its end; or the log has ended, and it is said what to do.
    fn write(&mut self) -> Result<(), String> {
        let (signing, name) = self.current().map_err(|error| error.to_string())?;
        let log = match self.open(&name, signing, None) {
            Err(log::Error::Continued { .. }) => return Ok(()),
            opened => opened.map_err(|error| error.to_string())?,
        };
        let record = Record::new(Timestamp(NOON), Kind::Refused, None);
        self.runtime.block_on(log.record(record)).map_err(|error| error.to_string())?;
        self.acknowledged += 1;
        log.close().map_err(|error| error.to_string())
    }

    /// What `keys rotate log` does, from its beginning.
    fn rotate(&self) -> Result<(), String> {
        let (signing, old) = self.current().map_err(|error| error.to_string())?;
        let next = prepare(&self.disk, keyring(), "portal", secret(), &OsEntropy).map_err(|error| error.to_string())?;
        let Some(Next { name, signing: next }) = next else { return Ok(()) };
        let key = verifier_key(&origin(&name), &next.public());
        let public = signing.public();
        match self.open(&old, signing, None) {
            Err(log::Error::Continued { next, .. }) if next == key => {}
            Err(error) => return Err(error.to_string()),
            Ok(log) => log.close_to_continue(&name, &next.public()).map_err(|error| error.to_string())?,
        }
        let note = self.disk.read(&dir(&old).join("checkpoint")).map_err(|error| error.to_string())?;
        let note = String::from_utf8(note).expect("a note");
        Checkpoint::open(&note, &origin(&old), &public).map_err(|error| error.to_string())?;
        let log = self.open(&name, next, Some(note)).map_err(|error| error.to_string())?;
        log.close().map_err(|error| error.to_string())?;
        adopt(&self.disk, secret()).map_err(|error| error.to_string())
    }

    /// Every log by the key that is pinned for it, by itself and with the others.
    fn verify(&self) -> Result<usize, String> {
        let (mut logs, mut records) = (Vec::new(), 0);
        for name in self.logs()? {
            let line = self.pinned(&name).ok_or("a key is not pinned")?;
            let public = public_key_in(&line).ok_or("no verifier key")?;
            let examined = examine_on(&self.disk, &dir(&name), &public, None, u64::MAX);
            let examined = examined.map_err(|error| error.to_string())?;
            if let Some(alarm) = examined.findings.iter().find(|finding| finding.verdict.is_alarm()) {
                return Err(format!("{name}: {alarm}"));
            }
            records += examined.records;
            logs.push(examined);
        }
        if let Some((log, alarm)) = judge(&logs, &Default::default(), Timestamp(NOON)).into_iter().next() {
            return Err(format!("{log}: {alarm}"));
        }
        if records < self.acknowledged {
            return Err(format!("{} records were acknowledged, and {records} are there", self.acknowledged));
        }
        Ok(logs.len())
    }
}

/// Where a crash was.
type Where = Option<(Call, PathBuf)>;

/// One change after the other, each cut off some times at calls that a seed chooses.
fn crashes(seed: u64, lie: Option<Lie>) -> Result<Vec<Where>, String> {
    let mut world = World::new(seed);
    let mut places = Vec::new();
    if let Some(lie) = lie {
        world.disk.lie(lie);
    }
    world.write()?;
    for _ in 0..2 {
        let before = world.verify()?;
        for _ in 0..world.random.below(5) {
            let calls = 1 + world.random.below(130);
            world.disk.crash_in(calls);
            let is_through = world.rotate().is_ok();
            places.push(world.disk.crashed_in());
            let ending = if world.random.chance(60) { Ending::PowerLost } else { Ending::Killed };
            world.disk = world.disk.restart(ending);
            if is_through {
                break;
            }
            // The writer may be started before the change is taken up.
            if world.random.chance(50) {
                world.write().map_err(|error| format!("after {:?}: {error}", places.last()))?;
            }
        }
        world.disk.go_on();
        if world.is_under_way()? || world.logs()?.len() == before {
            world.rotate().map_err(|error| format!("taken up after {:?}: {error}", places.last()))?;
        }
        if world.is_under_way()? {
            return Err("something is left of a change that is through".to_owned());
        }
        world.write().map_err(|error| format!("by the new key: {error}"))?;
        // Who does not see that it came through before it was cut off changes it once more.
        let after = world.verify()?;
        if after <= before {
            return Err(format!("{before} logs were there, and {after} are"));
        }
    }
    Ok(places)
}

impl World {
    fn logs(&self) -> Result<Vec<String>, String> {
        log_names_on(&self.disk, keyring(), "portal").map_err(|error| error.to_string())
    }

    /// Whether the next key is not in its place, or something is left of it.
    fn is_under_way(&self) -> Result<bool, String> {
        is_there(&self.disk, &next_of(secret())).map_err(|error| error.to_string())
    }
}

#[test]
fn a_change_cut_off_anywhere_loses_no_key_and_is_taken_up() {
    let mut places = Vec::new();
    for seed in 1..=SEEDS {
        places.extend(crashes(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}")));
    }
    let within = |end: &str| places.iter().flatten().filter(|(_, path)| path.to_string_lossy().ends_with(end)).count();
    let (next, pinned) = (within("portal.next.new") + within("secrets"), within(".vkey") + within(".vkey.new"));
    assert!(next > 5 && pinned > 0 && within("checkpoint") + within("segment") > 5, "{places:#?}");
    let caught = (1..=40).filter(|seed| crashes(*seed, Some(Lie::OfFiles)).is_err()).count();
    assert!(caught > 5, "a disk that lies is found out with {caught} of 40 seeds");
}

/// The next key's name was put in place by somebody who was killed before it was durable; taken up, it must be.
#[test]
fn a_key_that_a_log_goes_on_by_survives_power_loss() {
    for seed in 1..=20 {
        let mut world = World::new(seed);
        world.write().expect("written");
        let before = world.disk.count(Call::SyncDirectory);
        world.disk.crash_in_one(Call::SyncDirectory, 1);
        world.rotate().expect_err("killed");
        assert!(before > 0 && world.disk.crashed_in().is_some());
        world.disk = world.disk.restart(Ending::Killed);
        let (_, old) = world.current().expect("the old key");
        let next = prepare(&world.disk, keyring(), "portal", secret(), &OsEntropy).expect("prepared").expect("a key");
        let log = world.open(&old, world.current().expect("the old key").0, None).expect("opened");
        log.close_to_continue(&next.name, &next.signing.public()).expect("it goes on by that key");
        world.disk = world.disk.restart(Ending::PowerLost);
        world.rotate().expect("taken up");
        world.write().expect("by the new key");
        assert_eq!(world.verify(), Ok(2), "seed {seed}");
    }
}

#[test]
fn whatever_call_fails_a_change_is_taken_up() {
    let mut failed = 0;
    for (call, nth) in Call::ALL.into_iter().flat_map(|call| (1..=16).map(move |nth| (call, nth))) {
        for how in [How::Not, How::Whole] {
            let place = format!("{call:?} {nth}, done {how:?}");
            let mut world = World::new(nth);
            world.write().expect("written");
            let nth = world.disk.count(call) + nth;
            world.disk.fail(Fault { call, nth, kind: ErrorKind::Other, how });
            failed += usize::from(world.rotate().is_err());
            world.disk = world.disk.restart(Ending::Killed);
            if world.logs().expect("listed").len() == 1 || world.is_under_way().expect("looked for") {
                world.rotate().unwrap_or_else(|error| panic!("{place}: {error}"));
            }
            world.write().unwrap_or_else(|error| panic!("{place}: {error}"));
            assert_eq!(world.verify(), Ok(2), "{place}");
        }
    }
    assert!(failed > 150, "{failed} of them failed");
}
