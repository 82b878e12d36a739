use tempfile::TempDir;

use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, customer, issue, minutes, reason, staff, trust};
use crate::grant::{By, Event, Layout, Mode, Rule, Scope, What};
use crate::ids::CodeId;

/// The event as something to append.
pub(crate) fn proposal(stored: Stored) -> Proposal {
    let id = Event::decode(&stored.content).expect("it is an event").id;
    Proposal { id, stored }
}

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

/// Writes to the file behind the register's back.
pub(crate) fn tamper(path: &Path, sql: &str) {
    let connection = Connection::open(path).expect("it opens");
    connection.execute_batch("DROP TRIGGER event_update; DROP TRIGGER event_delete;").expect("they are there");
    connection.execute_batch(sql).expect("it is done");
}

fn joe(world: &World) -> Proposal {
    proposal(world.make(By::Operator, What::StaffCreated, Some(staff("joe"))))
}

fn fault(path: &Path) -> Fault {
    match Register::open(path, trust()) {
        Err(Error::Broken { fault, .. }) => fault,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a broken register opened"),
    }
}

#[test]
fn what_was_appended_is_there_after_opening_again() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let grant = world.grant(Scope::Read, minutes(60));
    let (_directory, path, register) = register_of(&world);
    drop(register);
    let register = Register::open(&path, trust()).expect("it opens");
    let state = register.state().expect("it verifies");
    assert_eq!((state.sequence(), state.head()), (world.state.sequence(), world.state.head()));
    assert_eq!(state.grant(grant).map(|grant| grant.ticket.as_str()), Some("SUP-1"));
    assert_eq!(register.read_from(Sequence(1)).expect("it reads"), world.events);
    let id = Event::decode(&world.events[3].content).expect("an event").id;
    assert_eq!(register.find(id).expect("it reads"), Some(Sequence(4)));
    assert_eq!(register.find(EventId([0xff; 16])).expect("it reads"), None);
}

#[test]
fn files_are_for_the_group_and_settings_are_durable() {
    let (_directory, path, register) = register_of(&World::with_people());
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o660);
    assert_eq!(mode(&path.with_extension("sqlite-wal")), 0o660);
    assert_eq!(mode(path.parent().expect("a directory")), 0o2770);
    let open = register.lock();
    let text = |pragma| open.connection.pragma_query_value(None, pragma, |row| row.get::<_, String>(0));
    let number = |pragma| open.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    assert_eq!(text("journal_mode").as_deref(), Ok("wal"));
    assert_eq!((number("synchronous"), number("secure_delete")), (Ok(2), Ok(1)));
}

#[test]
fn of_two_writers_one_loses_and_tries_again() {
    let mut world = World::with_people();
    let (_directory, path, first) = register_of(&world);
    let second = Register::open(&path, trust()).expect("it opens");
    let ann = proposal(world.make(By::Operator, What::StaffCreated, Some(staff("ann"))));
    let joe_too_late = joe(&world);
    assert_eq!(first.append(&ann).expect("it applies"), Sequence(4));
    assert!(matches!(second.append(&joe_too_late), Err(Error::LostRace(Sequence(4)))));
    world.must(By::Operator, What::StaffCreated, Some(staff("ann")));
    assert_eq!(second.append(&joe(&world)).expect("it applies"), Sequence(5));
    assert!(first.state().expect("it verifies").staff_named("joe").is_some());
}

#[test]
fn racing_writers_never_share_a_place() {
    let (_directory, path, register) = register_of(&World::with_people());
    let threads: Vec<_> = (0..4u8)
        .map(|writer| {
            let path = path.clone();
            std::thread::spawn(move || {
                let register = Register::open(&path, trust()).expect("it opens");
                let (mut lost, mut done) = (0u32, 0u8);
                while done < 10 {
                    let state = register.state().expect("it verifies");
                    let name = format!("w{writer}-{done}");
                    let draft = crate::grant::Draft {
                        by: By::Operator,
                        what: What::StaffCreated,
                        personal: Some(staff(&name)),
                    };
                    let id = EventId(std::array::from_fn(|i| if i == 0 { 100 + writer } else { done }));
                    let place = (state.sequence(), state.head());
                    match register.append(&draft.propose(id, NOON, [writer; 32], place)) {
                        Ok(_) => done += 1,
                        Err(Error::LostRace(_)) => lost += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                lost
            })
        })
        .collect();
    let lost: u32 = threads.into_iter().map(|thread| thread.join().expect("it ran to its end")).sum();
    assert_eq!(register.state().expect("it verifies").sequence(), Sequence(43));
    assert_eq!(register.read_from(Sequence(1)).expect("it reads").len(), 43, "{lost} races were lost");
}

#[test]
fn many_open_a_new_register_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new/register.sqlite");
    let open = |_| {
        let path = path.clone();
        std::thread::spawn(move || Register::open(&path, trust()).map(drop))
    };
    let threads: Vec<_> = (0..8).map(open).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic").expect("it opens"));
}

#[test]
fn what_would_not_apply_is_never_stored() {
    let mut world = World::with_people();
    let (_directory, _path, register) = register_of(&world);
    let on = What::ConsentSet { customer: ACME, mode: Mode::Standing, scope: Scope::Read, until: None };
    let mut unsigned = proposal(world.make(By::Owner(OLGA), on, None));
    unsigned.stored.signature = None;
    assert!(matches!(register.append(&unsigned), Err(Error::Refused(why)) if why.contains("no signature")));
    let by_operator = proposal(world.make(By::Operator, on, None));
    let only_owner = Rule::OnlyOwnerWidens { customer: ACME }.to_string();
    assert!(matches!(register.append(&by_operator), Err(Error::Refused(why)) if why == only_owner));
    assert_eq!(register.state().expect("it verifies").sequence(), Sequence(3));
    let owners = proposal(world.make(By::Owner(OLGA), on, None));
    assert_eq!(register.append(&owners).expect("it applies"), Sequence(4));
    world.consent(Mode::Standing, Scope::Read, None);
    let own = proposal(world.make(By::Staff(JANE), issue(Scope::Write, minutes(5)), Some(reason())));
    assert!(matches!(register.append(&own), Err(Error::Refused(why)) if why.contains("--scope read")));
}

#[test]
fn every_change_behind_its_back_is_found() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let flip =
        "UPDATE event SET content = CAST(substr(content, 1, length(content) - 1) || x'00' AS BLOB) WHERE sequence = 2";
    let cases: [(&str, Fault); 6] = [
        (flip, Fault::Chain(Sequence(2))),
        ("UPDATE event SET hash = zeroblob(32) WHERE sequence = 3", Fault::Chain(Sequence(3))),
        ("UPDATE event SET signature = NULL WHERE sequence = 4", Fault::Unsigned(Sequence(4))),
        ("UPDATE event SET signature = zeroblob(64) WHERE sequence = 4", Fault::Signature(Sequence(4))),
        (
            "UPDATE side SET body = (SELECT body FROM side WHERE sequence = 1) WHERE sequence = 3",
            Fault::Side(Sequence(3)),
        ),
        (
            "PRAGMA foreign_keys = OFF; DELETE FROM event WHERE sequence = 2",
            Fault::Gap { expected: Sequence(2), found: Sequence(3) },
        ),
    ];
    for (sql, expected) in cases {
        let (_directory, path, register) = register_of(&world);
        drop(register);
        tamper(&path, sql);
        assert_eq!(fault(&path), expected, "{sql}");
    }
}

