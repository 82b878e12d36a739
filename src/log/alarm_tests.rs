//! No false alarm: random runs of crashes, restarts, clock steps, new periods, new data keys and lawful erasure, after
//! each of which the whole log verifies without an alarm. (A torn tail is one only until the log is opened again.)

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::crash_tests::{ByHand, World};
use super::fixture::*;
use super::open::DataKeys;
use super::reader::Reader;
use super::verify::{Opening, Verdict, verify_on};
use crate::audit::keys::{Part, Recipient};
use crate::audit::tag::Tags;
use crate::clock::Timestamp;
use crate::disk::crashing::Ending;

const HOUR: i64 = 3_600_000_000;
/// Around noon of 2026-11-21, the end of the year, and some days into the next.
const AROUND: [i64; 3] = [0, 24 * 40 * HOUR + 11 * HOUR, 24 * 47 * HOUR];

/// What happened, so that it can be said that it did.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    crashes: usize,
    torn: usize,
    steps: usize,
    erasures: usize,
    erased: usize,
    unclaimed: usize,
    verified: usize,
}

/// How far customer 7 is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    No,
    Values,
    All,
}

struct Run {
    world: World,
    gone: Gone,
    happened: Happened,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut fixture = Fixture::new();
        for after in AROUND {
            fixture.add_period(Timestamp(NOON.0 + after));
        }
        let mut world = World::new(&Arc::new(fixture), seed);
        world.epoch_bytes = [1, 700, 64 << 20][world.random.below(3) as usize];
        Run { world, gone: Gone::No, happened: Happened::default() }
    }

    fn set_clock(&mut self) {
        let around = AROUND[self.world.random.below(3) as usize];
        let step = self.world.random.below(7_200_000_000) as i64 - HOUR;
        self.world.fixture.clock.0.store(NOON.0 + around + step, Ordering::Relaxed);
        self.happened.steps += 1;
    }

    /// What the keyring tells once keys were destroyed.
    fn erase(&mut self, hand: &mut ByHand) {
        let recipients = &self.world.fixture.recipients;
        let (seven, random) = (Recipient::Customer(SEVEN), &mut self.world.random);
        self.gone = if random.chance(50) { Gone::Values } else { Gone::All };
        recipients.set_erased(seven, Part::Values, None);
        if self.gone == Gone::All {
            recipients.set_erased(seven, Part::Skeleton, None);
        }
        recipients.forget(seven);
        if self.gone == Gone::Values {
            // Who only reads keeps recognising what is left.
            self.world.fixture.set_tag(seven);
        }
        hand.forget(seven);
        self.happened.erasures += 1;
    }

    /// The whole log, with every key there still is: no alarm, and what is erased is said to be.
    fn verify(&mut self) -> Result<(), String> {
        let (disk, dir) = (Arc::new(self.world.disk.clone()), World::dir());
        let recipients = &self.world.fixture.recipients;
        let reader = Reader::open_on(disk.clone(), &dir).map_err(|error| error.to_string())?;
        let mut keys = DataKeys::new();
        let sealed = reader.sealed_data_keys(&mut Tags::new(recipients, reader.origin()));
        for sealed in sealed.map_err(|error| error.to_string())? {
            if !recipients.is_erased(sealed.recipient, sealed.part, sealed.period) {
                keys.insert(sealed.position, &self.world.fixture.open_key(&sealed));
            }
        }
        let opening = Opening { recipients, keys: &keys };
        for opening in [None, Some(&opening)] {
            let found = verify_on(disk.as_ref(), &dir, &signing(1).public(), opening);
            let found = found.map_err(|error| error.to_string())?;
            if let Some(alarm) = found.iter().find(|finding| finding.verdict.is_alarm()) {
                return Err(format!("a false alarm: {alarm}"));
            }
            let erased = found.iter().any(|finding| finding.verdict == Verdict::Erased);
            if erased && self.gone == Gone::No {
                return Err(format!("nothing was erased: {found:?}"));
            }
            self.happened.erased += usize::from(erased && self.gone == Gone::Values);
            self.happened.unclaimed += usize::from(erased && self.gone == Gone::All);
        }
        self.happened.verified += 1;
        Ok(())
    }

    /// One life of the writer.
    fn live(&mut self) -> Result<(), String> {
        let mut hand = match self.world.open() {
            Ok(hand) => hand,
            Err(error) => return Err(format!("it does not open: {error}")),
        };
        self.world.settle();
        self.verify()?;
        if self.world.random.chance(60) {
            let calls = 1 + self.world.random.below(60);
            self.world.disk.crash_in(calls);
        }
        for _ in 0..8 {
            match self.world.random.below(12) {
                0 | 1 => self.set_clock(),
                2 if self.gone == Gone::No => self.erase(&mut hand),
                3 => hand.tick(),
                _ => self.world.records(&mut hand)?,
            }
            if self.world.disk.is_down() {
                break;
            }
        }
        if !self.world.disk.is_down() && self.world.random.chance(50) {
            // It may crash in this.
            let _closed = hand.close();
        } else {
            drop(hand);
        }
        let crashed = self.world.disk.is_down() || self.world.random.chance(30);
        self.world.disk.stop();
        self.happened.crashes += usize::from(crashed);
        let ending = if crashed { Ending::PowerLost } else { Ending::Killed };
        self.world.restart(ending)?;
        self.happened.torn += usize::from(self.world.is_torn());
        Ok(())
    }
}

fn runs(seeds: std::ops::Range<u64>) {
    let (mut all, mut wrong) = (Happened::default(), Vec::new());
    for seed in seeds {
        let mut run = Run::new(seed);
        let lived = (0..3).try_for_each(|_| run.live());
        if let Err(error) = lived {
            wrong.push(format!("seed {seed}: {error}"));
        }
        let happened = run.happened;
        all.crashes += happened.crashes;
        all.torn += happened.torn;
        all.steps += happened.steps;
        all.erasures += happened.erasures;
        all.erased += happened.erased;
        all.unclaimed += happened.unclaimed;
        all.verified += happened.verified;
    }
    println!("{all:?}");
    assert!(wrong.is_empty(), "{} runs: {:#?}", wrong.len(), &wrong[..wrong.len().min(12)]);
    let counts = [all.crashes, all.torn, all.steps, all.erasures, all.erased, all.unclaimed];
    assert!(counts.iter().all(|count| *count > 20) && all.verified > 1000, "{all:?}");
}

#[test]
fn five_hundred_random_runs_raise_no_alarm() {
    runs(0..500);
}

#[test]
fn five_hundred_other_random_runs_raise_no_alarm() {
    runs(500..1000);
}
