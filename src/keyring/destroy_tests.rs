use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::disk::crashing::{Call, CrashingDisk, Ending, Fault};
use crate::disk::{Disk, RealDisk};
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;
use crate::keyring::{generation, sealed};

const ACME: Recipient = Recipient::Customer(CustomerId(7));
const BETA: Recipient = Recipient::Customer(CustomerId(9));
const EVENT: EventId = EventId([4; 16]);
const AT: Timestamp = Timestamp(1_795_305_600_000_000);
const CREDENTIAL: [u8; 32] = [9; 32];

fn doom(parts: &[Part]) -> Doom {
    Doom { event: EVENT, recipient: ACME, parts: parts.to_vec(), periods: Vec::new() }
}

fn slot(recipient: Recipient, part: Part) -> Slot {
    Slot { recipient, part, period: 2026 }
}

/// Keys of two customers.
fn keyring() -> Keyring {
    let mut keyring = Keyring::generate(&OsEntropy);
    for recipient in [ACME, BETA] {
        keyring.make_tag(recipient, &OsEntropy);
        Part::ALL.into_iter().for_each(|part| keyring.make(slot(recipient, part), &OsEntropy));
    }
    keyring
}

/// A keyring on some disk, at `/k/keyring`, with a copy at `/c/keyring`.
struct World {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    copy: PathBuf,
}

impl World {
    fn make(disk: Arc<dyn Disk>, root: &Path) -> World {
        let (path, copy) = (root.join("k/keyring"), root.join("c/keyring"));
        for file in [&path, &copy] {
            disk.make_directory(file.parent().expect("a folder")).expect("made");
        }
        let mut keyring = keyring();
        let credential = Secret::new(CREDENTIAL);
        Store::create(Arc::clone(&disk), &path, credential, &mut keyring, &OsEntropy).expect("made");
        World { disk, path, copy }
    }

    fn open(&self) -> Result<(Store, Keyring), Error> {
        let read = |what, path: &Path| match self.disk.read(path) {
            Ok(bytes) => Ok(Secret::new(bytes)),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                Err(Error::Missing { what, path: path.to_owned() })
            }
            Err(source) => Err(super::super::file::storage("read", path, source)),
        };
        let credential = Secret::new(CREDENTIAL);
        let (mut store, keyring) =
            Store::open_read(Arc::clone(&self.disk), &self.path, credential, Path::new("c"), &read)?;
        store.keep_copies(vec![self.copy.clone()])?;
        Ok((store, keyring))
    }

    /// As a start of the keyring.
    fn start(&self) -> Result<(Store, Keyring), Error> {
        let (mut store, mut keyring) = self.open()?;
        store.settle(&mut keyring, &OsEntropy)?;
        Ok((store, keyring))
    }
}

fn publics(keyring: &Keyring, recipient: Recipient) -> Vec<Option<[u8; 32]>> {
    let public = |part| keyring.public(&slot(recipient, part)).expect("a key").map(|key| key.public);
    Part::ALL.into_iter().map(public).collect()
}

/// Power is lost, or the process killed, in every call that destroying makes: what is there opens, the others' keys are
/// there, what was answered as destroyed stays so, and asked again it is done.
#[test]
fn a_crash_in_any_call_leaves_a_keyring_that_opens_and_nothing_comes_back() {
    let mut crashes = 0;
    for ending in [Ending::Killed, Ending::PowerLost] {
        for calls in 1.. {
            let disk = CrashingDisk::new(calls * 2 + u64::from(ending == Ending::Killed));
            let world = World::make(Arc::new(disk.clone()), Path::new("/"));
            let (mut store, mut keyring) = world.start().expect("it starts");
            let (acme, beta) = (publics(&keyring, ACME), publics(&keyring, BETA));
            disk.crash_in(calls);
            let answer = destroy(&mut store, &mut keyring, &doom(&Part::ALL), AT, &OsEntropy);
            let crashed = disk.is_down();
            let is_acknowledged = answer.as_ref().is_ok_and(|doomed| doomed.pending.is_empty());
            assert!(crashed || is_acknowledged, "{answer:?}");
            drop((store, keyring));
            let disk = disk.restart(ending);
            let world = World { disk: Arc::new(disk.clone()), ..world };
            let (mut store, mut keyring) = world.start().expect("what a crash leaves opens");
            assert_eq!(publics(&keyring, BETA), beta, "call {calls}");
            let left = publics(&keyring, ACME);
            assert!(left == acme || left == [None, None], "call {calls}: half of it is gone");
            assert!(!is_acknowledged || left == [None, None], "call {calls}: what was destroyed came back");
            let again = destroy(&mut store, &mut keyring, &doom(&Part::ALL), AT, &OsEntropy).expect("asked again");
            assert_eq!(again, Doomed { keys: 2, pending: vec![] });
            drop((store, keyring));
            nothing_opens_it(&world, &disk);
            if !crashed {
                break;
            }
            crashes += 1;
        }
    }
    assert!(crashes >= 40, "{crashes} crashes");
}

