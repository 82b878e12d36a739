use super::*;
use crate::grant::world::{ACME, JANE, World, customer, staff};
use crate::grant::{By, Layout, What};

#[test]
fn a_customer_called_like_an_id_is_not_taken_for_another() {
    let mut world = World::with_people();
    let layout = Layout::Database;
    let (called, staff_called) = (ACME.to_string(), JANE.to_string());
    world.must(By::Operator, What::CustomerCreated { layout }, Some(customer(&called)));
    world.must(By::Operator, What::StaffCreated, Some(staff(&staff_called)));
    let state = Some(&world.state);
    let plain = |failure: Failure| failure.message().to_owned();
    let id = |name: &str| customer_id(state, name).map_err(plain).expect("an id");
    assert_ne!(id(&called), ACME, "what is shown belongs to whoever has that name");
    assert_eq!(Some(id(&called)), world.state.customer_named(&called).map(|customer| customer.id));
    assert_eq!((id("acme"), id("c4711")), (ACME, CustomerId(4711)));
    assert!(customer_id(state, "nobody").is_err());
    assert_eq!(customer_id(None, "c7").map_err(plain), Ok(CustomerId(7)), "without a register only an id is known");
    let id = |name: &str| staff_id(state, name).map_err(plain).expect("an id");
    assert_ne!(id(&staff_called), JANE);
    assert_eq!((id("jane"), id("s4711")), (JANE, StaffId(4711)));
}
