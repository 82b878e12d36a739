//! A keyring on a disk that loses power in any call, or whose user is killed in it: every key that was kept is there
//! again, nothing else is needed to open it, and what was once read never goes.

use super::super::keys::Slot;
use super::*;
use crate::audit::keys::{Part, Recipient};
use crate::disk::crashing::{Call, CrashingDisk, Ending, Fault, How, Lie, Random};
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;

const SEEDS: u64 = 400;
const CRASHES: usize = 4;

fn path() -> &'static Path {
    Path::new("/var/lib/portreeve/keyring")
}

/// It is on the disk that crashes, as the keyring is.
fn credential() -> &'static Path {
    Path::new("/etc/portreeve/keyring.credential")
}

fn slot(number: u64) -> Slot {
    Slot { recipient: Recipient::Customer(CustomerId(number)), part: Part::Values, period: 2026 }
}

struct World {
    disk: CrashingDisk,
    random: Random,
    /// Public keys that were said to be kept, or read from the file, by customer.
    kept: Vec<(u64, [u8; 32])>,
    made: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let (disk, random) = (CrashingDisk::new(seed), Random(seed));
        disk.make_directory(Path::new("/etc/portreeve")).expect("made");
        disk.replace(credential(), &[9; 32], 0o400).expect("written");
        World { disk, random, kept: Vec::new(), made: 0 }
    }

    fn open(&mut self) -> Result<(Store, Keyring), Error> {
        match Store::open(Arc::new(self.disk.clone()), path(), credential()) {
            Err(Error::Missing { .. }) if self.kept.is_empty() => {
                let mut keyring = Keyring::generate(&OsEntropy);
                let (disk, credential) = (Arc::new(self.disk.clone()), credential_on(&self.disk, credential())?);
                let store = Store::create(disk, path(), credential, &mut keyring, &OsEntropy)?;
                Ok((store, keyring))
            }
            opened => opened,
        }
    }

    /// Everything kept is there; what else was read is kept from now on.
    fn check(&mut self, keyring: &Keyring) -> Result<(), String> {
        for (number, public) in &self.kept {
            let there = keyring.public(&slot(*number)).map_err(|error| error.to_string())?;
            if there.map(|key| key.public) != Some(*public) {
                return Err(format!("the key of c{number} was kept and is another, or gone"));
            }
        }
        let public = |number| Some((number, keyring.public(&slot(number)).ok()??.public));
        self.kept = (0..self.made).filter_map(public).collect();
        Ok(())
    }

    /// Opens and keeps key after key until everything stops.
    fn work(&mut self) -> Result<(), String> {
        if self.disk.make_directory(Path::new("/var/lib/portreeve")).is_err() {
            return Ok(());
        }
        let (mut store, mut keyring) = match self.open() {
            Err(_) if self.disk.is_down() => return Ok(()),
            opened => opened.map_err(|error| error.to_string())?,
        };
        self.check(&keyring)?;
        loop {
            let number = self.made;
            self.made += 1;
            keyring.make(slot(number), &OsEntropy);
            let written = match self.random.below(6) {
                0 => store.renew(&mut keyring, &OsEntropy),
                1 => store.change_credential(&mut keyring, credential(), &OsEntropy),
                _ => store.save(&mut keyring, &OsEntropy),
            };
            if written.is_err() {
                return Ok(());
            }
            self.check(&keyring)?;
        }
    }
}

fn crashes(seed: u64, lie: Option<Lie>) -> Result<(), String> {
    let mut world = World::new(seed);
    if let Some(lie) = lie {
        world.disk.lie(lie);
    }
    for _ in 0..CRASHES {
        let calls = 1 + world.random.below(40);
        world.disk.crash_in(calls);
        world.work()?;
        let ending = if world.random.chance(60) { Ending::PowerLost } else { Ending::Killed };
        world.disk = world.disk.restart(ending);
    }
    if world.kept.is_empty() {
        return Ok(());
    }
    let (_store, keyring) = world.open().map_err(|error| error.to_string())?;
    world.check(&keyring)
}

