//! Snapshots of a real PostgreSQL: taken, checked, listed, restored, adopted, deleted, and seen to be gone.
//! Not here: damaged bytes and a disk that loses power (`src/snapshots`).

mod adopted;
mod bad_input;
mod ground;
mod killed;
mod large;
mod restored;
