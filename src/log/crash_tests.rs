//! A log on a disk that loses power, thousands of times: what was acknowledged is there, in its place, and opens.
//! The log's threads do not run here: a seed takes their turns, so that it decides everything. (The bytes sealed
//! differ from run to run, their lengths do not.) With threads: `crash_with_threads`, of which a seed decides all but
//! the order of the two threads' calls.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::fixture::*;
use super::open::{DataKeys, open};
use super::reader::{Content, Reader};
use super::shared::Work;
use super::start::Ready;
use super::upkeep::Upkeep;
use super::verify::{Opening, Verdict, verify_on};
use super::writer::Writer;
use super::*;
use crate::audit::tag::Tags;
use crate::audit::tree::{Frontier, Hash};
use crate::disk::Lock;
use crate::disk::crashing::{Call, CrashingDisk, Ending, Lie, Random};
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;

const WHO: [Option<CustomerId>; 4] = [Some(SEVEN), Some(EIGHT), None, Some(SEVEN)];

/// What was asked of the log, and what it answered.
pub(super) struct Asked {
    text: String,
    customer: Option<CustomerId>,
    /// Whether it was refused for want of space: then it must not be there.
    is_refused: bool,
    /// At which position it was said to be durable.
    acknowledged: Option<u64>,
}

/// A machine with a log on it, over many starts.
pub(super) struct World {
    pub(super) fixture: Arc<Fixture>,
    pub(super) disk: CrashingDisk,
    pub(super) random: Random,
    segment_bytes: u64,
    pub(super) epoch_bytes: u64,
    /// Per life of the writer, in the order of the calls.
    lives: Vec<Vec<Asked>>,
    /// Records that say that something was dropped.
    recovered: usize,
    /// Whether something was cut off since the log was opened last.
    is_torn: bool,
    pub(super) tally: Tally,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) crashes: usize,
    pub(super) in_openings: usize,
    pub(super) torn: usize,
    pub(super) acknowledged: usize,
    pub(super) survived_unacknowledged: usize,
    pub(super) checkpoints: usize,
}

/// A log whose threads' turns the test takes.
pub(super) struct ByHand {
    pub(super) log: Log,
    writer: Writer,
    upkeep: Upkeep,
    _lock: Box<dyn Lock>,
}

impl ByHand {
    pub(super) fn new((log, writer, upkeep, lock): (Log, Writer, Upkeep, Box<dyn Lock>)) -> Self {
        ByHand { log, writer, upkeep, _lock: lock }
    }

    /// The writer's turn, for somebody waits.
    pub(super) fn write(&mut self) {
        if let Work::Write = self.log.0.shared.next_work(Duration::ZERO) {
            self.writer.turn(Vec::new());
        }
    }

    pub(super) fn tick(&mut self) {
        self.upkeep.turn(false);
    }

    /// As the writer does when it looks around.
    pub(super) fn forget(&mut self, recipient: Recipient) {
        let mut sealing = self.log.0.shared.sealing().expect("nobody panicked");
        sealing.sealer.forget(|whose| whose != recipient);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.log.0.shared.result().is_err()
    }

    /// An orderly end, or what becomes of it.
    pub(super) fn close(self) -> Result<(), Error> {
        self.end(Log::close)
    }

    /// The end of the log for good.
    pub(super) fn close_to_continue(self, writer: &str, public: &[u8; 32]) -> Result<(), Error> {
        self.end(|log| log.close_to_continue(writer, public))
    }

    fn end(mut self, close: impl FnOnce(Log) -> Result<(), Error>) -> Result<(), Error> {
        let shared = Arc::clone(&self.log.0.shared);
        let closing = close(self.log);
        while let Work::Write = shared.next_work(Duration::ZERO) {
            self.writer.turn(Vec::new());
        }
        self.upkeep.turn(true);
        closing.and(shared.result())
    }
}

pub(super) fn answer(enqueued: &mut Enqueued) -> Poll<Result<Receipt, Error>> {
    Pin::new(enqueued).poll(&mut Context::from_waker(Waker::noop()))
}

