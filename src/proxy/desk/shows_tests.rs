use super::*;
use crate::grant::world::{JANE, World, minutes, staff};
use crate::grant::{By, Scope, What};
use crate::ids::GrantId;

fn cells(row: &[Option<String>]) -> Vec<&str> {
    row.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect()
}

#[test]
fn grants_and_requests_are_ones_own() {
    let mut world = World::asked();
    let request = world.open(Scope::Read, 90);
    let sequence = world.approve(crate::grant::world::OLGA, request, 60).expect("approved");
    let grant = world.state.grant(GrantId(sequence.0)).expect("issued");
    let shown = super::grant(&world.state, grant, minutes(1));
    assert_eq!(
        cells(&shown),
        [
            &grant.id.to_string(),
            "acme",
            "read",
            "live",
            "2026-11-21 12:00:00Z",
            "2026-11-21 13:00:00Z",
            "fault",
            "invoices show wrong totals",
            "SUP-1",
            &request.to_string()
        ]
    );
    let shown = requests(&world.state, JANE, minutes(1));
    assert_eq!(cells(&shown[0])[2..5], ["read", "90 min", "approved"]);
    assert_eq!(cells(&shown[0])[12], grant.id.to_string());
    assert_eq!(shown[0].len(), REQUESTS.len());
    assert_eq!(grants(&world.state, JANE, minutes(1)).len(), 1);
    assert_eq!(grants(&world.state, JANE, minutes(31 * 24 * 60)), Vec::<Row>::new(), "long over");
    let joe = StaffId(world.must(By::Operator, What::StaffCreated, Some(staff("joe"))).0);
    assert_eq!(grants(&world.state, joe, minutes(1)).len() + requests(&world.state, joe, minutes(1)).len(), 0);
}

#[test]
fn customers_say_what_to_type() {
    let mut world = World::with_people();
    let shown = |world: &World| customers(&world.state, JANE, minutes(1)).remove(0);
    assert_eq!(cells(&shown(&world)), ["acme", "off", "-", "-", "-", "-", "-", "-"]);
    world.consent(Mode::PerRequest, Scope::Read, Some(minutes(600)));
    let asked = shown(&world);
    assert_eq!(cells(&asked)[..4], ["acme", "per-request", "read", "2026-11-21 22:00:00Z"]);
    assert!(cells(&asked)[5].starts_with("REQUEST acme FOR"));
    world.consent(Mode::Standing, Scope::Read, None);
    assert!(cells(&shown(&world))[5].starts_with("OPEN acme FOR"));
    world.grant(Scope::Read, minutes(60));
    assert_eq!(cells(&shown(&world))[3..6], ["-", "2026-11-21 13:00:00Z", "connect with dbname=acme"]);
    let acme = crate::grant::world::ACME;
    let personal = crate::grant::Personal {
        name: Some("acme-gmbh".to_owned()),
        display: Some("Acme GmbH".to_owned()),
        ..crate::grant::Personal::default()
    };
    world.must(By::Operator, What::CustomerRenamed { customer: acme }, Some(personal));
    let renamed = shown(&world);
    assert_eq!(
        cells(&renamed)[5..],
        ["connect with dbname=acme-gmbh", "Acme GmbH", "acme, until 2026-11-21 12:00:00Z"]
    );
    for row in customers(&world.state, JANE, minutes(1)) {
        assert_eq!(row.len(), CUSTOMERS.len());
    }
    assert!(help().iter().all(|row| row.len() == HELP.len()));
}

#[test]
fn emergencies_are_ones_own_and_those_one_may_confirm() {
    use crate::grant::{Purpose, SUPPORT, TeamRole, TeamStep, Terms, wish};
    use crate::ids::GlassId;
    let mut world = World::with_people();
    let terms = Terms { break_glass: true, ..Terms::default() };
    world.agree(Mode::PerRequest, Scope::Read, &terms).expect("agreed");
    let [lena, eve] =
        ["lena", "eve"].map(|name| StaffId(world.must(By::Operator, What::StaffCreated, Some(staff(name))).0));
    let team = |step| What::Team(step);
    world.must(By::Operator, team(TeamStep::MemberAdded { team: SUPPORT, staff: lena, role: TeamRole::Lead }), None);
    world.must(By::Operator, team(TeamStep::MemberRemoved { team: SUPPORT, staff: eve }), None);
    let why =
        wish::Why { purpose: Purpose::Fault, reason: "every invoice is wrong".to_owned(), ticket: "SUP-9".to_owned() };
    let asked =
        wish::in_emergency((JANE, crate::grant::world::ACME), (Scope::Read, minutes(30).since(minutes(0))), &why);
    let glass = GlassId(world.must(asked.by, asked.what, asked.personal).0);
    let shown = |world: &World, who| emergencies(&world.state, who, minutes(1));
    let row = shown(&world, JANE).remove(0);
    assert_eq!(row.len(), EMERGENCIES.len());
    assert_eq!(cells(&row)[1..6], ["jane", "acme", "read", "30 min", "to be confirmed"]);
    assert_eq!((shown(&world, lena).len(), shown(&world, eve).len()), (1, 0));
    let confirmed = wish::confirmed(lena, glass);
    world.must(confirmed.by, confirmed.what, None);
    assert_eq!(cells(&shown(&world, JANE)[0])[9], "lena");
    assert_eq!(shown(&world, lena).len(), 0, "nothing is left to confirm");
}
