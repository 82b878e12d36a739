//! Retention inside a customers' database, on a real PostgreSQL: data maps, coverage, archives, purges, verification.
//! Not here: decisions of the pure core (`src/datamap/*_tests.rs`).

mod archive;
mod command;
mod coverage;
mod database;
mod ground;
mod kill;
mod recounted;
mod refusals;
mod rows;
mod speed;
mod verification;
