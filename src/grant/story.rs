//! What can be said of a customer from its first day until it is forgotten, for tests: acme's stories, of all kinds of texts.
//! Not here: what must hold of them (`forgetting_tests.rs`, `register/forget_tests.rs`).

use std::time::Duration;

use super::world::{ACME, JANE, OLGA, World, customer, minutes, owner, reason, said, staff, wish};
use super::{
    AccountStep, By, Channel, GlassStep, INVITED_FOR, Layout, Limit, Mode, OWN_GRANT_MAX, Personal, Purpose,
    RecordPart, RequestStep, Scope, Stage, State, Terms, What,
};
use crate::ids::{CustomerId, HoldId, OwnerId, RequestId};

const DIGEST: [u8; 32] = [3; 32];
/// Acme's bystander.
pub(crate) const GLOBEX: CustomerId = CustomerId(5);
/// Its owner.
const GAIL: OwnerId = OwnerId(6);
/// Names that owners of acme have, or are invited by.
pub(crate) const NAMES: [&str; 4] = ["otto@acme.example", "ina", "ida@acme.example", "olga2"];
/// Names that acme has had.
const FORMER: [&str; 3] = ["acme-gmbh", "acme-se", "acme"];

pub(crate) fn layout(number: usize) -> (Layout, Option<String>) {
    match number % 3 {
        0 => (Layout::Database, None),
        1 => (Layout::Shared, Some("7".to_owned())),
        _ => (Layout::Schema, Some("acme".to_owned())),
    }
}

/// acme (c1) as it lies, olga (o2), jane (s3), joe (s4), globex (c5) with gail (o6).
pub(crate) fn people(lies: usize) -> World {
    let mut world = World::new();
    let (layout, tenant) = layout(lies);
    let side = Personal { tenant, display: Some("Acme & Sons".to_owned()), ..customer("acme") };
    world.must(By::Operator, What::CustomerCreated { layout }, Some(side));
    world.must(By::Operator, What::OwnerCreated { customer: ACME }, Some(owner("olga")));
    world.must(By::Operator, What::StaffCreated, Some(staff("jane")));
    world.must(By::Operator, What::StaffCreated, Some(staff("joe")));
    world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer("globex")));
    world.must(By::Operator, What::OwnerCreated { customer: GLOBEX }, Some(owner("gail-of-globex")));
    world
}

pub(crate) fn named(name: &str) -> Personal {
    Personal { name: Some(name.to_owned()), ..Personal::default() }
}

pub(crate) fn invited(name: &str, code: u8) -> Personal {
    Personal { invitation: Some(vec![code; 32].into()), ..named(name) }
}

fn account(step: AccountStep) -> What {
    What::Account { customer: ACME, step }
}