/// The disk fails in any call, or is full in it, however far that call was done: what is there opens, the others' keys are
/// there, and asked again it is done, by the same process or by the next one.
#[test]
fn whatever_call_fails_what_is_there_opens_and_nothing_comes_back() {
    let (mut tried, mut refused, mut behind) = (0, 0, 0);
    for (call, how) in Call::ALL.into_iter().flat_map(|call| call.hows().iter().map(move |how| (call, *how))) {
        let ways = [(io::ErrorKind::Other, Ending::Killed), (io::ErrorKind::StorageFull, Ending::PowerLost)];
        for ((kind, ending), goes_on) in ways.into_iter().flat_map(|way| [(way, false), (way, true)]) {
            for nth in 1.. {
                let Some(answer) = fails(Fault { call, nth, kind, how }, ending, goes_on) else { break };
                tried += 1;
                refused += usize::from(answer.is_err());
                behind += usize::from(answer.is_ok_and(|doomed| !doomed.pending.is_empty()));
            }
        }
    }
    println!("{tried} faults, {refused} refused, {behind} with a copy behind");
    assert!(refused > 50 && behind > 50 && refused + behind <= tried, "{tried} {refused} {behind}");
}

/// What is answered when that call of it fails; none if it makes fewer calls.
fn fails(fault: Fault, ending: Ending, goes_on: bool) -> Option<Result<Doomed, Error>> {
    let disk = CrashingDisk::new(fault.nth);
    let world = World::make(Arc::new(disk.clone()), Path::new("/"));
    let (mut store, mut keyring) = world.start().expect("it starts");
    let (acme, beta) = (publics(&keyring, ACME), publics(&keyring, BETA));
    disk.fail(Fault { nth: disk.count(fault.call) + fault.nth, ..fault });
    let answer = destroy(&mut store, &mut keyring, &doom(&Part::ALL), AT, &OsEntropy);
    if !disk.all_failed() {
        return None;
    }
    let done = Doomed { keys: 2, pending: vec![] };
    let mut is_done = answer.as_ref().is_ok_and(|doomed| *doomed == done);
    if goes_on {
        let again = destroy(&mut store, &mut keyring, &doom(&Part::ALL), AT, &OsEntropy);
        assert_eq!(again.expect("asked again"), done, "{fault:?}");
        is_done = true;
    }
    drop((store, keyring));
    let (mut disk, mut world) = (disk, world);
    for ending in [ending, Ending::PowerLost] {
        disk = disk.restart(ending);
        world = World { disk: Arc::new(disk.clone()), ..world };
        let (store, keyring) = world.start().unwrap_or_else(|error| panic!("{fault:?}, {ending:?}: {error}"));
        assert_eq!(publics(&keyring, BETA), beta, "{fault:?}, {ending:?}");
        let left = publics(&keyring, ACME);
        assert!(left == acme || left == [None, None], "{fault:?}, {ending:?}: half of it is gone");
        assert!(!is_done || left == [None, None], "{fault:?}, {ending:?}: what was destroyed came back");
        drop((store, keyring));
    }
    let (mut store, mut keyring) = world.start().expect("it starts");
    let again = destroy(&mut store, &mut keyring, &doom(&Part::ALL), AT, &OsEntropy);
    assert_eq!(again.expect("asked again"), done, "{fault:?}");
    drop((store, keyring));
    nothing_opens_it(&world, &disk);
    Some(answer)
}

