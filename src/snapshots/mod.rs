//! Snapshots of the customers' databases: taken by `pg_dump` or `pg_basebackup`, checked while they pass, sealed to a
//! recipient, listed, restored, deleted, and seen to be gone.
//! Not here: when one is due and which must go (`retention/`), and any record of it: who calls records first.
//! The bytes: FORMAT.md. Everything but [`about`] blocks: call it where that is allowed.

pub mod about;
pub mod adopt;
mod back_end;
mod base_backup;
mod brake;
mod child;
mod dump;
mod error;
mod header;
mod instance;
mod lease;
mod manifest;
mod pipeline;
mod private;
mod reading;
mod restore;
mod seal;
mod store;
mod take;

use std::ops::ControlFlow;

pub use about::About;
pub use back_end::{BackEnd, Checked};
pub use base_backup::PgBaseBackup;
pub use child::{Programs, Upstream};
pub use dump::PgDump;
pub use error::Error;
pub use header::{Algorithm, Foot, Header, Kind, Names, Origin};
pub use instance::Instance;
pub use lease::Lease;
pub use reading::read_private_key;
pub use restore::{Restored, Target, Verified};
pub use store::{Absent, Deleted, Foreign, Found, Named, Ours, State, Store};
pub use take::{Order, Taken};

/// How far a long act has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that have passed, before sealing.
    pub bytes: u64,
    /// How many there will be, as far as one can tell; a dump is usually smaller than its database.
    pub estimate: Option<u64>,
}

/// Told several times a second while a snapshot's bytes pass, and with each chunk while one is read; answers whether to
/// go on. After [`ControlFlow::Break`] nothing is left that looks whole.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;
