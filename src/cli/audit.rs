//! `portreeve audit`: search the logs, follow them, show one record, verify everything.
//! Not here: how leaves are chosen and opened (`log/search.rs`) and what a row says (`audit/shown.rs`).
//! Whatever is opened here, the keyring records, with who asked and why.

mod object;
mod shown;
mod when;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Context, Exit, Failure, Format, Table, keys};
use crate::audit::keys::{Recipients, SealedDataKey};
use crate::audit::record::Kind;
use crate::audit::tag::Tags;
use crate::audit::tree::Frontier;
use crate::clock::{Clock, SystemClock};
use crate::grant::State;
use crate::ids::{CustomerId, SessionId, StaffId};
use crate::keyring::{Client, init};
use crate::log::open::DataKeys;
use crate::log::reader::Reader;
use crate::log::search::{self, Found, Query, search};
use crate::log::verify::{Finding, Opening, Verdict, verify};
use crate::secret::Secret;

/// How often `tail` looks for more.
const TAIL_EVERY: Duration = Duration::from_secs(1);

/// What can be done with the audit logs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find records: one row per statement, with what became of it; oldest first.
    #[command(after_help = object::FIELDS)]
    Search(Looked),
    /// Show records as they come, until Ctrl-C; an outcome that comes later has its own row.
    #[command(after_help = object::FIELDS)]
    Tail(Looked),
    /// Print everything about one record.
    Show {
        /// The log and the position in it, as a search shows them, such as `proxy-gate-1/17`.
        place: String,
        /// Why it is read; the keyring records it.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Verify every log against its pinned key. Needs no private key. Exit code 4 if there are findings.
    Verify {
        /// Also have the keyring open every record.
        #[arg(long)]
        open: bool,
        /// Verify a copy of the logs in this folder instead. It may be older than what the register remembers of the
        /// logs themselves, so it is not compared with that.
        #[arg(long, value_name = "PATH")]
        directory: Option<PathBuf>,
    },
}

/// What is looked for: everything given must be so.
#[derive(Debug, Default, Args)]
pub struct Looked {
    /// Concerns this customer's data (name, or an id such as c7).
    #[arg(long, value_name = "NAME")]
    customer: Option<String>,
    /// Done by this staff member (name, or an id such as s7).
    #[arg(long, value_name = "NAME")]
    staff: Option<String>,
    /// In this session (16 hexadecimal digits).
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Not before: `2026-11-21`, `2026-11-21T23:36:00Z`, or how long ago: `2h`.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Before: as for --since.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Of this kind, such as `statement` or `refused`; may be given several times.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Vec<Kind>,
    /// With this in the statement, a bind value, or any other text; upper and lower case are alike.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// At most so many rows, the newest; 0 is all.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Why the log is read; the keyring records it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

fn kind(word: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.map(Kind::word).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| format!("known are: {}", known()))
}

/// The kinds that are shown if none is asked for: what somebody did, not what a log says of itself.
const DONE_BY_SOMEBODY: [Kind; 12] = [
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
    Kind::Recovered,
];

/// Does what `command` says.
///
/// # Errors
/// If a log cannot be read, or the keyring does not open it.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Search(looked) => {
            let auditor = Auditor::begin(context, "search", looked.reason.as_deref()).await?;
            show(context, &found(context, &auditor, &looked).await?, &auditor.names())?;
            Ok(Exit::Done)
        }
        Command::Tail(looked) => tail(context, &looked).await,
        Command::Show { place, reason } => {
            let (table, exit) = record(context, &place, reason.as_deref()).await?;
            context.show(&table)?;
            Ok(exit)
        }
        Command::Verify { open, directory } => {
            let (table, exit) = verified(context, open, directory.as_deref()).await?;
            context.show(&table)?;
            Ok(exit)
        }
    }
}

/// A log's origin and a position in it.
type Place = (String, u64);

/// An auditor at work: the keyring, everybody's tag keys, and names if the register can be read.
struct Auditor {
    keyring: Client,
    recipients: Recipients,
    state: Option<Arc<State>>,
    who: String,
    why: String,
    /// Data keys that were opened already, by log and position.
    opened: RefCell<HashMap<Place, Secret<[u8; 32]>>>,
}

