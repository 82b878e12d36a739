//! The lock file on a disk that crashes: a lock that was placed, or once seen in force, never goes by itself.

use super::*;
use crate::disk::crashing::{Call, CrashingDisk, Ending, Fault, How, Lie, Random};
use crate::ids::CustomerId;

fn folder() -> &'static Path {
    Path::new("/var/lib/portreeve/proxy")
}

fn opened(disk: &CrashingDisk) -> Result<LockBook, Error> {
    LockBook::open(Arc::new(disk.clone()), folder())
}

fn lock(number: u64) -> Lock {
    Lock::Customer(CustomerId(number))
}

/// How many of the locks 1 to n, which are placed in this order, are in force.
fn in_force(book: &LockBook) -> Result<u64, String> {
    let (current, mut number) = (book.current(), 0);
    for (place, _) in current.iter() {
        number += 1;
        if place != lock(number) {
            return Err(format!("{place} is there in place of {}", lock(number)));
        }
    }
    Ok(number)
}

fn crashes(seed: u64, lie: Option<Lie>) -> Result<(), String> {
    let (mut disk, mut random) = (CrashingDisk::new(seed), Random(seed));
    if let Some(lie) = lie {
        disk.lie(lie);
    }
    let (mut last, mut tried) = (0, 0);
    for _ in 0..5 {
        disk.crash_in(1 + random.below(30));
        if disk.make_directory(folder()).is_ok() {
            match opened(&disk) {
                Ok(book) => {
                    let there = in_force(&book)?;
                    if there < last || there > tried {
                        return Err(format!("{there} locks are in force after {last}, of {tried}"));
                    }
                    (last, tried) = (there, there);
                    while !disk.is_down() {
                        tried += 1;
                        if book.place(lock(tried), Sequence(tried)).is_ok() {
                            last = tried;
                        }
                    }
                }
                Err(error) if !disk.is_down() => return Err(error.to_string()),
                Err(_) => {}
            }
        }
        disk = disk.restart(if random.chance(60) { Ending::PowerLost } else { Ending::Killed });
    }
    Ok(())
}

#[test]
fn no_lock_is_lost_in_a_thousand_crashes() {
    for seed in 1..=400 {
        crashes(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    for lie in [Lie::OfFiles, Lie::OfDirectories] {
        let caught = (1..=40).filter(|seed| crashes(*seed, Some(lie)).is_err()).count();
        assert!(caught > 10, "{lie:?}: caught with {caught} of 40 seeds");
    }
}

#[test]
fn a_lock_that_could_not_be_written_shuts_and_is_written_when_it_is_placed_again() {
    let disk = CrashingDisk::new(1);
    disk.make_directory(folder()).expect("made");
    let book = opened(&disk).expect("none yet");
    let nth = disk.count(Call::Write) + 1;
    disk.fail(Fault { call: Call::Write, nth, kind: io::ErrorKind::StorageFull, how: How::Partly });
    let refused = book.place(lock(1), Sequence(5)).expect_err("the disk is full").to_string();
    assert!(refused.contains("/var/lib/portreeve/proxy/locks"), "{refused}");
    assert_eq!(in_force(&book), Ok(1), "it shuts nevertheless");
    book.place(lock(1), Sequence(5)).expect("now there is room");
    drop(book);
    let disk = disk.restart(Ending::PowerLost);
    assert_eq!(in_force(&opened(&disk).expect("it reads")), Ok(1), "and it lasts");
}

#[test]
fn a_file_that_says_something_else_lets_nobody_in() {
    let disk = CrashingDisk::new(1);
    disk.make_directory(folder()).expect("made");
    for wrong in [&b"c7 #41\nnonsense\n"[..], b"\xff\n", b"c7\n"] {
        disk.replace(&folder().join("locks"), wrong, FILE_MODE).expect("written");
        let refused = opened(&disk).err().expect("it might say anything").to_string();
        assert!(refused.contains("nobody is let in"), "{refused}");
    }
}
