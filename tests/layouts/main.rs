//! A schema per customer, the scope `metadata`, and every known way out of a fence, on two versions of PostgreSQL.
//! Not here: shared tables in detail (`tests/shared`), a database per customer in detail (`tests/fence`).

mod breakout;
mod external;
mod gate;
mod ground;
mod locked;
mod metadata;
mod purged;
mod schemas;
mod shut;
mod unsound;
mod upstream;
