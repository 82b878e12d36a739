use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, customer, issue, minutes, open, owner, reason, wish};
use crate::grant::{AccountStep, Mode, Personal, RecordPart, SnapshotStep, What};

const GLOBEX: CustomerId = CustomerId(4);
const GAIL: OwnerId = OwnerId(5);

/// acme (c1) with olga, jane (s3), globex (c4) with gail (o5).
fn world() -> World {
    let mut world = World::with_people();
    let what = What::CustomerCreated { layout: Layout::Database };
    world.must(By::Operator, what, Some(customer("globex")));
    world.must(By::Operator, What::OwnerCreated { customer: GLOBEX }, Some(owner("gail-of-globex")));
    world
}

fn switch(world: &mut World, owner: OwnerId, customer: CustomerId, mode: Mode) {
    let what = What::ConsentSet { customer, mode, scope: Scope::Read, until: None };
    world.must(By::Owner(owner), what, None);
}

/// The same, of globex.
fn of_globex(what: What) -> What {
    match what {
        What::GrantIssued { staff, scope, ends, purpose, .. } => {
            What::GrantIssued { staff, customer: GLOBEX, scope, ends, purpose }
        }
        What::RequestOpened { staff, scope, lasting, start_by, purpose, channel, .. } => {
            What::RequestOpened { staff, customer: GLOBEX, scope, lasting, start_by, purpose, channel }
        }
        other => other,
    }
}

#[test]
fn people_are_listed_oldest_first_and_found_by_what_they_are_called() {
    let mut world = world();
    world.must(By::Operator, What::OwnerRemoved { owner: OLGA }, None);
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    let state = &world.state;
    assert_eq!(state.customers().map(|customer| customer.id).collect::<Vec<_>>(), [ACME, GLOBEX]);
    assert_eq!(state.owners().map(|owner| owner.id).collect::<Vec<_>>(), [OLGA, GAIL], "removed ones, too");
    assert_eq!(state.owners_of(GLOBEX).map(|owner| owner.id).collect::<Vec<_>>(), [GAIL]);
    assert_eq!(state.all_staff().map(|staff| staff.id).collect::<Vec<_>>(), [JANE]);
    assert_eq!(state.staff_named("jane").map(|staff| (staff.id, staff.active)), Some((JANE, false)));
    assert_eq!(state.owner_named("gail-of-globex").map(|owner| owner.id), Some(GAIL));
    assert!(state.owner_named("olga").is_none() && state.owner(OLGA).is_some(), "a removed owner does not sign in");
}

#[test]
fn a_grant_is_live_until_its_very_end_and_the_newest_counts() {
    let mut world = world();
    switch(&mut world, OLGA, ACME, Mode::Standing);
    switch(&mut world, GAIL, GLOBEX, Mode::Standing);
    let first = world.grant(Scope::Read, minutes(60));
    let newest = world.grant(Scope::Read, minutes(60));
    let what = of_globex(issue(Scope::Read, minutes(60)));
    let other = GrantId(world.must(By::Staff(JANE), what, Some(reason())).0);
    let state = &world.state;
    assert_eq!(state.grants().map(|grant| grant.id).collect::<Vec<_>>(), [first, newest, other]);
    assert_eq!(state.newest_grant(JANE, ACME).map(|grant| grant.id), Some(newest));
    let live = |at| state.live_grants_of(ACME, at).map(|grant| grant.id).collect::<Vec<_>>();
    assert_eq!(live(NOON), [newest]);
    assert_eq!((live(Timestamp(minutes(60).0 - 1)), live(minutes(60))), (vec![newest], vec![]));
    let ended = |at| state.grant(first).is_some_and(|grant| grant.is_live(at));
    assert!(!ended(NOON), "the newer one ended it");
}

