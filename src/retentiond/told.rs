//! Alarms by a clock of their own: whatever a turn is busy with or says of itself, what is late is told.
//! Not here: what is late (`retention/overdue.rs`). Each line has the field `alarm`, by which a collector finds it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::keeping::{Keeping, late, named};
use crate::retention::overdue::{Alarm, Level};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);
/// How often the same is told again.
const AGAIN: Duration = Duration::from_secs(3600);
/// So long ago a turn began, at the most, or the daemon is stuck.
const TURN_WITHIN: Duration = Duration::from_secs(6 * 3600);

/// What was told, and when.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<(String, Level), Timestamp>);

impl Told {
    /// Those of `alarms` that are new, or were told long ago.
    fn due<'a>(&mut self, alarms: &'a [Alarm], now: Timestamp) -> Vec<&'a Alarm> {
        let key = |alarm: &Alarm| (format!("{:?}", alarm.what), alarm.level);
        self.0.retain(|told, _| alarms.iter().any(|alarm| key(alarm) == *told));
        let mut due = Vec::new();
        for alarm in alarms {
            let told = self.0.get(&key(alarm));
            if told.is_none_or(|told| now.since(*told) >= AGAIN || now < *told) {
                self.0.insert(key(alarm), now);
                due.push(alarm);
            }
        }
        due
    }

    /// Tells them on standard error.
    pub fn tell(&mut self, alarms: &[Alarm], now: Timestamp) {
        for Alarm { what, level, deadline } in self.due(alarms, now) {
            let (alarm, object) = named(what);
            tracing::error!(alarm, object, level = %level, deadline = %deadline, "something is late");
        }
    }
}

/// Looks and tells for ever.
pub async fn watch(keeping: Keeping) {
    let mut told = Told::default();
    loop {
        tokio::time::sleep(EVERY).await;
        let now = keeping.acts.clock.now();
        match late(&keeping.stock, now).await {
            Ok(late) => told.tell(&late, now),
            Err(error) => tracing::error!(alarm = "register", %error, "what is late cannot be said"),
        }
        let last = keeping.stock.notes.guard().map(|guard| guard.last.wall);
        if let Some(last) = last.filter(|last| now.since(*last) > TURN_WITHIN) {
            tracing::error!(alarm = "stuck", since = %last, "the daemon has not begun a turn since");
        }
    }
}
