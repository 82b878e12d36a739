//! What must hold of a register, whatever keeps it: the same bodies against every engine.

use std::io::{BufRead, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::kept::{Kept, Shelf, at_of, proposal, wait_for};
use super::{Error, Follower, Register, Remembered};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::entropy::{OsEntropy, random};
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, customer, issue, minutes, reason, staff, trust};
use crate::grant::{By, Draft, ERASED, Event, Fault, Layout, Mode, Proposal, Rule, Scope, What};
use crate::ids::{CodeId, EventId, Sequence};

macro_rules! conforming {
    ($($body:ident,)*) => {
        mod in_a_file {
            $(#[test] fn $body() { super::$body(&super::Kept::file()); })*
        }

        /// One after the other: a server takes longer to start than any of them.
        #[test]
        fn on_a_server() {
            let shelf = Shelf::start();
            $(
                println!("{}", stringify!($body));
                $body(&Kept::on(&shelf));
            )*
        }
    };
}

conforming! {
    what_was_appended_is_there_after_opening_again,
    many_open_it_at_once,
    of_two_writers_one_loses_and_tries_again,
    those_appended_together_stand_together_or_not_at_all,
    racing_writers_never_share_a_place,
    racing_processes_never_share_a_place,
    what_a_killed_writer_appended_is_there_and_whole,
    what_would_not_apply_is_never_stored,
    every_change_behind_its_back_is_found,
    one_in_use_notices_too_and_stores_nothing_more,
    events_take_no_change_and_an_erased_side_row_is_erased,
    what_is_forgotten_is_gone_from_the_state_too,
    a_logs_checkpoint_only_grows,
    an_unused_customer_is_still_a_customer,
    an_event_of_a_newer_version_refuses_to_open_and_says_so,
    tables_of_a_newer_version_are_refused,
    a_change_is_seen_within_100_ms_at_p99,
    each_change_is_told,
    whoever_asks_after_a_change_knows_of_it,
    an_unsigned_widening_stops_the_follower_for_good,
    one_that_goes_away_ages_and_is_followed_again_when_it_is_back,
    an_old_copy_is_refused_with_what_to_do,
    another_history_is_refused,
    what_was_seen_is_kept_at_the_end,
    signatures_that_were_seen_are_verified_once_and_the_chain_each_time,
}

fn joe(world: &World) -> Proposal {
    proposal(world.make(By::Operator, What::StaffCreated, Some(staff("joe"))))
}

fn fault(kept: &Kept) -> Fault {
    match kept.try_open() {
        Err(Error::Broken { fault, .. }) => fault,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a broken register opened"),
    }
}

fn newest(world: &World) -> Proposal {
    proposal(world.events.last().expect("one was made").clone())
}

/// Moves the switch; where the register then stands.
fn switch(world: &mut World, register: &Register, mode: Mode) -> Sequence {
    world.consent(mode, Scope::Read, None);
    register.append(&newest(world)).expect("it applies")
}

fn mode_of(follower: &Follower) -> Option<Mode> {
    follower.state().customer(ACME).map(|acme| acme.consent.mode)
}

fn what_was_appended_is_there_after_opening_again(kept: &Kept) {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let grant = world.grant(Scope::Read, minutes(60));
    drop(kept.holding(&world));
    let register = kept.open();
    let state = register.state().expect("it verifies");
    assert_eq!((state.sequence(), state.head()), (world.state.sequence(), world.state.head()));
    assert_eq!(state.grant(grant).map(|grant| grant.ticket.as_str()), Some("SUP-1"));
    assert_eq!(register.read_from(Sequence(1)).expect("it reads"), world.events);
    assert_eq!(register.read_from(Sequence(4)).expect("it reads"), world.events[3..]);
    assert_eq!(register.read_from(Sequence(99)).expect("it reads"), []);
    let id = Event::decode(&world.events[3].content).expect("an event").id;
    assert_eq!(register.find(id).expect("it reads"), Some(Sequence(4)));
    assert_eq!(register.find(EventId([0xff; 16])).expect("it reads"), None);
}

fn many_open_it_at_once(kept: &Kept) {
    let open = |_| {
        let at = kept.at.clone();
        std::thread::spawn(move || Register::open(at, trust()).map(drop))
    };
    let threads: Vec<_> = (0..8).map(open).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic").expect("it opens"));
}

fn of_two_writers_one_loses_and_tries_again(kept: &Kept) {
    let mut world = World::with_people();
    let first = kept.holding(&world);
    let second = kept.open();
    let ann = proposal(world.make(By::Operator, What::StaffCreated, Some(staff("ann"))));
    let joe_too_late = joe(&world);
    assert_eq!(first.append(&ann).expect("it applies"), Sequence(4));
    assert!(matches!(second.append(&joe_too_late), Err(Error::LostRace(Sequence(4)))));
    world.must(By::Operator, What::StaffCreated, Some(staff("ann")));
    assert_eq!(second.append(&joe(&world)).expect("it applies"), Sequence(5));
    assert!(first.state().expect("it verifies").staff_named("joe").is_some());
}

fn those_appended_together_stand_together_or_not_at_all(kept: &Kept) {
    let mut world = World::with_people();
    let (first, second) = (kept.holding(&world), kept.open());
    let together = |world: &World, names: [&str; 2]| {
        let mut after = world.clone();
        names.map(|name| {
            after.must(By::Operator, What::StaffCreated, Some(staff(name)));
            newest(&after)
        })
    };
    let [ann, _] = together(&world, ["ann", "joe"]);
    let taken = world.make(By::Operator, What::StaffCreated, Some(staff("jane")));
    let mut twin = together(&world, ["ann", "eve"]);
    let hash = crate::grant::chain(&ann.stored.hash, &taken.content);
    twin[1] = proposal(crate::grant::Stored { sequence: Sequence(5), hash, ..taken });
    assert!(matches!(first.append_all(&twin), Err(Error::Refused(why)) if why.contains("\"jane\"")));
    assert_eq!(second.state().expect("it verifies").sequence(), Sequence(3), "not even the one that may be");
    let late = together(&world, ["joe", "eve"]);
    world.must(By::Operator, What::StaffCreated, Some(staff("ann")));
    second.append(&newest(&world)).expect("it is first");
    assert!(matches!(first.append_all(&late), Err(Error::LostRace(Sequence(4)))));
    assert_eq!(first.append_all(&together(&world, ["joe", "eve"])).expect("they apply"), Sequence(6));
    let state = second.state().expect("it verifies");
    assert!(state.staff_named("joe").is_some() && state.staff_named("eve").is_some());
    assert!(matches!(first.append_all(&[]), Err(Error::LostRace(_))));
}

/// Appends `count` events, or goes on until it is killed; how many races it lost.
fn write(register: &Register, count: usize, mut tell: impl FnMut(Sequence, EventId)) -> usize {
    let (mut lost, mut done) = (0, 0);
    while done < count {
        let state = register.state().expect("it verifies");
        let id = EventId(random(&OsEntropy));
        let name = id.to_string();
        let draft = Draft { by: By::Operator, what: What::StaffCreated, personal: Some(staff(&name)) };
        match register.append(&draft.propose(id, NOON, random(&OsEntropy), (state.sequence(), state.head()))) {
            Ok(sequence) => {
                tell(sequence, id);
                done += 1;
            }
            Err(Error::LostRace(now)) => {
                assert!(now >= state.sequence(), "it says where the register is now");
                lost += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    lost
}

fn racing_writers_never_share_a_place(kept: &Kept) {
    let register = kept.holding(&World::with_people());
    let race = |_| {
        let register = kept.open();
        std::thread::spawn(move || write(&register, 10, |_, _| {}))
    };
    let threads: Vec<_> = (0..4).map(race).collect();
    let lost: usize = threads.into_iter().map(|thread| thread.join().expect("it ran to its end")).sum();
    assert_eq!(register.state().expect("it verifies").sequence(), Sequence(43));
    assert_eq!(register.read_from(Sequence(1)).expect("it reads").len(), 43, "{lost} races were lost");
}

const REGISTER: &str = "PORTREEVE_TEST_REGISTER";
const COUNT: &str = "PORTREEVE_TEST_COUNT";

/// Not a test of its own: a process that appends, for tests that race or kill it.
#[test]
#[ignore = "started by the tests of several writers"]
fn a_writer() {
    let name = std::env::var(REGISTER).expect("where the register is");
    let count = std::env::var(COUNT).expect("how many").parse().expect("a number");
    let register = Register::open(at_of(&name), trust()).expect("it opens");
    println!("\nready");
    std::io::stdin().lock().lines().next().expect("a line").expect("to begin with");
    let lost = write(&register, count, |sequence, id| println!("\nappended {} {id}", sequence.0));
    println!("\nlost {lost}");
}

/// A process that appends.
struct Writer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // One that ended by itself cannot be killed.
        self.child.kill().unwrap_or_default();
        self.child.wait().expect("it ended");
    }
}

impl Writer {
    /// Waits until it is ready.
    fn start(kept: &Kept, count: usize) -> Writer {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["register::conformance::a_writer", "--exact", "--ignored", "--nocapture"])
            .env(REGISTER, kept.name())
            .env(COUNT, count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        lines.by_ref().map_while(Result::ok).find(|line| line == "ready").expect("it got ready");
        Writer { child, lines }
    }

    fn begin(&mut self) {
        self.child.stdin.take().expect("a pipe").write_all(b"begin\n").expect("it listens");
    }

    /// What it says next that it appended; none when it ended.
    fn appended(&mut self) -> Option<(Sequence, EventId)> {
        let lines = self.lines.by_ref().map_while(Result::ok);
        let line = lines.into_iter().find_map(|line| line.strip_prefix("appended ").map(str::to_owned))?;
        let (sequence, id) = line.split_once(' ')?;
        Some((Sequence(sequence.parse().ok()?), super::resolve::event_id(id)?))
    }
}

fn racing_processes_never_share_a_place(kept: &Kept) {
    const EACH: usize = 20;
    let register = kept.holding(&World::with_people());
    let mut writers = [Writer::start(kept, EACH), Writer::start(kept, EACH)];
    writers.iter_mut().for_each(Writer::begin);
    let threads = writers
        .map(|mut writer| std::thread::spawn(move || std::iter::from_fn(|| writer.appended()).collect::<Vec<_>>()));
    let mut appended: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
    appended.sort_unstable_by_key(|(sequence, _)| *sequence);
    let places: Vec<u64> = appended.iter().map(|(sequence, _)| sequence.0).collect();
    assert_eq!(places, (4..4 + 2 * EACH as u64).collect::<Vec<_>>(), "each place once, and none left out");
    for (sequence, id) in appended {
        assert_eq!(register.find(id).expect("it reads"), Some(sequence));
    }
    assert_eq!(kept.open().state().expect("it verifies").sequence(), Sequence(3 + 2 * EACH as u64));
}

fn what_a_killed_writer_appended_is_there_and_whole(kept: &Kept) {
    const ROUNDS: u64 = 10;
    drop(kept.holding(&World::with_people()));
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut writer = Writer::start(kept, usize::MAX);
        writer.begin();
        // Until some are acknowledged, then for a moment that differs by round.
        for _ in 0..1 + round % 3 {
            acknowledged.push(writer.appended().expect("it writes"));
        }
        std::thread::sleep(Duration::from_micros(397 * round));
        writer.child.kill().expect("it runs");
        acknowledged.extend(std::iter::from_fn(|| writer.appended()));
        drop(writer);
        let register = kept.open();
        for (sequence, id) in &acknowledged {
            assert_eq!(register.find(*id).expect("it reads"), Some(*sequence), "round {round}");
        }
    }
    // What was under way at a kill is there as a whole or not at all: the fold says so.
    let state = kept.open().state().expect("it verifies");
    let least = 3 + u64::try_from(acknowledged.len()).expect("a number");
    assert!((least..=least + ROUNDS).contains(&state.sequence().0), "{} of {least}", state.sequence());
}

fn what_would_not_apply_is_never_stored(kept: &Kept) {
    let mut world = World::with_people();
    let register = kept.holding(&world);
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

fn every_change_behind_its_back_is_found(kept: &Kept) {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    drop(kept.holding(&world));
    let flipped = {
        let mut content = world.events[1].content.clone();
        *content.last_mut().expect("not empty") ^= 1;
        kept.bytes(&content)
    };
    let (hash, content) = (kept.bytes(&world.events[2].hash), kept.bytes(&world.events[1].content));
    let signature = kept.bytes(&world.events[3].signature.expect("an owner's"));
    let body = |at: usize| kept.bytes(&world.events[at].side.as_ref().expect("a side row").body);
    // What is changed, what that is found as, and how it is changed back.
    let cases: [(String, Fault, String); 5] = [
        (
            format!("UPDATE event SET content = {flipped} WHERE sequence = 2"),
            Fault::Chain(Sequence(2)),
            format!("UPDATE event SET content = {content} WHERE sequence = 2"),
        ),
        (
            format!("UPDATE event SET hash = {} WHERE sequence = 3", kept.bytes(&[0; 32])),
            Fault::Chain(Sequence(3)),
            format!("UPDATE event SET hash = {hash} WHERE sequence = 3"),
        ),
        (
            "UPDATE event SET signature = NULL WHERE sequence = 4".to_owned(),
            Fault::Unsigned(Sequence(4)),
            format!("UPDATE event SET signature = {signature} WHERE sequence = 4"),
        ),
        (
            format!("UPDATE event SET signature = {} WHERE sequence = 4", kept.bytes(&[0; 64])),
            Fault::Signature(Sequence(4)),
            format!("UPDATE event SET signature = {signature} WHERE sequence = 4"),
        ),
        (
            format!("UPDATE side SET body = {} WHERE sequence = 3", body(0)),
            Fault::Side(Sequence(3)),
            format!("UPDATE side SET body = {} WHERE sequence = 3", body(2)),
        ),
    ];
    for (sql, expected, undo) in cases {
        kept.alter(&sql);
        assert_eq!(fault(kept), expected, "{sql}");
        kept.alter(&undo);
        drop(kept.open());
    }
    kept.alter("DELETE FROM side WHERE sequence = 2; DELETE FROM event WHERE sequence = 2");
    assert_eq!(fault(kept), Fault::Gap { expected: Sequence(2), found: Sequence(3) });
}

fn one_in_use_notices_too_and_stores_nothing_more(kept: &Kept) {
    let world = World::with_people();
    let register = kept.holding(&world);
    kept.alter(&format!("UPDATE event SET hash = {} WHERE sequence = 3", kept.bytes(&[0; 32])));
    let refused = || match register.append(&joe(&world)) {
        Err(Error::Broken { fault: Fault::Chain(at), .. }) => at == Sequence(3),
        Err(_) | Ok(_) => false,
    };
    assert!(refused());
    kept.alter("DELETE FROM side WHERE sequence = 3; DELETE FROM event WHERE sequence = 3");
    assert!(refused(), "one that is gone, too");
    assert_eq!(register.find(joe(&world).id).expect("it reads"), None);
}

fn events_take_no_change_and_an_erased_side_row_is_erased(kept: &Kept) {
    drop(kept.holding(&World::with_people()));
    for sql in ["UPDATE event SET signature = NULL", "DELETE FROM event"] {
        let refused = kept.refusal(sql);
        assert!(refused.contains("append-only") || refused.contains("permission denied"), "{refused}");
    }
    kept.alter("DELETE FROM side WHERE sequence = 3");
    let state = kept.open().state().expect("it verifies");
    assert_eq!(state.staff(JANE).map(|staff| staff.name.as_str()), Some(ERASED));
}

fn what_is_forgotten_is_gone_from_the_state_too(kept: &Kept) {
    let mut world = World::with_people();
    world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer("globex")));
    let register = kept.holding(&world);
    assert_eq!(register.forget(ACME).expect("nobody reads"), 2, "the customer's row and its owner's");
    let sides = register.read_from(Sequence(1)).expect("it reads");
    let there: Vec<u64> = sides.iter().filter(|stored| stored.side.is_some()).map(|stored| stored.sequence.0).collect();
    assert_eq!(there, [3, 4]);
    assert_eq!(register.forget(ACME).expect("nobody reads"), 0, "again: what is left");
    for state in [register.state(), kept.open().state()] {
        let state = state.expect("it verifies");
        assert_eq!(state.customer(ACME).map(|acme| acme.name.as_str()), Some(ERASED));
        assert!(state.customer_named("globex").is_some());
        assert_eq!(state.head(), world.state.head(), "the events are all there");
    }
}