#[test]
fn what_waits_for_an_owner_is_listed_by_customer() {
    let mut world = world();
    switch(&mut world, OLGA, ACME, Mode::PerRequest);
    switch(&mut world, GAIL, GLOBEX, Mode::PerRequest);
    let over = world.open(Scope::Read, 30);
    let step = crate::grant::RequestStep::Withdrawn;
    world.must(By::Staff(JANE), What::Request { request: over, step }, None);
    let what = of_globex(open(Scope::Read, 30, minutes(600)));
    let second = RequestId(world.must(By::Staff(JANE), what, Some(wish())).0);
    let first = world.open(Scope::Read, 30);
    let state = &world.state;
    assert_eq!(state.requests().map(|request| request.id).collect::<Vec<_>>(), [over, second, first]);
    assert_eq!(state.waiting_requests().map(|request| request.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(state.waiting_requests_of(GLOBEX).map(|request| request.id).collect::<Vec<_>>(), [second]);
}

#[test]
fn holds_exports_and_snapshots_are_listed_with_those_that_are_over() {
    let mut world = world();
    let texts = || Some(Personal { authority: Some("district court".to_owned()), ..reason() });
    let mut hold = |customer| {
        let what = What::HoldPlaced { customer, review: minutes(60) };
        HoldId(world.must(By::Operator, what, texts()).0)
    };
    let (released, other, held) = (hold(ACME), hold(GLOBEX), hold(ACME));
    world.must(By::Operator, What::HoldReleased { hold: released }, texts());
    let mut export = |owner, customer| {
        let what = What::Account { customer, step: AccountStep::ExportRequested };
        ExportId(world.must(By::Owner(owner), what, None).0)
    };
    let (exported, others) = (export(OLGA, ACME), export(GAIL, GLOBEX));
    let (old, new) = (SnapshotId([1; 16]), SnapshotId([2; 16]));
    for (snapshot, step) in [
        (new, SnapshotStep::Begun { backend: 1, started: NOON }),
        (old, SnapshotStep::Adopted { backend: 1, started: NOON, bytes: 5 }),
        (old, SnapshotStep::Expiring),
        (old, SnapshotStep::Deleted { confirmed: NOON }),
    ] {
        world.must(By::System, What::Snapshot { snapshot, step }, None);
    }
    let state = &world.state;
    assert_eq!(state.holds().map(|hold| hold.id).collect::<Vec<_>>(), [released, other, held]);
    assert_eq!(state.holds_on(ACME).map(|hold| hold.id).collect::<Vec<_>>(), [held]);
    assert_eq!(state.hold(released).map(|hold| hold.released), Some(Some((NOON, By::Operator))));
    assert_eq!(state.exports_of(ACME).map(|export| export.id).collect::<Vec<_>>(), [exported]);
    assert_eq!(state.export(others).map(|export| export.customer), Some(GLOBEX));
    assert_eq!(state.snapshots().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [old, new]);
}

/// Records about a customer are sealed to it while its account is open, and to the vendor afterwards.
#[test]
fn a_closed_account_gets_no_keys_and_an_erased_one_is_forgotten() {
    let mut world = world();
    let sealed = |state: &State| state.sealed_to().collect::<Vec<_>>();
    assert_eq!((sealed(&world.state), world.state.sealed_for(GLOBEX)), (vec![ACME, GLOBEX], Some(GLOBEX)));
    let step = |step| What::Account { customer: GLOBEX, step };
    world.must(By::Owner(GAIL), step(AccountStep::Closed), None);
    assert_eq!((sealed(&world.state), world.state.sealed_for(GLOBEX)), (vec![ACME], None));
    assert_eq!(world.state.forgotten().count(), 0);
    world.must(By::System, step(AccountStep::ErasureBegun { part: RecordPart::Values }), None);
    assert_eq!(world.state.forgotten().collect::<Vec<_>>(), [GLOBEX]);
}

#[test]
fn whoever_is_printed_keeps_their_secrets() {
    let world = world();
    let (jane, gail) = (world.state.staff(JANE).expect("jane"), world.state.owner(GAIL).expect("gail"));
    assert_eq!(format!("{jane:?}"), r#"Staff { id: StaffId(3), name: "jane", active: true, .. }"#);
    assert_eq!(
        format!("{gail:?}"),
        r#"Owner { id: OwnerId(5), customer: CustomerId(4), name: "gail-of-globex", active: true, .. }"#
    );
}
