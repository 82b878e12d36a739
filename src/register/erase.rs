//! Erasing a closed customer's audit records: the intent recorded, the keys destroyed, the completion recorded.
//! Not here: the keyring (whoever calls brings a closure that asks it) and the terms (`[promise]`).
//! A hold keeps the keys; what was begun and not completed is taken up again with the same event.

use std::future::Future;
use std::time::Duration;

use super::act::Acts;
use super::error::Error;
use super::opened::Register;
use crate::audit::keys::Part;
use crate::clock::Timestamp;
use crate::grant::{AccountStep, By, Closure, Draft, Erasure, RecordPart, State, What};
use crate::ids::{CustomerId, EventId};

/// How long after the closing the parts of audit records are kept.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The values.
    pub values_after: Duration,
    /// The skeleton.
    pub skeleton_after: Duration,
}

impl Default for Terms {
    /// 90 and 365 days.
    fn default() -> Terms {
        let days = |count: u64| Duration::from_secs(count * 86_400);
        Terms { values_after: days(90), skeleton_after: days(365) }
    }
}

/// Keys that are to be destroyed: because of which event, whose, of which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// The event that said so.
    pub event: EventId,
    /// Whose.
    pub customer: CustomerId,
    /// Which part.
    pub part: Part,
}

/// What a keyring answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// So many keys were destroyed.
    pub keys: u64,
    /// Copies that still hold them; none: they are gone everywhere.
    pub pending: Vec<String>,
}

/// What became of an erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erased {
    /// So many keys are gone everywhere, and that is recorded.
    Done(u64),
    /// Copies of the keyring still hold them: it must be asked again.
    Pending(Vec<String>),
}

/// A keyring that does not know the keys it is to destroy: that it has none is no proof that they are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this keyring does not know the keys of the {part} of {customer}, and did not destroy them: it is an older copy or \
     another one; bring back the newest file of the keyring, see \"portreeve keys doctor\""
)]
pub struct Unknown {
    /// Whose.
    pub customer: CustomerId,
    /// Of which part.
    pub part: RecordPart,
}

/// The part, as records name it.
pub fn sealed_part(part: RecordPart) -> Part {
    match part {
        RecordPart::Values => Part::Values,
        RecordPart::Skeleton => Part::Skeleton,
    }
}

/// When that part of a closed customer's records must be gone: at once for the values where the owner asked for
/// immediate removal.
pub fn erasure_due(closure: &Closure, part: RecordPart, terms: &Terms) -> Timestamp {
    let by_terms = |after| closure.at.plus(after);
    match (part, closure.immediate) {
        (RecordPart::Values, Some(asked)) => asked.min(by_terms(terms.values_after)),
        (RecordPart::Values, None) => by_terms(terms.values_after),
        (RecordPart::Skeleton, _) => by_terms(terms.skeleton_after),
    }
}

/// From when on that part might be erased, as a notice says it. What was begun when it was due stays lawful under a
/// longer promise that came afterwards.
pub fn lawful_from(closure: &Closure, part: RecordPart, terms: &Terms) -> Timestamp {
    let due = erasure_due(closure, part, terms);
    closure.erasure(part).begun().map_or(due, |begun| begun.min(due))
}

/// What is to be erased at that moment: what is due and not held, and what was begun and not completed.
pub fn erasures_due(state: &State, terms: &Terms, now: Timestamp) -> Vec<(CustomerId, RecordPart)> {
    let closed = state.customers().filter_map(|customer| Some((customer.id, customer.closure.as_ref()?)));
    let due = |(customer, closure): (CustomerId, &Closure)| {
        let held = state.holds_on(customer).next().is_some();
        let part = RecordPart::ALL.iter().copied().find(|part| !closure.erasure(*part).is_done())?;
        let is_due = match closure.erasure(part) {
            Erasure::Begun { .. } => true,
            Erasure::Kept => !held && erasure_due(closure, part, terms) <= now,
            Erasure::Done { .. } => false,
        };
        is_due.then_some((customer, part))
    };
    closed.filter_map(due).collect()
}

impl Acts {
    /// Erases one part of a closed customer's records. `destroy` asks the keyring, and is asked with the same event
    /// however often this is tried. Not cancel-safe: run it to its end; what was cut off is among [`erasures_due`].
    ///
    /// # Errors
    /// [`Error::Refused`] if it is not due, or a hold forbids it; what `destroy` answers; as [`Acts::act`].
    pub async fn erase<F, E>(
        &self,
        (customer, part): (CustomerId, RecordPart),
        terms: &Terms,
        destroy: impl FnOnce(Doomed) -> F,
    ) -> Result<Erased, Error>
    where
        F: Future<Output = Result<Gone, E>>,
        E: std::fmt::Display,
    {
        let event = self.begin_erasure(customer, part, terms).await?;
        let destroyed = destroy(Doomed { event, customer, part: sealed_part(part) }).await;
        let Gone { keys, pending } = destroyed.map_err(|why| Error::NotDestroyed(why.to_string()))?;
        if !pending.is_empty() {
            return Ok(Erased::Pending(pending));
        }
        self.system(customer, AccountStep::ErasureDone { part, keys }).await?;
        Ok(Erased::Done(keys))
    }

    /// The event that says that these keys are about to be destroyed; recorded now if it was not before.
    async fn begin_erasure(&self, customer: CustomerId, part: RecordPart, terms: &Terms) -> Result<EventId, Error> {
        let state = self.state().await?;
        match closure(&state, customer)?.erasure(part) {
            Erasure::Begun { event, .. } => return Ok(event),
            Erasure::Done { at, .. } => return Err(Error::Refused(format!("the {part} are erased since {at}"))),
            Erasure::Kept => {}
        }
        let due = erasure_due(closure(&state, customer)?, part, terms);
        if due > self.clock.now() {
            return Err(Error::Refused(format!("the {part} of {customer} are kept until {due}")));
        }
        let state = self.system(customer, AccountStep::ErasureBegun { part }).await?;
        match closure(&state, customer)?.erasure(part) {
            Erasure::Begun { event, .. } => Ok(event),
            Erasure::Kept | Erasure::Done { .. } => Err(Error::Bug("an erasure that was begun is not under way")),
        }
    }

    async fn system(&self, customer: CustomerId, step: AccountStep) -> Result<std::sync::Arc<State>, Error> {
        let what = What::Account { customer, step };
        let done = self.act(None, |_| Ok(Draft { by: By::System, what, personal: None })).await?;
        done.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(done.state)
    }

    async fn state(&self) -> Result<std::sync::Arc<State>, Error> {
        super::act::blocking(&self.register, Register::state).await
    }
}

fn closure(state: &State, customer: CustomerId) -> Result<&Closure, Error> {
    let found = state.customer(customer).ok_or(crate::grant::Rule::NoCustomer(customer))?;
    found.closure.as_ref().ok_or_else(|| Error::Refused(format!("the account of {customer} is not closed")))
}

#[cfg(test)]
#[path = "erase_tests.rs"]
mod tests;
