//! Whatever a session is doing and whoever ends it: it stops, nothing is kept, it is told and recorded.
//! Not here: what the audit log survives (`tests/durable`).

mod auditor;
mod beside;
mod cast;
mod client;
mod external;
mod fenced;
mod ground;
mod heard;
mod large;
mod left_alone;
mod left_behind;
mod measured;
mod proxy_ends;
mod revoked;
