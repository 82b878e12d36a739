//! How a turn decides and records: register events of the system, records of what is about to be done, troubles told.
//! Not here: what is decided.

use std::sync::Arc;

use super::{Error, Turned, World};
use crate::audit::record::{Kind, Record};
use crate::grant::{AccountStep, By, Customer, Draft, Stage, State, What};
use crate::ids::CustomerId;
use crate::retention::closure;

impl World {
    /// Appends a step of the system's.
    pub(super) async fn step(&self, customer: CustomerId, step: AccountStep) -> Result<Arc<State>, Error> {
        let what = What::Account { customer, step };
        let done = self.acts.act(None, |_| Ok(Draft { by: By::System, what, personal: None })).await?;
        done.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        tracing::info!(%customer, sequence = done.sequence.0, "{}", step.verb());
        Ok(done.state)
    }

    /// Records durably what is about to be done or was found.
    pub(super) async fn record(&self, customer: CustomerId, verb: &str, message: String) -> Result<(), Error> {
        let state = self.state().await?;
        let mut record = Record::new(self.acts.clock.now(), Kind::Decided, state.sealed_for(customer));
        record.skeleton.verb = Some(verb.to_owned());
        record.skeleton.result = Some("told".to_owned());
        record.values.message = Some(format!("{customer}: {message}"));
        self.acts.log.record(record).await?;
        Ok(())
    }

    /// Tells what could not be done: to the journal and to whoever called each time, to the audit log once a day.
    pub(super) async fn trouble(&self, customer: CustomerId, error: &Error, turned: &mut Turned) {
        let text = error.to_string();
        if let Error::Stopped = error {
            tracing::info!(%customer, "{text}");
            return;
        }
        tracing::error!(%customer, alarm = true, "the end of an account does not go on: {text}");
        let now = self.acts.clock.now();
        if self.recorded.is_due(customer, &text, now) {
            match self.record(customer, "closure.trouble", text.clone()).await {
                Ok(()) => self.recorded.note(customer, &text, now),
                Err(fault) => tracing::error!(%customer, "that could not be recorded: {fault}"),
            }
        }
        turned.troubles.push((customer, text));
    }

    /// The customer as it is now.
    pub(super) fn customer(state: &State, id: CustomerId) -> Result<&Customer, Error> {
        state.customer(id).ok_or(Error::Bug("a customer that was there is gone from the register"))
    }
}

/// The register's word for a stage.
pub(super) fn stage(stage: Stage) -> closure::Stage {
    match stage {
        Stage::Closed => closure::Stage::Closed,
        Stage::Archived => closure::Stage::Archived,
        Stage::Choice => closure::Stage::Choice,
        Stage::Planned => closure::Stage::Planned,
        Stage::Purging => closure::Stage::Purging,
        Stage::LiveClean => closure::Stage::LiveClean,
        Stage::BackupsClean => closure::Stage::BackupsClean,
        Stage::ArchiveDestroyed => closure::Stage::ArchiveDestroyed,
        Stage::LogsClean => closure::Stage::LogsClean,
    }
}
