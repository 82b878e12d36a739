//! The desk of the gate, `dbname=portreeve`, with the clients people use: psql, psycopg, JDBC and a Rust driver, on a
//! whole Portreeve whose owners answer by the portal's API.
//! Not here: the grammar line by line (`src/proxy/desk/line_tests.rs`).

mod drivers;
mod ground;
mod psql;
mod shut_out;
