//! What a record is, how it is sealed, and how its place in a log is proved: pure functions over bytes.
//! Not here: files (`log/`) and private keys (`keyring/`).
//! Byte by byte in FORMAT.md.

pub mod archive;
pub mod checkpoint;
pub mod consistency;
pub mod cosignature;
pub mod descriptor;
pub mod keys;
pub mod mac;
pub mod note;
pub mod pieces;
pub mod proof;
pub mod public;
pub mod record;
pub mod seal;
pub mod tag;
pub mod tiles;
pub mod tree;
pub mod witnessing;
pub mod words;
