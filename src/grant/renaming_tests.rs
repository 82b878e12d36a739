use super::*;
use crate::grant::world::{ACME, JANE, OLGA, World, customer, minutes};
use crate::grant::{AccountStep, By, Fault, Layout, Mode, Scope, What};

fn named(name: &str) -> Option<Personal> {
    Some(Personal { name: Some(name.to_owned()), ..Personal::default() })
}

fn rename(world: &mut World, to: &str) -> Result<(), Rule> {
    match world.try_to(By::Operator, What::CustomerRenamed { customer: ACME }, named(to)) {
        Ok(_) => Ok(()),
        Err(Fault::Rule(rule)) => Err(rule),
        Err(fault) => panic!("{fault}"),
    }
}

fn taken(name: &str, holder: &str) -> Result<(), Rule> {
    Err(Rule::NameTaken { name: name.to_owned(), holder: holder.to_owned() })
}

#[test]
fn the_id_stays_and_with_it_grants_and_the_switch() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let grant = world.grant(Scope::Read, minutes(60));
    world.now = minutes(5);
    assert_eq!(rename(&mut world, "acme-gmbh"), Ok(()));
    let state = &world.state;
    let renamed = state.customer_named("acme-gmbh").expect("its new name");
    assert_eq!((renamed.id, renamed.consent.mode, renamed.database.as_str()), (ACME, Mode::Standing, "acme"));
    assert_eq!(renamed.former, [Former { name: "acme".to_owned(), until: minutes(5) }]);
    assert_eq!((renamed.was_called("acme"), renamed.was_called("acme-gmbh")), (Some(minutes(5)), None));
    assert!(state.grant(grant).is_some_and(|grant| grant.is_live(world.now)), "the visit goes on");
    assert!(state.customer_named("acme").is_none(), "nobody is called so now");
    assert_eq!(state.customer_formerly("acme").map(|customer| customer.id), Some(ACME));
    for name in ["acme", "acme-gmbh"] {
        assert_eq!(state.customer_known_as(name).map(|customer| customer.id), Some(ACME), "{name}");
    }
}

#[test]
fn a_name_that_somebody_had_is_given_to_nobody_else() {
    let mut world = World::with_people();
    assert_eq!(rename(&mut world, "acme-gmbh"), Ok(()));
    let mut other = customer("acme");
    other.database = Some("another".to_owned());
    let created = What::CustomerCreated { layout: Layout::Database };
    let refused = world.try_to(By::Operator, created, Some(other)).expect_err("it had an owner");
    assert_eq!(refused, Fault::Rule(Rule::NameTaken { name: "acme".to_owned(), holder: "c1".to_owned() }));
    let globex = CustomerId(world.must(By::Operator, created, Some(customer("globex"))).0);
    for name in ["acme", "acme-gmbh"] {
        let what = What::CustomerRenamed { customer: globex };
        let refused = world.try_to(By::Operator, what, named(name)).expect_err("it is acme's");
        assert_eq!(refused, Fault::Rule(Rule::NameTaken { name: name.to_owned(), holder: "c1".to_owned() }));
    }
    assert_eq!(rename(&mut world, "globex"), taken("globex", &globex.to_string()));
    // Back to a name of its own: nobody is meant but itself.
    assert_eq!(rename(&mut world, "acme"), Ok(()));
    assert_eq!(world.state.customer_named("acme").map(|customer| customer.id), Some(ACME));
    assert_eq!(world.state.customer_formerly("acme-gmbh").map(|customer| customer.id), Some(ACME));
    assert_eq!(world.state.customer(ACME).and_then(|acme| acme.was_called("acme")), None, "it is called so now");
}

#[test]
fn what_is_no_new_name_is_refused() {
    let mut world = World::with_people();
    assert_eq!(rename(&mut world, "acme"), Err(Rule::SameName("acme".to_owned())));
    for name in ["", "Acme", "portreeve", "erased", "acme gmbh"] {
        assert!(matches!(rename(&mut world, name), Err(Rule::Text(_))), "{name}");
    }
    let what = What::CustomerRenamed { customer: ACME };
    for by in [By::Owner(OLGA), By::Staff(JANE), By::VendorApp, By::System] {
        let refused = world.try_to(by, what, named("acme-gmbh")).expect_err("an operator's to do");
        assert!(matches!(refused, Fault::Rule(Rule::NotYours { .. })), "{by}: {refused}");
    }
    let missing = CustomerId(99);
    let refused = world.try_to(By::Operator, What::CustomerRenamed { customer: missing }, named("nobody"));
    assert_eq!(refused, Err(Fault::Rule(Rule::NoCustomer(missing))));
    world.must(By::Owner(OLGA), What::Account { customer: ACME, step: AccountStep::Closed }, None);
    assert_eq!(rename(&mut world, "acme-gmbh"), Err(Rule::ClosedKeepsName { customer: ACME, at: world.now }));
}

#[test]
fn what_people_call_it_changes_alone_and_with_the_name() {
    let mut world = World::with_people();
    assert_eq!(world.state.customer(ACME).map(Customer::title), Some("acme"), "where nothing is said, its name");
    let both = |name: &str, display: &str| {
        Some(Personal { name: Some(name.to_owned()), display: Some(display.to_owned()), ..Personal::default() })
    };
    let what = What::CustomerRenamed { customer: ACME };
    world.must(By::Operator, what, both("acme", "Acme GmbH"));
    let acme = world.state.customer(ACME).expect("there");
    assert_eq!(acme.title(), "Acme GmbH");
    assert_eq!((acme.display.as_deref(), acme.former.len()), (Some("Acme GmbH"), 0), "its name is what it was");
    assert!(world.try_to(By::Operator, what, both("acme", "Acme GmbH")).is_err(), "nothing would change");
    assert_eq!(rename(&mut world, "acme"), Err(Rule::SameName("acme".to_owned())), "nor where nothing is said of it");
    world.must(By::Operator, what, named("acme-se"));
    assert_eq!(world.state.customer(ACME).and_then(|acme| acme.display.as_deref()), Some("Acme GmbH"), "it stays");
    assert!(world.try_to(By::Operator, what, both("acme-se", "two\nlines")).is_err());
}

/// Erased, a name is nobody's: what is left says that it was renamed, and not from what to what.
#[test]
fn erased_names_are_found_by_nobody() {
    let mut world = World::with_people();
    world.now = minutes(5);
    assert_eq!(rename(&mut world, "acme-gmbh"), Ok(()));
    let mut state = State::default();
    for stored in &world.events {
        let side = stored.side.clone().filter(|_| stored.sequence.0 != 1 && stored.sequence != world.state.sequence());
        let stored = crate::grant::Stored { side, ..stored.clone() };
        crate::grant::apply(&mut state, &stored, &crate::grant::world::trust()).expect("the chain holds without");
    }
    let acme = state.customer(ACME).expect("its events stay");
    assert_eq!((acme.name.as_str(), acme.former.len()), (ERASED, 1));
    assert_eq!(acme.was_called(ERASED), None);
    for name in ["acme", "acme-gmbh", ERASED] {
        assert!(state.customer_known_as(name).is_none(), "{name}");
    }
    assert_eq!(state.head(), world.state.head());
}
