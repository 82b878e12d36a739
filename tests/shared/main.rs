//! Several customers' rows in the same tables, on a real PostgreSQL: what a grant reaches and what it does not, that
//! the application notices nothing, what the plan and the self-test name, and the same through the whole gate.

#![expect(clippy::panic, reason = "a test fails by panicking, in its own functions too")]

mod application;
mod bad_input;
mod gate;
mod ground;
mod reading;
mod self_test;
mod writing;
