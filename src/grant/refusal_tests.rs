use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, ask, minutes};
use crate::grant::{Decision, Limit, Limits, Locks, Mode, Terms, decide};

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

/// What stands in the way; its code, the end of the message, what is missing, the way out.
type Row<'a> = (Condition, &'a str, &'a str, &'a str, String);

fn open(scope: Scope) -> String {
    format!("Connect with dbname=portreeve and type: OPEN acme SCOPE {scope} FOR '1 hour' REASON '…' TICKET '…';")
}

fn owner_is_to(what: &str) -> String {
    format!("Ask the account owner of \"acme\" to {what} in the portal.")
}

fn assert_told(rows: Vec<Row<'_>>) {
    let mut world = World::with_people();
    let hours = Limit::To("mon-fri 09:00-17:00 UTC".parse().expect("hours"));
    world.agree(Mode::Standing, Scope::Read, &Terms { hours, ..Terms::default() }).expect("it can be kept");
    for (condition, code, why, detail, hint) in rows {
        let refusal = Refusal { staff: JANE, customer: ACME, conditions: vec![condition], portal_url: String::new() };
        assert_eq!(refusal.code(), code);
        assert_eq!(refusal.message(&world.state), format!("no access to customer \"acme\": {why}"));
        assert_eq!((refusal.detail(&world.state).as_str(), refusal.hint(&world.state)), (detail, hint), "{code}");
    }
}

#[test]
fn what_stands_in_the_way_of_everybody_is_said_with_the_way_out() {
    let (at, customer, address) = (NOON, ACME, IpAddr::from([192, 0, 2, 7]));
    let region: Option<Region> = Some("US".parse().expect("a region"));
    let account = "Ask an operator for an account; they type: portreeve staff create NAME --password-file FILE.";
    assert_told(vec![
        (
            Condition::RegisterStale { read: at },
            "register-stale",
            "the register of decisions cannot be read",
            "The register was last read at 2026-11-21 12:00 UTC.",
            "Ask an operator to run \"portreeve doctor\" on the gate's machine, then connect again.".to_owned(),
        ),
        (
            Condition::StaffUnknown,
            "staff-unknown",
            "your account was removed",
            "There is no such staff member.",
            account.to_owned(),
        ),
        (
            Condition::StaffInactive,
            "staff-inactive",
            "your account was removed",
            "The staff account \"jane\" was removed.",
            account.to_owned(),
        ),
        (
            Condition::CustomerUnknown { customer: CustomerId(7) },
            "customer-unknown",
            "there is no such customer",
            "There is no customer c7.",
            "Check the database name you connect to; it is the customer's name.".to_owned(),
        ),
        (
            Condition::CustomerClosed { customer, at },
            "customer-closed",
            "customer closed",
            "The account of \"acme\" was closed at 2026-11-21 12:00 UTC.",
            owner_is_to("reopen the account, if it was closed by mistake,"),
        ),
        (
            Condition::ConsentOver { customer, at },
            "consent-over",
            "its account owner's consent is over",
            "The account owner of \"acme\" allowed support access until 2026-11-21 12:00 UTC.",
            owner_is_to("switch support access on"),
        ),
        (
            Condition::InstructionQuestioned { customer, at },
            "instruction-questioned",
            "its owner's instruction is in doubt",
            "Staff doubted the instructions for \"acme\" at 2026-11-21 12:00 UTC; no owner has answered.",
            owner_is_to("answer the doubt"),
        ),
        (
            Condition::AddressNotAllowed { address },
            "address-not-allowed",
            "its account owner does not allow your address",
            "The account owner of \"acme\" does not allow access from 192.0.2.7.",
            owner_is_to("allow your address, or connect from one that is allowed; the list is"),
        ),
        (
            Condition::RegionNotAllowed { region },
            "region-not-allowed",
            "its account owner does not allow your region",
            "The account owner of \"acme\" does not allow staff who work in US.",
            owner_is_to("allow your region, or hand over to a colleague elsewhere; the list is"),
        ),
        (
            Condition::RegionNotAllowed { region: None },
            "region-not-allowed",
            "its account owner does not allow your region",
            "The account owner of \"acme\" allows some regions only, and where \"jane\" works is not known.",
            owner_is_to("allow your region, or hand over to a colleague elsewhere; the list is"),
        ),
        (
            Condition::OutOfHours { opens: Some(minutes(60)) },
            "out-of-hours",
            "it is outside the hours its account owner allows",
            "The account owner of \"acme\" allows mon-fri 09:00-17:00 UTC.",
            "Connect again from 2026-11-21 13:00 UTC.".to_owned(),
        ),
        (
            Condition::OutOfHours { opens: None },
            "out-of-hours",
            "it is outside the hours its account owner allows",
            "The account owner of \"acme\" allows mon-fri 09:00-17:00 UTC.",
            owner_is_to("set the hours anew"),
        ),
    ]);
}

