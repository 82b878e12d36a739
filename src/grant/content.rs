//! An event's content as CBOR: one flat map whose numbers are never used again for another meaning.
//! Not here: what an event is (`event`) and what it does (`apply`).

mod staff;

use std::time::Duration;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::closure::{AccountStep, Choice, RecordPart, Stage};
use super::consent::{By, Mode};
use super::event::{Event, What};
use super::kept::SnapshotStep;
use super::layout::Layout;
use super::purging::People;
use super::request::{Channel, RequestStep};
use super::scope::{Purpose, Scope};
use super::terms::Bounds;
use crate::clock::Timestamp;
use crate::ids::{CodeId, CustomerId, EventId, ExportId, GrantId, HoldId, OwnerId, RequestId, SnapshotId, StaffId};

/// Which of an owner's terms are there, as bits.
const BREAK_GLASS: u8 = 1;
const HOURS: u8 = 2;
const NETWORKS: u8 = 4;
const REGIONS: u8 = 8;

/// The wire form of an event.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Content {
    #[n(0)]
    id: ByteArray<16>,
    #[n(1)]
    at: i64,
    #[n(2)]
    by: u8,
    #[n(3)]
    actor: Option<u64>,
    #[n(4)]
    what: u8,
    #[n(5)]
    customer: Option<u64>,
    #[n(6)]
    staff: Option<u64>,
    #[n(7)]
    owner: Option<u64>,
    #[n(8)]
    grant: Option<u64>,
    #[n(9)]
    mode: Option<u8>,
    #[n(10)]
    scope: Option<u8>,
    #[n(11)]
    until: Option<i64>,
    #[n(12)]
    purpose: Option<u8>,
    #[n(13)]
    side: Option<ByteArray<32>>,
    /// None is [`Layout::Database`], as before there were others.
    #[n(14)]
    layout: Option<u8>,
    #[n(15)]
    snapshot: Option<ByteArray<16>>,
    #[n(16)]
    backend: Option<u32>,
    #[n(17)]
    bytes: Option<u64>,
    #[n(18)]
    count: Option<u64>,
    #[n(19)]
    digest: Option<ByteArray<32>>,
    #[n(20)]
    stage: Option<u8>,
    #[n(21)]
    choice: Option<u8>,
    #[n(22)]
    level: Option<u8>,
    #[n(23)]
    part: Option<u8>,
    #[n(24)]
    hold: Option<u64>,
    #[n(25)]
    export: Option<u64>,
    /// A snapshot's start, or when its absence was confirmed.
    #[n(26)]
    moment: Option<i64>,
    #[n(31)]
    request: Option<u64>,
    /// In seconds.
    #[n(32)]
    lasting: Option<u64>,
    #[n(33)]
    channel: Option<u8>,
    #[n(34)]
    code: Option<u64>,
    #[n(35)]
    approvals: Option<u8>,
    #[n(36)]
    terms: Option<u8>,
    #[n(40)]
    team: Option<u64>,
    #[n(41)]
    role: Option<u8>,
    #[n(42)]
    attestation: Option<u8>,
    #[n(43)]
    version: Option<u32>,
    #[n(44)]
    glass: Option<u64>,
}

impl Event {
    /// The content as CBOR, the one encoding there is of it.
    pub fn encode(&self) -> Vec<u8> {
        let (by, actor) = match self.by {
            By::Owner(id) => (1, Some(id.0)),
            By::Staff(id) => (2, Some(id.0)),
            By::VendorApp => (3, None),
            By::Operator => (4, None),
            By::System => (5, None),
        };
        let mut content = Content {
            id: self.id.0.into(),
            at: self.at.0,
            by,
            actor,
            what: 0,
            customer: None,
            staff: None,
            owner: None,
            grant: None,
            mode: None,
            scope: None,
            until: None,
            purpose: None,
            side: self.side.map(ByteArray::from),
            layout: None,
            snapshot: None,
            backend: None,
            bytes: None,
            count: None,
            digest: None,
            stage: None,
            choice: None,
            level: None,
            part: None,
            hold: None,
            export: None,
            moment: None,
            request: None,
            lasting: None,
            channel: None,
            code: None,
            approvals: None,
            terms: None,
            team: None,
            role: None,
            attestation: None,
            version: None,
            glass: None,
        };
        content.fill(&self.what);
        minicbor::to_vec(&content).expect("writing to memory does not fail")
    }

