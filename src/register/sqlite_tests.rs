//! What is particular to a file; what holds of every register is in `conformance_tests.rs`.

use tempfile::TempDir;

use super::*;
use crate::grant::world::{World, staff, trust};
use crate::grant::{By, Mode, Scope, What};
use crate::register::Register;
use crate::register::kept::{Kept, proposal, wait_for};

/// A register in a directory of its own that holds what that world was folded from.
pub(crate) fn register_of(world: &World) -> (TempDir, PathBuf, Register) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("register/register.sqlite");
    let register = Register::open(&path, trust()).expect("it opens");
    for event in &world.events {
        register.append(&proposal(event.clone())).expect("it applies");
    }
    (directory, path, register)
}

fn path_of(kept: &Kept) -> PathBuf {
    PathBuf::from(kept.name())
}

#[test]
fn files_are_for_the_group_and_settings_are_durable() {
    let kept = Kept::file();
    let (path, _register) = (path_of(&kept), kept.holding(&World::with_people()));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o660);
    assert_eq!(mode(&path.with_extension("sqlite-wal")), 0o660);
    assert_eq!(mode(path.parent().expect("a directory")), 0o2770);
    let connection = Sqlite::open(&path).expect("it opens").connection;
    let text = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, String>(0));
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    assert_eq!(text("journal_mode").as_deref(), Ok("wal"));
    assert_eq!((number("synchronous"), number("secure_delete")), (Ok(2), Ok(1)));
}

#[test]
fn another_database_is_not_taken_for_a_register() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("other.sqlite");
    Connection::open(&path).and_then(|other| other.execute_batch("CREATE TABLE t (a)")).expect("it is made");
    assert!(matches!(Register::open(&path, trust()), Err(Error::NotARegister(_))));
    fs::write(&path, "garbage, and more than a page of it ".repeat(200)).expect("it is written");
    assert!(matches!(Register::open(&path, trust()), Err(Error::Sqlite { .. })));
}

#[test]
fn one_that_is_replaced_under_a_follower_stops_it() {
    let kept = Kept::file();
    let (path, _register) = (path_of(&kept), kept.holding(&World::with_people()));
    let follower = kept.follow().expect("it starts");
    let aside = path.with_extension("aside");
    fs::copy(&path, &aside).and_then(|_| fs::rename(&aside, &path)).expect("another file of that name");
    wait_for(|| follower.fault().is_some_and(|fault| fault.contains("was replaced")));
}

#[test]
fn an_old_copy_of_the_file_is_refused() {
    let mut world = World::with_people();
    let kept = Kept::file();
    let (path, register) = (path_of(&kept), kept.holding(&world));
    let copy = path.with_extension("copy");
    let backup = Connection::open(&path).expect("it opens");
    backup.execute("VACUUM INTO ?1", [copy.to_str().expect("a text")]).expect("it is copied");
    world.consent(Mode::Off, Scope::Read, None);
    register.append(&proposal(world.events[3].clone())).expect("it applies");
    drop(kept.follow().expect("it starts"));
    drop((register, backup));
    for left in ["sqlite-wal", "sqlite-shm"] {
        let _gone = fs::remove_file(path.with_extension(left));
    }
    fs::rename(&copy, &path).expect("the old copy is brought back");
    let refused = kept.follow().map(drop).expect_err("it is an old copy");
    assert!(matches!(refused, Error::RolledBack { found: Sequence(3), seen: Sequence(4), .. }), "{refused}");
}

