//! Why a session at the desk ends, and what its user is told.
//! Not here: the end of sessions on a customer's data (`proxy/reason.rs`), most of whose reasons serve here too.

use crate::grant::{DeskRefusal, State};
use crate::proxy::reason::{Reason, minutes};
use crate::wire::response::{Report, Severity};
use crate::wire::sqlstate;

/// Why it ends.
#[derive(Debug)]
pub(super) enum End {
    /// As a session on a customer's data would.
    Reason(Reason),
    /// They may not be there any more.
    Closed(DeskRefusal),
}

impl From<Reason> for End {
    fn from(reason: Reason) -> End {
        End::Reason(reason)
    }
}

impl End {
    /// The word in the record's skeleton.
    pub(super) fn code(&self) -> String {
        match self {
            End::Reason(reason) => reason.code(),
            End::Closed(refusal) => refusal.code(),
        }
    }

    /// The particulars, for the record.
    pub(super) fn for_the_record(&self, state: &State) -> Option<String> {
        match self {
            End::Reason(_) => None,
            End::Closed(refusal) => Some(refusal.detail(state)),
        }
    }

    /// What the client is told: a FATAL in PostgreSQL's style.
    pub(super) fn report(&self, state: &State) -> Option<Report> {
        match self {
            End::Reason(Reason::Idle(span)) => {
                let message = format!("session ended after {} without a line", minutes(*span));
                let report = Report::new(Severity::Fatal, sqlstate::IDLE_SESSION_TIMEOUT, message);
                Some(report.hint("Connect again if you still need the desk."))
            }
            End::Reason(reason) => reason.report("portreeve", state),
            End::Closed(refusal) => {
                let report = Report::new(Severity::Fatal, sqlstate::ADMIN_SHUTDOWN, refusal.message());
                Some(report.detail(refusal.detail(state)).hint(refusal.hint(state)))
            }
        }
    }
}