    /// Reads a content back. `None`: not an event this version knows, or not in its one encoding.
    pub fn decode(bytes: &[u8]) -> Option<Event> {
        let content: Content = minicbor::decode(bytes).ok()?;
        let by = match (content.by, content.actor) {
            (1, Some(id)) => By::Owner(OwnerId(id)),
            (2, Some(id)) => By::Staff(StaffId(id)),
            (3, None) => By::VendorApp,
            (4, None) => By::Operator,
            (5, None) => By::System,
            _ => return None,
        };
        let event = Event {
            id: EventId(content.id.into()),
            at: Timestamp(content.at),
            by,
            what: content.what()?,
            side: content.side.map(<[u8; 32]>::from),
        };
        (event.encode() == bytes).then_some(event)
    }
}

impl Content {
    fn fill(&mut self, what: &What) {
        match *what {
            What::CustomerCreated { layout } => {
                self.what = 1;
                self.layout = Some(layout.number()).filter(|_| layout != Layout::Database);
            }
            What::StaffCreated => self.what = 2,
            What::StaffRemoved { staff } => (self.what, self.staff) = (3, Some(staff.0)),
            What::OwnerCreated { customer } => (self.what, self.customer) = (4, Some(customer.0)),
            What::OwnerRemoved { owner } => (self.what, self.owner) = (5, Some(owner.0)),
            What::OwnerInvited { customer, ends } => {
                (self.what, self.customer, self.until) = (70, Some(customer.0), Some(ends.0));
            }
            What::OwnerAccepted { invitation } => (self.what, self.owner) = (71, Some(invitation.0)),
            What::OwnerUninvited { invitation } => (self.what, self.owner) = (72, Some(invitation.0)),
            What::CustomerRenamed { customer } => (self.what, self.customer) = (73, Some(customer.0)),
            What::ConsentSet { customer, mode, scope, until } => {
                (self.what, self.customer) = (6, Some(customer.0));
                (self.mode, self.scope) = (Some(mode.number()), Some(scope.number()));
                self.until = until.map(|until| until.0);
            }
            What::GrantIssued { staff, customer, scope, ends, purpose } => {
                (self.what, self.staff, self.customer) = (7, Some(staff.0), Some(customer.0));
                (self.scope, self.until) = (Some(scope.number()), Some(ends.0));
                self.purpose = Some(purpose.number());
            }
            What::GrantEnded { grant } => (self.what, self.grant) = (8, Some(grant.0)),
            What::ConsentAgreed { customer, mode, scope, until, terms } => {
                (self.what, self.customer) = (37, Some(customer.0));
                (self.mode, self.scope) = (Some(mode.number()), Some(scope.number()));
                self.until = until.map(|until| until.0);
                self.fill_terms(terms);
            }
            What::RequestOpened { staff, customer, scope, lasting, start_by, purpose, channel } => {
                (self.what, self.staff, self.customer) = (31, Some(staff.0), Some(customer.0));
                (self.scope, self.lasting) = (Some(scope.number()), Some(lasting.as_secs()));
                (self.until, self.purpose) = (Some(start_by.0), Some(purpose.number()));
                self.channel = Some(channel.number());
            }
            What::Request { request, step } => {
                self.request = Some(request.0);
                self.fill_request(step);
            }
            What::CodeCreated { customer, scope, lasting, expires, key } => {
                (self.what, self.customer, self.digest) = (38, Some(customer.0), Some(key.into()));
                (self.scope, self.lasting) = (Some(scope.number()), Some(lasting.as_secs()));
                self.until = Some(expires.0);
            }
            What::CodeRedeemed { code, staff, purpose } => {
                (self.what, self.code, self.staff) = (39, Some(code.0), Some(staff.0));
                self.purpose = Some(purpose.number());
            }
            What::CodeMissed { code } => (self.what, self.code) = (40, Some(code.0)),
            What::InstructionQuestioned { customer } => (self.what, self.customer) = (41, Some(customer.0)),
            What::InstructionConfirmed { customer } => (self.what, self.customer) = (42, Some(customer.0)),
            What::Account { customer, step } => {
                self.customer = Some(customer.0);
                self.fill_account(step);
            }
            What::HoldPlaced { customer, review } => {
                (self.what, self.customer, self.until) = (14, Some(customer.0), Some(review.0));
            }
            What::HoldReleased { hold } => (self.what, self.hold) = (15, Some(hold.0)),
            What::Glass(step) => self.fill_glass(step),
            What::Team(step) => self.fill_team(step),
            What::Staff { staff, step } => {
                self.staff = Some(staff.0);
                self.fill_staff(step);
            }
            What::Snapshot { snapshot, step } => {
                self.snapshot = Some(snapshot.0.into());
                self.fill_snapshot(step);
            }
        }
    }