fn a_logs_checkpoint_only_grows(kept: &Kept) {
    let register = kept.open();
    assert_eq!(register.last_checkpoint("proxy-gate-1").expect("it reads"), None);
    register.note_checkpoint("proxy-gate-1", 10, [1; 32]).expect("the first");
    register.note_checkpoint("proxy-gate-1", 10, [1; 32]).expect("the same");
    register.note_checkpoint("proxy-gate-1", 12, [2; 32]).expect("a longer one");
    register.note_checkpoint("portal", 1, [4; 32]).expect("another log");
    let behind = |size, root| match register.note_checkpoint("proxy-gate-1", size, root) {
        Err(Error::LogBehind { found, known, .. }) => (found, known) == (size, 12),
        Ok(()) | Err(_) => false,
    };
    assert!(behind(11, [1; 32]) && behind(12, [3; 32]));
    let remembered = Remembered { size: 12, root: [2; 32] };
    assert_eq!(kept.open().last_checkpoint("proxy-gate-1").expect("it reads"), Some(remembered));
    assert_eq!(register.state().expect("it verifies").sequence(), Sequence(0), "outside the chain");
}

fn an_unused_customer_is_still_a_customer(kept: &Kept) {
    let mut world = World::with_people();
    world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer("globex")));
    let state = kept.holding(&world).state().expect("it verifies");
    assert_eq!(state.customers().map(|customer| customer.name.as_str()).collect::<Vec<_>>(), ["acme", "globex"]);
}

