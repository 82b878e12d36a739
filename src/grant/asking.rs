//! The fold of asking: requests, one-time codes, doubted instructions, and the terms that consent comes with.
//! Not here: what they are (`request`, `code`, `terms`), and grants that staff open themselves (`apply`).
//! Whoever asks never approves; a person counts once; what widens needs an owner.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::apply::{not_yours, required, text};
use super::closure::ClosureRule;
use super::code::{CODE_LIFE, Code};
use super::consent::{By, Consent, Mode};
use super::event::Event;
use super::personal::{self, Personal, TextFault};
use super::request::{Approval, Channel, Outcome, Request, RequestStep, START_WITHIN_MAX, Said, Status};
use super::rule::Rule;
use super::scope::{Purpose, Scope};
use super::state::{Customer, Given, Grant, Questioned, State};
use super::terms::{Bounds, Terms};
use crate::clock::Timestamp;
use crate::ids::{CodeId, CustomerId, GrantId, OwnerId, RequestId, Sequence, StaffId};

/// Clocks of two machines may differ so much; more is a clock that was set back.
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// What is asked for, as the event says it.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) staff: StaffId,
    pub(super) customer: CustomerId,
    pub(super) scope: Scope,
    pub(super) lasting: Duration,
    pub(super) start_by: Timestamp,
    pub(super) purpose: Purpose,
    pub(super) channel: Channel,
}

impl State {
    /// Whether anything may be opened for that customer at that moment: asked for, approved, or begun.
    pub(super) fn openable(&self, customer: CustomerId, at: Timestamp) -> Result<&Customer, Rule> {
        let found = self.customer(customer).ok_or(Rule::NoCustomer(customer))?;
        if let Some(closure) = &found.closure {
            return Err(ClosureRule::AccessClosed(closure.at).into());
        }
        if let Some(questioned) = &found.questioned {
            return Err(Rule::Questioned { customer, at: questioned.at });
        }
        match found.consent.mode_at(at) {
            Mode::Off => Err(Rule::AccessOff { customer }),
            Mode::PerRequest | Mode::Standing => Ok(found),
        }
    }

    pub(super) fn check_asked(&self, event: &Event, asked: &Asked) -> Result<(), Rule> {
        let Asked { staff, customer, scope, lasting, start_by, purpose: _, channel: _ } = *asked;
        if event.by != By::Staff(staff) {
            return Err(not_yours(event));
        }
        self.working_for(staff, customer)?;
        let consent = &self.openable(customer, event.at)?.consent;
        check_reach(scope, lasting, consent)?;
        if start_by <= event.at {
            return Err(Rule::AlreadyOver);
        }
        if start_by > event.at.plus(START_WITHIN_MAX) {
            return Err(Rule::StartTooFar);
        }
        let waiting = self
            .waiting_requests_of(customer)
            .find(|other| other.staff == staff && other.status(event.at).is_waiting());
        waiting.map_or(Ok(()), |other| Err(Rule::AskedAlready(other.id)))
    }

    pub(super) fn check_request(&self, event: &Event, id: RequestId, step: RequestStep) -> Result<(), Rule> {
        let request = self.request(id).ok_or(Rule::NoRequest(id))?;
        let status = request.status(event.at);
        if !status.is_waiting() {
            return Err(Rule::RequestOver { request: id, status: status.word() });
        }
        if event.at.plus(CLOCK_TOLERANCE) < request.waiting_since() {
            return Err(Rule::ClockBehind(request.waiting_since()));
        }
        match (step, event.by) {
            (RequestStep::Approved { scope, lasting }, By::Owner(owner)) => {
                self.active_owner_of(owner, request.customer)?;
                self.check_approval(event, request, owner, (scope, lasting))
            }
            (RequestStep::Approved { .. }, By::Staff(_) | By::VendorApp | By::Operator | By::System) => {
                Err(Rule::OnlyOwnerWidens { customer: request.customer })
            }
            (RequestStep::Denied | RequestStep::AskedBack, By::Owner(owner)) => {
                self.active_owner_of(owner, request.customer)
            }
            (RequestStep::Denied, By::VendorApp | By::Operator | By::System) => Ok(()),
            (RequestStep::Answered, By::Staff(staff)) if staff == request.staff => match status {
                Status::AskedBack => Ok(()),
                Status::Open | Status::Over(_) | Status::Unanswered | Status::TooLate => Err(Rule::NotAskedBack(id)),
            },
            (RequestStep::Withdrawn, By::Staff(staff)) if staff == request.staff => Ok(()),
            (
                RequestStep::Denied | RequestStep::AskedBack | RequestStep::Answered | RequestStep::Withdrawn,
                By::Owner(_) | By::Staff(_) | By::VendorApp | By::Operator | By::System,
            ) => Err(not_yours(event)),
        }
    }

