//! An invitation: somebody is to become an owner of an account, and sets their own password at the portal.
//! Not here: the page (`portal/invitation.rs`) and the list of them that is imported (`cli/import.rs`).
//! The link holds a random code that nobody keeps; the register has its digest, in a side row that can be erased. Until
//! one is accepted there is no owner, and the switch stays off. Nobody becomes an owner of a closed account by one.

use std::sync::Arc;
use std::time::Duration;

use super::apply::{not_yours, required, text};
use super::asking::CLOCK_TOLERANCE;
use super::consent::By;
use super::event::Event;
use super::personal::{self, ERASED, Personal, TextFault};
use super::rule::Rule;
use super::state::State;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, OwnerId, Sequence};

/// How long an invitation can be accepted, if nothing else is said.
pub const INVITED_FOR: Duration = Duration::from_secs(7 * 86_400);
/// The longest it may be.
pub const INVITED_FOR_MAX: Duration = Duration::from_secs(30 * 86_400);
/// To how many names one account may have open invitations: each keeps its name from others.
pub(super) const INVITED_MAX: usize = 16;

/// What became of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// They are an owner since.
    Accepted(Timestamp),
    /// It was taken back, or another one took its place.
    Withdrawn(Timestamp),
    /// The account was closed while it was open.
    Closed(Timestamp),
}

/// An invitation to become an owner.
#[derive(Clone, PartialEq)]
pub struct Invitation {
    /// The sequence of the event that made it, and the owner's id once they accept.
    pub id: OwnerId,
    /// Of whose account.
    pub customer: CustomerId,
    /// The name they will sign in by, or `erased`.
    pub name: String,
    /// SHA-256 of the code in their link; none once erased, when no code fits.
    pub digest: Option<[u8; 32]>,
    /// Who invited them.
    pub by: By,
    /// When.
    pub at: Timestamp,
    /// Until when it can be accepted.
    pub ends: Timestamp,
    /// What became of it; none: nothing yet.
    pub became: Option<Became>,
}

impl Invitation {
    /// Whether it can still be accepted.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.became.is_none() && now < self.ends
    }

    /// Whether it is, or was until an account's closing took back what is open: until then some were accepted after it.
    fn is_left(&self) -> bool {
        matches!(self.became, None | Some(Became::Closed(_)))
    }
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Invitation { id, customer, name, digest: _, by: _, at: _, ends, became } = self;
        let mut shown = f.debug_struct("Invitation");
        shown.field("id", id).field("customer", customer).field("name", name).field("ends", ends);
        shown.field("became", became).finish_non_exhaustive()
    }
}

impl State {
    /// The invitation with that id, whatever became of it.
    pub fn invitation(&self, id: OwnerId) -> Option<&Invitation> {
        self.invitations.get(id)
    }

    /// Every invitation, oldest first, whatever became of it.
    pub fn invitations(&self) -> impl Iterator<Item = &Invitation> {
        self.invitations.values()
    }

    /// The invitation whose code has that digest, whatever became of it.
    pub fn invitation_with(&self, digest: &[u8; 32]) -> Option<&Invitation> {
        self.invitation_codes.get(digest).and_then(|id| self.invitation(*id))
    }

    /// Those of that customer of which nothing became yet, oldest first; look at their end.
    pub fn invited_to(&self, customer: CustomerId) -> impl Iterator<Item = &Invitation> {
        let all = self.invited.get(customer).into_iter().flatten().filter_map(|id| self.invitation(*id));
        all.filter(|invitation| invitation.became.is_none())
    }

    /// Whether a name is free for an owner of that customer: no owner has or had it, and nobody else is invited by it.
    /// Owners are not told who else is an owner where.
    fn check_owner_free(&self, event: &Event, name: &str, customer: CustomerId) -> Result<(), Rule> {
        let taken = |holder: OwnerId, of: CustomerId| match event.by {
            By::Owner(_) if of != customer => Rule::NameNotFree(name.to_owned()),
            By::Owner(_) | By::Operator | By::Staff(_) | By::VendorApp | By::System => {
                Rule::NameTaken { name: name.to_owned(), holder: holder.to_string() }
            }
        };
        if let Some(owner) = self.owner_names.get(name).and_then(|id| self.owner(*id)) {
            return Err(taken(owner.id, owner.customer));
        }
        let newest = self.invited_names.get(name).and_then(|id| self.invitation(*id));
        match newest.filter(|other| other.customer != customer && other.is_open(event.at)) {
            Some(other) => Err(taken(other.id, other.customer)),
            None => Ok(()),
        }
    }

    pub(super) fn check_invited(
        &self,
        event: &Event,
        (customer, ends): (CustomerId, Timestamp),
        side: Option<&Personal>,
    ) -> Result<(), Rule> {
        self.check_owner_creator(event, customer)?;
        if ends <= event.at {
            return Err(Rule::AlreadyOver);
        }
        if ends > event.at.plus(INVITED_FOR_MAX) {
            return Err(Rule::InvitedTooLong);
        }
        let Some(side) = side else { return Ok(()) };
        let name = required(&side.name, "owner's name")?;
        personal::check_owner_name(name)?;
        let digest = code_of(side).ok_or(TextFault::Missing("digest of the invitation's code"))?;
        if self.invitation_codes.contains_key(&digest) {
            return Err(Rule::TokenTaken);
        }
        self.check_owner_free(event, name, customer)
    }

