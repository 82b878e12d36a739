//! The newest grant of each staff member for each customer: the only one that can be live.
//! Not here: older ones, and when a grant ends (`ending`). Two short steps find one among very many.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::by_id::ById;
use super::state::{Grant, State};
use crate::ids::{CustomerId, StaffId};

/// By customer, and there by staff member. Cheap to clone: what a customer has is shared.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest(ById<CustomerId, BTreeMap<StaffId, Arc<Grant>>>);

impl Newest {
    pub(super) fn get(&self, customer: CustomerId, staff: StaffId) -> Option<&Grant> {
        self.0.get(customer)?.get(&staff).map(Arc::as_ref)
    }

    /// Those for that customer.
    pub(super) fn of(&self, customer: CustomerId) -> impl Iterator<Item = &Grant> {
        self.0.get(customer).into_iter().flat_map(|grants| grants.values()).map(Arc::as_ref)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Grant> {
        self.0.values().flat_map(|grants| grants.values()).map(Arc::as_ref)
    }
}

impl State {
    /// Keeps the newest grants for that customer as they are among all grants, where they were changed.
    pub(super) fn renew_newest(&mut self, customer: CustomerId) {
        let State { newest, grants, .. } = self;
        for newest in newest.0.get_mut(customer).into_iter().flat_map(BTreeMap::values_mut) {
            if let Some(grant) = grants.shared(newest.id) {
                *newest = Arc::clone(grant);
            }
        }
    }

    /// Keeps a grant as its staff member's newest for its customer, whether it is new or has changed.
    pub(super) fn keep_newest(&mut self, grant: Grant) {
        let grant = Arc::new(grant);
        self.newest.0.entry(grant.customer).insert(grant.staff, Arc::clone(&grant));
        self.grants.insert(grant.id, grant);
    }
}
