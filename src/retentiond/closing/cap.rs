//! More accounts due than may be purged without people's approval: each is held in the register, and somebody is told.
//! Not here: how many are too many (`retention::closure::above`) and approving (`portreeve retention apply`).

use super::facts::model;
use super::{Error, World};
use crate::clock::Timestamp;
use crate::grant::{AccountStep, Stage};
use crate::keeping::{approval, people};
use crate::retention::closure::{Facts, above};
use crate::retention::plan::Rules;

impl World {
    /// Holds every purge that would begin now, if they are too many.
    pub(super) async fn hold_above_cap(&self, rules: &Rules, now: Timestamp) -> Result<(), Error> {
        let state = self.state().await?;
        let people = people(&self.config.retention);
        let mut closed = Vec::new();
        for customer in state.customers() {
            let Some(closure) = &customer.closure else { continue };
            let facts = match closure.stage() {
                Stage::Planned | Stage::Purging => {
                    let kept = self.kept(customer.id, closure.sequence)?;
                    self.facts(&state, customer, closure, &kept, now)?
                }
                // it counts if it was begun lately, and begins nothing
                Stage::Closed
                | Stage::Archived
                | Stage::Choice
                | Stage::LiveClean
                | Stage::BackupsClean
                | Stage::ArchiveDestroyed
                | Stage::LogsClean => {
                    let (begun, approval) = (closure.purge.plan_begun(), approval(&closure.purge, people));
                    Facts { begun, approval, ..Facts::default() }
                }
            };
            closed.push((model(&state, customer, closure, rules), facts));
        }
        let cap = usize::try_from(self.config.retention.caps.purge).unwrap_or(usize::MAX);
        let over = above(closed.iter().map(|(closure, facts)| (closure, facts)), cap, now);
        let Some(over) = over else { return Ok(()) };
        for customer in over.due {
            let closure = Self::customer(&state, customer)?.closure.as_ref().ok_or(Error::Bug("no closure"))?;
            let Some((digest, _)) = closure.purge.planned.filter(|_| closure.purge.held.is_none()) else { continue };
            tracing::error!(
                alarm = "second-person-needed",
                %customer,
                count = over.count,
                cap,
                "more accounts are due than may be purged in a day without approval: look at them with \"portreeve \
                 retention plan\" and apply it with a second person"
            );
            self.step(customer, AccountStep::PurgeHeld { digest, people }).await?;
        }
        Ok(())
    }
}
