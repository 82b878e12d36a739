//! The fold of owners: who may become one, and what follows when one goes.
//! Not here: invitations (`invitation`), and what owners decide (`apply`, `asking`).

use std::sync::Arc;

use super::apply::{not_yours, required, text};
use super::consent::{By, Consent, Mode};
use super::event::Event;
use super::personal::{self, Personal};
use super::rule::Rule;
use super::state::{Owner, State};
use crate::ids::{CustomerId, OwnerId, Sequence};

impl State {
    pub(super) fn check_owner(&self, personal: &Personal) -> Result<(), Rule> {
        let name = required(&personal.name, "owner's name")?;
        personal::check_owner_name(name)?;
        required(&personal.password_hash, "password hash")?;
        if let Some(id) = self.owner_names.get(name) {
            return Err(Rule::NameTaken { name: name.to_owned(), holder: id.to_string() });
        }
        let taken = personal.digests().iter().any(|digest| self.tokens.contains_key(digest));
        if taken { Err(Rule::TokenTaken) } else { Ok(()) }
    }

    /// The first owner ever is made by an operator; each further one by an owner.
    pub(super) fn check_owner_creator(&self, event: &Event, customer: CustomerId) -> Result<(), Rule> {
        self.remembered(customer)?;
        match event.by {
            By::Operator if self.owners_of(customer).next().is_some() => Err(Rule::NotFirstOwner(customer)),
            By::Operator => Ok(()),
            By::Owner(owner) => self.active_owner_of(owner, customer),
            By::Staff(_) | By::VendorApp | By::System => Err(not_yours(event)),
        }
    }

    pub(super) fn active_owner_of(&self, owner: OwnerId, customer: CustomerId) -> Result<(), Rule> {
        let found = self.owner(owner).filter(|owner| owner.active && owner.customer == customer);
        found.map(drop).ok_or(Rule::NotOwner { owner, customer })
    }

    pub(super) fn add_owner(&mut self, event: &Event, sequence: Sequence, customer: CustomerId, personal: Personal) {
        let id = OwnerId(sequence.0);
        if let Some(name) = &personal.name {
            Arc::make_mut(&mut self.owner_names).insert(name.clone(), id);
        }
        let token_digests = personal.digests();
        if !token_digests.is_empty() {
            Arc::make_mut(&mut self.tokens).extend(token_digests.iter().map(|digest| (*digest, id)));
        }
        let password_hash = personal.password_hash.unwrap_or_default();
        let (name, created) = (text(personal.name), event.at);
        let owner = Owner { id, customer, name, password_hash, token_digests, active: true, created };
        self.accounts.entry(customer).insert(id);
        self.owners.insert(id, owner);
    }

    /// Consent that nobody could withdraw any more is no consent: the last owner's going switches it off.
    pub(super) fn remove_owner(&mut self, event: &Event, sequence: Sequence, owner: OwnerId) {
        let Some(removed) = self.owners.get_mut(owner) else { return };
        removed.active = false;
        let customer = removed.customer;
        self.withdraw_invitations_by(event.at, (customer, owner));
        if self.owners_of(customer).any(|owner| owner.active) {
            return;
        }
        if let Some(scope) = self.customer(customer).map(|customer| customer.consent.scope) {
            let (set_at, set_by) = (event.at, event.by);
            let terms = self.terms_of(customer);
            let consent = Consent { mode: Mode::Off, scope, until: None, terms, set_at, set_by, sequence };
            self.set_consent(event, customer, consent);
        }
    }
}
