//! What becomes of notifications. LISTEN needs no privilege and channels are database-wide, so where customers share a
//! database none is shown: it is cut out of the stream, and its channel and number are recorded. Elsewhere each has a
//! record of its own, and what follows waits for it.
//! Not here: the rest of what the server sends (`proxy/relay.rs`). Design section 6.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::audit::record::Kind;
use crate::clock::Timestamp;
use crate::log::Claim;
use crate::proxy::Gate;
use crate::proxy::reason::Reason;
use crate::proxy::release::Ledger;
use crate::proxy::who::Who;
use crate::wire::sieve::Sieve;

/// The type byte of NotificationResponse.
const NOTIFICATION_RESPONSE: u8 = b'A';

/// One session's notifications.
#[derive(Debug)]
pub enum Notifications {
    /// The database is the customer's own: shown once recorded.
    Shown,
    /// Other customers' too: never shown. How many came since the last record, by channel.
    Withheld {
        /// Cuts them out.
        sieve: Sieve,
        /// Not recorded yet.
        counts: BTreeMap<Vec<u8>, u64>,
    },
}

impl Notifications {
    /// For that session.
    pub fn of(who: &Who) -> Notifications {
        match who.need.tenant {
            None => Notifications::Shown,
            Some(_) => Notifications::Withheld { sieve: Sieve::new(NOTIFICATION_RESPONSE), counts: BTreeMap::new() },
        }
    }

    /// One came on that channel.
    pub fn came(&mut self, channel: Vec<u8>, gate: &Gate, who: &Who, ledger: &mut Ledger) -> Result<(), Reason> {
        match self {
            Notifications::Shown => gated(channel, gate, who, ledger),
            Notifications::Withheld { counts, .. } => {
                *counts.entry(channel).or_default() += 1;
                Ok(())
            }
        }
    }

    /// What of the server's bytes goes on, once all that came in them is counted.
    pub fn pass(&mut self, bytes: Bytes, gate: &Gate, who: &Who, now: Timestamp) -> Result<Bytes, Reason> {
        let Notifications::Withheld { sieve, counts } = self else { return Ok(bytes) };
        for (channel, count) in std::mem::take(counts) {
            let mut record = who.blank(Kind::Statement, now);
            record.skeleton.verb = Some("notification".to_owned());
            record.skeleton.result = Some("withheld".to_owned());
            record.skeleton.count = Some(count);
            record.values.text = Some(channel);
            gate.log.note(record).map_err(|_| Reason::LogFailed)?;
        }
        Ok(sieve.pass(bytes))
    }
}

/// A notification comes from elsewhere, so it has a record of its own, and what follows waits for it.
fn gated(channel: Vec<u8>, gate: &Gate, who: &Who, ledger: &mut Ledger) -> Result<(), Reason> {
    let mut record = who.blank(Kind::Statement, gate.clock.now());
    let frame = ledger.forwarded();
    record.skeleton.frame = Some(frame);
    record.skeleton.verb = Some("notification".to_owned());
    record.values.text = Some(channel);
    let claim = Claim::of(who.session, frame);
    let enqueued = gate.log.append(record, claim).map_err(|_| Reason::LogFailed)?;
    ledger.withhold(enqueued).map_err(Reason::Slipped)
}
