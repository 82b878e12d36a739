//! Several changes as one act: their intents recorded durably, then all of them appended or none, then what became of them.
//! Not here: what takes access away, which goes to the proxies first and alone (`act`).

use super::act::{Acts, Done, Outcome, TRIES, Trial, Work, blocking};
use super::error::Error;
use super::narrow::locks_for;
use super::opened::Register;
use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::grant::{Draft, Proposal, State, apply_made};
use crate::ids::Sequence;

/// Changes that were found to be allowed, one behind the other, and the record of each.
#[derive(Default)]
struct Rehearsed {
    proposals: Vec<Proposal>,
    records: Vec<Record>,
}

impl Acts {
    /// Makes all the changes that `build` wants of the present state, or none of them; of the newer state when another
    /// writer was faster. What concerns a customer that is not there before is recorded under the vendor's keys, since it
    /// has none yet. Not cancel-safe: run it to its end.
    ///
    /// # Errors
    /// As [`Acts::act`]; [`Error::Bug`] for a change that needs an owner, or that ends a grant.
    pub async fn act_all(&self, mut build: impl FnMut(&State) -> Result<Vec<Draft>, Error>) -> Result<Done, Error> {
        let hands = self.hands();
        let work = Work { hands: &hands, log: Some(&self.log), noted: None };
        let mut lost = Sequence(0);
        for _ in 0..TRIES {
            let state = blocking(&self.register, Register::state).await?;
            let drafts = build(&state)?;
            if drafts.is_empty() {
                let (sequence, warnings) = (state.sequence(), Vec::new());
                return Ok(Done { sequence, state, ended: 0, warnings, concluded: true });
            }
            let Rehearsed { proposals, records } = work.rehearse(&state, &drafts, self.clock.now()).await?;
            self.log.record_all(&records).await?;
            let outcome = work.append_all(proposals).await?;
            let concluded = self.log.record_all(&self.concluded(records, &outcome)).await;
            let warnings = match &concluded {
                Ok(()) => Vec::new(),
                Err(fault) => vec![format!("its outcome could not be recorded in the audit log: {fault}")],
            };
            match outcome {
                Outcome::Written(sequence) => {
                    let state = blocking(&self.register, Register::state).await?;
                    return Ok(Done { sequence, state, ended: 0, warnings, concluded: concluded.is_ok() });
                }
                Outcome::LostRace(now) => lost = now,
                Outcome::Failed(fault) => return Err(fault),
            }
        }
        Err(Error::LostRace(lost))
    }

    /// What became of each.
    fn concluded(&self, intents: Vec<Record>, outcome: &Outcome) -> Vec<Record> {
        let at = self.clock.now();
        let one = |intent: Record| {
            let mut record = Record { at, kind: Kind::Decided, ..intent };
            let (result, sequence) = match outcome {
                Outcome::Written(_) => ("written", record.skeleton.sequence.map(|before| before.saturating_add(1))),
                Outcome::LostRace(now) => ("superseded", Some(now.0)),
                Outcome::Failed(Error::Refused(_)) => ("refused", record.skeleton.sequence),
                Outcome::Failed(_) => ("unknown", record.skeleton.sequence),
            };
            (record.skeleton.result, record.skeleton.sequence) = (Some(result.to_owned()), sequence);
            record
        };
        intents.into_iter().map(one).collect()
    }
}

impl Work<'_> {
    /// Holds each change to the rules, by the state that those before it make.
    async fn rehearse(&self, state: &State, drafts: &[Draft], at: Timestamp) -> Result<Rehearsed, Error> {
        let (mut next, mut rehearsed) = (state.clone(), Rehearsed::default());
        for draft in drafts {
            if !locks_for(&next, &draft.what, at).is_empty() {
                return Err(Error::Bug("what takes access away is made one by one"));
            }
            let before = next.sequence();
            let proposal = self.hands.propose(draft, at, &next, None)?;
            if let Err(fault) = apply_made(&mut next, &proposal.stored, &self.hands.trust) {
                return Err(Trial { work: self, state: &next, draft, proposal: &proposal }.refused(fault).await);
            }
            let mut record = Trial { work: self, state: &next, draft, proposal: &proposal }.record(Kind::Intent);
            record.skeleton.sequence = Some(before.0);
            record.customer = record.customer.filter(|customer| state.customer(*customer).is_some());
            rehearsed.records.push(record);
            rehearsed.proposals.push(proposal);
        }
        Ok(rehearsed)
    }
}

#[cfg(test)]
#[path = "several_tests.rs"]
mod tests;