#[test]
fn what_stands_in_the_way_of_a_grant_is_said_with_the_way_out() {
    let (at, customer, grant, reading) = (NOON, ACME, GrantId(9), open(Scope::Read));
    assert_told(vec![
        (
            Condition::NoGrant { staff: JANE, customer },
            "no-grant",
            "you have no grant",
            "\"jane\" has no grant for \"acme\".",
            reading.clone(),
        ),
        (
            Condition::GrantEnded { grant, at, by: By::Owner(OLGA) },
            "grant-ended",
            "its account owner ended your grant",
            "The account owner ended grant g9 at 2026-11-21 12:00 UTC.",
            reading.clone(),
        ),
        (
            Condition::GrantEnded { grant, at, by: By::Staff(JANE) },
            "grant-ended",
            "your grant was ended",
            "The staff member ended grant g9 at 2026-11-21 12:00 UTC.",
            reading.clone(),
        ),
        (
            Condition::GrantEnded { grant, at, by: By::VendorApp },
            "grant-ended",
            "your grant was ended",
            "The vendor's application ended grant g9 at 2026-11-21 12:00 UTC.",
            reading.clone(),
        ),
        (
            Condition::GrantOver { grant, at },
            "grant-over",
            "your grant is over",
            "Grant g9 ended at 2026-11-21 12:00 UTC.",
            reading.clone(),
        ),
        (
            Condition::GrantNotBegun { grant, from: at },
            "grant-not-begun",
            "your grant has not begun",
            "Grant g9 begins at 2026-11-21 12:00 UTC.",
            "Ask an operator to check this machine's clock, then connect again.".to_owned(),
        ),
        (
            Condition::ScopeNotOffered { scope: Scope::Metadata },
            "scope-not-offered",
            "the grant's scope is not offered yet",
            "The grant's scope is metadata.",
            reading.clone(),
        ),
        (
            Condition::ScopeTooWide { scope: Scope::Read, allowed: Scope::Metadata },
            "scope-too-wide",
            "your grant is wider than its account owner allows",
            "The grant's scope is read; the account owner of \"acme\" allows metadata.",
            open(Scope::Metadata),
        ),
        (
            Condition::Locked { customer },
            "locked",
            "access was withdrawn a moment ago",
            "Access to \"acme\" was withdrawn; the register will say by whom.",
            owner_is_to("say whether access may be opened again"),
        ),
        (
            Condition::TooManyConnections { open: 8, most: 8 },
            "too-many-connections",
            "too many of your sessions are open",
            "\"jane\" has 8 other sessions open for \"acme\"; at most 8 may be.",
            "Close a session you no longer need, then connect again.".to_owned(),
        ),
    ]);
}

/// Who wants to be asked is asked, and is told why metadata is not enough, if more is wanted.
#[test]
fn where_an_owner_wants_to_be_asked_one_asks() {
    let type_for = |necessity: &str, scope: Scope| {
        let (verb, rest) = (format!("REQUEST acme SCOPE {scope} FOR '1 hour' REASON '…'"), "TICKET '…';");
        format!("Connect with dbname=portreeve and type: {verb}{necessity} {rest}")
    };
    let hint = |world: &World, condition| {
        let refusal = Refusal { staff: JANE, customer: ACME, conditions: vec![condition], portal_url: String::new() };
        refusal.hint(&world.state)
    };
    let asked = World::asked();
    let too_wide = |allowed| Condition::ScopeTooWide { scope: Scope::Write, allowed };
    for allowed in [Scope::Read, Scope::Metadata] {
        let necessity = if allowed == Scope::Metadata { "" } else { " NECESSITY '…'" };
        assert_eq!(hint(&asked, too_wide(allowed)), type_for(necessity, allowed));
    }
    // She opened it herself while that was enough.
    let mut standing = World::with_people();
    standing.consent(Mode::Standing, Scope::Read, None);
    let not_asked = Condition::NotAsked { grant: GrantId(9) };
    assert_eq!(hint(&standing, not_asked), type_for(" NECESSITY '…'", Scope::Read));
}

#[test]
fn hours_that_were_erased_are_not_made_up() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Read, None);
    let conditions = vec![Condition::OutOfHours { opens: None }];
    let refusal = Refusal { staff: JANE, customer: ACME, conditions, portal_url: String::new() };
    let expected = "The hours that the account owner of \"acme\" allowed are not known any more.";
    assert_eq!(refusal.detail(&world.state), expected);
}
