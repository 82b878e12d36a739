//! The gate under attack: everything here is a whole Portreeve on a real PostgreSQL, real sockets, and a client, or
//! somebody in the middle, that means no good. After each group: every log verifies, each refusal is recorded, and the
//! proxy is alive and never panicked.

mod cancel;
mod entry;
mod frames;
mod ground;
mod middle;
mod middleman;
mod packets;
mod sign_in;
mod start_up;
mod upstream;
mod wire;