    fn check_approval(
        &self,
        event: &Event,
        request: &Request,
        owner: OwnerId,
        (scope, lasting): (Scope, Duration),
    ) -> Result<(), Rule> {
        let consent = &self.openable(request.customer, event.at)?.consent;
        let staff = self.working_for(request.staff, request.customer)?;
        if self.owner(owner).is_some_and(|owner| owner.name == staff.name) {
            return Err(Rule::RequesterApproves);
        }
        if scope > request.scope || lasting > request.lasting {
            return Err(Rule::MoreThanAsked { scope: request.scope, lasting: request.lasting });
        }
        check_reach(
            scope,
            lasting,
            &Consent { terms: Terms { longest: lasting, ..Terms::default() }, ..consent.clone() },
        )?;
        let approved = self.approvers(request);
        let needed = consent.terms.approvals;
        if approved.contains(&owner) && approved.len() < usize::from(needed) {
            return Err(Rule::ApprovedAlready { owner, have: approved.len(), needed });
        }
        Ok(())
    }

    /// The owners whose approval counts: each once, and none who is no owner any more.
    pub fn approvers(&self, request: &Request) -> BTreeSet<OwnerId> {
        let counts = |owner: &OwnerId| self.owner(*owner).is_some_and(|owner| owner.active);
        request.approvals.iter().map(|approval| approval.owner).filter(counts).collect()
    }

    pub(super) fn check_code(
        &self,
        event: &Event,
        customer: CustomerId,
        (scope, lasting, expires): (Scope, Duration, Timestamp),
    ) -> Result<(), Rule> {
        match event.by {
            By::Owner(owner) => self.active_owner_of(owner, customer)?,
            By::Staff(_) | By::VendorApp | By::Operator | By::System => return Err(Rule::OnlyOwnerWidens { customer }),
        }
        let consent = &self.openable(customer, event.at)?.consent;
        if consent.terms.approvals > 1 {
            return Err(Rule::CodeOfMany(consent.terms.approvals));
        }
        if expires <= event.at || expires > event.at.plus(CODE_LIFE) {
            return Err(Rule::CodeLife);
        }
        check_reach(scope, lasting, consent)
    }

    /// The code that could be used now: the customer's newest, unless the switch was moved since.
    pub fn live_code(&self, customer: CustomerId, now: Timestamp) -> Option<&Code> {
        let consent = &self.customer(customer)?.consent;
        let code = self.newest_code.get(customer).and_then(|id| self.code(*id))?;
        (code.is_live(now) && code.id.0 > consent.sequence.0).then_some(code)
    }

    pub(super) fn check_redeemed(&self, event: &Event, id: CodeId, staff: StaffId) -> Result<(), Rule> {
        if event.by != By::Staff(staff) {
            return Err(not_yours(event));
        }
        self.working_staff(staff)?;
        let code = self.code(id).ok_or(Rule::CodeOver)?;
        self.working_for(staff, code.customer)?;
        let consent = &self.openable(code.customer, event.at)?.consent;
        self.live_code(code.customer, event.at).filter(|live| live.id == id).ok_or(Rule::CodeOver)?;
        if event.at.plus(CLOCK_TOLERANCE) < code.created {
            return Err(Rule::ClockBehind(code.created));
        }
        if self.owner(code.owner).is_none_or(|owner| !owner.active) || consent.terms.approvals > 1 {
            return Err(Rule::CodeOver);
        }
        let own_name = self.staff(staff).map(|staff| staff.name.as_str());
        if own_name == self.owner(code.owner).map(|owner| owner.name.as_str()) {
            return Err(Rule::RequesterApproves);
        }
        check_reach(code.scope, code.lasting.min(consent.terms.longest), consent)
    }

    pub(super) fn check_missed(&self, event: &Event, id: CodeId) -> Result<(), Rule> {
        let staff = match event.by {
            By::Staff(staff) => staff,
            By::Owner(_) | By::VendorApp | By::Operator | By::System => return Err(not_yours(event)),
        };
        self.working_staff(staff)?;
        let code = self.code(id).filter(|code| code.is_live(event.at)).ok_or(Rule::CodeOver)?;
        // Nobody uses up the tries of a code that could not serve them.
        self.working_for(staff, code.customer).map(drop)
    }