impl Auditor {
    async fn begin(context: &Context, verb: &str, reason: Option<&str>) -> Result<Auditor, Failure> {
        let config = &context.config.keyring;
        let keyring = Client::connect(&config.socket, init::read_public_key(&config.public_key)?).await?;
        let recipients = Recipients::new();
        keyring.known(&recipients).await?;
        let uid = rustix::process::getuid().as_raw();
        let name = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
        let who = format!("{name} (uid {uid}, {})", context.writer()?);
        let why = reason.map_or_else(|| format!("audit {verb}"), |reason| format!("audit {verb}: {reason}"));
        let state = match context.state() {
            Ok(state) => Some(state),
            Err(failure) => {
                tracing::warn!("names are not shown, for the register cannot be read: {}", failure.message());
                None
            }
        };
        Ok(Auditor { keyring, recipients, state, who, why, opened: RefCell::default() })
    }

    fn query(&self, looked: &Looked) -> Result<Query, Failure> {
        let now = SystemClock.now();
        let at = |when: &Option<String>| when.as_deref().map(|when| when::read(when, now)).transpose();
        Ok(Query {
            customer: looked.customer.as_deref().map(|name| self.customer(name)).transpose()?,
            staff: looked.staff.as_deref().map(|name| self.staff(name)).transpose()?,
            session: looked.session,
            kinds: if looked.kind.is_empty() { DONE_BY_SOMEBODY.to_vec() } else { looked.kind.clone() },
            since: at(&looked.since).map_err(Failure::usage)?,
            until: at(&looked.until).map_err(Failure::usage)?,
            text: looked.text.clone(),
            limit: looked.limit,
            ..Query::default()
        })
    }

    /// An id is taken as it is: what the register no longer knows can still stand in the log.
    fn customer(&self, name: &str) -> Result<CustomerId, Failure> {
        match (&self.state, name.parse()) {
            (Some(state), Err(_)) => super::context::customer(state, name).map(|customer| customer.id),
            (_, id) => Ok(id?),
        }
    }

    fn staff(&self, name: &str) -> Result<StaffId, Failure> {
        match (&self.state, name.parse()) {
            (Some(state), Err(_)) => super::context::staff(state, name).map(|staff| staff.id),
            (_, id) => Ok(id?),
        }
    }

    fn names(&self) -> shown::Names<'_> {
        let customer = |id| Some(self.state.as_ref()?.customer(id)?.name.clone());
        let staff = |id| Some(self.state.as_ref()?.staff(id)?.name.clone());
        shown::Names { customer: Box::new(customer), staff: Box::new(staff) }
    }

    async fn search(&self, dirs: &[PathBuf], query: &Query) -> Result<Vec<Found>, Failure> {
        Ok(search(dirs, query, &self.recipients, |keys| self.open(keys)).await?)
    }

    /// Has data keys opened, each once however often it is asked for.
    async fn open(&self, keys: Vec<SealedDataKey>) -> Result<Vec<Secret<[u8; 32]>>, crate::keyring::Error> {
        let place = |key: &SealedDataKey| (key.origin.clone(), key.position);
        let new: Vec<SealedDataKey> =
            keys.iter().filter(|key| !self.opened.borrow().contains_key(&place(key))).cloned().collect();
        if !new.is_empty() {
            let places: Vec<_> = new.iter().map(place).collect();
            let opened = self.keyring.open(new, &self.who, &self.why).await?;
            self.opened.borrow_mut().extend(places.into_iter().zip(opened));
        }
        let opened = self.opened.borrow();
        Ok(keys.iter().filter_map(|key| Some(Secret::new(*opened.get(&place(key))?.expose()))).collect())
    }
}

async fn found(context: &Context, auditor: &Auditor, looked: &Looked) -> Result<Vec<Found>, Failure> {
    let query = auditor.query(looked)?;
    auditor.search(&search::logs(&context.config.audit.directory)?, &query).await
}

