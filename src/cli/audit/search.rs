//! `audit search` and `audit tail`: rows for people, or whole objects for programs.
//! Not here: how leaves are chosen and opened (`log/search.rs`) and what a row says (`shown.rs`).

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::asked::asked;
use super::{Auditor, csv, object, progress, shown, when};
use crate::audit::record::Kind;
use crate::cli::{Context, Exit, Failure, Format, lines, to_stdout};
use crate::clock::{Clock, SystemClock};
use crate::ids::SessionId;
use crate::log::follow::Following;
use crate::log::search::{Found, Query};
use crate::log::stream::Watch;

/// How often `tail` looks for more.
const TAIL_EVERY: Duration = Duration::from_secs(1);

/// What is looked for: everything given must be so.
#[derive(Debug, Default, Args)]
pub struct Looked {
    /// Concerns this customer's data (name, or an id such as c7).
    #[arg(long, value_name = "NAME")]
    pub(super) customer: Option<String>,
    /// Done by this staff member (name, or an id such as s7).
    #[arg(long, value_name = "NAME")]
    pub(super) staff: Option<String>,
    /// In this session (16 hexadecimal digits).
    #[arg(long, value_name = "ID")]
    pub(super) session: Option<SessionId>,
    /// Not before: `2026-11-21`, `2026-11-21T23:36:00Z`, or how long ago: `2h`.
    #[arg(long, value_name = "WHEN")]
    pub(super) since: Option<String>,
    /// Before: as for --since.
    #[arg(long, value_name = "WHEN")]
    pub(super) until: Option<String>,
    /// Of this kind, such as `statement` or `refused`; may be given several times.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub(super) kind: Vec<Kind>,
    /// Statements that name this table, as they name it: `contacts` is found in every schema, `public.contacts` where the
    /// schema is named too. A statement can reach tables that it does not name.
    #[arg(long, value_name = "NAME")]
    pub(super) table: Option<String>,
    /// Refused or failed with this SQLSTATE, such as 42501. A statement whose outcome is not recorded is not found by it.
    #[arg(long, value_name = "CODE", value_parser = sqlstate)]
    pub(super) sqlstate: Option<String>,
    /// With this in the statement, a bind value, or any other text; upper and lower case are alike.
    #[arg(long, value_name = "TEXT")]
    pub(super) text: Option<String>,
    /// At most so many rows, the newest; 0 is all.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(super) limit: usize,
    /// Why the log is read; the keyring records it.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

pub(super) fn kind(word: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.map(Kind::word).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| format!("known are: {}", known()))
}

pub(super) fn sqlstate(code: &str) -> Result<String, String> {
    let is_one = code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    is_one
        .then(|| code.to_owned())
        .ok_or_else(|| "an SQLSTATE is five digits or capital letters, such as 42501".to_owned())
}

/// The kinds that are shown if none is asked for: what somebody did, not what a log says of itself.
const DONE_BY_SOMEBODY: [Kind; 18] = [
    Kind::SignedIn,
    Kind::Refused,
    Kind::Statement,
    Kind::Outcome,
    Kind::Cancelled,
    Kind::SessionEnded,
    Kind::Intent,
    Kind::Decided,
    Kind::Read,
    Kind::KeysMade,
    Kind::KeysOpened,
    Kind::KeysDestroyed,
    Kind::Road,
    Kind::Desk,
    Kind::Observed,
    Kind::Witnessed,
    Kind::Unwitnessed,
    Kind::Recovered,
];

impl Looked {
    fn query(&self, auditor: &Auditor) -> Result<Query, Failure> {
        let now = SystemClock.now();
        let at = |when: &Option<String>| when.as_deref().map(|when| when::read(when, now)).transpose();
        Ok(Query {
            customer: self.customer.as_deref().map(|name| auditor.customer(name)).transpose()?,
            staff: self.staff.as_deref().map(|name| auditor.staff(name)).transpose()?,
            session: self.session,
            kinds: if self.kind.is_empty() { DONE_BY_SOMEBODY.to_vec() } else { self.kind.clone() },
            since: at(&self.since).map_err(Failure::usage)?,
            until: at(&self.until).map_err(Failure::usage)?,
            table: self.table.clone(),
            sqlstate: self.sqlstate.clone(),
            text: self.text.clone(),
            limit: self.limit,
            ..Query::default()
        })
    }

    /// What is looked for, as it was asked.
    pub(super) fn asked(&self, verb: &str) -> String {
        let session = self.session.map(|session| session.to_string());
        let kinds: Vec<_> = self.kind.iter().map(|kind| kind.word()).collect();
        let kinds = Some(kinds.join(",")).filter(|kinds| !kinds.is_empty());
        let flags = [
            ("customer", &self.customer),
            ("staff", &self.staff),
            ("session", &session),
            ("since", &self.since),
            ("until", &self.until),
            ("table", &self.table),
            ("sqlstate", &self.sqlstate),
            ("text", &self.text),
            ("kind", &kinds),
        ];
        asked(verb, &flags.map(|(name, value)| (name, value.as_deref())))
    }
}

/// Shows what is found.
pub(super) async fn search(context: &Context, looked: &Looked) -> Result<Exit, Failure> {
    let auditor = Auditor::begin(context, &looked.asked("search"), looked.reason.as_deref()).await?;
    let found = found(&auditor, looked).await?;
    head(context)?;
    show(context, &found, &auditor.names())?;
    Ok(auditor.exit(exit_of(&found)))
}

/// What does not open, or is not as it was written, is a finding.
pub(super) fn exit_of(found: &[Found]) -> Exit {
    if found.iter().any(|found| found.fault.is_some()) { Exit::Findings } else { Exit::Done }
}

pub(super) async fn found(auditor: &Auditor, looked: &Looked) -> Result<Vec<Found>, Failure> {
    let (query, watch) = (looked.query(auditor)?, Arc::new(Watch::default()));
    let logs = auditor.logs()?;
    tokio::select! {
        found = auditor.search_watched(&logs, logs.dirs(), &query, &watch) => found,
        () = progress::told(&watch, "searching") => Err(Failure::failed("bug: the progress came to an end")),
    }
}

/// What stands above all that is shown.
fn head(context: &Context) -> Result<(), Failure> {
    match context.format {
        Format::Csv => to_stdout(|out| csv::header(out)),
        Format::Table | Format::Json => Ok(()),
    }
}

/// Rows for people, or one whole object a line for programs.
fn show(context: &Context, found: &[Found], names: &shown::Names) -> Result<(), Failure> {
    match context.format {
        Format::Csv => to_stdout(|out| found.iter().try_for_each(|found| csv::row(out, found, names))),
        Format::Table => {
            let mut table = shown::rows();
            found.iter().for_each(|found| shown::row(&mut table, found, names));
            context.show(&table)
        }
        Format::Json => lines(found.iter().map(|found| object::object(found, names))),
    }
}

pub(super) async fn tail(context: &Context, looked: &Looked) -> Result<Exit, Failure> {
    let auditor = Auditor::begin(context, &looked.asked("tail"), looked.reason.as_deref()).await?;
    let mut query = looked.query(&auditor)?;
    query.since = query.since.or_else(|| Some(SystemClock.now()));
    head(context)?;
    let mut following = Following::new(query);
    loop {
        let found = auditor.follow(&auditor.logs()?, &mut following).await?;
        if !found.is_empty() {
            show(context, &found, &auditor.names())?;
        }
        tokio::select! {
            () = tokio::time::sleep(TAIL_EVERY) => {}
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                return Ok(auditor.exit(Exit::Done));
            }
        }
    }
}
