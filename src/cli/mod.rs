//! The command line: what can be asked for, and who does it. Each verb lives in the file of its name.
//! Not here: the services. `main.rs` starts those, since services never import each other.

pub mod audit;
mod config;
pub mod consent;
mod context;
pub mod coverage;
mod csv;
pub mod customer;
pub mod datamap;
pub mod demo;
mod doctor;
pub mod exit;
pub mod fence;
mod findings;
pub mod glass;
mod grant;
pub mod history;
mod hold;
pub mod import;
mod invitations;
pub mod keyring;
pub mod keys;
pub mod owner;
pub mod prepare;
mod register;
pub mod render;
pub mod request;
pub mod retention;
mod road;
mod second_factor;
mod sign_in;
pub mod staff;
mod staff_list;
pub mod team;
mod verify_proof;
pub mod witness;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};
pub use render::{Format, Table};

use crate::config::{Config, DEFAULT_PATH, Role, load};

/// The gate between a SaaS vendor's own staff and its customers' data.
#[derive(Debug, Parser)]
#[command(name = "portreeve", version, after_help = exit::CODES)]
pub struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// How rows are shown.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub format: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs until it is told to stop.
    #[command(flatten)]
    Service(Service),
    /// Does one thing and ends.
    #[command(flatten)]
    Verb(Verb),
}

/// The long-running roles.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Service {
    /// Run the gate: let staff in where an owner allows it, and record every statement.
    Proxy,
    /// Run the owner's pages and API.
    Portal,
    /// Run the keyring: the only holder of keys that open records.
    Keyring,
    /// What keeps the promise; `portreeve retention run`, beside the other verbs about retention.
    #[command(skip)]
    Retention {
        /// One turn, and then the end.
        once: bool,
    },
}

impl Command {
    /// The role that is to run; none: it is a verb.
    pub fn service(&self) -> Option<Service> {
        match self {
            Command::Service(service) => Some(*service),
            Command::Verb(Verb::Retention(retention::Command::Run { once })) => {
                Some(Service::Retention { once: *once })
            }
            Command::Verb(_) => None,
        }
    }
}

impl Service {
    /// Whose secrets it needs.
    pub fn role(self) -> Role {
        match self {
            Service::Proxy => Role::Proxy,
            Service::Portal => Role::Portal,
            Service::Keyring => Role::Keyring,
            Service::Retention { .. } => Role::Retention,
        }
    }
}

/// Everything that ends by itself.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Customers, and the databases they are in.
    #[command(subcommand)]
    Customer(customer::Command),
    /// Support staff.
    #[command(subcommand)]
    Staff(staff::Command),
    /// Teams of staff, and the customers they look after.
    #[command(subcommand)]
    Team(team::Command),
    /// Account owners: those who allow access.
    #[command(subcommand)]
    Owner(owner::Command),
    /// Grants: who may reach which customer's data, how far, until when.
    #[command(subcommand)]
    Grant(grant::Command),
    /// Requests: staff ask an account owner for access.
    #[command(subcommand)]
    Request(request::Command),
    /// Consent: what an account owner agreed to.
    #[command(subcommand)]
    Consent(consent::Command),
    /// Break-glass: access in an emergency, opened by two, where an owner agreed to it.
    #[command(subcommand)]
    BreakGlass(glass::Command),
    /// Where decisions are kept, if that is a server.
    #[command(subcommand)]
    Register(register::Command),
    /// Holds: what is kept because an authority demands it.
    #[command(subcommand)]
    Hold(hold::Command),
    /// Who could reach a customer's data at a moment.
    History(history::Arguments),
    /// The audit log: search it, follow it, show a record, verify everything.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Where personal data is: propose, compare, show.
    #[command(subcommand)]
    Datamap(datamap::Command),
    /// What the database itself enforces.
    #[command(subcommand)]
    Fence(fence::Command),
    /// Who reaches the databases, by the gate or by another road.
    #[command(subcommand)]
    Road(road::Command),
    /// What was promised about keeping and deleting, and what follows from it.
    #[command(subcommand)]
    Retention(retention::Command),
    /// Check a certificate of erasure, or a proof of a customer's records, offline.
    VerifyProof(verify_proof::Arguments),
    /// A witness of the vendor's logs, run by a customer or an auditor: make one, run it.
    #[command(subcommand)]
    Witness(witness::Command),
    /// Say what is wrong with this installation, and what to do about it; exit code 4 if something is.
    Doctor,
    /// Show all of it on a throw-away PostgreSQL.
    Demo(demo::Arguments),
    /// The configuration file.
    #[command(subcommand)]
    Config(config::Command),
}

