//! The register: the hash-chained events of what was decided, kept in SQLite, followed by every role.
//! Not here: what events mean (`grant/`).

mod act;
mod erase;
mod error;
mod follower;
mod forget;
mod narrow;
mod noted;
mod owner;
mod resolve;
mod seen;
mod sqlite;
mod subject;
mod upkeep;

pub use act::{Acts, Done, Hands, OpenIntent};
pub use erase::{Doomed, Erased, Gone, Terms, erasure_due, erasures_due};
pub use error::Error;
pub use follower::Follower;
pub use narrow::{Shut, Told, end_session, lock, lock_unread, locks_for, sessions};
pub use noted::Noted;
pub use owner::{OwnerActs, Revision};
pub use resolve::{has_intents, note_resolved, open_intents, resolved_up_to};
pub use sqlite::{Register, Remembered};
pub use upkeep::keep_checkpoint;
