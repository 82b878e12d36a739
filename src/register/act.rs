//! One act: its intent recorded durably, then the change appended, then what became of it recorded.
//! Not here: what may be done (`grant/`). What only narrows happens even if it cannot be recorded, and goes to the
//! proxies directly as well.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;

use super::error::Error;
use super::narrow::{Shut, Told, locks_for};
use super::noted::Noted;
use super::opened::Register;
use super::subject::{Subject, describe};
use crate::audit::record::{Kind, Record};
use crate::clock::{Clock, Timestamp};
use crate::entropy::{Entropy, random};
use crate::grant::{By, Draft, Fault, Lock, Proposal, State, Trust, What, apply_made};
use crate::ids::{CustomerId, EventId, Sequence};
use crate::log::Log;

/// How often a lost race is run again.
pub(super) const TRIES: usize = 8;

/// What it takes to narrow when nothing can be recorded.
#[derive(Clone)]
pub struct Hands {
    /// Where decisions are kept.
    pub register: Register,
    /// What the register trusts.
    pub trust: Trust,
    /// The proxies' control sockets.
    pub sockets: Vec<PathBuf>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids and salts.
    pub entropy: Arc<dyn Entropy>,
}

impl Hands {
    /// Makes a change that only takes access away although there is no log to record it in: off means off. The register
    /// keeps it, with who caused it; a warning says that the audit log does not have it. Not cancel-safe.
    ///
    /// # Errors
    /// As [`Acts::act`]; what does not only narrow is refused.
    pub async fn narrow(
        &self,
        shut: Option<Shut>,
        build: impl FnMut(&State) -> Result<Draft, Error>,
    ) -> Result<Done, Error> {
        Work { hands: self, log: None, noted: None }.act(shut, None, build).await
    }

    /// Has the proxies shut at once what `build` wants shut, by the state that is known, before the register is read
    /// again; the act itself must follow. None if by that state it does not only narrow, or is not allowed: nobody is
    /// locked out by what will be refused.
    pub async fn shut(
        &self,
        known: &State,
        signer: Option<&Ed25519KeyPair>,
        mut build: impl FnMut(&State) -> Result<Draft, Error>,
    ) -> Option<Shut> {
        let (draft, at) = (build(known).ok()?, self.clock.now());
        let locks = if draft.what.narrows(known, at) { locks_for(known, &draft.what, at) } else { Vec::new() };
        if locks.is_empty() {
            return None;
        }
        let proposal = self.propose(&draft, at, known, signer).ok()?;
        apply_made(&mut known.clone(), &proposal.stored, &self.trust).ok()?;
        Some(Shut::begin(&self.sockets, locks, known.sequence()).await)
    }

    pub(super) fn propose(
        &self,
        draft: &Draft,
        at: Timestamp,
        state: &State,
        signer: Option<&Ed25519KeyPair>,
    ) -> Result<Proposal, Error> {
        let (id, salt) = (EventId(random(self.entropy.as_ref())), random(self.entropy.as_ref()));
        let mut proposal = draft.propose(id, at, salt, (state.sequence(), state.head()));
        if draft.what.is_signed(draft.by) {
            let key = signer.ok_or(Error::Bug("an owner's act without the portal's key, or a code without its own"))?;
            proposal.sign(key, &state.head());
        }
        Ok(proposal)
    }
}

/// Everything acts need.
#[derive(Clone)]
pub struct Acts {
    /// Where decisions are kept.
    pub register: Register,
    /// Where they are recorded, with keys for the customers they concern.
    pub log: Log,
    /// What the register trusts.
    pub trust: Trust,
    /// The proxies' control sockets.
    pub sockets: Vec<PathBuf>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids and salts.
    pub entropy: Arc<dyn Entropy>,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// The event that did it; its number is also the id of what it created.
    pub sequence: Sequence,
    /// The state after it.
    pub state: Arc<State>,
    /// Sessions that proxies ended at once.
    pub ended: u64,
    /// What did not go as it should, though the act is done; each a sentence without a full stop.
    pub warnings: Vec<String>,
    /// Whether its outcome is recorded.
    pub concluded: bool,
}

/// An intent without an outcome in the log of a writer that is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    /// The event it wanted to append.
    pub event: EventId,
    /// The sequence it wanted to append behind.
    pub expected: Sequence,
    /// Whose data it concerns.
    pub customer: Option<CustomerId>,
}

/// What became of an append, as far as that is known.
pub(super) enum Outcome {
    Written(Sequence),
    LostRace(Sequence),
    Failed(Error),
}

