use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::grant::world::{ACME, NOON, World, portal_key, reason, trust};
use crate::grant::{Attestation, Choice, People, RecordPart, Stage, TeamRole};
use crate::ids::{ExportId, GlassId, TeamId};

fn every_what() -> Vec<What> {
    let (customer, staff, owner, grant) = (CustomerId(1), StaffId(2), OwnerId(3), GrantId(4));
    let (scope, ends, purpose) = (Scope::Write, NOON, Purpose::Question);
    vec![
        What::CustomerCreated { layout: Layout::Database },
        What::CustomerCreated { layout: Layout::Shared },
        What::StaffCreated,
        What::StaffRemoved { staff },
        What::OwnerCreated { customer },
        What::OwnerRemoved { owner },
        What::OwnerInvited { customer, ends },
        What::OwnerAccepted { invitation: owner },
        What::OwnerUninvited { invitation: owner },
        What::CustomerRenamed { customer },
        What::ConsentSet { customer, mode: Mode::Off, scope, until: None },
        What::ConsentSet { customer, mode: Mode::Standing, scope: Scope::Read, until: Some(NOON) },
        What::GrantIssued { staff, customer, scope, ends, purpose },
        What::GrantEnded { grant },
        What::ConsentAgreed { customer, mode: Mode::PerRequest, scope, until: None, terms: bounds(false) },
        What::ConsentAgreed { customer, mode: Mode::Standing, scope, until: Some(NOON), terms: bounds(true) },
        What::RequestOpened { staff, customer, scope, lasting: HOUR, start_by: NOON, purpose, channel: Channel::Phone },
        What::CodeCreated { customer, scope, lasting: HOUR, expires: NOON, key: [9; 32] },
        What::CodeRedeemed { code: CodeId(7), staff, purpose },
        What::CodeMissed { code: CodeId(7) },
        What::InstructionQuestioned { customer },
        What::InstructionConfirmed { customer },
        What::HoldPlaced { customer, review: NOON },
        What::HoldReleased { hold: HoldId(5) },
        What::Glass(GlassStep::Asked { staff, customer, scope, lasting: HOUR, purpose }),
        What::Glass(GlassStep::Confirmed { glass: GlassId(7) }),
        What::Team(TeamStep::Created),
        What::Team(TeamStep::Dissolved { team: TeamId(7) }),
        What::Team(TeamStep::MemberAdded { team: TeamId(7), staff, role: TeamRole::Lead }),
        What::Team(TeamStep::MemberRemoved { team: TeamId(7), staff }),
        What::Team(TeamStep::Assigned { team: TeamId(7), customer }),
        What::Team(TeamStep::Unassigned { team: TeamId(7), customer }),
        What::Staff { staff, step: StaffStep::Suspended },
        What::Staff { staff, step: StaffStep::Resumed },
        What::Staff { staff, step: StaffStep::Attested { kind: Attestation::Training, version: 3, until: NOON } },
        What::Staff { staff, step: StaffStep::Limited },
        What::Staff { staff, step: StaffStep::Excepted { until: NOON } },
        What::Staff { staff, step: StaffStep::TokenIssued { until: NOON, code: None } },
        What::Staff { staff, step: StaffStep::TokenIssued { until: NOON, code: Some(7) } },
        What::Staff { staff, step: StaffStep::SecondFactorSet },
        What::Staff { staff, step: StaffStep::SecondFactorRemoved },
        What::Staff { staff, step: StaffStep::SubjectForgotten },
    ]
    .into_iter()
    .chain(every_request_step().into_iter().map(|step| What::Request { request: RequestId(6), step }))
    .chain(every_account_step().into_iter().map(|step| What::Account { customer, step }))
    .chain(every_snapshot_step().into_iter().map(|step| What::Snapshot { snapshot: SnapshotId([6; 16]), step }))
    .collect()
}

const HOUR: Duration = Duration::from_secs(3600);

fn bounds(all: bool) -> Bounds {
    let (break_glass, has_hours, has_networks, has_regions) = (all, all, all, all);
    Bounds { longest: HOUR, approvals: 2, break_glass, has_hours, has_networks, has_regions }
}

fn every_request_step() -> [RequestStep; 5] {
    [
        RequestStep::Approved { scope: Scope::Read, lasting: HOUR },
        RequestStep::Denied,
        RequestStep::AskedBack,
        RequestStep::Answered,
        RequestStep::Withdrawn,
    ]
}

