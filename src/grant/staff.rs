//! What the vendor says of its own people: suspended, attested, at which hours and from which networks.
//! Not here: teams (`team`), and consent, which is the owner's. A limit whose text was erased lets nobody in.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::apply::{not_yours, only_operator, required};
use super::consent::By;
use super::event::Event;
use super::hours::Hours;
use super::network::Network;
use super::personal::{self, Personal, TextFault};
use super::rule::Rule;
use super::scope::{NotAWord, words};
use super::state::{Staff, State};
use super::token::{SecondFactor, Token};
use crate::clock::Timestamp;
use crate::ids::{CustomerId, Sequence, StaffId};

/// How long somebody may be excepted from their hours at once.
pub const EXCEPTION_MAX: Duration = Duration::from_secs(24 * 3600);
/// So many hours or networks at most, so that a decision stays quick.
const LISTED_MAX: usize = 16;
/// The word for no limit, in hours and networks.
pub const ANY: &str = "any";

words! {
    /// What staff attest: that they signed, or went through, a version of it.
    Attestation {
        /// The confidentiality agreement.
        Confidentiality = 1, "confidentiality";
        /// The training on handling customers' data.
        Training = 2, "training";
    }
}

/// The newest version of each attestation that is in force; none: not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attestations {
    /// Of the confidentiality agreement.
    pub confidentiality: Option<u32>,
    /// Of the training.
    pub training: Option<u32>,
}

impl Attestations {
    /// The version in force of that one.
    pub fn current(self, kind: Attestation) -> Option<u32> {
        match kind {
            Attestation::Confidentiality => self.confidentiality,
            Attestation::Training => self.training,
        }
    }
}

/// A change that concerns one staff member.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum StaffStep {
    /// They reach nothing until they are resumed; their grants end.
    Suspended,
    /// They work again. Only somebody else who vouches says so.
    Resumed,
    /// They attested that version, for so long.
    Attested { kind: Attestation, version: u32, until: Timestamp },
    /// When and from where they work. Side row: hours, networks.
    Limited,
    /// Until then their hours do not count. Side row: reason.
    Excepted { until: Timestamp },
    /// The portal handed out a short-lived password, for the code of that step where it was asked for a second factor.
    /// Side row: verifier.
    TokenIssued { until: Timestamp, code: Option<u64> },
    /// They have a second factor from now on, and no earlier one. Side row: its secret.
    SecondFactorSet,
    /// They have none any more.
    SecondFactorRemoved,
    /// As whom the identity provider knows them is forgotten: it says so anew at their next sign-in there. The digest of it
    /// stays in the side row of their newest short-lived password, until the next one replaces that or they are removed.
    SubjectForgotten,
}

impl StaffStep {
    /// The verb, as records and people name it.
    pub fn verb(self) -> &'static str {
        match self {
            StaffStep::Suspended => "staff.suspended",
            StaffStep::Resumed => "staff.resumed",
            StaffStep::Attested { .. } => "staff.attested",
            StaffStep::Limited => "staff.limited",
            StaffStep::Excepted { .. } => "staff.excepted",
            StaffStep::TokenIssued { .. } => "token.issued",
            StaffStep::SecondFactorSet => "second-factor.set",
            StaffStep::SecondFactorRemoved => "second-factor.removed",
            StaffStep::SubjectForgotten => "subject.forgotten",
        }
    }

    /// Whether it can only take access away.
    pub fn narrows(self) -> bool {
        match self {
            StaffStep::Suspended => true,
            StaffStep::Resumed
            | StaffStep::Attested { .. }
            | StaffStep::Limited
            | StaffStep::Excepted { .. }
            | StaffStep::TokenIssued { .. }
            | StaffStep::SecondFactorSet
            | StaffStep::SecondFactorRemoved
            | StaffStep::SubjectForgotten => false,
        }
    }

    /// Whether it comes with a side row.
    pub(super) fn has_side(self) -> bool {
        match self {
            StaffStep::Limited
            | StaffStep::Excepted { .. }
            | StaffStep::TokenIssued { .. }
            | StaffStep::SecondFactorSet => true,
            StaffStep::Suspended
            | StaffStep::Resumed
            | StaffStep::Attested { .. }
            | StaffStep::SecondFactorRemoved
            | StaffStep::SubjectForgotten => false,
        }
    }
}

/// Particulars, behind the verb and the staff member: `: training version 3 until …`.
impl fmt::Display for StaffStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StaffStep::Suspended
            | StaffStep::Resumed
            | StaffStep::Limited
            | StaffStep::SecondFactorSet
            | StaffStep::SecondFactorRemoved
            | StaffStep::SubjectForgotten => Ok(()),
            StaffStep::Attested { kind, version, until } => write!(f, ": {kind} version {version} until {until}"),
            StaffStep::Excepted { until } => write!(f, ": until {until}"),
            StaffStep::TokenIssued { until, code: None } => write!(f, ": until {until}, by the identity provider"),
            StaffStep::TokenIssued { until, code: Some(_) } => write!(f, ": until {until}, by a second factor"),
        }
    }
}

