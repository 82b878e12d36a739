//! Break-glass: in an emergency one of the staff asks and another one confirms, and access is open for at most an hour.
//! Not here: an ordinary grant (`apply`) or request (`asking`). It exists only where an owner agreed to it, and while the
//! switch is not off: off means off.

use std::fmt;
use std::time::Duration;

use super::apply::{not_yours, text};
use super::asking::{CLOCK_TOLERANCE, check_use_texts};
use super::consent::By;
use super::event::Event;
use super::personal::Personal;
use super::rule::Rule;
use super::scope::{Purpose, Scope};
use super::state::{Customer, Given, Grant, State};
use crate::clock::Timestamp;
use crate::ids::{CustomerId, GlassId, GrantId, Sequence, StaffId};

/// How long access that was opened in an emergency lasts at most.
pub const GLASS_MAX: Duration = Duration::from_secs(3600);
/// How long somebody else has to confirm.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(15 * 60);

/// A step in opening access in an emergency.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum GlassStep {
    /// A staff member asks. Side row: reason, ticket.
    Asked { staff: StaffId, customer: CustomerId, scope: Scope, lasting: Duration, purpose: Purpose },
    /// Another one confirms, which opens it.
    Confirmed { glass: GlassId },
}

impl GlassStep {
    /// The verb, as records and people name it.
    pub fn verb(self) -> &'static str {
        match self {
            GlassStep::Asked { .. } => "glass.asked",
            GlassStep::Confirmed { .. } => "glass.confirmed",
        }
    }
}

/// Whom and what, behind the verb.
impl fmt::Display for GlassStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GlassStep::Asked { staff, customer, scope, lasting, purpose } => {
                write!(f, " {staff} to {customer}: {scope}, {purpose}, for {} min", lasting.as_secs() / 60)
            }
            GlassStep::Confirmed { glass } => write!(f, " {glass}"),
        }
    }
}

/// What somebody asked for in an emergency.
#[derive(Clone, Debug, PartialEq)]
pub struct Glass {
    /// The sequence of the event that asked.
    pub id: GlassId,
    /// Who asked.
    pub staff: StaffId,
    /// For whose data.
    pub customer: CustomerId,
    /// How far.
    pub scope: Scope,
    /// For how long.
    pub lasting: Duration,
    /// Why, as one word.
    pub purpose: Purpose,
    /// Why, in words, or `erased`.
    pub reason: String,
    /// The ticket, or `erased`.
    pub ticket: String,
    /// When.
    pub asked: Timestamp,
    /// When it was confirmed, and by whom.
    pub confirmed: Option<(Timestamp, StaffId)>,
}

impl Glass {
    /// Whether it can still be confirmed.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.confirmed.is_none() && now < self.asked.plus(CONFIRM_WITHIN)
    }
}

impl State {
    /// What was asked for under that id.
    pub fn glass(&self, id: GlassId) -> Option<&Glass> {
        self.glasses.get(id)
    }

    /// Everything that was ever asked for in an emergency, oldest first.
    pub fn glasses(&self) -> impl Iterator<Item = &Glass> {
        self.glasses.values()
    }

    pub(super) fn check_glass(&self, event: &Event, step: GlassStep, personal: Option<&Personal>) -> Result<(), Rule> {
        match (step, event.by) {
            (GlassStep::Asked { staff, customer, scope, lasting, purpose: _ }, By::Staff(by)) if by == staff => {
                self.working_for(staff, customer)?;
                self.breakable(customer, scope, lasting, event.at)?;
                personal.map_or(Ok(()), check_use_texts)
            }
            (GlassStep::Confirmed { glass }, By::Staff(by)) => {
                let asked = self.glass(glass).filter(|glass| glass.is_open(event.at)).ok_or(Rule::NoGlass(glass))?;
                if by == asked.staff {
                    return Err(Rule::NotForOneself);
                }
                self.working_staff(by)?;
                self.working_for(asked.staff, asked.customer)?;
                if !self.vouches(by) && !self.vouches(asked.staff) {
                    return Err(Rule::NeitherVouches);
                }
                if event.at.plus(CLOCK_TOLERANCE) < asked.asked {
                    return Err(Rule::ClockBehind(asked.asked));
                }
                self.breakable(asked.customer, asked.scope, asked.lasting, event.at)?;
                if self.is_overtaken(asked) { Err(Rule::NoGlass(glass)) } else { Ok(()) }
            }
            (GlassStep::Asked { .. } | GlassStep::Confirmed { .. }, _) => Err(not_yours(event)),
        }
    }

    /// Whether, since it was asked for, an owner moved the switch or set terms, the account was closed, or whoever asked
    /// was suspended: even if all of that was taken back, it is asked anew.
    fn is_overtaken(&self, asked: &Glass) -> bool {
        let consent = self.customer(asked.customer).map(|customer| customer.consent.sequence);
        let suspension = self.staff(asked.staff).and_then(|staff| staff.standing.suspension);
        consent.max(suspension).is_some_and(|since| since.0 > asked.id.0)
    }

    /// The customer, if its owner lets staff open access to it in an emergency, so far and for so long.
    fn breakable(
        &self,
        customer: CustomerId,
        scope: Scope,
        lasting: Duration,
        at: Timestamp,
    ) -> Result<&Customer, Rule> {
        let found = self.openable(customer, at)?;
        let consent = &found.consent;
        if !consent.terms.break_glass {
            return Err(Rule::NoBreakGlass { customer });
        }
        if scope == Scope::Metadata {
            return Err(Rule::ScopeNotOffered(scope));
        }
        if scope > consent.scope {
            return Err(Rule::ScopeTooWide { asked: scope, allowed: consent.scope });
        }
        if lasting.is_zero() {
            return Err(Rule::AlreadyOver);
        }
        if lasting > GLASS_MAX.min(consent.terms.longest) {
            return Err(Rule::GlassTooLong(GLASS_MAX.min(consent.terms.longest)));
        }
        Ok(found)
    }

    pub(super) fn commit_glass(&mut self, event: &Event, sequence: Sequence, step: GlassStep, personal: Personal) {
        match step {
            GlassStep::Asked { staff, customer, scope, lasting, purpose } => {
                let (id, reason, ticket) = (GlassId(sequence.0), text(personal.reason), text(personal.ticket));
                let (asked, confirmed) = (event.at, None);
                let glass = Glass { id, staff, customer, scope, lasting, purpose, reason, ticket, asked, confirmed };
                self.glasses.insert(id, glass);
            }
            GlassStep::Confirmed { glass } => {
                let By::Staff(by) = event.by else { return };
                let Some(glass) = self.glasses.get_mut(glass) else { return };
                glass.confirmed = Some((event.at, by));
                let Glass { staff, customer, scope, lasting, purpose, reason, ticket, .. } = glass.clone();
                let deadline = self.customer(customer).map(|customer| customer.consent.deadline());
                let (id, issued, given) = (GrantId(sequence.0), event.at, Given::BreakGlass(by));
                let ends = issued.plus(lasting).min(deadline.unwrap_or(issued));
                let ended = None;
                let grant = Grant { id, staff, customer, scope, issued, ends, purpose, given, reason, ticket, ended };
                self.replace_grant(event, grant);
            }
        }
    }
}

#[cfg(test)]
#[path = "glass_tests.rs"]
mod tests;