impl World {
    pub(super) fn new(fixture: &Arc<Fixture>, seed: u64) -> Self {
        let mut random = Random(seed);
        World {
            fixture: Arc::clone(fixture),
            disk: CrashingDisk::new(random.next()),
            segment_bytes: (12 + 4 * random.below(12)) << 10,
            epoch_bytes: 64 << 20,
            random,
            lives: Vec::new(),
            recovered: 0,
            is_torn: false,
            tally: Tally::default(),
        }
    }

    pub(super) fn dir() -> PathBuf {
        PathBuf::from("/var/log/gate")
    }

    pub(super) fn ready(&self) -> Result<Ready, Error> {
        let mut settings = self.fixture.settings();
        (settings.segment_bytes, settings.epoch.bytes) = (self.segment_bytes, self.epoch_bytes);
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::clone(&self.fixture.clock) as Arc<dyn Clock>);
        Ready::open(disk, &Self::dir(), settings, self.fixture.recipients.clone(), clock, Arc::new(OsEntropy))
    }

    /// Opens the log. A new life of its writer begins.
    pub(super) fn open(&mut self) -> Result<ByHand, Error> {
        let opened = self.ready().map(|ready| ByHand::new(ready.by_hand()))?;
        self.lives.push(Vec::new());
        Ok(opened)
    }

    /// Opened, the log has dropped what was torn; and what follows is looked at without crashing.
    pub(super) fn settle(&mut self) {
        self.is_torn = false;
        self.disk.go_on();
    }

    pub(super) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// A record of what is about to be asked.
    fn asked(&mut self, text_bytes: usize) -> Record {
        let life = self.lives.len() - 1;
        let asked = &mut self.lives[life];
        let customer = WHO[self.random.below(4) as usize];
        let text = format!("{life}/{} {}", asked.len(), "x".repeat(text_bytes));
        let record = statement(customer, &text);
        asked.push(Asked { text, customer, is_refused: false, acknowledged: None });
        record
    }

    fn text_bytes(&mut self) -> usize {
        match self.random.below(10) {
            0 => self.random.below(30_000) as usize,
            1..4 => self.random.below(4_000) as usize,
            _ => self.random.below(100) as usize,
        }
    }

    pub(super) fn note(&mut self, log: &Log) {
        let bytes = self.text_bytes();
        let record = self.asked(bytes);
        if log.note(record).is_err() {
            self.last_life().pop();
        }
    }

    fn last_life(&mut self) -> &mut Vec<Asked> {
        self.lives.last_mut().expect("a life has begun")
    }

    /// Queues a record; none if the log takes no more.
    fn append(&mut self, log: &Log) -> Option<(usize, Enqueued)> {
        let bytes = self.text_bytes();
        let record = self.asked(bytes);
        let number = self.last_life().len() - 1;
        let session = SessionId([self.random.below(3) as u8 + 1; 8]);
        match log.append(record, Claim::of(session, number as u64 + 1)) {
            Ok(enqueued) => Some((number, enqueued)),
            Err(_) => {
                self.last_life().pop();
                None
            }
        }
    }

    /// Some records of some sessions, and the answers to them.
    pub(super) fn records(&mut self, hand: &mut ByHand) -> Result<(), String> {
        let mut waiting: Vec<_> = Vec::new();
        for _ in 0..=self.random.below(4) {
            if self.random.chance(30) {
                self.note(&hand.log);
            }
            waiting.extend(self.append(&hand.log));
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let had_failed = hand.has_failed();
        hand.write();
        for (number, mut enqueued) in waiting {
            let asked = &mut self.last_life()[number];
            match answer(&mut enqueued) {
                Poll::Pending => return Err(format!("nobody answers about \"{}\"", &asked.text[..8])),
                Poll::Ready(Ok(_)) if had_failed => return Err("a failed log acknowledges".to_owned()),
                Poll::Ready(Ok(receipt)) => asked.acknowledged = Some(receipt.position()),
                Poll::Ready(Err(error)) => asked.is_refused = matches!(error, Error::Full(_)),
            }
        }
        Ok(())
    }

    /// Lives until the disk stops, or for so many steps.
    fn live(&mut self, mut hand: ByHand, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            match self.random.below(40) {
                0 => {
                    let result = hand.close();
                    if !self.disk.is_down() {
                        result.map_err(|error| format!("closing: {error}"))?;
                    }
                    return Ok(());
                }
                1..3 => hand.tick(),
                _ => self.records(&mut hand)?,
            }
            if self.disk.is_down() {
                return Ok(());
            }
        }
        self.disk.stop();
        Ok(())
    }

    /// The process ends like that, and the machine starts again: what a crash leaves is no alarm but a torn tail.
    pub(super) fn restart(&mut self, ending: Ending) -> Result<(), String> {
        self.disk = self.disk.restart(ending);
        let findings = verify_on(&self.disk, &Self::dir(), &signing(1).public(), None);
        let findings = match findings {
            // Not even a directory.
            Err(_) if self.acknowledged() == 0 => return Ok(()),
            findings => findings.map_err(|error| error.to_string())?,
        };
        for finding in &findings {
            match finding.verdict {
                Verdict::Torn => self.is_torn = true,
                Verdict::Missing if self.acknowledged() == 0 && finding.place == "checkpoint" => {}
                verdict if verdict.is_alarm() => return Err(format!("before opening: {finding}")),
                _ => {}
            }
        }
        Ok(())
    }

    fn acknowledged(&self) -> usize {
        self.lives.iter().flatten().filter(|asked| asked.acknowledged.is_some()).count()
    }

    /// Reads the whole log, which is open: the oracle.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let (disk, dir) = (Arc::new(self.disk.clone()), Self::dir());
        let said = |error: Error| error.to_string();
        let reader = Reader::open_on(disk.clone(), &dir).map_err(said)?;
        let mut tags = Tags::new(&self.fixture.recipients, reader.origin());
        let mut keys = DataKeys::new();
        for sealed in reader.sealed_data_keys(&mut tags).map_err(said)? {
            keys.insert(sealed.position, &self.fixture.open_key(&sealed));
        }
        let (mut tree, mut roots, mut found) = (Frontier::new(), BTreeMap::new(), HashMap::<usize, Vec<_>>::new());
        let mut recovered = 0;
        roots.insert(0, tree.root());
        for entry in reader.entries() {
            let entry = entry.map_err(said)?;
            tree.push(entry.descriptor.leaf_hash());
            roots.insert(tree.size(), tree.root());
            let recipient = entry.recipient(&mut tags).ok_or("a leaf of nobody")?;
            let Content::Record { .. } = entry.content else { continue };
            let opened = open(reader.origin(), &entry, recipient, &keys).map_err(|error| error.to_string())?;
            recovered += usize::from(entry.kind() == Kind::Recovered);
            if let Some(text) = opened.record.values.text {
                let text = String::from_utf8(text).map_err(|error| error.to_string())?;
                let life = text.split('/').next().and_then(|life| life.parse().ok()).ok_or("a text of nobody")?;
                found.entry(life).or_default().push((entry.position(), text, opened.record.customer));
            }
        }
        self.check_records(&found)?;
        self.check_checkpoints(&reader, &roots)?;
        if self.is_torn && recovered <= self.recovered {
            return Err("a tail was dropped and no record says so".to_owned());
        }
        (self.recovered, self.is_torn) = (recovered, false);
        let opening = Opening { recipients: &self.fixture.recipients, keys: &keys };
        let findings = verify_on(disk.as_ref(), &dir, &signing(1).public(), Some(&opening)).map_err(said)?;
        match findings.iter().find(|finding| finding.verdict.is_alarm()) {
            Some(alarm) => Err(format!("a false alarm: {alarm}")),
            None => Ok(()),
        }
    }

    /// Of each life the first so many of what was asked is there, in that order, and nothing acknowledged is missing.
    fn check_records(&mut self, found: &HashMap<usize, Vec<(u64, String, Option<CustomerId>)>>) -> Result<(), String> {
        self.tally.survived_unacknowledged = 0;
        for (number, life) in self.lives.iter().enumerate() {
            let asked: Vec<&Asked> = life.iter().filter(|asked| !asked.is_refused).collect();
            let there = found.get(&number).map_or(&[][..], Vec::as_slice);
            for (asked, (position, text, customer)) in asked.iter().zip(there) {
                if (&asked.text, &asked.customer) != (text, customer) {
                    return Err(format!("\"{:.12}\" stands where \"{:.12}\" was to be", text, asked.text));
                }
                if asked.acknowledged.is_some_and(|acknowledged| acknowledged != *position) {
                    return Err(format!("\"{:.12}\" stands at position {position}", text));
                }
                self.tally.survived_unacknowledged += usize::from(asked.acknowledged.is_none());
            }
            let lost = asked.iter().skip(there.len()).find(|asked| asked.acknowledged.is_some());
            if let Some(lost) = lost {
                return Err(format!("\"{:.12}\" was acknowledged and is lost", lost.text));
            }
            if there.len() > asked.len() {
                return Err("more is there than was asked".to_owned());
            }
        }
        Ok(())
    }

    /// The log extends every checkpoint that was ever signed, whether it got to the disk or not.
    fn check_checkpoints(&mut self, reader: &Reader, roots: &BTreeMap<u64, Hash>) -> Result<(), String> {
        let replaced = self.disk.replaced();
        self.tally.checkpoints = replaced.len();
        for (_, note) in replaced.iter().filter(|(path, _)| path.ends_with("checkpoint")) {
            let note = String::from_utf8_lossy(note);
            let signed = Checkpoint::open(&note, reader.origin(), &signing(1).public()).map_err(|e| e.to_string())?;
            if roots.get(&signed.size) != Some(&signed.root) {
                return Err(format!("the log does not extend what was signed for {} leaves", signed.size));
            }
        }
        Ok(())
    }

    /// Crashes so many times, and opens again each time.
    fn crashes(&mut self, crashes: usize) -> Result<(), String> {
        while self.tally.crashes < crashes {
            if self.random.chance(40) {
                self.disk.crash_in(1 + self.random.below(45));
            }
            match self.open() {
                Ok(hand) => {
                    // What is checked is read without crashing.
                    self.disk.go_on();
                    self.check()?;
                    match self.random.below(3) {
                        0 => self.disk.crash_in(1 + self.random.below(120)),
                        _ => self.disk.crash_in_one(Call::Sync, 1 + self.random.below(20)),
                    }
                    self.live(hand, 40)?;
                }
                Err(_) if self.disk.is_down() => self.tally.in_openings += 1,
                Err(error) => return Err(format!("it does not open: {error}")),
            }
            if self.disk.is_down() {
                self.tally.crashes += 1;
                let ending = if self.random.chance(75) { Ending::PowerLost } else { Ending::Killed };
                self.restart(ending)?;
                self.tally.torn += usize::from(self.is_torn);
            }
        }
        self.open().map_err(|error| format!("it does not open at last: {error}"))?;
        self.check()?;
        self.tally.acknowledged = self.acknowledged();
        Ok(())
    }
}

