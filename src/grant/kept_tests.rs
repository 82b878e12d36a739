use super::*;
use crate::grant::world::{NOON, World, minutes};
use crate::grant::{Fault, What};

const ID: SnapshotId = SnapshotId([1; 16]);
const BEGUN: SnapshotStep = SnapshotStep::Begun { backend: 1, started: NOON };
const VERIFIED: SnapshotStep = SnapshotStep::Verified { bytes: 7 };
const ADOPTED: SnapshotStep = SnapshotStep::Adopted { backend: 2, started: NOON, bytes: 5 };
const DELETED: SnapshotStep = SnapshotStep::Deleted { confirmed: NOON };

fn take(world: &mut World, step: SnapshotStep) -> Result<Sequence, Fault> {
    world.try_to(By::System, What::Snapshot { snapshot: ID, step }, None)
}

/// Each row: what happened to it in turn; how it stands then, its size, and whether anything of it may be left.
#[test]
fn a_snapshot_says_how_it_stands_and_keeps_its_size_until_it_is_gone() {
    let rows: [(&[SnapshotStep], &str, Option<u64>, bool); 8] = [
        (&[BEGUN], "begun", None, true),
        (&[BEGUN, VERIFIED], "verified", Some(7), true),
        (&[BEGUN, SnapshotStep::Failed], "failed", None, true),
        (&[ADOPTED], "adopted", Some(5), true),
        (&[BEGUN, VERIFIED, SnapshotStep::Expiring], "expiring", Some(7), true),
        (&[BEGUN, VERIFIED, SnapshotStep::Expiring, DELETED], "deleted", Some(7), false),
        (&[ADOPTED, SnapshotStep::Expiring, DELETED], "deleted", Some(5), false),
        (&[BEGUN, SnapshotStep::Expiring, DELETED], "deleted", None, false),
    ];
    for (steps, word, bytes, may_exist) in rows {
        let mut world = World::new();
        for step in steps {
            take(&mut world, *step).expect("it follows");
        }
        let snapshot = world.state.snapshot(ID).expect("it is in the catalog");
        let found = (snapshot.status.word(), snapshot.bytes, snapshot.may_exist());
        assert_eq!(found, (word, bytes, may_exist), "{steps:?}");
        assert_eq!((snapshot.sequence, snapshot.started), (Sequence(1), NOON), "{steps:?}");
    }
}

#[test]
fn what_does_not_follow_is_refused_by_its_name() {
    let mut world = World::new();
    take(&mut world, BEGUN).expect("the first");
    take(&mut world, SnapshotStep::Failed).expect("it failed");
    let refused = take(&mut world, VERIFIED).expect_err("what failed is not whole");
    assert_eq!(refused.to_string(), format!("snapshot.verified does not follow: snapshot {ID} is failed"));
    take(&mut world, SnapshotStep::Expiring).expect("whatever of it is there goes");
    let soon = SnapshotStep::Deleted { confirmed: minutes(1) };
    let refused = take(&mut world, soon).expect_err("nobody has seen that yet");
    assert_eq!(refused, Fault::Rule(SnapshotRule::NotYet(minutes(1)).into()));
    take(&mut world, DELETED).expect("it is gone as of now");
}
