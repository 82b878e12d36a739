//! The rules that forbid an event, in the words of whoever wanted it.
//! Not here: holding an event to them (`apply`, `account`).

use std::time::Duration;

use super::closure::ClosureRule;
use super::consent::Mode;
use super::hours::HoursFault;
use super::invitation::INVITED_MAX;
use super::kept::SnapshotRule;
use super::network::NetworkFault;
use super::personal::TextFault;
use super::scope::Scope;
use super::terms::TermsFault;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, GlassId, GrantId, HoldId, OwnerId, RequestId, StaffId, TeamId};

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
    /// The same to those who are not told whose it is.
    #[error("the name \"{0}\" is not free: choose another")]
    NameNotFree(String),
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
    /// An invitation that nothing can come of any more.
    #[error(
        "that invitation cannot be accepted: it was used, its time is over, or another one took its place; ask for a new one"
    )]
    InvitationOver,
    /// An invitation for longer than it may be.
    #[error("an invitation can be accepted for at most 30 days: choose an earlier end")]
    InvitedTooLong,
    /// More invitations than an account may have open.
    #[error("{max} invitations to {0} are open: take one back, or wait until one is accepted or over", max = INVITED_MAX)]
    InvitedTooMany(CustomerId),
    /// Nothing would change.
    #[error("it is called \"{0}\" already")]
    SameName(String),
    /// An account that is closed.
    #[error(
        "the account of {customer} is closed since {at} and keeps its name, as its archive and its certificate say it"
    )]
    ClosedKeepsName { customer: CustomerId, at: Timestamp },
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
    /// Longer than the owner allows a grant to be.
    #[error("the account owner allows {} at a time: ask for less, and again when it is over", told(*.0))]
    LongerThanAllowed(Duration),
    /// Off means off.
    #[error(
        "support access to {customer} is off, and off means off: ask its account owner to switch it on in the portal"
    )]
    AccessOff { customer: CustomerId },
    /// A doubt that nobody has answered.
    #[error(
        "staff doubted the instructions of {customer} at {at}: nothing is opened until its account owner has answered \
         that in the portal"
    )]
    Questioned { customer: CustomerId, at: Timestamp },
    /// No doubt to answer.
    #[error("nobody doubts the instructions of {0}")]
    NotQuestioned(CustomerId),
    /// A beginning that is too far away.
    #[error("the latest beginning lies more than 7 days ahead: ask for a sooner one, or ask later")]
    StartTooFar,
    /// One at a time.
    #[error("{0} of yours still waits for an answer: withdraw it before you ask again")]
    AskedAlready(RequestId),
    /// No such request.
    #[error("there is no request {0}")]
    NoRequest(RequestId),
    /// Nothing can come of it any more.
    #[error("{request} is over ({status}), and a request is decided once: ask anew")]
    RequestOver { request: RequestId, status: &'static str },
    /// Nobody asked.
    #[error("no owner has asked anything about {0} that is not answered")]
    NotAskedBack(RequestId),
    /// A clock that was set back.
    #[error("this machine's clock is behind: the register says that {0} has been; set the clock, then do this again")]
    ClockBehind(Timestamp),
    /// Nobody lets themselves in.
    #[error("whoever asks never approves: an owner of another name must")]
    RequesterApproves,
    /// An approver may give less, never more.
    #[error("{scope} for {} was asked for: approve that or less", told(*lasting))]
    MoreThanAsked { scope: Scope, lasting: Duration },
    /// A person counts once.
    #[error(
        "{owner} has approved already, and a person counts once: {have} of {needed} approvals are there; another owner \
         must approve"
    )]
    ApprovedAlready { owner: OwnerId, have: usize, needed: u8 },
    /// One owner's code where several must approve.
    #[error("{0} owners must approve here, and a one-time code is one owner's: let staff send a request")]
    CodeOfMany(u8),
    /// A code that would live too long.
    #[error("a one-time code lives at most 10 minutes")]
    CodeLife,
    /// A code that opens nothing any more.
    #[error(
        "that code opens nothing: it was used, its 10 minutes are over, too many wrong ones were tried, or the switch was \
         moved; ask the account owner for a new one"
    )]
    CodeOver,
    /// Terms that cannot be.
    #[error(transparent)]
    Terms(#[from] TermsFault),
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
    /// Nothing that could be confirmed.
    #[error(
        "there is nothing to confirm under {0}: it was confirmed already, it is more than 15 minutes old, or since \
         then the owner moved the switch or whoever asked was suspended; ask anew"
    )]
    NoGlass(GlassId),
    /// An owner who did not agree to it.
    #[error("the account owner of {customer} has not agreed to break-glass: ask the owner to allow it, or for access")]
    NoBreakGlass { customer: CustomerId },
    /// Two of whom neither vouches.
    #[error("one of the two must be a team lead or of security")]
    NeitherVouches,
    /// Longer than an emergency may last.
    #[error("break-glass lasts at most {} min: ask for less time", .0.as_secs() / 60)]
    GlassTooLong(Duration),
    /// No such team, or dissolved.
    #[error("there is no team {0}, or it was dissolved")]
    NoTeam(TeamId),
    /// The first team is never dissolved.
    #[error("team \"support\" stays: new staff and customers begin in it; take out of it whom you like")]
    SupportStays,
    /// Nothing would change.
    #[error("{staff} is that in {team} already")]
    MemberAlready { team: TeamId, staff: StaffId },
    /// Somebody who is not in the team.
    #[error("{staff} is not in {team}")]
    NotAMember { team: TeamId, staff: StaffId },
    /// Nothing would change.
    #[error("{team} is assigned to {customer} already")]
    AssignedAlready { team: TeamId, customer: CustomerId },
    /// A team that does not look after the customer.
    #[error("{team} is not assigned to {customer}")]
    NotAssigned { team: TeamId, customer: CustomerId },
    /// No team in common.
    #[error(
        "{staff} is in no team assigned to {customer}: ask an operator for \"portreeve team add\" or \"portreeve team \
         assign\""
    )]
    NotInTeam { staff: StaffId, customer: CustomerId },
    /// A staff member who is suspended.
    #[error("{0} is suspended; a team lead or a member of security resumes them: \"portreeve staff resume\"")]
    Suspended(StaffId),
    /// A staff member who is not.
    #[error("{0} is not suspended")]
    NotSuspended(StaffId),
    /// Vouching for oneself.
    #[error("nobody does that for themselves: another team lead or member of security has to")]
    NotForOneself,
    /// Somebody who may not vouch.
    #[error(
        "{0} is neither a team lead nor of security, or is suspended: \"portreeve team add TEAM NAME --role lead\""
    )]
    DoesNotVouch(StaffId),
    /// A version that is none.
    #[error("versions are counted from 1")]
    NoVersion,
    /// An exception for longer than a day.
    #[error("an exception lasts at most 24 hours: ask for --for 24h or less")]
    ExceptionTooLong,
    /// None, or too many.
    #[error("{count} {what}: give 1 to 16 of them, or any")]
    ListLength { what: &'static str, count: usize },
    /// Hours that are none.
    #[error(transparent)]
    Hours(#[from] HoursFault),
    /// Networks that are none.
    #[error(transparent)]
    Network(#[from] NetworkFault),
    /// A short-lived password for longer than that.
    #[error("a short-lived password is good for an hour at most: lower \"token_lives\" in section [staff]")]
    TokenTooLong,
    /// Somebody without a second factor.
    #[error("{0} has no second factor; an operator gives one: \"portreeve staff second-factor {0}\"")]
    NoSecondFactor(StaffId),
    /// A code of the second factor that was used before.
    #[error("that code was used already: wait until your authenticator shows the next one")]
    CodeUsed,
    /// Somebody whom the identity provider knew by another subject before.
    #[error(
        "the identity provider knew {0} as somebody else before; if it is them, an operator types: \"portreeve staff \
         forget-subject {0}\""
    )]
    SubjectChanged(StaffId),
    /// A subject of the identity provider by which it knows somebody else here.
    #[error(
        "the identity provider means {0} by that already; if that is over, an operator types: \"portreeve staff \
         forget-subject {0}\""
    )]
    SubjectTaken(StaffId),
    /// A text that breaks its rule.
    #[error(transparent)]
    Text(#[from] TextFault),
}

/// A duration as people say it: `2 h`, `90 min`, `45 s`.
pub(super) fn told(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        3600.. if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        60.. if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