#[test]
fn what_is_forgotten_is_in_no_file_and_not_said_to_be_while_somebody_reads() {
    let world = World::with_people();
    let kept = Kept::file();
    let (path, register) = (path_of(&kept), kept.holding(&world));
    let body = world.events[0].side.as_ref().expect("a side row").body.clone();
    let is_left = |path: &Path| {
        let files = ["sqlite", "sqlite-wal"].map(|ending| fs::read(path.with_extension(ending)).unwrap_or_default());
        files.iter().any(|file| file.windows(body.len()).any(|bytes| bytes == body))
    };
    assert!(is_left(&path));
    let reader = Connection::open(&path).expect("it opens");
    reader.execute_batch("BEGIN; SELECT count(*) FROM side").expect("it reads");
    let refused = register.forget(crate::grant::world::ACME).expect_err("somebody reads").to_string();
    assert!(refused.contains("somebody reads the register"), "{refused}");
    reader.execute_batch("COMMIT").expect("it is done");
    assert_eq!(register.forget(crate::grant::world::ACME).expect("nobody reads"), 0);
    assert!(!is_left(&path));
}

/// A reader keeps nobody waiting for the verifier of a password that was replaced: neither whoever deletes it nor others.
#[test]
fn what_was_replaced_is_deleted_at_once_and_overwritten_when_nobody_reads() {
    let world = World::with_people();
    let kept = Kept::file();
    let (path, register) = (path_of(&kept), kept.holding(&world));
    let body = world.events[2].side.as_ref().expect("a side row").body.clone();
    let is_left = || {
        let files = ["sqlite", "sqlite-wal"].map(|ending| fs::read(path.with_extension(ending)).unwrap_or_default());
        files.iter().any(|file| file.windows(body.len()).any(|bytes| bytes == body))
    };
    let reader = Connection::open(&path).expect("it opens");
    reader.execute_batch("BEGIN; SELECT count(*) FROM side").expect("it reads");
    let before = Instant::now();
    register.erase_replaced(Sequence(3)).expect("readers are in nobody's way");
    assert!(before.elapsed() < BUSY, "it waited for the reader");
    assert_eq!(register.read_from(Sequence(3)).expect("it reads")[0].side, None);
    let told = register.overwrite().expect_err("somebody reads").to_string();
    assert!(told.contains("somebody reads the register") && is_left(), "{told}");
    reader.execute_batch("COMMIT").expect("it is done");
    register.overwrite().expect("nobody reads");
    assert!(!is_left());
}

/// Power fails at any byte of what was being written: whole events stay, in order, and of those that were appended
/// together all or none.
#[test]
fn a_write_ahead_log_that_is_cut_anywhere_leaves_whole_events() {
    let mut world = World::with_people();
    let (directory, path, register) = register_of(&world);
    let mut whole = vec![0, 1, 2, 3];
    for round in 0..6_u8 {
        let first = world.events.len();
        for number in 0..3_u8 {
            let named = staff(&format!("s{round}-{number}"));
            world.must(By::Operator, What::StaffCreated, Some(named));
        }
        let together: Vec<_> = world.events.iter().skip(first).map(|event| proposal(event.clone())).collect();
        whole.push(register.append_all(&together).expect("they apply").0);
    }
    let wal = fs::read(path.with_extension("sqlite-wal")).expect("it is in use");
    let main = fs::read(&path).expect("it is there");
    let copy = directory.path().join("copy/register.sqlite");
    fs::create_dir(directory.path().join("copy")).expect("a directory");
    let (mut reached, mut before) = (std::collections::BTreeSet::new(), 0);
    for cut in (0..wal.len()).step_by(1031).chain([wal.len()]) {
        for rest in ["sqlite-wal", "sqlite-shm"] {
            fs::remove_file(copy.with_extension(rest)).unwrap_or_default();
        }
        fs::write(&copy, &main).expect("written");
        fs::write(copy.with_extension("sqlite-wal"), wal.get(..cut).expect("within it")).expect("written");
        let found =
            Register::open(&copy, trust()).and_then(|register| register.state()).expect("it opens").sequence().0;
        assert!(whole.contains(&found), "cut at {cut}: {found}");
        assert!(found >= before, "cut at {cut}: {found} after {before}");
        before = found;
        reached.insert(found);
    }
    assert_eq!(before, 3 + 6 * 3, "nothing is lost of what is whole");
    assert!(reached.len() > 5, "it was cut in the midst of them: {reached:?}");
}
