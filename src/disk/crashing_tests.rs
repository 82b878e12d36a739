use super::*;

const MANY: u64 = 2_000;

fn path() -> PathBuf {
    PathBuf::from("/var/lib/keyring")
}

/// Puts version after version in place of a file until power is lost; gives the last that was said to be there.
fn replace_until_power_is_lost(disk: &CrashingDisk, random: &mut Random, last: &mut u64, tried: &mut u64) {
    disk.crash_in(1 + random.below(40));
    if disk.make_directory(Path::new("/var/lib")).is_err() {
        return;
    }
    loop {
        *tried += 1;
        // Sizes differ, so that a mixture of two versions shows.
        let version = tried.to_le_bytes().repeat(1 + (*tried as usize * 977) % 700);
        match disk.replace(&path(), &version, 0o600) {
            Ok(()) => *last = *tried,
            Err(_) => return,
        }
    }
}

/// The version that is there; 0 if there is none.
fn version(disk: &CrashingDisk) -> Result<u64, String> {
    let bytes = match disk.read(&path()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        read => read.map_err(|error| error.to_string())?,
    };
    let first = bytes.first_chunk::<8>().map(|first| u64::from_le_bytes(*first)).ok_or("it is cut")?;
    let whole = first.to_le_bytes().repeat(1 + (first as usize * 977) % 700);
    if bytes == whole { Ok(first) } else { Err(format!("a mixture of {} bytes", bytes.len())) }
}

fn replaced_over_crashes(seed: u64, lie: Option<Lie>) -> Result<(), String> {
    let (mut disk, mut random) = (CrashingDisk::new(seed), Random(seed));
    disk.state().lie = lie;
    let (mut last, mut tried) = (0, 0);
    for _ in 0..3 {
        replace_until_power_is_lost(&disk, &mut random, &mut last, &mut tried);
        let ending = if random.chance(75) { Ending::PowerLost } else { Ending::Killed };
        disk = disk.restart(ending);
        let there = version(&disk)?;
        if there < last || there > tried {
            return Err(format!("version {there} is there after {last}, of {tried}"));
        }
        // What is seen after power was lost stays. (What a killed process leaves may still go.)
        last = if ending == Ending::PowerLost { there } else { last };
    }
    Ok(())
}

#[test]
fn a_file_is_replaced_wholly_or_not_at_all_whenever_power_is_lost() {
    for seed in 0..MANY {
        replaced_over_crashes(seed, None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn a_lying_disk_breaks_replacing() {
    for lie in [Lie::OfFiles, Lie::OfDirectories] {
        let broken = (0..100).filter(|seed| replaced_over_crashes(*seed, Some(lie)).is_err()).count();
        assert!(broken > 50, "{lie:?}: {broken} of 100");
    }
}

#[test]
fn a_failed_replacement_leaves_the_old_or_the_new_file() {
    let directory = Path::new("/var/lib");
    for call in [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::SyncDirectory] {
        for (how, kind) in [How::Not, How::Partly, How::Whole, How::Lost]
            .into_iter()
            .flat_map(|how| [(how, ErrorKind::Other), (how, ErrorKind::StorageFull)])
        {
            for seed in 0..20 {
                let disk = CrashingDisk::new(seed);
                disk.make_directory(directory).expect("made");
                disk.replace(&path(), &[1; 5000], 0o600).expect("replaced");
                let nth = disk.count(call) + 1;
                disk.fail(Fault { call, nth, kind, how });
                assert_eq!(disk.replace(&path(), &[2; 9000], 0o600).expect_err("it fails").kind(), kind);
                let seen = disk.read(&path()).expect("there is one");
                assert!(seen == [1; 5000] || seen == [2; 9000], "{call:?} {how:?}");
                let disk = disk.restart(if seed < 10 { Ending::PowerLost } else { Ending::Killed });
                let seen = disk.read(&path()).expect("there is one");
                assert!(seen == [1; 5000] || seen == [2; 9000], "{call:?} {how:?} after a restart");
                disk.replace(&path(), &[3; 100], 0o600).expect("it can be tried again");
                let disk = disk.restart(Ending::PowerLost);
                assert_eq!(disk.read(&path()).expect("there is one"), [3; 100], "{call:?} {how:?}");
            }
        }
    }
}

/// "If it fails, nothing has this name", and a file that has its name is as long as asked, all zeros.
#[test]
fn an_allocated_file_is_whole_or_not_there() {
    let path = Path::new("/var/lib/segment");
    for seed in 0..MANY {
        let (mut disk, mut random) = (CrashingDisk::new(seed), Random(seed));
        disk.make_directory(Path::new("/var/lib")).expect("made");
        disk.crash_in(1 + random.below(12));
        let allocated = disk.allocate(path, 16 << 10);
        disk = disk.restart(Ending::PowerLost);
        match disk.read(path) {
            Ok(bytes) => assert!(bytes == vec![0; 16 << 10], "seed {seed}"),
            Err(error) => assert!(error.kind() == ErrorKind::NotFound && allocated.is_err(), "seed {seed}"),
        }
    }
    for call in [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::SyncDirectory] {
        for how in [How::Not, How::Partly, How::Lost] {
            let disk = CrashingDisk::new(1);
            disk.make_directory(Path::new("/var/lib")).expect("made");
            let nth = disk.count(call) + 1;
            disk.fail(Fault { call, nth, kind: ErrorKind::StorageFull, how });
            disk.allocate(path, 16 << 10).expect_err("it fails");
            let there = disk.read(path).map(|bytes| bytes.len());
            assert_eq!(there.expect_err("nothing has the name").kind(), ErrorKind::NotFound, "{call:?} {how:?}");
            disk.allocate(path, 16 << 10).expect("it can be tried again");
        }
    }
}

#[test]
fn what_a_killed_process_began_is_durable_when_the_next_one_is_told_so() {
    let (directory, path) = (Path::new("/var/lib/log"), Path::new("/var/lib/log/file"));
    for seed in 0..200 {
        for crash_in in 1..12 {
            let disk = CrashingDisk::new(seed);
            disk.crash_in(crash_in);
            let _ = disk.make_directory(directory).and_then(|()| disk.replace(path, b"1", 0o600));
            let disk = disk.restart(Ending::Killed);
            disk.make_directory(directory).expect("made");
            disk.replace(path, b"2", 0o600).expect("replaced");
            let disk = disk.restart(Ending::PowerLost);
            assert_eq!(disk.read(path).expect("it is there"), b"2", "seed {seed}, call {crash_in}");
            disk.crash_in(crash_in);
            let _ = disk.remove(path);
            let disk = disk.restart(Ending::Killed);
            disk.remove(path).expect("removed");
            let disk = disk.restart(Ending::PowerLost);
            assert!(disk.read(path).is_err(), "seed {seed}, call {crash_in}: it came back");
        }
    }
}