    pub(super) fn check_accepted(&self, event: &Event, id: OwnerId, side: Option<&Personal>) -> Result<(), Rule> {
        if event.by != By::Owner(id) {
            return Err(not_yours(event));
        }
        let is_open = |found: &&Invitation| found.is_left() && event.at < found.ends;
        let found = self.invitation(id).filter(is_open).ok_or(Rule::InvitationOver)?;
        if event.at.plus(CLOCK_TOLERANCE) < found.at {
            return Err(Rule::ClockBehind(found.at));
        }
        // Since then somebody else may have become the first owner, or the inviting owner may be gone.
        match found.by {
            By::Owner(inviting) => self.active_owner_of(inviting, found.customer)?,
            By::Operator if self.owners_of(found.customer).next().is_some() => {
                return Err(Rule::NotFirstOwner(found.customer));
            }
            By::Operator | By::Staff(_) | By::VendorApp | By::System => {}
        }
        let Some(side) = side else { return Ok(()) };
        required(&side.password_hash, "password hash")?;
        self.check_owner_free(event, &found.name, found.customer)
    }

    pub(super) fn check_uninvited(&self, event: &Event, id: OwnerId) -> Result<(), Rule> {
        let found = self.invitation(id).filter(|found| found.is_left()).ok_or(Rule::InvitationOver)?;
        match event.by {
            By::Operator => Ok(()),
            By::Owner(owner) => self.active_owner_of(owner, found.customer),
            By::Staff(_) | By::VendorApp | By::System => Err(not_yours(event)),
        }
    }

    /// Takes the place of whatever was sent to the same name before, and, if it is an operator's, of an operator's other
    /// ones: an operator makes one owner, the first.
    pub(super) fn invite(
        &mut self,
        event: &Event,
        sequence: Sequence,
        (customer, ends): (CustomerId, Timestamp),
        side: Personal,
    ) {
        let (id, digest) = (OwnerId(sequence.0), code_of(&side));
        let name = text(side.name);
        self.withdraw_invitations(event.at, customer, |other| {
            (other.name == name && name != ERASED) || (event.by == By::Operator && other.by == By::Operator)
        });
        if let Some(digest) = digest {
            Arc::make_mut(&mut self.invitation_codes).insert(digest, id);
        }
        if name != ERASED {
            Arc::make_mut(&mut self.invited_names).insert(name.clone(), id);
        }
        self.invited.entry(customer).insert(id);
        let (by, at, became) = (event.by, event.at, None);
        self.invitations.insert(id, Invitation { id, customer, name, digest, by, at, ends, became });
    }

    /// They are an owner from now on, under the id of their invitation.
    pub(super) fn accept(&mut self, event: &Event, id: OwnerId, side: Personal) {
        let Some(found) = self.invitation(id).cloned() else { return };
        self.conclude(id, Became::Accepted(event.at));
        let personal = Personal { name: Some(found.name).filter(|name| name != ERASED), ..side };
        self.add_owner(event, Sequence(id.0), found.customer, personal);
    }

    pub(super) fn uninvite(&mut self, event: &Event, id: OwnerId) {
        self.conclude(id, Became::Withdrawn(event.at));
    }

    /// Whoever is gone has invited nobody.
    pub(super) fn withdraw_invitations_by(&mut self, at: Timestamp, (customer, owner): (CustomerId, OwnerId)) {
        self.withdraw_invitations(at, customer, |other| other.by == By::Owner(owner));
    }

    /// Nobody becomes an owner of a closed account, nor, by what was sent before, of one that was reopened.
    pub(super) fn withdraw_invitations_to(&mut self, at: Timestamp, customer: CustomerId) {
        self.conclude_where(customer, Became::Closed(at), |_| true);
    }

    fn withdraw_invitations(&mut self, at: Timestamp, customer: CustomerId, which: impl Fn(&Invitation) -> bool) {
        self.conclude_where(customer, Became::Withdrawn(at), which);
    }

    fn conclude_where(&mut self, customer: CustomerId, became: Became, which: impl Fn(&Invitation) -> bool) {
        let concluded: Vec<OwnerId> = self.invited_to(customer).filter(|one| which(one)).map(|one| one.id).collect();
        concluded.into_iter().for_each(|id| self.conclude(id, became));
    }

    fn conclude(&mut self, id: OwnerId, became: Became) {
        if let Some(invitation) = self.invitations.get_mut(id) {
            invitation.became = Some(became);
        }
    }
}

fn code_of(side: &Personal) -> Option<[u8; 32]> {
    side.invitation.as_ref().and_then(|digest| digest.as_slice().try_into().ok())
}

#[cfg(test)]
#[path = "invitation_tests.rs"]
mod tests;