/// What the register says of a staff member beyond that they are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Since when they are suspended, and by whom; none: they are not.
    pub suspended: Option<(Timestamp, By)>,
    /// The event that last suspended them.
    pub suspension: Option<Sequence>,
    /// The version of each attestation they made, and until when it holds.
    pub attested: BTreeMap<Attestation, (u32, Timestamp)>,
    /// When they work; none: at all hours; empty: never.
    pub hours: Option<Vec<Hours>>,
    /// From where; none: from everywhere; empty: from nowhere.
    pub networks: Option<Vec<Network>>,
    /// Until when their hours do not count, and who said so.
    pub excepted: Option<(Timestamp, By)>,
    /// Their newest short-lived password, over or not.
    pub token: Option<Token>,
    /// Their second factor, if they have one.
    pub second_factor: Option<SecondFactor>,
    /// As whom the identity provider knows them, from their first sign-in there on.
    pub subject: Option<[u8; 32]>,
}

impl Standing {
    /// When they have to stop, at the latest, for their hours; none: they should not be here now.
    pub fn works_until(&self, now: Timestamp) -> Option<Timestamp> {
        let excepted = self.excepted.map(|(until, _)| until).filter(|until| now < *until);
        match &self.hours {
            None => Some(Timestamp::NEVER),
            Some(hours) => joined(hours, now).max(excepted),
        }
    }

    fn take(&mut self, step: StaffStep, (at, by, sequence): (Timestamp, By, Sequence), personal: &Personal) {
        match step {
            StaffStep::Suspended => {
                (self.suspended, self.suspension) = (Some((at, by)), Some(sequence));
                // Resuming does not bring it back.
                if let Some(token) = &mut self.token {
                    token.until = token.until.min(at);
                }
            }
            StaffStep::Resumed => self.suspended = None,
            StaffStep::Attested { kind, version, until } => {
                self.attested.insert(kind, (version, until));
            }
            StaffStep::Limited => match limits(personal) {
                Some(Ok((hours, networks))) => (self.hours, self.networks) = (hours, networks),
                Some(Err(_)) | None => (self.hours, self.networks) = (Some(Vec::new()), Some(Vec::new())),
            },
            StaffStep::Excepted { until } => self.excepted = Some((until, by)),
            StaffStep::TokenIssued { until, code } => {
                let verifier = personal.verifier.clone().unwrap_or_default();
                self.token = Some(Token { verifier, issued: at, until, sequence });
                // Erased, it stands in a newer row.
                self.subject = personal.subject().ok().flatten();
                if let (Some(factor), Some(step)) = (&mut self.second_factor, code) {
                    factor.used = step;
                }
            }
            StaffStep::SecondFactorSet => {
                let secret = personal.second_factor.clone().map(Vec::from).unwrap_or_default();
                self.second_factor = Some(SecondFactor { secret, used: 0, sequence });
            }
            StaffStep::SecondFactorRemoved => self.second_factor = None,
            StaffStep::SubjectForgotten => self.subject = None,
        }
    }
}

/// When hours that touch each other are over, if `now` is within any of them.
fn joined(hours: &[Hours], now: Timestamp) -> Option<Timestamp> {
    let ends = |at| hours.iter().filter_map(|hours| hours.end(at)).max();
    let first = ends(now)?;
    Some((1..hours.len()).fold(first, |end, _| ends(end).unwrap_or(end)))
}

/// Hours and networks; none of either: no limit.
type WhenAndWhere = (Option<Vec<Hours>>, Option<Vec<Network>>);

/// What a side row limits somebody to; none if it was erased.
fn limits(personal: &Personal) -> Option<Result<WhenAndWhere, Rule>> {
    let (hours, networks) = (personal.hours.as_deref()?, personal.networks.as_deref()?);
    let hours: Vec<&str> = hours.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
    let networks: Vec<&str> = networks.iter().map(|network| network.trim()).collect();
    let read = || Ok((several(&hours, "hours")?, several(&networks, "networks")?));
    Some(read())
}

