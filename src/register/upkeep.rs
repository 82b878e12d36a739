//! What every role does with the register while it runs: tells it how long the role's own log is, and reads from it whose
//! records it writes.
//! Not here: reading the register again and again (`follower`).

use std::time::Duration;

use super::{Follower, Register};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::keys::Recipient;
use crate::log::Log;

/// How often the register is told how long a log is.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// Tells the register now and then how long the log is, so that a log that was cut is noticed at the next start. Never ends.
pub async fn keep_checkpoint(log: Log, register: Register) {
    let mut noted = 0;
    loop {
        tokio::time::sleep(CHECKPOINT_EVERY).await;
        let Checkpoint { origin, size, root } = log.checkpoint();
        if size == noted {
            continue;
        }
        let (to, about) = (register.clone(), origin.clone());
        // What was not taken is told again.
        match tokio::task::spawn_blocking(move || to.note_checkpoint(&about, size, root)).await {
            Ok(Ok(())) => noted = size,
            Ok(Err(error)) => tracing::warn!(log = origin, %error, "the register does not take the log's checkpoint"),
            Err(error) => tracing::warn!(log = origin, %error, "the register does not take the log's checkpoint"),
        }
    }
}

impl Follower {
    /// Everybody whose records a role may have to write: the vendor, and each customer whose account is open.
    pub fn recipients(&self) -> Vec<Recipient> {
        let state = self.state();
        let customers = state.sealed_to().map(Recipient::Customer);
        std::iter::once(Recipient::Vendor).chain(customers).collect()
    }

    /// Customers whose keys are being destroyed, or gone: whoever holds any forgets them.
    pub fn forgotten(&self) -> Vec<Recipient> {
        self.state().forgotten().map(Recipient::Customer).collect()
    }
}
