use std::fs;
use std::sync::atomic::AtomicI64;

use super::super::sqlite::tests::{proposal, register_of, tamper};
use super::*;
use crate::clock::SystemClock;
use crate::grant::world::{ACME, World, staff, trust};
use crate::grant::{By, Fault, Mode, Scope, What};

fn follow(path: &Path) -> Result<Follower, Error> {
    Follower::start(path, trust(), &path.with_extension("seen"), Arc::new(SystemClock))
}

/// Waits for that to be so; what it takes in the end is the caller's to judge.
fn wait_for(what: impl Fn() -> bool) {
    let since = Instant::now();
    while !what() {
        assert!(since.elapsed() < Duration::from_secs(10), "it never happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_change_is_seen_within_100_ms_at_p99() {
    let mut world = World::with_people();
    let (_directory, path, register) = register_of(&world);
    let follower = follow(&path).expect("it starts");
    let mut took = Vec::new();
    for round in 0..200 {
        let (mode, scope) = (if round % 2 == 0 { Mode::Standing } else { Mode::Off }, Scope::Read);
        world.consent(mode, scope, None);
        let event = world.events.last().expect("it was made").clone();
        let before = Instant::now();
        let sequence = register.append(&proposal(event)).expect("it applies");
        wait_for(|| follower.state().sequence() == sequence);
        took.push(before.elapsed());
        assert_eq!(follower.state().customer(ACME).map(|acme| acme.consent.mode), Some(mode));
    }
    took.sort();
    let p99 = took[took.len() * 99 / 100];
    assert!(p99 < Duration::from_millis(100), "p99 {p99:?}, slowest {:?}", took.last());
}

#[tokio::test]
async fn each_change_is_told() {
    let mut world = World::with_people();
    let (_directory, path, register) = register_of(&world);
    let follower = follow(&path).expect("it starts");
    let mut changed = follower.changed();
    assert_eq!(*changed.borrow_and_update(), Sequence(3));
    world.consent(Mode::Standing, Scope::Read, None);
    register.append(&proposal(world.events[3].clone())).expect("it applies");
    let told = tokio::time::timeout(Duration::from_secs(10), changed.changed()).await;
    assert!(told.expect("in time").is_ok());
    assert_eq!(*changed.borrow_and_update(), Sequence(4));
    assert_eq!(follower.state().sequence(), Sequence(4), "published before it was told");
}

#[tokio::test]
async fn whoever_asks_after_a_change_knows_of_it() {
    let mut world = World::with_people();
    let (_directory, path, register) = register_of(&world);
    let follower = follow(&path).expect("it starts");
    for round in 0..20 {
        let mode = if round % 2 == 0 { Mode::Standing } else { Mode::Off };
        world.consent(mode, Scope::Read, None);
        let sequence = register.append(&proposal(world.events.last().expect("made").clone())).expect("it applies");
        follower.caught_up(SystemClock.now(), Duration::from_secs(10)).await;
        assert_eq!(follower.state().sequence(), sequence);
    }
    let (before, within) = (Instant::now(), Duration::from_millis(50));
    follower.caught_up(Timestamp(i64::MAX), within).await;
    assert!((within..Duration::from_secs(5)).contains(&before.elapsed()), "bounded");
}

/// A clock that a test moves.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn an_unsigned_widening_stops_the_follower_for_good() {
    let mut world = World::with_people();
    let (_directory, path, _register) = register_of(&world);
    let clock = Arc::new(Hand(AtomicI64::new(1_000)));
    let shared: Arc<dyn Clock> = clock.clone();
    let follower = Follower::start(&path, trust(), &path.with_extension("seen"), shared).expect("it starts");
    clock.0.store(2_000, Ordering::SeqCst);
    wait_for(|| follower.last_read() == Timestamp(2_000));
    world.consent(Mode::Standing, Scope::Write, None);
    let forged = &world.events[3];
    let connection = Connection::open(&path).expect("it opens");
    let event = rusqlite::params![[9u8; 16], forged.content, forged.hash];
    connection.execute("INSERT INTO event VALUES (4, ?1, ?2, ?3, NULL)", event).expect("root can do that");
    wait_for(|| follower.fault().is_some());
    clock.0.store(9_000_000, Ordering::SeqCst);
    std::thread::sleep(10 * POLL);
    assert_eq!(follower.last_read(), Timestamp(2_000), "it ages, so that every decision fails closed");
    assert_eq!(follower.state().customer(ACME).map(|acme| acme.consent.mode), Some(Mode::Off));
    assert!(follower.fault().is_some_and(|fault| fault.contains("carries no signature")), "{:?}", follower.fault());
}

#[test]
fn a_register_that_goes_away_ages_and_one_that_is_replaced_stops() {
    let (_directory, path, register) = register_of(&World::with_people());
    let follower = follow(&path).expect("it starts");
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).expect("it is moved");
    wait_for(|| follower.fault().is_some());
    let read = follower.last_read();
    std::thread::sleep(5 * POLL);
    assert_eq!(follower.last_read(), read);
    fs::rename(&aside, &path).expect("it is back");
    wait_for(|| follower.fault().is_none() && follower.last_read() > read);
    fs::copy(&path, &aside).and_then(|_| fs::rename(&aside, &path)).expect("another file of that name");
    wait_for(|| follower.fault().is_some_and(|fault| fault.contains("was replaced")));
    drop(register);
}

