//! The few backend messages the gate speaks itself: reports, the steps of sign-in, ReadyForQuery.
//! Not here: anything the server says; that passes as it is.
//! Layouts: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::backend::TransactionStatus;

/// How bad it is, in the words of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session is over.
    Fatal,
    /// Good to know.
    Notice,
    /// Worth a look.
    Warning,
}

impl Severity {
    /// The word clients read, such as `FATAL`.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
        }
    }
}

/// What a client is told: a primary message (short, lower case, no full stop), what is the case, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How bad it is.
    pub severity: Severity,
    /// One of [`crate::wire::sqlstate`].
    pub sqlstate: &'static str,
    /// The primary message.
    pub message: String,
    /// The facts.
    pub detail: Option<String>,
    /// A whole sentence with what to type or whom to ask.
    pub hint: Option<String>,
}

impl Report {
    /// A report without detail and hint.
    pub fn new(severity: Severity, sqlstate: &'static str, message: impl Into<String>) -> Self {
        Report { severity, sqlstate, message: message.into(), detail: None, hint: None }
    }

    /// The same with a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A notice of the gate's own.
pub fn note(text: impl Into<String>) -> Report {
    Report::new(Severity::Notice, super::sqlstate::SUCCESSFUL_COMPLETION, text)
}

/// ErrorResponse (`E`).
pub fn error_response(report: &Report) -> Bytes {
    fields(b'E', report)
}

/// NoticeResponse (`N`).
pub fn notice(report: &Report) -> Bytes {
    fields(b'N', report)
}

fn fields(tag: u8, report: &Report) -> Bytes {
    message(tag, |body| {
        let word = report.severity.word();
        for (code, text) in [(b'S', word), (b'V', word), (b'C', report.sqlstate), (b'M', report.message.as_str())] {
            body.put_u8(code);
            string(body, text);
        }
        for (code, text) in [(b'D', report.detail.as_deref()), (b'H', report.hint.as_deref())] {
            if let Some(text) = text {
                body.put_u8(code);
                string(body, text);
            }
        }
        body.put_u8(0);
    })
}

/// ReadyForQuery (`Z`).
pub fn ready_for_query(status: TransactionStatus) -> Bytes {
    message(b'Z', |body| body.put_u8(status.byte()))
}

/// AuthenticationOk (`R` 0).
pub fn authentication_ok() -> Bytes {
    message(b'R', |body| body.put_u32(0))
}

/// AuthenticationSASL (`R` 10): the mechanisms offered, best first.
pub fn authentication_sasl(mechanisms: &[&str]) -> Bytes {
    message(b'R', |body| {
        body.put_u32(10);
        mechanisms.iter().for_each(|mechanism| string(body, mechanism));
        body.put_u8(0);
    })
}

/// AuthenticationSASLContinue (`R` 11).
pub fn authentication_sasl_continue(data: &[u8]) -> Bytes {
    message(b'R', |body| {
        body.put_u32(11);
        body.put_slice(data);
    })
}

/// AuthenticationSASLFinal (`R` 12).
pub fn authentication_sasl_final(data: &[u8]) -> Bytes {
    message(b'R', |body| {
        body.put_u32(12);
        body.put_slice(data);
    })
}

/// ParameterStatus (`S`).
pub fn parameter_status(name: &str, value: &str) -> Bytes {
    message(b'S', |body| {
        string(body, name);
        string(body, value);
    })
}

/// BackendKeyData (`K`): the process id, and the secret that a cancel must name (4 bytes in protocol 3.0).
pub fn backend_key_data(pid: i32, secret: &[u8]) -> Bytes {
    message(b'K', |body| {
        body.put_i32(pid);
        body.put_slice(secret);
    })
}

/// A tag, the length, and what `write` writes.
pub(crate) fn message(tag: u8, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut body = BytesMut::with_capacity(128);
    write(&mut body);
    let mut message = BytesMut::with_capacity(5 + body.len());
    message.put_u8(tag);
    message.put_u32(u32::try_from(4 + body.len()).unwrap_or(u32::MAX));
    message.put_slice(&body);
    message.freeze()
}

/// A text and its NUL. A NUL inside would end it early and turn the rest into something else, so none goes in.
fn string(body: &mut BytesMut, text: &str) {
    body.extend(text.bytes().filter(|byte| *byte != 0));
    body.put_u8(0);
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