/// Something that leaves texts about acme, if the rules allow it just then; or globex invites by the same names, for less
/// time than passes until the next.
pub(crate) fn happen(world: &mut World, (kind, number): (usize, usize)) {
    let (customer, by, now) = (ACME, By::Owner(OLGA), world.now);
    let (soon, code) = (minutes(24 * 60), u8::try_from(100 + kind * 4 + number).expect("small"));
    let (name, former) = (NAMES[number % 4], FORMER[number % 3]);
    let last = world.state.invitations().last().map(|found| found.id);
    let request = world.state.requests().last().map_or(RequestId(0), |request| request.id);
    let (by, what, side) = match kind {
        0 => (By::Operator, What::CustomerRenamed { customer }, Some(named(former))),
        1 => {
            let display = Some(format!("Acme {number}"));
            let name = world.state.customer(ACME).map(|acme| acme.name.clone());
            let side = Personal { name, display, ..Personal::default() };
            (By::Operator, What::CustomerRenamed { customer }, Some(side))
        }
        2 | 3 => (by, What::OwnerInvited { customer, ends: now.plus(INVITED_FOR) }, Some(invited(name, code))),
        4 => {
            let Some(id) = last else { return };
            let password_hash = Some("$argon2id$…".to_owned());
            let side = Personal { password_hash, ..Personal::default() };
            (By::Owner(id), What::OwnerAccepted { invitation: id }, Some(side))
        }
        5 => {
            let Some(id) = last else { return };
            (by, What::OwnerUninvited { invitation: id }, None)
        }
        6 => {
            let hours = Limit::To("daily 00:00-24:00 UTC".parse().expect("hours"));
            let terms = Terms { hours, break_glass: true, ..Terms::default() };
            let (mode, scope, bounds) = (Mode::Standing, Scope::Write, terms.bounds());
            (by, What::ConsentAgreed { customer, mode, scope, until: None, terms: bounds }, Some(terms.side()))
        }
        7 => {
            let what = What::ConsentSet { customer, mode: Mode::Standing, scope: Scope::Write, until: None };
            (by, what, None)
        }
        8 => {
            let (staff, scope, ends) = (JANE, Scope::Read, now.plus(OWN_GRANT_MAX));
            let what = What::GrantIssued { staff, customer, scope, ends, purpose: Purpose::Fault };
            (By::Staff(JANE), what, Some(reason()))
        }
        9 => {
            let (staff, scope, lasting) = (JANE, Scope::Read, Duration::from_secs(600));
            let (start_by, purpose, channel) = (soon, Purpose::Fault, Channel::Mail);
            let what = What::RequestOpened { staff, customer, scope, lasting, start_by, purpose, channel };
            (By::Staff(JANE), what, Some(wish()))
        }
        10 => (by, What::Request { request, step: RequestStep::AskedBack }, said("what for?")),
        11 => {
            let step = RequestStep::Approved { scope: Scope::Read, lasting: Duration::from_secs(600) };
            (by, What::Request { request, step }, None)
        }
        12 => {
            let (lasting, expires) = (Duration::from_secs(600), now.plus(Duration::from_secs(60)));
            let what = What::CodeCreated { customer, scope: Scope::Read, lasting, expires, key: [code; 32] };
            (by, what, Some(Personal { salt: Some(vec![9; 16].into()), ..Personal::default() }))
        }
        13 => (By::Staff(JANE), What::InstructionQuestioned { customer }, Some(reason())),
        14 => {
            let (staff, lasting) = (JANE, Duration::from_secs(600));
            let asked = GlassStep::Asked { staff, customer, scope: Scope::Read, lasting, purpose: Purpose::Fault };
            (By::Staff(JANE), What::Glass(asked), Some(reason()))
        }
        15 => {
            let texts = Personal { authority: Some("district court".to_owned()), ..reason() };
            let placed = What::HoldPlaced { customer, review: soon };
            let hold = HoldId(world.must(By::Operator, placed, Some(texts.clone())).0);
            (By::Operator, What::HoldReleased { hold }, Some(texts))
        }
        16 => (By::Operator, What::OwnerRemoved { owner: OLGA }, None),
        _ => {
            let ends = now.plus(Duration::from_secs(30));
            (By::Owner(GAIL), What::OwnerInvited { customer: GLOBEX, ends }, Some(invited(name, code)))
        }
    };
    drop(world.try_to(by, what, side));
}

/// The account closed and led to its end, and the customer forgotten.
pub(crate) fn end(world: &mut World) {
    let reached = |stage| AccountStep::Reached { stage, digest: None, count: None };
    let erased = |part| [AccountStep::ErasureBegun { part }, AccountStep::ErasureDone { part, keys: 1 }];
    world.must(By::Operator, account(AccountStep::Closed), None);
    let steps = [
        vec![reached(Stage::Archived), reached(Stage::Choice)],
        vec![AccountStep::PurgePlanned { digest: DIGEST }, reached(Stage::Planned)],
        vec![AccountStep::PurgeBegun { digest: DIGEST }, reached(Stage::Purging)],
        vec![AccountStep::PurgeVerified { rows: 1, level: 2 }, reached(Stage::LiveClean)],
        vec![reached(Stage::BackupsClean), reached(Stage::ArchiveDestroyed)],
        erased(RecordPart::Values).to_vec(),
        erased(RecordPart::Skeleton).to_vec(),
        vec![reached(Stage::LogsClean), AccountStep::Forgotten { rows: 0 }],
    ];
    for step in steps.concat() {
        world.must(By::System, account(step), None);
    }
}

/// Everything that a state holds; what it hides from people, too.
pub(crate) fn all_of(state: &State) -> String {
    let hidden = state.owners().map(|owner| (&owner.password_hash, &owner.token_digests));
    format!("{state:#?}{:?}", hidden.collect::<Vec<_>>())
}
