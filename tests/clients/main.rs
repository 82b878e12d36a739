//! Ordinary clients through the gate: psql, tokio-postgres, psycopg, asyncpg, node's pg, and frames no driver would send.
//! Each gets what it would get without the gate, and the audit log tells what the server's own log tells.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking, in its own functions too")]

mod asyncpg;
mod driver;
mod ground;
mod model;
mod node;
mod oracle;
mod pipeline;
mod psql;
mod psycopg;
mod socket;
