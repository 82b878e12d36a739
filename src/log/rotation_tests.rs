//! A writer whose log goes on as another again and again, with notices of erasure in it and a witness beside it, on a disk
//! that loses power, whose calls fail, and by a clock that steps. Wherever it is cut off, what was acknowledged is in its
//! log, all logs verify together without an alarm, and no witness was ever shown anything that is not so any more.
//! The log's threads do not run here: a seed takes their turns.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::crash_tests::{ByHand, answer};
use super::fixture::*;
use super::open::{DataKeys, open};
use super::reader::{Content, Reader};
use super::start::Ready;
use super::together::judge;
use super::verify::{Opening, Verdict, examine_on};
use super::*;
use crate::audit::keys::Part;
use crate::audit::public::Lost;
use crate::audit::tag::Tags;
use crate::audit::tree::{Frontier, Hash};
use crate::clock::Timestamp;
use crate::disk::crashing::{Call, CrashingDisk, Ending, Fault, Random};
use crate::entropy::OsEntropy;
use crate::ids::{CustomerId, EventId};

const HOUR: i64 = 3_600_000_000;
/// Around noon of 2026-11-21, the end of the year, and some days into the next.
const AROUND: [i64; 3] = [0, 24 * 40 * HOUR + 11 * HOUR, 24 * 47 * HOUR];
/// Of the values and of the skeleton of customer 7.
const EVENTS: [(EventId, Part); 2] = [(EventId([1; 16]), Part::Values), (EventId([2; 16]), Part::Skeleton)];

/// What happened, so that it can be said that it did.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    crashes: usize,
    /// Of them while the log was being rotated.
    in_rotations: usize,
    rotations: usize,
    steps: usize,
    notices: usize,
    erased: usize,
    witnessed: usize,
    acknowledged: usize,
    verified: usize,
}

/// How far customer 7's records are erased: so many of the two parts.
#[derive(Clone, Copy, Debug, Default)]
struct Erasing {
    /// It was begun: nothing is sealed to it any more.
    begun: usize,
    done: usize,
}

/// A record that was said to be durable.
struct Acknowledged {
    log: u8,
    position: u64,
    customer: Option<CustomerId>,
    text: String,
}

struct World {
    fixture: Fixture,
    disk: CrashingDisk,
    random: Random,
    segment_bytes: u64,
    /// Which log is written, from 1; the files of the keys say so, which are elsewhere.
    current: u8,
    /// Whether the next one's key is made and not yet in its place.
    is_rotating: bool,
    erasing: Erasing,
    acknowledged: Vec<Acknowledged>,
    /// What a witness remembers of each log.
    witness: BTreeMap<u8, (u64, Hash)>,
    asked: u64,
    happened: Happened,
}

/// What is read of one log.
struct Read {
    texts: BTreeMap<u64, String>,
    roots: BTreeMap<u64, Hash>,
    /// Records of customer 7.
    sevens: u64,
}

fn name(log: u8) -> String {
    if log == 1 { "proxy-gate-1".to_owned() } else { format!("proxy-gate-1.{log}") }
}

fn dir(log: u8) -> PathBuf {
    PathBuf::from("/var/log").join(name(log))
}

impl World {
    fn new(seed: u64) -> World {
        let mut fixture = Fixture::new();
        for after in AROUND {
            fixture.add_period(Timestamp(NOON.0 + after));
        }
        let mut random = Random(seed);
        World {
            fixture,
            disk: CrashingDisk::new(random.next()),
            segment_bytes: (12 + 4 * random.below(12)) << 10,
            random,
            current: 1,
            is_rotating: false,
            erasing: Erasing::default(),
            acknowledged: Vec::new(),
            witness: BTreeMap::new(),
            asked: 0,
            happened: Happened::default(),
        }
    }

    fn reader(&self, log: u8) -> Result<Reader, Error> {
        Reader::open_on(Arc::new(self.disk.clone()), &dir(log))
    }

