//! Retention inside a customers' database, on a real PostgreSQL: data maps, coverage, archives, purges, verification.
//! Not here: decisions of the pure core (`src/datamap/*_tests.rs`).

mod command;
mod coverage;
mod ground;
