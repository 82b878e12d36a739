//! Software that is not ours checks the audit format, and reads what we write as we read what it writes: RFC 6962
//! (`ct-merkle`, `tlog_tiles`), C2SP notes, checkpoints and tiles (`signed_note`, `tlog_tiles`), cosignatures (`sigsum`),
//! HPKE (`hpke`), and the vectors of Wycheproof and of the RFCs for what all of it is made of.
//! Not here: the verifier in Python, which reads all of the format (`tests/verifier`). Needs what `make setup` builds.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value that is not there gives null")]
#![expect(clippy::panic, reason = "a test fails by panicking, in its own functions too")]

mod asking;
mod data_keys;
mod gate;
mod notes;
mod primitives;
mod tiles;
mod tree;
mod witness;
