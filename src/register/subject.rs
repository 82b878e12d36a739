//! Whom and what an act concerns, in numbers for the skeleton of its record, and in words for its values.
//! Not here: when it is recorded (`act`).

use crate::grant::{
    AccountStep, By, Code, Draft, ERASED, Glass, GlassStep, Grant, Request, RequestStep, SnapshotStep, State, What,
};
use crate::ids::{CustomerId, GrantId};

/// Whom and what an act concerns, as numbers and words.
#[derive(Default)]
pub(super) struct Subject {
    /// To whom it is sealed; none is the vendor.
    pub(super) customer: Option<CustomerId>,
    /// Whom it concerns.
    pub(super) concerned: Option<CustomerId>,
    pub(super) staff: Option<u64>,
    pub(super) owner: Option<u64>,
    pub(super) grant: Option<GrantId>,
    pub(super) scope: Option<String>,
    pub(super) purpose: Option<String>,
    pub(super) count: Option<u64>,
    pub(super) bytes: Option<u64>,
}

impl Subject {
    pub(super) fn of(state: &State, draft: &Draft) -> Subject {
        let mut subject = match draft.what {
            What::CustomerCreated { .. } | What::StaffCreated => Subject::default(),
            What::StaffRemoved { staff } => Subject { staff: Some(staff.0), ..Subject::default() },
            What::OwnerCreated { customer }
            | What::OwnerInvited { customer, .. }
            | What::CustomerRenamed { customer } => Subject { customer: Some(customer), ..Subject::default() },
            What::OwnerAccepted { invitation } | What::OwnerUninvited { invitation } => {
                let customer = state.invitation(invitation).map(|invitation| invitation.customer);
                Subject { customer, owner: Some(invitation.0), ..Subject::default() }
            }
            What::OwnerRemoved { owner } => {
                let customer = state.owner(owner).map(|owner| owner.customer);
                Subject { customer, owner: Some(owner.0), ..Subject::default() }
            }
            What::ConsentSet { customer, scope, .. } => {
                Subject { customer: Some(customer), scope: Some(scope.to_string()), ..Subject::default() }
            }
            What::GrantIssued { staff, customer, scope, purpose, .. } => Subject {
                customer: Some(customer),
                staff: Some(staff.0),
                scope: Some(scope.to_string()),
                purpose: Some(purpose.to_string()),
                ..Subject::default()
            },
            What::GrantEnded { grant } => state.grant(grant).map_or(Subject::default(), Subject::of_grant),
            What::ConsentAgreed { customer, scope, .. } => {
                Subject { customer: Some(customer), scope: Some(scope.to_string()), ..Subject::default() }
            }
            What::RequestOpened { staff, customer, scope, purpose, .. } => Subject {
                customer: Some(customer),
                staff: Some(staff.0),
                scope: Some(scope.to_string()),
                purpose: Some(purpose.to_string()),
                ..Subject::default()
            },
            What::Request { request, step } => {
                state.request(request).map_or(Subject::default(), |request| Subject::of_request(request, step))
            }
            What::CodeCreated { customer, scope, .. } => {
                Subject { customer: Some(customer), scope: Some(scope.to_string()), ..Subject::default() }
            }
            What::CodeRedeemed { code, .. } | What::CodeMissed { code } => {
                state.code(code).map_or(Subject::default(), Subject::of_code)
            }
            What::InstructionQuestioned { customer } | What::InstructionConfirmed { customer } => {
                Subject { customer: Some(customer), ..Subject::default() }
            }
            What::Account { customer, step } => Subject { customer: Some(customer), ..Subject::of_account(step) },
            What::HoldPlaced { customer, .. } => Subject { customer: Some(customer), ..Subject::default() },
            What::HoldReleased { hold } => {
                Subject { customer: state.hold(hold).map(|hold| hold.customer), ..Subject::default() }
            }
            What::Glass(GlassStep::Asked { staff, customer, scope, lasting: _, purpose }) => Subject {
                customer: Some(customer),
                staff: Some(staff.0),
                scope: Some(scope.to_string()),
                purpose: Some(purpose.to_string()),
                ..Subject::default()
            },
            What::Glass(GlassStep::Confirmed { glass }) => {
                state.glass(glass).map_or(Subject::default(), Subject::of_glass)
            }
            What::Team(step) => {
                let staff = step.staff().map(|staff| staff.0);
                Subject { customer: step.customer(), staff, ..Subject::default() }
            }
            What::Staff { staff, .. } => Subject { staff: Some(staff.0), ..Subject::default() },
            What::Snapshot { step, .. } => match step {
                SnapshotStep::Verified { bytes } | SnapshotStep::Adopted { bytes, .. } => {
                    Subject { bytes: Some(bytes), ..Subject::default() }
                }
                SnapshotStep::Begun { .. }
                | SnapshotStep::Failed
                | SnapshotStep::Expiring
                | SnapshotStep::Deleted { .. } => Subject::default(),
            },
        };
        match draft.by {
            By::Owner(owner) => subject.owner = subject.owner.or(Some(owner.0)),
            By::Staff(staff) => subject.staff = subject.staff.or(Some(staff.0)),
            By::VendorApp | By::Operator | By::System => {}
        }
        // Of a customer the register does not have, there are no keys to record it under; of one whose account is
        // closed there will be none.
        subject.concerned = subject.customer;
        subject.customer = subject.customer.and_then(|customer| state.sealed_for(customer));
        subject
    }

