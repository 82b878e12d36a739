//! Whoever folded while a customer's texts were there and whoever folds without them judge alike, from the event on that says
//! that it is forgotten: whatever was said of it before, and whichever of its names is given again.

use proptest::prelude::*;

use super::super::kept::{Kept, proposal, wait_for};
use super::*;
use crate::grant::story::{GLOBEX, NAMES, all_of, end, happen, invited, layout, named, people};
use crate::grant::world::{ACME, OLGA, World, customer, minutes, owner, reason, trust};
use crate::grant::{By, ERASED, Fault, INVITED_FOR, Layout, Personal, Rule, apply};

/// What a fold is that never had the side rows about acme.
fn without(world: &World) -> State {
    let mut state = State::default();
    for stored in &world.events {
        let side = stored.side.clone().filter(|_| !is_about(stored, ACME, &world.state));
        apply(&mut state, &Stored { side, ..stored.clone() }, &trust()).expect("the chain holds without");
    }
    state
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
    let texts = ["acme", "Acme", "olga", "invoices", "totals", "SUP-1", "district", "what for?"];
    let before = all_of(&world.state);
    for text in texts {
        assert!(before.contains(text), "\"{text}\" is not in {before}");
    }
    end(&mut world);
    let left = all_of(&world.state);
    // A state does not show the names of invitations.
    for text in texts.into_iter().chain(["otto"]) {
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
