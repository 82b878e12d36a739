use super::super::list::parse;
use super::*;
use crate::entropy::OsEntropy;
use crate::grant::world::{World, customer, trust};
use crate::grant::{INVITED_FOR, Stored, apply};

const HEAD: &str = "customer,display_name,cluster,database,schema,tenant,teams,owner\n";

fn rows(text: &str, world: &World) -> Vec<(Row, Inviting)> {
    let (rows, faults) = parse(&format!("{HEAD}{text}")).expect("a list");
    assert_eq!(faults, []);
    let ends = world.now.plus(INVITED_FOR);
    let number = |row: &Row| u8::try_from(row.line + 100 + world.events.len()).expect("few");
    rows.into_iter().map(|row| (row.clone(), Inviting { digest: [number(&row); 32], ends })).collect()
}

/// What is done for each line, or the column and what is wrong with it.
fn rehearsed(world: &World, text: &str) -> Vec<Result<Deed, (&'static str, String)>> {
    let all = rehearse(&world.state, &rows(text, world), (&trust(), &OsEntropy), world.now);
    all.into_iter().map(|one| one.map_err(|fault| (fault.column, fault.says))).collect()
}

/// Does what the list says.
fn import(world: &mut World, text: &str) {
    for (row, inviting) in rows(text, world) {
        let (_, drafts) = wanted(&world.state, &row, world.state.sequence(), inviting, world.now).expect("right");
        for Draft { by, what, personal } in drafts {
            world.must(by, what, personal);
        }
    }
}

fn with_team() -> World {
    let mut world = World::with_people();
    let named = Personal { name: Some("night".to_owned()), ..Personal::default() };
    world.must(By::Operator, What::Team(TeamStep::Created), Some(named));
    world
}

fn one(world: &World, text: &str) -> Result<Deed, (&'static str, String)> {
    rehearsed(world, text).remove(0)
}

