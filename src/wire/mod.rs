//! The PostgreSQL v3 wire protocol as values: frames cut and validated, messages decoded, our own answers built.
//! Not here: sockets, TLS, and what a message means for a session (`session/`).
//! Follows <https://www.postgresql.org/docs/current/protocol.html>; where it is loose, PostgreSQL's own reader.

pub mod backend;
pub mod boundary;
pub mod frame;
pub mod frontend;
pub mod response;
pub mod scram;
pub mod sieve;
pub mod sqlstate;
pub mod startup;

use crate::wire::response::{Report, Severity};

/// What is wrong with bytes that were read, and whose fault it is. Any of these ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The client broke the protocol. PostgreSQL would have refused it as well.
    #[error("{0}")]
    Client(String),
    /// The client's frame is larger than we are willing to hold.
    #[error("frontend message \"{}\" has {bytes} bytes, and at most {bytes_max} are accepted", tag.escape_ascii())]
    TooLarge {
        /// The message's type byte.
        tag: u8,
        /// Its size, type byte included.
        bytes: usize,
        /// The largest size accepted.
        bytes_max: usize,
    },
    /// The client asked, in due form, for something it does not get.
    #[error("{}", .0.message)]
    Refused(Box<Report>),
    /// The upstream server broke the protocol.
    #[error("upstream server: {0}")]
    Upstream(String),
    /// Our own fault; the text says what does not add up.
    #[error("bug: {0}")]
    Bug(String),
}

impl Fault {
    pub(crate) fn client(text: impl Into<String>) -> Self {
        Fault::Client(text.into())
    }

    pub(crate) fn upstream(text: impl Into<String>) -> Self {
        Fault::Upstream(text.into())
    }

    pub(crate) fn bug(text: impl Into<String>) -> Self {
        Fault::Bug(text.into())
    }

    /// The SQLSTATE under which the client is told.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Fault::Client(_) => sqlstate::PROTOCOL_VIOLATION,
            Fault::TooLarge { .. } => sqlstate::PROGRAM_LIMIT_EXCEEDED,
            Fault::Refused(report) => report.sqlstate,
            Fault::Upstream(_) => sqlstate::CONNECTION_FAILURE,
            Fault::Bug(_) => sqlstate::INTERNAL_ERROR,
        }
    }

    /// What the client is told: FATAL, and of the upstream and of bugs no particulars.
    pub fn report(&self) -> Report {
        let message = match self {
            Fault::Refused(report) => return (**report).clone(),
            Fault::Client(_) | Fault::TooLarge { .. } => self.to_string(),
            Fault::Upstream(_) => "the database server broke the protocol".to_owned(),
            Fault::Bug(_) => "the gate cannot read this message".to_owned(),
        };
        Report::new(Severity::Fatal, self.sqlstate(), message)
    }
}

#[cfg(test)]
mod property_tests;
