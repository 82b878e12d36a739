//! The rules that forbid an event, in the words of whoever wanted it.
//! Not here: holding an event to them (`apply`, `account`).

use super::closure::ClosureRule;
use super::consent::Mode;
use super::kept::SnapshotRule;
use super::personal::TextFault;
use super::scope::Scope;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, GrantId, HoldId, OwnerId, StaffId};

/// A rule that forbids an event. The texts are for whoever wanted it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Rule {
    /// That actor may never do that.
    #[error("{verb} cannot be done by {by}")]
    NotYours { verb: &'static str, by: &'static str },
    /// Only an owner widens.
    #[error("only the account owner of {customer} can widen access, in the portal; an operator can only narrow it")]
    OnlyOwnerWidens { customer: CustomerId },
    /// An owner of somebody else, or one that is gone.
    #[error("{owner} is not an owner of {customer}, or no longer")]
    NotOwner { owner: OwnerId, customer: CustomerId },
    /// No such customer.
    #[error("there is no customer {0}")]
    NoCustomer(CustomerId),
    /// No such staff member, or removed.
    #[error("there is no staff member {0}, or they were removed")]
    NoStaff(StaffId),
    /// No such owner, or removed.
    #[error("there is no owner {0}, or they were removed")]
    NoOwner(OwnerId),
    /// No such grant, or over already.
    #[error("there is no live grant {0}")]
    NoGrant(GrantId),
    /// A name that somebody has or had.
    #[error(
        "the name \"{name}\" belongs to {holder} and is never given twice, so that the audit log stays clear; \
         choose another"
    )]
    NameTaken { name: String, holder: String },
    /// A token that somebody has.
    #[error("that API token is already in use")]
    TokenTaken,
    /// A database that is another customer's.
    #[error(
        "database \"{database}\" of cluster \"{cluster}\" belongs to {holder}: each customer needs one of its own, a \
         --schema of its own, or a --tenant in shared tables"
    )]
    DatabaseTaken { cluster: String, database: String, holder: CustomerId },
    /// Rows that are another customer's.
    #[error("tenant \"{tenant}\" of database \"{database}\" of cluster \"{cluster}\" is {holder} already")]
    TenantTaken { cluster: String, database: String, tenant: String, holder: CustomerId },
    /// A schema that is another customer's.
    #[error("schema \"{schema}\" of database \"{database}\" of cluster \"{cluster}\" is {holder} already")]
    SchemaTaken { cluster: String, database: String, schema: String, holder: CustomerId },
    /// An operator makes a first owner only.
    #[error("{0} has, or had, an owner: only an owner of the account can add another, in the portal")]
    NotFirstOwner(CustomerId),
    /// A deadline that is not ahead.
    #[error("the end lies before the beginning: choose a time to come")]
    AlreadyOver,
    /// The owner's switch does not let staff open grants.
    #[error("support access to {customer} is {mode}: ask its account owner to switch it on in the portal")]
    NoStandingConsent { customer: CustomerId, mode: Mode },
    /// More than the owner allows.
    #[error("the account owner allows scope {allowed}, not {asked}: ask for --scope {allowed}, or ask the owner")]
    ScopeTooWide { asked: Scope, allowed: Scope },
    /// A scope that does not exist yet.
    #[error("scope {0} is not offered yet: ask for --scope read")]
    ScopeNotOffered(Scope),
    /// Longer than staff may give themselves.
    #[error("a grant lasts at most 2 hours: ask for --for 2h or less, and again when it is over")]
    TooLong,
    /// Longer than the owner allows.
    #[error("the account owner's consent ends at {0}: ask for less time")]
    BeyondConsent(Timestamp),
    /// Only an owner reopens.
    #[error("only the account owner of {customer} can reopen the account, in the portal")]
    OnlyOwnerReopens { customer: CustomerId },
    /// A step of a closing that does not follow.
    #[error(transparent)]
    Closure(#[from] ClosureRule),
    /// No such hold, or released already.
    #[error("there is no hold {0} that is not released")]
    NoHold(HoldId),
    /// A step of a snapshot that does not follow.
    #[error(transparent)]
    Snapshot(#[from] SnapshotRule),
    /// A text that breaks its rule.
    #[error(transparent)]
    Text(#[from] TextFault),
}
