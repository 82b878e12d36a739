//! Why a session ends, and what each side is told about it.
//! Not here: how it is ended (`proxy/ending.rs`).

use std::sync::Arc;
use std::time::Duration;

use crate::grant::{Refusal, State};
use crate::ids::OwnerId;
use crate::proxy::release::Slip;
use crate::wire::Fault;
use crate::wire::response::{Report, Severity};
use crate::wire::sqlstate;

/// Why a session ends. The first two are the client's and the server's own doing; all others are the gate's.
#[derive(Debug)]
pub enum Reason {
    /// The client sent Terminate.
    ClientLeft,
    /// The server closed the connection, after whatever it had to say.
    UpstreamGone,
    /// The client's connection closed or broke without Terminate.
    ClientGone,
    /// The decision no longer allows the session: revoked, expired, suspended, removed, register unreadable.
    Refused(Refusal),
    /// The owner ended this session.
    EndedByOwner(OwnerId),
    /// The fence does not hold any more, or nobody could tell for too long; what was found.
    Unsound(Arc<str>),
    /// Nothing was asked for this long.
    Idle(Duration),
    /// The client did not take what it asked for, or the server what it was sent.
    Stuck(Duration),
    /// The proxy is told to stop.
    Stopping,
    /// The audit log can no longer be written.
    LogFailed,
    /// The client's frame is not one PostgreSQL would accept.
    Invalid(Fault),
    /// The client asked for what the gate does not let through yet.
    Unsupported(String),
    /// The server's bytes are not the protocol.
    UpstreamBroke(Fault),
    /// A proof did not fit. The decision is tried again before this is used; it stands for a defect.
    Slipped(Slip),
}

impl Reason {
    /// The word in the record's skeleton.
    pub fn code(&self) -> String {
        match self {
            Reason::ClientLeft => "client-left".to_owned(),
            Reason::UpstreamGone => "upstream-gone".to_owned(),
            Reason::ClientGone => "client-gone".to_owned(),
            Reason::Refused(refusal) => refusal.code(),
            Reason::EndedByOwner(_) => "ended-by-owner".to_owned(),
            Reason::Unsound(_) => "fence-unsound".to_owned(),
            Reason::Idle(_) => "idle".to_owned(),
            Reason::Stuck(_) => "stuck".to_owned(),
            Reason::Stopping => "proxy-stopping".to_owned(),
            Reason::LogFailed => "log-failed".to_owned(),
            Reason::Invalid(_) => "invalid-frame".to_owned(),
            Reason::Unsupported(_) => "unsupported".to_owned(),
            Reason::UpstreamBroke(_) => "upstream-broke".to_owned(),
            Reason::Slipped(_) => "slipped".to_owned(),
        }
    }

    /// Whether the gate has to stop the server's work: all but an orderly end from either side.
    pub fn is_forced(&self) -> bool {
        !matches!(self, Reason::ClientLeft | Reason::UpstreamGone)
    }

    /// Whether the grant itself is over, so that its role is shut out of the database as well.
    pub fn ends_grant(&self) -> bool {
        match self {
            Reason::Refused(refusal) => !refusal.is_of_one_session(),
            Reason::Unsound(_) | Reason::Stopping | Reason::LogFailed => true,
            Reason::ClientLeft
            | Reason::UpstreamGone
            | Reason::ClientGone
            | Reason::EndedByOwner(_)
            | Reason::Idle(_)
            | Reason::Stuck(_)
            | Reason::Invalid(_)
            | Reason::Unsupported(_)
            | Reason::UpstreamBroke(_)
            | Reason::Slipped(_) => false,
        }
    }