    /// Opens that log; one that goes on from another says so if it is new.
    fn open(&self, log: u8, continuing: Option<String>) -> Result<ByHand, Error> {
        let mut settings = Settings::new(&name(log), signing(log));
        (settings.segment_bytes, settings.reserve_bytes) = (self.segment_bytes, 1 << 20);
        settings.continues = continuing;
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::clone(&self.fixture.clock) as Arc<dyn Clock>);
        let recipients = self.fixture.recipients.clone();
        let ready = Ready::open(disk, &dir(log), settings, recipients, clock, Arc::new(OsEntropy))?;
        Ok(ByHand::new(ready.by_hand()))
    }

    fn set_clock(&mut self) {
        let around = AROUND[self.random.below(3) as usize];
        let step = self.random.below(7_200_000_000) as i64 - HOUR;
        self.fixture.clock.0.store(NOON.0 + around + step, Ordering::Relaxed);
        self.happened.steps += 1;
    }

    /// Some records; what is said to be durable is remembered.
    fn records(&mut self, hand: &mut ByHand) -> Result<(), String> {
        let mut waiting = Vec::new();
        for _ in 0..=self.random.below(3) {
            self.asked += 1;
            let whose = [Some(EIGHT), None, Some(SEVEN)]
                [self.random.below(if self.erasing.begun == 0 { 3 } else { 2 }) as usize];
            let text = format!("{} {}", self.asked, "x".repeat(self.random.below(4000) as usize));
            let claim = Claim::of(SessionId([1; 8]), self.asked);
            if let Ok(enqueued) = hand.log.append(statement(whose, &text), claim) {
                waiting.push((whose, text, enqueued));
            }
        }
        hand.write();
        for (customer, text, mut enqueued) in waiting {
            match answer(&mut enqueued) {
                Poll::Pending => return Err("nobody answers".to_owned()),
                Poll::Ready(Ok(receipt)) => {
                    let (log, position) = (self.current, receipt.position());
                    self.acknowledged.push(Acknowledged { log, position, customer, text });
                }
                Poll::Ready(Err(_)) => {}
            }
        }
        Ok(())
    }

    /// One part of customer 7's records is erased: told in the log, and only then done.
    fn erase(&mut self, hand: &mut ByHand) -> Result<(), String> {
        let Some((event, part)) = EVENTS.get(self.erasing.done).copied() else { return Ok(()) };
        self.erasing.begun = self.erasing.done + 1;
        let seven = Recipient::Customer(SEVEN);
        let mut lost = Vec::new();
        for log in 1..=self.current {
            let records = self.read(log).map_err(|error| format!("counting: {error}"))?.sevens;
            lost.push(Lost { log: origin(&name(log)), records });
        }
        let notice = Notice::new(event, part, self.fixture.clock.now(), lost);
        let log = hand.log.clone();
        let mut telling = pin!(log.notice(notice));
        let mut context = Context::from_waker(Waker::noop());
        // Nobody takes it in a log that failed.
        if telling.as_mut().poll(&mut context).is_ready() {
            return Ok(());
        }
        hand.write();
        let Poll::Ready(Ok(_)) = telling.as_mut().poll(&mut context) else { return Ok(()) };
        self.happened.notices += 1;
        // The keyring can be away meanwhile.
        if self.random.chance(30) {
            return Ok(());
        }
        self.fixture.recipients.set_erased(seven, part, None);
        self.fixture.recipients.forget(seven);
        if part == Part::Values {
            // Who only reads keeps recognising what is left.
            self.fixture.set_tag(seven);
        }
        hand.forget(seven);
        self.erasing.done += 1;
        self.happened.erased += 1;
        Ok(())
    }

    /// A witness is shown what is signed.
    fn show(&mut self, log: u8) -> Result<(), String> {
        let Ok(reader) = self.reader(log) else { return Ok(()) };
        let signed = Checkpoint::open(reader.note(), reader.origin(), &signing(log).public());
        let signed = signed.map_err(|error| error.to_string())?;
        let before = self.witness.insert(log, (signed.size, signed.root));
        self.happened.witnessed += 1;
        match before {
            Some((size, _)) if size > signed.size => Err(format!("{size} leaves were signed, and now {}", signed.size)),
            Some(_) | None => Ok(()),
        }
    }

    /// The log ends, and goes on as the next; all of it again until it is through.
    fn rotate(&mut self, hand: Option<ByHand>) -> Result<(), Error> {
        self.is_rotating = true;
        let next = self.current + 1;
        let opened = match hand {
            Some(hand) => Ok(hand),
            None => self.open(self.current, None),
        };
        match opened {
            Ok(hand) => hand.close_to_continue(&name(next), &signing(next).public())?,
            Err(Error::Continued { .. }) => {}
            Err(error) => return Err(error),
        }
        let note = self.reader(self.current)?.note().to_owned();
        self.open(next, Some(note))?.close()?;
        (self.current, self.is_rotating) = (next, false);
        self.happened.rotations += 1;
        Ok(())
    }

    /// Reads a log, without opening what is customer 7's if its keys are gone.
    fn read(&self, log: u8) -> Result<Read, String> {
        let said = |error: Error| error.to_string();
        let reader = self.reader(log).map_err(said)?;
        let keys = self.data_keys(&reader)?;
        let mut tags = Tags::new(&self.fixture.recipients, reader.origin());
        let (mut tree, mut roots, mut texts, mut sevens) = (Frontier::new(), BTreeMap::new(), BTreeMap::new(), 0);
        roots.insert(0, tree.root());
        for entry in reader.entries() {
            let entry = entry.map_err(said)?;
            tree.push(entry.descriptor.leaf_hash());
            roots.insert(tree.size(), tree.root());
            let (Content::Record { .. }, Some(whose)) = (&entry.content, entry.recipient(&mut tags)) else { continue };
            sevens += u64::from(whose == Recipient::Customer(SEVEN));
            let opened = open(reader.origin(), &entry, whose, &keys).map_err(|error| error.to_string())?;
            if let Some(text) = opened.record.values.text {
                texts.insert(entry.position(), String::from_utf8_lossy(&text).into_owned());
            }
        }
        Ok(Read { texts, roots, sevens })
    }

    fn data_keys(&self, reader: &Reader) -> Result<DataKeys, String> {
        let recipients = &self.fixture.recipients;
        let mut keys = DataKeys::new();
        let sealed = reader.sealed_data_keys(&mut Tags::new(recipients, reader.origin()));
        for sealed in sealed.map_err(|error| error.to_string())? {
            if !recipients.is_erased(sealed.recipient, sealed.part, sealed.period) {
                keys.insert(sealed.position, &self.fixture.open_key(&sealed));
            }
        }
        Ok(keys)
    }

    /// Every log that was begun, by itself and with the others, with and without keys: no alarm.
    fn verify(&mut self) -> Result<(), String> {
        let recipients = &self.fixture.recipients;
        let under_way = EVENTS.iter().take(self.erasing.begun).skip(self.erasing.done);
        let under_way: BTreeSet<_> = under_way.map(|(event, _)| Notice::id_of(*event)).collect();
        for with_keys in [false, true] {
            let mut logs = Vec::new();
            for log in 1..=self.current {
                let keys = self.data_keys(&self.reader(log).map_err(|error| error.to_string())?)?;
                let opening = Opening { recipients, keys: &keys };
                let opening = Some(&opening).filter(|_| with_keys);
                let examined = examine_on(&self.disk, &dir(log), &signing(log).public(), opening, u64::MAX);
                let examined = examined.map_err(|error| error.to_string())?;
                if let Some(alarm) = examined.findings.iter().find(|finding| finding.verdict.is_alarm()) {
                    return Err(format!("a false alarm about log {log}: {alarm}"));
                }
                logs.push(examined);
            }
            let found = judge(&logs, &under_way, self.fixture.clock.now());
            if let Some((log, alarm)) = found.iter().find(|(_, finding)| finding.verdict.is_alarm()) {
                return Err(format!("a false alarm about {log}: {alarm} ({:?})", self.erasing));
            }
            let is_erased = found.iter().any(|(_, finding)| finding.verdict == Verdict::Erased);
            if is_erased && self.erasing.begun == 0 {
                return Err(format!("nothing was erased: {found:?}"));
            }
        }
        self.happened.verified += 1;
        Ok(())
    }

    /// What was acknowledged is there, and what was signed and seen is so.
    fn check(&mut self) -> Result<(), String> {
        for log in 1..=self.current {
            let read = self.read(log)?;
            let own = self.acknowledged.iter().filter(|acknowledged| acknowledged.log == log);
            for Acknowledged { position, customer, text, .. } in own {
                match read.texts.get(position) {
                    Some(there) if there == text => {}
                    // Customer 7's do not open once they are erased, and then nobody's tag is on them; their leaves stay.
                    None if self.erasing.done > 0
                        && *customer == Some(SEVEN)
                        && read.roots.contains_key(&(position + 1)) => {}
                    there => {
                        return Err(format!(
                            "log {log}, position {position}: {:.12} is {:.12}",
                            text,
                            there.map_or("gone", String::as_str)
                        ));
                    }
                }
            }
            if let Some((size, root)) = self.witness.get(&log)
                && read.roots.get(size) != Some(root)
            {
                return Err(format!("log {log} does not begin with the {size} leaves that a witness saw"));
            }
        }
        Ok(())
    }

    /// The machine starts again, and what was being rotated is taken up, or the writer starts with the log it had.
    fn restart(&mut self, ending: Ending) -> Result<(), String> {
        self.disk = self.disk.restart(ending);
        if self.is_rotating && self.random.chance(50) {
            match self.open(self.current, None) {
                Ok(mut hand) => self.records(&mut hand)?,
                Err(Error::Continued { .. }) => {}
                Err(error) => return Err(format!("it does not open: {error}")),
            }
        }
        if self.is_rotating {
            self.rotate(None).map_err(|error| format!("the rotation is not taken up: {error}"))?;
        }
        Ok(())
    }

    /// One life of the writer.
    fn live(&mut self) -> Result<(), String> {
        let mut hand = Some(self.open(self.current, None).map_err(|error| format!("it does not open: {error}"))?);
        self.check()?;
        self.verify()?;
        if self.random.chance(70) {
            let calls = 1 + self.random.below(90);
            self.disk.crash_in(calls);
        }
        for _ in 0..10 {
            let Some(own) = &mut hand else { break };
            let log = self.current;
            match self.random.below(16) {
                0 | 1 => self.set_clock(),
                2 => match self.erase(own) {
                    Err(why) if !self.disk.is_down() => return Err(why),
                    Ok(()) | Err(_) => {}
                },
                3 | 4 => {
                    own.tick();
                    if !self.disk.is_down() {
                        self.show(log)?;
                    }
                }
                5 | 6 => {
                    let taken = hand.take();
                    match self.rotate(taken).and_then(|()| self.open(self.current, None)) {
                        Ok(opened) => hand = Some(opened),
                        Err(_) if self.disk.is_down() => self.happened.in_rotations += usize::from(self.is_rotating),
                        Err(error) => return Err(format!("it is not rotated: {error}")),
                    }
                }
                _ => self.records(own)?,
            }
            if self.disk.is_down() {
                break;
            }
        }
        if let Some(hand) = hand
            && !self.disk.is_down()
            && self.random.chance(50)
        {
            // It may crash in this.
            let _closed = hand.close();
        }
        let crashed = self.disk.is_down() || self.random.chance(30);
        self.disk.stop();
        self.happened.crashes += usize::from(crashed);
        self.restart(if crashed { Ending::PowerLost } else { Ending::Killed })
    }
}