/// What a newer version wrote is not guessed at: a role that does not know an event does not start.
fn an_event_of_a_newer_version_refuses_to_open_and_says_so(kept: &Kept) {
    let world = World::with_people();
    drop(kept.holding(&world));
    let mut event = world.make(By::System, What::CodeMissed { code: CodeId(9) }, None);
    // The last number of the verb's key and value, 40, becomes one that nobody knows.
    let known = event.content.windows(3).position(|bytes| bytes == [0x04, 0x18, 40]).expect("the verb's number");
    event.content[known + 2] = 0xfe;
    event.hash = crate::grant::chain(&world.state.head(), &event.content);
    kept.forge(&event);
    assert_eq!(fault(kept), Fault::Content(Sequence(4)));
    let told = kept.try_open().map(drop).expect_err("it refuses").to_string();
    assert!(told.contains("a newer version of portreeve wrote it") && told.contains("stop every role"), "{told}");
}

fn tables_of_a_newer_version_are_refused(kept: &Kept) {
    drop(kept.holding(&World::with_people()));
    kept.upgrade();
    let told = kept.try_open().map(drop).expect_err("it refuses");
    assert!(matches!(told, Error::NotARegister(_)) && told.to_string().contains("of this version"), "{told}");
    assert!(matches!(kept.follow().map(drop), Err(Error::NotARegister(_))));
}

