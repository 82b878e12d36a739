//! COPY FROM STDIN and large objects through the gate with real clients: what is recorded is what was sent, its record
//! comes first, and what fails or is revoked leaves nothing behind.

mod digest;
mod drivers;
mod endings;
mod files;
mod ground;
mod large_objects;
mod libraries;