impl World {
    /// Opened once more, a log has dropped what was torn: then all of it is looked at.
    fn settle(&mut self) -> Result<(), String> {
        drop(self.open(self.current, None).map_err(|error| format!("it does not open at last: {error}"))?);
        self.check()?;
        self.verify()
    }
}

/// A part of so many seeds; `CRASH_SEEDS` says more: `make soak`.
fn runs(part: u64) {
    let count = std::env::var("CRASH_SEEDS").ok().and_then(|seeds| seeds.parse::<u64>().ok());
    let count = count.map_or(250, |seeds| seeds.div_ceil(16));
    let seeds = part * count..(part + 1) * count;
    let (mut all, mut wrong) = (Happened::default(), Vec::new());
    for seed in seeds {
        let mut world = World::new(seed);
        let lived = (0..3).try_for_each(|_| world.live()).and_then(|()| world.settle());
        if let Err(error) = lived {
            wrong.push(format!("seed {seed}: {error}"));
        }
        let happened = world.happened;
        all.crashes += happened.crashes;
        all.in_rotations += happened.in_rotations;
        all.rotations += happened.rotations;
        all.steps += happened.steps;
        all.notices += happened.notices;
        all.erased += happened.erased;
        all.witnessed += happened.witnessed;
        all.verified += happened.verified;
        all.acknowledged += world.acknowledged.len();
    }
    println!("{all:?}");
    assert!(wrong.is_empty(), "{} runs: {:#?}", wrong.len(), &wrong[..wrong.len().min(12)]);
    let Happened { crashes, in_rotations, rotations, steps, notices, erased, witnessed, acknowledged, verified } = all;
    let counts = [crashes, in_rotations, rotations, steps, notices, erased, witnessed, acknowledged];
    assert!(counts.iter().all(|count| *count > 40) && verified > 700, "{all:?}");
}