    pub(super) fn check_questioned(&self, event: &Event, customer: CustomerId) -> Result<(), Rule> {
        match event.by {
            By::Staff(staff) => self.working_staff(staff).map(drop)?,
            By::Owner(_) | By::VendorApp | By::Operator | By::System => return Err(not_yours(event)),
        }
        self.openable(customer, event.at).map(drop)
    }

    pub(super) fn check_confirmed(&self, event: &Event, customer: CustomerId) -> Result<(), Rule> {
        match event.by {
            By::Owner(owner) => self.active_owner_of(owner, customer)?,
            By::Staff(_) | By::VendorApp | By::Operator | By::System => return Err(Rule::OnlyOwnerWidens { customer }),
        }
        let found = self.customer(customer).ok_or(Rule::NoCustomer(customer))?;
        found.questioned.as_ref().map(drop).ok_or(Rule::NotQuestioned(customer))
    }

    /// Whether those terms can be kept with that switch. Only an owner sets terms; `side` is none once it is erased.
    pub(super) fn check_agreed(
        &self,
        event: &Event,
        customer: CustomerId,
        (mode, until): (Mode, Option<Timestamp>),
        (bounds, side): (Bounds, Option<&Personal>),
    ) -> Result<(), Rule> {
        match event.by {
            By::Owner(_) => {}
            By::Staff(_) | By::VendorApp | By::Operator | By::System => return Err(Rule::OnlyOwnerWidens { customer }),
        }
        let Some(side) = side else { return Ok(()) };
        let terms = Terms::from_parts(bounds, side)?;
        if terms.bounds() != bounds || terms.side() != *side {
            return Err(
                TextFault::Missing("list, or the hours, that the terms speak of, in their one spelling,").into()
            );
        }
        let owners = self.owners_of(customer).filter(|owner| owner.active).count();
        Ok(terms.check(mode, until, owners, event.at)?)
    }

    pub(super) fn add_request(&mut self, event: &Event, sequence: Sequence, asked: Asked, personal: Personal) {
        let Asked { staff, customer, scope, lasting, start_by, purpose, channel } = asked;
        let id = RequestId(sequence.0);
        let request = Request {
            id,
            staff,
            customer,
            scope,
            lasting,
            start_by,
            purpose,
            channel,
            reason: text(personal.reason),
            ticket: text(personal.ticket),
            necessity: text(personal.necessity),
            opened: event.at,
            approvals: Vec::new(),
            said: Vec::new(),
            outcome: None,
        };
        self.requests.insert(id, request);
        self.waiting.entry(customer).insert(id);
    }

    pub(super) fn commit_request(
        &mut self,
        event: &Event,
        sequence: Sequence,
        (id, step): (RequestId, RequestStep),
        personal: Personal,
    ) {
        let Some(request) = self.requests.get_mut(id) else { return };
        match (step, event.by) {
            (RequestStep::Approved { scope, lasting }, By::Owner(owner)) => {
                request.approvals.push(Approval { owner, at: event.at, scope, lasting });
                self.issue_if_approved(event, sequence, id);
            }
            (RequestStep::AskedBack | RequestStep::Answered, by) => {
                request.said.push(Said { by, at: event.at, text: text(personal.message) });
            }
            (RequestStep::Denied, by) => self.end_request(id, event.at, Outcome::Denied(by)),
            (RequestStep::Withdrawn, _) => self.end_request(id, event.at, Outcome::Withdrawn),
            (RequestStep::Approved { .. }, By::Staff(_) | By::VendorApp | By::Operator | By::System) => {}
        }
    }

    /// Issues the grant once enough owners have approved: for the least that any of them allowed.
    fn issue_if_approved(&mut self, event: &Event, sequence: Sequence, id: RequestId) {
        let Some(request) = self.requests.shared(id).map(Arc::clone) else { return };
        let Some(consent) = self.customer(request.customer).map(|customer| customer.consent.clone()) else { return };
        let approvers = self.approvers(&request);
        if approvers.len() < usize::from(consent.terms.approvals) {
            return;
        }
        let counted = request.approvals.iter().filter(|approval| approvers.contains(&approval.owner));
        let scope = counted.clone().map(|approval| approval.scope).min().unwrap_or(request.scope);
        let lasting = counted.map(|approval| approval.lasting).min().unwrap_or(request.lasting);
        let grant = Grant {
            id: GrantId(sequence.0),
            staff: request.staff,
            customer: request.customer,
            scope,
            issued: event.at,
            ends: event.at.plus(lasting.min(consent.terms.longest)).min(consent.deadline()),
            purpose: request.purpose,
            given: Given::Request(id),
            reason: request.reason.clone(),
            ticket: request.ticket.clone(),
            ended: None,
        };
        self.end_request(id, event.at, Outcome::Granted(grant.id));
        self.replace_grant(event, grant);
    }