/// No file that was ever written opens with the generation secrets that are there now and holds the key; nor does any
/// file that is there hold the old secret.
fn nothing_opens_it(world: &World, disk: &CrashingDisk) {
    let now = disk.restart(Ending::Killed);
    let generation = only_generation(&now, &world.path);
    let copied = only_generation(&now, &world.copy);
    assert_eq!((copied.number, copied.secret.expose()), (generation.number, generation.secret.expose()));
    let opened = opened_by(&now, &generation);
    for (path, keyring) in &opened {
        assert!(!keyring.recipients().contains(&ACME), "{} holds a destroyed key", path.display());
        assert!(!keyring.holds_tag(ACME) && keyring.holds_tag(BETA));
    }
    assert!(opened.len() >= 2, "the file and its copy");
}

/// The one whose secret is beside that keyring file.
fn only_generation(disk: &CrashingDisk, keyring: &Path) -> generation::Generation {
    let secrets = disk.read(&generation::path_of(keyring)).expect("there");
    let mut generations = generation::decode(&secrets).expect("secrets");
    assert_eq!(generations.len(), 1, "the old secret is beside {}", keyring.display());
    generations.remove(0)
}

/// What was ever to be put in place of a file and opens with that secret.
fn opened_by(disk: &CrashingDisk, generation: &generation::Generation) -> Vec<(PathBuf, Keyring)> {
    let open = |(path, bytes): (PathBuf, Vec<u8>)| {
        let (header, ciphertext) = sealed::Header::parse(&bytes)?;
        let found = sealed::open(&header, ciphertext, &Secret::new(CREDENTIAL), &generation.secret).expect("tried");
        Some((path, found?.expect("it is a keyring")))
    };
    disk.replaced().into_iter().filter_map(open).collect()
}

/// Power is lost as soon as it is answered: what is there before a start could mend it is the new secret alone.
#[test]
fn the_old_secret_is_gone_when_it_is_answered_and_not_only_after_the_next_start() {
    for seed in 0..50 {
        let disk = CrashingDisk::new(seed);
        let world = World::make(Arc::new(disk.clone()), Path::new("/"));
        let (mut store, mut keyring) = world.start().expect("it starts");
        let old = only_generation(&disk, &world.path);
        let holds = |(_, keyring): &(PathBuf, Keyring)| keyring.recipients().contains(&ACME);
        assert!(opened_by(&disk, &old).iter().any(holds), "the old secret opens what holds the key");
        let answer = destroy(&mut store, &mut keyring, &doom(&Part::ALL), AT, &OsEntropy).expect("destroyed");
        assert_eq!(answer, Doomed { keys: 2, pending: vec![] });
        drop((store, keyring));
        let disk = disk.restart(Ending::PowerLost);
        for path in [&world.path, &world.copy] {
            let now = only_generation(&disk, path);
            assert!(now.number > old.number && now.secret.expose() != old.secret.expose(), "seed {seed}");
            let opened = opened_by(&disk, &now);
            assert!(!opened.is_empty() && !opened.iter().any(holds), "seed {seed}: {}", path.display());
        }
    }
}

fn on_files() -> (tempfile::TempDir, World) {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::make(Arc::new(RealDisk), dir.path());
    (dir, world)
}

