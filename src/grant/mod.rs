//! Who may do what, when: consent, grants, the events that change them, and the decision.
//! Not here: where events are kept (`register/`) and what the database enforces (`fence/`).
//! An event widens only with the portal's signature; see section 7 and 8 of the design.

mod account;
mod apply;
mod asking;
mod by_id;
mod closure;
mod code;
mod consent;
mod content;
mod decide;
mod desk;
mod ending;
mod event;
mod examined;
mod forgetting;
mod glass;
mod hours;
mod invitation;
mod kept;
mod layout;
mod locks;
mod made;
mod network;
mod newest;
mod observing;
mod owner;
mod personal;
mod purging;
mod refusal;
mod renaming;
mod request;
mod rule;
mod scope;
mod staff;
mod staff_condition;
mod state;
#[cfg(test)]
pub(crate) mod story;
mod team;
mod terms;
mod token;
pub mod wish;
#[cfg(test)]
pub(crate) mod world;

pub use apply::{Fault, OWN_GRANT_MAX, Trust, apply, apply_examined};
pub use closure::{AccountStep, Choice, Closure, ClosureRule, Erasure, RecordPart, Stage};
pub use code::{CODE_LIFE, CODE_MISSES_MAX, Code, NewCode};
pub use consent::{By, Consent, Mode};
pub use decide::{Any, Ask, Authorized, Decision, Limits, ReadOnly, decide};
pub use desk::{AtDesk, DeskCondition, DeskRefusal, at_desk};
pub use event::{Draft, Event, Proposal, Side, Stored, What, chain};
pub use examined::{Examined, examine};
pub use glass::{CONFIRM_WITHIN, GLASS_MAX, Glass, GlassStep};
pub use hours::{Hours, HoursFault};
pub use invitation::{Became, INVITED_FOR, INVITED_FOR_MAX, Invitation};
pub use kept::{Export, Hold, Snapshot, SnapshotRule, SnapshotStatus, SnapshotStep};
pub use layout::Layout;
pub use locks::{Lock, Locks};
pub use made::apply_made;
pub use network::{Network, NetworkFault};
pub use observing::{OBSERVING_MAX, Observed, Observing, decide_observing};
pub use personal::{
    ERASED, Personal, TextFault, check_authority, check_display, check_message, check_name, check_necessity,
    check_owner_name, check_place, check_reason, check_schema, check_tenant, check_ticket,
};
pub use purging::{People, Purge};
pub use refusal::{Condition, Refusal};
pub use renaming::Former;
pub use request::{ANSWER_WITHIN, Approval, Channel, Outcome, Reminder, Request, RequestStep, Said, Status, due};
pub use rule::Rule;
pub use scope::{NotAWord, Purpose, Scope};
pub use staff::{ANY, Attestation, Attestations, EXCEPTION_MAX, StaffStep, Standing};
pub use staff_condition::StaffCondition;
pub use state::{Customer, Given, Grant, Owner, Questioned, Staff, State};
pub use team::{SUPPORT, Team, TeamRole, TeamStep};
pub use terms::{Bounds, LONGEST_MAX, LONGEST_USUAL, Limit, Region, Terms, TermsFault};
pub use token::{SECRET_BYTES, SecondFactor, ShownBy, SignIn, TOKEN_MAX, Token, base32, code_of, step_at};

/// The state as roles share it.
pub type Shared = std::sync::Arc<State>;
