//! What people approved in a plan above the cap of purges: said in the register, for each account by the digest of what
//! is purged, by each person.
//! Not here: who they are (`cli/retention/people.rs`), and purging, which the daemon does.

use super::{Error, Keeping};
use crate::grant::{AccountStep, By, Draft, What};
use crate::ids::CustomerId;
use crate::retention::plan::{Action, Cap, Object, Plan};

impl Keeping {
    /// Approves every purge of `plan` that is not begun, if the plan is above the cap of purges. Whose.
    ///
    /// # Errors
    /// If the register or the log cannot be written, or an account's plan is another by now.
    pub async fn approve(&self, plan: &Plan, people: &[By]) -> Result<Vec<CustomerId>, Error> {
        let is_over = plan.caps.iter().any(|cap| match cap {
            Cap::Purges { .. } => true,
            Cap::Expires { .. } | Cap::Widened { .. } => false,
        });
        let mut approved = Vec::new();
        for row in plan.with(Action::Purge).filter(|_| is_over) {
            let (Object::Customer(customer), Some(digest)) = (&row.object, row.fingerprint.manifest) else { continue };
            let state = self.stock.state().await?;
            let closure = state.customer(*customer).and_then(|customer| customer.closure.as_ref());
            let Some(purge) = closure.map(|closure| closure.purge) else { continue };
            if purge.plan_begun().is_some() || purge.is_approved(self.stock.people) {
                continue;
            }
            // one of them may have done it before, when the other's event could not be written any more
            let missing = people.iter().filter(|by| !purge.approved.iter().flatten().any(|(before, _)| before == *by));
            for by in missing {
                let what = What::Account { customer: *customer, step: AccountStep::PurgeApproved { digest } };
                let draft = Draft { by: *by, what, personal: None };
                let done = self.acts.act(None, |_| Ok(draft.clone())).await?;
                done.warnings.iter().for_each(|warning| tracing::warn!(%customer, "{warning}"));
            }
            approved.push(*customer);
        }
        Ok(approved)
    }
}
