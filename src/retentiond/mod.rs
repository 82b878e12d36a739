//! The retention daemon: keeps what was promised about keeping and deleting, and shows that it did.
//! Not here: what is due (`retention/`), what is done inside a database (`purge/`), snapshots themselves (`snapshots/`).
//! Design, section 11. Whatever it does may be cut off anywhere and is taken up again.

pub mod closing;
