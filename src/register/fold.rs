//! From the events an engine shows to the state they make: each is checked as it is folded.
//! Not here: what events mean and what makes one fit (`grant/`).

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::at::Place;
use super::engine::Engine;
use super::error::Error;
use super::reading::Reading;
use super::seen::Seen;
use crate::grant::{Examined, Fault, State, Stored, Trust, apply_examined, examine};
use crate::ids::Sequence;

/// Reads and folds what the register holds beyond the state, and checks that it still holds the state's last event.
/// After a fault the state is that of everything before it: what narrows there still counts.
///
/// Where side rows were erased that stand behind the state, it knows half of what was forgotten, and may refuse what nobody
/// else does: then all is folded anew. What is read at once is of one moment, so that this knows all or nothing.
pub(super) fn fold_new(
    engine: &mut dyn Engine,
    state: &mut Arc<State>,
    place: &Place,
    trust: &Trust,
) -> Result<(), Error> {
    fold_known(engine, state, place, trust, None)
}

fn fold_known(
    engine: &mut dyn Engine,
    state: &mut Arc<State>,
    place: &Place,
    trust: &Trust,
    known: Option<(Seen, &Path)>,
) -> Result<(), Error> {
    let before = Seen::of(state);
    let outcome = fold_behind(engine, state, place, trust, known);
    let Err(Error::Broken { fault: Fault::Rule(_), .. }) = &outcome else { return outcome };
    if before.sequence.0 == 0 {
        return outcome;
    }
    let mut anew = Arc::default();
    // The chain up to what was known must be the same, so that its signatures are those that were verified then. Where this
    // fails as well, the first outcome says enough.
    let known = known.filter(|(seen, _)| seen.sequence > before.sequence).unwrap_or((before, Path::new("")));
    let folded = fold_behind(engine, &mut anew, place, trust, Some(known));
    if folded.is_err() || anew.sequence() < state.sequence() {
        return outcome;
    }
    *state = anew;
    Ok(())
}

/// The same without the signatures up to where this role saw it last: by then it had verified them. That the chain is the
/// same there is looked at in what is folded, and that it comes so far.
pub(super) fn fold_seen(
    engine: &mut dyn Engine,
    state: &mut Arc<State>,
    place: &Place,
    trust: &Trust,
    seen_path: &Path,
) -> Result<(), Error> {
    let known = Seen::read(seen_path)?;
    fold_known(engine, state, place, trust, known.map(|known| (known, seen_path)))?;
    match known.filter(|known| state.sequence() < known.sequence) {
        None => Ok(()),
        Some(Seen { sequence: seen, .. }) => {
            let (place, seen_path, found) = (place.clone(), seen_path.to_owned(), state.sequence());
            Err(Error::RolledBack { place, seen_path, found, seen })
        }
    }
}

fn fold_behind(
    engine: &mut dyn Engine,
    state: &mut Arc<State>,
    place: &Place,
    trust: &Trust,
    known: Option<(Seen, &Path)>,
) -> Result<(), Error> {
    let (last, head) = (state.sequence(), state.head());
    let mut is_there = last.0 == 0;
    let wanted = Wanted { place, trust, known };
    let (read, folded) = std::thread::scope(|scope| {
        let mut reading = Reading::behind(state, wanted, scope);
        let read = engine.read(last, &mut |stored| {
            if is_there {
                return reading.take(stored);
            }
            is_there = stored.sequence == last && stored.hash == head;
            if is_there { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        (read, reading.end())
    });
    let Folded { next, outcome } = folded?;
    if let Some(next) = next.filter(|next| next.sequence() != last) {
        *state = Arc::new(next);
    }
    // What does not fit is also why no more was read.
    outcome.and(read)?;
    if is_there { Ok(()) } else { Err(Error::fault(place)(Fault::Chain(last))) }
}

/// What events are held against.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) place: &'a Place,
    pub(super) trust: &'a Trust,
    /// What this role saw last, and the file in which that stands.
    pub(super) known: Option<(Seen, &'a Path)>,
}

impl Wanted<'_> {
    /// Each event of a batch by itself, behind that place; the first that does not fit is the last.
    pub(super) fn examine(&self, batch: &[Stored], mut behind: (Sequence, [u8; 32])) -> Vec<Result<Examined, Fault>> {
        let mut all = Vec::with_capacity(batch.len());
        for stored in batch {
            let is_known = self.known.is_some_and(|(seen, _)| stored.sequence <= seen.sequence);
            let examined = examine(stored, behind, Some(self.trust).filter(|_| !is_known));
            let place = examined.as_ref().ok().map(Examined::place);
            all.push(examined);
            let Some(place) = place else { break };
            behind = place;
        }
        all
    }
}

/// What became of events.
pub(super) struct Folded {
    /// The state of all that fitted; none: of none of them is anything to be believed.
    pub(super) next: Option<State>,
    pub(super) outcome: Result<(), Error>,
}

impl Folded {
    /// Nothing yet, but what is before.
    pub(super) fn of(before: State) -> Folded {
        Folded { next: Some(before), outcome: Ok(()) }
    }

    /// Folds a batch, up to what does not fit.
    pub(super) fn take(&mut self, batch: Vec<Result<Examined, Fault>>, wanted: &Wanted<'_>) -> ControlFlow<()> {
        let Some(next) = &mut self.next else { return ControlFlow::Break(()) };
        for examined in batch {
            if let Err(fault) = examined.and_then(|examined| apply_examined(next, examined)) {
                self.outcome = Err(Error::fault(wanted.place)(fault));
                return ControlFlow::Break(());
            }
            // Here, of the very rows that were folded: whoever can write there could show others to a second look.
            if let Some((seen, seen_path)) = wanted.known.filter(|(seen, _)| seen.sequence == next.sequence())
                && seen.hash != next.head()
            {
                let (place, seen_path) = (wanted.place.clone(), seen_path.to_owned());
                self.outcome = Err(Error::Different { place, seen_path, sequence: seen.sequence });
                self.next = None;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
