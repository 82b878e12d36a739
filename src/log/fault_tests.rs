//! A log on a disk whose n-th call fails, for every call it makes: it fails once and for all or goes on, whoever
//! waits is answered, nothing is acknowledged after it failed, and it opens again with all that was acknowledged.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::Error;
use super::crash_tests::World;
use super::fixture::Fixture;
use crate::disk::Disk;
use crate::disk::crashing::{Call, Ending, Fault, How};

/// What a log did when something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Did {
    NotOpen,
    Fail,
    GoOn,
}

/// Opens, writes over some segments, signs, closes, opens again, writes. The same calls each time.
fn work(world: &mut World) -> Result<Did, String> {
    for _ in 0..2 {
        let Ok(mut hand) = world.open() else { return Ok(Did::NotOpen) };
        for step in 0..5 {
            world.records(&mut hand)?;
            if step % 2 == 1 {
                hand.tick();
            }
            if hand.has_failed() {
                // Nothing more is acknowledged, nothing is kept waiting.
                world.records(&mut hand)?;
                world.note(&hand.log);
                return hand.close().err().map(|_| Did::Fail).ok_or("a failed log closes in order".to_owned());
            }
        }
        if hand.close().is_err() {
            return Ok(Did::Fail);
        }
    }
    Ok(Did::GoOn)
}

/// How many calls of each kind there are when nothing fails.
fn calls(fixture: &Arc<Fixture>, seed: u64) -> Vec<(Call, u64)> {
    let mut world = World::new(fixture, seed);
    assert_eq!(work(&mut world), Ok(Did::GoOn));
    Call::ALL.map(|call| (call, world.disk.count(call))).to_vec()
}

fn fails(fixture: &Arc<Fixture>, seed: u64, fault: Fault, ending: Ending) -> Result<Did, String> {
    let mut world = World::new(fixture, seed);
    world.disk.fail(fault);
    let did = work(&mut world)?;
    if !world.disk.all_failed() {
        return Err("the fault did not happen".to_owned());
    }
    // Twice: what was seen in the page cache only and built upon must not go with it.
    for ending in [ending, Ending::PowerLost] {
        world.restart(ending)?;
        let mut hand = world.open().map_err(|error| format!("it does not open: {error}"))?;
        world.check()?;
        world.records(&mut hand)?;
        hand.tick();
        drop(hand);
        world.disk.stop();
    }
    world.restart(Ending::PowerLost)?;
    world.open().map_err(|error| format!("it does not open at last: {error}"))?;
    world.check().map(|()| did)
}

/// The ways in which that call can fail.
fn ways(call: Call) -> Vec<(How, ErrorKind, Ending)> {
    let mut ways = Vec::new();
    if let [how] = call.hows() {
        return vec![(*how, ErrorKind::Other, Ending::PowerLost)];
    }
    for how in call.hows() {
        ways.push((*how, ErrorKind::Other, Ending::Killed));
        ways.push((*how, ErrorKind::StorageFull, Ending::PowerLost));
    }
    ways
}

#[test]
fn whatever_call_fails_nothing_acknowledged_is_lost() {
    let fixture = Arc::new(Fixture::new());
    let (mut did, mut wrong, began) = (BTreeMap::<_, usize>::new(), Vec::new(), std::time::Instant::now());
    let seeds = std::env::var("FAULT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    for seed in 1..=seeds {
        for (call, count) in calls(&fixture, seed) {
            for (nth, (how, kind, ending)) in
                (1..=count).flat_map(|nth| ways(call).into_iter().map(move |way| (nth, way)))
            {
                let fault = Fault { call, nth, kind, how };
                match fails(&fixture, seed, fault, ending) {
                    Ok(what) => *did.entry(what).or_default() += 1,
                    Err(error) => wrong.push(format!("seed {seed}, {fault:?}, {ending:?}: {error}")),
                }
            }
        }
    }
    println!("{did:?} in {:?}", began.elapsed());
    assert!(wrong.is_empty(), "{} faults: {:#?}", wrong.len(), &wrong[..wrong.len().min(12)]);
    assert!(did.len() == 3 && did.values().all(|count| *count > 20), "{did:?}");
}

/// Every file of the log, and what it holds.
fn files(world: &World) -> BTreeMap<String, Vec<u8>> {
    let names = world.disk.names(&World::dir()).expect("listed");
    let read = |name: String| {
        let bytes = world.disk.read(&World::dir().join(&name)).expect("read");
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

/// Whatever may not be used when a log is opened, it is said which file that is and what to do; nothing is touched. A
/// write that fails is the first one, and overwrites zeros at most.
#[test]
fn what_may_not_be_used_is_said_with_the_file_and_the_way_out() {
    let fixture = Arc::new(Fixture::new());
    let (mut refused, mut opens) = (0, Vec::new());
    for call in Call::ALL {
        let mut world = World::new(&fixture, 1);
        let mut hand = world.open().expect("it opens");
        world.records(&mut hand).expect("durable");
        hand.close().expect("closed");
        world.disk.stop();
        world.restart(Ending::Killed).expect("whole");
        let before = files(&world);
        let nth = world.disk.count(call) + 1;
        world.disk.fail(Fault { call, nth, kind: ErrorKind::PermissionDenied, how: How::Not });
        let opened = world.open().map(drop);
        let (has_failed, after) = (world.disk.all_failed(), files(&world));
        match opened {
            // Calls that opening does not make; and the folder above may be somebody else's to sync.
            Ok(()) => {
                opens.push(call);
                assert_eq!(has_failed, call == Call::SyncDirectory, "{call:?}");
            }
            Err(Error::Storage { path, detail, .. }) => {
                assert!(path.starts_with(World::dir()), "{call:?}: {}", path.display());
                assert!(detail.contains("permission denied: run this as the user"), "{call:?}: {detail}");
                assert!(has_failed && after == before, "{call:?}: something was touched");
                refused += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("permission denied"), "{call:?}: {error}");
                assert!(matches!(call, Call::Write | Call::Sync) && has_failed, "{call:?}: {error}");
                assert!(before.keys().eq(after.keys()), "{call:?}: {:?}", after.keys());
                let is_kept = |(old, new): (&Vec<u8>, &Vec<u8>)| {
                    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| *old == 0 || old == new)
                };
                assert!(before.values().zip(after.values()).all(is_kept), "{call:?}: it was overwritten");
            }
        }
    }
    assert_eq!(refused, 7);
    assert_eq!(opens, [Call::MakeDirectory, Call::Create, Call::Rename, Call::Unlink, Call::SyncDirectory]);
}
