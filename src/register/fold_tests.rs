use std::sync::Arc;

use crate::clock::SystemClock;
use crate::grant::story::{GLOBEX, all_of, end, invited, people};
use crate::grant::world::{ACME, OLGA, World, trust};
use crate::grant::{By, INVITED_FOR, What};
use crate::ids::{OwnerId, Sequence};
use crate::register::Follower;
use crate::register::kept::{Kept, proposal};

/// Acme invites otto, again in its place, and takes that back; then globex may invite them, and acme comes to its end. The
/// number of events before the second invitation.
fn invited_elsewhere() -> (World, usize) {
    let mut world = people(0);
    let ends = world.now.plus(INVITED_FOR);
    let to = |customer| What::OwnerInvited { customer, ends };
    let otto = |code| Some(invited("otto@acme.example", code));
    world.must(By::Owner(OLGA), to(ACME), otto(1));
    let before = world.events.len();
    let second = world.must(By::Owner(OLGA), to(ACME), otto(2));
    world.must(By::Owner(OLGA), What::OwnerUninvited { invitation: OwnerId(second.0) }, None);
    world.must(By::Owner(OwnerId(6)), to(GLOBEX), otto(3));
    end(&mut world);
    (world, before)
}

/// A process that sleeps over it knows the first invitation, and not that the second took its place.
#[test]
fn whoever_slept_over_what_was_forgotten_wakes_up_to_what_everybody_knows() {
    let (world, before) = invited_elsewhere();
    let (first, late) = world.events.split_at(before);
    let kept = Kept::file();
    let asleep = kept.holding(&World { events: first.to_vec(), ..World::default() });
    let (writer, early) = (kept.open(), asleep.state().expect("it is whole"));
    for event in late {
        writer.append(&proposal(event.clone())).expect("it applies");
    }
    assert!(writer.forget(ACME).expect("nobody reads") > 0);
    assert_eq!(asleep.read_from(Sequence(1)).expect("it reads")[before].side, None);
    let (woken, fresh) = (asleep.state().expect("it is whole"), kept.open().state().expect("it is whole"));
    assert_eq!(all_of(&woken), all_of(&fresh));
    // Nor does it keep anybody from following it.
    let started = Follower::start_behind(early, kept.at.clone(), trust(), &kept.seen(), Arc::new(SystemClock));
    assert_eq!(all_of(&started.expect("it starts").state()), all_of(&fresh));
}
