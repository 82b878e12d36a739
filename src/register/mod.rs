//! The register: the hash-chained events of what was decided, kept in a file or on a server, followed by every role.
//! Not here: what events mean (`grant/`).

mod act;
mod at;
mod engine;
mod erase;
mod error;
mod fold;
mod follower;
mod forget;
mod narrow;
mod noted;
mod opened;
mod outdated;
mod owner;
mod postgres;
mod reading;
mod resolve;
mod seen;
mod several;
mod sqlite;
mod subject;
mod upkeep;

pub use act::{Acts, Done, Hands, OpenIntent};
pub use at::{At, Place, Reach};
pub use engine::Remembered;
pub use erase::{Doomed, Erased, Gone, Terms, Unknown, erasure_due, erasures_due, lawful_from, sealed_part};
pub use error::Error;
pub use follower::Follower;
pub use narrow::{Shut, Told, end_session, lock, lock_unread, locks_for, sessions};
pub use noted::Noted;
pub use opened::Register;
pub use owner::{OwnerActs, Revision};
pub use postgres::prepare;
pub use resolve::{has_intents, note_resolved, open_intents, resolved_up_to};
pub use upkeep::keep_checkpoint;

#[cfg(test)]
#[path = "conformance_tests.rs"]
mod conformance;
#[cfg(test)]
#[path = "kept_tests.rs"]
mod kept;
