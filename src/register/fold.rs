//! From the events an engine shows to the state they make: each is checked as it is folded.
//! Not here: what events mean and what makes one fit (`grant/`).

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::at::Place;
use super::engine::Engine;
use super::error::Error;
use super::seen::{Seen, check_seen};
use crate::grant::{Fault, State, Stored, Trust, apply, apply_known};

/// Reads and folds what the register holds beyond the state, and checks that it still holds the state's last event.
/// After a fault the state is that of everything before it: what narrows there still counts.
pub(super) fn fold_new(
    engine: &mut dyn Engine,
    state: &mut Arc<State>,
    place: &Place,
    trust: &Trust,
) -> Result<(), Error> {
    fold_behind(engine, state, place, trust, None)
}

/// The same from nothing, without the signatures up to where this role saw it last: by then it had verified them. That the
/// chain is the same there is looked at in what was folded.
pub(super) fn fold_seen(
    engine: &mut dyn Engine,
    place: &Place,
    trust: &Trust,
    seen: &Path,
) -> Result<Arc<State>, Error> {
    let mut state = Arc::default();
    let known = Seen::read(seen)?.map(|known| (known, seen));
    fold_behind(engine, &mut state, place, trust, known)?;
    check_seen(engine, &state, place, seen)?;
    Ok(state)
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
    let mut folding = Folding { next: None, place, trust, known, outcome: Ok(()) };
    // One row at a time: a register of a million events is not held in memory besides its fold.
    let read = engine.read(last, &mut |stored| {
        if is_there {
            return folding.take(state, &stored);
        }
        is_there = stored.sequence == last && stored.hash == head;
        if is_there { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let Folding { next, outcome, .. } = folding;
    if let Some(next) = next {
        *state = Arc::new(next);
    }
    read.and(outcome)?;
    if is_there { Ok(()) } else { Err(Error::fault(place)(Fault::Chain(last))) }
}

/// A fold under way.
struct Folding<'a> {
    /// The state so far; none while nothing new was there.
    next: Option<State>,
    place: &'a Place,
    trust: &'a Trust,
    known: Option<(Seen, &'a Path)>,
    outcome: Result<(), Error>,
}

impl Folding<'_> {
    fn take(&mut self, before: &State, stored: &Stored) -> ControlFlow<()> {
        let next = self.next.get_or_insert_with(|| before.clone());
        let is_known = self.known.is_some_and(|(seen, _)| stored.sequence <= seen.sequence);
        let applied = if is_known { apply_known(next, stored) } else { apply(next, stored, self.trust) };
        if let Err(fault) = applied {
            self.outcome = Err(Error::fault(self.place)(fault));
            return ControlFlow::Break(());
        }
        // Here, of the very rows that were folded: whoever can write there could show others to a second look.
        if let Some((seen, seen_path)) = self.known.filter(|(seen, _)| seen.sequence == next.sequence())
            && seen.hash != next.head()
        {
            let (place, seen_path) = (self.place.clone(), seen_path.to_owned());
            self.next = None;
            self.outcome = Err(Error::Different { place, seen_path, sequence: seen.sequence });
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
