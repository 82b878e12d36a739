//! An independent verifier, in Python and written from `src/audit/FORMAT.md` alone, against what Portreeve wrote: the
//! vectors, a log of the gate, its tiles.
//! Needs the virtual environment of `make setup`.

#![expect(clippy::panic, reason = "a test fails by panicking, in its own functions too")]

mod gate;
mod indexes;
mod python;