/// What every verb is given.
#[derive(Debug)]
pub struct Context {
    /// The checked configuration.
    pub config: Config,
    /// How rows are shown.
    pub format: Format,
}

impl Context {
    /// Shows rows on standard output. A reader that went away (`| head`) is no failure.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn show(&self, table: &Table) -> Result<(), Failure> {
        show(table, self.format)
    }

    /// The name of the command line's own audit log on this host: `cli-<host>`.
    ///
    /// # Errors
    /// If the host's name cannot be read.
    pub fn writer(&self) -> Result<String, Failure> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
        let first = host.trim().split('.').next().unwrap_or_default().to_ascii_lowercase();
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        Ok(format!("cli-{}", first.chars().map(plain).collect::<String>()))
    }
}

fn show(table: &Table, format: Format) -> Result<(), Failure> {
    to_stdout(|out| table.write(format, out))
}

/// Shows one JSON value a line on standard output.
fn lines(values: impl IntoIterator<Item = serde_json::Value>) -> Result<(), Failure> {
    to_stdout(|out| values.into_iter().try_for_each(|value| writeln!(out, "{value}")))
}

/// Says something on standard output.
///
/// # Errors
/// If standard output cannot be written.
pub fn say(text: &str) -> Result<(), Failure> {
    to_stdout(|out| out.write_all(text.as_bytes()))
}

/// A reader that went away (`| head`) is no failure.
fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Does what `verb` says.
///
/// # Errors
/// Any [`Failure`] of the verb, or of reading the configuration.
pub async fn run(verb: Verb, path: PathBuf, format: Format) -> Result<Exit, Failure> {
    match verb {
        Verb::Demo(arguments) => demo::run(arguments).await,
        Verb::Config(command) => config::run(command, &path, format),
        Verb::VerifyProof(arguments) => verify_proof::run(&arguments, format),
        Verb::Witness(_) => Err(Failure::failed("bug: a witness is made and run by the program itself")),
        verb => {
            let context = Context { config: load(&path)?, format };
            dispatch(verb, &context, &path).await
        }
    }
}

async fn dispatch(verb: Verb, context: &Context, path: &Path) -> Result<Exit, Failure> {
    match verb {
        Verb::Keys(command) => keys::run(command, context).await,
        Verb::Customer(command) => customer::run(command, context).await,
        Verb::Staff(command) => staff::run(command, context).await,
        Verb::Team(command) => team::run(command, context).await,
        Verb::Owner(command) => owner::run(command, context).await,
        Verb::Grant(command) => grant::run(command, context).await,
        Verb::Request(command) => request::run(command, context).await,
        Verb::Consent(command) => consent::run(command, context).await,
        Verb::BreakGlass(command) => glass::run(command, context).await,
        Verb::Hold(command) => hold::run(command, context).await,
        Verb::Register(command) => register::run(command, context).await,
        Verb::History(arguments) => history::run(&arguments, context),
        Verb::Audit(command) => audit::run(command, context).await,
        Verb::Fence(_) if context.format == Format::Csv => {
            Err(Failure::usage("what is said of a fence is no table: give --format table or --format json"))
        }
        Verb::Datamap(command) => datamap::run(command, context, path).await,
        Verb::Fence(command) => {
            let settings = fence::Settings::of(&command, &context.config)?;
            if settings.is_external {
                return Err(Failure::usage(fence::EXTERNAL));
            }
            let done = fence::run(&command, &settings, context.format, &mut io::stdout()).await;
            match done.map_err(|error| Failure::failed(error.to_string()))? {
                fence::Outcome::Done => Ok(Exit::Done),
                fence::Outcome::Unsound => Ok(Exit::Findings),
            }
        }
        Verb::Doctor => Box::pin(doctor::run(context)).await,
        Verb::Road(command) => road::run(command, context).await,
        Verb::Retention(command) => retention::run(command, context, path).await,
        Verb::Demo(_) | Verb::Config(_) | Verb::VerifyProof(_) | Verb::Witness(_) => {
            Err(Failure::failed("bug: this verb needs no configuration"))
        }
    }
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
