//! `portreeve audit`: search the logs, follow them, show one record, export, verify everything; who asks and why.
//! Not here: what each verb does; each has a file of its name (`audit/`).
//! Whatever is opened here, the keyring records, with who asked and why.

mod absent;
mod asked;
mod csv;
mod erasures;
mod export;
mod object;
mod progress;
mod prove;
mod search;
mod show;
mod shown;
mod tiles;
mod verify;
pub(super) mod when;
mod witnessed;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;

use super::context::warn;
use super::{Context, Exit, Failure};
use crate::audit::keys::{Recipients, SealedDataKey};
use crate::grant::State;
use crate::ids::{CustomerId, StaffId};
use crate::keyring::{Client, TEXT_BYTES_MAX, init, pinned};
use crate::log::follow::Following;
use crate::log::search::{Found, Query, search_watched};
use crate::log::stream::Watch;
use crate::log::vouched::Vouched;
use crate::secret::Secret;

/// What can be done with the audit logs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find records: one row per statement, with what became of it; oldest first. Exit code 4 if a
    /// record does not open.
    #[command(after_help = object::FIELDS)]
    Search(Box<search::Looked>),
    /// Show records as they come, until Ctrl-C; an outcome that comes later has its own row.
    #[command(after_help = object::FIELDS)]
    Tail(Box<search::Looked>),
    /// Print everything about one record.
    Show {
        /// The log and the position in it, as a search shows them, such as `proxy-gate-1/17`.
        place: String,
        /// Why it is read; the keyring records it.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Write everything about one customer in a period to a file: JSON lines (the objects of a search), or CSV with
    /// --format csv. Exit code 4 if a record does not open.
    #[command(after_help = object::FIELDS)]
    Export(export::Wanted),
    /// Write a proof for one customer to a file: every record of a period, that none is left out, and nobody else's.
    /// Anybody checks it with verify-proof, without a network, by the logs' public keys.
    Prove(prove::Wanted),
    /// Write one log's tree as static files in the layout of C2SP tlog-tiles, for other tools to verify: leaves and hashes,
    /// no content.
    Tiles(tiles::Wanted),
    /// Verify every log against its pinned key. Needs no private key. Exit code 4 if there are findings.
    Verify {
        /// Also have the keyring open every record.
        #[arg(long)]
        open: bool,
        /// Only the leaves, the tree over them and its signature: quick, but not whether the records' bytes are still
        /// those of their leaves.
        #[arg(long, conflicts_with = "open")]
        tree: bool,
        /// Verify a copy of the logs in this folder instead. It may be older than what the register remembers of the
        /// logs themselves, so it is not compared with that.
        #[arg(long, value_name = "PATH")]
        directory: Option<PathBuf>,
        /// Also hold the logs against the checkpoints in this file or folder: what a witness remembers, or a copy kept
        /// elsewhere. Can be given several times. Witnesses of the configuration are asked anyway.
        #[arg(long, value_name = "PATH")]
        memory: Vec<PathBuf>,
        /// Why the records are opened; the keyring records it.
        #[arg(long, value_name = "TEXT", requires = "open")]
        reason: Option<String>,
    },
}

/// Does what `command` says.
///
/// # Errors
/// If a log cannot be read, or the keyring does not open it.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Search(looked) => search::search(context, &looked).await,
        Command::Tail(looked) => search::tail(context, &looked).await,
        Command::Export(wanted) => export::export(context, &wanted).await,
        Command::Prove(wanted) => {
            let (table, exit) = prove::prove(context, &wanted).await?;
            context.show(&table)?;
            Ok(exit)
        }
        Command::Tiles(wanted) => tiles::write(context, &wanted),
        Command::Show { place, reason } => {
            let (table, exit) = show::record(context, &place, reason.as_deref()).await?;
            context.show(&table)?;
            Ok(exit)
        }
        Command::Verify { open, tree, directory, memory, reason } => {
            let depth = match (open, tree) {
                (true, _) => verify::Depth::Opened,
                (false, true) => verify::Depth::Tree,
                (false, false) => verify::Depth::Sealed,
            };
            let (table, exit) =
                verify::verified_to(context, depth, directory.as_deref(), &memory, reason.as_deref()).await?;
            context.show(&table)?;
            Ok(exit)
        }
    }
}

/// What is added to why the keyring is asked once more for the same reading.
const GOES_ON: &str = " (the same reading goes on)";

/// A log's origin and a position in it.
type Place = (String, u64);