/// What goes wrong with that seed, and where.
fn run(fixture: &Arc<Fixture>, seed: u64, crashes: usize, lie: Option<Lie>) -> Result<Tally, String> {
    let mut world = World::new(fixture, seed);
    if let Some(lie) = lie {
        world.disk.lie(lie);
    }
    world.crashes(crashes).map(|()| world.tally).map_err(|error| {
        let (crashed_in, tally) = (world.disk.crashed_in(), world.tally);
        format!("seed {seed}, after crash {} (now in {crashed_in:?}): {error}", tally.crashes)
    })
}

/// So many crashes each seed brings.
const CRASHES: usize = 4;

/// Seeds that once found something, and what.
const FOUND: [(u64, &str); 4] = [
    (10, "a first write of which all but the header arrived was said to be forged"),
    (105, "the same in the first segment of all"),
    (117, "the same after one crash"),
    (292, "the same after four"),
];

/// How many parts the crashes are in, for tests run side by side; and of how many seeds each is. `CRASH_SEEDS` says
/// more: `make soak`.
const PARTS: u64 = 4;
const SEEDS: u64 = 625;

/// The seeds that found something, and a part of the others.
fn crash(part: u64) {
    let fixture = Arc::new(Fixture::new());
    let mut all = Tally::default();
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = number("CRASH_SEEDS").map_or(SEEDS, |seeds| seeds.div_ceil(PARTS));
    let first = number("CRASH_FIRST").unwrap_or(1) + part * seeds;
    let began = std::time::Instant::now();
    let mut wrong = Vec::new();
    let found = FOUND.iter().map(|(seed, _)| *seed).filter(|_| part == 0);
    for seed in found.chain(first..first + seeds) {
        match run(&fixture, seed, CRASHES, None) {
            Ok(tally) => {
                all.crashes += tally.crashes;
                all.in_openings += tally.in_openings;
                all.torn += tally.torn;
                all.acknowledged += tally.acknowledged;
                all.survived_unacknowledged += tally.survived_unacknowledged;
                all.checkpoints += tally.checkpoints;
            }
            Err(error) => wrong.push(error),
        }
    }
    println!("{all:?} in {:?}", began.elapsed());
    assert!(wrong.is_empty(), "{} seeds: {:#?}", wrong.len(), &wrong[..wrong.len().min(12)]);
    assert!(all.crashes as u64 >= CRASHES as u64 * seeds, "{all:?}");
    let enough = all.torn * 8 > all.crashes && all.in_openings * 8 > all.crashes && all.acknowledged > all.crashes;
    assert!(enough && all.survived_unacknowledged > 0 && all.checkpoints > all.crashes / 4, "{all:?}");
}