impl Acts {
    /// Makes the change that `build` wants of the present state; of the newer state when another writer was faster.
    /// `signer` is the portal's key, without which no owner acts, or a code's, without which none is used.
    /// Not cancel-safe: run it to its end.
    ///
    /// # Errors
    /// [`Error::Refused`] if the rules forbid it, [`Error::Log`] if it could not be recorded first, [`Error::LostRace`]
    /// after eight lost races, [`Error::Unsure`] if it may be done or not, and whatever `build` answers.
    pub async fn act(
        &self,
        signer: Option<&Ed25519KeyPair>,
        build: impl FnMut(&State) -> Result<Draft, Error>,
    ) -> Result<Done, Error> {
        self.act_after(None, signer, build).await
    }

    /// As [`Acts::act`], after what it narrows was shut by [`Hands::shut`].
    ///
    /// # Errors
    /// As [`Acts::act`]; [`Error::Shut`] or [`Error::Open`] if the register cannot be read or written any more.
    pub async fn act_after(
        &self,
        shut: Option<Shut>,
        signer: Option<&Ed25519KeyPair>,
        build: impl FnMut(&State) -> Result<Draft, Error>,
    ) -> Result<Done, Error> {
        Work { hands: &self.hands(), log: Some(&self.log), noted: None }.act(shut, signer, build).await
    }

    /// As [`Acts::act`], the intent noted besides where a writer finds it that cannot open its own records.
    ///
    /// # Errors
    /// As [`Acts::act`]; if it cannot be noted, what does not only narrow is not done.
    pub async fn act_noted(
        &self,
        noted: &Noted,
        signer: Option<&Ed25519KeyPair>,
        build: impl FnMut(&State) -> Result<Draft, Error>,
    ) -> Result<Done, Error> {
        Work { hands: &self.hands(), log: Some(&self.log), noted: Some(noted) }.act(None, signer, build).await
    }

    /// All of it but the log.
    pub fn hands(&self) -> Hands {
        let Acts { register, log: _, trust, sockets, clock, entropy } = self.clone();
        Hands { register, trust, sockets, clock, entropy }
    }
}

/// What the proxies were told, over all tries.
#[derive(Default)]
struct Narrowed {
    locks: Vec<Lock>,
    told: Told,
}

impl Narrowed {
    /// The newest answers stand; sessions ended add up.
    async fn take(&mut self, shut: Option<Shut>) {
        if let Some(shut) = shut {
            let ended = self.told.ended;
            (self.locks, self.told) = shut.end().await;
            self.told.ended += ended;
        }
    }
}

/// An act under way: with a log, or narrowing without one.
pub(super) struct Work<'a> {
    pub(super) hands: &'a Hands,
    pub(super) log: Option<&'a Log>,
    pub(super) noted: Option<&'a Noted>,
}

