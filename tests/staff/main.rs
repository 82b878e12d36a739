//! What the vendor says of its own people and of its customers, on a whole Portreeve with real sessions.
//! Not here: the rules one by one (`src/grant`), and how fast sessions end (`tests/endings`).

mod another_road;
mod doctor;
mod door;
mod emergency;
mod ground;
mod imported;
mod list;
mod observed;
mod renamed;
mod shut_out;
mod who_could;
