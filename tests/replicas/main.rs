//! Sessions that read from a streaming replica: roles come from the primary, lag is waited for, an end is an end there too.
//! Not here: what is asked of every session (`tests/endings`, `tests/fence`), and purges (`tests/closing/replica.rs`).

mod astray;
mod beside;
mod down;
mod elsewhere;
mod ground;
mod revoked;
mod serving;
mod standby;
mod stuck;
