//! What retention does inside a customers' database: reads its catalog, archives one customer's rows, purges them in
//! batches that survive a kill, drops a whole database, and verifies what is gone.
//! Not here: what is to go (`datamap/`) and when (`retention/`). Design section 11.

mod catalog;
mod connection;
mod sample;

use std::error::Error as _;

pub use catalog::catalog;
pub use connection::{Connection, Road};
pub use sample::samples;

/// Why it could not be done. Each variant names whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Upstream: the server refused or went away; its own words.
    #[error("database \"{database}\": {message} ({sqlstate})")]
    Database {
        /// Which database.
        database: String,
        /// Its code; 08000 when the connection broke.
        sqlstate: String,
        /// Its message and hint. Its DETAIL may hold rows and is left out.
        message: String,
    },
    /// Whoever asked: it must not be done so.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    fn database(database: &str, error: tokio_postgres::Error) -> Error {
        let (sqlstate, message) = match error.as_db_error() {
            Some(server) => {
                let hint = server.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                (server.code().code().to_owned(), format!("{}{hint}", server.message()))
            }
            None => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                ("08000".to_owned(), format!("{error}{cause}"))
            }
        };
        Error::Database { database: database.to_owned(), sqlstate, message }
    }
}