/// At least one of each, with and without what may be absent.
pub(crate) fn every_account_step() -> Vec<AccountStep> {
    let (digest, export) = ([7; 32], ExportId(8));
    let mut steps = vec![
        AccountStep::Closed,
        AccountStep::Reopened,
        AccountStep::Immediate,
        AccountStep::PurgePlanned { digest },
        AccountStep::PurgeHeld { digest, people: People::One },
        AccountStep::PurgeHeld { digest, people: People::Two },
        AccountStep::PurgeApproved { digest },
        AccountStep::PurgeBegun { digest },
        AccountStep::PurgeReplanned { digest },
        AccountStep::PurgeVerified { rows: u64::MAX, level: 3 },
        AccountStep::PurgeRechecked { rows: 0 },
        AccountStep::Forgotten { rows: 5 },
        AccountStep::ExportRequested,
        AccountStep::Exported { export, bytes: 1 << 40, digest },
        AccountStep::ExportDestroyed { export },
    ];
    steps.extend(Choice::ALL.iter().map(|choice| AccountStep::Chosen { choice: *choice }));
    for stage in Stage::ALL.iter().copied() {
        steps.push(AccountStep::Reached { stage, digest: None, count: None });
        steps.push(AccountStep::Reached { stage, digest: Some(digest), count: Some(9) });
    }
    for part in RecordPart::ALL.iter().copied() {
        steps.extend([AccountStep::ErasureBegun { part }, AccountStep::ErasureDone { part, keys: 4 }]);
    }
    steps
}

fn every_snapshot_step() -> [SnapshotStep; 6] {
    [
        SnapshotStep::Begun { backend: 1, started: NOON },
        SnapshotStep::Verified { bytes: 2 },
        SnapshotStep::Failed,
        SnapshotStep::Adopted { backend: 3, started: NOON, bytes: 4 },
        SnapshotStep::Expiring,
        SnapshotStep::Deleted { confirmed: NOON },
    ]
}

#[test]
fn no_two_events_are_written_alike_and_each_has_a_verb_of_its_own() {
    let encoded = |what| Event { id: EventId([1; 16]), at: NOON, by: By::System, what, side: None }.encode();
    let all = every_what();
    let distinct: BTreeSet<Vec<u8>> = all.iter().map(|what| encoded(*what)).collect();
    assert_eq!(distinct.len(), all.len());
    let verbs: BTreeSet<&str> = all.iter().map(What::verb).collect();
    assert_eq!(verbs.len(), 8 + 7 + 5 + 20 + 2 + 6 + 6 + 5 + 2 + 3 + 5);
}

fn verbs_of(all: &[What], is: impl Fn(&What) -> bool) -> BTreeSet<&'static str> {
    all.iter().filter(|what| is(what)).map(What::verb).collect()
}

/// What narrows shuts people out before the register says so.
#[test]
fn only_what_takes_access_away_narrows() {
    let (nobody, customer, scope) = (State::default(), ACME, Scope::Read);
    let narrowing = verbs_of(&every_what(), |what| what.narrows(&nobody, NOON));
    let expected = [
        "staff.removed",
        "owner.removed",
        "owner.uninvited",
        "grant.ended",
        "request.denied",
        "request.withdrawn",
        "code.missed",
        "instruction.questioned",
        "customer.closed",
        "team.dissolved",
        "team.member-removed",
        "team.unassigned",
        "staff.suspended",
    ];
    assert_eq!(narrowing, BTreeSet::from(expected));
    let mut world = World::with_people();
    world.consent(Mode::Standing, scope, None);
    for (mode, scope, narrows) in
        [(Mode::Off, scope, true), (Mode::PerRequest, scope, true), (Mode::Standing, Scope::Write, false)]
    {
        let what = What::ConsentSet { customer, mode, scope, until: None };
        assert_eq!(what.narrows(&world.state, NOON), narrows, "{mode} {scope}");
        let what = What::ConsentAgreed { customer, mode, scope, until: None, terms: bounds(false) };
        assert_eq!(what.narrows(&world.state, NOON), mode == Mode::Off, "with terms, {mode} {scope}");
    }
}

#[test]
fn what_owners_say_codes_and_short_lived_passwords_count_only_signed() {
    let all = every_what();
    for by in [By::Staff(StaffId(8)), By::VendorApp, By::Operator, By::System] {
        let signed = verbs_of(&all, |what| what.is_signed(by));
        assert_eq!(signed, BTreeSet::from(["code.redeemed", "token.issued"]), "{by}");
    }
    assert!(all.iter().all(|what| what.is_signed(By::Owner(OwnerId(9)))));
}

#[test]
fn whatever_concerns_a_person_has_a_side_row_and_nothing_else() {
    let expected = [
        "customer.created",
        "staff.created",
        "owner.created",
        "owner.invited",
        "owner.accepted",
        "customer.renamed",
        "grant.issued",
        "consent.agreed",
        "request.opened",
        "request.asked-back",
        "request.answered",
        "code.created",
        "code.redeemed",
        "instruction.questioned",
        "hold.placed",
        "hold.released",
        "glass.asked",
        "team.created",
        "staff.limited",
        "staff.excepted",
        "token.issued",
        "second-factor.set",
    ];
    assert_eq!(verbs_of(&every_what(), What::has_side), BTreeSet::from(expected));
    let (none, customer, scope) = (bounds(false), ACME, Scope::Read);
    for (terms, has_side) in [
        (none, false),
        (Bounds { break_glass: true, ..none }, false),
        (Bounds { has_hours: true, ..none }, true),
        (Bounds { has_networks: true, ..none }, true),
        (Bounds { has_regions: true, ..none }, true),
    ] {
        let what = What::ConsentAgreed { customer, mode: Mode::Standing, scope, until: None, terms };
        assert_eq!(what.has_side(), has_side, "{terms:?}");
    }
}

