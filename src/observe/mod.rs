//! Diagnostics: events of `tracing`, written to standard error as text or as JSON, one line each.
//! Not here: the audit log. Diagnostics may be lost and must hold neither statements nor secrets.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Format;

/// Diagnostics that cannot start; the configuration or the environment is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A filter that `tracing` does not understand.
    #[error("{origin}: \"{filter}\" is not a filter such as \"info\" or \"portreeve=debug,warn\": {reason}")]
    Filter {
        /// Where the filter stands: `RUST_LOG` or `[observe] level`.
        origin: &'static str,
        /// The filter.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Diagnostics were started before in this process.
    #[error("diagnostics were already started in this process")]
    Started,
}

/// Starts diagnostics for the whole process: `level` unless the environment's `RUST_LOG` says otherwise.
///
/// # Errors
/// [`Error::Filter`] if the filter that counts is none, [`Error::Started`] at a second call.
pub fn start(level: &str, format: Format) -> Result<(), Error> {
    let filter = filter(std::env::var("RUST_LOG").ok().as_deref(), level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => lines.with_ansi(false).finish().try_init(),
        Format::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(|_| Error::Started)
}

/// The filter that counts.
fn filter(environment: Option<&str>, level: &str) -> Result<EnvFilter, Error> {
    let (origin, filter) = match environment {
        Some(filter) if !filter.trim().is_empty() => ("RUST_LOG", filter),
        _ => ("[observe] level", level),
    };
    EnvFilter::try_new(filter).map_err(|fault| Error::Filter {
        origin,
        filter: filter.to_owned(),
        reason: fault.to_string(),
    })
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
