use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const START: Timestamp = Timestamp(1_795_000_000_000_000);

/// A machine: what its clocks would say so long after the start, and by how much each is wrong.
#[derive(Clone, Copy)]
struct Machine {
    wall: i64,
    database: Option<i64>,
    boot: u8,
    booted: Duration,
}

const RIGHT: Machine = Machine { wall: 0, database: Some(0), boot: 1, booted: Duration::ZERO };

impl Machine {
    fn at(self, passed: Duration) -> Reading {
        let off = |seconds: i64| Timestamp(START.plus(passed).0 + 1_000_000 * seconds);
        Reading {
            wall: off(self.wall),
            since_boot: passed.saturating_sub(self.booted),
            boot: [self.boot; 16],
            database: self.database.map(off),
        }
    }
}

/// A reading each minute, so many of each machine; tells whether it was frozen after each of them.
fn run(machines: &[(Machine, u32)]) -> (Guard, Vec<bool>) {
    let mut guard: Option<Guard> = None;
    let (mut passed, mut frozen) = (Duration::ZERO, Vec::new());
    for (machine, minutes) in machines {
        for _ in 0..*minutes {
            let reading = machine.at(passed);
            let next = guard.map_or_else(|| Guard::first(reading), |guard| guard.after(reading));
            guard = Some(next);
            passed += MINUTE;
        }
        frozen.push(guard.is_some_and(|guard| guard.is_frozen()));
    }
    (guard.expect("a reading"), frozen)
}

/// Each row: what happens, and whether deletions are frozen after each part of it.
#[test]
fn jumps_freeze_and_agreement_releases() {
    let day = 86_400;
    let rebooted = Machine { boot: 2, booted: 10 * MINUTE, ..RIGHT };
    for (what, story, expected) in [
        ("all is well", vec![(RIGHT, 600)], vec![false]),
        (
            "14 days ahead, and stays there",
            vec![(RIGHT, 5), (Machine { wall: 14 * day, ..RIGHT }, 600)],
            vec![false, true],
        ),
        (
            "14 days back, and stays there",
            vec![(RIGHT, 5), (Machine { wall: -14 * day, ..RIGHT }, 600)],
            vec![false, true],
        ),
        (
            "ahead and mended",
            vec![(RIGHT, 5), (Machine { wall: day, ..RIGHT }, 9), (RIGHT, 15), (RIGHT, 2)],
            vec![false, true, true, false],
        ),
        (
            "back and mended",
            vec![(RIGHT, 5), (Machine { wall: -day, ..RIGHT }, 9), (RIGHT, 15), (RIGHT, 2)],
            vec![false, true, true, false],
        ),
        (
            "the wall clock was wrong and is set right: the database confirms it",
            vec![
                (Machine { wall: -900, database: None, ..RIGHT }, 5),
                (Machine { database: Some(0), ..RIGHT }, 15),
                (Machine { database: Some(0), ..RIGHT }, 2),
            ],
            vec![false, true, false],
        ),
        (
            "two minutes are nothing",
            vec![(RIGHT, 5), (Machine { wall: 110, database: Some(0), ..RIGHT }, 60)],
            vec![false, false],
        ),
        (
            "the database is wrong, and then the wall clock, too",
            vec![
                (RIGHT, 5),
                (Machine { database: Some(3600), ..RIGHT }, 20),
                (Machine { wall: 7200, database: Some(3600), ..RIGHT }, 60),
            ],
            vec![false, false, true],
        ),
        (
            "the database is wrong",
            vec![
                (RIGHT, 5),
                (Machine { database: Some(3600), ..RIGHT }, 10),
                (Machine { database: Some(3600), ..RIGHT }, 10),
            ],
            vec![false, true, false],
        ),
        (
            "the database does not answer",
            vec![(RIGHT, 5), (Machine { database: None, ..RIGHT }, 60)],
            vec![false, false],
        ),
        ("a restart, confirmed by the database", vec![(RIGHT, 10), (rebooted, 60)], vec![false, false]),
        (
            "a restart that nobody confirms",
            vec![(RIGHT, 10), (Machine { database: None, ..rebooted }, 60), (rebooted, 17)],
            vec![false, true, false],
        ),
        ("a restart into the past", vec![(RIGHT, 10), (Machine { wall: -day, ..rebooted }, 60)], vec![false, true]),
        ("wrong from the start", vec![(Machine { wall: day, ..RIGHT }, 1)], vec![true]),
    ] {
        assert_eq!(run(&story).1, expected, "{what}");
    }
}

