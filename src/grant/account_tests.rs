use std::collections::BTreeMap;

use super::*;
use crate::grant::event::tests::every_account_step;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, ask, customer, issue, minutes, owner, reason, staff, trust};
use crate::grant::{
    Choice, Decision, Erasure, Fault, Layout, Limits, Locks, People, RecordPart, Scope, SnapshotRule, StaffStep, Stage,
    Stored, What, apply, decide,
};
use crate::ids::OwnerId;

const OWNER: By = By::Owner(OLGA);
const PLAN: [u8; 32] = [3; 32];

fn step(step: AccountStep) -> What {
    What::Account { customer: ACME, step }
}

fn reach(stage: Stage) -> AccountStep {
    AccountStep::Reached { stage, digest: None, count: None }
}

fn hold_texts() -> Personal {
    Personal { authority: Some("district court, 12-345".to_owned()), ..reason() }
}

impl World {
    fn account(&mut self, by: By, account: AccountStep) {
        self.must(by, step(account), None);
    }

    fn refused(&self, by: By, account: AccountStep) -> Option<Fault> {
        self.clone().try_to(by, step(account), None).err()
    }

    /// acme closed at noon and gone on with until that stage, as a whole life goes.
    fn closed_until(stage: Stage) -> World {
        let mut world = World::with_people();
        for (_, by, account) in LIFE.iter().take_while(|(at, ..)| *at <= stage) {
            world.account(*by, *account);
        }
        world
    }
}

/// A whole closing, each step with the stage it belongs to.
const LIFE: [(Stage, By, AccountStep); 20] = {
    const fn reached(stage: Stage) -> (Stage, By, AccountStep) {
        (stage, By::System, AccountStep::Reached { stage, digest: None, count: None })
    }
    let export = ExportId(5);
    [
        (Stage::Closed, OWNER, AccountStep::Closed),
        (Stage::Archived, By::System, AccountStep::ExportRequested),
        (Stage::Archived, By::System, AccountStep::Exported { export, bytes: 7, digest: [1; 32] }),
        reached(Stage::Archived),
        (Stage::Choice, OWNER, AccountStep::Chosen { choice: Choice::Return }),
        reached(Stage::Choice),
        (Stage::Planned, By::System, AccountStep::PurgePlanned { digest: PLAN }),
        reached(Stage::Planned),
        (Stage::Purging, By::System, AccountStep::PurgeBegun { digest: PLAN }),
        reached(Stage::Purging),
        (Stage::LiveClean, By::System, AccountStep::PurgeVerified { rows: 12, level: 2 }),
        (Stage::LiveClean, By::System, AccountStep::PurgeRechecked { rows: 0 }),
        reached(Stage::LiveClean),
        reached(Stage::BackupsClean),
        (Stage::ArchiveDestroyed, By::System, AccountStep::ExportDestroyed { export }),
        reached(Stage::ArchiveDestroyed),
        (Stage::LogsClean, By::System, AccountStep::ErasureBegun { part: RecordPart::Values }),
        (Stage::LogsClean, By::System, AccountStep::ErasureDone { part: RecordPart::Values, keys: 2 }),
        (Stage::LogsClean, By::System, AccountStep::ErasureBegun { part: RecordPart::Skeleton }),
        (Stage::LogsClean, By::System, AccountStep::ErasureDone { part: RecordPart::Skeleton, keys: 2 }),
    ]
};

#[test]
fn a_closing_goes_through_every_stage_once_and_leaves_none_out() {
    let mut world = World::closed_until(Stage::LogsClean);
    world.account(By::System, reach(Stage::LogsClean));
    let closure = world.state.customer(ACME).and_then(|customer| customer.closure.clone()).expect("closed");
    let reached: Vec<Stage> = closure.reached.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(reached, Stage::ALL);
    assert!(matches!(closure.skeleton, Erasure::Done { keys: 2, .. }));
    for stage in Stage::ALL.iter().copied() {
        let world = World::closed_until(stage);
        for wanted in Stage::ALL.iter().copied() {
            let at = world.state.customer(ACME).and_then(|customer| customer.closure.as_ref()).map(Closure::stage);
            let at = at.expect("closed");
            let next = Stage::ALL.iter().copied().find(|next| *next > at) == Some(wanted);
            let refused = world.refused(By::System, reach(wanted));
            let out_of_order = matches!(refused, Some(Fault::Rule(Rule::Closure(ClosureRule::OutOfOrder { .. }))));
            assert_eq!(out_of_order, !next, "{wanted} after {at}: {refused:?}");
        }
    }
}

