use super::*;
use crate::grant::world::{World, customer};
use crate::grant::{By, ERASED, Fault, What, apply};
use crate::ids::CustomerId;

fn shared(name: &str, tenant: Option<&str>) -> Personal {
    Personal { database: Some("shared".to_owned()), tenant: tenant.map(str::to_owned), ..customer(name) }
}

fn create(world: &mut World, layout: Layout, personal: Personal) -> Result<CustomerId, Fault> {
    world.try_to(By::Operator, What::CustomerCreated { layout }, Some(personal)).map(|sequence| CustomerId(sequence.0))
}

#[test]
fn a_shared_database_has_one_customer_for_each_tenant() {
    let mut world = World::new();
    let initech = create(&mut world, Layout::Shared, shared("initech", Some("7"))).expect("the first");
    create(&mut world, Layout::Shared, shared("umbrella", Some("8"))).expect("another tenant");
    let place = |customer: &Customer| (customer.layout, customer.tenant.clone());
    assert_eq!(world.state.customer(initech).map(place), Some((Layout::Shared, Some("7".to_owned()))));
    let twin = create(&mut world, Layout::Shared, shared("twin", Some("7")));
    assert!(matches!(twin, Err(Fault::Rule(Rule::TenantTaken { holder, .. })) if holder == initech), "{twin:?}");
    for (layout, tenant) in [(Layout::Database, None), (Layout::Schema, Some("whole"))] {
        let whole = create(&mut world, layout, shared("whole", tenant));
        assert!(
            matches!(whole, Err(Fault::Rule(Rule::DatabaseTaken { holder, .. })) if holder == initech),
            "{whole:?}"
        );
    }
    let acme = create(&mut world, Layout::Database, customer("acme")).expect("a database of its own");
    let within = Personal { database: Some("acme".to_owned()), ..shared("within", Some("9")) };
    let within = create(&mut world, Layout::Shared, within);
    assert!(matches!(within, Err(Fault::Rule(Rule::DatabaseTaken { holder, .. })) if holder == acme), "{within:?}");
}

#[test]
fn a_tenant_key_goes_with_the_layout_and_has_a_form() {
    let mut world = World::new();
    let missing = create(&mut world, Layout::Shared, shared("initech", None));
    assert_eq!(missing, Err(Rule::Text(TextFault::Missing("tenant")).into()));
    let needless = create(&mut world, Layout::Database, shared("initech", Some("7")));
    assert_eq!(needless, Err(Rule::Text(TextFault::TenantOfNothing).into()));
    for odd in ["", " 7", "7 ", "a\nb", ERASED, &"7".repeat(201)] {
        let refused = create(&mut world, Layout::Shared, shared("initech", Some(odd)));
        assert_eq!(refused, Err(Rule::Text(TextFault::Tenant(odd.to_owned())).into()));
    }
}

#[test]
fn an_erased_tenant_does_not_become_the_whole_database() {
    let mut world = World::new();
    let mut stored =
        world.make(By::Operator, What::CustomerCreated { layout: Layout::Shared }, Some(shared("initech", Some("7"))));
    stored.side = None;
    apply(&mut world.state, &stored, &crate::grant::world::trust()).expect("a side row may be gone");
    let initech = world.state.customers().next().expect("it is there");
    assert_eq!((initech.layout, initech.tenant.as_deref()), (Layout::Shared, Some(ERASED)));
}

#[test]
fn a_database_of_schemas_has_one_customer_for_each_schema() {
    let mut world = World::new();
    let initech = create(&mut world, Layout::Schema, shared("initech", Some("initech"))).expect("the first");
    create(&mut world, Layout::Schema, shared("umbrella", Some("umbrella"))).expect("another schema");
    let twin = create(&mut world, Layout::Schema, shared("twin", Some("initech")));
    assert!(matches!(twin, Err(Fault::Rule(Rule::SchemaTaken { holder, .. })) if holder == initech), "{twin:?}");
    for (layout, tenant) in [(Layout::Database, None), (Layout::Shared, Some("7")), (Layout::Shared, Some("initech"))] {
        let other = create(&mut world, layout, shared("other", tenant));
        assert!(
            matches!(other, Err(Fault::Rule(Rule::DatabaseTaken { holder, .. })) if holder == initech),
            "{other:?}"
        );
    }
    let missing = create(&mut world, Layout::Schema, shared("odd", None));
    assert_eq!(missing, Err(Rule::Text(TextFault::Missing("schema")).into()));
    for odd in ["public", "portreeve", "pg_catalog", "information_schema", ERASED] {
        let refused = create(&mut world, Layout::Schema, shared("odd", Some(odd)));
        assert_eq!(refused, Err(Rule::Text(TextFault::Schema(odd.to_owned())).into()));
    }
}
