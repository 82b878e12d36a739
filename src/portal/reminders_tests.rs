use super::*;
use crate::grant::Scope;
use crate::grant::world::{World, minutes};

#[test]
fn each_reminder_is_told_once() {
    let mut world = World::asked();
    world.open(Scope::Read, 60);
    let mut told = BTreeSet::new();
    let mut numbers = |minute| -> Vec<usize> {
        fresh(&mut told, due(&world.state, minutes(minute))).iter().map(|reminder| reminder.number).collect()
    };
    let each = [30, 60, 61, 359, 360, 361, 720].map(&mut numbers);
    assert_eq!(each, [vec![], vec![1], vec![], vec![], vec![2], vec![], vec![]]);
}