/// Rows for people, or one whole object a line for programs.
fn show(context: &Context, found: &[Found], names: &shown::Names<'_>) -> Result<(), Failure> {
    match context.format {
        Format::Table => {
            let mut table = shown::rows();
            found.iter().for_each(|found| shown::row(&mut table, found, names));
            context.show(&table)
        }
        Format::Json => super::lines(found.iter().map(|found| object::object(found, names))),
    }
}

async fn tail(context: &Context, looked: &Looked) -> Result<Exit, Failure> {
    let auditor = Auditor::begin(context, "tail", looked.reason.as_deref()).await?;
    let mut query = auditor.query(looked)?;
    query.since = query.since.or_else(|| Some(SystemClock.now()));
    query.limit = 0;
    loop {
        let found = auditor.search(&search::logs(&context.config.audit.directory)?, &query).await?;
        for found in &found {
            let next = query.from.entry(found.log.clone()).or_default();
            *next = (*next).max(found.position.saturating_add(1));
        }
        if !found.is_empty() {
            show(context, &found, &auditor.names())?;
        }
        tokio::select! {
            () = tokio::time::sleep(TAIL_EVERY) => {}
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                return Ok(Exit::Done);
            }
        }
    }
}

async fn record(context: &Context, place: &str, reason: Option<&str>) -> Result<(Table, Exit), Failure> {
    let read = |log: &str, position: &str| Some((log.to_owned(), position.parse::<u64>().ok()?));
    let parts = place.rsplit_once('/').and_then(|(a, b)| read(a, b).or_else(|| read(b, a)));
    let (log, position) = parts.ok_or_else(|| {
        Failure::usage(format!("\"{place}\" is not a place: give a log and a position, such as proxy-gate-1/17"))
    })?;
    let log = log.strip_prefix("portreeve/").unwrap_or(&log);
    let dirs = search::logs(&context.config.audit.directory)?;
    let is_asked = |dir: &&PathBuf| dir.file_name().is_some_and(|name| name == log);
    let Some(dir) = dirs.iter().find(is_asked) else {
        let known: Vec<_> = dirs.iter().filter_map(|dir| dir.file_name()?.to_str()).collect();
        return Err(Failure::usage(format!("there is no log \"{log}\"; there are: {}", known.join(", "))));
    };
    let auditor = Auditor::begin(context, &format!("show {place}"), reason).await?;
    let dirs = std::slice::from_ref(dir);
    let mut found = auditor.search(dirs, &Query { at: Some(position), ..Query::default() }).await?;
    let Some(mut found) = found.pop() else {
        return Err(Failure::failed(format!("there is no record that can be shown at position {position} of {log}")));
    };
    found.outcome = outcome(&auditor, dirs, &found).await?;
    let exit = if found.fault.is_some() { Exit::Findings } else { Exit::Done };
    Ok((shown::everything(&found, &auditor.names()), exit))
}

/// What became of a statement.
async fn outcome(
    auditor: &Auditor,
    dirs: &[PathBuf],
    statement: &Found,
) -> Result<Option<crate::audit::record::Record>, Failure> {
    let skeleton = &statement.record.skeleton;
    if !statement.record.awaits_outcome() || skeleton.session.is_none() {
        return Ok(None);
    }
    let query = Query {
        customer: statement.record.customer,
        session: skeleton.session,
        kinds: vec![Kind::Outcome],
        since: Some(statement.record.at),
        until: Some(statement.record.at.plus(Duration::from_secs(86_400))),
        ..Query::default()
    };
    let found = auditor.search(dirs, &query).await?;
    Ok(found.into_iter().map(|found| found.record).find(|record| record.skeleton.frame == skeleton.frame))
}

