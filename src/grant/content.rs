//! An event's content as CBOR: one flat map whose numbers are never used again for another meaning.
//! Not here: what an event is (`event`) and what it does (`apply`).

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use super::closure::{AccountStep, Choice, RecordPart, Stage};
use super::consent::{By, Mode};
use super::event::{Event, What};
use super::kept::SnapshotStep;
use super::layout::Layout;
use super::scope::{Purpose, Scope};
use crate::clock::Timestamp;
use crate::ids::{CustomerId, EventId, ExportId, GrantId, HoldId, OwnerId, SnapshotId, StaffId};

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
            What::Account { customer, step } => {
                self.customer = Some(customer.0);
                self.fill_account(step);
            }
            What::HoldPlaced { customer, review } => {
                (self.what, self.customer, self.until) = (14, Some(customer.0), Some(review.0));
            }
            What::HoldReleased { hold } => (self.what, self.hold) = (15, Some(hold.0)),
            What::Snapshot { snapshot, step } => {
                self.snapshot = Some(snapshot.0.into());
                self.fill_snapshot(step);
            }
        }
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
            9..=13 | 22..=30 => What::Account { customer: CustomerId(self.customer?), step: self.account_step()? },
            _ => return None,
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
