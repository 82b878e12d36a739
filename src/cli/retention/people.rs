//! Who approves: one member of staff or two, each with their own password, recorded before anything happens.
//! Not here: when two are needed (`retention/plan.rs`; a restore always).

use std::path::PathBuf;

use clap::Args;

use crate::audit::record::{Kind, Record};
use crate::cli::Failure;
use crate::cli::context::{Desk, password};
use crate::cli::grant::signed_in;
use crate::clock::{Clock, SystemClock};
use crate::entropy::{OsEntropy, random};
use crate::grant::{By, SignIn, State};
use crate::ids::{EventId, StaffId};
use crate::log::Log;
use crate::secret::Secret;

/// Who asks, and who else approves.
#[derive(Debug, Args)]
pub struct People {
    /// Who asks: a member of staff. Needed where two people are.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// A file of mode 0600 with their password on one line; without it they are asked.
    #[arg(long, value_name = "PATH", requires = "by")]
    password_file: Option<PathBuf>,
    /// Who approves: another member of staff.
    #[arg(long, value_name = "NAME", requires = "by")]
    second: Option<String>,
    /// A file of mode 0600 with their password on one line; without it they are asked.
    #[arg(long, value_name = "PATH", requires = "second")]
    second_password_file: Option<PathBuf>,
}

/// Names with the passwords that were given for them.
pub(in crate::cli) struct Passwords(Vec<(String, Secret<String>)>);

/// Those whose passwords were right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Signed {
    /// Only the operator at this machine.
    Operator,
    /// One member of staff.
    One(StaffId),
    /// Two.
    Two(StaffId, StaffId),
}

impl People {
    /// Asks for what is not in a file.
    ///
    /// # Errors
    /// If two people are needed and not named, or a password cannot be read.
    pub(in crate::cli) fn passwords(&self, needs_two: bool) -> Result<Passwords, Failure> {
        if needs_two && (self.by.is_none() || self.second.is_none()) {
            return Err(Failure::refused("two people must approve this: name them with --by NAME and --second NAME"));
        }
        let named = [(&self.by, &self.password_file), (&self.second, &self.second_password_file)];
        let named = named.into_iter().filter_map(|(name, file)| Some((name.as_ref()?, file)));
        let read = named.map(|(name, file)| Ok((name.clone(), password(file.as_deref(), name)?)));
        Ok(Passwords(read.collect::<Result<_, Failure>>()?))
    }
}

impl Passwords {
    /// Whoever they belong to. Whether a name or a password was wrong is not told.
    pub(in crate::cli) fn signed_in(&self, sign_in: SignIn, state: &State) -> Result<Signed, String> {
        let mut signed = Vec::new();
        for (name, password) in &self.0 {
            signed.push(signed_in(sign_in, state, name, password).ok_or("wrong name or password")?);
        }
        match signed.as_slice() {
            [] => Ok(Signed::Operator),
            [one] => Ok(Signed::One(*one)),
            [one, other, ..] if one == other => Err("the second person must be another one".to_owned()),
            [one, other, ..] => Ok(Signed::Two(*one, *other)),
        }
    }

    /// Records that it was refused, closes the desk and says so.
    ///
    /// # Errors
    /// If that cannot be recorded.
    pub(in crate::cli) async fn refuse(&self, desk: Desk, verb: &str, why: &str) -> Result<Failure, Failure> {
        let mut record = Record::new(SystemClock.now(), Kind::Refused, None);
        record.skeleton.verb = Some(verb.to_owned());
        record.skeleton.result = Some("refused".to_owned());
        record.skeleton.uid = Some(rustix::process::getuid().as_raw());
        let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        record.values.staff = Some(names.join(", ")).filter(|names| !names.is_empty());
        record.values.message = Some(why.to_owned());
        desk.log().record(record).await?;
        desk.close()?;
        Ok(Failure::refused(why))
    }
}

impl Signed {
    /// Each of them, as the register names who did something.
    pub(super) fn all(self) -> Vec<By> {
        match self {
            Signed::Operator => vec![By::Operator],
            Signed::One(one) => vec![By::Staff(one)],
            Signed::Two(one, other) => vec![By::Staff(one), By::Staff(other)],
        }
    }

    /// Records durably that they approved.
    ///
    /// # Errors
    /// If that cannot be recorded: then nothing may happen.
    pub(in crate::cli) async fn record(self, log: &Log, verb: &str, what: &str) -> Result<(), Failure> {
        let mut record = Record::new(SystemClock.now(), Kind::Decided, None);
        record.skeleton.event = Some(EventId(random(&OsEntropy)).to_string());
        record.skeleton.verb = Some(verb.to_owned());
        record.skeleton.result = Some("approved".to_owned());
        record.skeleton.uid = Some(rustix::process::getuid().as_raw());
        let (first, second) = match self {
            Signed::Operator => (None, None),
            Signed::One(one) => (Some(one), None),
            Signed::Two(one, other) => (Some(one), Some(other)),
        };
        record.skeleton.staff = first.map(|staff| staff.0);
        record.skeleton.count = Some(1 + u64::from(second.is_some()));
        let second = second.map_or_else(String::new, |second| format!("; approved by {second}"));
        record.values.message = Some(format!("{what}{second}"));
        log.record(record).await?;
        Ok(())
    }
}