#[test]
fn the_tag_key_goes_with_the_last_part() {
    let (_dir, world) = on_files();
    let (mut store, mut keyring) = world.start().expect("it starts");
    let values = destroy(&mut store, &mut keyring, &doom(&[Part::Values]), AT, &OsEntropy).expect("destroyed");
    assert_eq!(values.keys, 1);
    assert!(keyring.holds_tag(ACME) && keyring.holds(&slot(ACME, Part::Skeleton)), "what happened is still recognised");
    assert!(keyring.is_gone(ACME) && !keyring.is_gone(BETA));
    let second = Doom { event: EventId([5; 16]), ..doom(&[Part::Skeleton]) };
    destroy(&mut store, &mut keyring, &second, AT, &OsEntropy).expect("destroyed");
    assert!(!keyring.holds_tag(ACME) && keyring.holds_tag(BETA));
    assert_eq!(keyring.recipients(), [BETA]);
    drop((store, keyring));
    let (_store, keyring) = world.start().expect("it starts again");
    assert_eq!(keyring.recipients(), [BETA]);
    assert!(keyring.is_gone(ACME));
    let refused = keyring.absent(&slot(ACME, Part::Values));
    assert!(refused.contains("was destroyed at 2026-11-2"), "{refused}");
}

#[test]
fn an_old_keyring_that_is_brought_back_opens_nothing() {
    let (_dir, world) = on_files();
    let (mut store, mut keyring) = world.start().expect("it starts");
    let secrets = generation::path_of(&world.path);
    let old = [&world.path, &secrets].map(|path| (path.clone(), fs::read(path).expect("read")));
    destroy(&mut store, &mut keyring, &doom(&Part::ALL), AT, &OsEntropy).expect("destroyed");
    drop((store, keyring));
    let restore = |(path, bytes): &(PathBuf, Vec<u8>)| {
        fs::write(path, bytes).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("set");
    };
    let newest = [&world.path, &secrets].map(|path| (path.clone(), fs::read(path).expect("read")));
    restore(&old[0]);
    let refused = world.open().err().expect("the old file alone");
    assert!(matches!(refused, Error::OldKeyring { found: 1, newest: 2, .. }), "{refused}");
    assert!(refused.to_string().contains("bring back the newest copy"), "{refused}");
    restore(&old[1]);
    let refused = world.open().err().expect("both, beside a copy that went on");
    assert!(matches!(refused, Error::OldKeyring { found: 1, newest: 2, .. }), "{refused}");
    newest.iter().for_each(restore);
    world.start().expect("the newest opens");
}

/// A copy that cannot be read, or is of a newer portreeve, may be the one that shows it, and hold what was made since: it is
/// pending and stays as it is. A damaged one shows nothing and is written anew.
#[test]
fn an_old_keyring_does_not_write_over_a_copy_that_it_cannot_read() {
    type Hide = fn(&Path);
    let cases: [(&str, Hide, bool); 3] = [
        ("unreadable", |copy| std::os::unix::fs::symlink(copy, copy).expect("a link to itself"), true),
        ("newer", |copy| fs::write(copy, [&b"portreeve keyring v2\n"[..], &[7; 300]].concat()).expect("written"), true),
        ("damaged", |copy| fs::write(copy, [7; 300]).expect("written"), false),
    ];
    for (case, hide, stays) in cases {
        let (dir, world) = on_files();
        let (mut store, mut keyring) = world.start().expect("it starts");
        let secrets = generation::path_of(&world.path);
        let old = [&world.path, &secrets].map(|path| (path.clone(), fs::read(path).expect("read")));
        destroy(&mut store, &mut keyring, &doom(&Part::ALL), AT, &OsEntropy).expect("destroyed");
        drop((store, keyring));
        old.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("put back"));
        let newest = dir.path().join("newest");
        fs::rename(&world.copy, &newest).expect("moved");
        hide(&world.copy);
        let look = || (fs::read_link(&world.copy).ok(), fs::read(&world.copy).ok());
        let before = look();
        let (mut store, mut keyring) = world.start().expect(case);
        let pending = if stays { vec![world.copy.display().to_string()] } else { vec![] };
        let again = destroy(&mut store, &mut keyring, &doom(&Part::ALL), AT, &OsEntropy).expect(case);
        assert_eq!(again, Doomed { keys: 2, pending }, "{case}");
        assert_eq!(look() == before, stays, "{case}");
        // Once it can be read it shows what it shows, to a keyring that runs, too.
        store.renew(&mut keyring, &OsEntropy).expect("renewed");
        assert_eq!((look() == before, store.behind().count()), (stays, usize::from(stays)), "{case}");
    }
}

