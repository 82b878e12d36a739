//! The fence on a real PostgreSQL: what a grant opens and what it does not, how it ends, what the self-test sees,
//! and how an operator puts it up and takes it down.

#![expect(clippy::panic, reason = "a test fails by panicking, in its own functions too")]

mod command;
mod grants;
mod ground;
mod man_in_the_middle;
mod self_test;