impl Work<'_> {
    async fn act(
        &self,
        shut: Option<Shut>,
        signer: Option<&Ed25519KeyPair>,
        build: impl FnMut(&State) -> Result<Draft, Error>,
    ) -> Result<Done, Error> {
        let mut narrowed = Narrowed::default();
        let done = self.attempt(shut, signer, build, &mut narrowed).await;
        done.map_err(|fault| match narrowed.locks.as_slice() {
            [] => fault,
            locks => Error::unconfirmed(locks, &narrowed.told, self.hands.register.place(), fault),
        })
    }

    async fn attempt(
        &self,
        mut shut: Option<Shut>,
        signer: Option<&Ed25519KeyPair>,
        mut build: impl FnMut(&State) -> Result<Draft, Error>,
        narrowed: &mut Narrowed,
    ) -> Result<Done, Error> {
        let mut lost = Sequence(0);
        for _ in 0..TRIES {
            let state = match blocking(&self.hands.register, Register::state).await {
                Ok(state) => state,
                Err(fault) => {
                    narrowed.take(shut).await;
                    return Err(fault);
                }
            };
            let draft = build(&state)?;
            let at = self.hands.clock.now();
            let proposal = self.hands.propose(&draft, at, &state, signer)?;
            let trial = Trial { work: self, state: &state, draft: &draft, proposal: &proposal };
            trial.rehearse().await?;
            let narrows = draft.what.narrows(&state, at);
            // Again at each try, unless they were told of this very state: what another writer did meanwhile may have
            // lifted the locks.
            let mut telling = shut.take();
            if let Some(outdated) = telling.take_if(|shut| shut.since != state.sequence()) {
                narrowed.take(Some(outdated)).await;
            }
            if narrows && telling.is_none() {
                let locks = locks_for(&state, &draft.what, at);
                telling = Some(Shut::begin(&self.hands.sockets, locks, state.sequence()).await);
            }
            let unrecorded = trial.intend(narrows).await?;
            let appended = self.append(&proposal).await;
            narrowed.take(telling).await;
            let outcome = appended?;
            let mut warnings = narrowed.told.warnings.clone();
            warnings.extend(unrecorded);
            let unconcluded = trial.conclude(&outcome, &warnings).await;
            let concluded = unconcluded.is_none();
            warnings.extend(unconcluded);
            match outcome {
                Outcome::Written(sequence) => {
                    let state = blocking(&self.hands.register, Register::state).await?;
                    return Ok(Done { sequence, state, ended: narrowed.told.ended, warnings, concluded });
                }
                Outcome::LostRace(now) => lost = now,
                Outcome::Failed(fault) => return Err(fault),
            }
        }
        Err(Error::LostRace(lost))
    }

    async fn append(&self, proposal: &Proposal) -> Result<Outcome, Error> {
        self.append_all(vec![proposal.clone()]).await
    }

    /// All of them, in the order they were made for, or none; the place of the last.
    ///
    /// # Errors
    /// [`Error::Unsure`]: then no outcome is recorded, so that the intents stay open until the next start of this writer
    /// finds out.
    pub(super) async fn append_all(&self, proposals: Vec<Proposal>) -> Result<Outcome, Error> {
        let Some(id) = proposals.last().map(|proposal| proposal.id) else {
            return Ok(Outcome::Failed(Error::Bug("nothing to append")));
        };
        Ok(match blocking(&self.hands.register, move |register| register.append_all(&proposals)).await {
            Ok(sequence) => Outcome::Written(sequence),
            Err(Error::LostRace(now)) => Outcome::LostRace(now),
            // A commit that failed may still have come through: the id tells.
            Err(Error::Unsure(unsure)) => {
                match blocking(&self.hands.register, move |register| register.find(id)).await {
                    Ok(Some(sequence)) => Outcome::Written(sequence),
                    Ok(None) => Outcome::Failed(*unsure),
                    Err(unasked) => {
                        tracing::error!(event = %id, "the register cannot be asked whether it has it: {unasked}");
                        return Err(Error::Unsure(unsure));
                    }
                }
            }
            Err(fault) => Outcome::Failed(fault),
        })
    }

    /// Records durably. Without a log nothing is, which only what narrows survives.
    async fn record(&self, record: Record) -> Result<(), Error> {
        match self.log {
            Some(log) => Ok(log.record(record).await.map(drop)?),
            None => Err(Error::Refused(
                "there is no audit log to record it in, and only what narrows goes without".to_owned(),
            )),
        }
    }
}

/// SQLite waits for the disk, and for other writers: not on a thread that serves others.
pub(super) async fn blocking<T: Send + 'static>(
    register: &Register,
    verb: impl FnOnce(&Register) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let register = register.clone();
    let done = tokio::task::spawn_blocking(move || verb(&register)).await;
    done.map_err(|_| Error::Bug("a task of the register panicked"))?
}

/// One try of an act.
pub(super) struct Trial<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) state: &'a State,
    pub(super) draft: &'a Draft,
    pub(super) proposal: &'a Proposal,
}