#[test]
fn a_running_keyring_does_not_write_over_a_copy_of_a_later_generation() {
    let (_dir, world) = on_files();
    let (mut store, mut keyring) = world.start().expect("it starts");
    let secrets = generation::path_of(&world.path);
    let old = [&world.path, &secrets].map(|path| (path.clone(), fs::read(path).expect("read")));
    store.renew(&mut keyring, &OsEntropy).expect("renewed");
    store.renew(&mut keyring, &OsEntropy).expect("renewed");
    drop((store, keyring));
    let newest = fs::read(&world.copy).expect("read");
    fs::remove_file(&world.copy).expect("taken away");
    old.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("put back"));
    let (mut store, mut keyring) = world.start().expect("nothing shows it");
    fs::write(&world.copy, &newest).expect("it comes back");
    store.save(&mut keyring, &OsEntropy).expect("saved");
    assert_eq!((fs::read(&world.copy).expect("read") == newest, store.behind().count()), (true, 1));
    drop((store, keyring));
    let refused = world.open().err().expect("now it is shown");
    assert!(matches!(refused, Error::OldKeyring { found: 1, newest: 3, .. }), "{refused}");
}

/// What was destroyed is not there after a start even if the file holds it: as when both files and every copy are old.
#[test]
fn what_is_listed_as_destroyed_is_removed_at_each_start() {
    let (_dir, world) = on_files();
    let (mut store, mut keyring) = world.start().expect("it starts");
    keyring.destroyed.extend(doom(&Part::ALL).entries(AT));
    store.save(&mut keyring, &OsEntropy).expect("saved");
    drop((store, keyring));
    let (store, keyring) = world.start().expect("it starts");
    assert_eq!((keyring.recipients(), keyring.holds_tag(ACME)), (vec![BETA], false));
    assert_eq!(store.generation(), 2);
}

#[test]
fn a_copy_that_cannot_be_rewritten_is_pending_until_it_is() {
    let (dir, world) = on_files();
    let (mut store, mut keyring) = world.start().expect("it starts");
    let away = dir.path().join("away");
    fs::rename(world.copy.parent().expect("a folder"), &away).expect("the medium is taken out");
    let doom = doom(&Part::ALL);
    let first = destroy(&mut store, &mut keyring, &doom, AT, &OsEntropy).expect("here it is done");
    assert_eq!(first, Doomed { keys: 2, pending: vec![world.copy.display().to_string()] });
    assert_eq!(destroy(&mut store, &mut keyring, &doom, AT, &OsEntropy).expect("asked again"), first);
    fs::rename(&away, world.copy.parent().expect("a folder")).expect("it is put back");
    let done = destroy(&mut store, &mut keyring, &doom, AT, &OsEntropy).expect("asked again");
    assert_eq!(done, Doomed { keys: 2, pending: vec![] });
    assert_eq!(fs::read(generation::path_of(&world.copy)).expect("read").len(), 24 + 40);
}

#[test]
fn periods_of_the_vendor_go_by_age_and_never_the_present_one() {
    let mut keyring = Keyring::generate(&OsEntropy);
    let periods = [202_610, 202_611].map(|period| Slot { recipient: Recipient::Vendor, part: Part::Values, period });
    periods.iter().for_each(|slot| keyring.make(*slot, &OsEntropy));
    keyring.make_tag(Recipient::Vendor, &OsEntropy);
    let vendor = |periods: &[u32]| Doom { recipient: Recipient::Vendor, periods: periods.to_vec(), ..doom(&Part::ALL) };
    for refused in [vendor(&[]), vendor(&[202_611]), vendor(&[202_610, 202_612]), doom(&[])] {
        assert!(matches!(refused.check(AT), Err(Error::Message(_))), "{refused:?}");
    }
    let aged = vendor(&[202_610]);
    aged.check(AT).expect("last month's");
    keyring.destroyed.extend(aged.entries(AT));
    assert!(keyring.replay());
    assert!(!keyring.holds(&periods[0]) && keyring.holds(&periods[1]) && keyring.holds_tag(Recipient::Vendor));
    assert!(!keyring.is_gone(Recipient::Vendor), "it gets new ones all the same");
}