fn a_change_is_seen_within_100_ms_at_p99(kept: &Kept) {
    let mut world = World::with_people();
    let register = kept.holding(&world);
    let follower = kept.follow().expect("it starts");
    let mut took = Vec::new();
    for round in 0..200 {
        let mode = if round % 2 == 0 { Mode::Standing } else { Mode::Off };
        world.consent(mode, Scope::Read, None);
        let before = Instant::now();
        let sequence = register.append(&newest(&world)).expect("it applies");
        wait_for(|| follower.state().sequence() == sequence);
        took.push(before.elapsed());
        assert_eq!(mode_of(&follower), Some(mode));
    }
    took.sort();
    let p99 = took[took.len() * 99 / 100];
    println!("{}: from before it is appended until it is followed: p99 {p99:?}", register.place());
    assert!(p99 < Duration::from_millis(100), "p99 {p99:?}, slowest {:?}", took.last());
}

/// Where tests wait for a follower's futures.
fn block_on<F: Future>(what: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(what)
}

fn each_change_is_told(kept: &Kept) {
    let mut world = World::with_people();
    let register = kept.holding(&world);
    let follower = kept.follow().expect("it starts");
    let mut changed = follower.changed();
    assert_eq!(*changed.borrow_and_update(), Sequence(3));
    switch(&mut world, &register, Mode::Standing);
    let told = block_on(async { tokio::time::timeout(Duration::from_secs(20), changed.changed()).await });
    assert!(told.expect("in time").is_ok());
    assert_eq!(*changed.borrow_and_update(), Sequence(4));
    assert_eq!(follower.state().sequence(), Sequence(4), "published before it was told");
}