async fn verified(context: &Context, open: bool, copy: Option<&Path>) -> Result<(Table, Exit), Failure> {
    let auditor = if open { Some(Auditor::begin(context, "verify", None).await?) } else { None };
    let mut table = Table::new(&["log", "verdict", "place", "detail"]);
    let mut alarms = 0_usize;
    for dir in search::logs(copy.unwrap_or(&context.config.audit.directory))? {
        let writer = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = keys::log_public_key(&context.config, &writer);
        let findings = match init::read_public_key(&path) {
            Err(error) => vec![Finding {
                verdict: Verdict::WrongKey,
                place: path.display().to_string(),
                detail: format!("the log's public key is not pinned: {error}"),
            }],
            Ok(public) => {
                let keys = match &auditor {
                    Some(auditor) => Some((data_keys(auditor, &dir).await?, &auditor.recipients)),
                    None => None,
                };
                let opening = keys.as_ref().map(|(keys, recipients)| Opening { recipients, keys });
                verify(&dir, &public, opening.as_ref())?
            }
        };
        for Finding { verdict, place, detail } in findings {
            alarms += usize::from(verdict.is_alarm());
            table.row([writer.as_str().into(), verdict.to_string().into(), place.into(), detail.into()]);
        }
    }
    for (writer, finding) in if copy.is_none() { remembered(context) } else { Vec::new() } {
        alarms += usize::from(finding.verdict.is_alarm());
        let Finding { verdict, place, detail } = finding;
        table.row([writer.into(), verdict.to_string().into(), place.into(), detail.into()]);
    }
    Ok((table, if alarms == 0 { Exit::Done } else { Exit::Findings }))
}

/// Every data key of one log, opened.
async fn data_keys(auditor: &Auditor, dir: &Path) -> Result<DataKeys, Failure> {
    let reader = Reader::open(dir)?;
    let sealed = reader.sealed_data_keys(&mut Tags::new(&auditor.recipients, reader.origin()))?;
    let positions: Vec<u64> = sealed.iter().map(|key| key.position).collect();
    let mut keys = DataKeys::new();
    for (position, key) in positions.iter().zip(auditor.open(sealed).await?) {
        keys.insert(*position, &key);
    }
    Ok(keys)
}

/// What the register remembers of logs: one that is shorter than that, or gone, was rolled back or removed.
/// Nothing is found where the register cannot be read.
fn remembered(context: &Context) -> Vec<(String, Finding)> {
    let register = match context.register() {
        Ok(register) => register,
        Err(failure) => {
            tracing::warn!("logs are not compared with the register, which cannot be read: {}", failure.message());
            return Vec::new();
        }
    };
    let config = &context.config;
    let mut writers =
        vec![format!("proxy-{}", config.proxy.id), "portal".to_owned(), super::keyring::WRITER.to_owned()];
    writers.extend(context.writer());
    let findings = writers.into_iter().filter_map(|writer| {
        let dir = config.audit.directory.join(&writer);
        let place = dir.display().to_string();
        let (verdict, detail) = match register.remembered(&writer) {
            Ok(None) => return None,
            Ok(Some(remembered)) => compared(&dir, remembered)?,
            Err(error) => (Verdict::Unwitnessed, format!("what the register remembers cannot be read: {error}")),
        };
        Some((writer, Finding { verdict, place, detail }))
    });
    findings.collect()
}

/// What is wrong with a log of which `size` leaves with that root are remembered; none: it begins with them.
fn compared(dir: &Path, (size, root): (u64, [u8; 32])) -> Option<(Verdict, String)> {
    let remembered = format!("the register remembers {size} leaves");
    match first_leaves(dir, size) {
        Ok(tree) if tree.size() < size => {
            Some((Verdict::RolledBack, format!("{remembered}, {} are there", tree.size())))
        }
        Ok(tree) if tree.root() != root => {
            Some((Verdict::Forked, format!("{remembered}, and the first {size} that are there are others")))
        }
        Ok(_) => None,
        Err(error) => Some((Verdict::Missing, format!("{remembered}, and not all can be read: {error}"))),
    }
}

/// The tree of the first leaves of a log, at most so many.
fn first_leaves(dir: &Path, size: u64) -> Result<Frontier, crate::log::Error> {
    let mut tree = Frontier::new();
    let reader = Reader::open(dir)?;
    let mut entries = reader.entries();
    while tree.size() < size
        && let Some(entry) = entries.next().transpose()?
    {
        tree.push(entry.descriptor.leaf_hash());
    }
    Ok(tree)
}

#[cfg(test)]
#[path = "audit_tests.rs"]
pub(super) mod tests;