/// Together with its three neighbours: ten thousand crashes.
#[test]
fn nothing_acknowledged_is_lost_in_the_first_of_four_times_2500_crashes() {
    const { assert!(PARTS * SEEDS * CRASHES as u64 >= 10_000) };
    crash(0);
}

#[test]
fn nothing_acknowledged_is_lost_in_the_second_of_four_times_2500_crashes() {
    crash(1);
}

#[test]
fn nothing_acknowledged_is_lost_in_the_third_of_four_times_2500_crashes() {
    crash(2);
}

#[test]
fn nothing_acknowledged_is_lost_in_the_last_of_four_times_2500_crashes() {
    crash(3);
}

/// The oracle can fail: a disk that says what is not so is found out.
#[test]
fn a_disk_that_lies_is_found_out() {
    let fixture = Arc::new(Fixture::new());
    for lie in [Lie::OfFiles, Lie::OfDirectories] {
        let caught = (1..=20).filter(|seed| run(&fixture, *seed, 4, Some(lie)).is_err()).count();
        assert!(caught >= 15, "{lie:?}: caught with {caught} of 20 seeds");
    }
}

#[test]
fn a_seed_says_everything() {
    let fixture = Arc::new(Fixture::new());
    let calls = || {
        let mut world = World::new(&fixture, 5);
        world.crashes(6).expect("it goes well");
        (world.disk.calls(), format!("{:?}", world.tally), world.random.next())
    };
    assert_eq!(calls(), calls());
}