#[test]
fn a_clock_that_creeps_is_noticed() {
    let mut guard = Guard::first(RIGHT.at(Duration::ZERO));
    // A second ahead each minute, the database with it or silent: no reading differs much from the one before.
    for minute in 1..=200_u32 {
        guard = guard.after(Machine { wall: i64::from(minute), database: None, ..RIGHT }.at(minute * MINUTE));
    }
    assert!(guard.is_frozen());
    assert_eq!(guard.frozen.map(|frozen| frozen.doubt), Some(Doubt::Ahead));
}

#[test]
fn what_is_kept_is_read_as_it_was_or_not_at_all() {
    let (frozen, _) = run(&[(RIGHT, 5), (Machine { wall: -3900, ..RIGHT }, 3)]);
    for guard in [Guard::first(RIGHT.at(MINUTE)), frozen] {
        let bytes = guard.to_bytes();
        assert_eq!(Guard::from_bytes(&bytes), Some(guard));
        for end in 0..bytes.len() {
            assert_eq!(Guard::from_bytes(&bytes[..end]), None, "torn at {end}");
        }
        assert_eq!(Guard::from_bytes(&[&bytes[..], &[0]].concat()), None);
    }
    assert_eq!(Guard::from_bytes(b""), None);
}

#[test]
fn a_freeze_has_a_deadline_and_a_person_may_end_it() {
    let (guard, _) = run(&[(RIGHT, 5), (Machine { wall: 3900, ..RIGHT }, 61)]);
    assert!(guard.is_frozen() && !guard.is_alarming(61 * MINUTE) && guard.is_alarming(60 * MINUTE));
    let released = guard.released();
    assert!(!released.is_frozen());
    let later = Machine { wall: 3900, database: None, ..RIGHT }.at(66 * MINUTE);
    assert!(!released.after(later).is_frozen(), "the wall clock is the measure now");
}

proptest! {
    /// Whatever the clocks say: while the wall clock is wrong by more than the tolerance and at least one other is
    /// right, nothing is ever released.
    #[test]
    fn a_wrong_wall_clock_never_deletes(jumps in prop::collection::vec((-2_000_000_i64..2_000_000, 1_u32..40), 1..12)) {
        let mut guard = Guard::first(RIGHT.at(Duration::ZERO));
        let mut passed = Duration::ZERO;
        for (wall, minutes) in jumps {
            for _ in 0..minutes {
                passed += MINUTE;
                guard = Guard::from_bytes(&guard.to_bytes()).expect("as it was kept");
                guard = guard.after(Machine { wall, ..RIGHT }.at(passed));
                prop_assert!(guard.is_frozen() || wall.abs() <= 125, "{wall} s wrong");
            }
        }
    }
}

#[test]
fn snapshots_go_by_what_two_of_three_say() {
    let hour = Duration::from_secs(3600);
    let guard = Guard::first(RIGHT.at(Duration::ZERO));
    for (what, machine, agreed) in [
        ("all agree", RIGHT, 0),
        ("the wall clock is ahead", Machine { wall: 90_000, ..RIGHT }, 0),
        ("the wall clock is behind", Machine { wall: -90_000, ..RIGHT }, 0),
        ("the database is wrong", Machine { database: Some(90_000), ..RIGHT }, 0),
        ("all three differ", Machine { wall: 90_000, database: Some(-90_000), ..RIGHT }, 90_000),
        ("nobody else speaks", Machine { wall: 90_000, database: None, ..RIGHT }, 90_000),
        ("after a restart", Machine { wall: 90_000, boot: 2, booted: hour, ..RIGHT }, 90_000),
    ] {
        let expected = Timestamp(START.plus(hour).0 + 1_000_000 * agreed);
        assert_eq!(guard.after(machine.at(hour)).agreed(), expected, "{what}");
    }
}

#[test]
fn a_clock_that_says_less_than_was_trusted_is_behind() {
    let (guard, _) = run(&[(RIGHT, 10)]);
    let last = START.plus(9 * MINUTE);
    for (now, is_behind) in [
        (last, false),
        (last.plus(MINUTE), false),
        (Timestamp(last.plus(MINUTE).0 - 180_000_000), false),
        (START, true),
    ] {
        assert_eq!(guard.is_behind(now), is_behind, "{now}");
    }
}