    fn of_grant(grant: &Grant) -> Subject {
        Subject {
            customer: Some(grant.customer),
            staff: Some(grant.staff.0),
            owner: None,
            grant: Some(grant.id),
            scope: Some(grant.scope.to_string()),
            purpose: Some(grant.purpose.to_string()),
            ..Subject::default()
        }
    }

    fn of_request(request: &Request, step: RequestStep) -> Subject {
        let scope = match step {
            RequestStep::Approved { scope, .. } => scope,
            RequestStep::Denied | RequestStep::AskedBack | RequestStep::Answered | RequestStep::Withdrawn => {
                request.scope
            }
        };
        Subject {
            customer: Some(request.customer),
            staff: Some(request.staff.0),
            scope: Some(scope.to_string()),
            purpose: Some(request.purpose.to_string()),
            ..Subject::default()
        }
    }

    fn of_code(code: &Code) -> Subject {
        Subject { customer: Some(code.customer), scope: Some(code.scope.to_string()), ..Subject::default() }
    }

    fn of_glass(glass: &Glass) -> Subject {
        Subject {
            customer: Some(glass.customer),
            staff: Some(glass.staff.0),
            scope: Some(glass.scope.to_string()),
            purpose: Some(glass.purpose.to_string()),
            ..Subject::default()
        }
    }

    fn of_account(step: AccountStep) -> Subject {
        let (count, bytes) = match step {
            AccountStep::Reached { count, .. } => (count, None),
            AccountStep::PurgeVerified { rows, .. } | AccountStep::PurgeRechecked { rows } => (Some(rows), None),
            AccountStep::ErasureDone { keys, .. } => (Some(keys), None),
            AccountStep::Forgotten { rows } => (Some(rows), None),
            AccountStep::Exported { bytes, .. } => (None, Some(bytes)),
            AccountStep::Closed
            | AccountStep::Reopened
            | AccountStep::Chosen { .. }
            | AccountStep::Immediate
            | AccountStep::PurgePlanned { .. }
            | AccountStep::PurgeHeld { .. }
            | AccountStep::PurgeApproved { .. }
            | AccountStep::PurgeBegun { .. }
            | AccountStep::PurgeReplanned { .. }
            | AccountStep::ExportRequested
            | AccountStep::ExportDestroyed { .. }
            | AccountStep::ErasureBegun { .. } => (None, None),
        };
        Subject { count, bytes, ..Subject::default() }
    }
}