    fn fill_request(&mut self, step: RequestStep) {
        match step {
            RequestStep::Approved { scope, lasting } => {
                (self.what, self.scope, self.lasting) = (32, Some(scope.number()), Some(lasting.as_secs()));
            }
            RequestStep::Denied => self.what = 33,
            RequestStep::AskedBack => self.what = 34,
            RequestStep::Answered => self.what = 35,
            RequestStep::Withdrawn => self.what = 36,
        }
    }

    fn fill_terms(&mut self, bounds: Bounds) {
        let Bounds { longest, approvals, break_glass, has_hours, has_networks, has_regions } = bounds;
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        (self.lasting, self.approvals) = (Some(longest.as_secs()), Some(approvals));
        let limits = bit(has_hours, HOURS) | bit(has_networks, NETWORKS) | bit(has_regions, REGIONS);
        self.terms = Some(bit(break_glass, BREAK_GLASS) | limits);
    }

    fn fill_account(&mut self, step: AccountStep) {
        match step {
            AccountStep::Closed => self.what = 9,
            AccountStep::Reopened => self.what = 10,
            AccountStep::Chosen { choice } => (self.what, self.choice) = (11, Some(choice.number())),
            AccountStep::Immediate => self.what = 12,
            AccountStep::Reached { stage, digest, count } => {
                (self.what, self.stage, self.count) = (13, Some(stage.number()), count);
                self.digest = digest.map(ByteArray::from);
            }
            AccountStep::PurgePlanned { digest } => (self.what, self.digest) = (22, Some(digest.into())),
            AccountStep::PurgeBegun { digest } => (self.what, self.digest) = (23, Some(digest.into())),
            AccountStep::PurgeHeld { digest, people } => {
                (self.what, self.digest, self.count) = (61, Some(digest.into()), Some(people.number()));
            }
            AccountStep::PurgeApproved { digest } => (self.what, self.digest) = (62, Some(digest.into())),
            AccountStep::Forgotten { rows } => (self.what, self.count) = (64, Some(rows)),
            AccountStep::PurgeReplanned { digest } => (self.what, self.digest) = (63, Some(digest.into())),
            AccountStep::PurgeVerified { rows, level } => {
                (self.what, self.count, self.level) = (24, Some(rows), Some(level));
            }
            AccountStep::PurgeRechecked { rows } => (self.what, self.count) = (25, Some(rows)),
            AccountStep::ExportRequested => self.what = 26,
            AccountStep::Exported { export, bytes, digest } => {
                (self.what, self.export, self.bytes) = (27, Some(export.0), Some(bytes));
                self.digest = Some(digest.into());
            }
            AccountStep::ExportDestroyed { export } => (self.what, self.export) = (28, Some(export.0)),
            AccountStep::ErasureBegun { part } => (self.what, self.part) = (29, Some(part.number())),
            AccountStep::ErasureDone { part, keys } => {
                (self.what, self.part, self.count) = (30, Some(part.number()), Some(keys));
            }
        }
    }

