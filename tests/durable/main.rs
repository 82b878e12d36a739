//! Nothing is shown, and nothing takes effect, before its record is durable; and what is missing or broken is said.
//! Not here: how sessions end (`tests/endings`), and the log alone (`src/log`).

#[path = "../endings/auditor.rs"]
mod auditor;
#[path = "../endings/client.rs"]
mod client;
mod disk;
mod export;
mod failing;
mod ground;
mod killed;
mod missing;
mod order;
mod trace;
