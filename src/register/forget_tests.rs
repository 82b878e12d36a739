//! Whoever folded while a customer's texts were there and whoever folds without them judge alike, from the event on that says
//! that it is forgotten: whatever was said of it before, and whichever of its names is given again.

use proptest::prelude::*;

use super::super::kept::{Kept, proposal, wait_for};
use super::*;
use crate::grant::world::{ACME, JANE, OLGA, World, customer, minutes, owner, reason, said, staff, trust, wish};
use crate::grant::{
    AccountStep, By, Channel, ERASED, Fault, INVITED_FOR, Layout, Limit, Mode, OWN_GRANT_MAX, Personal, Purpose,
    RecordPart, RequestStep, Rule, Scope, Stage, Terms, apply,
};
use crate::ids::RequestId;

const DIGEST: [u8; 32] = [3; 32];
/// Acme's bystander.
const GLOBEX: CustomerId = CustomerId(5);
/// Its owner.
const GAIL: OwnerId = OwnerId(6);
/// Names that owners of acme have, or are invited by.
const NAMES: [&str; 4] = ["otto@acme.example", "ina", "ida@acme.example", "olga2"];
/// Names that acme has had.
const FORMER: [&str; 3] = ["acme-gmbh", "acme-se", "acme"];

fn layout(number: usize) -> (Layout, Option<String>) {
    match number % 3 {
        0 => (Layout::Database, None),
        1 => (Layout::Shared, Some("7".to_owned())),
        _ => (Layout::Schema, Some("acme".to_owned())),
    }
}

/// acme (c1) as it lies, olga (o2), jane (s3), joe (s4), globex (c5) with gail (o6).
fn people(lies: usize) -> World {
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

fn named(name: &str) -> Personal {
    Personal { name: Some(name.to_owned()), ..Personal::default() }
}

fn invited(name: &str, code: u8) -> Personal {
    Personal { invitation: Some(vec![code; 32].into()), ..named(name) }
}

fn account(step: AccountStep) -> What {
    What::Account { customer: ACME, step }
}

/// Something that leaves texts about acme, if the rules allow it just then; or globex invites by the same names, for less
/// time than passes until the next.
fn happen(world: &mut World, (kind, number): (usize, usize)) {
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
            let (staff, scope, lasting) = (JANE, Scope::Read, std::time::Duration::from_secs(600));
            let (start_by, purpose, channel) = (soon, Purpose::Fault, Channel::Mail);
            let what = What::RequestOpened { staff, customer, scope, lasting, start_by, purpose, channel };
            (By::Staff(JANE), what, Some(wish()))
        }
        10 => (by, What::Request { request, step: RequestStep::AskedBack }, said("what for?")),
        11 => {
            let step = RequestStep::Approved { scope: Scope::Read, lasting: std::time::Duration::from_secs(600) };
            (by, What::Request { request, step }, None)
        }
        12 => {
            let (lasting, expires) =
                (std::time::Duration::from_secs(600), now.plus(std::time::Duration::from_secs(60)));
            let what = What::CodeCreated { customer, scope: Scope::Read, lasting, expires, key: [code; 32] };
            (by, what, Some(Personal { salt: Some(vec![9; 16].into()), ..Personal::default() }))
        }
        13 => (By::Staff(JANE), What::InstructionQuestioned { customer }, Some(reason())),
        14 => {
            let (staff, lasting) = (JANE, std::time::Duration::from_secs(600));
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
            let ends = now.plus(std::time::Duration::from_secs(30));
            (By::Owner(GAIL), What::OwnerInvited { customer: GLOBEX, ends }, Some(invited(name, code)))
        }
    };
    drop(world.try_to(by, what, side));
}