/// An auditor at work: the keyring, everybody's tag keys, and names if the register can be read.
struct Auditor {
    keyring: Client,
    /// Where the logs are.
    directory: PathBuf,
    /// Where the keyring's public key is; those of the logs are beside it.
    public_key: PathBuf,
    recipients: Recipients,
    state: Option<Arc<State>>,
    who: String,
    why: String,
    /// Data keys that were opened already, by log and position.
    opened: RefCell<HashMap<Place, Secret<[u8; 32]>>>,
    /// What was said already of logs that are not read.
    told: RefCell<BTreeSet<String>>,
    /// A log was left out that belongs to what is read.
    is_short: Cell<bool>,
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
        let (directory, public_key) = (context.config.audit.directory.clone(), config.public_key.clone());
        let (opened, told, is_short) = (RefCell::default(), RefCell::default(), Cell::default());
        Ok(Auditor { keyring, directory, public_key, recipients, state, who, why, opened, told, is_short })
    }

    fn customer(&self, name: &str) -> Result<CustomerId, Failure> {
        customer_id(self.state.as_deref(), name)
    }

    fn staff(&self, name: &str) -> Result<StaffId, Failure> {
        staff_id(self.state.as_deref(), name)
    }

    fn names(&self) -> shown::Names {
        let (state, also) = (self.state.clone(), self.state.clone());
        let customer = move |id| Some(state.as_ref()?.customer(id)?.name.clone());
        let staff = move |id| Some(also.as_ref()?.staff(id)?.name.clone());
        shown::Names { customer: Box::new(customer), staff: Box::new(staff) }
    }

    /// The logs to read, as far as their pinned keys vouch for them. Says once of each that is not read why.
    fn logs(&self) -> Result<Vouched, Failure> {
        let logs = pinned::logs(&self.directory, &self.public_key)?;
        self.is_short.set(self.is_short.get() || !logs.is_whole());
        let said = &mut *self.told.borrow_mut();
        logs.told().into_iter().filter(|line| said.insert(line.clone())).for_each(|line| warn(&line));
        Ok(logs)
    }

    /// What was read is not all that there is: that is a finding, whatever else was found.
    fn exit(&self, exit: Exit) -> Exit {
        if self.is_short.get() && exit == Exit::Done { Exit::Findings } else { exit }
    }

    /// Searches these of the logs.
    async fn search(&self, logs: &Vouched, dirs: &[PathBuf], query: &Query) -> Result<Vec<Found>, Failure> {
        self.search_watched(logs, dirs, query, &Arc::default()).await
    }

    /// The same, with how far it is told to `watch`.
    async fn search_watched(
        &self,
        logs: &Vouched,
        dirs: &[PathBuf],
        query: &Query,
        watch: &Arc<Watch>,
    ) -> Result<Vec<Found>, Failure> {
        let query = Query { pinned: logs.keys().clone(), ..query.clone() };
        let reading = self.reading();
        Ok(search_watched(dirs, &query, &self.recipients, watch, |keys| reading.open(keys)).await?)
    }

    /// What came since.
    async fn follow(&self, logs: &Vouched, following: &mut Following) -> Result<Vec<Found>, Failure> {
        following.query.pinned = logs.keys().clone();
        Ok(following.next(logs.dirs(), &self.recipients, |keys| self.open(keys)).await?)
    }

    /// One reading of the logs.
    fn reading(&self) -> Reading<'_> {
        Reading { auditor: self, goes_on: Cell::new(false) }
    }

    /// Has data keys opened, each once however often it is asked for.
    async fn open(&self, keys: Vec<SealedDataKey>) -> Result<Vec<Secret<[u8; 32]>>, crate::keyring::Error> {
        self.reading().open(keys).await
    }
}

/// One reading of the logs, which may take two requests to the keyring: first what blocks tell is opened, then what is left
/// to be read. Both are recorded, and the record of the second says that it is the same reading.
struct Reading<'a> {
    auditor: &'a Auditor,
    goes_on: Cell<bool>,
}

impl Reading<'_> {
    async fn open(&self, keys: Vec<SealedDataKey>) -> Result<Vec<Secret<[u8; 32]>>, crate::keyring::Error> {
        let Auditor { keyring, who, opened: had, .. } = self.auditor;
        let place = |key: &SealedDataKey| (key.origin.clone(), key.position);
        let new: Vec<SealedDataKey> =
            keys.iter().filter(|key| !had.borrow().contains_key(&place(key))).cloned().collect();
        if !new.is_empty() {
            let places: Vec<_> = new.iter().map(place).collect();
            let opened = keyring.open(new, who, &self.why()).await?;
            had.borrow_mut().extend(places.into_iter().zip(opened));
        }
        let opened = had.borrow();
        Ok(keys.iter().filter_map(|key| Some(Secret::new(*opened.get(&place(key))?.expose()))).collect())
    }

    fn why(&self) -> String {
        let why = &self.auditor.why;
        let goes_on = self.goes_on.replace(true) && why.len() + GOES_ON.len() <= TEXT_BYTES_MAX;
        format!("{why}{}", if goes_on { GOES_ON } else { "" })
    }
}

/// The customer of that name, as everywhere, before that of an id: a customer may be called "c7". An id is taken as it is:
/// what the register no longer knows can still stand in the log.
fn customer_id(state: Option<&State>, name: &str) -> Result<CustomerId, Failure> {
    match (state, name.parse()) {
        (Some(state), Ok(id)) => Ok(state.customer_known_as(name).map_or(id, |customer| customer.id)),
        (Some(state), Err(_)) => super::context::customer_looked_up(state, name).map(|customer| customer.id),
        (None, id) => Ok(id?),
    }
}

/// The staff member, likewise.
fn staff_id(state: Option<&State>, name: &str) -> Result<StaffId, Failure> {
    match (state, name.parse()) {
        (Some(state), Ok(id)) => Ok(state.staff_named(name).map_or(id, |staff| staff.id)),
        (Some(state), Err(_)) => super::context::staff(state, name).map(|staff| staff.id),
        (None, id) => Ok(id?),
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
pub(super) mod tests;

#[cfg(test)]
#[path = "audit/blocks_tests.rs"]
mod blocks_tests;

#[cfg(test)]
#[path = "audit/erased_tests.rs"]
mod erased_tests;

#[cfg(test)]
#[path = "audit/names_tests.rs"]
mod names_tests;

#[cfg(test)]
#[path = "audit/recorded_tests.rs"]
mod recorded_tests;