fn whoever_asks_after_a_change_knows_of_it(kept: &Kept) {
    let mut world = World::with_people();
    let register = kept.holding(&world);
    let follower = kept.follow().expect("it starts");
    for round in 0..20 {
        let sequence = switch(&mut world, &register, if round % 2 == 0 { Mode::Standing } else { Mode::Off });
        block_on(follower.caught_up(SystemClock.now(), Duration::from_secs(20)));
        assert_eq!(follower.state().sequence(), sequence);
    }
    let (before, within) = (Instant::now(), Duration::from_millis(50));
    block_on(follower.caught_up(Timestamp(i64::MAX), within));
    assert!((within..Duration::from_secs(20)).contains(&before.elapsed()), "bounded");
}

/// A clock that a test moves.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

fn an_unsigned_widening_stops_the_follower_for_good(kept: &Kept) {
    let mut world = World::with_people();
    drop(kept.holding(&world));
    let clock = Arc::new(Hand(AtomicI64::new(1_000)));
    let follower = kept.follow_by(clock.clone()).expect("it starts");
    clock.0.store(2_000, Ordering::SeqCst);
    wait_for(|| follower.last_read() == Timestamp(2_000));
    world.consent(Mode::Standing, Scope::Write, None);
    kept.forge(&world.events[3]);
    wait_for(|| follower.fault().is_some());
    clock.0.store(9_000_000, Ordering::SeqCst);
    block_on(follower.caught_up(Timestamp(9_000_000), Duration::from_millis(200)));
    assert_eq!(follower.last_read(), Timestamp(2_000), "it ages, so that every decision fails closed");
    assert_eq!(mode_of(&follower), Some(Mode::Off));
    assert!(follower.fault().is_some_and(|fault| fault.contains("carries no signature")), "{:?}", follower.fault());
}

