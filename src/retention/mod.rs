//! What was promised about keeping and deleting, and what follows from it at a given moment: pure functions over values.
//! Not here: the snapshots themselves, the purge, the daemon; they hand facts in and do what comes out.
//! Section 11 of the design. Ages count from a snapshot's start; every moment is UTC.

pub mod by_age;
pub mod certificate;
pub mod clock_guard;
pub mod closure;
pub mod grid;
pub mod inventory;
pub mod overdue;
pub mod plan;
pub mod promise;
pub mod solve;
pub mod window;
