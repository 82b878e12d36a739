//! The owner's switch, and who can move it: what was set, until when, and whether a change widens it.
//! Not here: whether somebody gets in (`decide`), and the rules an event is held to (`apply`).

use std::fmt;
use std::str::FromStr;

use super::scope::{NotAWord, Scope, words};
use super::state::{Given, Grant};
use super::terms::Terms;
use crate::clock::Timestamp;
use crate::ids::{OwnerId, Sequence, StaffId};

words! {
    /// The owner's switch. Ordered: each lets in what the ones before it let in.
    Mode {
        /// Nobody, emergencies included.
        Off = 0, "off";
        /// Whoever the owner lets in, one request at a time.
        PerRequest = 1, "per-request";
        /// Support staff open a grant themselves, at most two hours each.
        Standing = 2, "standing";
    }
}

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An account owner, through the portal.
    Owner(OwnerId),
    /// A member of staff, with their own password.
    Staff(StaffId),
    /// The vendor's application.
    VendorApp,
    /// Somebody at the vendor's command line.
    Operator,
    /// Portreeve itself.
    System,
}

impl By {
    /// The kind of actor as one word: `owner`, `staff`, `vendor-app`, `operator`, `system`.
    pub fn word(self) -> &'static str {
        match self {
            By::Owner(_) => "owner",
            By::Staff(_) => "staff",
            By::VendorApp => "vendor-app",
            By::Operator => "operator",
            By::System => "system",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Owner(id) => write!(f, "owner {id}"),
            By::Staff(id) => write!(f, "staff {id}"),
            By::VendorApp | By::Operator | By::System => f.write_str(self.word()),
        }
    }
}

/// What the switch of one customer stands at.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    /// The switch.
    pub mode: Mode,
    /// The widest scope it allows.
    pub scope: Scope,
    /// When it turns itself off; none: not by itself.
    pub until: Option<Timestamp>,
    /// What else was agreed to.
    pub terms: Terms,
    /// When it was last moved.
    pub set_at: Timestamp,
    /// Who moved it.
    pub set_by: By,
    /// The event that moved it.
    pub sequence: Sequence,
}

impl Mode {
    /// Whether a switch that stands like that, for that scope at most and with or without break-glass, lets such a grant be.
    pub fn lets(self, scope: Scope, break_glass: bool, grant: &Grant) -> bool {
        let is_let = match (self, grant.given) {
            (Mode::Off, _) | (Mode::PerRequest, Given::Own) => false,
            (Mode::PerRequest | Mode::Standing, Given::BreakGlass(_)) => break_glass,
            (Mode::PerRequest | Mode::Standing, Given::Request(_) | Given::Code(_)) | (Mode::Standing, Given::Own) => {
                true
            }
        };
        is_let && grant.scope <= scope
    }
}

impl Consent {
    /// The deadline; [`Timestamp::NEVER`] when it has none.
    pub fn deadline(&self) -> Timestamp {
        self.until.unwrap_or(Timestamp::NEVER)
    }

    /// The mode that counts at that moment: off once the deadline has come.
    pub fn mode_at(&self, now: Timestamp) -> Mode {
        if now < self.deadline() { self.mode } else { Mode::Off }
    }

    /// Whether moving the switch like that at that moment would let in anything it does not let in already.
    pub fn widened_by(&self, mode: Mode, scope: Scope, until: Option<Timestamp>, at: Timestamp) -> bool {
        if mode == Mode::Off {
            return false;
        }
        mode > self.mode_at(at) || scope > self.scope || until.unwrap_or(Timestamp::NEVER) > self.deadline()
    }
}

#[cfg(test)]
#[path = "consent_tests.rs"]
mod tests;