/// Reads one or more; none for the word `any`.
fn several<T: FromStr>(parts: &[&str], what: &'static str) -> Result<Option<Vec<T>>, Rule>
where
    Rule: From<T::Err>,
{
    match (parts, parts.len()) {
        ([ANY], _) => Ok(None),
        (parts, 1..=LISTED_MAX) => Ok(Some(parts.iter().copied().map(str::parse).collect::<Result<_, _>>()?)),
        (_, count) => Err(Rule::ListLength { what, count }),
    }
}

impl Staff {
    /// Whether they are there and not suspended.
    pub fn works(&self) -> bool {
        self.active && self.standing.suspended.is_none()
    }
}

impl State {
    pub(super) fn active_staff(&self, id: StaffId) -> Result<&Staff, Rule> {
        self.staff(id).filter(|staff| staff.active).ok_or(Rule::NoStaff(id))
    }

    /// A staff member who may act now.
    pub(super) fn working_staff(&self, id: StaffId) -> Result<&Staff, Rule> {
        let staff = self.active_staff(id)?;
        if staff.works() { Ok(staff) } else { Err(Rule::Suspended(id)) }
    }

    /// A staff member who may act now, and for that customer.
    pub(super) fn working_for(&self, id: StaffId, customer: CustomerId) -> Result<&Staff, Rule> {
        let staff = self.working_staff(id)?;
        if self.serves(id, customer) { Ok(staff) } else { Err(Rule::NotInTeam { staff: id, customer }) }
    }

    pub(super) fn check_step(
        &self,
        event: &Event,
        (id, step): (StaffId, StaffStep),
        personal: Option<&Personal>,
    ) -> Result<(), Rule> {
        let standing = &self.active_staff(id)?.standing;
        match step {
            StaffStep::Suspended => {
                self.check_suspender(event, id)?;
                if standing.suspended.is_some() { Err(Rule::Suspended(id)) } else { Ok(()) }
            }
            StaffStep::Resumed => {
                self.check_voucher(event, id)?;
                standing.suspended.map(drop).ok_or(Rule::NotSuspended(id))
            }
            StaffStep::Attested { version, until, .. } => {
                only_operator(event)?;
                if version == 0 {
                    return Err(Rule::NoVersion);
                }
                if until <= event.at { Err(Rule::AlreadyOver) } else { Ok(()) }
            }
            StaffStep::Limited => {
                only_operator(event)?;
                personal.map_or(Ok(()), check_limits)
            }
            StaffStep::Excepted { until } => {
                self.check_voucher(event, id)?;
                if until <= event.at {
                    return Err(Rule::AlreadyOver);
                }
                if until > event.at.plus(EXCEPTION_MAX) {
                    return Err(Rule::ExceptionTooLong);
                }
                personal.map_or(Ok(()), |personal| Ok(personal::check_reason(required(&personal.reason, "reason")?)?))
            }
            StaffStep::TokenIssued { until, code } => self.check_token(event, (id, until, code), personal),
            StaffStep::SecondFactorSet => self.check_second_factor(event, (id, true), personal),
            StaffStep::SecondFactorRemoved => self.check_second_factor(event, (id, false), personal),
            StaffStep::SubjectForgotten => only_operator(event),
        }
    }

    /// Whoever narrows: the vendor, and whoever vouches for others, or the staff member themselves.
    fn check_suspender(&self, event: &Event, id: StaffId) -> Result<(), Rule> {
        match event.by {
            By::Operator | By::System => Ok(()),
            By::Staff(by) if by == id || self.vouches(by) => Ok(()),
            By::Staff(_) | By::Owner(_) | By::VendorApp => Err(not_yours(event)),
        }
    }

    /// Somebody else who vouches, signed in as themselves.
    fn check_voucher(&self, event: &Event, id: StaffId) -> Result<(), Rule> {
        match event.by {
            By::Staff(by) if by == id => Err(Rule::NotForOneself),
            By::Staff(by) if self.vouches(by) => Ok(()),
            By::Staff(by) => Err(Rule::DoesNotVouch(by)),
            By::Owner(_) | By::VendorApp | By::Operator | By::System => Err(not_yours(event)),
        }
    }

    /// Who is suspended has no grant any more.
    pub(super) fn commit_step(
        &mut self,
        event: &Event,
        sequence: Sequence,
        (id, step): (StaffId, StaffStep),
        personal: &Personal,
    ) {
        if let Some(staff) = self.staff.get_mut(id) {
            staff.standing.take(step, (event.at, event.by, sequence), personal);
        }
        match step {
            StaffStep::Suspended => self.end_grants_of(event, id),
            StaffStep::Resumed
            | StaffStep::Attested { .. }
            | StaffStep::Limited
            | StaffStep::Excepted { .. }
            | StaffStep::TokenIssued { .. }
            | StaffStep::SecondFactorSet
            | StaffStep::SecondFactorRemoved
            | StaffStep::SubjectForgotten => {}
        }
    }
}

fn check_limits(personal: &Personal) -> Result<(), Rule> {
    required(&personal.hours, "hours")?;
    personal.networks.as_ref().ok_or(TextFault::Missing("networks"))?;
    limits(personal).map_or(Ok(()), |limits| limits.map(drop))
}

#[cfg(test)]
#[path = "staff_tests.rs"]
mod tests;