/// Together with its three neighbours: a thousand runs of crash, restart, clock step, rotation, notices and lawful erasure.
#[test]
fn the_first_of_four_times_250_runs_with_rotations_raises_no_alarm() {
    runs(0);
}

#[test]
fn the_second_of_four_times_250_runs_with_rotations_raises_no_alarm() {
    runs(1);
}

#[test]
fn the_third_of_four_times_250_runs_with_rotations_raises_no_alarm() {
    runs(2);
}

#[test]
fn the_last_of_four_times_250_runs_with_rotations_raises_no_alarm() {
    runs(3);
}

/// Opens, writes, signs, tells of an erasure, goes on as another log, writes there. The same calls each time; whether a
/// call that failed ended it.
fn work(world: &mut World) -> Result<bool, String> {
    let Ok(mut hand) = world.open(1, None) else { return Ok(true) };
    for _ in 0..6 {
        world.records(&mut hand)?;
        hand.tick();
    }
    if world.erase(&mut hand).is_err() || world.rotate(Some(hand)).is_err() {
        return Ok(true);
    }
    let Ok(mut hand) = world.open(2, None) else { return Ok(true) };
    world.records(&mut hand)?;
    Ok(hand.close().is_err())
}

/// With the smallest segments, so that some are finished and summed up.
fn small() -> World {
    World { segment_bytes: 12 << 10, ..World::new(1) }
}