/// What a step needs is named where it was left out.
#[test]
fn a_step_whose_ground_was_left_out_is_refused_by_its_name() {
    let part = RecordPart::Skeleton;
    let cases = [
        (reach(Stage::Choice), "choice"),
        (AccountStep::PurgePlanned { digest: PLAN }, "purge.planned"),
        (AccountStep::PurgeBegun { digest: PLAN }, "purge.begun"),
        (AccountStep::PurgeVerified { rows: 12, level: 2 }, "purge.verified"),
        (AccountStep::ErasureDone { part, keys: 2 }, "erasure.skeleton.done"),
    ];
    for (left_out, first) in cases {
        let mut world = World::with_people();
        let end = (Stage::LogsClean, By::System, reach(Stage::LogsClean));
        let life = LIFE.into_iter().chain([end]).filter(|(.., step)| *step != left_out);
        let refused = life.map(|(_, by, account)| world.try_to(by, step(account), None)).find_map(Result::err);
        assert_eq!(refused, Some(Rule::from(ClosureRule::First(first)).into()), "without {left_out:?}");
    }
}

#[test]
fn a_stage_says_when_it_was_reached_and_a_hold_keeps_what_is_known_to_the_end() {
    let mut world = World::closed_until(Stage::LogsClean);
    let reached = |world: &World, stage| {
        let closure = world.state.customer(ACME).and_then(|customer| customer.closure.as_ref());
        closure.and_then(|closure| closure.reached_at(stage))
    };
    assert_eq!([Stage::Choice, Stage::LogsClean].map(|stage| reached(&world, stage)), [Some(NOON), None]);
    world.account(By::System, reach(Stage::LogsClean));
    assert_eq!(reached(&world, Stage::LogsClean), Some(NOON));
    let place = What::HoldPlaced { customer: ACME, review: minutes(60) };
    let hold = HoldId(world.must(By::Operator, place, Some(hold_texts())).0);
    let forgotten = AccountStep::Forgotten { rows: 3 };
    assert_eq!(world.refused(By::System, forgotten), Some(Rule::from(ClosureRule::Held).into()));
    world.must(By::Operator, What::HoldReleased { hold }, Some(hold_texts()));
    world.account(By::System, forgotten);
}

/// Each step of each life is refused to whoever may not do it, and leaves nothing behind.
#[test]
fn each_step_is_somebodys_and_nobody_elses() {
    let allowed = |step: AccountStep| -> &[&str] {
        match step {
            AccountStep::Closed => &["owner", "operator"],
            AccountStep::Reopened | AccountStep::Chosen { .. } | AccountStep::Immediate => &["owner"],
            AccountStep::ExportRequested => &["owner", "system"],
            AccountStep::PurgeApproved { .. } => &["staff", "operator"],
            AccountStep::Reached { .. }
            | AccountStep::PurgePlanned { .. }
            | AccountStep::PurgeHeld { .. }
            | AccountStep::PurgeBegun { .. }
            | AccountStep::PurgeReplanned { .. }
            | AccountStep::PurgeVerified { .. }
            | AccountStep::PurgeRechecked { .. }
            | AccountStep::Exported { .. }
            | AccountStep::ExportDestroyed { .. }
            | AccountStep::ErasureBegun { .. }
            | AccountStep::ErasureDone { .. }
            | AccountStep::Forgotten { .. } => &["system"],
        }
    };
    let mut may: BTreeMap<&str, usize> = BTreeMap::new();
    for stage in Stage::ALL.iter().copied() {
        let world = World::closed_until(stage);
        for wanted in every_account_step() {
            for by in [OWNER, By::Staff(JANE), By::VendorApp, By::Operator, By::System] {
                let refused = world.refused(by, wanted);
                let not_yours =
                    matches!(refused, Some(Fault::Rule(Rule::NotYours { .. } | Rule::OnlyOwnerReopens { .. })));
                assert_eq!(not_yours, !allowed(wanted).contains(&by.word()), "{} by {by}: {refused:?}", wanted.verb());
                let is_approval = matches!(wanted, AccountStep::PurgeApproved { .. });
                *may.entry(by.word()).or_default() += usize::from(refused.is_none() && !is_approval);
            }
        }
    }
    assert!(may.get("staff").copied() == Some(0) && may.get("vendor-app").copied() == Some(0), "{may:?}");
    assert!(may.get("owner").copied() > Some(0) && may.get("system").copied() > Some(0), "{may:?}");
}

