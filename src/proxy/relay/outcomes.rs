//! What became of a session's frames, gathered into one record for some of them: an outcome gates nothing, and a record
//! costs the same for one as for many.
//! Not here: what an outcome is (`session/`), and those that nobody saw (`proxy/ending.rs`).

use std::time::Duration;

use tokio::time::Instant;

use super::Relay;
use crate::log;
use crate::session::Outcome;

/// So many outcomes share a record at most: sixteen statements of three frames each.
const OUTCOMES_MAX: usize = 48;
/// As soon as they hold so many bytes of the server's words, they are recorded.
const WORDS_BYTES_MAX: usize = 16 * 1024;
/// An outcome is handed to the log after this long at the latest. The log itself may keep it for another while.
const TOLD_WITHIN: Duration = Duration::from_millis(250);

/// Outcomes that no record tells of yet.
#[derive(Debug, Default)]
pub(super) struct Untold {
    outcomes: Vec<Outcome>,
    words_bytes: usize,
}

impl Untold {
    fn add(&mut self, outcome: Outcome) {
        let words = [&outcome.message, &outcome.tag];
        self.words_bytes += words.into_iter().flatten().map(String::len).sum::<usize>();
        self.outcomes.push(outcome);
    }

    fn is_full(&self) -> bool {
        self.outcomes.len() >= OUTCOMES_MAX || self.words_bytes >= WORDS_BYTES_MAX
    }
}

impl Relay {
    /// Keeps an outcome for the next record; the timer sees to it that there is one.
    pub(super) fn keep(&mut self, outcome: Outcome) -> Result<(), log::Error> {
        if self.untold.outcomes.is_empty() {
            let due = Instant::now() + TOLD_WITHIN;
            if self.timer.deadline() > due {
                self.timer.as_mut().reset(due);
                self.dry.timer = false;
            }
        }
        self.untold.add(outcome);
        if self.untold.is_full() { self.tell_outcomes() } else { Ok(()) }
    }

    /// Records the outcomes that no record tells of yet.
    ///
    /// # Errors
    /// Those of [`Log::note`](crate::log::Log::note).
    pub fn tell_outcomes(&mut self) -> Result<(), log::Error> {
        let Untold { outcomes, .. } = std::mem::take(&mut self.untold);
        match self.who.outcome(outcomes.into_iter(), self.gate.clock.now()) {
            Some(record) => self.gate.log.note(record),
            None => Ok(()),
        }
    }
}
