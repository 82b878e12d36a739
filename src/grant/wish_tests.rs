use super::*;
use crate::entropy::OsEntropy;
use crate::grant::code::{CODE_LIFE, NewCode};
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, minutes};
use crate::grant::{SUPPORT, TeamStep};
use crate::ids::CodeId;

const HOUR: Duration = Duration::from_secs(3600);

fn why() -> Why {
    let (reason, ticket) = ("invoices show wrong totals".to_owned(), "SUP-1".to_owned());
    Why { purpose: Purpose::Question, reason, ticket }
}

fn wish(necessity: &str) -> Wish {
    let (scope, channel, necessity) = (Scope::Read, Channel::Mail, necessity.to_owned());
    Wish { scope, lasting: HOUR, start_within: 2 * HOUR, channel, why: why(), necessity }
}

fn fold(world: &mut World, draft: Draft) {
    world.must(draft.by, draft.what, draft.personal);
}

#[test]
fn each_wish_is_ones_own_and_carries_what_one_said() {
    let (who, grant, request, glass) = ((JANE, ACME), GrantId(9), RequestId(8), GlassId(7));
    let (scope, purpose) = (Scope::Read, Purpose::Question);
    let because = Personal { reason: Some(why().reason), ticket: Some(why().ticket), ..Personal::default() };
    let necessity = Some("the totals are in the rows".to_owned());
    let asked = What::RequestOpened {
        staff: JANE,
        customer: ACME,
        scope,
        lasting: HOUR,
        start_by: minutes(120),
        purpose,
        channel: Channel::Mail,
    };
    let issued = What::GrantIssued { staff: JANE, customer: ACME, scope, ends: minutes(60), purpose };
    let in_glass = GlassStep::Asked { staff: JANE, customer: ACME, scope, lasting: HOUR, purpose };
    let message = Some("of May".to_owned());
    let doubt = Some("the mail was not from them".to_owned());
    let table = [
        (wish("").asked(who, NOON), asked, Some(because.clone())),
        (wish("the totals are in the rows").asked(who, NOON), asked, Some(Personal { necessity, ..because.clone() })),
        (opened(who, (scope, HOUR), &why(), NOON), issued, Some(because.clone())),
        (in_emergency(who, (scope, HOUR), &why()), What::Glass(in_glass), Some(because)),
        (confirmed(JANE, glass), What::Glass(GlassStep::Confirmed { glass }), None),
        (
            answered(JANE, request, "of May".to_owned()),
            What::Request { request, step: RequestStep::Answered },
            Some(Personal { message, ..Personal::default() }),
        ),
        (withdrawn(JANE, request), What::Request { request, step: RequestStep::Withdrawn }, None),
        (released(JANE, grant), What::GrantEnded { grant }, None),
        (
            doubted(JANE, ACME, "the mail was not from them".to_owned()),
            What::InstructionQuestioned { customer: ACME },
            Some(Personal { reason: doubt, ..Personal::default() }),
        ),
    ];
    for (draft, what, personal) in table {
        assert_eq!((draft.by, draft.what), (By::Staff(JANE), what));
        assert_eq!(draft.personal, personal, "{}", what.verb());
    }
}

/// acme with a code for an hour of reading; without its salt, which was erased, no digits are its.
fn with_code(new: &NewCode) -> World {
    let mut world = World::asked();
    let expires = world.now.plus(CODE_LIFE);
    let what = What::CodeCreated { customer: ACME, scope: Scope::Read, lasting: HOUR, expires, key: new.key };
    world.must(By::Owner(OLGA), what, Some(Personal { salt: Some(new.salt.to_vec().into()), ..Personal::default() }));
    world
}

#[test]
fn the_right_digits_make_the_draft_and_its_key() {
    let new = NewCode::make(&OsEntropy).expect("it is made");
    let mut world = with_code(&new);
    let tried = try_code(&world.state, (JANE, ACME), &new.digits, &why(), world.now);
    let Ok(Tried::Fits(key, draft)) = tried else { panic!("they are the code's digits") };
    let sequence = world.try_signed(&key, draft.by, draft.what, draft.personal).expect("the register takes it");
    let grant = world.state.grant(GrantId(sequence.0)).expect("a grant was issued");
    assert_eq!((grant.staff, grant.purpose, grant.reason.as_str()), (JANE, Purpose::Question, why().reason.as_str()));
}

#[test]
fn each_miss_is_counted_and_says_how_many_tries_are_left() {
    // A salt so short stands for no digits, and costs no time.
    let mut world = with_code(&NewCode { digits: Secret::new(String::new()), key: [1; 32], salt: [0; 16] });
    let code = CodeId(world.state.sequence().0);
    world.state.codes.get_mut(code).expect("it was made").salt.clear();
    let digits = Secret::new("123456".to_owned());
    for left in (0..CODE_MISSES_MAX).rev() {
        let tried = try_code(&world.state, (JANE, ACME), &digits, &why(), world.now);
        let Ok(Tried::Missed(draft, told)) = tried else { panic!("these are no code's digits") };
        let expected = match left {
            0 => "that is not the code, and it was the last try: ask the account owner for a new one".to_owned(),
            left => format!("that is not the code: {left} more tries before it is worth nothing"),
        };
        assert_eq!((draft.what, told), (What::CodeMissed { code }, expected));
        fold(&mut world, draft);
    }
    let none = "no one-time code of \"acme\" is in force: ask its account owner to make one in the portal; it lives 10 minutes";
    let told = |world: &World| try_code(&world.state, (JANE, ACME), &digits, &why(), world.now).err();
    assert_eq!(told(&world).as_deref(), Some(none), "no more tries");
    world.must(By::Operator, What::Team(TeamStep::MemberRemoved { team: SUPPORT, staff: JANE }), None);
    let elsewhere = Rule::NotInTeam { staff: JANE, customer: ACME }.to_string();
    assert_eq!(told(&world), Some(elsewhere), "whom it cannot serve tries nothing");
}