#[test]
fn closing_ends_access_at_once_and_for_good() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Write, None);
    let grant = world.grant(Scope::Read, minutes(60));
    let locks = Locks::default();
    let code = |world: &World, grant| match decide(
        &world.state,
        &crate::grant::Ask { grant, ..ask(NOON, &locks) },
        &Limits::default(),
        NOON,
    ) {
        Decision::Allow(_) => "allowed".to_owned(),
        Decision::Refuse(refusal) => format!("{} {}", refusal.code(), refusal.message(&world.state)),
    };
    assert_eq!(code(&world, Some(grant)), "allowed");
    assert!(step(AccountStep::Closed).narrows(&world.state, NOON));
    world.account(By::Operator, AccountStep::Closed);
    let refused = "customer-closed,grant-ended no access to customer \"acme\": customer closed";
    assert_eq!(code(&world, Some(grant)), refused);
    assert_eq!(code(&world, None), refused);
    for (by, what, personal) in [
        (OWNER, What::ConsentSet { customer: ACME, mode: Mode::Standing, scope: Scope::Read, until: None }, None),
        (By::Staff(JANE), issue(Scope::Read, minutes(60)), Some(reason())),
    ] {
        let refused = world.clone().try_to(by, what, personal).err();
        assert_eq!(refused, Some(Rule::from(ClosureRule::AccessClosed(NOON)).into()), "{}", what.verb());
    }
    let mut lifted = Locks::default();
    lifted.place(crate::grant::Lock::Customer(ACME), Sequence(5));
    assert_eq!(
        lifted.lift_confirmed(&world.state),
        [crate::grant::Lock::Customer(ACME)],
        "the register says it itself"
    );
    assert_eq!((world.state.sealed_for(ACME), world.state.sealed_to().count()), (None, 0), "records go to the vendor");
    assert_eq!(world.refused(By::Operator, AccountStep::Closed), Some(Rule::from(ClosureRule::Closed(NOON)).into()));
    // Reopened, access is still off: only the owner's switch lets anybody in.
    world.account(OWNER, AccountStep::Reopened);
    assert!(code(&world, None).starts_with("consent-off,grant-ended"), "{}", code(&world, None));
    assert_eq!(world.state.sealed_for(ACME), Some(ACME));
}

#[test]
fn only_an_owner_reopens_with_the_portals_signature_and_only_until_rows_go() {
    for stage in Stage::ALL.iter().copied() {
        let world = World::closed_until(stage);
        let refused = world.refused(OWNER, AccountStep::Reopened);
        assert_eq!(refused.is_none(), stage < Stage::Purging, "{stage}: {refused:?}");
        let operator = world.refused(By::Operator, AccountStep::Reopened);
        assert_eq!(operator, Some(Rule::OnlyOwnerReopens { customer: ACME }.into()));
    }
    let mut world = World::closed_until(Stage::Closed);
    let unsigned = Stored { signature: None, ..world.make(OWNER, step(AccountStep::Reopened), None) };
    let sequence = unsigned.sequence;
    assert_eq!(apply(&mut world.state, &unsigned, &trust()), Err(Fault::Unsigned(sequence)));
    // Another customer's owner signs in vain.
    let what = What::CustomerCreated { layout: Layout::Database };
    let globex = CustomerId(world.must(By::Operator, what, Some(customer("globex"))).0);
    let otto = OwnerId(world.must(By::Operator, What::OwnerCreated { customer: globex }, Some(owner("otto2"))).0);
    for account in [AccountStep::Reopened, AccountStep::Immediate, AccountStep::ExportRequested] {
        let refused = Rule::NotOwner { owner: otto, customer: ACME };
        assert_eq!(world.refused(By::Owner(otto), account), Some(refused.into()));
    }
}

#[test]
fn erasing_keys_ends_reopening_and_goes_values_first() {
    let mut world = World::closed_until(Stage::Closed);
    let (values, skeleton) = (RecordPart::Values, RecordPart::Skeleton);
    let first = world.refused(By::System, AccountStep::ErasureBegun { part: skeleton });
    assert_eq!(first, Some(Rule::from(ClosureRule::First("erasure.values.done")).into()));
    assert!(world.refused(By::System, AccountStep::ErasureDone { part: values, keys: 0 }).is_some());
    assert_eq!(world.state.forgotten().count(), 0);
    world.account(By::System, AccountStep::ErasureBegun { part: values });
    assert_eq!(world.state.forgotten().collect::<Vec<_>>(), [ACME]);
    assert!(world.refused(By::System, AccountStep::ErasureBegun { part: values }).is_some());
    let reopened = world.refused(OWNER, AccountStep::Reopened);
    assert_eq!(reopened, Some(Rule::from(ClosureRule::ErasureBegun(NOON)).into()));
    world.account(By::System, AccountStep::ErasureDone { part: values, keys: 3 });
    assert!(world.refused(By::System, AccountStep::ErasureDone { part: values, keys: 3 }).is_some());
    world.account(By::System, AccountStep::ErasureBegun { part: skeleton });
}

