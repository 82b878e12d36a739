//! Closed accounts led to their end on a real PostgreSQL, register, keyring and log, with a clock that is moved: each
//! promise is asserted as the absence of the object.
//! Not here: the purge's own rules (`tests/purging`).

mod beside;
mod ground;
mod keyring_file;
mod killed;
mod memory;
mod recounted;
mod replanned;
mod replica;
mod shown;
mod shut;
mod steps;
mod stories;
