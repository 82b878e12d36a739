//! A request: what staff ask of an owner, what was said about it, and what stands at a moment.
//! Not here: who may say what (`asking`). Silence is no: unanswered for 12 hours, it is denied.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::consent::By;
use super::scope::{NotAWord, Purpose, Scope, words};
use super::state::State;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, GrantId, OwnerId, RequestId, StaffId};

/// How long a request, a question or an answer may wait before the request is denied by itself.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(12 * 3600);
/// How far ahead the latest beginning of a grant may lie when it is asked for.
pub const START_WITHIN_MAX: Duration = Duration::from_secs(7 * 86_400);
/// After how long owners are reminded.
const REMIND_AFTER: [Duration; 2] = [Duration::from_secs(3600), Duration::from_secs(6 * 3600)];

words! {
    /// How the customer's wish came to staff.
    Channel {
        /// Through the vendor's support portal.
        Portal = 1, "portal";
        /// By mail.
        Mail = 2, "mail";
        /// By telephone.
        Phone = 3, "phone";
        /// By a form.
        Form = 4, "form";
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestStep {
    /// An owner lets it happen, perhaps for less; the last approval needed issues the grant, with this event's number.
    Approved {
        /// How far, at most what was asked.
        scope: Scope,
        /// How long, at most what was asked, in whole seconds.
        lasting: Duration,
    },
    /// It will not happen.
    Denied,
    /// An owner wants to know more. Side row: the question.
    AskedBack,
    /// The staff member says more. Side row: the answer.
    Answered,
    /// The staff member no longer needs it.
    Withdrawn,
}

impl RequestStep {
    /// The verb, as records and people name it.
    pub fn verb(self) -> &'static str {
        match self {
            RequestStep::Approved { .. } => "request.approved",
            RequestStep::Denied => "request.denied",
            RequestStep::AskedBack => "request.asked-back",
            RequestStep::Answered => "request.answered",
            RequestStep::Withdrawn => "request.withdrawn",
        }
    }

    /// Whether it comes with a side row.
    pub(super) fn has_side(self) -> bool {
        match self {
            RequestStep::AskedBack | RequestStep::Answered => true,
            RequestStep::Approved { .. } | RequestStep::Denied | RequestStep::Withdrawn => false,
        }
    }
}

/// One owner's approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Whose.
    pub owner: OwnerId,
    /// When.
    pub at: Timestamp,
    /// How far.
    pub scope: Scope,
    /// How long.
    pub lasting: Duration,
}

/// Something said about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// By whom: an owner asks, the staff member answers.
    pub by: By,
    /// When.
    pub at: Timestamp,
    /// In words, or `erased`.
    pub text: String,
}

/// How a request came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A grant was issued.
    Granted(GrantId),
    /// Somebody denied it, or switched off.
    Denied(By),
    /// The staff member withdrew it.
    Withdrawn,
}

/// What a request stands at, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits for an owner.
    Open,
    /// It waits for the staff member.
    AskedBack,
    /// It is over.
    Over(Outcome),
    /// Nobody answered in time, which is no.
    Unanswered,
    /// The latest beginning has passed.
    TooLate,
}

impl Status {
    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::AskedBack => "asked-back",
            Status::Over(Outcome::Granted(_)) => "approved",
            Status::Over(Outcome::Denied(_)) => "denied",
            Status::Over(Outcome::Withdrawn) => "withdrawn",
            Status::Unanswered => "unanswered",
            Status::TooLate => "too-late",
        }
    }

    /// Whether anything can still come of it.
    pub fn is_waiting(self) -> bool {
        match self {
            Status::Open | Status::AskedBack => true,
            Status::Over(_) | Status::Unanswered | Status::TooLate => false,
        }
    }
}

/// What a staff member asks of a customer's owners.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The sequence of the event that opened it.
    pub id: RequestId,
    /// Who asks.
    pub staff: StaffId,
    /// For whose data.
    pub customer: CustomerId,
    /// How far.
    pub scope: Scope,
    /// How long, in whole seconds.
    pub lasting: Duration,
    /// When the grant must begin at the latest: with the approval.
    pub start_by: Timestamp,
    /// Why, as one word.
    pub purpose: Purpose,
    /// How the customer's wish came.
    pub channel: Channel,
    /// Why, in words, or `erased`.
    pub reason: String,
    /// The ticket, or `erased`.
    pub ticket: String,
    /// Why less than personal data is not enough, or `erased`.
    pub necessity: String,
    /// When it was opened.
    pub opened: Timestamp,
    /// Who approved so far.
    pub approvals: Vec<Approval>,
    /// Questions and answers, oldest first.
    pub said: Vec<Said>,
    /// When it came to its end, and how.
    pub outcome: Option<(Timestamp, Outcome)>,
}

impl Request {
    /// What it stands at.
    pub fn status(&self, now: Timestamp) -> Status {
        if let Some((_, outcome)) = self.outcome {
            return Status::Over(outcome);
        }
        if now >= self.start_by {
            return Status::TooLate;
        }
        if now >= self.answer_by() {
            return Status::Unanswered;
        }
        match self.said.last().map(|said| said.by) {
            Some(By::Owner(_)) => Status::AskedBack,
            Some(By::Staff(_) | By::VendorApp | By::Operator | By::System) | None => Status::Open,
        }
    }

    /// Until when it must be answered by whoever it waits for.
    pub fn answer_by(&self) -> Timestamp {
        self.waiting_since().plus(ANSWER_WITHIN).min(self.start_by)
    }

    /// Since when it waits for whom it waits for.
    pub fn waiting_since(&self) -> Timestamp {
        self.said.last().map_or(self.opened, |said| said.at)
    }
}

/// Owners are reminded of a request that waits for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reminder {
    /// Of which.
    pub request: RequestId,
    /// Since when it waits.
    pub since: Timestamp,
    /// The how manieth reminder.
    pub number: usize,
}

/// Every reminder that is due at that moment, those of before included; whoever tells them knows which were told.
pub fn due(state: &State, now: Timestamp) -> Vec<Reminder> {
    let open = state.waiting_requests().filter(|request| request.status(now) == Status::Open);
    let reminders = open.flat_map(|request| {
        let since = request.waiting_since();
        let past = (1..).zip(REMIND_AFTER).filter(move |(_, after)| now >= since.plus(*after));
        past.map(move |(number, _)| Reminder { request: request.id, since, number })
    });
    reminders.collect()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
