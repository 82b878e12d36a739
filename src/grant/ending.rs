//! What ends grants: a switch that is moved, terms that are set, a newer grant of the same staff member.
//! Not here: whether that is allowed (`apply`, `asking`).

use super::consent::{By, Consent, Mode};
use super::event::Event;
use super::state::{Grant, State};
use super::terms::Terms;
use crate::ids::{CustomerId, StaffId};

impl State {
    /// Moves the switch; grants it no longer covers end, and none lasts longer than it, or than its terms allow. An owner
    /// who does that has answered any doubt about what they want. Requests that waited for more owners than must approve
    /// now are denied: nobody approved them under these terms.
    pub(super) fn set_consent(&mut self, event: &Event, id: CustomerId, consent: Consent) {
        let (mode, scope) = (consent.mode, consent.scope);
        let (deadline, longest) = (consent.deadline(), consent.terms.longest);
        let break_glass = consent.terms.break_glass;
        let is_laxer = consent.terms.approvals < self.terms_of(id).approvals;
        if let Some(customer) = self.customers.get_mut(id) {
            customer.consent = consent;
            if let By::Owner(_) = event.by {
                customer.questioned = None;
            }
        }
        let pairs: Vec<_> = self.newest.of(id).map(|grant| (id, grant.staff)).collect();
        self.end_newest(event, pairs, |grant| !mode.lets(scope, break_glass, grant));
        let end = |grant: &Grant| deadline.min(grant.issued.plus(longest));
        let longer: Vec<_> = self.newest.of(id).filter(|grant| grant.ends > end(grant)).cloned().collect();
        for grant in longer {
            let ends = end(&grant);
            self.keep_newest(Grant { ends, ..grant });
        }
        if mode == Mode::Off || is_laxer {
            let waiting = self.waiting_requests_of(id).map(|request| request.id).collect();
            self.deny_requests(event, waiting);
        }
    }

    pub(super) fn terms_of(&self, customer: CustomerId) -> Terms {
        self.customer(customer).map(|customer| customer.consent.terms.clone()).unwrap_or_default()
    }

    /// Ends the grant that the new one's staff member has for that customer, and adds the new one.
    pub(super) fn replace_grant(&mut self, event: &Event, grant: Grant) {
        let pair = (grant.customer, grant.staff);
        self.end_newest(event, vec![pair], |_| true);
        self.keep_newest(grant);
    }

    /// Ends every grant of that staff member, denies what they asked for, and takes back what they approved.
    pub(super) fn end_grants_of(&mut self, event: &Event, staff: StaffId) {
        let theirs = self.newest.all().filter(|grant| grant.staff == staff);
        let theirs = theirs.map(|grant| (grant.customer, staff)).collect();
        self.end_newest(event, theirs, |_| true);
        let asked = self.waiting_requests().filter(|request| request.staff == staff);
        let asked = asked.map(|request| request.id).collect();
        self.deny_requests(event, asked);
        self.retract_approvals_of(staff);
    }

    /// Ends those grants of that kind that have not ended; one that is over already only keeps its end. Only the newest of
    /// a pair can be live.
    pub(super) fn end_newest(
        &mut self,
        event: &Event,
        pairs: Vec<(CustomerId, StaffId)>,
        which: impl Fn(&Grant) -> bool,
    ) {
        for (customer, staff) in pairs {
            let newest = self.newest.get(customer, staff).filter(|grant| grant.ended.is_none() && which(grant));
            if let Some(grant) = newest.cloned() {
                self.keep_newest(Grant { ended: Some((event.at, event.by)), ..grant });
            }
        }
    }
}
