use super::*;
use crate::grant::world::{ACME, JANE, World, ask, minutes};
use crate::grant::{Decision, Limits, Locks, Mode, decide};

fn refused(world: &World) -> Refusal {
    let locks = Locks::default();
    let limits = Limits { portal_url: "https://portal.example".to_owned(), ..Limits::default() };
    let Decision::Refuse(refusal) = decide(&world.state, &ask(world.now, &locks), &limits, world.now) else {
        panic!("nothing stands in the way");
    };
    refusal
}

#[test]
fn it_says_what_is_missing_and_what_to_type() {
    let world = World::with_people();
    let refusal = refused(&world);
    assert_eq!(refusal.code(), "consent-off,no-grant");
    assert_eq!(
        refusal.message(&world.state),
        "no access to customer \"acme\": its account owner has support access switched off"
    );
    assert_eq!(
        refusal.detail(&world.state),
        "Support access to \"acme\" is switched off. \"jane\" has no grant for \"acme\"."
    );
    assert_eq!(
        refusal.hint(&world.state),
        "Ask the account owner of \"acme\" to switch support access on in the portal (https://portal.example). \
         Then connect with dbname=portreeve and type: OPEN acme SCOPE read FOR '1 hour' REASON '…' TICKET '…';"
    );
}

#[test]
fn it_says_when_the_owner_switched_off() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    world.grant(Scope::Read, minutes(60));
    world.now = minutes(122);
    world.consent(Mode::Off, Scope::Read, None);
    let refusal = refused(&world);
    assert_eq!(refusal.code(), "consent-off,grant-over");
    assert_eq!(
        refusal.detail(&world.state),
        "The account owner of \"acme\" switched support access off at 2026-11-21 14:02 UTC. \
         Grant g5 ended at 2026-11-21 13:00 UTC."
    );
}

#[test]
fn it_asks_for_a_scope_the_owner_allows() {
    let world = World::with_people();
    let (scope, allowed) = (Scope::Write, Scope::Read);
    let conditions = vec![Condition::ScopeTooWide { scope, allowed }];
    let refusal = Refusal { staff: JANE, customer: ACME, conditions, portal_url: String::new() };
    assert!(refusal.hint(&world.state).contains("SCOPE read"), "{}", refusal.hint(&world.state));
}

#[test]
fn an_address_is_one_sessions_own_affair_unless_more_stands_in_the_way() {
    let address = IpAddr::from([192, 0, 2, 7]);
    let refusal =
        |conditions| Refusal { staff: JANE, customer: ACME, conditions, portal_url: String::new() }.is_of_one_session();
    let elsewhere = || Condition::Staff(StaffCondition::ElsewhereNetwork { address });
    assert!(refusal(vec![Condition::AddressNotAllowed { address }, elsewhere()]));
    assert!(!refusal(vec![Condition::AddressNotAllowed { address }, Condition::ConsentOff { customer: ACME }]));
    assert!(!refusal(vec![elsewhere(), Condition::Staff(StaffCondition::OutOfHours)]));
}