fn one_that_goes_away_ages_and_is_followed_again_when_it_is_back(kept: &Kept) {
    let mut world = World::with_people();
    let register = kept.holding(&world);
    let follower = kept.follow().expect("it starts");
    kept.go_away();
    wait_for(|| follower.fault().is_some());
    let read = follower.last_read();
    block_on(follower.caught_up(SystemClock.now(), Duration::from_millis(200)));
    assert_eq!(follower.last_read(), read, "it ages");
    kept.come_back();
    wait_for(|| follower.fault().is_none() && follower.last_read() > read);
    let sequence = switch(&mut world, &register, Mode::Standing);
    wait_for(|| follower.state().sequence() == sequence);
}

fn an_old_copy_is_refused_with_what_to_do(kept: &Kept) {
    let mut world = World::with_people();
    world.consent(Mode::Off, Scope::Read, None);
    let register = kept.holding(&world);
    register.hold_against(&kept.seen()).expect("it is the first time");
    drop(register);
    kept.alter("DELETE FROM event WHERE sequence = 4");
    let refused = kept.follow().map(drop).expect_err("it is an old copy");
    let text = refused.to_string();
    assert!(matches!(refused, Error::RolledBack { found: Sequence(3), seen: Sequence(4), .. }), "{text}");
    assert!(text.contains("bring back the newest copy"), "{text}");
    assert!(matches!(kept.open().hold_against(&kept.seen()), Err(Error::RolledBack { .. })), "the command line, too");
}