#[test]
fn what_is_there_is_left_and_what_is_not_is_added() {
    let mut world = with_team();
    let text = "globex,Globex Ltd,main,shared,,g,night,gail@globex.example\n\
                initech,,main,shared,,i,support;night,\n\
                hooli,,main,hooli,,,,hank@hooli.example\n";
    assert_eq!(rehearsed(&world, text), [Ok(Deed::CreateAndInvite), Ok(Deed::Create), Ok(Deed::CreateAndInvite)]);
    assert_eq!(world.state.customers().count(), 1, "nothing was done by that");
    import(&mut world, text);
    let globex = world.state.customer_named("globex").expect("there");
    assert_eq!((globex.display.as_deref(), globex.tenant.as_deref()), (Some("Globex Ltd"), Some("g")));
    let teams = |name: &str| {
        let id = world.state.customer_named(name).expect("there").id;
        world.state.teams_for(id).map(|team| team.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (teams("globex"), teams("initech").len(), teams("hooli")),
        (vec!["night".to_owned()], 2, vec!["support".to_owned()])
    );
    assert!(world.state.customers().all(|customer| customer.consent.mode == grant::Mode::Off));
    assert_eq!(rehearsed(&world, text), [Ok(Deed::Nothing), Ok(Deed::Nothing), Ok(Deed::Nothing)], "again");
    // Half of it was done before: the rest is done.
    let more = format!("{text}umbrella,,main,umbrella,,,,\n");
    assert_eq!(rehearsed(&world, &more).last(), Some(&Ok(Deed::Create)));
}

#[test]
fn whoever_did_not_accept_in_time_is_invited_again() {
    let mut world = with_team();
    let text = "hooli,,main,hooli,,,,hank@hooli.example\n";
    import(&mut world, text);
    assert_eq!(one(&world, text), Ok(Deed::Nothing), "the invitation is open");
    world.now = world.now.plus(INVITED_FOR);
    assert_eq!(one(&world, text), Ok(Deed::Invite));
    import(&mut world, text);
    assert_eq!(one(&world, text), Ok(Deed::Nothing));
    let (column, says) = one(&world, "hooli,,main,hooli,,,,other@hooli.example\n").expect_err("somebody else is");
    assert!(column == "owner" && says.contains("\"hank@hooli.example\" is invited until"), "{says}");
    // Once one is an owner nobody else is invited by an operator.
    let id = world.state.invitations().last().expect("one").id;
    let hash = Personal { password_hash: Some("$argon2id$…".to_owned()), ..Personal::default() };
    world.must(By::Owner(id), What::OwnerAccepted { invitation: id }, Some(hash));
    assert_eq!(one(&world, text), Ok(Deed::Nothing));
    let (column, says) = one(&world, "hooli,,main,hooli,,,,other@hooli.example\n").expect_err("only an owner adds");
    assert!(column == "owner" && says.contains("only an owner of the account can add another"), "{says}");
}

#[test]
fn what_differs_is_refused_with_its_column() {
    let mut world = with_team();
    import(&mut world, "globex,Globex Ltd,main,shared,,g,night,\n");
    for (text, column, said) in [
        ("globex,,other,shared,,g,,", "cluster", "differs: globex (c5) has \"main\", and an import changes nothing"),
        ("globex,,main,else,,g,,", "database", "has \"shared\""),
        ("globex,,main,shared,,h,,", "tenant", "has \"g\""),
        ("globex,,main,shared,g,,,", "schema", "has \"g\""),
        ("globex,,main,shared,,,,", "tenant", "has \"g\""),
        ("globex,Globex Inc,main,shared,,g,,", "display_name", "has \"Globex Ltd\""),
        ("globex,,main,shared,,g,support;night,", "teams", "has \"night\""),
        ("new,,main,shared,,g,,", "tenant", "is c5 already"),
        ("new,,main,shared,,,,", "database", "belongs to c5"),
        ("New,,main,new,,,,", "customer", "cannot be a name"),
        ("new,,main,new,public,,,", "schema", "cannot be a customer's schema"),
        ("new,,main,new,,,day,", "teams", "there is no such team: \"portreeve team create day\""),
        ("new,,main,new,,,,olga at new", "owner", "cannot be an owner's name"),
        ("new,,main,new,,,,olga", "owner", "belongs to o2"),
        ("acme,,main,acme,,,,otto@acme.example", "owner", "only an owner of the account can add another"),
    ] {
        let (found, says) = one(&world, text).expect_err(text);
        assert!(found == column && says.contains(said), "{text}: {found}: {says}");
    }
}

#[test]
fn a_customer_that_was_renamed_or_closed_is_not_made_again() {
    let mut world = with_team();
    let named = Personal { name: Some("acme-gmbh".to_owned()), ..Personal::default() };
    world.must(By::Operator, What::CustomerRenamed { customer: CustomerId(1) }, Some(named));
    let (column, says) = one(&world, "acme,,main,acme,,,,").expect_err("its old name");
    assert!(column == "customer" && says.contains("is a name that c1 had: it is called \"acme-gmbh\" now"), "{says}");
    assert_eq!(one(&world, "acme-gmbh,,main,acme,,,,"), Ok(Deed::Nothing));
    let step = grant::AccountStep::Closed;
    world.must(By::Operator, What::Account { customer: CustomerId(1), step }, None);
    let (column, says) = one(&world, "acme-gmbh,,main,acme,,,,").expect_err("it is closed");
    assert!(column == "customer" && says.contains("is c1, whose account is closed since"), "{says}");
    let (column, _) = one(&world, "acme-two,,main,acme,,,,").expect_err("its rows are there still");
    assert_eq!(column, "database");
}

/// A register that was folded from what an import made is the one it made.
#[test]
fn what_is_imported_folds_again() {
    let mut world = with_team();
    let mut other = customer("umbrella");
    other.database = Some("umbrella".to_owned());
    world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(other));
    import(&mut world, "globex,Globex Ltd,main,shared,,g,night,gail@globex.example\n");
    let mut state = State::default();
    let fold = |state: &mut State, stored: &Stored| apply(state, stored, &trust()).expect("it folds");
    world.events.iter().for_each(|stored| fold(&mut state, stored));
    assert_eq!(state.head(), world.state.head());
    assert_eq!(state.customer_named("globex"), world.state.customer_named("globex"));
}
