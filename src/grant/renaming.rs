//! A customer that is called otherwise from now on: its id stays, and with it everything that was decided and done.
//! Not here: who is told the new name when somebody uses the old one (`proxy/refused.rs`, `portal/door.rs`).
//! A name that somebody had is given to nobody else before they are forgotten, so that whoever reads an old record knows
//! whom it means. After that nobody here knows the name any more, and no key of theirs is left; records under the vendor's
//! keys, such as that of their creation, still name them: whom those mean says the event they are about, not the name.

use std::sync::Arc;

use super::apply::{only_operator, required};
use super::event::Event;
use super::personal::{self, ERASED, Personal};
use super::rule::Rule;
use super::state::{Customer, State};
use crate::clock::Timestamp;
use crate::ids::CustomerId;

/// A name that a customer had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// What it was called, or `erased`.
    pub name: String,
    /// Until when.
    pub until: Timestamp,
}

impl Customer {
    /// What people call it.
    pub fn title(&self) -> &str {
        self.display.as_deref().unwrap_or(&self.name)
    }

    /// Until when it was last called that; none: never, or it still is.
    pub fn was_called(&self, name: &str) -> Option<Timestamp> {
        let of_that_name = |former: &&Former| former.name == name && self.name != name && name != ERASED;
        self.former.iter().rfind(of_that_name).map(|former| former.until)
    }
}

impl State {
    /// The customer that was called so and is called otherwise now.
    pub fn customer_formerly(&self, name: &str) -> Option<&Customer> {
        self.former_names.get(name).and_then(|id| self.customer(*id))
    }

    /// The customer that is called so, or was.
    pub fn customer_known_as(&self, name: &str) -> Option<&Customer> {
        self.customer_named(name).or_else(|| self.customer_formerly(name))
    }

    /// Whether nobody else has that name, or had it.
    pub(super) fn check_free(&self, name: &str, of: Option<CustomerId>) -> Result<(), Rule> {
        let holder = self.customer_names.get(name).or_else(|| self.former_names.get(name));
        match holder.filter(|holder| of != Some(**holder)) {
            Some(holder) => Err(Rule::NameTaken { name: name.to_owned(), holder: holder.to_string() }),
            None => Ok(()),
        }
    }

    pub(super) fn check_renamed(&self, event: &Event, id: CustomerId, side: Option<&Personal>) -> Result<(), Rule> {
        only_operator(event)?;
        let customer = self.customer(id).ok_or(Rule::NoCustomer(id))?;
        if let Some(closure) = &customer.closure {
            return Err(Rule::ClosedKeepsName { customer: id, at: closure.at });
        }
        let Some(side) = side else { return Ok(()) };
        let name = required(&side.name, "customer's name")?;
        personal::check_name(name)?;
        side.display.as_deref().map_or(Ok(()), personal::check_display)?;
        if customer.name == name && (side.display.is_none() || side.display == customer.display) {
            return Err(Rule::SameName(name.to_owned()));
        }
        self.check_free(name, Some(id))
    }

    /// Grants, sessions and records are by id, and go on.
    pub(super) fn rename(&mut self, event: &Event, id: CustomerId, side: Personal) {
        let Some(customer) = self.customers.get_mut(id) else { return };
        customer.display = side.display.or_else(|| customer.display.take());
        let name = super::apply::text(side.name);
        if customer.name == name && name != ERASED {
            return;
        }
        let before = std::mem::replace(&mut customer.name, name.clone());
        customer.former.push(Former { name: before.clone(), until: event.at });
        let (names, former) = (Arc::make_mut(&mut self.customer_names), Arc::make_mut(&mut self.former_names));
        if names.get(&before) == Some(&id) {
            names.remove(&before);
            former.insert(before, id);
        }
        if name != ERASED {
            former.remove(&name);
            names.insert(name, id);
        }
    }
}

#[cfg(test)]
#[path = "renaming_tests.rs"]
mod tests;