#[test]
fn an_old_copy_is_refused_with_what_to_do() {
    let mut world = World::with_people();
    let (directory, path, register) = register_of(&world);
    let copy = directory.path().join("copy.sqlite");
    let backup = Connection::open(&path).expect("it opens");
    backup.execute("VACUUM INTO ?1", [copy.to_str().expect("a text")]).expect("it is copied");
    world.consent(Mode::Off, Scope::Read, None);
    register.append(&proposal(world.events[3].clone())).expect("it applies");
    drop(follow(&path).expect("it starts"));
    drop((register, backup));
    for left in ["sqlite-wal", "sqlite-shm"] {
        let _gone = fs::remove_file(path.with_extension(left));
    }
    fs::rename(&copy, &path).expect("the old copy is brought back");
    let Err(refused) = follow(&path) else { panic!("it started from an old copy") };
    let text = refused.to_string();
    assert!(matches!(refused, Error::RolledBack { found: Sequence(3), seen: Sequence(4), .. }), "{text}");
    assert!(text.contains("bring back the newest copy"), "{text}");
}

#[test]
fn another_history_is_refused() {
    let world = World::with_people();
    let (_directory, path, register) = register_of(&world);
    drop(follow(&path).expect("it starts"));
    drop(register);
    let mut other = World::new();
    for name in ["eve", "mallory", "trudy"] {
        other.must(By::Operator, What::StaffCreated, Some(staff(name)));
    }
    let (_other_directory, other_path, other_register) = register_of(&other);
    drop(other_register);
    fs::copy(path.with_extension("seen"), other_path.with_extension("seen")).expect("it is copied");
    assert!(matches!(follow(&other_path), Err(Error::Different { sequence: Sequence(3), .. })));
    fs::write(other_path.with_extension("seen"), "garbage\n").expect("it is written");
    assert!(matches!(follow(&other_path), Err(Error::SeenUnreadable(_))));
}

#[test]
fn what_was_seen_is_kept_at_the_end() {
    let mut world = World::with_people();
    let (_directory, path, register) = register_of(&world);
    let follower = follow(&path).expect("it starts");
    world.consent(Mode::Off, Scope::Read, None);
    register.append(&proposal(world.events[3].clone())).expect("it applies");
    wait_for(|| follower.state().sequence() == Sequence(4));
    drop(follower);
    let seen = Seen::read(&path.with_extension("seen")).expect("it reads");
    assert_eq!(seen, Some(Seen::of(&world.state)));
    assert!(follow(&path).is_ok());
    tamper(&path, "UPDATE side SET salt = zeroblob(32) WHERE sequence = 3");
    assert!(matches!(follow(&path), Err(Error::Broken { .. })));
}

#[test]
fn signatures_that_were_seen_are_verified_once_and_the_chain_each_time() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let (_directory, path, register) = register_of(&world);
    drop(follow(&path).expect("all is verified"));
    drop(register);
    let seen = path.with_extension("seen");

    // The event, and so its hash, is the one whose signature was verified.
    tamper(&path, "UPDATE event SET signature = zeroblob(64) WHERE sequence = 4");
    let follower = follow(&path).expect("what was verified is there");
    assert_eq!(follower.state().customer(ACME).map(|acme| acme.consent.scope), Some(Scope::Read));
    drop(follower);
    let kept = fs::read(&seen).expect("it is there");
    fs::remove_file(&seen).expect("it is removed");
    assert!(matches!(follow(&path), Err(Error::Broken { fault: Fault::Signature(Sequence(4)), .. })));
    assert!(!seen.exists(), "nothing was seen that did not verify");

    // Another event there, chained as it should be and not signed, is another history.
    let mut forged = World::with_people();
    forged.consent(Mode::Standing, Scope::Write, None);
    let event = &forged.events[3];
    fs::write(&seen, kept).expect("it is brought back");
    let connection = Connection::open(&path).expect("it opens");
    let forgery = rusqlite::params![event.content, event.hash];
    connection
        .execute("UPDATE event SET content = ?1, hash = ?2, signature = NULL WHERE sequence = 4", forgery)
        .expect("root can do that");
    assert!(matches!(follow(&path), Err(Error::Different { sequence: Sequence(4), .. })));
}