    fn fill_snapshot(&mut self, step: SnapshotStep) {
        match step {
            SnapshotStep::Begun { backend, started } => {
                (self.what, self.backend, self.moment) = (16, Some(backend), Some(started.0));
            }
            SnapshotStep::Verified { bytes } => (self.what, self.bytes) = (17, Some(bytes)),
            SnapshotStep::Failed => self.what = 18,
            SnapshotStep::Adopted { backend, started, bytes } => {
                (self.what, self.backend, self.moment) = (19, Some(backend), Some(started.0));
                self.bytes = Some(bytes);
            }
            SnapshotStep::Expiring => self.what = 20,
            SnapshotStep::Deleted { confirmed } => (self.what, self.moment) = (21, Some(confirmed.0)),
        }
    }

    fn what(&self) -> Option<What> {
        Some(match self.what {
            1 => What::CustomerCreated { layout: self.layout.map_or(Some(Layout::Database), Layout::from_number)? },
            2 => What::StaffCreated,
            3 => What::StaffRemoved { staff: StaffId(self.staff?) },
            4 => What::OwnerCreated { customer: CustomerId(self.customer?) },
            5 => What::OwnerRemoved { owner: OwnerId(self.owner?) },
            6 => What::ConsentSet {
                customer: CustomerId(self.customer?),
                mode: Mode::from_number(self.mode?)?,
                scope: Scope::from_number(self.scope?)?,
                until: self.until.map(Timestamp),
            },
            7 => What::GrantIssued {
                staff: StaffId(self.staff?),
                customer: CustomerId(self.customer?),
                scope: Scope::from_number(self.scope?)?,
                ends: Timestamp(self.until?),
                purpose: Purpose::from_number(self.purpose?)?,
            },
            8 => What::GrantEnded { grant: GrantId(self.grant?) },
            14 => What::HoldPlaced { customer: CustomerId(self.customer?), review: Timestamp(self.until?) },
            15 => What::HoldReleased { hold: HoldId(self.hold?) },
            16..=21 => What::Snapshot { snapshot: SnapshotId(self.snapshot?.into()), step: self.snapshot_step()? },
            31 => What::RequestOpened {
                staff: StaffId(self.staff?),
                customer: CustomerId(self.customer?),
                scope: Scope::from_number(self.scope?)?,
                lasting: Duration::from_secs(self.lasting?),
                start_by: Timestamp(self.until?),
                purpose: Purpose::from_number(self.purpose?)?,
                channel: Channel::from_number(self.channel?)?,
            },
            32..=36 => What::Request { request: RequestId(self.request?), step: self.request_step()? },
            37 => What::ConsentAgreed {
                customer: CustomerId(self.customer?),
                mode: Mode::from_number(self.mode?)?,
                scope: Scope::from_number(self.scope?)?,
                until: self.until.map(Timestamp),
                terms: self.bounds()?,
            },
            38 => What::CodeCreated {
                customer: CustomerId(self.customer?),
                scope: Scope::from_number(self.scope?)?,
                lasting: Duration::from_secs(self.lasting?),
                expires: Timestamp(self.until?),
                key: self.digest?.into(),
            },
            39 => What::CodeRedeemed {
                code: CodeId(self.code?),
                staff: StaffId(self.staff?),
                purpose: Purpose::from_number(self.purpose?)?,
            },
            40 => What::CodeMissed { code: CodeId(self.code?) },
            41 => What::InstructionQuestioned { customer: CustomerId(self.customer?) },
            42 => What::InstructionConfirmed { customer: CustomerId(self.customer?) },
            70 => What::OwnerInvited { customer: CustomerId(self.customer?), ends: Timestamp(self.until?) },
            71 => What::OwnerAccepted { invitation: OwnerId(self.owner?) },
            72 => What::OwnerUninvited { invitation: OwnerId(self.owner?) },
            73 => What::CustomerRenamed { customer: CustomerId(self.customer?) },
            46..=51 => What::Team(self.team_step()?),
            57 | 58 => What::Glass(self.glass_step()?),
            52..=56 | 66..=69 => What::Staff { staff: StaffId(self.staff?), step: self.staff_step()? },
            9..=13 | 22..=30 | 61..=64 => {
                What::Account { customer: CustomerId(self.customer?), step: self.account_step()? }
            }
            _ => return None,
        })
    }

