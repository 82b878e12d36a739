//! Sockets and TLS: what connects and what listens.
//! Not here: what travels over them (`wire/`, `session/`) and who may (`grant/`).

pub mod entry;
pub mod https;
pub mod outgoing;
pub mod tls;
pub mod tls_connect;
pub mod upstream;
