//! How the program ends: the one place where errors become exit codes.
//! Not here: SQLSTATE (`proxy/`) and HTTP statuses (`portal/`), which have their own maps.

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

use crate::retention::solve::Unkeepable;
use crate::{config, keyring, register};

/// The end of the help text; keep it equal to [`Exit`].
pub const CODES: &str = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 refused; 4 there are findings; \
                         5 the configuration is wrong";

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// It failed: a file, a server, a bug.
    Failed = 1,
    /// The command line is wrong; also what clap answers.
    Usage = 2,
    /// Somebody who may not do this asked for it.
    Refused = 3,
    /// It ran to its end and found something.
    Findings = 4,
    /// The configuration, or a file that it names, must be mended first.
    Configuration = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what was asked for. Made from any error by `?`; deliberately not an error itself.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// The command line asks for something that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Usage, message: message.into() }
    }

    /// Whoever asks may not do this.
    pub fn refused(message: impl Into<String>) -> Self {
        Failure { exit: Exit::Refused, message: message.into() }
    }

    /// It failed, for a reason that is no error of a module; an error is better turned into a failure by `?`.
    pub fn failed(message: impl fmt::Display) -> Self {
        Failure { exit: Exit::Failed, message: message.to_string() }
    }

    /// The configuration, or a file that it names, is wrong.
    pub fn configuration(error: &(dyn Error + 'static)) -> Self {
        Failure { exit: Exit::Configuration, message: told(error) }
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Tells the user on standard error; if that is gone there is nobody to tell.
    pub fn tell(self) -> Exit {
        let _nobody = writeln!(std::io::stderr(), "portreeve: {}", self.message);
        self.exit
    }

    /// What the user is told: lower case, no full stop.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure { exit: exit_for(&error), message: told(&error) }
    }
}

/// The map from errors to exit codes.
fn exit_for(error: &dyn Any) -> Exit {
    let refused = matches!(error.downcast_ref(), Some(register::Error::Refused { .. }))
        || matches!(error.downcast_ref(), Some(keyring::Error::Refused { .. }));
    let configuration = error.is::<config::Error>()
        || error.is::<Unkeepable>()
        || error.is::<crate::observe::Error>()
        || error.downcast_ref().is_some_and(keyring::Error::is_configuration);
    if refused {
        Exit::Refused
    } else if configuration {
        Exit::Configuration
    } else {
        Exit::Failed
    }
}

/// The error with the causes that its own text does not hold already.
fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            write!(told, ": {text}").expect("a string takes any text");
        }
        cause = error.source();
    }
    told
}

#[cfg(test)]
#[path = "exit_tests.rs"]
mod tests;