fn fails(fault: Fault, ending: Ending) -> Result<bool, String> {
    let mut world = small();
    world.disk.fail(fault);
    let ended = work(&mut world)?;
    if !world.disk.all_failed() {
        return Err("the fault did not happen".to_owned());
    }
    for ending in [ending, Ending::PowerLost] {
        world.restart(ending)?;
        let mut hand = world.open(world.current, None).map_err(|error| format!("it does not open: {error}"))?;
        world.check()?;
        world.verify()?;
        world.records(&mut hand)?;
        hand.tick();
        drop(hand);
        world.disk.stop();
    }
    world.restart(Ending::PowerLost)?;
    world.settle()?;
    Ok(ended)
}

/// The n-th call of every kind fails, with an error of the disk and for want of space, while a log is rotated; a sixth
/// of them.
fn faults(part: u64) {
    let mut world = small();
    assert_eq!(work(&mut world), Ok(false), "nothing fails by itself");
    let replaced: Vec<_> = world.disk.replaced().into_iter().map(|(path, _)| path).collect();
    assert!(replaced.iter().any(|path| path.extension().is_some_and(|end| end == "summary")), "{replaced:?}");
    let counts = Call::ALL.map(|call| (call, world.disk.count(call)));
    let (mut tried, mut ended, mut wrong) = (0, 0, Vec::new());
    for (call, count) in counts {
        let hows = call.hows();
        let own = (1..=count).filter(|nth| nth % 6 == part);
        for (nth, how) in own.flat_map(|nth| hows.iter().map(move |how| (nth, *how))) {
            let ways = [(ErrorKind::StorageFull, Ending::PowerLost), (ErrorKind::Other, Ending::Killed)];
            // A full disk can be looked at.
            for (kind, ending) in ways.into_iter().skip(usize::from(hows.len() == 1)) {
                let fault = Fault { call, nth, kind, how };
                tried += 1;
                match fails(fault, ending) {
                    Ok(did) => ended += usize::from(did),
                    Err(error) => wrong.push(format!("{fault:?}, {ending:?}: {error}")),
                }
            }
        }
    }
    println!("{tried} faults, {ended} of them ended it");
    assert!(wrong.is_empty(), "{} of {tried}: {:#?}", wrong.len(), &wrong[..wrong.len().min(12)]);
    assert!(tried > 50 && ended > 20 && ended < tried, "{tried} faults, {ended} of them ended it");
}

#[test]
fn the_first_sixth_of_faults_in_a_rotation_loses_nothing_and_is_taken_up() {
    faults(0);
}

#[test]
fn the_second_sixth_of_faults_in_a_rotation_loses_nothing_and_is_taken_up() {
    faults(1);
}

#[test]
fn the_third_sixth_of_faults_in_a_rotation_loses_nothing_and_is_taken_up() {
    faults(2);
}

#[test]
fn the_fourth_sixth_of_faults_in_a_rotation_loses_nothing_and_is_taken_up() {
    faults(3);
}

#[test]
fn the_fifth_sixth_of_faults_in_a_rotation_loses_nothing_and_is_taken_up() {
    faults(4);
}

#[test]
fn the_last_sixth_of_faults_in_a_rotation_loses_nothing_and_is_taken_up() {
    faults(5);
}