/// What is wanted, in words, for whoever reads the log.
pub(super) fn describe(draft: &Draft) -> String {
    let verb = draft.what.verb();
    let what = match draft.what {
        What::CustomerCreated { .. } | What::StaffCreated => String::new(),
        What::StaffRemoved { staff } => format!(" {staff}"),
        What::OwnerCreated { customer } => format!(" {customer}"),
        What::OwnerRemoved { owner } => format!(" {owner}"),
        What::OwnerInvited { customer, ends } => format!(" {customer}: to be accepted by {ends}"),
        What::OwnerAccepted { invitation } | What::OwnerUninvited { invitation } => format!(" {invitation}"),
        What::CustomerRenamed { customer } => {
            let name = draft.personal.as_ref().and_then(|personal| personal.name.as_deref());
            format!(" {customer}: called \"{}\" from now on", name.unwrap_or(ERASED))
        }
        What::ConsentSet { customer, mode, scope, until } => {
            let until = until.map_or(String::new(), |until| format!(" until {until}"));
            format!(" {customer}: {mode}, {scope}{until}")
        }
        What::GrantIssued { staff, customer, scope, ends, purpose } => {
            format!(" {staff} to {customer}: {scope}, {purpose}, ends {ends}")
        }
        What::GrantEnded { grant } => format!(" {grant}"),
        What::ConsentAgreed { customer, mode, scope, until, terms } => {
            let until = until.map_or(String::new(), |until| format!(" until {until}"));
            let longest = terms.longest.as_secs();
            let limits =
                [(terms.has_hours, "hours"), (terms.has_networks, "addresses"), (terms.has_regions, "regions")];
            let limits: String =
                limits.iter().filter(|(is, _)| *is).map(|(_, what)| format!(", {what} limited")).collect();
            let glass = if terms.break_glass { ", break-glass allowed" } else { "" };
            let approvals = terms.approvals;
            format!(" {customer}: {mode}, {scope}{until}, {longest} s at most, {approvals} to approve{limits}{glass}")
        }
        What::RequestOpened { staff, customer, scope, lasting, start_by, purpose, channel } => {
            let lasting = lasting.as_secs();
            format!(" {staff} for {customer}: {scope}, {purpose}, by {channel}, {lasting} s, to begin by {start_by}")
        }
        What::Request { request, step } => match step {
            RequestStep::Approved { scope, lasting } => format!(" {request}: {scope}, {} s", lasting.as_secs()),
            RequestStep::Denied | RequestStep::AskedBack | RequestStep::Answered | RequestStep::Withdrawn => {
                format!(" {request}")
            }
        },
        What::CodeCreated { customer, scope, lasting, expires, key: _ } => {
            format!(" {customer}: {scope}, {} s, to be used by {expires}", lasting.as_secs())
        }
        What::CodeRedeemed { code, staff, purpose } => format!(" {code} by {staff}: {purpose}"),
        What::CodeMissed { code } => format!(" {code}"),
        What::InstructionQuestioned { customer } | What::InstructionConfirmed { customer } => format!(" {customer}"),
        What::Account { customer, step } => format!(" {customer}{}", describe_step(step)),
        What::HoldPlaced { customer, review } => format!(" {customer}: to be reviewed {review}"),
        What::HoldReleased { hold } => format!(" {hold}"),
        What::Glass(step) => step.to_string(),
        What::Team(step) => step.to_string(),
        What::Staff { staff, step } => format!(" {staff}{step}"),
        What::Snapshot { snapshot, step } => format!(" {snapshot}{}", describe_snapshot(step)),
    };
    format!("{verb}{what}, by {}", draft.by)
}

fn describe_step(step: AccountStep) -> String {
    match step {
        AccountStep::Closed | AccountStep::Reopened | AccountStep::Immediate | AccountStep::ExportRequested => {
            String::new()
        }
        AccountStep::Chosen { choice } => format!(": {choice}"),
        AccountStep::Reached { stage, digest, count } => {
            let digest = digest.map_or(String::new(), |digest| format!(", digest {}", hex(&digest)));
            let count = count.map_or(String::new(), |count| format!(", count {count}"));
            format!(": {stage}{digest}{count}")
        }
        AccountStep::PurgePlanned { digest }
        | AccountStep::PurgeHeld { digest, .. }
        | AccountStep::PurgeApproved { digest }
        | AccountStep::PurgeBegun { digest }
        | AccountStep::PurgeReplanned { digest } => format!(": plan {}", hex(&digest)),
        AccountStep::PurgeVerified { rows, level } => format!(": {rows} rows, residue level {level}"),
        AccountStep::PurgeRechecked { rows } => format!(": {rows} rows had come back"),
        AccountStep::Exported { export, bytes, digest } => format!(": {export}, {bytes} bytes, {}", hex(&digest)),
        AccountStep::ExportDestroyed { export } => format!(": {export}"),
        AccountStep::ErasureBegun { part } => format!(": {part}"),
        AccountStep::Forgotten { rows } => format!(": {rows} side rows"),
        AccountStep::ErasureDone { part, keys } => format!(": {part}, {keys} keys"),
    }
}

fn describe_snapshot(step: SnapshotStep) -> String {
    match step {
        SnapshotStep::Begun { backend, started } => format!(": back-end {backend}, started {started}"),
        SnapshotStep::Verified { bytes } => format!(": {bytes} bytes"),
        SnapshotStep::Adopted { backend, started, bytes } => {
            format!(": back-end {backend}, started {started}, {bytes} bytes")
        }
        SnapshotStep::Failed | SnapshotStep::Expiring => String::new(),
        SnapshotStep::Deleted { confirmed } => format!(": its absence confirmed {confirmed}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
