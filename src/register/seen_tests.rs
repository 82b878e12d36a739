//! The file on a disk that crashes: whole, never older than what was written or once read.

use super::*;
use crate::disk::crashing::{CrashingDisk, Ending, Lie, Random};

fn path() -> &'static Path {
    Path::new("/var/lib/portreeve/seen")
}

fn seen(number: u64) -> Seen {
    Seen { sequence: Sequence(number), hash: [u8::try_from(number % 251).unwrap_or(0); 32] }
}

fn crashes(seed: u64, lie: Option<Lie>) -> Result<(), String> {
    let (mut disk, mut random) = (CrashingDisk::new(seed), Random(seed));
    if let Some(lie) = lie {
        disk.lie(lie);
    }
    let (mut last, mut tried) = (0, 0);
    for _ in 0..5 {
        disk.crash_in(1 + random.below(30));
        while !disk.is_down() {
            match Seen::read_on(&disk, path()) {
                Ok(there) => {
                    let number = there.map_or(0, |seen| seen.sequence.0);
                    if there.is_some_and(|there| there != seen(number)) {
                        return Err(format!("a mixture: {there:?}"));
                    }
                    if number < last || number > tried {
                        return Err(format!("{number} is there after {last}, of {tried}"));
                    }
                    last = number;
                }
                Err(_) if disk.is_down() => break,
                Err(error) => return Err(error.to_string()),
            }
            tried += 1;
            if seen(tried).write_on(&disk, path()).is_ok() {
                last = tried;
            }
        }
        disk = disk.restart(if random.chance(60) { Ending::PowerLost } else { Ending::Killed });
    }
    Ok(())
}

#[test]
fn what_was_seen_is_never_forgotten_over_a_thousand_crashes() {
    for seed in 1..=400 {
        crashes(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    for lie in [Lie::OfFiles, Lie::OfDirectories] {
        let caught = (1..=40).filter(|seed| crashes(*seed, Some(lie)).is_err()).count();
        assert!(caught > 10, "{lie:?}: caught with {caught} of 40 seeds");
    }
}

#[test]
fn what_is_no_such_file_is_not_taken_for_one() {
    let disk = CrashingDisk::new(1);
    disk.make_directory(Path::new("/var/lib/portreeve")).expect("made");
    assert_eq!(Seen::read_on(&disk, path()).expect("there is none"), None);
    let whole = seen(7).to_text();
    for (case, text) in [
        ("empty", Vec::new()),
        ("cut", whole.as_bytes().split_last().expect("not empty").1.to_vec()),
        ("not text", vec![0xff; whole.len()]),
        ("not a hash", whole.replace("07", "zz").into_bytes()),
    ] {
        disk.replace(path(), &text, 0o644).expect("written");
        assert!(matches!(Seen::read_on(&disk, path()), Err(Error::SeenUnreadable(_))), "{case}");
    }
    disk.replace(path(), whole.as_bytes(), 0o644).expect("written");
    assert_eq!(Seen::read_on(&disk, path()).expect("it reads"), Some(seen(7)));
}
