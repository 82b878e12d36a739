//! What can go wrong between an owner and the portal, whose fault it is, and the one map from that to HTTP.
//! Not here: how a page shows it (`pages`); the API's form is `{"error":{"code","message","hint"}}`.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::history;
use crate::register::{self, Reach};

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client sent something that does not hold.
    #[error("{message}")]
    Client {
        /// A short word for programs, such as `unknown-field`.
        code: &'static str,
        /// What is wrong, and where.
        message: String,
        /// A full sentence: what to do instead.
        hint: String,
    },
    /// The client sent more than [`super::BODY_BYTES_MAX`].
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Nobody is signed in, or the token is not one of ours.
    #[error("{0}")]
    SignInNeeded(&'static str),
    /// The form did not come from our own page.
    #[error("{0}")]
    ForeignForm(String),
    /// Who they are does not hold, or does not suffice.
    #[error("{message}")]
    Denied {
        /// A short word for programs, and for the record.
        code: &'static str,
        /// What does not hold.
        message: String,
        /// A full sentence: what to do instead.
        hint: String,
    },
    /// Not there, or not this owner's: the two are never told apart.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The path is right, the method is not.
    #[error("this address does not answer to {0}")]
    Method(String),
    /// An invitation that is none, or of which nothing can come any more.
    #[error("this invitation cannot be used: it was used already, its time is over, or another one took its place")]
    InvitationOver,
    /// Too many attempts.
    #[error("too many attempts")]
    TooMany {
        /// How long to wait.
        wait: Duration,
    },
    /// The register, or its rules, refused the change.
    #[error("{0}")]
    Refused(String),
    /// Somebody else changed the same thing at the same moment.
    #[error("{0}")]
    Conflict(String),
    /// A part behind the portal does not answer; nothing was shown or widened.
    #[error("{place} cannot be reached now")]
    Unavailable {
        /// Which part, in words for the owner.
        place: &'static str,
        /// For our own diary, never for the client.
        cause: String,
    },
    /// Access is shut at the gate, though the change itself could not be kept.
    #[error("access is shut{}, but the change could not be saved", at(*reach))]
    ShutOnly {
        /// Which gates could be told at all.
        reach: Reach,
        /// For our own diary, never for the client.
        cause: String,
    },
    /// Our own mistake.
    #[error("the portal made a mistake")]
    Bug(String),
}

/// Where access is shut, if that is not everywhere.
fn at(reach: Reach) -> &'static str {
    match reach {
        Reach::All => "",
        Reach::Here => " at one gate",
    }
}

impl Error {
    /// A fault of the client's, with its code, what is wrong and what to do.
    pub fn client(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Client { code, message: message.into(), hint: hint.into() }
    }

    /// The one map from an error to a status.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Client { .. } => StatusCode::BAD_REQUEST,
            Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::SignInNeeded(_) => StatusCode::UNAUTHORIZED,
            Error::ForeignForm(_) | Error::Denied { .. } => StatusCode::FORBIDDEN,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Error::InvitationOver => StatusCode::GONE,
            Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Unavailable { .. } | Error::ShutOnly { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Error::Bug(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A short word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Client { code, .. } | Error::Denied { code, .. } => code,
            Error::TooLarge { .. } => "too-large",
            Error::SignInNeeded(_) => "sign-in-needed",
            Error::ForeignForm(_) => "foreign-form",
            Error::NotFound(_) => "not-found",
            Error::Method(_) => "method",
            Error::InvitationOver => "invitation-over",
            Error::TooMany { .. } => "too-many-attempts",
            Error::Refused(_) => "refused",
            Error::Conflict(_) => "conflict",
            Error::Unavailable { .. } => "unavailable",
            Error::ShutOnly { .. } => "shut-not-saved",
            Error::Bug(_) => "bug",
        }
    }

    /// A full sentence: what to do now.
    pub fn hint(&self) -> String {
        match self {
            Error::Client { hint, .. } | Error::Denied { hint, .. } => hint.clone(),
            Error::TooLarge { .. } => "Send only what this address asks for.".to_owned(),
            Error::SignInNeeded(_) => {
                "Sign in on the page, or send \"Authorization: Bearer\" with an owner's token.".to_owned()
            }
            Error::ForeignForm(_) => "Open the page itself and go on from there.".to_owned(),
            Error::NotFound(_) => "Check the name; an owner sees only their own account.".to_owned(),
            Error::Method(_) => "See the Allow header for the methods it answers to.".to_owned(),
            Error::InvitationOver => {
                "Sign in if you have accepted it; else ask whoever invited you for a new one.".to_owned()
            }
            Error::TooMany { wait } => {
                format!("Try again in {} minutes.", wait.as_secs().div_ceil(60).max(1))
            }
            Error::Refused(_) => "Nothing was changed.".to_owned(),
            Error::Conflict(_) => "Look at what is set now and try again.".to_owned(),
            Error::Unavailable { .. } => "Try again in a minute; tell your vendor if it stays so.".to_owned(),
            Error::ShutOnly { reach: Reach::All, .. } => {
                "Nobody is let in meanwhile. Do it again in a minute, and tell your vendor.".to_owned()
            }
            Error::ShutOnly { reach: Reach::Here, .. } => {
                "Your vendor's other gates may stay open until it is saved. Do it again in a minute, and tell your vendor now."
                    .to_owned()
            }
            Error::Bug(_) => "Tell your vendor, with the time it happened.".to_owned(),
        }
    }

    /// Writes to our own diary what the client is not told.
    pub fn note(&self) {
        match self {
            Error::Unavailable { place, cause } => tracing::warn!(place, cause, "a part behind the portal is away"),
            Error::ShutOnly { cause, .. } => tracing::error!(cause, "access is shut by the proxies' locks only"),
            Error::Bug(cause) => tracing::error!(cause, "a mistake in the portal"),
            Error::Client { .. }
            | Error::TooLarge { .. }
            | Error::SignInNeeded(_)
            | Error::ForeignForm(_)
            | Error::Denied { .. }
            | Error::NotFound(_)
            | Error::Method(_)
            | Error::InvitationOver
            | Error::TooMany { .. }
            | Error::Refused(_)
            | Error::Conflict(_) => {}
        }
    }

    /// Adds the headers that belong to some statuses.
    pub fn headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        match self {
            Error::SignInNeeded(_) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portreeve\""));
            }
            Error::TooMany { wait } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            }
            _ => {}
        }
    }
}

/// The API's form.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.note();
        let body = json!({"error": {"code": self.code(), "message": self.to_string(), "hint": self.hint()}});
        let mut response = super::api::json(self.status(), &body);
        self.headers(&mut response);
        response
    }
}

impl From<register::Error> for Error {
    fn from(error: register::Error) -> Error {
        match error {
            register::Error::LostRace(_) => Error::Conflict("somebody changed this at the same moment".to_owned()),
            register::Error::Refused(why) => Error::Refused(why),
            register::Error::Bug(what) => Error::Bug(what.to_owned()),
            register::Error::Log(cause) => Error::Unavailable { place: "the audit log", cause: cause.to_string() },
            shut @ register::Error::Shut { reach, .. } => Error::ShutOnly { reach, cause: shut.to_string() },
            away => Error::Unavailable { place: "the register", cause: away.to_string() },
        }
    }
}

impl From<history::Away> for Error {
    fn from(away: history::Away) -> Error {
        Error::Unavailable { place: away.place, cause: away.cause }
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