    fn end_request(&mut self, id: RequestId, at: Timestamp, outcome: Outcome) {
        if let Some(request) = self.requests.get_mut(id) {
            request.outcome = Some((at, outcome));
            let customer = request.customer;
            self.stop_waiting(customer, id);
        }
    }

    fn stop_waiting(&mut self, customer: CustomerId, id: RequestId) {
        let waiting = self.waiting.entry(customer);
        waiting.remove(&id);
        if waiting.is_empty() {
            self.waiting.remove(customer);
        }
    }

    /// Denies those waiting requests.
    pub(super) fn deny_requests(&mut self, event: &Event, denied: Vec<RequestId>) {
        denied.into_iter().for_each(|id| self.end_request(id, event.at, Outcome::Denied(event.by)));
    }

    pub(super) fn add_code(&mut self, code: Code) {
        self.newest_code.insert(code.customer, code.id);
        self.codes.insert(code.id, code);
    }

    pub(super) fn redeem(
        &mut self,
        event: &Event,
        sequence: Sequence,
        (id, staff, purpose): (CodeId, StaffId, Purpose),
        personal: Personal,
    ) {
        let Some(code) = self.codes.get_mut(id) else { return };
        let grant = GrantId(sequence.0);
        code.used = Some(grant);
        let (customer, scope, lasting) = (code.customer, code.scope, code.lasting);
        let Some(consent) = self.customer(customer).map(|customer| customer.consent.clone()) else { return };
        let grant = Grant {
            id: grant,
            staff,
            customer,
            scope,
            issued: event.at,
            ends: event.at.plus(lasting.min(consent.terms.longest)).min(consent.deadline()),
            purpose,
            given: Given::Code(id),
            reason: text(personal.reason),
            ticket: text(personal.ticket),
            ended: None,
        };
        self.replace_grant(event, grant);
    }

    pub(super) fn miss(&mut self, id: CodeId) {
        if let Some(code) = self.codes.get_mut(id) {
            code.misses = code.misses.saturating_add(1);
        }
    }

    pub(super) fn question(&mut self, event: &Event, customer: CustomerId, personal: Personal) {
        if let Some(customer) = self.customers.get_mut(customer) {
            let (at, by, reason) = (event.at, event.by, text(personal.reason));
            customer.questioned = Some(Questioned { at, by, reason });
        }
    }

    pub(super) fn settle(&mut self, customer: CustomerId) {
        if let Some(customer) = self.customers.get_mut(customer) {
            customer.questioned = None;
        }
    }
}

/// Whether a grant may reach so far and last so long under that consent.
fn check_reach(scope: Scope, lasting: Duration, consent: &Consent) -> Result<(), Rule> {
    if scope > consent.scope {
        return Err(Rule::ScopeTooWide { asked: scope, allowed: consent.scope });
    }
    if lasting.is_zero() {
        return Err(Rule::AlreadyOver);
    }
    if lasting > consent.terms.longest { Err(Rule::LongerThanAllowed(consent.terms.longest)) } else { Ok(()) }
}

/// The texts of a request: for more than metadata, why that is not enough.
pub(super) fn check_request_texts(scope: Scope, personal: &Personal) -> Result<(), Rule> {
    check_use_texts(personal)?;
    match scope {
        Scope::Metadata => Ok(()),
        Scope::Read | Scope::Write => {
            let necessity = required(&personal.necessity, "sentence why metadata is not enough")?;
            Ok(personal::check_necessity(necessity)?)
        }
    }
}

/// The texts of whoever uses a code.
pub(super) fn check_use_texts(personal: &Personal) -> Result<(), Rule> {
    personal::check_reason(required(&personal.reason, "reason")?)?;
    Ok(personal::check_ticket(required(&personal.ticket, "ticket")?)?)
}

/// A question, an answer.
pub(super) fn check_said(personal: &Personal) -> Result<(), Rule> {
    Ok(personal::check_message(required(&personal.message, "text")?)?)
}

/// A doubt.
pub(super) fn check_doubt(personal: &Personal) -> Result<(), Rule> {
    Ok(personal::check_reason(required(&personal.reason, "reason")?)?)
}

#[cfg(test)]
#[path = "asking_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "asking_code_tests.rs"]
mod code_tests;
