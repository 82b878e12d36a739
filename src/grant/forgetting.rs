//! What the fold forgets of a customer: every text about it and its owners, and with them the names that they had.
//! Not here: deleting the side rows (`register/forget.rs`), and when (`retentiond/closing`).
//! Whoever folded while the texts were there knows from that event on what whoever folds without them knows: else a name
//! that is given again would be taken by one and refused by another, who then follows the register no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::closure::ClosureRule;
use super::event::Event;
use super::invitation::Became;
use super::personal::ERASED;
use super::rule::Rule;
use super::state::{Customer, State};
use super::terms::Terms;
use crate::ids::{CustomerId, OwnerId};

impl State {
    /// Whether the register still knows that customer: nothing more is written about one that it has forgotten.
    pub(super) fn remembered(&self, id: CustomerId) -> Result<&Customer, Rule> {
        let customer = self.customer(id).ok_or(Rule::NoCustomer(id))?;
        let forgotten = customer.closure.as_ref().and_then(|closure| closure.forgotten);
        forgotten.map_or(Ok(customer), |at| Err(ClosureRule::Forgotten(at).into()))
    }

    /// Its names and those of its owners are nobody's from now on, and whoever was its owner is none.
    pub(super) fn forget(&mut self, event: &Event, id: CustomerId) {
        // Where the side rows are deleted already, there is nothing to look for among what all customers have.
        // Whoever looked away meanwhile may know its former name only.
        let has_texts = self.customer(id).is_some_and(|customer| {
            customer.name != ERASED || customer.former.iter().any(|former| former.name != ERASED)
        });
        self.forget_names(id);
        self.forget_owners(id);
        self.forget_invitations(event, id);
        if has_texts {
            self.forget_reasons(id);
        }
    }

    fn forget_names(&mut self, id: CustomerId) {
        let Some(customer) = self.customers.get_mut(id) else { return };
        let (name, cluster) = (erase(&mut customer.name), erase(&mut customer.cluster));
        let place = (cluster, erase(&mut customer.database));
        let tenant = customer.tenant.as_mut().map(erase);
        let former = std::mem::take(&mut customer.former);
        customer.display = None;
        customer.consent.terms = Terms::erased(customer.consent.terms.bounds());
        if let Some(questioned) = &mut customer.questioned {
            erase(&mut questioned.reason);
        }
        let (names, before) = (Arc::make_mut(&mut self.customer_names), Arc::make_mut(&mut self.former_names));
        for name in former.into_iter().map(|former| former.name).chain([name]) {
            names.remove_if(&name, id);
            before.remove_if(&name, id);
        }
        let places = Arc::make_mut(&mut self.places);
        if let Some(there) = places.get_mut(&place) {
            there.remove_if(&tenant, id);
            if there.is_empty() {
                places.remove(&place);
            }
        }
    }

    fn forget_owners(&mut self, id: CustomerId) {
        let owners: Vec<OwnerId> = self.owners_of(id).map(|owner| owner.id).collect();
        for id in owners {
            let Some(owner) = self.owners.get_mut(id) else { continue };
            owner.active = false;
            owner.password_hash.clear();
            let (name, tokens) = (erase(&mut owner.name), std::mem::take(&mut owner.token_digests));
            Arc::make_mut(&mut self.owner_names).remove_if(&name, id);
            let known = Arc::make_mut(&mut self.tokens);
            tokens.iter().for_each(|digest| known.remove_if(digest, id));
        }
    }

    /// Of two to one name the second took the first one's place; without the name nobody could tell: over are all alike.
    fn forget_invitations(&mut self, event: &Event, id: CustomerId) {
        let sent: Vec<OwnerId> = self.invited.get(id).into_iter().flatten().copied().collect();
        let mut gone = BTreeSet::new();
        for id in sent {
            let Some(invitation) = self.invitations.get_mut(id) else { continue };
            if !matches!(invitation.became, Some(Became::Accepted(_))) {
                invitation.became = Some(Became::Withdrawn(event.at));
            }
            let (name, digest) = (erase(&mut invitation.name), invitation.digest.take());
            if name != ERASED {
                gone.insert(name);
            }
            if let Some(digest) = digest {
                Arc::make_mut(&mut self.invitation_codes).remove_if(&digest, id);
            }
        }
        self.forget_invited(&gone);
    }

    /// Who else was invited by one of these names has the newest invitation to it now, however old.
    fn forget_invited(&mut self, gone: &BTreeSet<String>) {
        if gone.is_empty() {
            return;
        }
        let names = Arc::make_mut(&mut self.invited_names);
        names.retain(|name, _| !gone.contains(name));
        let others = self.invitations.values().filter(|other| gone.contains(&other.name));
        names.extend(others.map(|other| (other.name.clone(), other.id)));
    }

    /// Why somebody asked, was let in, or was to be kept waiting.
    fn forget_reasons(&mut self, id: CustomerId) {
        self.grants.change(
            |grant| grant.customer == id,
            |grant| {
                erase(&mut grant.reason);
                erase(&mut grant.ticket);
            },
        );
        self.renew_newest(id);
        self.requests.change(
            |request| request.customer == id,
            |request| {
                erase(&mut request.reason);
                erase(&mut request.ticket);
                erase(&mut request.necessity);
                request.said.iter_mut().for_each(|said| drop(erase(&mut said.text)));
            },
        );
        self.glasses.change(
            |glass| glass.customer == id,
            |glass| {
                erase(&mut glass.reason);
                erase(&mut glass.ticket);
            },
        );
        self.holds.change(
            |hold| hold.customer == id,
            |hold| {
                erase(&mut hold.authority);
                erase(&mut hold.reason);
            },
        );
        self.codes.change(|code| code.customer == id, |code| code.salt.clear());
    }
}

/// Leaves the word for what is gone; what was there.
fn erase(text: &mut String) -> String {
    std::mem::replace(text, ERASED.to_owned())
}

/// A map of names, or of what else is one holder's.
trait Held<K, V> {
    /// Takes it from that holder; from nobody who has it since.
    fn remove_if(&mut self, key: &K, holder: V);
}

impl<K: Ord, V: PartialEq> Held<K, V> for BTreeMap<K, V> {
    fn remove_if(&mut self, key: &K, holder: V) {
        if self.get(key) == Some(&holder) {
            self.remove(key);
        }
    }
}

#[cfg(test)]
#[path = "forgetting_tests.rs"]
mod tests;