    /// The SQLSTATE the client is told, if there is anything to tell.
    pub fn sqlstate(&self) -> Option<&'static str> {
        match self {
            Reason::ClientLeft | Reason::UpstreamGone | Reason::ClientGone => None,
            Reason::Refused(_) | Reason::EndedByOwner(_) | Reason::Unsound(_) | Reason::Stopping => {
                Some(sqlstate::ADMIN_SHUTDOWN)
            }
            Reason::Idle(_) | Reason::Stuck(_) => Some(sqlstate::IDLE_SESSION_TIMEOUT),
            Reason::LogFailed => Some(sqlstate::IO_ERROR),
            Reason::Invalid(fault) => Some(fault.sqlstate()),
            Reason::Unsupported(_) => Some(sqlstate::FEATURE_NOT_SUPPORTED),
            Reason::UpstreamBroke(_) => Some(sqlstate::CONNECTION_FAILURE),
            Reason::Slipped(_) => Some(sqlstate::INTERNAL_ERROR),
        }
    }

    /// What the client is told: a FATAL in PostgreSQL's style.
    pub fn report(&self, customer: &str, state: &State) -> Option<Report> {
        let sqlstate = self.sqlstate()?;
        let (message, detail, hint) = match self {
            Reason::ClientLeft | Reason::UpstreamGone | Reason::ClientGone => return None,
            Reason::Refused(refusal) => {
                (format!("access to customer \"{customer}\" has ended"), refusal.detail(state), refusal.hint(state))
            }
            Reason::EndedByOwner(_) => (
                format!("an owner of customer \"{customer}\" ended this session"),
                "What was running was stopped and rolled back unless it had already been committed.".to_owned(),
                "Ask the owner before you connect again.".to_owned(),
            ),
            Reason::Unsound(_) => (
                format!("the fence around customer \"{customer}\" is not sound any more"),
                "The self-test of the database's own access control, repeated while a session is open, found a way around it."
                    .to_owned(),
                "Tell an operator to run \"portreeve fence check\"; then connect again.".to_owned(),
            ),
            Reason::Idle(span) => (
                format!("session ended after {} without a statement", minutes(*span)),
                "A session on a customer's data is not left open unattended.".to_owned(),
                "Connect again if you still need it.".to_owned(),
            ),
            Reason::Stuck(span) => (
                format!("session ended: nothing moved for {}", minutes(*span)),
                "The client did not take the rows it had asked for.".to_owned(),
                "Fetch in smaller portions, for example with FETCH_COUNT in psql.".to_owned(),
            ),
            Reason::Stopping => (
                "the gate is shutting down".to_owned(),
                "All sessions are ended when the proxy stops.".to_owned(),
                "Connect again in a moment.".to_owned(),
            ),
            Reason::LogFailed => (
                "the audit log can no longer be written".to_owned(),
                "Nothing is let through that cannot be recorded.".to_owned(),
                "Tell an operator; the proxy's own log says which file failed.".to_owned(),
            ),
            Reason::Invalid(fault) => (
                fault.to_string(),
                "The frame was not forwarded.".to_owned(),
                "This is a defect of the client or somebody's attempt; use another driver version.".to_owned(),
            ),
            Reason::Unsupported(what) => (
                what.clone(),
                "The session ended: one statement cannot be refused without misleading the client about the \
                 server's state."
                    .to_owned(),
                "Replicate from the database itself: the gate records statements, one by one.".to_owned(),
            ),
            Reason::UpstreamBroke(fault) => {
                ("the database broke the protocol".to_owned(), fault.to_string(), "Tell an operator.".to_owned())
            }
            Reason::Slipped(slip) => (
                "the gate found a proof that does not fit".to_owned(),
                slip.to_string(),
                "Tell an operator; this is a defect of the gate.".to_owned(),
            ),
        };
        Some(Report { severity: Severity::Fatal, sqlstate, message, detail: Some(detail), hint: Some(hint) })
    }
}

/// `15 min`, or seconds below two minutes.
pub fn minutes(span: Duration) -> String {
    if span.as_secs() < 120 { format!("{} s", span.as_secs()) } else { format!("{} min", span.as_secs() / 60) }
}