    fn request_step(&self) -> Option<RequestStep> {
        Some(match self.what {
            32 => RequestStep::Approved {
                scope: Scope::from_number(self.scope?)?,
                lasting: Duration::from_secs(self.lasting?),
            },
            33 => RequestStep::Denied,
            34 => RequestStep::AskedBack,
            35 => RequestStep::Answered,
            36 => RequestStep::Withdrawn,
            _ => return None,
        })
    }

    fn bounds(&self) -> Option<Bounds> {
        let bits = self.terms?;
        let has = |bit: u8| bits & bit != 0;
        Some(Bounds {
            longest: Duration::from_secs(self.lasting?),
            approvals: self.approvals?,
            break_glass: has(BREAK_GLASS),
            has_hours: has(HOURS),
            has_networks: has(NETWORKS),
            has_regions: has(REGIONS),
        })
    }

    fn account_step(&self) -> Option<AccountStep> {
        let digest = self.digest.map(<[u8; 32]>::from);
        let export = self.export.map(ExportId);
        Some(match self.what {
            9 => AccountStep::Closed,
            10 => AccountStep::Reopened,
            11 => AccountStep::Chosen { choice: Choice::from_number(self.choice?)? },
            12 => AccountStep::Immediate,
            13 => AccountStep::Reached { stage: Stage::from_number(self.stage?)?, digest, count: self.count },
            22 => AccountStep::PurgePlanned { digest: digest? },
            23 => AccountStep::PurgeBegun { digest: digest? },
            24 => AccountStep::PurgeVerified { rows: self.count?, level: self.level? },
            25 => AccountStep::PurgeRechecked { rows: self.count? },
            26 => AccountStep::ExportRequested,
            27 => AccountStep::Exported { export: export?, bytes: self.bytes?, digest: digest? },
            28 => AccountStep::ExportDestroyed { export: export? },
            29 => AccountStep::ErasureBegun { part: RecordPart::from_number(self.part?)? },
            30 => AccountStep::ErasureDone { part: RecordPart::from_number(self.part?)?, keys: self.count? },
            61 => AccountStep::PurgeHeld { digest: digest?, people: People::from_number(self.count?)? },
            62 => AccountStep::PurgeApproved { digest: digest? },
            64 => AccountStep::Forgotten { rows: self.count? },
            63 => AccountStep::PurgeReplanned { digest: digest? },
            _ => return None,
        })
    }

    fn snapshot_step(&self) -> Option<SnapshotStep> {
        let moment = self.moment.map(Timestamp);
        Some(match self.what {
            16 => SnapshotStep::Begun { backend: self.backend?, started: moment? },
            17 => SnapshotStep::Verified { bytes: self.bytes? },
            18 => SnapshotStep::Failed,
            19 => SnapshotStep::Adopted { backend: self.backend?, started: moment?, bytes: self.bytes? },
            20 => SnapshotStep::Expiring,
            21 => SnapshotStep::Deleted { confirmed: moment? },
            _ => return None,
        })
    }
}