impl Trial<'_> {
    /// Whether the rules allow it; a refusal is recorded, and nobody is locked out by what is refused.
    async fn rehearse(&self) -> Result<(), Error> {
        match apply_made(&mut self.state.clone(), &self.proposal.stored, &self.work.hands.trust) {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.refused(fault).await),
        }
    }

    /// Records a refusal.
    pub(super) async fn refused(&self, fault: Fault) -> Error {
        let refused = match fault {
            Fault::Rule(rule) => Error::from(rule),
            fault => Error::Refused(fault.to_string()),
        };
        let mut record = self.record(Kind::Decided);
        record.skeleton.result = Some("refused".to_owned());
        record.values.message = Some(refused.to_string());
        if let Err(fault) = self.work.record(record).await {
            tracing::error!("a refusal could not be recorded: {fault}");
        }
        refused
    }

    /// Records what is about to be tried. What only narrows goes on without it, with a warning.
    async fn intend(&self, narrows: bool) -> Result<Option<String>, Error> {
        if narrows && self.work.log.is_none() {
            return Ok(Some("the register has this change, the audit log does not".to_owned()));
        }
        if let Err(fault) = self.note().await {
            if !narrows {
                return Err(fault);
            }
            tracing::error!("access is narrowed without a note of it: {fault}");
        }
        match self.work.record(self.record(Kind::Intent)).await {
            Ok(()) => Ok(None),
            Err(fault) if narrows => {
                tracing::error!("access is narrowed without a record: {fault}");
                Ok(Some(format!("the audit log does not have it: {fault}")))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Notes the intent where the next start of this writer finds it.
    async fn note(&self) -> Result<(), Error> {
        let Some(noted) = self.work.noted else { return Ok(()) };
        let customer = Subject::of(self.state, self.draft).customer;
        noted.note(OpenIntent { event: self.proposal.id, expected: self.state.sequence(), customer }).await
    }

    /// Records what became of it, with what went wrong beside it. The act stands either way; the next start resolves
    /// an intent without an outcome.
    async fn conclude(&self, outcome: &Outcome, warnings: &[String]) -> Option<String> {
        // Without a log that was said already.
        self.work.log?;
        let mut record = self.record(Kind::Decided);
        let (result, sequence) = match outcome {
            Outcome::Written(sequence) => ("written", Some(sequence.0)),
            Outcome::LostRace(now) => ("superseded", Some(now.0)),
            Outcome::Failed(Error::Refused(_)) => ("refused", record.skeleton.sequence),
            Outcome::Failed(_) => ("unknown", record.skeleton.sequence),
        };
        (record.skeleton.result, record.skeleton.sequence) = (Some(result.to_owned()), sequence);
        if let Outcome::Failed(fault) = outcome {
            record.values.message = Some(fault.to_string());
        } else if !warnings.is_empty() {
            record.values.message = Some(warnings.join("; "));
        }
        if let Err(fault) = self.work.record(record).await {
            tracing::error!("the outcome of an act could not be recorded: {fault}");
            return Some(format!("its outcome could not be recorded in the audit log: {fault}"));
        }
        // Kept, it is only looked at once more.
        if let Some(noted) = self.work.noted
            && let Err(fault) = noted.forget(self.proposal.id).await
        {
            tracing::warn!("{fault}");
        }
        None
    }

    /// A record of this act, with everything but its result.
    pub(super) fn record(&self, kind: Kind) -> Record {
        let Trial { work, state, draft, proposal } = self;
        let subject = Subject::of(state, draft);
        let mut record = Record::new(work.hands.clock.now(), kind, subject.customer);
        let skeleton = &mut record.skeleton;
        skeleton.event = Some(proposal.id.to_string());
        skeleton.sequence = Some(state.sequence().0);
        skeleton.verb = Some(draft.what.verb().to_owned());
        skeleton.grant = subject.grant.map(|grant| grant.0);
        skeleton.scope = subject.scope;
        skeleton.purpose = subject.purpose;
        skeleton.staff = subject.staff;
        skeleton.owner = subject.owner;
        (skeleton.count, skeleton.bytes) = (subject.count, subject.bytes);
        skeleton.uid = matches!(draft.by, By::Operator | By::Staff(_)).then(|| rustix::process::getuid().as_raw());
        let values = &mut record.values;
        values.message = Some(describe(draft));
        values.customer = subject.concerned.and_then(|id| state.customer(id)).map(|customer| customer.name.clone());
        let name = draft.personal.as_ref().and_then(|personal| personal.name.clone());
        match draft.what {
            What::CustomerCreated { .. } => values.customer = name,
            What::StaffCreated => values.staff = name,
            What::OwnerCreated { .. } | What::OwnerInvited { .. } => values.owner = name,
            What::OwnerAccepted { invitation } | What::OwnerUninvited { invitation } => {
                values.owner = state.invitation(invitation).map(|invitation| invitation.name.clone());
            }
            What::StaffRemoved { .. }
            | What::OwnerRemoved { .. }
            | What::CustomerRenamed { .. }
            | What::ConsentSet { .. }
            | What::ConsentAgreed { .. }
            | What::RequestOpened { .. }
            | What::Request { .. }
            | What::CodeCreated { .. }
            | What::CodeRedeemed { .. }
            | What::CodeMissed { .. }
            | What::InstructionQuestioned { .. }
            | What::InstructionConfirmed { .. }
            | What::GrantIssued { .. }
            | What::GrantEnded { .. }
            | What::Account { .. }
            | What::HoldPlaced { .. }
            | What::HoldReleased { .. }
            | What::Glass(_)
            | What::Team(_)
            | What::Staff { .. }
            | What::Snapshot { .. } => {}
        }
        if let Some(personal) = &draft.personal {
            (values.reason, values.ticket) = (personal.reason.clone(), personal.ticket.clone());
        }
        record
    }
}

#[cfg(test)]
#[path = "act_tests.rs"]
pub(super) mod tests;