#[test]
fn no_kept_key_is_lost_in_a_thousand_crashes() {
    for seed in 1..=SEEDS {
        crashes(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    for lie in [Lie::OfFiles, Lie::OfDirectories] {
        let caught = (1..=40).filter(|seed| crashes(*seed, Some(lie)).is_err()).count();
        assert!(caught > 10, "{lie:?}: caught with {caught} of 40 seeds");
    }
}

/// The name was put in place by somebody who was killed before it was durable.
#[test]
fn what_was_read_after_a_kill_survives_power_loss() {
    for seed in 1..=100 {
        let mut world = World::new(seed);
        world.disk.make_directory(Path::new("/var/lib/portreeve")).expect("made");
        let (mut store, mut keyring) = world.open().expect("made");
        keyring.make(slot(0), &OsEntropy);
        world.disk.crash_in_one(Call::SyncDirectory, 1);
        store.save(&mut keyring, &OsEntropy).expect_err("killed");
        drop(store);
        world.disk = world.disk.restart(Ending::Killed);
        let (store, read) = world.open().expect("opened");
        assert!(read.holds(&slot(0)), "the page cache shows it");
        drop(store);
        world.disk = world.disk.restart(Ending::PowerLost);
        let (_store, again) = world.open().expect("opened");
        assert!(again.holds(&slot(0)), "seed {seed}: a key that was in use is gone");
    }
}

/// The next credential's name was put in place by somebody who was killed before it was durable; taken up, it must be, for
/// the keyring is sealed under it before it is in its place.
#[test]
fn a_credential_that_is_taken_up_survives_power_loss() {
    for seed in 1..=20 {
        let mut world = World::new(seed);
        world.disk.make_directory(Path::new("/var/lib/portreeve")).expect("made");
        let (mut store, mut keyring) = world.open().expect("made");
        keyring.make(slot(0), &OsEntropy);
        store.save(&mut keyring, &OsEntropy).expect("saved");
        world.disk.crash_in_one(Call::SyncDirectory, 1);
        store.change_credential(&mut keyring, credential(), &OsEntropy).expect_err("killed");
        drop(store);
        world.disk = world.disk.restart(Ending::Killed);
        let (mut store, mut keyring) = world.open().expect("opened by the one in place");
        assert!(is_there(&world.disk, &next_credential(credential())).expect("looked for"));
        // Both secrets, the keyring, the new secret; the fourth file to be made is the credential.
        world.disk.crash_in_one(Call::Create, 4);
        store.change_credential(&mut keyring, credential(), &OsEntropy).expect_err("the power is off");
        let place = credential().with_added_extension("new");
        assert_eq!(world.disk.crashed_in(), Some((Call::Create, place)));
        drop(store);
        world.disk = world.disk.restart(Ending::PowerLost);
        let (_store, keyring) = world.open().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(keyring.holds(&slot(0)));
        assert!(!is_there(&world.disk, &next_credential(credential())).expect("looked for"), "it is in its place");
    }
}

#[test]
fn what_is_left_of_a_change_of_the_credential_is_not_taken_for_the_next_one() {
    let mut left = 0;
    for nth in 1..=6 {
        let mut world = World::new(nth);
        world.disk.make_directory(Path::new("/var/lib/portreeve")).expect("made");
        let (mut store, mut keyring) = world.open().expect("made");
        let nth = world.disk.count(Call::Unlink) + nth;
        world.disk.fail(Fault { call: Call::Unlink, nth, kind: io::ErrorKind::Other, how: How::Not });
        let failed = store.change_credential(&mut keyring, credential(), &OsEntropy).is_err();
        drop(store);
        let (read, next) = (|path: &Path| world.disk.read(path).ok(), next_credential(credential()));
        let before = read(credential());
        left += usize::from(failed && read(&next) == before);
        let (mut store, mut keyring) = world.open().expect("opened");
        store.change_credential(&mut keyring, credential(), &OsEntropy).expect("changed");
        assert_ne!(world.disk.read(credential()).ok(), before, "it is another one");
        assert!(!is_there(&world.disk, &next).expect("looked for"));
    }
    assert_eq!(left, 1, "the last of them");
}

#[test]
fn a_keyring_whose_name_cannot_be_made_to_last_is_not_used() {
    let mut world = World::new(1);
    world.disk.make_directory(Path::new("/var/lib/portreeve")).expect("made");
    drop(world.open().expect("made"));
    let nth = world.disk.count(Call::SyncDirectory) + 1;
    world.disk.fail(Fault { call: Call::SyncDirectory, nth, kind: io::ErrorKind::Other, how: How::Not });
    let refused = world.open().err().expect("it is not known to last").to_string();
    assert!(refused.contains("sync the directory of") && refused.contains("keyring"), "{refused}");
    world.open().expect("the next time it is");
}

/// What the disk says, and what to do about it.
#[test]
fn a_keyring_that_cannot_be_read_or_written_says_what_to_do() {
    type Verb = fn(&mut World) -> Result<(), Error>;
    let open: Verb = |world| world.open().map(drop);
    let save: Verb = |world| {
        let (mut store, mut keyring) = world.open()?;
        store.save(&mut keyring, &OsEntropy)
    };
    let cases = [
        ("no right to read it", Call::Read, io::ErrorKind::PermissionDenied, open, "could not", "run this as the user"),
        (
            "no right to the folder",
            Call::Create,
            io::ErrorKind::PermissionDenied,
            save,
            "could not replace",
            "as the user",
        ),
        ("a full disk", Call::Write, io::ErrorKind::StorageFull, save, "could not replace", "make room there"),
        ("a quota", Call::Create, io::ErrorKind::QuotaExceeded, save, "could not replace", "make room there"),
        ("read only", Call::Create, io::ErrorKind::ReadOnlyFilesystem, save, "could not replace", "for writing"),
        ("a folder that is away", Call::Create, io::ErrorKind::NotFound, save, "could not replace", "make its folder"),
    ];
    for (case, call, kind, verb, what, advice) in cases {
        let mut world = World::new(1);
        world.disk.make_directory(Path::new("/var/lib/portreeve")).expect("made");
        drop(world.open().expect("made"));
        world.disk.fail(Fault { call, nth: world.disk.count(call) + 1, kind, how: How::Not });
        let refused = verb(&mut world).expect_err(case).to_string();
        for word in [what, "/portreeve/keyring", advice] {
            assert!(refused.contains(word), "{case}: {refused}");
        }
        verb(&mut world).unwrap_or_else(|error| panic!("{case}, once that is done: {error}"));
    }
}

impl World {
    /// As a keyring does before it answers anybody.
    fn start(&mut self) -> Result<(Store, Keyring), Error> {
        let (mut store, mut keyring) = self.open()?;
        store.settle(&mut keyring, &OsEntropy)?;
        Ok((store, keyring))
    }
}

/// How a key is kept.
#[derive(Clone, Copy)]
enum Keep {
    Save,
    Renew,
    Credential,
}

/// Makes or opens it and keeps a key in each of these ways. The same calls each time; whether a call that failed ended it.
fn script(world: &mut World, ways: &[Keep]) -> Result<bool, String> {
    if world.disk.make_directory(Path::new("/var/lib/portreeve")).is_err() {
        return Ok(true);
    }
    let Ok((mut store, mut keyring)) = world.start() else { return Ok(true) };
    world.check(&keyring)?;
    for way in ways {
        keyring.make(slot(world.made), &OsEntropy);
        world.made += 1;
        let written = match way {
            Keep::Save => store.save(&mut keyring, &OsEntropy),
            Keep::Renew => store.renew(&mut keyring, &OsEntropy),
            Keep::Credential => store.change_credential(&mut keyring, credential(), &OsEntropy),
        };
        if written.is_err() {
            return Ok(true);
        }
        world.check(&keyring)?;
    }
    Ok(false)
}

/// Two lives.
fn scripts(world: &mut World) -> Result<bool, String> {
    Ok(script(world, &[Keep::Save, Keep::Renew, Keep::Credential])? || script(world, &[Keep::Save])?)
}

fn fails(fault: Fault, ending: Ending) -> Result<bool, String> {
    let mut world = World::new(1);
    world.disk.fail(Fault { nth: world.disk.count(fault.call) + fault.nth, ..fault });
    let ended = scripts(&mut world)?;
    if !world.disk.all_failed() {
        return Err("the fault did not happen".to_owned());
    }
    // Twice without anything being written, too: what was seen in the page cache only must not go with it.
    for (ending, ways) in [(ending, &[][..]), (Ending::PowerLost, &[]), (Ending::PowerLost, &[Keep::Save])] {
        world.disk = world.disk.restart(ending);
        if script(&mut world, ways)? {
            return Err("what is left of it is of no use".to_owned());
        }
    }
    world.disk = world.disk.restart(Ending::PowerLost);
    let (_store, keyring) = world.start().map_err(|error| format!("it does not open at last: {error}"))?;
    world.check(&keyring).map(|()| ended)
}

/// The disk fails in any call, or is full in it, however far that call was done.
#[test]
fn whatever_call_fails_no_kept_key_is_lost() {
    let mut world = World::new(1);
    let before = Call::ALL.map(|call| world.disk.count(call));
    assert_eq!(scripts(&mut world), Ok(false), "nothing fails by itself");
    let (mut tried, mut ended, mut wrong) = (0, 0, Vec::new());
    for (call, before) in Call::ALL.into_iter().zip(before) {
        for nth in 1..=world.disk.count(call) - before {
            for how in call.hows() {
                for (kind, ending) in
                    [(io::ErrorKind::Other, Ending::Killed), (io::ErrorKind::StorageFull, Ending::PowerLost)]
                {
                    let fault = Fault { call, nth, kind, how: *how };
                    tried += 1;
                    match fails(fault, ending) {
                        Ok(did) => ended += usize::from(did),
                        Err(error) => wrong.push(format!("{fault:?}, {ending:?}: {error}")),
                    }
                }
            }
        }
    }
    println!("{tried} faults, {ended} of them ended it");
    assert!(wrong.is_empty(), "{} of {tried}: {:#?}", wrong.len(), &wrong[..wrong.len().min(12)]);
    assert!(tried > 150 && ended > 100, "{tried} faults, {ended} of them ended it");
}