#[test]
fn a_hold_keeps_exports_and_audit_keys_and_outranks_immediate_removal() {
    let mut world = World::closed_until(Stage::BackupsClean);
    let place = What::HoldPlaced { customer: ACME, review: minutes(60) };
    for by in [OWNER, By::System, By::Staff(JANE), By::VendorApp] {
        let refused = world.clone().try_to(by, place, Some(hold_texts()));
        assert!(matches!(refused, Err(Fault::Rule(Rule::NotYours { .. }))), "{by}: {refused:?}");
    }
    let past = What::HoldPlaced { customer: ACME, review: NOON };
    assert!(world.clone().try_to(By::Operator, past, Some(hold_texts())).is_err(), "reviewed before it begins");
    assert!(world.clone().try_to(By::Operator, place, Some(reason())).is_err(), "without an authority");
    let hold = HoldId(world.must(By::Operator, place, Some(hold_texts())).0);
    let held = Some(Rule::from(ClosureRule::Held).into());
    assert_eq!(world.refused(By::System, reach(Stage::ArchiveDestroyed)), held);
    assert_eq!(world.refused(By::System, AccountStep::ErasureBegun { part: RecordPart::Values }), held);
    assert_eq!(world.refused(OWNER, AccountStep::Immediate), held);
    let release = What::HoldReleased { hold };
    world.must(By::Operator, release, Some(hold_texts()));
    assert!(world.clone().try_to(By::Operator, release, Some(hold_texts())).is_err(), "released twice");
    assert_eq!(world.refused(OWNER, AccountStep::Immediate), None);
    // Live rows and snapshots go on time under a hold.
    let mut world = World::closed_until(Stage::Planned);
    world.must(By::Operator, place, Some(hold_texts()));
    for account in [
        AccountStep::PurgeBegun { digest: PLAN },
        reach(Stage::Purging),
        AccountStep::PurgeVerified { rows: 1, level: 1 },
        reach(Stage::LiveClean),
        reach(Stage::BackupsClean),
    ] {
        world.account(By::System, account);
    }
}

#[test]
fn an_export_that_is_left_keeps_the_archive_from_being_called_destroyed() {
    let mut world = World::closed_until(Stage::BackupsClean);
    let left = world.refused(By::System, reach(Stage::ArchiveDestroyed));
    assert_eq!(left, Some(Rule::from(ClosureRule::ExportLeft(ExportId(5))).into()));
    let again = AccountStep::Exported { export: ExportId(5), bytes: 1, digest: [0; 32] };
    assert_eq!(world.refused(By::System, again), Some(Rule::from(ClosureRule::Again(NOON)).into()));
    let other = AccountStep::ExportDestroyed { export: ExportId(6) };
    assert_eq!(world.refused(By::System, other), Some(Rule::from(ClosureRule::NoExport(ExportId(6))).into()));
    let gone = AccountStep::ExportDestroyed { export: ExportId(5) };
    world.account(By::System, gone);
    assert_eq!(world.refused(By::System, gone), Some(Rule::from(ClosureRule::NoExport(ExportId(5))).into()));
    world.account(By::System, reach(Stage::ArchiveDestroyed));
    // The owner of an account that is open takes the data home at any time; the system does not by itself.
    let mut world = World::with_people();
    let system = world.refused(By::System, AccountStep::ExportRequested);
    assert!(matches!(system, Some(Fault::Rule(Rule::NotYours { .. }))), "{system:?}");
    world.account(OWNER, AccountStep::ExportRequested);
    assert_eq!(world.state.exports_of(ACME).map(|export| export.id).collect::<Vec<_>>(), [ExportId(4)]);
}

