use super::*;
use crate::audit::keys::Part;
use crate::grant::world::{ACME, World};
use crate::grant::{AccountStep, By, What};

/// acme, closed, with these steps behind it.
fn closed(steps: &[AccountStep]) -> World {
    let mut world = World::with_people();
    world.must(By::Operator, What::Account { customer: ACME, step: AccountStep::Closed }, None);
    for step in steps {
        world.must(By::System, What::Account { customer: ACME, step: *step }, None);
    }
    world
}

const BEGUN: AccountStep = AccountStep::ErasureBegun { part: RecordPart::Values };
const DONE: AccountStep = AccountStep::ErasureDone { part: RecordPart::Values, keys: 1 };

fn destroyed(parts: &[(CustomerId, Part)]) -> Recipients {
    let known = Recipients::new();
    parts.iter().for_each(|(customer, part)| known.set_erased(Recipient::Customer(*customer), *part, None));
    known
}

/// Each row: what the register says of the values, what the keyring destroyed, whether that is under way, whether an old
/// keyring was brought back.
#[test]
fn what_the_keyring_destroyed_is_not_under_way_and_what_it_forgot_was_brought_back() {
    let values = (ACME, Part::Values);
    for (what, steps, gone, is_under_way, is_old) in [
        ("kept", vec![], vec![], false, false),
        ("begun", vec![BEGUN], vec![], true, false),
        ("begun, and the other part is gone", vec![BEGUN], vec![(ACME, Part::Skeleton)], true, false),
        ("begun, and another's is gone", vec![BEGUN], vec![(CustomerId(99), Part::Values)], true, false),
        ("begun and carried out", vec![BEGUN], vec![values], false, false),
        ("done", vec![BEGUN, DONE], vec![values], false, false),
        ("done, and the keyring does not know of it", vec![BEGUN, DONE], vec![], false, true),
    ] {
        let (world, known) = (closed(&steps), destroyed(&gone));
        let found = brought_back(&world.state, &known);
        assert_eq!((!under_way(&world.state, &known).is_empty(), !found.is_empty()), (is_under_way, is_old), "{what}");
        for (log, finding) in found {
            assert_eq!((log.as_str(), finding.verdict), ("keyring", Verdict::RolledBack), "{finding}");
            assert!(
                finding.place == ACME.to_string() && finding.detail.contains("the keys of the values"),
                "{finding}"
            );
        }
    }
}

#[test]
fn what_is_under_way_is_known_by_the_notices_of_its_own_erasure() {
    let world = closed(&[BEGUN]);
    let closure = world.state.customer(ACME).and_then(|acme| acme.closure.as_ref()).expect("closed");
    let Erasure::Begun { event, .. } = closure.values else { panic!("{:?}", closure.values) };
    assert_eq!(under_way(&world.state, &destroyed(&[])), BTreeSet::from([Notice::id_of(event)]));
}
