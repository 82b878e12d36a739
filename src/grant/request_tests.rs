use super::*;
use crate::grant::What;
use crate::grant::world::{JANE, OLGA, World, minutes, said};

/// What a request stands at so many minutes after it was opened at noon; it must begin within a day.
fn at(world: &World, id: RequestId, minute: i64) -> &'static str {
    world.state.request(id).expect("it was opened").status(minutes(minute)).word()
}

#[test]
fn silence_is_no_after_twelve_hours() {
    let mut world = World::asked();
    let id = world.open(Scope::Read, 60);
    assert_eq!((at(&world, id, 0), at(&world, id, 719), at(&world, id, 720)), ("open", "open", "unanswered"));
    world.now = minutes(700);
    let back = What::Request { request: id, step: RequestStep::AskedBack };
    world.must(By::Owner(OLGA), back, said("which invoices?"));
    assert_eq!((at(&world, id, 720), at(&world, id, 1419)), ("asked-back", "asked-back"));
    assert_eq!(at(&world, id, 1420), "unanswered", "the staff member's silence is no as well");
    world.now = minutes(710);
    world.must(By::Staff(JANE), What::Request { request: id, step: RequestStep::Answered }, said("those of May"));
    assert_eq!((at(&world, id, 1429), at(&world, id, 1430)), ("open", "unanswered"));
    assert_eq!(at(&world, id, 1440), "too-late", "the latest beginning outlasts any talk");
}

#[test]
fn owners_are_reminded_after_one_hour_and_after_six() {
    let mut world = World::asked();
    let id = world.open(Scope::Read, 60);
    let numbers = |world: &World, minute: i64| -> Vec<usize> {
        due(&world.state, minutes(minute)).iter().map(|reminder| reminder.number).collect()
    };
    for (minute, due) in [(59, vec![]), (60, vec![1]), (359, vec![1]), (360, vec![1, 2]), (720, vec![]), (1440, vec![])]
    {
        assert_eq!(numbers(&world, minute), due, "after {minute} minutes");
    }
    world.now = minutes(30);
    world.must(By::Owner(OLGA), What::Request { request: id, step: RequestStep::AskedBack }, said("which invoices?"));
    assert_eq!(numbers(&world, 400), [0; 0], "it waits for staff, not for owners");
    world.now = minutes(100);
    world.must(By::Staff(JANE), What::Request { request: id, step: RequestStep::Answered }, said("those of May"));
    assert_eq!(
        (numbers(&world, 159), numbers(&world, 160)),
        (vec![], vec![1]),
        "the clock begins anew with the answer"
    );
    world.must(By::Owner(OLGA), What::Request { request: id, step: RequestStep::Denied }, None);
    assert_eq!(numbers(&world, 400), [0; 0]);
}