#[test]
fn a_register_in_use_notices_too_and_stores_nothing_more() {
    let world = World::with_people();
    let (_directory, path, register) = register_of(&world);
    tamper(&path, "UPDATE event SET hash = zeroblob(32) WHERE sequence = 3");
    assert!(matches!(register.append(&joe(&world)), Err(Error::Broken { fault: Fault::Chain(Sequence(3)), .. })));
}

#[test]
fn the_table_of_events_takes_no_change_and_an_erased_row_is_erased() {
    let world = World::with_people();
    let (_directory, path, register) = register_of(&world);
    drop(register);
    let connection = Connection::open(&path).expect("it opens");
    for sql in ["UPDATE event SET hash = zeroblob(32)", "DELETE FROM event"] {
        let refused = connection.execute(sql, []).expect_err("it is append-only").to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    connection.execute("DELETE FROM side WHERE sequence = 3", []).expect("it is erased");
    let state = Register::open(&path, trust()).and_then(|register| register.state()).expect("it verifies");
    assert_eq!(state.staff(JANE).map(|staff| staff.name.as_str()), Some(crate::grant::ERASED));
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
fn a_logs_checkpoint_only_grows() {
    let (_directory, _path, register) = register_of(&World::new());
    assert_eq!(register.last_checkpoint("proxy-gate-1").expect("it reads"), None);
    register.note_checkpoint("proxy-gate-1", 10, [1; 32]).expect("the first");
    register.note_checkpoint("proxy-gate-1", 10, [1; 32]).expect("the same");
    register.note_checkpoint("proxy-gate-1", 12, [2; 32]).expect("a longer one");
    let behind =
        |size, root| matches!(register.note_checkpoint("proxy-gate-1", size, root), Err(Error::LogBehind { .. }));
    assert!(behind(11, [1; 32]) && behind(12, [3; 32]));
    let remembered = Remembered { size: 12, root: [2; 32] };
    assert_eq!(register.last_checkpoint("proxy-gate-1").expect("it reads"), Some(remembered));
    assert_eq!(register.state().expect("it verifies").sequence(), Sequence(0), "outside the chain");
}

#[test]
fn an_unused_customer_is_still_a_customer() {
    let mut world = World::with_people();
    world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer("globex")));
    let (_directory, _path, register) = register_of(&world);
    let state = register.state().expect("it verifies");
    assert_eq!(state.customers().map(|customer| customer.name.as_str()).collect::<Vec<_>>(), ["acme", "globex"]);
}

/// What a newer version wrote is not guessed at: a role that does not know an event does not start.
#[test]
fn an_event_of_a_newer_version_refuses_to_open_and_says_so() {
    let world = World::with_people();
    let (_directory, path, register) = register_of(&world);
    drop(register);
    let mut content = world.make(By::System, What::CodeMissed { code: CodeId(9) }, None).content;
    // The last number of the verb's key and value, 40, becomes one that nobody knows.
    let known = content.windows(3).position(|bytes| bytes == [0x04, 0x18, 40]).expect("the verb's number");
    content[known + 2] = 0xfe;
    let hash = crate::grant::chain(&world.state.head(), &content);
    let connection = Connection::open(&path).expect("it opens");
    let event = params![4, [9_u8; 16], content, hash, None::<Vec<u8>>];
    connection.execute("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5)", event).expect("it is written");
    drop(connection);
    assert_eq!(fault(&path), Fault::Content(Sequence(4)));
    let told = Register::open(&path, trust()).map(drop).expect_err("it refuses").to_string();
    assert!(told.contains("a newer version of portreeve wrote it") && told.contains("stop every role"), "{told}");
}
