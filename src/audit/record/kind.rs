//! The kinds of records, by their numbers.
//! Not here: what a record of each kind holds (`record.rs`). A number is never used again for another meaning.

/// What kind of act a record describes. Its number is the type byte of the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A writer opened its log.
    Opened = 1,
    /// A writer recovered its log after a crash and dropped an unacknowledged tail.
    Recovered = 2,
    /// A writer closed its log in order.
    Closed = 3,
    /// Nothing happened for a minute; the log was alive.
    Heartbeat = 4,
    /// A data key, sealed to its recipient. Written by the log itself.
    DataKey = 5,
    /// A staff member signed in and was let in: a session began.
    SignedIn = 10,
    /// A sign-in was refused, or never got that far.
    Refused = 11,
    /// A session's frame, before it was forwarded: Query, Parse, Bind, Execute, Describe, Close, …
    Statement = 12,
    /// What became of a statement.
    Outcome = 13,
    /// Somebody asked to cancel a session's statement.
    Cancelled = 14,
    /// A session ended, and what became of its open transaction.
    SessionEnded = 15,
    /// A change of the register is about to be tried.
    Intent = 20,
    /// What became of an intent.
    Decided = 21,
    /// Somebody read the audit log.
    Read = 30,
    /// The keyring made keys.
    KeysMade = 31,
    /// The keyring opened data keys for somebody, or refused to.
    KeysOpened = 32,
    /// The keyring destroyed keys, or refused to.
    KeysDestroyed = 33,
    /// Somebody was connected to a database by another road than the gate.
    Road = 40,
    /// A line at the gate's desk, before it was done or answered.
    Desk = 41,
    /// A staff member was let in during a roll-out although no owner had decided: what would have stood in the way. Without
    /// one: a proxy began to do so.
    Observed = 42,
    /// The first leaf of a log that goes on where another was closed: that log's last checkpoint. Open to everybody.
    Continues = 44,
    /// The last leaf of a log that goes on as another: the key of that one. Open to everybody.
    Continued = 45,
    /// Keys are about to be destroyed: how many records nothing opens any more. Open to everybody.
    Notice = 46,
    /// A witness vouches for a log again.
    Witnessed = 47,
    /// A witness does not vouch for a log: it cannot be reached, refuses, or remembers another.
    Unwitnessed = 48,
}

impl Kind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [Kind; 25] = [
        Kind::Opened,
        Kind::Recovered,
        Kind::Closed,
        Kind::Heartbeat,
        Kind::DataKey,
        Kind::SignedIn,
        Kind::Refused,
        Kind::Statement,
        Kind::Outcome,
        Kind::Cancelled,
        Kind::SessionEnded,
        Kind::Intent,
        Kind::Decided,
        Kind::Read,
        Kind::KeysMade,
        Kind::KeysOpened,
        Kind::KeysDestroyed,
        Kind::Road,
        Kind::Desk,
        Kind::Observed,
        Kind::Continues,
        Kind::Continued,
        Kind::Notice,
        Kind::Witnessed,
        Kind::Unwitnessed,
    ];

    /// The kind with that number.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The word people search by, such as `statement`.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Opened => "opened",
            Kind::Recovered => "recovered",
            Kind::Closed => "closed",
            Kind::Heartbeat => "heartbeat",
            Kind::DataKey => "data-key",
            Kind::SignedIn => "signed-in",
            Kind::Refused => "refused",
            Kind::Statement => "statement",
            Kind::Outcome => "outcome",
            Kind::Cancelled => "cancelled",
            Kind::SessionEnded => "session-ended",
            Kind::Intent => "intent",
            Kind::Decided => "decided",
            Kind::Read => "read",
            Kind::KeysMade => "keys-made",
            Kind::KeysOpened => "keys-opened",
            Kind::KeysDestroyed => "keys-destroyed",
            Kind::Road => "road",
            Kind::Desk => "desk",
            Kind::Observed => "observed",
            Kind::Continues => "continues",
            Kind::Continued => "continued",
            Kind::Notice => "erasure-notice",
            Kind::Witnessed => "witnessed",
            Kind::Unwitnessed => "unwitnessed",
        }
    }

    /// Whether it is sealed to nobody: a leaf of such a kind says nothing about anybody. See `audit/public.rs`.
    pub fn is_public(self) -> bool {
        matches!(self, Kind::Continues | Kind::Continued | Kind::Notice)
    }
}
