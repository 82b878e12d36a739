//! What a session's time-outs do: the grant's end, patience with an idle client or one that does not take its rows, and
//! the notices ahead of them. Not here: the loop they run in (`proxy/relay.rs`).

use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;

use super::{Relay, Turn};
use crate::clock::Timestamp;
use crate::proxy::reason::{Reason, minutes};
use crate::wire::response::{self, note};

/// How long before the end of a grant, and of the patience with an idle session, its user is told.
const NOTICE_BEFORE_END: Duration = Duration::from_secs(5 * 60);
const NOTICE_BEFORE_IDLE: Duration = Duration::from_secs(60);

/// What the user was told ahead of time, so that it is said once.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) idle: bool,
    ending: Option<Timestamp>,
}

impl Relay {
    pub(super) fn deadlines(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.dry.timer {
            return Ok(false);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            self.dry.timer = true;
            return Ok(false);
        }
        self.tell_outcomes().map_err(|_| Reason::LogFailed)?;
        let now = self.gate.clock.now();
        let allowed = self.allowed(&self.gate.follower.state())?;
        let until = allowed.until();
        let (still, idle) = (now.since(self.moved_at), now.since(self.active_at));
        let is_asked = !self.session.unanswered().is_empty() && !self.session.awaits_data();
        let is_busy = !self.to_client.is_empty() || is_asked;
        if !self.to_client.pending().is_empty() && still >= self.gate.settings.stuck_after {
            return Err(Reason::Stuck(self.gate.settings.stuck_after));
        }
        if !is_busy && idle >= self.gate.settings.idle_after {
            return Err(Reason::Idle(self.gate.settings.idle_after));
        }
        let idle = if is_busy { Duration::ZERO } else { idle };
        self.give_notice(now, until, idle);
        let idle_due = self.gate.settings.idle_after.saturating_sub(idle);
        let due = [allowed.deadline().since(now), idle_due, NOTICE_BEFORE_IDLE / 4];
        let next = due.into_iter().min().unwrap_or_default().max(Duration::from_millis(1));
        self.timer.as_mut().reset(Instant::now() + next);
        Ok(true)
    }

    /// Says ahead of time that the grant, or the patience with an idle session, ends.
    fn give_notice(&mut self, now: Timestamp, until: Timestamp, idle: Duration) {
        let left = until.since(now);
        if left <= NOTICE_BEFORE_END && self.told.ending != Some(until) {
            let text = format!("access to customer \"{}\" ends in {}", self.who.names.customer, minutes(left));
            if self.to_client.say(response::notice(&note(text))) {
                self.told.ending = Some(until);
            }
        }
        let patience = self.gate.settings.idle_after.saturating_sub(idle);
        if patience > NOTICE_BEFORE_IDLE {
            self.told.idle = false;
        } else if !self.told.idle {
            let text = format!("this session is idle and ends in {}", minutes(patience));
            self.told.idle = self.to_client.say(response::notice(&note(text)));
        }
    }
}