#[test]
fn every_event_reads_back_as_it_was_written() {
    let actors = [By::Owner(OwnerId(9)), By::Staff(StaffId(8)), By::VendorApp, By::Operator, By::System];
    for what in every_what() {
        for by in actors {
            for side in [None, Some([5; 32])] {
                let event = Event { id: EventId([1; 16]), at: NOON, by, what, side };
                assert_eq!(Event::decode(&event.encode()), Some(event));
            }
        }
    }
}

#[test]
fn an_event_has_one_encoding() {
    let event = Event {
        id: EventId([1; 16]),
        at: NOON,
        by: By::Operator,
        what: What::CustomerCreated { layout: Layout::Database },
        side: None,
    };
    let mut longer = event.encode();
    longer.push(0xf6);
    assert_eq!(Event::decode(&longer), None, "something is left over");
    let shorter = event.encode();
    assert_eq!(Event::decode(shorter.split_last().map_or(&[], |(_, rest)| rest)), None, "something is missing");
}

#[test]
fn the_content_is_ids_numbers_and_times_only() {
    let draft = Draft {
        by: By::Staff(StaffId(2)),
        what: What::CustomerCreated { layout: Layout::Database },
        personal: Some(reason()),
    };
    let proposal = draft.propose(EventId([1; 16]), NOON, [9; 32], (Sequence(0), [0; 32]));
    let side = proposal.stored.side.clone().expect("it has a side row");
    let text = b"invoices";
    assert!(side.body.windows(text.len()).any(|window| window == text));
    assert!(!proposal.stored.content.windows(text.len()).any(|window| window == text));
    assert_eq!(Event::decode(&proposal.stored.content).and_then(|event| event.side), Some(side.digest()));
}

/// Whoever verifies the register elsewhere computes the same.
#[test]
fn a_hash_is_sha_256_of_the_one_before_and_the_content() {
    let hex: String = chain(&[1; 32], b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "f138dfb92f2d15143be6aa75d8c22a848559e77362670c45c8ab5852fe23e081");
}

#[test]
fn a_side_rows_digest_depends_on_its_salt() {
    let body = reason().encode();
    assert_ne!(Side { salt: [1; 32], body: body.clone() }.digest(), Side { salt: [2; 32], body }.digest());
}

#[test]
fn a_signature_holds_only_for_its_place_head_and_content() {
    let draft = Draft { by: By::Owner(OwnerId(2)), what: What::GrantEnded { grant: GrantId(4) }, personal: None };
    let mut proposal = draft.propose(EventId([1; 16]), NOON, [0; 32], (Sequence(4), [3; 32]));
    proposal.sign(&portal_key(), &[3; 32]);
    let stored = proposal.stored;
    let signature = stored.signature.expect("it was signed");
    let key = trust().portal_key;
    assert!(signature_holds(&key, &stored, &[3; 32], &signature));
    assert!(!signature_holds(&key, &stored, &[4; 32], &signature), "another head");
    assert!(!signature_holds(&[8; 32], &stored, &[3; 32], &signature), "another key");
    let elsewhere = Stored { sequence: Sequence(6), ..stored.clone() };
    assert!(!signature_holds(&key, &elsewhere, &[3; 32], &signature), "another place");
    let mut content = stored.content.clone();
    content.push(0);
    assert!(!signature_holds(&key, &Stored { content, ..stored }, &[3; 32], &signature), "another content");
}

proptest! {
    #[test]
    fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(event) = Event::decode(&bytes) {
            prop_assert_eq!(event.encode(), bytes.clone());
        }
        if let Some(personal) = Personal::decode(&bytes) {
            prop_assert_eq!(personal.encode(), bytes);
        }
    }
}

/// What a register holds that was written before there was a layout.
#[test]
fn a_customer_of_an_older_register_has_a_database_of_its_own() {
    let what = What::CustomerCreated { layout: Layout::Database };
    let event = Event { id: EventId([1; 16]), at: NOON, by: By::Operator, what, side: Some([5; 32]) };
    let older = [
        [0xbf, 0x00, 0x50].as_slice(),
        &[1; 16],
        &[0x01, 0x1b],
        &NOON.0.to_be_bytes(),
        &[0x02, 0x04, 0x04, 0x01, 0x0d, 0x58, 0x20],
        &[5; 32],
        &[0xff],
    ]
    .concat();
    let definite: Vec<u8> = [&[0xa5], older.get(1..older.len() - 1).unwrap_or_default()].concat();
    let encoded = event.encode();
    assert!(encoded == older || encoded == definite, "{encoded:02x?}");
    assert_eq!(Event::decode(&encoded), Some(event));
}