/// The two threads run, and the disk stops at some call of either.
#[test]
fn crash_with_threads() {
    let fixture = Arc::new(Fixture::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    for seed in 1..=60 {
        let mut world = World::new(&fixture, seed);
        for _ in 0..3 {
            let mut ready = world.ready().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            ready.upkeep.every = Duration::from_micros(300);
            world.lives.push(Vec::new());
            let log = ready.start().expect("threads start");
            world.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let crash_in = 1 + world.random.below(200);
            world.disk.crash_in(crash_in);
            runtime.block_on(async {
                while !world.disk.is_down() {
                    let mut waiting = Vec::new();
                    for _ in 0..=world.random.below(4) {
                        world.note(&log);
                        waiting.extend(world.append(&log));
                    }
                    for (number, mut enqueued) in waiting {
                        let answer = tokio::time::timeout(Duration::from_secs(10), enqueued.durable()).await;
                        if let Ok(receipt) = answer.expect("everybody is answered") {
                            world.last_life()[number].acknowledged = Some(receipt.position());
                        }
                    }
                }
                tokio::time::timeout(Duration::from_secs(10), log.failed()).await.expect("it says that it failed");
            });
            assert!(matches!(log.close(), Err(Error::Failed(_))), "seed {seed}");
            let restarted = world.restart(Ending::PowerLost);
            restarted.unwrap_or_else(|error| panic!("seed {seed}, crash in call {crash_in}: {error}"));
        }
        let last = world.open().map(drop);
        last.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        world.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