fn another_history_is_refused(kept: &Kept) {
    drop(kept.holding(&World::with_people()));
    let mut other = World::new();
    for name in ["eve", "mallory", "trudy"] {
        other.must(By::Operator, What::StaffCreated, Some(staff(name)));
    }
    // What a role saw of another register, in a file.
    let elsewhere = Kept::file();
    elsewhere.holding(&other).hold_against(&kept.seen()).expect("it is the first time");
    assert!(matches!(kept.follow().map(drop), Err(Error::Different { sequence: Sequence(3), .. })));
    assert!(matches!(kept.open().hold_against(&kept.seen()), Err(Error::Different { .. })));
    std::fs::write(kept.seen(), "garbage\n").expect("it is written");
    assert!(matches!(kept.follow().map(drop), Err(Error::SeenUnreadable(_))));
}

fn what_was_seen_is_kept_at_the_end(kept: &Kept) {
    let mut world = World::with_people();
    let register = kept.holding(&world);
    let follower = kept.follow().expect("it starts");
    let sequence = switch(&mut world, &register, Mode::Off);
    wait_for(|| follower.state().sequence() == sequence);
    drop(follower);
    let seen = super::seen::Seen::read(&kept.seen()).expect("it reads");
    assert_eq!(seen, Some(super::seen::Seen::of(&world.state)));
    drop(kept.follow().expect("it is the same"));
    kept.alter(&format!("UPDATE side SET salt = {} WHERE sequence = 3", kept.bytes(&[0; 32])));
    assert!(matches!(kept.follow().map(drop), Err(Error::Broken { .. })));
}

fn signatures_that_were_seen_are_verified_once_and_the_chain_each_time(kept: &Kept) {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    drop(kept.holding(&world));
    drop(kept.follow().expect("all is verified"));
    let seen = kept.seen();

    // The event, and so its hash, is the one whose signature was verified.
    kept.alter(&format!("UPDATE event SET signature = {} WHERE sequence = 4", kept.bytes(&[0; 64])));
    let follower = kept.follow().expect("what was verified is there");
    assert_eq!(follower.state().customer(ACME).map(|acme| acme.consent.scope), Some(Scope::Read));
    drop(follower);
    let before = std::fs::read(&seen).expect("it is there");
    std::fs::remove_file(&seen).expect("it is removed");
    assert!(matches!(kept.follow().map(drop), Err(Error::Broken { fault: Fault::Signature(Sequence(4)), .. })));
    assert!(!seen.exists(), "nothing was seen that did not verify");

    // Another event there, chained as it should be and not signed, is another history.
    let mut forged = World::with_people();
    forged.consent(Mode::Standing, Scope::Write, None);
    let event = &forged.events[3];
    std::fs::write(&seen, before).expect("it is brought back");
    let (content, hash) = (kept.bytes(&event.content), kept.bytes(&event.hash));
    kept.alter(&format!("UPDATE event SET content = {content}, hash = {hash}, signature = NULL WHERE sequence = 4"));
    assert!(matches!(kept.follow().map(drop), Err(Error::Different { sequence: Sequence(4), .. })));
}