/// The account closed and led to its end, and the customer forgotten.
fn end(world: &mut World) {
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

/// What a fold is that never had the side rows about acme.
fn without(world: &World) -> State {
    let mut state = State::default();
    for stored in &world.events {
        let side = stored.side.clone().filter(|_| !is_about(stored, ACME, &world.state));
        apply(&mut state, &Stored { side, ..stored.clone() }, &trust()).expect("the chain holds without");
    }
    state
}

/// Everything that a state holds; what it hides from people, too.
fn all_of(state: &State) -> String {
    let hidden = state.owners().map(|owner| (&owner.password_hash, &owner.token_digests));
    format!("{state:#?}{:?}", hidden.collect::<Vec<_>>())
}

/// What two folds of one register make of the same event.
struct Both {
    running: World,
    fresh: World,
}

impl Both {
    fn same(&self) {
        let (running, fresh) = (all_of(&self.running.state), all_of(&self.fresh.state));
        let differs = running.lines().zip(fresh.lines()).find(|(one, other)| one != other);
        assert!(running == fresh, "one that ran and a fresh one differ: {differs:?}");
    }

    /// An event that a writer with a fresh fold makes, as the rules of both see it.
    fn make(&mut self, by: By, what: What, side: Option<Personal>) -> Result<Sequence, Fault> {
        let stored = self.fresh.make(by, what, side);
        let fresh = apply(&mut self.fresh.state, &stored, &trust());
        assert_eq!(apply(&mut self.running.state, &stored, &trust()), fresh, "of {what:?}");
        self.same();
        fresh.map(|()| stored.sequence)
    }

    fn must(&mut self, by: By, what: What, side: Personal) -> CustomerId {
        CustomerId(self.make(by, what, Some(side)).expect("the name is free").0)
    }
}

/// Each kind of name of acme's is given again: its own, those it had, its place, its owners', those it invited, their codes
/// and tokens. What is others' stays theirs.
fn give_again(both: &mut Both, lies: usize) {
    let created = |layout| What::CustomerCreated { layout };
    let renamed = |customer| What::CustomerRenamed { customer };
    let (there, tenant) = layout(lies);
    let ends = both.fresh.now.plus(INVITED_FOR);
    let one = both.must(By::Operator, created(there), Personal { tenant, ..customer("acme") });
    both.must(By::Operator, What::OwnerCreated { customer: one }, owner("olga"));
    both.must(By::Operator, renamed(one), named("acme-gmbh"));
    both.must(By::Operator, renamed(GLOBEX), named("acme-se"));
    for (code, name) in (100..).zip(NAMES) {
        let another = Personal { database: Some(name.to_owned()), ..customer(&format!("c{code}")) };
        let another = both.must(By::Operator, created(Layout::Database), another);
        both.must(By::Operator, What::OwnerInvited { customer: another, ends }, invited(name, code));
    }
    for name in ["acme-gmbh", "acme-se", "globex"] {
        let taken = both.make(By::Operator, created(Layout::Database), Some(customer(name)));
        assert!(matches!(taken, Err(Fault::Rule(_))), "{name} is somebody's: {taken:?}");
    }
    let hold = Personal { authority: Some("district court".to_owned()), ..reason() };
    let late = [
        (By::Operator, What::HoldPlaced { customer: ACME, review: minutes(9999) }, hold),
        (By::Operator, What::OwnerCreated { customer: ACME }, owner("a-late-one")),
        (By::Owner(OLGA), What::OwnerInvited { customer: ACME, ends }, invited("a-late-one", 99)),
    ];
    for (by, what, side) in late {
        let refused = both.make(by, what, Some(side));
        assert!(matches!(refused, Err(Fault::Rule(_))), "nothing more is written about acme: {refused:?}");
    }
    let sent = both.running.state.invitations().filter(|found| found.customer == ACME).map(|found| found.id);
    for invitation in sent.collect::<Vec<_>>() {
        let side = Personal { password_hash: Some("$argon2id$…".to_owned()), ..Personal::default() };
        let refused = both.make(By::Owner(invitation), What::OwnerAccepted { invitation }, Some(side));
        assert_eq!(refused, Err(Fault::Rule(Rule::InvitationOver)), "{invitation}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn one_that_ran_and_a_fresh_fold_agree_after_forgetting_and_when_names_are_given_again(
        lies in 0..3usize,
        story in proptest::collection::vec((0..18usize, 0..4usize), 0..24),
    ) {
        let mut running = people(lies);
        for next in story {
            happen(&mut running, next);
            running.now = running.now.plus(std::time::Duration::from_secs(60));
        }
        end(&mut running);
        let fresh = World { state: without(&running), events: Vec::new(), now: running.now };
        let mut both = Both { running, fresh };
        both.same();
        give_again(&mut both, lies);
    }
}

/// The stories above leave texts of every kind, or they would prove nothing.
#[test]
fn a_story_leaves_texts_of_every_kind_and_none_is_left() {
    let mut world = people(1);
    for kind in [0, 1, 2, 4, 3, 6, 8, 12, 9, 10, 14, 15, 13, 5] {
        happen(&mut world, (kind, kind));
    }
    let kinds = world.events.iter().filter(|stored| stored.side.is_some() && is_about(stored, ACME, &world.state));
    assert_eq!(kinds.count(), 16, "acme, olga, and each of those above but what is taken back; a hold has two");
    end(&mut world);
    let left = all_of(&world.state);
    for text in ["acme", "Acme", "olga", "otto", "invoices", "totals", "SUP-1", "district", "what for?"] {
        assert!(!left.contains(text), "\"{text}\" is left in {left}");
    }
    assert!(left.contains("globex") && left.contains("jane") && left.contains(ERASED));
}

/// As the gates live it: they run on while an operator's command folds afresh.
#[test]
fn whoever_follows_goes_on_when_a_forgotten_name_is_given_again() {
    let kept = Kept::file();
    let mut world = people(0);
    let register = kept.holding(&world);
    let follower = kept.follow().expect("it starts");
    let before = world.events.len();
    end(&mut world);
    for stored in world.events.iter().skip(before) {
        register.append(&proposal(stored.clone())).expect("it applies");
    }
    assert_eq!(register.rows_about(ACME).expect("it reads"), 2);
    assert_eq!(register.forget(ACME).expect("nobody waits for what was deleted"), 2);
    assert_eq!(register.rows_about(ACME).expect("it reads"), 0);

    let command = kept.open();
    let mut folded = World { state: State::clone(&command.state().expect("it reads")), ..world };
    for (what, side) in [
        (What::CustomerCreated { layout: Layout::Database }, customer("acme")),
        (What::OwnerCreated { customer: CustomerId(folded.state.sequence().0 + 1) }, owner("olga")),
    ] {
        let stored = folded.make(By::Operator, what, Some(side));
        command.append(&proposal(stored.clone())).expect("a fresh fold takes it");
        apply(&mut folded.state, &stored, &trust()).expect("it applies");
    }
    wait_for(|| follower.state().sequence() == folded.state.sequence() || follower.fault().is_some());
    assert_eq!(follower.fault(), None);
    let fresh = kept.open().state().expect("it verifies");
    assert_eq!(all_of(&follower.state()), all_of(&fresh));
    assert_eq!(register.state().map(|state| all_of(&state)).expect("it verifies"), all_of(&fresh));
}
