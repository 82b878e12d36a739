//! Keeping a writer's keys fresh: keys for new customers at once, and everybody's next ones before a period ends.
//! Not here: when keys are due; the keyring makes them 30 days ahead and is only asked again and again.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Client;
use crate::audit::keys::{Recipient, Recipients};

/// How often the keyring is asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// For everybody's keys, however much changes in between.
    pub every: Duration,
    /// Again after it did not answer.
    pub again: Duration,
}

impl Default for Pace {
    /// Every 6 hours, and 5 seconds after a failure.
    fn default() -> Pace {
        Pace { every: Duration::from_secs(6 * 3600), again: Duration::from_secs(5) }
    }
}

/// For whom a writer needs keys, and whom it must forget.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Everybody whose records it writes.
    pub keys: Vec<Recipient>,
    /// Those whose keys are being destroyed, or gone.
    pub forgotten: Vec<Recipient>,
}

/// Has `client` ensure the keys of all `wanted`: of new ones as soon as `changed` says that there may be some, of
/// everybody at that pace; whom to forget is forgotten at once. Ends when nobody can tell of changes any more. Whoever
/// starts it has ensured them once.
pub async fn keep_keys<T>(
    client: Client,
    recipients: Recipients,
    wanted: impl Fn() -> Wanted,
    mut changed: watch::Receiver<T>,
    pace: Pace,
) {
    let mut known = wanted().keys;
    let mut next = Instant::now() + pace.every;
    loop {
        let all = tokio::select! {
            changed = changed.changed() => match changed {
                Ok(()) => false,
                Err(_) => return,
            },
            () = sleep_until(next) => true,
        };
        let Wanted { keys, forgotten } = wanted();
        forgotten.iter().for_each(|one| recipients.forget(*one));
        let due: Vec<Recipient> = keys.into_iter().filter(|one| all || !known.contains(one)).collect();
        if due.is_empty() && !all {
            continue;
        }
        match client.ensure(&recipients, &due).await {
            Ok(()) if all => (known, next) = (due, Instant::now() + pace.every),
            Ok(()) => known.extend(due),
            Err(error) => {
                tracing::warn!(%error, "no keys yet to seal the records of some customers");
                next = next.min(Instant::now() + pace.again);
            }
        }
    }
}