#[test]
fn a_plan_that_is_not_the_last_recorded_is_not_carried_out() {
    let mut world = World::closed_until(Stage::Planned);
    let other = AccountStep::PurgeBegun { digest: [9; 32] };
    assert_eq!(world.refused(By::System, other), Some(Rule::from(ClosureRule::OtherPlan).into()));
    world.account(By::System, AccountStep::PurgePlanned { digest: [9; 32] });
    assert_eq!(world.refused(By::System, other), None);
    let old = AccountStep::PurgeBegun { digest: PLAN };
    assert_eq!(world.refused(By::System, old), Some(Rule::from(ClosureRule::OtherPlan).into()));
}

/// Two people approve, and both must still work here when it begins.
#[test]
fn who_is_suspended_or_gone_approves_no_purge() {
    let mut world = World::closed_until(Stage::Planned);
    let joe = StaffId(world.must(By::Operator, What::StaffCreated, Some(staff("joe"))).0);
    world.account(By::System, AccountStep::PurgeHeld { digest: PLAN, people: People::Two });
    let (approve, begin) = (AccountStep::PurgeApproved { digest: PLAN }, AccountStep::PurgeBegun { digest: PLAN });
    let unapproved = Some(Rule::from(ClosureRule::Unapproved).into());
    let suspend = What::Staff { staff: JANE, step: StaffStep::Suspended };
    let mut suspended = world.clone();
    suspended.must(By::Operator, suspend, None);
    assert_eq!(suspended.refused(By::Staff(JANE), approve), Some(Rule::Suspended(JANE).into()));
    world.account(By::Staff(JANE), approve);
    let mut alone = world.clone();
    alone.must(By::Operator, suspend, None);
    alone.account(By::Staff(joe), approve);
    assert_eq!(alone.refused(By::System, begin), unapproved, "hers was the only word, and is taken back");
    world.account(By::Staff(joe), approve);
    assert_eq!(world.refused(By::System, begin), None, "both work here");
    for leave in [suspend, What::StaffRemoved { staff: JANE }] {
        let mut left = world.clone();
        left.must(By::Operator, leave, None);
        assert_eq!(left.refused(By::System, begin), unapproved, "{}", leave.verb());
        let ann = StaffId(left.must(By::Operator, What::StaffCreated, Some(staff("ann"))).0);
        assert!(left.refused(By::Staff(joe), approve).is_some(), "joe's word stands, and counts once");
        left.account(By::Staff(ann), approve);
        assert_eq!(left.refused(By::System, begin), None);
    }
    world.account(By::System, begin);
    world.must(By::Operator, suspend, None);
    let purge = world.state.customer(ACME).and_then(|acme| acme.closure.as_ref()).expect("it is closed").purge;
    assert!(purge.is_approved(People::Two), "what was begun stays as it was approved");
}

/// Each row: what is known of a snapshot, and which steps may follow.
#[test]
fn a_snapshot_is_begun_ends_somehow_and_is_deleted_in_two_steps() {
    let id = SnapshotId([1; 16]);
    let (started, confirmed) = (NOON, NOON);
    let steps = [
        SnapshotStep::Begun { backend: 1, started },
        SnapshotStep::Adopted { backend: 1, started, bytes: 1 },
        SnapshotStep::Verified { bytes: 2 },
        SnapshotStep::Failed,
        SnapshotStep::Expiring,
        SnapshotStep::Deleted { confirmed },
    ];
    let table: [(&[usize], &str); 7] = [
        (&[], "BA...."),
        (&[0], "..VFE."),
        (&[1], "....E."),
        (&[0, 2], "....E."),
        (&[0, 3], "....E."),
        (&[0, 4], ".....D"),
        (&[0, 4, 5], "......"),
    ];
    for (before, expected) in table {
        let mut world = World::new();
        for index in before {
            world.must(By::System, What::Snapshot { snapshot: id, step: steps[*index] }, None);
        }
        let may: String = steps
            .iter()
            .zip("BAVFED".chars())
            .map(|(step, letter)| {
                let what = What::Snapshot { snapshot: id, step: *step };
                if world.clone().try_to(By::System, what, None).is_ok() { letter } else { '.' }
            })
            .collect();
        assert_eq!(may, expected, "after {before:?}");
        let operator = What::Snapshot { snapshot: SnapshotId([2; 16]), step: steps[0] };
        assert!(world.clone().try_to(By::Operator, operator, None).is_err(), "an operator takes none");
    }
    let ahead = SnapshotStep::Adopted { backend: 1, started: minutes(1), bytes: 1 };
    let ahead = What::Snapshot { snapshot: id, step: ahead };
    let refused = World::new().try_to(By::Operator, ahead, None).err();
    assert_eq!(refused, Some(Rule::from(SnapshotRule::NotYet(minutes(1))).into()));
}
